"""Connections to one channel's host, kept alive, one request at a time on each.

Rules:

* :class:`NotSent` until the request is handed to the socket, :class:`AnswerLost` for
  everything after that but a whole answer; nothing is ever sent a second time.
* A connection is kept only after a whole answer that lets it be kept; one on which
  something comes that nobody asked for, or whose request was given up, is cut off.
* What has idled for ``keep_alive_s`` is closed: below what channels' front ends allow, so
  that hardly ever one is closed under a new payment.
* Answers are read into a buffer that an origin's connections share (``shared_buffer.py``).
"""

import asyncio
import ssl
from typing import Final, cast

from yarl import URL

from channels.gate import Gate
from channels.http_answer import AnswerReader, BadAnswer
from channels.port import AnswerLost, HttpRequest, HttpResponse, NotSent
from channels.shared_buffer import shared_buffer

_SWEEPS: Final = 2
"""How often within ``keep_alive_s`` idle connections are looked at."""


def request_octets(request: HttpRequest, place: str) -> bytes:
    """A request as it is written; ``place`` is its path and query, and the ``Host`` line.

    Raises:
        NotSent: a header that would be another one, or that cannot be written.
    """
    body, lines = request.body, [f"{name}: {value}\r\n" for name, value in request.headers.items()]
    if body or request.method == "POST":
        lines.append(f"Content-Length: {len(body)}\r\n")
    fields = "".join(lines)
    if not fields.count("\n") == fields.count("\r") == len(lines) or "\0" in fields:
        raise NotSent("a header that would be another one")
    try:
        return f"{request.method} {place}{fields}\r\n".encode() + body
    except UnicodeEncodeError:
        raise NotSent("a header that cannot be written") from None


def connect_time_s(connect_s: float, timeout_s: float) -> float:
    """How much of a call's time may go by until it is connected."""
    return min(connect_s, timeout_s / 2)


class Target:
    """A URL, checked and cut once; ``name`` is its origin's."""

    __slots__ = ("gate", "name", "place", "url")

    def __init__(self, url: URL, name: str, gate: Gate) -> None:
        self.url = url
        self.name = name
        self.gate = gate
        self.place = f"{url.raw_path_qs} HTTP/1.1\r\nHost: {url.host_port_subcomponent}\r\n"


class HttpLink(asyncio.BufferedProtocol):
    """One connection."""

    def __init__(self, limit_bytes: int, buffer: memoryview) -> None:
        self._limit_bytes = limit_bytes
        self._buffer = buffer
        self._transport: asyncio.Transport | None = None
        self._reader: AnswerReader | None = None
        self._answer: asyncio.Future[HttpResponse] | None = None
        self._keeps = False
        """Whether the last answer lets another request follow."""
        self._timer: asyncio.TimerHandle | None = None
        self.idle_since_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether a request may be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def ask(self, request: bytes, timeout_s: float) -> asyncio.Future[HttpResponse]:
        """Write ``request``; who awaits the answer calls :meth:`rest` or :meth:`abort` after it.

        The answer may be :class:`AnswerLost`: none that is whole, or none in time.

        Raises:
            NotSent: the connection is gone already.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            raise NotSent("the connection is closed")
        loop = asyncio.get_running_loop()
        self._keeps = False
        self._reader = AnswerReader(self._limit_bytes)
        answer = self._answer = loop.create_future()
        self._timer = loop.call_later(timeout_s, self._fail, "no answer in time")
        transport.write(request)
        return answer

    def rest(self) -> bool:
        """The answer was taken: whether another request may follow it."""
        self._forget()
        return self._keeps and self.is_open

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        reader = self._reader
        if reader is None:  # nobody asked
            self.abort()
            return
        try:
            response = reader.feed(bytes(self._buffer[:nbytes]))
        except BadAnswer as fault:
            self._fail(str(fault))
            return
        if response is not None:
            self._give(response)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._reader is not None:
            response = self._reader.end() if exc is None else None
            if response is not None:
                self._give(response)
        self._fail("the connection was closed")

    def _give(self, response: HttpResponse) -> None:
        if self._reader is not None:
            self._keeps = self._reader.keeps
            self._reader = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(response)

    def _fail(self, why: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(AnswerLost(why))

    def abort(self) -> None:
        """Cut it off; what has come of an answer is no answer then."""
        self._fail("the connection was cut off")
        self._forget()
        if self._transport is not None:
            self._transport.abort()

    def _forget(self) -> None:
        self._reader = self._answer = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Origin:
    """A host and port, and the connections to it that are idle or in use."""

    def __init__(
        self,
        url: URL,
        tls: ssl.SSLContext,
        *,
        limit_bytes: int,
        keep_alive_s: float,
    ) -> None:
        self._host = url.raw_host or ""
        self._port = url.port or 0
        self._tls = tls if url.scheme == "https" else None
        self._limit_bytes = limit_bytes
        self._keep_alive_s = keep_alive_s
        self._buffer = shared_buffer()
        self._idle: list[HttpLink] = []
        self._links: set[HttpLink] = set()
        self._sweep: asyncio.TimerHandle | None = None

    async def ask(self, request: bytes, connect_s: float, timeout_s: float) -> HttpResponse:
        """One request and its answer; raises :class:`NotSent` or :class:`AnswerLost`."""
        link = self._take()
        if link is None:
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            link = await self._connect(connect_time_s(connect_s, timeout_s))
            timeout_s = max(0.0, timeout_s - (loop.time() - began_s))
        keeps = False
        try:
            response = await link.ask(request, timeout_s)
            keeps = link.rest()
        finally:
            if keeps:
                self._put_back(link)
            else:
                link.abort()
                self._links.discard(link)
        return response

    def _take(self) -> HttpLink | None:
        """An idle connection, the one used last."""
        while self._idle:
            link = self._idle.pop()
            if link.is_open:
                return link
            self._links.discard(link)
        return None

    async def _connect(self, connect_s: float) -> HttpLink:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(connect_s):
                _, link = await loop.create_connection(
                    lambda: HttpLink(self._limit_bytes, self._buffer),
                    self._host,
                    self._port,
                    ssl=self._tls,
                    server_hostname=self._host if self._tls is not None else None,
                )
        except (OSError, TimeoutError, ValueError) as fault:  # ValueError: a name that is none
            raise NotSent(type(fault).__name__) from fault
        self._links.add(link)
        return link

    def _put_back(self, link: HttpLink) -> None:
        loop = asyncio.get_running_loop()
        link.idle_since_s = loop.time()
        self._idle.append(link)
        if self._sweep is None:
            self._sweep = loop.call_later(self._keep_alive_s / _SWEEPS, self._close_idle)

    def _close_idle(self) -> None:
        """Cut off what has idled too long; the longest idle come first."""
        loop = asyncio.get_running_loop()
        since_s = loop.time() - self._keep_alive_s
        kept = [link for link in self._idle if link.is_open and link.idle_since_s > since_s]
        for link in set(self._idle).difference(kept):
            link.abort()
            self._links.discard(link)
        self._idle = kept
        self._sweep = None
        if kept:
            self._sweep = loop.call_later(self._keep_alive_s / _SWEEPS, self._close_idle)

    def close(self) -> None:
        """Cut off everything; whoever waits learns ``AnswerLost``."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for link in self._links:
            link.abort()
        self._links.clear()
        self._idle.clear()
