"""What a channel's words about a refund are worth.

Rules:

* A "no" to what was sent is believed only once the channel says that it knows no such refund:
  one sent before may have been paid out unheard.
* A "yes" moves money only if its amount and its number are those that were asked for.
"""

from collections.abc import Awaitable, Callable

from channels.port import RefundAnswer, RefundRequest, Verdict


async def believed(
    answer: RefundAnswer, ask: Callable[[], Awaitable[RefundAnswer]]
) -> RefundAnswer:
    """The answer to what was sent; where it is a "no", what the channel says when asked again."""
    if answer.verdict is not Verdict.DECLINED:
        return answer
    asked = await ask()
    return answer if asked.not_found else asked


def contradiction(request: RefundRequest, answer: RefundAnswer) -> str:
    """What in a "yes" does not fit the refund; ``""``: nothing, or it is no "yes"."""
    if answer.verdict is not Verdict.SUCCEEDED:
        return ""
    if answer.amount_fen is not None and answer.amount_fen != request.amount_fen:
        return "refund_amount_mismatch"
    if answer.refund_no and answer.refund_no != request.refund_no:
        return "refund_number_mismatch"
    return ""
