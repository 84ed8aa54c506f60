"""Voids and refunds from a terminal: both give money back, as refunds of the gateway.

Rules:

* A void returns the whole of a sale of the open batch and this day; a refund a part or
  all of one of the last thirty days, several times if need be, at any till of the merchant
  (``originals.py``). Both are a refund under
  the message's own number (terminal, batch, trace), reserved by compare-and-set before
  anything is sent: together they never exceed the capture.
* 25 no original that fits, or none that holds money; 64 a void of another amount; 61 more
  than is left; 22 too late, or an original whose outcome is not known yet; 14 another card.
* 00 means that the payer has the money. What the channel has not answered within the till's
  patience, or a person must decide, is answered with silence: the gateway finishes it, and
  a yes or no before that could turn out untrue. A refund that is sent again is told the
  end; a void is reversed (22, ``reversals.py``), and an inquiry says how its sale stands.
"""

from collections.abc import Awaitable, Callable
from typing import Final, assert_never

from domain.clock import Clock, beijing_texts
from domain.errors import Conflict, NotFound, Unavailable, Unprocessable
from domain.ids import IdSource
from domain.payment import ADVICE_METHODS, COMPLETION_METHOD, FINAL, Payment, Status
from domain.refund import REFUND_FINAL, Refund, RefundStatus
from gateway.holds import next_taking
from gateway.logs import Log
from gateway.payments import Payments
from gateway.pos.exchange import Exchange
from gateway.pos.originals import (
    find_at_any_till,
    find_original,
    is_of_open_batch,
    payment_under,
    refuse_unless,
)
from gateway.pos.refused_numbers import REFUSED_METHOD, RETURN_METHOD, refused_order
from gateway.pos.teller import KeptReplies, Teller
from gateway.pos.translate import (
    F39_OF_REASON,
    RefusedError,
    amount_fen,
    fingerprint_text,
    organisation,
    stamped,
)
from gateway.refunds import RefundAsk, Refunds
from gateway.store.port import PaymentStore, Store, pos_refund_number
from pos_protocol.response_codes import (
    APPROVED,
    DUPLICATE,
    NO_ORIGINAL,
    NOT_ALLOWED,
    NOT_SUPPORTED,
    OTHER_AMOUNT,
    OVER_LIMIT,
)
from pos_protocol.transactions import TransactionKind
from signing.keywrap import Sealer

REFUND_DAYS: Final = 30
"""A sale that is older is refused with 22 (reference §6)."""
_DAY_MS: Final = 86_400_000
_TRIES: Final = 50
_K = TransactionKind
_METHODS: Final = {
    _K.VOID: ("card",),
    _K.COMPLETION_VOID: (COMPLETION_METHOD,),
    _K.REFUND: ("card", COMPLETION_METHOD, *ADVICE_METHODS),
    _K.QR_VOID: ("auth_code",),
    _K.QR_REFUND: ("auth_code",),
}
"""By kind of return: what paid the original."""
_UNPAID: Final = FINAL - {Status.SUCCEEDED}
Find = Callable[[Exchange, PaymentStore, Sealer], Awaitable[Payment]]
Refuse = Callable[[Exchange, Payment, int], Awaitable[None]]


class Returns:
    """0200 消费撤销 and 0220 退货, of cards, codes and completions."""

    def __init__(
        self,
        *,
        store: Store,
        payments: Payments,
        refunds: Refunds,
        sealer: Sealer,
        clock: Clock,
        ids: IdSource,
        log: Log,
        patience_s: float,
    ) -> None:
        self._store = store
        self._replies = KeptReplies(store, sealer)
        self._payments = payments
        self._refunds = refunds
        self._sealer = sealer
        self._clock = clock
        self._ids = ids
        self._log = log
        self._patience_s = patience_s

    async def void(self, exchange: Exchange) -> bytes | None:
        """The whole of a sale of this batch goes back."""
        return await self._give_back(exchange, "void", find_original, self._refuse_void)

    async def refund(self, exchange: Exchange) -> bytes | None:
        """A part or all of an earlier sale goes back."""
        return await self._give_back(exchange, "refund", find_at_any_till, self._refuse_refund)

    async def _give_back(
        self, exchange: Exchange, reason: str, find: Find, refuse: Refuse
    ) -> bytes | None:
        """One return, new or repeated; ``refuse`` raises what keeps a new one from beginning."""
        fingerprint = self._sealer.token(fingerprint_text(exchange.message))
        kept = await self._replies.find(exchange, fingerprint)
        if kept is not None:
            return kept
        ask = self._ask(exchange, reason, fingerprint)
        payment = await find(exchange, self._store, self._sealer)
        _refuse_other_kind(exchange, payment)
        if await self._known(exchange) is None:
            refuse_unless(payment, Status.SUCCEEDED)
            await refuse(exchange, payment, ask.amount_fen)
            await self._take_number(exchange, fingerprint)
        return await self._return(exchange, payment, ask)

    async def prevent(self, exchange: Exchange) -> bool:
        """Take the number of a void that may still come; ``False`` when it was begun.

        A void begins by taking its number: who has it first decides. Where the void has it and has
        no refund yet, one is born failed; of a sale that ended unpaid none can begin any more. A
        reversal that names no such sale proves nothing of the void that has the number.

        Raises:
            RefusedError: 22, the void has its number, and what this reversal names is no paid sale.
        """
        for _ in range(_TRIES):
            known = await self._known(exchange)
            if known is not None:
                return known.standing.status is RefundStatus.FAILED
            if await self._has_taken_number(exchange):
                return True
            try:
                payment = await find_original(exchange, self._store, self._sealer)
                _refuse_other_kind(exchange, payment)
                if payment.standing.status in _UNPAID:
                    return True
                refuse_unless(payment, Status.SUCCEEDED)
            except RefusedError as refused:
                # never 25, which ends a reversal as done: the void may still go through
                raise RefusedError(NOT_ALLOWED, f"its void came: {refused.why}") from None
            ask = self._ask(exchange, "reversed before it came", b"reversed before it came")
            if await self._refunds.refuse_beforehand(payment, ask):
                return True
        raise Unavailable("the sale is being changed too fast: send the reversal again")

    async def _has_taken_number(self, exchange: Exchange) -> bool:
        """Whether the number of a void that did not come is taken, now or before: none comes."""
        key, now_ms = exchange.order_key, self._clock.now_ms()
        if await self._payments.refuse_beforehand(refused_order(exchange, key, self._ids, now_ms)):
            return True
        own = await payment_under(key, exchange, self._store)
        return own is not None and own.order.method == REFUSED_METHOD

    async def _known(self, exchange: Exchange) -> Refund | None:
        merchant_no = exchange.known.merchant.merchant_no
        number = pos_refund_number(exchange.order_key)
        return await self._store.refund_by_number(merchant_no, number)

    def _ask(self, exchange: Exchange, reason: str, fingerprint: bytes) -> RefundAsk:
        return RefundAsk(
            merchant_refund_no=pos_refund_number(exchange.order_key),
            amount_fen=amount_fen(exchange.message),
            reason=reason,
            fingerprint=fingerprint,
        )

    async def _take_number(self, exchange: Exchange, fingerprint: bytes) -> None:
        """Claim the message's own number among the payments, as an inquiry does.

        So either the inquiry finds it, and never says that it did not come, or it is refused.

        Raises:
            RefusedError: 94, the number is a sale's, or an inquiry was told "never seen".
        """
        key = exchange.order_key
        own = await payment_under(key, exchange, self._store)
        if own is None:
            order = refused_order(
                exchange,
                key,
                self._ids,
                self._clock.now_ms(),
                method=RETURN_METHOD,
                fingerprint=fingerprint,
            )
            if await self._payments.refuse_beforehand(order):
                return
            own = await payment_under(key, exchange, self._store)
        if own is None:
            raise Unavailable("the store refused a number that it does not show")
        if (own.order.method, own.order.fingerprint) != (RETURN_METHOD, fingerprint):
            raise RefusedError(DUPLICATE, "this number is taken")

    async def _refuse_refund(self, exchange: Exchange, payment: Payment, amount: int) -> None:
        """Raise 22 for a sale of long ago, and while the same refund from here is not over.

        Its cashier heard silence, and would give the money back twice. A repeat of that very
        message is no second one.
        """
        own = pos_refund_number(f"{exchange.message.text(41)}-")
        for refund in await self._store.refunds(payment.order.id):
            is_open = refund.standing.status not in REFUND_FINAL
            number = refund.order.merchant_refund_no
            is_own = number.startswith(own) and number != pos_refund_number(exchange.order_key)
            if is_open and is_own and refund.order.amount_fen == amount:
                raise RefusedError(NOT_ALLOWED, "the same refund is on its way already")
        if self._clock.now_ms() - payment.order.created_at_ms > REFUND_DAYS * _DAY_MS:
            raise RefusedError(NOT_ALLOWED, f"the sale is older than {REFUND_DAYS} days")

    async def _refuse_void(self, exchange: Exchange, payment: Payment, amount: int) -> None:
        """Raise 25 for a sale of another batch or day, or with a tip; 64 for another amount."""
        order = payment.order
        if not is_of_open_batch(exchange, payment):
            raise RefusedError(NO_ORIGINAL, "the sale is of another batch: refund it")
        if beijing_texts(order.created_at_ms)[1] != beijing_texts(self._clock.now_ms())[1]:
            raise RefusedError(NO_ORIGINAL, "the sale is of another day: refund it")
        if amount != order.amount_fen:
            raise RefusedError(OTHER_AMOUNT, "a void returns the whole sale")
        try:
            await next_taking(self._store, order.id)
        except Conflict:
            raise RefusedError(NO_ORIGINAL, "the sale has a tip: refund both") from None

    async def _return(self, exchange: Exchange, payment: Payment, ask: RefundAsk) -> bytes | None:
        teller = Teller(exchange, ask.fingerprint, self._sealer, self._clock)
        try:
            refund, _ = await self._refunds.create(payment.order.merchant_no, payment.order.id, ask)
        except Unprocessable as error:
            code = NOT_SUPPORTED if error.code == "refund_not_supported" else OVER_LIMIT
            raise RefusedError(code, error.message) from None
        except (Conflict, NotFound) as error:
            code = DUPLICATE if error.code == "refund_conflict" else NO_ORIGINAL
            raise RefusedError(code, error.message) from None
        try:
            refund = await self._refunds.wait(refund, self._patience_s)
            return await self._told(exchange, refund, teller, organisation(payment))
        except Unavailable as error:
            self._log.error("silent", payment_id=exchange.payment_id, reason=error.message)
            return None

    async def _told(
        self, exchange: Exchange, refund: Refund, teller: Teller, card_organisation: str
    ) -> bytes | None:
        """The reply of a refund as it stands at the end of the till's patience, kept first."""
        standing, now_ms = refund.standing, self._clock.now_ms()
        match standing.status:
            case RefundStatus.SUCCEEDED:
                code = APPROVED
            case RefundStatus.FAILED:
                decline = standing.decline
                code = NO_ORIGINAL if decline is None else F39_OF_REASON[decline.reason]
            case RefundStatus.CREATED | RefundStatus.SUBMITTED | RefundStatus.UNKNOWN:
                self._log.error(
                    "silent", payment_id=exchange.payment_id, reason="the refund is not over yet"
                )
                return None
            case _:
                assert_never(standing.status)
        fields = stamped(now_ms, code, refund.order.id[-12:])
        if code == APPROVED:
            fields[63] = card_organisation
        return await self._replies.keep(exchange, teller, teller.kept(fields, now_ms))


def _refuse_other_kind(exchange: Exchange, payment: Payment) -> None:
    """Raise 25 where the original is not of the kind that this message returns, or its void did."""
    transaction = exchange.transaction
    kind = None if transaction is None else transaction.original or transaction.kind
    if kind is not None and payment.order.method not in _METHODS[kind]:
        raise RefusedError(NO_ORIGINAL, f"a {kind.value} does not return this original")
