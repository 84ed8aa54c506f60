"""Payments and refunds moved through the domain into a store, as the gateway moves them."""

from collections.abc import Sequence
from typing import Any

from domain.payment import UNSETTLED, Event, Payment
from domain.refund import (
    REFUND_FINAL,
    Refund,
    RefundEvent,
    RefundHappened,
    RefundOrder,
    RefundStanding,
    RefundStatus,
    RefundStep,
    parked_refund,
    refund_step,
    reserve,
)
from domain.settle import Happened, Step, parked, step
from gateway.http.answers import payment_dict, refund_dict
from gateway.notices import NoticeWriter
from gateway.sources import RandomIds
from gateway.store.port import (
    Advance,
    RefundAdvance,
    RefundClaim,
    RefundClaimed,
    Store,
)
from tests.support.payments import sample_claim

URL = "https://shop.example/hook"


def notice_writer() -> NoticeWriter:
    return NoticeWriter(ids=RandomIds(), render_payment=payment_dict, render_refund=refund_dict)


class Shop:
    """A merchant's payments in a store; every move is checked to have been taken."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.count = 0
        self._notices = notice_writer()

    async def submitted(self, **order: object) -> Payment:
        self.count += 1
        claim = sample_claim(self.count, **({"notify_url": URL} | order))  # type: ignore[arg-type]
        assert await self.store.claim(claim)
        return Payment(claim.order, claim.standing)

    async def move(self, payment: Payment, *events: Event) -> Payment:
        for event in events:
            moved = step(payment, Happened(event=event, at_ms=7, paid_at_ms=0))
            assert moved is not None
            payment = await self._write(payment, moved, event)
        return payment

    async def park(self, payment: Payment, event: Event, reason: str = "why") -> Payment:
        return await self._write(payment, parked(payment, reason), event)

    async def _write(self, payment: Payment, moved: Step, event: Event) -> Payment:
        after = Payment(payment.order, moved.standing)
        is_open = moved.standing.status in UNSETTLED and not moved.standing.parked_reason
        change = Advance(
            payment_id=payment.order.id,
            merchant_no=payment.order.merchant_no,
            previous=payment.standing.status,
            event=event,
            standing=moved.standing,
            at_ms=7,
            due_at_ms=9_000 if is_open else None,
            account_id=payment.order.account_id,
            postings=moved.postings,
            notice=self._notices.of_payment(after, moved.notice, 7) if moved.notice else None,
        )
        assert await self.store.advance(change)
        return after

    async def refunded(
        self, payment: Payment, amount_fen: int, *events: RefundEvent
    ) -> tuple[Payment, Refund]:
        self.count += 1
        order = RefundOrder(
            id=f"ref_{self.count:028}",
            payment_id=payment.order.id,
            merchant_no=payment.order.merchant_no,
            merchant_refund_no=f"R{self.count}",
            fingerprint=b"f" * 32,
            amount_fen=amount_fen,
            currency="CNY",
            reason="",
            channel=payment.order.channel,
            account_id=payment.order.account_id,
            channel_refund_no=f"RF{self.count:030}",
            created_at_ms=7,
        )
        reserved = reserve(payment, amount_fen)
        assert reserved is not None
        refund = Refund(order, RefundStanding(status=RefundStatus.SUBMITTED, version=1))
        after = Payment(payment.order, reserved)
        claim = RefundClaim(refund=refund, payment=after, due_at_ms=9_000)
        assert await self.store.claim_refund(claim) is RefundClaimed.WON
        for event in events:
            after, refund = await self.move_refund(after, refund, event)
        return after, refund

    async def move_refund(
        self, payment: Payment, refund: Refund, event: RefundEvent
    ) -> tuple[Payment, Refund]:
        moved = refund_step(payment, refund, RefundHappened(event=event, at_ms=7))
        assert moved is not None
        return await self._write_refund(payment, refund, moved, event)

    async def park_refund(self, payment: Payment, refund: Refund) -> tuple[Payment, Refund]:
        moved = parked_refund(refund, "refund_not_answered")
        return await self._write_refund(payment, refund, moved, RefundEvent.ANSWER_LOST)

    async def _write_refund(
        self, payment: Payment, refund: Refund, moved: RefundStep, event: RefundEvent
    ) -> tuple[Payment, Refund]:
        after = Refund(refund.order, moved.standing)
        told = Payment(payment.order, moved.payment or payment.standing)
        over = moved.standing.status in REFUND_FINAL or moved.standing.parked_reason
        change = RefundAdvance(
            refund=refund.order,
            previous=refund.standing.status,
            event=event,
            standing=moved.standing,
            at_ms=7,
            due_at_ms=None if over else 9_000,
            payment=moved.payment,
            postings=moved.postings,
            notice=self._notices.of_refund(told, after, moved.notice, 7) if moved.notice else None,
        )
        assert await self.store.advance_refund(change)
        return told, after


async def all_of(pages: Any) -> Sequence[Any]:
    """Everything that an asynchronous iterator gives."""
    return [one async for one in pages]
