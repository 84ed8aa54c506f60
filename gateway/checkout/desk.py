"""Checkouts as they are found and shown: by whoever asks, never moved here.

Rules: nothing is written here. Only ``payer_of`` calls a channel: the wallet tells who pays,
and the code that it is asked with is spent by that. What the merchant sees is the checkout's
payment with what its current attempt adds; what the page sees is a :class:`CheckoutView`. A
payer is known again by a keyed hash: the wallet's name of a payer is stored nowhere.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import orjson

from channels.payer_orders import PayerAnswer
from channels.port import Verdict
from domain.checkout import OPEN, Checkout, CheckoutStatus, attempt_id, is_attempt, is_checkout
from domain.checkout_step import seen_payment
from domain.clock import Clock
from domain.errors import Unprocessable
from domain.payment import Payment, Status
from gateway.checkout.bounds import CheckoutBounds
from gateway.checkout.following import Found, checkout_of
from gateway.checkout.live_code import Windows, make_token, read_token
from gateway.checkout.port import CheckoutView, LiveCode, Payer
from gateway.routes import Route, Routes
from gateway.store.port import Store
from signing.keywrap import Sealer

_ASKING = frozenset({Status.UNKNOWN, Status.REVERSING})
_WITHOUT_MONEY: Final = frozenset({CheckoutStatus.WAITING, CheckoutStatus.CLOSED})
"""What these say of the order, "not paid", is not true of money that came after all."""
_FORMER_AT_MOST: Final = 8
"""Attempts that were given up which a payer is looked for in."""


class Desk:
    """Where checkouts are looked up."""

    def __init__(
        self,
        *,
        store: Store,
        routes: Routes,
        clock: Clock,
        sealer: Sealer,
        bounds: CheckoutBounds,
    ) -> None:
        self._store = store
        self._routes = routes
        self._clock = clock
        self._sealer = sealer
        self._bounds = bounds
        self._windows = Windows(
            renew_ms=int(bounds.code_renew_s * 1000), grace_ms=int(bounds.code_grace_s * 1000)
        )

    async def found(self, checkout_id: str) -> Found:
        """A checkout that exists.

        Raises:
            Unavailable: the store is away, or does not show it.
        """
        return await checkout_of(self._store, checkout_id)

    async def look(self, checkout_id: str) -> Found | None:
        """A checkout, or ``None`` where no such one exists."""
        read = await self._store.checkout_with_payments(checkout_id)
        return None if read is None else Found(*read)

    async def seen(self, payment: Payment) -> Payment:
        """A payment as its merchant sees it: a checkout with what its attempt adds.

        Every other payment comes back as it is; an attempt comes back as its checkout.
        """
        if not is_checkout(payment.order) and not is_attempt(payment.order):
            return payment
        found = await self.found(payment.order.id)
        return seen_payment(found.base, found.attempt)

    async def seen_with_code(self, base: Payment) -> tuple[Payment, LiveCode | None]:
        """A checkout as its merchant sees it, and what a screen shows of it at that moment."""
        found = await self.found(base.order.id)
        return seen_payment(found.base, found.attempt), self.live_code(found.checkout)

    # --- codes

    async def code(self, payment: Payment) -> LiveCode | None:
        """What a screen shows now for this checkout; ``None``: nothing to scan (any more)."""
        checkout = None
        if is_checkout(payment.order):
            checkout = await self._store.checkout(payment.order.id)
        return None if checkout is None else self.live_code(checkout)

    def live_code(self, checkout: Checkout) -> LiveCode | None:
        """What a screen shows now; ``None``: nothing to scan, or no public address."""
        now_ms = self._clock.now_ms()
        if checkout.status not in OPEN or now_ms >= checkout.expires_at_ms:
            return None
        if checkout.is_single:
            code = checkout.code
            return LiveCode(code=code, expires_at_ms=checkout.expires_at_ms) if code else None
        if not self._bounds.public_url:
            return None
        made_ms = checkout.created_at_ms
        number = self._windows.number(made_ms, now_ms)
        token = make_token(checkout.id, number, self._sealer.token)
        ends_ms = min(self._windows.ends_ms(made_ms, number), checkout.expires_at_ms)
        return LiveCode(code=f"{self._bounds.public_url}/q/{token}", expires_at_ms=ends_ms)

    async def scanned(self, token: str) -> CheckoutView | None:
        """See :class:`gateway.checkout.port.CheckoutPages`."""
        read = read_token(token, self._sealer.token)
        found = None if read is None else await self.look(read[0])
        if read is None or found is None:
            return None
        checkout, now_ms = found.checkout, self._clock.now_ms()
        is_good = self._windows.is_good(checkout.created_at_ms, read[1], now_ms)
        if not is_good or self.live_code(checkout) is None:
            return None
        return self.view_of(found)

    # --- payers and their wallets

    def wallets(self, merchant_no: str) -> Sequence[str]:
        """See :class:`gateway.checkout.port.CheckoutPages`."""
        routes = self._routes.open_to(merchant_no)
        return tuple(sorted(route.channel_name for route in routes if route.pages is not None))

    def page_route(self, merchant_no: str, wallet: str) -> Route | None:
        """The account that a wallet's payer pays through, if it is open."""
        return self.route(merchant_no, wallet) if wallet in self.wallets(merchant_no) else None

    def route(self, merchant_no: str, channel: str) -> Route | None:
        """The account of a channel, if one is open to the merchant."""
        try:
            return self._routes.choose(merchant_no, channel)
        except Unprocessable:
            return None

    def account(self, account_id: str) -> Route | None:
        """The account that an attempt was begun at, open or not."""
        try:
            return self._routes.of_account(account_id)
        except Unprocessable:
            return None

    def authorise_url(self, merchant_no: str, wallet: str, return_url: str, state: str) -> str:
        """See :class:`gateway.checkout.port.CheckoutPages`."""
        route = self.page_route(merchant_no, wallet)
        if route is None or route.pages is None:
            return ""
        return route.pages.authorise_url(return_url, state)

    async def payer_of(
        self, merchant_no: str, wallet: str, code: str, mark: str = ""
    ) -> PayerAnswer:
        """See :class:`gateway.checkout.port.CheckoutPages`."""
        route = self.page_route(merchant_no, wallet)
        if route is None or route.pages is None:
            return PayerAnswer(verdict=Verdict.NOT_SENT, channel_message="not open here")
        return await route.pages.payer_of(code, mark)

    def payer_token(self, payer: Payer) -> bytes:
        """What an attempt remembers its payer by."""
        return self._sealer.token(b"payer\x00" + orjson.dumps([payer.wallet, payer.payer_id]))

    def is_of(self, attempt: Payment | None, payer: Payer | None) -> bool:
        """Whether an attempt is this payer's."""
        if attempt is None or payer is None:
            return False
        return attempt.order.pan_token == self.payer_token(payer)

    def _is_left_alone(self, found: Found) -> bool:
        attempt = found.attempt
        if attempt is None or not found.is_under_way() or attempt.standing.parked_reason:
            return False
        age_ms = self._clock.now_ms() - attempt.order.created_at_ms
        is_old = age_ms >= self._bounds.take_over_after_s * 1000
        return is_old and attempt.standing.status is not Status.REVERSING

    def _was_paid_late(self, found: Found, payer: Payer | None) -> bool:
        """Whether the last attempt was this payer's, and was paid though it had been given up."""
        attempt, is_over = found.attempt, found.checkout.status in _WITHOUT_MONEY
        return (
            is_over and attempt is not None and _goes_back(attempt) and self.is_of(attempt, payer)
        )

    # --- views

    async def view(self, checkout_id: str, payer: Payer | None = None) -> CheckoutView | None:
        """See :class:`gateway.checkout.port.CheckoutPages`."""
        found = await self.look(checkout_id)
        return None if found is None else await self.shown(found, payer)

    async def shown(self, found: Found, payer: Payer | None) -> CheckoutView:
        """A checkout as its page shows it, with what became of this payer's former attempts."""
        seen = self.view_of(found, payer)
        if payer is None or found.checkout.attempts < 2:
            return seen
        if seen.is_mine and seen.status not in _WITHOUT_MONEY:
            return seen
        theirs = await self._former(found.checkout, payer)
        is_paid_twice = seen.is_paid_twice or any(_goes_back(former) for former in theirs)
        return replace(seen, has_given_up=bool(theirs), is_paid_twice=is_paid_twice)

    async def _former(self, checkout: Checkout, payer: Payer) -> list[Payment]:
        """The attempts of this payer's that were given up, of the latest."""
        last = checkout.attempts - 1
        numbers = range(max(1, last - _FORMER_AT_MOST + 1), last + 1)
        found = await self._store.payments([attempt_id(checkout.id, one) for one in numbers])
        return [one for one in found if self.is_of(one, payer)]

    def view_of(self, found: Found, payer: Payer | None = None) -> CheckoutView:
        """A checkout as its page shows it."""
        base, checkout, attempt = found.base, found.checkout, found.attempt
        order, standing = base.order, base.standing
        kept = orjson.loads(order.details_json) if order.details_json else {}
        asking, wallet, returned_fen, decline = False, "", 0, standing.decline
        if attempt is not None:
            theirs = attempt.standing
            shows = found.is_under_way() or theirs.status is Status.SUCCEEDED
            wallet = attempt.order.channel if shows or checkout.status not in OPEN else ""
            asking = found.is_under_way() and theirs.status in _ASKING
            returned_fen, decline = theirs.returned_fen, decline or theirs.decline
        if checkout.status is CheckoutStatus.PAID:
            decline = None
        open_now = self.wallets(order.merchant_no)
        return CheckoutView(
            checkout_id=order.id,
            merchant_no=order.merchant_no,
            merchant_order_no=order.order_key,
            shop_name=str(kept.get("shop", "")),
            store_id=order.store_id,
            terminal_id=order.terminal_id,
            subject=order.subject,
            remark=str(kept.get("remark", "")),
            amount_fen=order.amount_fen,
            currency=order.currency,
            status=checkout.status,
            version=checkout.version,
            wallets=tuple(one for one in open_now if one in (checkout.wallets or open_now)),
            created_at_ms=checkout.created_at_ms,
            expires_at_ms=checkout.expires_at_ms,
            wallet=wallet,
            is_asking=asking or checkout.status is CheckoutStatus.CLOSING,
            is_mine=self.is_of(attempt, payer),
            may_take_over=self._is_left_alone(found) and not self.is_of(attempt, payer),
            is_paid_twice=self._was_paid_late(found, payer),
            paid_at_ms=standing.paid_at_ms,
            returned_fen=returned_fen,
            decline=decline,
        )


def _goes_back(attempt: Payment) -> bool:
    """Whether money of an attempt that was undone is on its way back, or back already."""
    standing = attempt.standing
    is_undone = standing.status in (Status.REVERSING, Status.REVERSED)
    return is_undone and (standing.paid_at_ms > 0 or standing.captured_fen > 0)
