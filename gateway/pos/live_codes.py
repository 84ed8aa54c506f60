"""A code that a terminal shows: an order that any wallet may pay. A private extension.

Rules:

* The order is a checkout of its own door, under terminal, batch and trace. Asked for again
  under the same number it is the same order, with the code of that minute; another amount is
  94. Once nobody can pay it, its state is told instead.
* It takes nothing by itself: no reversal, no line of the batch. Its end is told by a push
  where the terminal's option allows, by the status inquiry always.
* An inquiry that found nothing took the number: an order that comes after it is refused, and
  one that came in between is closed again. One that a limit stops has used its number up.
"""

from domain.checkout import CHECKOUT_METHOD
from domain.clock import Clock
from domain.doors import SCREEN_DOOR
from domain.errors import OverLimit, Unprocessable
from domain.ids import IdSource
from domain.money import CNY
from domain.payment import Payment
from gateway.checkout.checkouts import Checkouts
from gateway.checkout.opening import Asked
from gateway.draft import Draft
from gateway.payments import Payments
from gateway.pos.card_drafts import is_weak
from gateway.pos.exchange import Exchange
from gateway.pos.inquiries import status_of
from gateway.pos.operators import let_through
from gateway.pos.originals import payment_under
from gateway.pos.refused_numbers import refused_order
from gateway.pos.translate import RefusedError, amount_fen, f39_of_error, stamped
from gateway.store.port import Store
from gateway.terminal_options import shows_codes
from pos_protocol.fields.live_code import MAX_SHOWN_S, ShownCode, build_shown_code
from pos_protocol.fields.payment_status import build_payment_status
from pos_protocol.response_codes import APPROVED, DUPLICATE, NOT_SUPPORTED
from signing.keywrap import Sealer


class LiveCodes:
    """0200 收款码."""

    def __init__(
        self,
        *,
        store: Store,
        payments: Payments,
        checkouts: Checkouts,
        sealer: Sealer,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._store = store
        self._payments = payments
        self._checkouts = checkouts
        self._sealer = sealer
        self._clock = clock
        self._ids = ids

    async def live_code(self, exchange: Exchange) -> bytes:
        """The order, made or found, and what to show of it now."""
        known = exchange.known
        if not shows_codes(known.terminal):
            raise RefusedError(NOT_SUPPORTED, "codes are not open to this terminal")
        draft = self._draft(exchange)
        await self._refuse_taken(exchange)
        asked = Asked(draft=draft, wallets=(), shop_name=known.merchant.name)
        try:
            order, _ = await self._checkouts.open(asked)
        except OverLimit as refusal:
            await self._use_up(exchange, draft.amount_fen)
            raise RefusedError(f39_of_error(refusal), refusal.message) from None
        except Unprocessable as error:
            raise RefusedError(NOT_SUPPORTED, error.message) from None
        exchange.payment_id = order.order.id
        try:
            await self._refuse_taken(exchange)
        except RefusedError:  # "never seen" was said of it meanwhile
            await self._checkouts.cancel(order)
            raise
        return await self._told(exchange, order)

    def _draft(self, exchange: Exchange) -> Draft:
        known = exchange.known
        amount = amount_fen(exchange.message)
        draft = Draft(
            merchant_no=known.merchant.merchant_no,
            door=SCREEN_DOOR,
            order_key=exchange.order_key,
            fingerprint=self._sealer.token(f"live code\x00{amount}".encode()),
            amount_fen=amount,
            currency=CNY,
            subject=known.merchant.name,
            method=CHECKOUT_METHOD,
            channel="",
            terminal_id=known.terminal.terminal_id,
        )
        return let_through(exchange, draft, weak_pin=is_weak(known.terminal))

    async def _refuse_taken(self, exchange: Exchange) -> None:
        if await payment_under(exchange.order_key, exchange, self._store) is not None:
            raise RefusedError(
                DUPLICATE, "this number is a sale's, or was said never to have been seen"
            )

    async def _use_up(self, exchange: Exchange, amount: int) -> None:
        """The same message, late or recorded, must open nothing and try no PIN again."""
        now_ms, key = self._clock.now_ms(), exchange.order_key
        order = refused_order(exchange, key, self._ids, now_ms, amount_fen=amount)
        await self._payments.refuse_beforehand(order)  # False: it is taken as it is

    async def _told(self, exchange: Exchange, order: Payment) -> bytes:
        now_ms = self._clock.now_ms()
        live = await self._checkouts.code(order)
        fields = stamped(now_ms, APPROVED, order.order.id[-12:])
        if live is None:
            fields[62] = build_payment_status(status_of(await self._checkouts.seen(order)))
        else:
            left_s = max(0, min(MAX_SHOWN_S, (live.expires_at_ms - now_ms) // 1000))
            fields[62] = build_shown_code(ShownCode(live.code, left_s))
        return exchange.reply(fields)
