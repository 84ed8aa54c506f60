"""Just enough HTTP/1.1, bytes in and requests out, for the simulated gateways.

Why not a framework: the simulator shares the machine with what it measures, and a
request here costs a tenth. Rules: head and body are bounded; ``Content-Length`` is the
only framing accepted; whatever is unclear is an :class:`HttpError` and ends the
connection. No sockets in this file.
"""

import re
from collections.abc import Mapping
from dataclasses import field
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from domain.record import brief

MAX_HEAD_BYTES: Final = 16_384
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

REASONS: Final[Mapping[int, str]] = MappingProxyType(
    {
        200: "OK",
        202: "Accepted",
        204: "No Content",
        302: "Found",
        400: "Bad Request",
        401: "Unauthorized",
        403: "Forbidden",
        404: "Not Found",
        405: "Method Not Allowed",
        409: "Conflict",
        411: "Length Required",
        413: "Content Too Large",
        429: "Too Many Requests",
        431: "Request Header Fields Too Large",
        500: "Internal Server Error",
        502: "Bad Gateway",
        503: "Service Unavailable",
    }
)
_REASON_BYTES: Final = {status: reason.encode() for status, reason in REASONS.items()}
_REQUEST_LINE = re.compile(
    rb"([A-Z]{1,16}) (?:http://[^/? ]+)?(/[^? ]*)(?:\?([^ ]*))? HTTP/1\.([01])"
)


class HttpError(Exception):
    """A request that cannot be read; answered with ``status``, then the connection ends."""

    def __init__(self, status: int) -> None:
        super().__init__(REASONS[status])
        self.status = status


@brief
class HttpRequest:
    """One request; ``query`` is the raw query string, ``keep_alive`` what the client asks.

    ``head`` is the raw header lines; ``client_certificate`` the DER of the certificate that
    the TLS layer has verified, empty if the client showed none.
    """

    method: str
    path: str
    query: bytes = field(repr=False)
    body: bytes = field(repr=False)
    keep_alive: bool
    head: bytes = field(default=b"", repr=False, compare=False)
    client_certificate: bytes = field(default=b"", repr=False)

    def header(self, name: str) -> str:
        """One header's value, empty if it is not there; the first one if it comes twice."""
        wanted = name.lower().encode()
        for line in self.head.split(b"\r\n"):
            found, _, value = line.partition(b":")
            if found.lower() == wanted:
                return value.strip().decode("latin-1")
        return ""


@brief
class _Head:
    method: str
    path: str
    query: bytes
    keep_alive: bool
    lines: bytes
    body_bytes: int
    expects_continue: bool


class HttpReader:
    """Cuts a byte stream into requests; one per connection."""

    __slots__ = ("_buffer", "_head", "_max_body_bytes")

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._buffer = b""
        self._head: _Head | None = None

    def feed(self, data: bytes) -> None:
        """Add what came in; the caller stops reading while requests wait."""
        self._buffer = self._buffer + data if self._buffer else data

    def next_request(self) -> HttpRequest | None:
        """The next whole request, ``None`` if more bytes are needed; raises :class:`HttpError`."""
        head = self._head
        if head is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end > MAX_HEAD_BYTES or (end < 0 and len(self._buffer) > MAX_HEAD_BYTES):
                raise HttpError(431)
            if end < 0:
                return None
            head = _read_head(self._buffer[:end], self._max_body_bytes)
            self._buffer = self._buffer[end + 4 :]
            self._head = head
        if len(self._buffer) < head.body_bytes:
            return None
        body, self._buffer = self._buffer[: head.body_bytes], self._buffer[head.body_bytes :]
        self._head = None
        return HttpRequest(head.method, head.path, head.query, body, head.keep_alive, head.lines)

    @property
    def wants_continue(self) -> bool:
        """Whether the client waits for 100 before it sends the body."""
        return self._head is not None and self._head.expects_continue and not self._buffer


@lru_cache(maxsize=128)
def _read_head(raw: bytes, max_body_bytes: int) -> _Head:
    """Of one client nothing but the length differs from one call to the next, if that."""
    lines = raw.split(b"\r\n")
    match = _REQUEST_LINE.fullmatch(lines[0])
    if match is None:
        raise HttpError(400)
    method, path, query, minor = match.groups()
    length, keep_alive, expects = -1, minor == b"1", False
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not name or name != name.strip():
            raise HttpError(400)
        match name.lower():
            case b"content-length":
                length = _length(value.strip(), length)
            case b"transfer-encoding":
                raise HttpError(411)
            case b"connection":
                keep_alive = b"close" not in value.lower()
            case b"expect":
                expects = value.strip().lower() == b"100-continue"
    if length > max_body_bytes:
        raise HttpError(413)
    return _Head(
        method.decode(),
        path.decode("latin-1"),
        query or b"",
        keep_alive,
        raw[len(lines[0]) + 2 :],
        max(length, 0),
        expects,
    )


def _length(value: bytes, seen: int) -> int:
    """One plain decimal ``Content-Length``; a second one is an attempt to smuggle."""
    if seen >= 0 or not value.isdigit() or len(value) > 9:
        raise HttpError(400)
    return int(value)


def response(
    status: int, body: bytes, content_type: bytes, *, keep_alive: bool, headers: bytes = b""
) -> bytes:
    """The bytes of one answer; ``headers`` are further whole lines, each with its CRLF."""
    return (
        b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n%bConnection: %b\r\n\r\n%b"
        % (
            status,
            _REASON_BYTES[status],
            content_type,
            len(body),
            headers,
            b"keep-alive" if keep_alive else b"close",
            body,
        )
    )
