"""What a channel with connections of its own tells by itself: lines that turn, late words.

Rules: a channel has the ability by having the methods of :class:`OwnLine`; ask
:func:`own_line_of`, never the adapter's type. Both callbacks are set before the channel is
started, are called in the event loop, and return at once.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from channels.inbound import PaymentWord, RefundWord

LateWord = PaymentWord | RefundWord


@runtime_checkable
class OwnLine(Protocol):
    """A channel that keeps connections open."""

    def when_line_turns(self, tell: Callable[[bool], None]) -> None:
        """Call ``tell(False)`` when nothing can be sent any more, ``tell(True)`` when it can."""
        ...

    def when_late(self, tell: Callable[[LateWord], None]) -> None:
        """Call ``tell`` with what an answer says that nobody waits for any longer."""
        ...

    def line_statistics(self) -> Sequence[Mapping[str, int]]:
        """Counts of each line, the first one first; the names are the same for all."""
        ...


def own_line_of(channel: object) -> OwnLine | None:
    """The ability of a channel, if it has it."""
    return channel if isinstance(channel, OwnLine) else None
