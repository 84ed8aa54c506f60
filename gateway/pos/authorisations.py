"""Card pre-authorisations from a terminal: held, completed, released.

Rules:

* A pre-authorisation (an additional one as well) is a payment that rests authorized: the money is
  held and nothing is booked. A completion is a payment of its own that takes its money from the
  hold, whole or a part, once: if it fails, is closed or reversed, the hold may be completed again;
  once it succeeded the hold is spent, also when the completion was voided or refunded later.
* A hold is found by this terminal and F61. 25 no such hold, or one that is gone or taken;
  14 another card; 61 more than is held; 64 a void of another amount; 22 older than thirty
  days, not known yet, or (for a void) completed.
* F38 of a completion goes to the channel and is never stored.
* A void begins the release durably and waits for its end: 00 once the hold is released,
  silence while that is not known. Its number is a payment of its own that is closed from
  the start, so that its repeat is told from another void, a void that was reversed before
  it came is refused, and a reversal that follows it finds it.
* A completion advice tells of goods that are gone, and the terminal never takes it back. It
  is booked as the request is, and answered once its outcome is final: 00 when the money is
  ours. When the channel's answer was lost the gateway undoes the completion, as it does
  everything that it cannot know; the terminal hears nothing until that is certain, repeats
  its advice, and hears 98 then: the money was not taken, and the hold can be completed
  again, by a new advice or request.
"""

from dataclasses import replace
from typing import Final

import orjson

from channels.card import CardAction, HoldRef
from domain.clock import Clock, beijing
from domain.errors import Conflict, Unavailable
from domain.ids import IdSource
from domain.payment import (
    COMPLETION_METHOD,
    HOLD_METHOD,
    Payment,
    Status,
)
from gateway.draft import Draft
from gateway.holds import next_taking
from gateway.live import is_over
from gateway.logs import Log
from gateway.payments import Payments
from gateway.pos.advising import Advising, is_final, taken
from gateway.pos.card_drafts import card_draft
from gateway.pos.exchange import Exchange
from gateway.pos.originals import find_original, payment_under, refuse_unless
from gateway.pos.refused_numbers import HOLD_VOID_METHOD, refused_order
from gateway.pos.sales import DEADLINE_MARGIN_S, Sales
from gateway.pos.teller import KeptReplies, Teller
from gateway.pos.translate import RefusedError, amount_fen, fingerprint_text, stamped
from gateway.store.port import PaymentStore, TakenHold
from pos_protocol.response_codes import (
    APPROVED,
    DUPLICATE,
    NO_ORIGINAL,
    NOT_ALLOWED,
    OTHER_AMOUNT,
    OVER_LIMIT,
)
from signing.keywrap import Sealer

COMPLETION_DAYS: Final = 30
"""A hold that is older, by Beijing's calendar, is refused with 22 (reference §6)."""


class Authorisations:
    """预授权, its additions, completions and voids."""

    def __init__(
        self,
        *,
        store: PaymentStore,
        payments: Payments,
        sales: Sales,
        sealer: Sealer,
        clock: Clock,
        ids: IdSource,
        log: Log,
    ) -> None:
        self._store = store
        self._replies = KeptReplies(store, sealer)
        self._payments = payments
        self._sales = sales
        self._sealer = sealer
        self._clock = clock
        self._ids = ids
        self._log = log
        self._patience_s = payments.till_wait_s + DEADLINE_MARGIN_S
        self._advising = Advising(
            store=store, payments=payments, sealer=sealer, clock=clock, log=log
        )

    async def preauth(self, exchange: Exchange) -> bytes | None:
        """0100 预授权: hold the amount; F38 of the answer is what a completion repeats."""
        draft = card_draft(exchange, self._sealer, HOLD_METHOD)
        return await self._sales.sell(exchange, replace(draft, action=CardAction.AUTHORISE))

    async def preauth_additional(self, exchange: Exchange) -> bytes | None:
        """0100 追加预授权: a hold of its own, completed and released by itself."""
        return await self.preauth(exchange)

    async def preauth_moto(self, exchange: Exchange) -> bytes | None:
        """0100 MOTO预授权 (F25 = 18): no card is there; completed and released as any hold."""
        draft = card_draft(exchange, self._sealer, HOLD_METHOD)
        return await self._sales.sell(exchange, replace(draft, action=CardAction.MOTO_AUTHORISE))

    async def completion(self, exchange: Exchange) -> bytes | None:
        """0200 预授权完成(请求): take what is held, or less."""
        draft = await self._completion(exchange)
        try:
            return await self._sales.sell(exchange, draft)
        except Conflict as conflict:
            raise taken(conflict, NO_ORIGINAL) from None

    async def completion_advice(self, exchange: Exchange) -> bytes | None:
        """0220 预授权完成(通知): as the request, answered once it is certain."""
        return await self._advising.advise(exchange, self._completion, NO_ORIGINAL)

    async def _completion(self, exchange: Exchange) -> Draft:
        """The payment that takes a hold, or what keeps it from being one."""
        draft = card_draft(exchange, self._sealer, COMPLETION_METHOD)
        hold = await self._hold(exchange)
        takes = None
        if not await self._is_known(exchange):
            refuse_unless(hold, Status.AUTHORIZED)
            self._refuse_late(hold)
            if draft.amount_fen > hold.order.amount_fen:
                raise RefusedError(OVER_LIMIT, "more than is held")
            takes = await self._taking(exchange, hold)
        return replace(
            draft,
            action=CardAction.COMPLETE,
            original=HoldRef(
                order_no=hold.order.channel_order_no,
                held_at_ms=hold.order.created_at_ms,
                auth_code=exchange.message.text(38),
            ),
            takes=takes,
            account_id=hold.order.account_id,
        )

    async def _taking(self, exchange: Exchange, hold: Payment) -> TakenHold | None:
        """The number under which this completion takes the hold; ``None``: it did already."""
        try:
            return await next_taking(self._store, hold.order.id)
        except Conflict as conflict:
            if await self._is_known(exchange):
                return None
            raise taken(conflict, NO_ORIGINAL) from None

    async def _is_known(self, exchange: Exchange) -> bool:
        """Whether this message's number is taken: a repeat is answered, whatever became since."""
        return await self._own(exchange) is not None

    async def _own(self, exchange: Exchange) -> Payment | None:
        return await payment_under(exchange.order_key, exchange, self._store)

    async def _hold(self, exchange: Exchange) -> Payment:
        """The hold that F61 names; raises :class:`RefusedError` 25, 14 or 30."""
        hold = await find_original(exchange, self._store, self._sealer)
        if hold.order.method != HOLD_METHOD:
            raise RefusedError(NO_ORIGINAL, "the original is no authorisation")
        return hold

    def _refuse_late(self, hold: Payment) -> None:
        held_on, today = beijing(hold.order.created_at_ms), beijing(self._clock.now_ms())
        if (today.date() - held_on.date()).days > COMPLETION_DAYS:
            raise RefusedError(NOT_ALLOWED, f"held more than {COMPLETION_DAYS} days ago")

    async def preauth_void(self, exchange: Exchange) -> bytes | None:
        """0100 预授权撤销: release the hold, whole."""
        fingerprint = self._sealer.token(fingerprint_text(exchange.message))
        kept = await self._replies.find(exchange, fingerprint)
        if kept is not None:
            return kept
        amount = amount_fen(exchange.message)
        hold = await self._hold(exchange)
        if amount != hold.order.amount_fen:
            raise RefusedError(OTHER_AMOUNT, "a void releases the whole")
        await self._take_number(exchange, hold, fingerprint)
        try:
            live = await self._payments.cancel(hold)
            released = await self._payments.watch(live.payment, self._patience_s, is_over)
            return await self._voided(exchange, released, fingerprint)
        except Conflict as conflict:
            raise taken(conflict, NOT_ALLOWED) from None
        except Unavailable as error:
            self._log.error("silent", payment_id=hold.order.id, reason=error.message)
        except Exception:
            # the release is perhaps begun: a refusal would be a guess
            self._log.exception("silent after a fault", payment_id=hold.order.id)
        return None

    async def void_stands(self, exchange: Exchange) -> bool:
        """Whether the void of this number, which came, releases its hold: for its reversal.

        A release that a crash kept from being begun is begun. ``False``: a completion has it.

        Raises:
            RefusedError: as :meth:`preauth_void`, what F61 names is no hold of this card.
            Unavailable: the store is down.
        """
        hold = await self._hold(exchange)
        try:
            await self._payments.cancel(hold)
        except Conflict:
            return False
        return True

    async def _take_number(self, exchange: Exchange, hold: Payment, fingerprint: bytes) -> None:
        """Claim the void's own number, once its hold can be released; a repeat has it already.

        Raises:
            RefusedError: 25 nothing is held, or the number may never become a payment; 22 it
                was completed; 94 the number was used for something else.
        """
        own = await self._own(exchange)
        if own is None:
            refuse_unless(hold, Status.AUTHORIZED)
            try:
                await next_taking(self._store, hold.order.id)
            except Conflict as conflict:
                raise taken(conflict, NOT_ALLOWED) from None
            order = refused_order(
                exchange,
                exchange.order_key,
                self._ids,
                self._clock.now_ms(),
                amount_fen=hold.order.amount_fen,
                method=HOLD_VOID_METHOD,
                fingerprint=fingerprint,
                details_json=orjson.dumps({"hold": hold.order.id}).decode(),
            )
            if await self._payments.refuse_beforehand(order):
                return
            own = await self._own(exchange)
        if own is None:
            raise Unavailable("the store refused a number that it does not show")
        if not own.order.account_id and own.order.method != HOLD_VOID_METHOD:
            raise RefusedError(NO_ORIGINAL, "a number that may never become a payment")
        if own.order.fingerprint != fingerprint:
            raise RefusedError(DUPLICATE, "this number was used with other content")

    async def _voided(self, exchange: Exchange, hold: Payment, fingerprint: bytes) -> bytes | None:
        """00 for what is released, kept first; silence for what is not known to be."""
        if not is_final(hold):
            return None
        now_ms = self._clock.now_ms()
        reference = hold.standing.channel_reference or hold.order.id[-12:]
        fields = stamped(now_ms, APPROVED, reference)
        auth_code = exchange.message.text(38)
        if auth_code:
            fields[38] = auth_code
        teller = Teller(exchange, fingerprint, self._sealer, self._clock)
        return await self._replies.keep(exchange, teller, teller.kept(fields, now_ms))
