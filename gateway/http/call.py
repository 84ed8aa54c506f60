"""One call of the API between the door and its handler: values in, values out, no aiohttp."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from domain.payment import Payment
from domain.record import brief, record
from domain.refund import Refund
from gateway.directory import KnownKey
from gateway.events.follower import Follower
from gateway.http.auth import AnswerSignature


@record
class ApiRequest:
    """A request as it came, nothing of it decoded.

    ``raw_path`` is path and query exactly as they were signed. ``headers`` are looked up
    by ``Authorization``, ``Content-Type``, ``Content-Encoding`` and ``Last-Event-ID``: a
    case-insensitive mapping, or one that writes them so.
    """

    method: str
    raw_path: str
    headers: Mapping[str, str]
    body: bytes = b""

    def __repr__(self) -> str:
        return f"ApiRequest({self.method} {self.raw_path})"


@brief
class ApiResponse:
    """The answer; ``body`` is JSON, and its signature, if any, is in ``headers``."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    stream: "EventStream | None" = None
    """What goes on being written after the headers; there is no ``body`` then."""


@dataclass(frozen=True, slots=True)
class EventStream:
    """A follower, what signs each of its messages, and whether its key may still read."""

    follower: Follower
    sign: Callable[[bytes], AnswerSignature]
    is_allowed: Callable[[], Awaitable[bool]]


@dataclass(slots=True)
class Call:
    """One authenticated request; ``identity`` is the id in its path, ``""`` where none is."""

    key: KnownKey
    body: bytes
    query: str
    identity: str
    last_event_id: str = ""
    """Up to where a reconnecting reader heard, as it says itself."""

    @property
    def merchant_no(self) -> str:
        """Whose key signed it."""
        return self.key.merchant.merchant_no


@brief
class Result:
    """What a handler answers; ``payment`` and ``refund`` are named in the log."""

    body: bytes
    status: int = 200
    payment: Payment | None = None
    refund: Refund | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: Follower | None = None


Handler = Callable[[Call], Awaitable[Result]]
Methods = Mapping[str, tuple[str, Handler]]
"""By method: the call's name in the log, and who answers it."""
Routes = Mapping[str, Methods]
"""By path; ``{id}`` may stand for its third part."""
