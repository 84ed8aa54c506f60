"""What a channel tells us unasked: notifications, read and judged by its adapter.

Rules:

* A channel has the ability by having the methods of :class:`ChannelNotices`
  (as ``channels.port.Refunds``); ask :func:`notices_of`, never the adapter's type.
* :meth:`ChannelNotices.read_notice` verifies over the raw bytes before it reads anything,
  and compares what only it can know (our app id, our merchant number, the seller). The
  gateway compares order, amount and currency, as with any other answer, and books the
  word like the answer to a query: repeated, late or reordered it changes nothing twice.
* A word that the channel's rules forbid to believe by itself has ``ask_first``: the
  gateway asks the channel and books what that says.
* The channel is told "taken" only after the commit. What is not ours to book
  (:class:`OtherNotice`) is taken, so that it does not come for ever.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from channels.port import Answer, RefundAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundRequest:
    """A notification as it came in; the names of ``headers`` are in lower case."""

    method: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundReply:
    """What the channel is answered, in the form that its rules ask for."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentWord:
    """What the channel says of a payment: ``answer`` as if it had been asked."""

    order_no: str
    answer: Answer
    ask_first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundWord:
    """What the channel says of the refund ``refund_no`` of the payment ``order_no``."""

    order_no: str
    refund_no: str
    answer: RefundAnswer
    ask_first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherNotice:
    """Truly the channel's, and nothing that a payment or a refund of ours is moved by."""

    about: str


Word = PaymentWord | RefundWord | OtherNotice


class NoticeRefused(Exception):
    """It is not believed, and nothing is changed by it.

    ``why`` is for the log and holds nothing of the body; ``reply`` is what its sender is
    told (4xx: a probe or a forgery must see a failure).
    """

    def __init__(self, why: str, reply: InboundReply) -> None:
        super().__init__(why)
        self.why = why
        self.reply = reply


@runtime_checkable
class ChannelNotices(Protocol):
    """A channel that tells its merchants what became of payments and refunds."""

    def read_notice(self, request: InboundRequest) -> Word:
        """The verified word; raises :class:`NoticeRefused`, and nothing else."""
        ...

    def taken(self) -> InboundReply:
        """What says: it is booked, do not send it again."""
        ...

    def not_taken(self) -> InboundReply:
        """What says: not now, send it again later."""
        ...


def notices_of(channel: object) -> ChannelNotices | None:
    """The ability to notify of a channel, if it has it."""
    return channel if isinstance(channel, ChannelNotices) else None
