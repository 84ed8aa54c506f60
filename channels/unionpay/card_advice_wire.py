"""Offline sales, adjustments and tips over a card link: what they say and prove. Pure.

Rules:

* An advice is sent until it is answered, the same bytes but for its MAC: it tells of goods
  that are gone, so there is no 0400 for it (reference ``pos_protocol.md`` §3).
* F4 of an adjustment or a tip is the new whole; F48 of a tip is the tip alone.
* Answers count as a refund's do: a "no" to a repeat is believed only of a host that answers
  repeats alike, for it may be about the first.
"""

from channels.card import CardAction, CardAdvice
from channels.port import Answer, PayRequest, Verdict
from domain.clock import beijing_texts

_NO_ORIGINAL = "0" * 16
_REFERENCE_WIDTH = 12
_A_REPEAT_REFUSED = "a repeat was refused: the first may have been booked"


class Advised:
    """What the answer to an advice must repeat: the whole, where an addition tells it."""

    __slots__ = ("amount_fen", "currency", "order_no")

    def __init__(self, request: PayRequest, advice: CardAdvice) -> None:
        self.order_no = request.order_no
        self.amount_fen = whole_fen(request, advice)
        self.currency = request.currency


def whole_fen(request: PayRequest, advice: CardAdvice) -> int:
    """F4: what is added on top of what was taken."""
    return advice.base_fen + request.amount_fen


def add_advice(fields: dict[int, str | bytes], request: PayRequest, advice: CardAdvice) -> None:
    """What an advice has besides a sale's fields."""
    fields[4] = f"{whole_fen(request, advice):012}"
    if advice.auth_code:
        fields[38] = advice.auth_code
    if advice.original_no:
        day = beijing_texts(advice.original_at_ms)[1]
        fields[61] = advice.original_no[8:20] + day + advice.authorised_by
        fields[37] = advice.original_reference.ljust(_REFERENCE_WIDTH)
    elif advice.authorised_by:
        fields[61] = _NO_ORIGINAL + advice.authorised_by
    if request.action is CardAction.TIP:
        fields[48] = f"{request.amount_fen:012}"


def a_repeat_refused(code: str) -> Answer:
    """A "no" that proves nothing."""
    return Answer(
        verdict=Verdict.UNKNOWN,
        channel_code=code,
        channel_message=_A_REPEAT_REFUSED,
        answered=True,
    )
