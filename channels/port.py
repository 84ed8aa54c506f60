"""The port that every channel implements.

Rules:

* Only an explicit, verified, definitive answer may produce ``SUCCEEDED`` or ``DECLINED``. A
  time-out, a 5xx, a bad signature, an unparseable body, an unlisted code: ``UNKNOWN``.
* "Not found" on a query is not ``DECLINED``: a query can overtake a slow payment.
* An :class:`Answer` carries what the channel *says*; the gateway compares it with
  the order. Nothing here touches the database.
* An adapter holds no state of an order. Its number at the channel is made before anything is
  persisted or sent (:meth:`Channel.new_order_no`), and serves every retry, query and undo.
"""

import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from channels.card import CardAction, CardAdvice, CardData, HoldRef
from channels.kept_keys import KeyKeeper
from channels.tls import ClientIdentity
from domain.clock import Clock
from domain.decline import ChannelTexts, DeclineReason
from domain.ids import IdSource
from domain.record import brief, record


class Verdict(enum.Enum):
    """What a call to a channel came to."""

    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    """The channel's own, definitive no."""
    PENDING = "pending"
    """The channel says: the payer is still acting."""
    NOT_SENT = "not_sent"
    """No byte left us: safe to send again."""
    UNKNOWN = "unknown"
    """Sent, no trustworthy answer: query, never pay again."""


class Advice(enum.Enum):
    """What the till should do next."""

    FRESH_CODE = "fresh_code"
    RETRY_SAME = "retry_same"
    CONFIGURATION = "configuration"


@record
class Answer:
    """A channel's answer to pay or query.

    ``amount_fen``, ``currency`` and ``order_no`` are the channel's words (``None``
    and ``""`` where it said none). ``reason`` is set for ``DECLINED``;
    ``channel_code`` is the channel's own code whatever the verdict.
    ``not_found`` marks an ``UNKNOWN`` query answer that says "no such order";
    ``unwritable`` a ``NOT_SENT`` due to what we were given, which says nothing of the channel;
    ``answered`` an ``UNKNOWN`` that the channel itself said, verified: it is not away;
    ``unlisted`` one whose code no table of ours knows: it is counted, and logged by its code;
    ``hopeless`` one that asking again will not change: the undo begins at once.
    ``reference``, ``auth_code``, ``icc_data``, ``card_organisation``: a card's F37, 38, 55, 63.1.
    """

    verdict: Verdict
    amount_fen: int | None = None
    currency: str = ""
    order_no: str = ""
    trade_no: str = ""
    reason: DeclineReason | None = None
    channel_code: str = ""
    channel_message: str = ""
    advice: Advice | None = None
    not_found: bool = False
    unwritable: bool = False
    answered: bool = False
    unlisted: bool = False
    hopeless: bool = False
    paid_at_ms: int = 0
    reference: str = ""
    auth_code: str = ""
    icc_data: bytes = b""
    card_organisation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoAnswer:
    """A channel's answer to cancel: ``SUCCEEDED`` means that it is undone.

    ``was_paid`` is what the channel says: ``True`` the money went back, ``False``
    nothing had been paid, ``None`` it does not tell (a card reversal).
    ``DECLINED`` means that the channel can never undo it: a human must look.
    """

    verdict: Verdict
    was_paid: bool | None = None
    channel_code: str = ""
    channel_message: str = ""
    answered: bool = False
    unlisted: bool = False


@record
class PayRequest:
    """One payment to be made; at most one of ``auth_code`` and ``card`` is set.

    Neither is where the payer completes it. ``original`` is the hold that a ``COMPLETE`` takes
    its money from, ``advice`` what an advice says, which alone is sent again (``repeated``).
    """

    order_no: str
    amount_fen: int
    currency: str
    subject: str
    created_at_ms: int
    auth_code: str = ""
    card: CardData | None = None
    store_id: str = ""
    terminal_id: str = ""
    action: CardAction = CardAction.SALE
    original: HoldRef | None = None
    advice: CardAdvice | None = None
    repeated: bool = False

    def __repr__(self) -> str:
        return f"PayRequest(order_no={self.order_no!r}, amount_fen={self.amount_fen})"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRef:
    """A payment made before, named as its channel knows it.

    ``trade_no`` is the channel's own number where it gave one; ``entry_mode`` and
    ``reference`` repeat F22 and F37 of a card sale (``""`` otherwise). ``action`` is what
    the payment did, so that an undo is of that kind; ``original_no`` is the order number
    of the hold that a ``COMPLETE`` took (``""`` otherwise). ``paid_at_ms`` is when the
    channel took the money, by its own clock where it said (0: not known). ``method`` is the
    API's word for how it was to be paid (``auth_code``, ``qr``, ``jsapi``, ``face`` …).
    """

    order_no: str
    amount_fen: int
    currency: str
    created_at_ms: int
    trade_no: str = ""
    entry_mode: str = ""
    reference: str = ""
    action: CardAction = CardAction.SALE
    original_no: str = ""
    paid_at_ms: int = 0
    method: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequest:
    """A refund of ``amount_fen`` of a payment, under a number that serves every repeat.

    ``repeated``: it may have been sent before. What is sent never depends on it; a channel
    that cannot be asked reads a "no" with more care.
    """

    refund_no: str
    payment: PaymentRef
    amount_fen: int
    currency: str
    reason: str
    created_at_ms: int
    repeated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundAnswer:
    """A channel's answer to a refund, or to a question about one.

    ``SUCCEEDED``: the payer has the money. ``PENDING``: the channel took it and pays it
    out later. ``DECLINED``: its definitive no; nothing was and will be returned under
    this number. ``not_found`` marks an ``UNKNOWN`` answer that says "no such refund", or
    comes in the place of a channel that cannot be asked: sending it again under the same
    number is safe, and all that can be done. ``amount_fen`` and ``refund_no`` are
    the channel's words (``None`` and ``""`` where it said none); ``unwritable`` as in ``Answer``.
    """

    verdict: Verdict
    amount_fen: int | None = None
    refund_no: str = ""
    reason: DeclineReason | None = None
    channel_code: str = ""
    channel_message: str = ""
    advice: Advice | None = None
    not_found: bool = False
    unwritable: bool = False
    answered: bool = False
    unlisted: bool = False


@dataclass(frozen=True, slots=True)
class PollSchedule:
    """How a channel wants to be asked, in seconds after the previous step.

    ``query_after_s`` empty means that the channel cannot be queried: undo at once. After
    ``undo_after_not_found`` queries in a row that knew no such order, the undo begins
    early: it closes the number, so a late arrival is refused too.
    ``undo_retry_s`` repeats its last figure for ever (until a human is called), and
    so does ``refund_retry_s``, between two askings about a refund. A payment younger
    than ``undo_not_before_s`` is not undone yet (its till is told in time that it will be).
    """

    query_after_s: tuple[float, ...]
    undo_retry_s: tuple[float, ...]
    refund_retry_s: tuple[float, ...] = (2.0, 5.0, 15.0, 60.0, 300.0)
    undo_after_not_found: int = 2
    undo_not_before_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ChannelHealth:
    """For ``/readyz``: whether new payments may be sent now."""

    ready: bool
    detail: str = ""


class Channel(Protocol):
    """One account at one channel, ready to be called."""

    @property
    def schedule(self) -> PollSchedule:
        """How to poll and undo here."""

    @property
    def timeout_s(self) -> float:
        """The longest that one call may take; recovery leaves a payment alone so long."""

    def new_order_no(self) -> str:
        """A number for a new payment, valid here, never given before."""

    def health(self) -> ChannelHealth:
        """Whether new payments may be sent now."""

    async def pay(self, request: PayRequest) -> Answer:
        """Try to take the money once. Never raises for what the channel does."""

    async def query(self, ref: PaymentRef) -> Answer:
        """Ask what became of a payment; not found is ``UNKNOWN``."""

    async def cancel(self, ref: PaymentRef) -> UndoAnswer:
        """Undo a payment whatever its state; repeatable with the same number."""

    async def start(self) -> None:
        """Open what needs opening; returns at once when the channel is down."""

    async def close(self) -> None:
        """Finish what is in flight and close."""


@runtime_checkable
class Refunds(Protocol):
    """A channel that can return a part of a payment."""

    def new_refund_no(self) -> str:
        """A number for a new refund, valid here, never given before."""

    async def refund(self, request: RefundRequest) -> RefundAnswer:
        """Return the money once under ``refund_no``; repeatable with the same number."""

    async def query_refund(self, request: RefundRequest) -> RefundAnswer:
        """Ask what became of a refund; not found is ``UNKNOWN``."""


def refunds_of(channel: object) -> Refunds | None:
    """The ability to refund of a channel, if it has it."""
    return channel if isinstance(channel, Refunds) else None


@record
class HttpRequest:
    """A request to a channel, complete; ``identity`` is for a server that asks for one."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    timeout_s: float
    identity: ClientIdentity | None = None


@brief
class HttpResponse:
    """The raw answer: signatures are verified over exactly these bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NotSent(Exception):
    """No byte of the request left this machine (refused, no route, limit reached)."""


class AnswerLost(Exception):
    """Bytes left and no complete answer came back."""


Send = Callable[[HttpRequest], Awaitable[HttpResponse]]
"""Raises :class:`NotSent` or :class:`AnswerLost`, and nothing else."""

Download = Callable[[HttpRequest, Path, int], Awaitable[HttpResponse]]
"""``await download(request, path, max_bytes)`` writes the body to ``path`` as it comes, and
answers without one; raises as :data:`Send` does. What is longer is :class:`AnswerLost`."""


async def no_download(request: HttpRequest, path: Path, max_bytes: int) -> HttpResponse:
    """Where there is no network to fetch files from."""
    raise NotSent("files cannot be fetched here")


class ByteLink(Protocol):
    """A connected, bounded byte stream to a card host."""

    def write(self, data: bytes) -> None:
        """Queue bytes for sending; raises :class:`NotSent` once closed."""

    def close(self) -> None:
        """Close it; the receiver's ``lost`` follows."""


class LinkReceiver(Protocol):
    """What a link calls back."""

    def received(self, data: bytes) -> None:
        """Some bytes came in."""

    def lost(self) -> None:
        """The link is gone."""


Connect = Callable[[str, int, LinkReceiver], Awaitable[ByteLink]]
"""``connect(host, port, receiver)``; raises :class:`NotSent` when it cannot."""

TakeSequence = Callable[[str, int], Awaitable[int]]
"""``await take_sequence(name, count)`` durably reserves ``count`` numbers and
returns the first; no number is ever handed out twice, restarts included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelAccount:
    """One merchant account at one channel, as provisioned.

    ``settings`` are the channel's own words (checked by its plugin); ``secrets``
    holds the opened secrets by name, in memory only.
    """

    account_id: str
    channel: str
    settings: Mapping[str, str]
    secrets: Mapping[str, bytes]

    def __repr__(self) -> str:
        return f"ChannelAccount({self.account_id!r}, {self.channel!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelServices:
    """What the composition root lends to adapters."""

    clock: Clock
    ids: IdSource
    send: Send
    connect: Connect
    take_sequence: TakeSequence
    download: Download = no_download
    key_keeper: KeyKeeper | None = None
    """Where processes of one account share working keys, if this process does."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of an account: its name, what it is, and its default (``None``: needed)."""

    name: str
    help: str
    default: str | None = None
    secret: bool = False


@dataclass(frozen=True, slots=True)
class ChannelPlugin:
    """What an entry point of the group ``posgate.channels`` names.

    ``settings`` is data for ``posgate account add``; ``build`` raises
    ``domain.errors.ConfigurationError`` when a setting cannot be used. ``texts`` is what a
    cashier reads for the channel's own codes, where that says more than our reason's text.
    """

    name: str
    settings: Sequence[Setting]
    build: Callable[[ChannelAccount, ChannelServices], Channel]
    texts: ChannelTexts = field(default_factory=ChannelTexts)
