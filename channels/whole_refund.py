"""An undo by a refund of the whole, where a channel no longer cancels what was paid. Pure.

Rules: the refund's number is the order's own, so that every repeat is the same refund. The
return of a part is no undo, and only the channel's own yes or no ends one.
"""

from channels.port import PaymentRef, RefundAnswer, RefundRequest, UndoAnswer, Verdict


def whole_refund(paid: PaymentRef) -> RefundRequest:
    """The refund of all of a payment, the same one however often it is asked for."""
    return RefundRequest(
        refund_no=paid.order_no,
        payment=paid,
        amount_fen=paid.amount_fen,
        currency=paid.currency,
        reason="Undone",
        created_at_ms=paid.created_at_ms,
    )


def undone_by(refund: RefundAnswer, whole_fen: int) -> UndoAnswer:
    """What a refund in place of a cancel came to."""
    verdict = refund.verdict
    if verdict not in (Verdict.SUCCEEDED, Verdict.DECLINED):
        verdict = Verdict.UNKNOWN
    if verdict is Verdict.SUCCEEDED and refund.amount_fen not in (None, whole_fen):
        verdict = Verdict.UNKNOWN
    return UndoAnswer(
        verdict=verdict,
        was_paid=True if verdict is Verdict.SUCCEEDED else None,
        channel_code=refund.channel_code,
        channel_message=refund.channel_message,
        answered=refund.answered,
    )
