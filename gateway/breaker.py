"""When an account's channel is taken to be away, and how its return is found out.

A pure state machine, fed with what calls came to; ``now_s`` is monotonic time.

Rules:

* *Closed*: everything goes through. After ``failures`` failed calls in a row that took
  a second or more, it *opens*: a burst that our own bounds refuse while others are
  being answered opens nothing.
* *Open*: nothing goes through for ``open_s``. Then it is *half open*: one call is the
  probe. Answered, it closes the breaker; failed, it opens it for ``open_s`` again. A
  probe that is not heard of for ``open_s`` makes way for the next: one that was sent
  just before the channel came back must not hold it off until its time-out.
* An answer closes it whenever it comes, also one to a call begun before it opened: the
  channel speaks. A failure counts only for a call begun after the last answer (and
  after the last probe was let through), so that the time-outs of an outage that is
  over do not open it once more: a call notes ``mark`` when it begins.
* A channel with a line of its own says when the line is gone: it opens then, whatever calls
  came to. When the line is back a probe may go at once; only an answer closes it.
* A call *failed* when nothing was sent or its outcome is unknown, also when the channel
  itself says "system error": a channel that can tell nobody what became of a payment is
  away. "Not found" is an answer, and so is every verified word that no retry would mend;
  what could not be written says nothing of a channel.
"""

import enum
from typing import Final

from channels.card_abilities import BalanceAnswer
from channels.port import Answer, RefundAnswer, UndoAnswer, Verdict

_ROW_S: Final = 1.0


class BreakerState(enum.Enum):
    """Where a breaker stands."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


CLOSED: Final = BreakerState.CLOSED
HALF_OPEN: Final = BreakerState.HALF_OPEN
OPEN: Final = BreakerState.OPEN
_UNKNOWN: Final = Verdict.UNKNOWN
_NOT_SENT: Final = Verdict.NOT_SENT
"""Looked up with every call: a global is, a member of an enumeration is not, cheap."""


class Breaker:
    """One account's."""

    __slots__ = ("_failed", "_failures", "_open_s", "_retry_s", "_row_s", "mark", "state")

    def __init__(self, *, failures: int, open_s: float) -> None:
        self.state = CLOSED
        self.mark = 0
        """Rises with every answer and every probe."""
        self._failures = failures
        self._open_s = open_s
        self._failed = 0
        self._row_s = 0.0
        """When the first of the failures in a row came."""
        self._retry_s = 0.0
        """When the next probe may go, while it is not closed."""

    def lets_through(self, now_s: float) -> bool:
        """Whether a call may be made now; takes nothing."""
        return self.state is CLOSED or now_s >= self._retry_s

    def admit(self, now_s: float) -> bool:
        """Let a call through, as the probe where it is not closed."""
        if self.state is CLOSED:
            return True
        if now_s < self._retry_s:
            return False
        self.state = HALF_OPEN
        self.mark += 1
        self._retry_s = now_s + self._open_s
        return True

    def answered(self) -> None:
        """The channel answered a call."""
        self.mark += 1
        self._failed = 0
        self.state = CLOSED

    def line_lost(self, now_s: float) -> None:
        """Nothing can be sent: no failures need be counted first."""
        self.state = OPEN
        self._retry_s = now_s + self._open_s

    def line_back(self, now_s: float) -> None:
        """What was lost is there again: the next call is the probe, at once."""
        if self.state is not CLOSED:
            self.state = OPEN
            self._retry_s = now_s

    def failed(self, mark: int, now_s: float) -> None:
        """A call failed that noted ``mark`` when it began."""
        if mark != self.mark or self.state is OPEN:
            return
        if self.state is CLOSED:
            if self._failed == 0:
                self._row_s = now_s
            self._failed += 1
            if self._failed < self._failures or now_s - self._row_s < _ROW_S:
                return
        self.state = OPEN
        self._retry_s = now_s + self._open_s


def is_failure(answer: Answer | UndoAnswer | RefundAnswer | BalanceAnswer) -> bool:
    """Whether a call came to nothing that counts as an answer."""
    verdict = answer.verdict
    if verdict is not _UNKNOWN and verdict is not _NOT_SENT:
        return False
    if answer.answered or says_nothing(answer):
        return False
    return isinstance(answer, (UndoAnswer, BalanceAnswer)) or not answer.not_found


def says_nothing(answer: Answer | UndoAnswer | RefundAnswer | BalanceAnswer) -> bool:
    """Whether nothing was sent for what we were given: neither a failure nor an answer."""
    return answer.verdict is _NOT_SENT and not isinstance(answer, UndoAnswer) and answer.unwritable
