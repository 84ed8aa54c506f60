"""Invented refunds of the sample payments, and the changes that move them."""

from collections.abc import Sequence
from dataclasses import replace

from domain.ledger import Posting, channel_receivable, merchant_payable
from domain.ledger import refund as refund_postings
from domain.payment import Payment, Standing
from domain.refund import (
    Refund,
    RefundEvent,
    RefundOrder,
    RefundStanding,
    RefundStatus,
    reserve,
)
from gateway.store.port import Notice, RefundAdvance, RefundClaim
from tests.support.payments import MERCHANT


def sample_refund_order(
    number: int, payment_id: str, amount_fen: int = 500, **changes: object
) -> RefundOrder:
    """The refund number ``number``; equal numbers share all that is unique."""
    values: dict[str, object] = {
        "id": f"ref_{number:028d}",
        "payment_id": payment_id,
        "merchant_no": MERCHANT,
        "merchant_refund_no": f"R{number}",
        "fingerprint": b"\x01\xfe" * 16,
        "amount_fen": amount_fen,
        "currency": "CNY",
        "reason": '退货 "large"',
        "channel": "unionpay_card",
        "account_id": "a1",
        "channel_refund_no": f"RF{number:030d}",
        "created_at_ms": 3_000 + number,
    }
    return RefundOrder(**(values | changes))  # type: ignore[arg-type]


def sample_refund_claim(
    number: int, payment: Payment, amount_fen: int = 500, **order: object
) -> RefundClaim:
    """A refund with its reservation on ``payment``, as it stands there."""
    reserved = reserve(payment, amount_fen)
    assert reserved is not None, "nothing is left to refund"
    return RefundClaim(
        refund=Refund(
            sample_refund_order(number, payment.order.id, amount_fen, **order),
            RefundStanding(status=RefundStatus.SUBMITTED, version=1),
        ),
        payment=Payment(payment.order, reserved),
        due_at_ms=6_000,
    )


def sample_refund_postings(amount_fen: int) -> tuple[Posting, ...]:
    """A refund of a sample payment in the ledger."""
    receivable = channel_receivable("unionpay_card", "a1")
    return refund_postings(receivable, merchant_payable(MERCHANT), amount_fen, "CNY")


def sample_refund_advance(
    refund: Refund,
    payment: Standing,
    *,
    notice: Notice | None = None,
    postings: Sequence[Posting] | None = None,
) -> RefundAdvance:
    """The refund's money is with the payer."""
    order = refund.order
    return RefundAdvance(
        refund=order,
        previous=refund.standing.status,
        event=RefundEvent.RETURNED,
        standing=replace(
            refund.standing,
            status=RefundStatus.SUCCEEDED,
            version=refund.standing.version + 1,
            done_at_ms=7_000,
            parked_reason="",
        ),
        at_ms=7_000,
        due_at_ms=None,
        payment=replace(
            payment,
            version=payment.version + 1,
            refunding_fen=payment.refunding_fen - order.amount_fen,
            returned_fen=payment.returned_fen + order.amount_fen,
        ),
        postings=sample_refund_postings(order.amount_fen) if postings is None else postings,
        notice=notice,
    )


def sample_refund_parking(refund: Refund, reason: str = "not_answered") -> RefundAdvance:
    """The refund set aside for a person; its payment stays as it is."""
    return RefundAdvance(
        refund=refund.order,
        previous=refund.standing.status,
        event=RefundEvent.ANSWER_LOST,
        standing=replace(
            refund.standing, version=refund.standing.version + 1, parked_reason=reason
        ),
        at_ms=6_500,
        due_at_ms=None,
    )
