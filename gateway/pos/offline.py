"""Offline sales (离线结算), their adjustments (结算调整) and tips (小费) from a terminal.

Rules:

* An offline sale was approved at the counter, by telephone or under a limit. Nothing is paid
  by the terminal's word: the channel is told under our own number until it answers, and its
  word books the sale, once. The terminal hears 00 then, the channel's refusal, or silence
  as long as there is neither (``advising.py``).
* An adjustment (of an offline sale) and a tip (of any card sale) say the new whole; what is
  more than was taken becomes a payment of its own, which adds to the sale: to its amount in
  the batch, not to its count. A sale is added to once. 25 no such sale in this batch, or one
  that stands no more; 14 another card; 64 not more than it was, or a tip that is not the
  difference; 22 added to already, partly returned, or not known yet.
* None of them is reversed or voided (reference ``pos_protocol.md`` §3 has no such row): money
  goes back by a refund (退货) of the sale, or of the addition under its own number.
"""

from dataclasses import replace
from typing import Final

from channels.card import CardAdvice, CardData
from domain.clock import Clock
from domain.errors import Conflict
from domain.payment import (
    ADJUSTMENT_METHOD,
    OFFLINE_METHOD,
    TIP_METHOD,
    Payment,
    Status,
)
from domain.settle import has_refunds
from gateway.advices import AdviceMemory
from gateway.channel_requests import ADVICE_ACTIONS
from gateway.draft import Draft
from gateway.holds import next_taking
from gateway.logs import Log
from gateway.payments import Payments
from gateway.pos.advising import Advising, taken
from gateway.pos.card_drafts import card_draft
from gateway.pos.exchange import Exchange
from gateway.pos.originals import find_original, is_of_open_batch, payment_under, refuse_unless
from gateway.pos.translate import RefusedError
from gateway.store.port import PaymentStore
from pos_protocol.response_codes import FORMAT_ERROR, NO_ORIGINAL, NOT_ALLOWED, OTHER_AMOUNT
from signing.keywrap import Sealer

_AUTHORISED_BY: Final = slice(16, 29)
"""61.4 and 61.5: how the counter got its approval, and from whom."""
_ADDED_TO: Final = {
    ADJUSTMENT_METHOD: frozenset({OFFLINE_METHOD}),
    TIP_METHOD: frozenset({"card", OFFLINE_METHOD}),
}


class OfflineSales:
    """0220 with 60.1 = 30, 32 and 34."""

    def __init__(
        self,
        *,
        store: PaymentStore,
        payments: Payments,
        sealer: Sealer,
        clock: Clock,
        log: Log,
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._memory = AdviceMemory(sealer)
        self._advising = Advising(
            store=store, payments=payments, sealer=sealer, clock=clock, log=log
        )

    async def offline_sale(self, exchange: Exchange) -> bytes | None:
        """离线结算: the goods are gone, the channel is told."""
        return await self._advising.advise(exchange, self._sold, NOT_ALLOWED)

    async def adjustment(self, exchange: Exchange) -> bytes | None:
        """结算调整: an offline sale came to more."""
        return await self._advising.advise(exchange, self._adjusted, NOT_ALLOWED)

    async def tip(self, exchange: Exchange) -> bytes | None:
        """小费: a sale, online or offline, and its tip."""
        return await self._advising.advise(exchange, self._tipped, NOT_ALLOWED)

    async def _sold(self, exchange: Exchange) -> Draft:
        message = exchange.message
        said = CardAdvice(
            auth_code=message.text(38), authorised_by=message.text(61)[_AUTHORISED_BY]
        )
        return self._told(exchange, card_draft(exchange, self._sealer, OFFLINE_METHOD), said)

    async def _adjusted(self, exchange: Exchange) -> Draft:
        return await self._addition(exchange, ADJUSTMENT_METHOD)

    async def _tipped(self, exchange: Exchange) -> Draft:
        return await self._addition(exchange, TIP_METHOD)

    async def _addition(self, exchange: Exchange, method: str) -> Draft:
        """The payment of what is added, or what keeps it from being one."""
        draft = card_draft(exchange, self._sealer, method)
        sale = await find_original(exchange, self._store, self._sealer)
        base_fen = sale.standing.captured_fen
        added_fen = draft.amount_fen - base_fen
        takes = None
        if not await self._is_known(exchange):
            _refuse_original(exchange, sale, method)
            if added_fen <= 0:
                raise RefusedError(OTHER_AMOUNT, "not more than it was: refund the difference")
            if method == TIP_METHOD and _tip_fen(exchange) != added_fen:
                raise RefusedError(OTHER_AMOUNT, "the tip is not what is added")
            try:
                takes = await next_taking(self._store, sale.order.id)
            except Conflict as conflict:
                if not await self._is_known(exchange):
                    raise taken(conflict, NOT_ALLOWED) from None
        message, order = exchange.message, sale.order
        said = CardAdvice(
            auth_code=message.text(38),
            authorised_by=message.text(61)[_AUTHORISED_BY],
            original_no=order.channel_order_no,
            original_at_ms=sale.standing.paid_at_ms or order.created_at_ms,
            original_reference=sale.standing.channel_reference,
            base_fen=base_fen,
        )
        draft = replace(draft, amount_fen=added_fen, takes=takes, account_id=order.account_id)
        return self._told(exchange, draft, said, order.order_key.rpartition("-")[2])

    def _told(
        self, exchange: Exchange, draft: Draft, advice: CardAdvice, adds_to: str = ""
    ) -> Draft:
        """The same draft as an advice, with nothing of the card that may not be kept."""
        read = draft.card
        if read is None:
            raise ValueError("an advice without a card")
        card = CardData(
            pan=read.pan,
            entry_mode=read.entry_mode,
            expiry=read.expiry,
            sequence=read.sequence,
        )
        return replace(
            draft,
            card=card,
            action=ADVICE_ACTIONS[draft.method],
            advice=advice,
            details_json=self._memory.details(
                draft.merchant_no, draft.order_key, card, advice, adds_to
            ),
        )

    async def _is_known(self, exchange: Exchange) -> bool:
        """Whether this message's number is taken: a repeat is answered, whatever became since."""
        return await payment_under(exchange.order_key, exchange, self._store) is not None


def _refuse_original(exchange: Exchange, sale: Payment, method: str) -> None:
    """Raise 25 and 22 for what cannot be added to."""
    if sale.order.method not in _ADDED_TO[method]:
        raise RefusedError(NO_ORIGINAL, "the original is no sale that this adds to")
    if not is_of_open_batch(exchange, sale):
        raise RefusedError(NO_ORIGINAL, "the sale is of another batch")
    refuse_unless(sale, Status.SUCCEEDED)
    if has_refunds(sale.standing):
        raise RefusedError(NOT_ALLOWED, "a part of the sale was returned")


def _tip_fen(exchange: Exchange) -> int:
    digits = exchange.message.text(48)
    if not (digits.isascii() and digits.isdigit()):
        raise RefusedError(FORMAT_ERROR, "F48 is no amount")
    return int(digits)
