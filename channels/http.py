"""The HTTP client towards channels.

Only here and in ``guarded_http.py`` is aiohttp's client. A request is spoken by ourselves
(``http_link.py``, ``http_answer.py``): a general client's session costs a payment 100 µs that
it has no use for. Rules:

* A caller learns exactly one of three things: a complete answer; :class:`NotSent`
  (certainly no byte of the request left: refused, unresolved, TLS not agreed, over
  a limit); :class:`AnswerLost` (everything else, also a reused connection that the
  server closed under us). Cancellation passes through: the caller books unknown.
* Nothing is sent twice, whatever the method; only ``POST`` and ``GET`` are let through.
* TLS 1.2 or newer, verified (``channels/tls.py``), as whom a request names; connections
  of one identity never carry another's. Plain HTTP only towards this machine. No redirects,
  no cookies, no proxies from the environment, no decompression.
* Bounded: connections, waiting callers and origins, the size of an answer or a file,
  every time. Each origin (a channel's host) has limits of its own, so that one slow
  channel cannot starve another.
* A file (:meth:`HttpClient.download`) is at its path whole or not at all.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import (
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    TCPConnector,
    http_parser,
)
from aiohttp.client_exceptions import ClientConnectorError, InvalidURL
from yarl import URL

from channels.address import refusal
from channels.gate import Gate
from channels.http_link import Origin, Target, connect_time_s, request_octets
from channels.port import AnswerLost, HttpRequest, HttpResponse, NotSent
from channels.spool import spool
from channels.tls import ClientIdentity, Identities, tls_context
from domain.errors import ConfigurationError

_METHODS: Final = frozenset({"POST", "GET"})
_NO_AUTOMATIC_HEADERS: Final = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")
_KNOWN_URLS: Final = 1024
_READ_BUFFER_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpBounds:
    """Bounds that hardly anybody changes; ``waiting`` holds per origin.

    ``wait_s`` is how long a caller over the limit waits before it is told
    ``NotSent``; ``keep_alive_s`` stays below what channels' front ends allow, so
    that an idle connection is hardly ever closed under a new payment.
    """

    waiting: int = 1024
    wait_s: float = 1.0
    keep_alive_s: float = 15.0
    answer_bytes: int = 1024 * 1024
    origins: int = 64


_Read = Callable[[ClientResponse], Awaitable[bytes]]


def bare_session(connector: TCPConnector) -> ClientSession:
    """A session that adds nothing of its own: no cookies, no headers, no decompression."""
    return ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),
        skip_auto_headers=_NO_AUTOMATIC_HEADERS,
        auto_decompress=False,
        requote_redirect_url=False,
        read_bufsize=_READ_BUFFER_BYTES,
    )


class HttpClient:
    """One keep-alive pool for all channels; ``send`` is what adapters are lent."""

    def __init__(
        self,
        *,
        max_concurrent_per_channel: int = 512,
        connect_timeout_s: float = 5.0,
        ca_file: str | None = None,
        bounds: HttpBounds | None = None,
    ) -> None:
        """``ca_file`` names one more CA bundle to trust, beside the system's.

        Raises:
            ConfigurationError: the CA file cannot be used.
        """
        self._in_flight = max_concurrent_per_channel
        self._connect_s = connect_timeout_s
        self._bounds = bounds or HttpBounds()
        self._tls = tls_context(ca_file)
        self._identities = Identities(ca_file)
        self._session: ClientSession | None = None
        self._gates: dict[str, Gate] = {}
        self._origins: dict[tuple[str, ClientIdentity | None], Origin] = {}
        self._targets: dict[str, Target] = {}

    async def start(self) -> None:
        """Open the pool; no connection is made yet.

        Raises:
            ConfigurationError: aiohttp runs without its C parser (the other one
                had request-smuggling faults).
        """
        if http_parser.HttpResponseParser is http_parser.HttpResponseParserPy:
            raise ConfigurationError("aiohttp lacks its C parser: install a binary wheel of it")
        self._session = bare_session(
            TCPConnector(
                limit=0,  # the gates bound each origin
                ssl=self._tls,
                keepalive_timeout=self._bounds.keep_alive_s,
                ttl_dns_cache=30,
            )
        )

    async def close(self) -> None:
        """Close the pool; whoever is still waiting learns ``AnswerLost``."""
        if self._session is not None:
            session, self._session = self._session, None
            for origin in self._origins.values():
                origin.close()
            await session.close()

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send once; raises :class:`NotSent` or :class:`AnswerLost`, nothing else."""
        self._running(request)
        target = self._targets.get(request.url) or self._target(
            request.url, keep=request.method == "POST"
        )
        octets = request_octets(request, target.place)
        origin = self._origin(target, request.identity)
        gate = target.gate
        if not gate.take():
            await gate.enter()
        try:
            if self._session is None:
                raise NotSent("the HTTP client is not running")
            return await origin.ask(octets, self._connect_s, request.timeout_s)
        finally:
            gate.leave()

    async def download(self, request: HttpRequest, path: Path, max_bytes: int) -> HttpResponse:
        """Send once; the body, whatever the status, goes to ``path``, not to the answer.

        Raises as :meth:`send` does: a path that cannot be written is :class:`NotSent`,
        a body longer than ``max_bytes`` or not complete :class:`AnswerLost`; then
        nothing is left at ``path`` that was not there before.
        """
        session = self._running(request)
        target = self._target(request.url, keep=False)  # such a URL is good once
        await target.gate.enter()
        try:
            with spool(path, max_bytes) as incoming:

                async def read(answer: ClientResponse) -> bytes:
                    await incoming.take(answer.content_length, answer.content.iter_any())
                    return b""

                return await self._exchange(session, request, target.url, read)
        except OSError as fault:  # a disk that does not let go
            raise AnswerLost(type(fault).__name__) from fault
        finally:
            target.gate.leave()

    def _running(self, request: HttpRequest) -> ClientSession:
        if self._session is None:
            raise NotSent("the HTTP client is not running")
        if request.method not in _METHODS:
            raise NotSent(f"method {request.method} is not used towards channels")
        return self._session

    async def _exchange(
        self, session: ClientSession, request: HttpRequest, url: URL, read: _Read
    ) -> HttpResponse:
        try:
            answer = await session.request(
                request.method,
                url,
                data=request.body,
                headers=request.headers,
                allow_redirects=False,
                timeout=ClientTimeout(
                    total=request.timeout_s,
                    connect=connect_time_s(self._connect_s, request.timeout_s),
                    ceil_threshold=60,
                ),
                ssl=True
                if request.identity is None
                else self._identities.context(request.identity),
            )
            try:
                body = await read(answer)
            except BaseException:
                answer.close()
                raise
            return HttpResponse(answer.status, answer.headers, body)
        except (
            ClientConnectorError,
            ConnectionTimeoutError,
            InvalidURL,
            ConfigurationError,
        ) as fault:
            # All come before the request is written: from the connector, or from an identity.
            raise NotSent(type(fault).__name__) from fault
        except (ClientError, TimeoutError, OSError, ValueError, RuntimeError) as fault:
            raise AnswerLost(type(fault).__name__) from fault

    def _target(self, text: str, *, keep: bool = True) -> Target:
        """Check and parse a URL once; the table of known ones is bounded."""
        reason = refusal(text)
        if reason:
            raise NotSent(f"the channel's URL {reason}")
        url = URL(text, encoded=True)
        name = str(url.origin())
        gate = self._gates.get(name)
        if gate is None:
            if len(self._gates) >= self._bounds.origins:
                raise NotSent("too many different channel hosts")
            gate = self._gates[name] = Gate(
                self._in_flight, self._bounds.waiting, self._bounds.wait_s
            )
        target = Target(url, name, gate)
        if keep and len(self._targets) < _KNOWN_URLS:
            self._targets[text] = target
        return target

    def _origin(self, target: Target, identity: ClientIdentity | None) -> Origin:
        """The connections that lead there under an identity; as bounded as these two are."""
        key = target.name, identity
        origin = self._origins.get(key)
        if origin is None:
            try:
                tls = self._tls if identity is None else self._identities.context(identity)
            except ConfigurationError as fault:
                raise NotSent(type(fault).__name__) from fault
            origin = self._origins[key] = Origin(
                target.url,
                tls,
                limit_bytes=self._bounds.answer_bytes,
                keep_alive_s=self._bounds.keep_alive_s,
            )
        return origin
