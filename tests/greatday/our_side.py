"""Our side: payments and refunds in a store, moved by the domain as the gateway moves them.

Rules: every state is reached by ``domain.settle.step`` and ``domain.refund.refund_step`` with
their postings, so that the ledger can be proved afterwards; times are the story's own.
"""

import asyncio
import random
from collections.abc import Iterable, Sequence
from itertools import islice

from domain.decline import Decline, DeclineReason
from domain.ids import number
from domain.payment import UNSETTLED, Event, Order, Payment, Standing, Status
from domain.refund import (
    Refund,
    RefundEvent,
    RefundHappened,
    RefundOrder,
    RefundStanding,
    RefundStatus,
    refund_step,
    reserve,
)
from domain.settle import Happened, step
from gateway.store.port import (
    Advance,
    Claim,
    RefundAdvance,
    RefundClaim,
    RefundClaimed,
    Store,
)
from tests.greatday.stories import Back, Sale

_AT_ONCE = 400
_MERCHANTS = 20
_NO = Decline(DeclineReason.DECLINED)
_EVENTS: dict[Status, Sequence[Event]] = {
    Status.SUBMITTED: (),
    Status.SUCCEEDED: (Event.PAID,),
    Status.FAILED: (Event.DECLINE,),
    Status.REVERSED: (Event.PAID, Event.UNDO, Event.UNDONE_PAID),
}


class OurBooks:
    """One account's payments in the store."""

    def __init__(self, store: Store, channel: str, account_id: str) -> None:
        self._store = store
        self._channel = channel
        self._account_id = account_id
        self._chance = random.Random(account_id)
        self._made = 0

    async def keep(self, sales: Iterable[Sale]) -> None:
        """All of them, many at a time: the store commits them together."""
        rest = iter(sales)
        while part := list(islice(rest, _AT_ONCE)):
            await asyncio.gather(*map(self._keep, part))

    async def _keep(self, sale: Sale) -> None:
        order = self._order(sale)
        claim = Claim(
            order=order,
            standing=Standing(status=Status.SUBMITTED, version=1),
            event=Event.SUBMIT,
            due_at_ms=sale.made_at_ms + 60_000,
        )
        assert await self._store.claim(claim)
        payment = Payment(order, claim.standing)
        for event in _EVENTS[sale.status]:
            payment = await self._moved(payment, event, sale)
        for back in sale.backs:
            payment = await self._returned(payment, back)

    def _order(self, sale: Sale) -> Order:
        self._made += 1
        return Order(
            id="pay_" + self._number(sale.made_at_ms),
            merchant_no=f"M{self._made % _MERCHANTS:04d}",
            door="api",
            order_key=sale.order_no,
            fingerprint=b"\x00" * 32,
            amount_fen=sale.amount_fen,
            currency="CNY",
            subject="coffee",
            method="card" if self._channel == "unionpay_card" else "auth_code",
            channel=self._channel,
            account_id=self._account_id,
            channel_order_no=sale.order_no,
            terminal_id=f"T{self._made % 500:07d}",
            store_id=f"S{self._made % 50:03d}",
            notify_url="",
            pan_sealed=b"",
            pan_token=b"",
            metadata_json="{}",
            details_json="{}",
            created_at_ms=sale.made_at_ms,
            till_deadline_ms=sale.made_at_ms + 45_000,
        )

    def _number(self, at_ms: int) -> str:
        return number(at_ms, self._chance.randbytes(10))

    async def _moved(self, payment: Payment, event: Event, sale: Sale) -> Payment:
        at_ms = max(sale.made_at_ms, sale.told_at_ms)
        happened = Happened(
            event=event,
            at_ms=at_ms,
            paid_at_ms=sale.told_at_ms,
            decline=_NO if event is Event.DECLINE else None,
        )
        moved = step(payment, happened)
        assert moved is not None
        advance = Advance(
            payment_id=payment.order.id,
            merchant_no=payment.order.merchant_no,
            previous=payment.standing.status,
            event=event,
            standing=moved.standing,
            at_ms=at_ms,
            due_at_ms=at_ms + 60_000 if moved.standing.status in UNSETTLED else None,
            account_id=self._account_id,
            postings=moved.postings,
        )
        assert await self._store.advance(advance)
        return Payment(payment.order, moved.standing)

    async def _returned(self, payment: Payment, back: Back) -> Payment:
        reserved = reserve(payment, back.amount_fen)
        assert reserved is not None
        after = Payment(payment.order, reserved)
        standing = RefundStanding(status=RefundStatus.SUBMITTED, version=1)
        refund = Refund(self._refund_order(payment, back), standing)
        claim = RefundClaim(refund=refund, payment=after, due_at_ms=back.at_ms + 60_000)
        assert await self._store.claim_refund(claim) is RefundClaimed.WON
        event = RefundEvent.RETURNED if back.is_paid else RefundEvent.DECLINE
        decline = None if back.is_paid else _NO
        happened = RefundHappened(event=event, at_ms=back.at_ms, decline=decline)
        moved = refund_step(after, refund, happened)
        assert moved is not None
        assert moved.payment is not None
        advance = RefundAdvance(
            refund=refund.order,
            previous=refund.standing.status,
            event=event,
            standing=moved.standing,
            at_ms=back.at_ms,
            due_at_ms=None,
            payment=moved.payment,
            postings=moved.postings,
        )
        assert await self._store.advance_refund(advance)
        return Payment(payment.order, moved.payment)

    def _refund_order(self, payment: Payment, back: Back) -> RefundOrder:
        return RefundOrder(
            id="ref_" + self._number(back.at_ms),
            payment_id=payment.order.id,
            merchant_no=payment.order.merchant_no,
            merchant_refund_no=back.refund_no,
            fingerprint=b"\x00" * 32,
            amount_fen=back.amount_fen,
            currency="CNY",
            reason="",
            channel=self._channel,
            account_id=self._account_id,
            channel_refund_no=back.refund_no,
            created_at_ms=back.at_ms,
        )
