"""One call of an adapter that speaks HTTP: built, sent once, read; and what goes wrong in it.

Rules:

* Only what surely never left is ``NOT_SENT``: what could not be built (``unwritable``), and what
  the client says that it did not send. Whatever else goes wrong is ``UNKNOWN``, whoever's fault
  it is: the money may have moved. Cancellation passes through.
* What can be asked again (a query, an undo) is ``UNKNOWN`` even if it never left; its adapter
  says so itself, with :func:`what` for the log.
* A text shown for a fault is ours or the client's, made to be shown; of any other fault, which
  may quote what a payer gave, only the type is told.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from channels.payer_orders import FaceAnswer, OrderAnswer, PayerAnswer
from channels.port import (
    Answer,
    AnswerLost,
    HttpRequest,
    HttpResponse,
    NotSent,
    RefundAnswer,
    Send,
    Verdict,
)
from channels.royalty import RoyaltyAnswer

_A = TypeVar("_A", Answer, RefundAnswer, OrderAnswer, FaceAnswer, RoyaltyAnswer)
_B = TypeVar("_B", Answer, RefundAnswer, OrderAnswer, FaceAnswer, RoyaltyAnswer, PayerAnswer)

QUEUEING_S: Final = 2.0
"""What a call may wait for its turn and its connection, beyond its own time."""
_CALLS_IN_A_ROW: Final = 2


class Unwritable(ValueError):
    """A request that cannot be written; its text is shown, so nothing of a payer's is in it."""


async def call_once(
    kind: type[_A],
    build: Callable[[], HttpRequest],
    send: Send,
    read: Callable[[HttpResponse], _A],
) -> _A:
    """Build a request, send it, and read what it came to; never raises for what goes wrong.

    A ``pay`` hands this coroutine on and does not await it: one less in every payment.
    """
    try:
        request = build()
    except Exception as fault:  # an amount or a text that cannot be written
        return kind(verdict=Verdict.NOT_SENT, unwritable=True, channel_message=what(fault))
    try:
        return read(await send(request))
    except Exception as fault:
        return unanswered(kind, fault)


def unanswered(kind: type[_B], fault: Exception) -> _B:
    """What stands in the place of an answer after a fault in sending, or in reading."""
    verdict = Verdict.NOT_SENT if isinstance(fault, NotSent) else Verdict.UNKNOWN
    return kind(verdict=verdict, channel_message=what(fault))


def what(fault: Exception) -> str:
    """A text for the log; a defect of ours shows its type alone."""
    shown = isinstance(fault, NotSent | AnswerLost | Unwritable)
    return str(fault) if shown else type(fault).__name__


def longest_s(call_s: float) -> float:
    """``timeout_s`` of a channel whose calls take ``call_s`` each: some need a query with them."""
    return _CALLS_IN_A_ROW * (call_s + QUEUEING_S)
