"""Reversals (0400): a terminal takes back what it heard no answer to.

Rules:

* A reversal shares terminal, batch and trace with what it reverses; its own reply is
  kept under its own message type.
* One that finds its sale begins the undo durably and says 00: from there the gateway
  alone finishes it. One that comes before its sale takes the sale's number, so that the
  sale is refused when it comes.
* What a void or a refund began cannot be taken back, the money is on its way to the
  payer: 22, and an inquiry says how the sale stands. One that was never begun, or failed,
  is 00, and its number is taken, so that it is refused when it comes late.
"""

from typing import Final

from channels.port import Answer
from domain.clock import Clock
from domain.errors import Conflict, Unavailable
from domain.ids import IdSource
from domain.payment import Payment
from gateway.holds import HOLD_TAKEN
from gateway.payments import Payments
from gateway.pos.authorisations import Authorisations
from gateway.pos.exchange import Exchange
from gateway.pos.originals import payment_under
from gateway.pos.refused_numbers import HOLD_VOID_METHOD, REFUSED_METHOD, refused_order
from gateway.pos.returns import Returns
from gateway.pos.teller import KeptReplies, Teller
from gateway.pos.translate import (
    RefusedError,
    amount_fen,
    fingerprint_text,
    payment_fields,
    stamped,
)
from gateway.store.port import PaymentStore, TerminalReply
from pos_protocol.response_codes import APPROVED, NO_ORIGINAL, NOT_ALLOWED, OTHER_AMOUNT
from pos_protocol.transactions import TransactionKind
from signing.keywrap import Sealer

_TRIES: Final = 5
_K = TransactionKind
_RETURNS: Final = frozenset({_K.VOID, _K.QR_VOID, _K.COMPLETION_VOID})


class Reversals:
    """0400 冲正, whatever it reverses."""

    def __init__(
        self,
        *,
        store: PaymentStore,
        payments: Payments,
        returns: Returns,
        authorisations: Authorisations,
        sealer: Sealer,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._store = store
        self._replies = KeptReplies(store, sealer)
        self._payments = payments
        self._returns = returns
        self._authorisations = authorisations
        self._sealer = sealer
        self._clock = clock
        self._ids = ids

    async def reversal(self, exchange: Exchange) -> bytes | None:
        """Undo what this terminal, batch and trace began, whatever its state."""
        fingerprint = self._sealer.token(fingerprint_text(exchange.message))
        kept = await self._replies.find(exchange, fingerprint)
        if kept is not None:
            return kept
        amount = amount_fen(exchange.message)
        teller = Teller(exchange, fingerprint, self._sealer, self._clock)
        original = exchange.transaction.original if exchange.transaction is not None else None
        if original in _RETURNS:
            return await self._of_a_return(exchange, teller)
        for _ in range(_TRIES):
            payment = await payment_under(exchange.order_key, exchange, self._store)
            if payment is not None:
                return await self._undo(exchange, payment, amount, teller)
            if await self._remember(exchange, amount, teller):
                return teller.frame
        raise Unavailable("the store refused a number that it does not show")

    async def _undo(
        self, exchange: Exchange, payment: Payment, amount: int, teller: Teller
    ) -> bytes | None:
        exchange.payment_id = payment.order.id
        if payment.order.method == HOLD_VOID_METHOD and await self._authorisations.void_stands(
            exchange
        ):
            raise RefusedError(NOT_ALLOWED, "the hold is released")
        if payment.order.method != REFUSED_METHOD and payment.order.amount_fen != amount:
            raise RefusedError(OTHER_AMOUNT, "the amount is not the sale's")

        def accepted(_payment: Payment, _answer: Answer | None) -> TerminalReply:
            return teller.kept(self._accepted_fields(payment), self._clock.now_ms())

        try:
            live = await self._payments.cancel(payment, accepted)
        except Conflict as conflict:
            is_gone = conflict.code != HOLD_TAKEN and _is_returned(payment)
            # 25 would end the reversal as done: only where nothing is kept any more
            raise RefusedError(NO_ORIGINAL if is_gone else NOT_ALLOWED, conflict.message) from None
        if live.reply is not None:
            return teller.frame
        return await self._replies.keep(exchange, teller, accepted(live.payment, None))

    def _accepted_fields(self, payment: Payment) -> dict[int, str | bytes]:
        fields = payment_fields(payment, None, self._clock.now_ms())
        fields[39] = APPROVED
        fields[15] = fields[13]
        return fields

    async def _remember(self, exchange: Exchange, amount: int, teller: Teller) -> bool:
        """Take the sale's number, closed, and keep the reply, in one commit."""
        now_ms = self._clock.now_ms()
        order = refused_order(exchange, exchange.order_key, self._ids, now_ms, amount_fen=amount)
        reply = teller.kept(self._done(order.id), now_ms)
        return await self._payments.refuse_beforehand(order, reply)

    async def _of_a_return(self, exchange: Exchange, teller: Teller) -> bytes | None:
        """00 where no return was begun and none can be any more, otherwise 22."""
        if not await self._returns.prevent(exchange):
            raise RefusedError(NOT_ALLOWED, "the money is on its way back to the payer")
        now_ms = self._clock.now_ms()
        reply = teller.kept(self._done(self._ids.new()), now_ms)
        return await self._replies.keep(exchange, teller, reply)

    def _done(self, reference: str) -> dict[int, str | bytes]:
        return stamped(self._clock.now_ms(), APPROVED, reference[-12:])


def _is_returned(payment: Payment) -> bool:
    standing = payment.standing
    return 0 < standing.captured_fen == standing.returned_fen
