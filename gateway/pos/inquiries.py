"""What became of a sale: for a terminal that heard nothing. Private extensions.

Rules:

* The answer's F39 says only that the question was understood; F62 says paid, not paid or
  still asking (``pos_protocol/fields/payment_status.py``), and the MAC covers it.
* "Never seen" is a promise: the sale's number is taken before it is said, so that a sale
  that is still under way is refused when it comes.
* An order whose code the terminal showed is asked about under the same number.
* A query by the payer's code means the newest sale of this batch with that code; one by
  voucher number names its sale outright.
"""

from typing import Final

import orjson

from channels.codes import normalise
from domain.clock import Clock
from domain.doors import SCREEN_DOOR
from domain.errors import Unavailable
from domain.ids import IdSource
from domain.payment import Payment, Status
from domain.refund import Refund, RefundStatus
from gateway.events.told import Seen, as_it_is
from gateway.payments import Payments
from gateway.pos.exchange import Exchange
from gateway.pos.originals import key_of_voucher, named_original, original_key, payment_under
from gateway.pos.refused_numbers import (
    HOLD_VOID_METHOD,
    REFUSED_METHOD,
    RETURN_METHOD,
    refused_order,
)
from gateway.pos.translate import RefusedError, response_code, stamped
from gateway.store.port import Store, pos_refund_number
from pos_protocol.fields.payment_status import PaymentState, PaymentStatus, build_payment_status
from pos_protocol.fields.scan_info import parse_scan_info
from pos_protocol.response_codes import APPROVED, NO_ORIGINAL
from pos_protocol.transactions import batch_of
from signing.keywrap import Sealer

_TRIES: Final = 5


class Inquiries:
    """支付结果查询 and 扫码查询."""

    def __init__(
        self,
        *,
        store: Store,
        payments: Payments,
        sealer: Sealer,
        clock: Clock,
        ids: IdSource,
        seen: Seen = as_it_is,
    ) -> None:
        """``seen`` shows an order that any wallet may pay as its merchant sees it."""
        self._store = store
        self._seen_by_merchant = seen
        self._payments = payments
        self._sealer = sealer
        self._clock = clock
        self._ids = ids

    async def status(self, exchange: Exchange) -> bytes:
        """The sale, void or refund that F61 names."""
        return await self._of(exchange, original_key(exchange, named_original(exchange)))

    async def _of(self, exchange: Exchange, key: str) -> bytes:
        refund = await self._refund(exchange, key)
        if refund is not None:
            return self._told(exchange, status_of_refund(refund), refund.order.id)
        payment = await self._seen(exchange, key)
        if payment is None:
            return self._told(exchange, PaymentStatus(PaymentState.NEVER_SEEN), self._ids.new())
        status = status_of(payment)
        if payment.order.method == RETURN_METHOD:
            # it came, and its refund is about to be begun, or has been meanwhile
            refund = await self._refund(exchange, key)
            asking = PaymentStatus(PaymentState.ASKING)
            status = asking if refund is None else status_of_refund(refund)
        elif payment.order.method == HOLD_VOID_METHOD:
            status = await self._of_a_hold_void(payment)
        return self._told(exchange, status, payment.order.id)

    async def _refund(self, exchange: Exchange, key: str) -> Refund | None:
        merchant_no = exchange.known.merchant.merchant_no
        return await self._store.refund_by_number(merchant_no, pos_refund_number(key))

    async def _of_a_hold_void(self, void: Payment) -> PaymentStatus:
        """Whether the hold that this void named is released: "paid" means that it is."""
        hold_id = str(orjson.loads(void.order.details_json)["hold"])
        hold = await self._store.payment(hold_id)
        if hold is None or hold.standing.parked_reason:
            return PaymentStatus(PaymentState.ASKING)
        match hold.standing.status:
            case Status.CLOSED | Status.FAILED:
                return PaymentStatus(PaymentState.PAID, APPROVED)
            case Status.AUTHORIZED:
                return PaymentStatus(PaymentState.NOT_PAID)
            case _:
                return PaymentStatus(PaymentState.ASKING)

    async def qr_query(self, exchange: Exchange) -> bytes:
        """The sale that F59 names, by voucher number or by the payer's code."""
        info = parse_scan_info(exchange.message.text(59))
        if info.voucher:
            key = key_of_voucher(info.voucher)
            if not key.startswith(f"{exchange.message.text(41)}-"):
                raise RefusedError(NO_ORIGINAL, "no voucher number of this terminal")
            return await self._of(exchange, key)
        found = await self._by_code(exchange, info.code)
        if found is None:
            raise RefusedError(NO_ORIGINAL, "no sale of this batch with this code")
        return await self._of(exchange, found)

    async def _by_code(self, exchange: Exchange, code: str) -> str | None:
        """The newest sale of this batch with this code, by its order key."""
        token = self._sealer.token(normalise(code).encode())
        message = exchange.message
        return await self._store.order_key_by_token(
            exchange.known.merchant.merchant_no,
            f"{message.text(41)}-{batch_of(message)}-",
            token,
        )

    async def _seen(self, exchange: Exchange, key: str) -> Payment | None:
        """The payment of a key; ``None`` when there was none and the key is taken now."""
        shown = await self._shown(exchange, key)
        if shown is not None:
            return shown
        found = await self._sold(exchange, key)
        # one that came while its number was being taken: whoever made it looks, too
        return found if found is not None else await self._shown(exchange, key)

    async def _shown(self, exchange: Exchange, key: str) -> Payment | None:
        """The order whose code was shown under a number."""
        merchant_no = exchange.known.merchant.merchant_no
        order = await self._store.payment_by_order(merchant_no, SCREEN_DOOR, key)
        if order is None:
            return None
        exchange.payment_id = order.order.id
        return await self._seen_by_merchant(order)

    async def _sold(self, exchange: Exchange, key: str) -> Payment | None:
        for _ in range(_TRIES):
            payment = await payment_under(key, exchange, self._store)
            if payment is not None:
                exchange.payment_id = payment.order.id
                return payment if payment.order.method != REFUSED_METHOD else None
            order = refused_order(exchange, key, self._ids, self._clock.now_ms())
            if await self._payments.refuse_beforehand(order):
                return None
        raise Unavailable("the store refused a number that it does not show")

    def _told(self, exchange: Exchange, status: PaymentStatus, reference: str) -> bytes:
        fields = stamped(self._clock.now_ms(), APPROVED, reference[-12:])
        fields[62] = build_payment_status(status)
        return exchange.reply(fields)


def status_of_refund(refund: Refund) -> PaymentStatus:
    """What a terminal is told of a void or refund: "paid" means that the payer has the money."""
    match refund.standing.status:
        case RefundStatus.SUCCEEDED:
            return PaymentStatus(PaymentState.PAID, APPROVED)
        case RefundStatus.FAILED:
            return PaymentStatus(PaymentState.NOT_PAID)
        case RefundStatus.CREATED | RefundStatus.SUBMITTED | RefundStatus.UNKNOWN:
            return PaymentStatus(PaymentState.ASKING)


def status_of(payment: Payment) -> PaymentStatus:
    """What a terminal is told of a sale, and the F39 that it had or would have had."""
    standing = payment.standing
    match standing.status:
        case Status.SUCCEEDED | Status.AUTHORIZED if not standing.parked_reason:
            kept_fen = standing.captured_fen - standing.returned_fen
            if 0 < kept_fen <= standing.refunding_fen:
                return PaymentStatus(PaymentState.ASKING)  # the channel may refuse the return
            kept = standing.status is Status.AUTHORIZED or kept_fen > 0
            state = PaymentState.PAID if kept else PaymentState.NOT_PAID
        case Status.FAILED | Status.REVERSING | Status.REVERSED | Status.CLOSED:
            state = PaymentState.NOT_PAID
        case _:
            return PaymentStatus(PaymentState.ASKING)
    return PaymentStatus(state, response_code(payment))
