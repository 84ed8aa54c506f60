"""A checkout is made: by a merchant's call, or by the press of a payer at a printed code.

Rules: durable before anybody is told of it; the same number with the same content is the same
checkout, with other content a conflict. Nothing is at any channel yet, but for the one code
of a wallet that was asked for, which is the checkout's first and only attempt.
"""

from dataclasses import dataclass, replace
from typing import Final

import orjson

from channels.port import Verdict
from domain.checkout import (
    CHECKOUT_METHOD,
    OPEN,
    SHOWN,
    Checkout,
    CheckoutStatus,
)
from domain.clock import Clock
from domain.doors import PAGE_DOOR
from domain.errors import ChannelDown, Conflict, Unavailable, Unprocessable
from domain.ids import IdSource, is_merchant_number
from domain.money import CNY, MAX_AMOUNT_FEN
from domain.payment import Event, Payment, Standing
from gateway.checkout.attempts import Attempts
from gateway.checkout.bounds import CheckoutBounds
from gateway.checkout.desk import Desk
from gateway.checkout.following import Found
from gateway.checkout.port import CheckoutView, Press
from gateway.draft import Draft, order_of
from gateway.limits import Judge, asked_of
from gateway.payments import Payments
from gateway.store.port import CheckoutMove, Claim, Store
from signing.keywrap import Sealer

_TRIES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A checkout as a merchant asked for it; ``wallets`` of one: that wallet's own code."""

    draft: Draft
    wallets: tuple[str, ...]
    shop_name: str


class Opening:
    """How checkouts come into being."""

    def __init__(
        self,
        *,
        store: Store,
        desk: Desk,
        attempts: Attempts,
        payments: Payments,
        clock: Clock,
        ids: IdSource,
        sealer: Sealer,
        limits: Judge,
        bounds: CheckoutBounds,
    ) -> None:
        self._store = store
        self._desk = desk
        self._attempts = attempts
        self._payments = payments
        self._clock = clock
        self._ids = ids
        self._sealer = sealer
        self._limits = limits
        self._bounds = bounds

    async def open(self, asked: Asked) -> tuple[Payment, bool]:
        """Make the checkout that a merchant asked for, or find it; ``True``: it was there.

        Raises:
            Conflict: the number was used with other content.
            Unprocessable: no wallet of those asked for is open, or no public address is known.
            OverLimit: the merchant's limits stop it.
            Unavailable: draining, or the store is down.
        """
        draft = asked.draft
        known = await self._known(draft)
        if known is None:
            self._refuse(asked)
            await self._keep_within_limits(draft)
            shop = {"shop": asked.shop_name}
            base, made = await self._claim(draft, asked.wallets, "", shop)
        else:
            base, made = known, None
        if len(asked.wallets) == 1:
            base = await self._with_code(base, asked.wallets[0])
        return base, made is None

    async def press(self, press: Press) -> CheckoutView:
        """See :class:`gateway.checkout.port.CheckoutPages`."""
        draft, is_open = self._pressed(press), bool(self._desk.wallets(press.merchant_no))
        base, made = None, None
        if not is_open or self._limits.concern(draft.merchant_no) or not self._payments.accepting():
            base = await self._known(draft)  # a repeat is answered whatever keeps new ones out
        if base is None:
            if not is_open:
                raise Unprocessable("channel_not_open", "no wallet can be paid with here")
            await self._keep_within_limits(draft)
            page = {"shop": press.shop_name, "remark": press.remark}
            base, made = await self._claim(draft, (), press.code_id, page)
        if made is not None:
            return self._desk.view_of(Found(made, base, None))
        return self._desk.view_of(await self._desk.found(base.order.id))

    def _pressed(self, press: Press) -> Draft:
        if not is_merchant_number(press.press_key):
            raise Unprocessable("press_key_malformed", "no such button")
        if not 1 <= press.amount_fen <= MAX_AMOUNT_FEN:
            message = f"amount: must be 1-{MAX_AMOUNT_FEN} fen"
            raise Unprocessable("amount_out_of_range", message, field="amount")
        shown = {"qr_code": press.code_id} | ({"remark": press.remark} if press.remark else {})
        return Draft(
            merchant_no=press.merchant_no,
            door=PAGE_DOOR,
            order_key=press.press_key,
            # a press is one order, whatever amount the browser says the second time
            fingerprint=self._sealer.token(b"press\x00" + press.code_id.encode()),
            amount_fen=press.amount_fen,
            currency=CNY,
            subject=press.subject,
            method=CHECKOUT_METHOD,
            channel="",
            terminal_id=press.terminal_id,
            store_id=press.store_id,
            notify_url=press.notify_url,
            metadata_json=orjson.dumps(shown, option=orjson.OPT_SORT_KEYS).decode(),
        )

    def _refuse(self, asked: Asked) -> None:
        """Say why there can be no such checkout."""
        merchant_no = asked.draft.merchant_no
        if len(asked.wallets) == 1:
            route = self._desk.route(merchant_no, asked.wallets[0])
            if route is None or route.codes is None:
                raise _not_open(f"no account at {asked.wallets[0]} makes codes for this merchant")
            return
        if not self._bounds.public_url:
            raise Unprocessable(
                "qr_not_open", "method.type: http.public_url is not configured", field="method.type"
            )
        is_open = self._desk.wallets(merchant_no)
        if not any(wallet in is_open for wallet in asked.wallets or is_open):
            raise _not_open("no wallet of these can be paid with at this merchant")

    async def _keep_within_limits(self, draft: Draft) -> None:
        """Refuse what the merchant's limits stop; a day's sum is counted with the attempt."""
        asked = asked_of(draft)
        if asked is None or not self._limits.concern(draft.merchant_no):
            return
        judged = await self._limits.judge(asked)
        if judged.refusal is not None:
            raise self._limits.stopped(draft.merchant_no, judged.refusal)

    async def _known(self, draft: Draft) -> Payment | None:
        known = await self._store.payment_by_order(draft.merchant_no, draft.door, draft.order_key)
        if known is not None and known.order.fingerprint != draft.fingerprint:
            raise Conflict("order_conflict", "this number was used with other content")
        return known

    async def _claim(
        self, draft: Draft, wallets: tuple[str, ...], code_id: str, page: dict[str, str]
    ) -> tuple[Payment, Checkout | None]:
        """Make it durable; ``None`` when somebody else made it before."""
        if not self._payments.accepting():
            raise Unavailable("shutting down: send the payment again")
        now_ms = self._clock.now_ms()
        draft = replace(draft, details_json=orjson.dumps(page).decode())
        order = order_of(
            draft,
            order_id=self._ids.new("pay_"),
            account_id="",
            channel_order_no="",
            now_ms=now_ms,
            patience_s=draft.expires_in_s or self._bounds.wait_s,
        )
        checkout = Checkout(
            id=order.id,
            merchant_no=order.merchant_no,
            status=CheckoutStatus.WAITING,
            version=1,
            attempts=0,
            wallets=wallets,
            is_single=len(wallets) == 1,
            code_id=code_id,
            created_at_ms=now_ms,
            expires_at_ms=order.till_deadline_ms,
        )
        standing = Standing(status=SHOWN[checkout.status], version=1)
        claim = Claim(
            order=order,
            standing=standing,
            event=Event.PAYER_ACTING,
            due_at_ms=None,
            moves=CheckoutMove(checkout=checkout, due_at_ms=checkout.expires_at_ms),
        )
        if await self._store.claim(claim):
            return Payment(order, standing), checkout
        known = await self._known(draft)
        if known is None:
            raise Unavailable("the store refused a number that it does not show")
        return known, None

    async def _with_code(self, base: Payment, wallet: str) -> Payment:
        """The checkout once its wallet's code is kept, or could not be made now."""
        found = await self._desk.found(base.order.id)
        if not self._lacks_code(found):
            return found.base
        try:
            answer = await self._attempts.begin_code(found, wallet)
        except ChannelDown:
            answer = None
        if answer is not None and answer.verdict is Verdict.SUCCEEDED and answer.code:
            await self._keep_code(base.order.id, answer.code)
        return (await self._desk.found(base.order.id)).base

    def _lacks_code(self, found: Found) -> bool:
        checkout, attempt = found.checkout, found.attempt
        if checkout.code or checkout.status not in OPEN:
            return False
        if self._clock.now_ms() >= checkout.expires_at_ms:
            return False
        return attempt is None or found.is_under_way()

    async def _keep_code(self, checkout_id: str, code: str) -> None:
        for _ in range(_TRIES):
            found = await self._desk.found(checkout_id)
            checkout = found.checkout
            if checkout.code or not found.is_under_way():
                return  # the code of an order that was ended meanwhile is shown to nobody
            kept = replace(checkout, version=checkout.version + 1, code=code)
            move = CheckoutMove(checkout=kept, due_at_ms=checkout.expires_at_ms)
            if await self._store.move_checkout(move):
                return


def _not_open(message: str) -> Unprocessable:
    return Unprocessable("channel_not_open", message, field="method.wallets")
