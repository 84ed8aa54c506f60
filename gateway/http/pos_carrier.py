"""POS messages over HTTPS: one POST carries one frame, its answer the frame that answers it.

Rules:

* The body is what would go over TCP, the two length bytes included; the path and the
  content type are not looked at, for terminals name either as they were told to.
* Silence is silence here too: the connection is closed without an HTTP answer, so that
  the terminal reverses or asks again.
* Everything is bounded: connections and handshakes, the body in size and time, messages
  in flight, how long a connection may say nothing. A refusal shows nothing of what came.
"""

import asyncio
import ssl
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from aiohttp import web

from gateway.http.general_connection import GeneralConnection, UnnamedResponse
from gateway.http.idle_connections import end_idle
from gateway.logs import Log
from gateway.metrics import Metrics
from gateway.pos.connection import Handle
from gateway.pos.tls_acceptor import TlsAcceptor
from pos_protocol.framing import PREFIX_BYTES, frame
from pos_protocol.session import HostSession, Received

_CONTENT_TYPE: Final = "x-ISO-TPDU/x-auth"
_KEPT_ALIVE_S: Final = 75.0
_SHUTDOWN_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierBounds:
    """See ``gateway.config.PosSection``."""

    max_frame_bytes: int
    max_connections: int
    max_in_flight: int
    idle_timeout_s: float
    frame_timeout_s: float
    keepalive_s: float
    handshake_timeout_s: float
    max_handshakes: int


class PosCarrier:
    """The HTTPS port in front of the POS door."""

    def __init__(
        self, *, handle: Handle, metrics: Metrics, log: Log, bounds: CarrierBounds
    ) -> None:
        self._handle = handle
        self._metrics = metrics
        self._log = log
        self._bounds = bounds
        self._server: web.Server | None = None
        self._acceptor: TlsAcceptor | None = None
        self._in_flight = 0
        self._is_leaving = False

    def in_flight(self) -> int:
        """Messages being answered."""
        return self._in_flight

    def connections(self) -> int:
        """Open connections."""
        return 0 if self._server is None else len(self._server.connections)

    def handshakes(self) -> int:
        """TLS handshakes under way."""
        return 0 if self._acceptor is None else self._acceptor.handshakes()

    async def start(self, host: str, port: int, tls: ssl.SSLContext) -> int:
        """Listen; returns the real port."""
        bounds = self._bounds
        self._server = web.Server(self._serve, request_factory=self._request)
        self._acceptor = TlsAcceptor(
            factory=partial(
                GeneralConnection,
                self._server,
                refuse=self._refuse_unread,
                keepalive_timeout=min(_KEPT_ALIVE_S, bounds.idle_timeout_s),
                lingering_time=0,
            ),
            has_room=self._has_room,
            metrics=self._metrics,
            handshake_timeout_s=bounds.handshake_timeout_s,
            max_handshakes=bounds.max_handshakes,
            keepalive_s=bounds.keepalive_s,
        )
        return await self._acceptor.start(host, port, tls)

    def _has_room(self, handshakes: int) -> bool:
        return self.connections() + handshakes < self._bounds.max_connections

    def _request(
        self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any
    ) -> web.BaseRequest:
        """A request whose body is no longer than a frame."""
        loop = asyncio.get_running_loop()
        most = self._bounds.max_frame_bytes + PREFIX_BYTES
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=most)

    async def _serve(self, request: web.BaseRequest) -> web.Response:
        answer = await self._answer(request)
        if self._is_leaving:
            answer.force_close()
        return answer

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        if request.method != "POST":
            return _refusal(405, "send one message by POST", {"Allow": "POST"})
        if self._in_flight >= self._bounds.max_in_flight:
            return _refusal(503, "too many messages in flight")
        self._in_flight += 1
        try:
            return await self._carry(request)
        finally:
            self._in_flight -= 1

    async def _carry(self, request: web.BaseRequest) -> web.Response:
        try:
            async with asyncio.timeout(self._bounds.frame_timeout_s):
                body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return self._refuse(413, "longer than a message may be", 0)
        except TimeoutError:
            return self._refuse(408, "the message did not arrive in time", 0)
        except (OSError, web.RequestPayloadError):  # whoever sent it is gone
            return self._refuse(400, "the message broke off", 0)
        events = HostSession(self._bounds.max_frame_bytes).receive_data(body)
        if len(events) != 1 or not isinstance(events[0], Received):
            return self._refuse(400, "not one message", len(body))
        received = events[0]
        if len(received.payload) + PREFIX_BYTES != len(body):
            return self._refuse(400, "more than one message", len(body))
        reply = await self._handle(received.payload, received.message)
        if reply is None:
            request.protocol.force_close()
            return web.Response()  # which nobody hears
        return UnnamedResponse(body=frame(reply), headers={"Content-Type": _CONTENT_TYPE})

    def _refuse_unread(self, status: int) -> web.Response:
        """The answer to what is no HTTP, or to a fault of ours."""
        if status >= 500:
            return _refusal(status, "our fault")
        return self._refuse(status, "not HTTP", 0)

    def _refuse(self, status: int, reason: str, size_bytes: int) -> web.Response:
        self._metrics.bad_frames.inc()
        self._log.warning("pos body refused", reason=reason, bytes=size_bytes)
        answer = _refusal(status, reason, {})
        answer.force_close()
        return answer

    def hang_up(self) -> None:
        """Take no new connection; end the idle ones now, the others with their answer."""
        self._is_leaving = True
        if self._acceptor is not None:
            self._acceptor.hang_up()
        if self._server is not None:
            end_idle(self._server)

    async def close(self) -> None:
        """Stop listening and close every connection."""
        self.hang_up()
        if self._acceptor is not None:
            await self._acceptor.close()
        if self._server is not None:
            await self._server.shutdown(_SHUTDOWN_S)


def _refusal(status: int, reason: str, headers: dict[str, str] | None = None) -> web.Response:
    return UnnamedResponse(status=status, text=reason + "\n", headers=headers or {})
