"""The TCP listener: its ports, its connections, and their bounds.

Rules: bounded connections, frames and messages in flight per connection; a connection
that is silent for too long, or has begun a frame and does not end it, is closed; one that
misbehaves gets one masked log line and touches no other. A connection that closes takes no
payment with it, the work goes on and the reply is kept. Who drains hangs up: a terminal
that dials again finds another process behind the same port.
"""

import asyncio
import ssl
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Final

from domain.clock import Clock
from gateway.config import PosSection
from gateway.logs import Log
from gateway.metrics import Metrics
from gateway.pos.connection import Handle, PosConnection
from gateway.pos.pushes import Pushes
from gateway.pos.tls_acceptor import TlsAcceptor, keep_alive
from pos_protocol.message import Message
from pos_protocol.session import BadFrame

__all__ = ["Handle", "ListenerBounds", "PosListener", "listener_bounds"]

_SWEEP_S: Final = 15.0
_SWEPT_AT_ONCE: Final = 500
_SLOW_FRAME: Final = "a frame took too long"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerBounds:
    """See ``gateway.config.PosSection``; ``max_pushes`` of 0 switches pushes off."""

    max_frame_bytes: int
    max_connections: int
    max_in_flight: int
    max_in_flight_per_connection: int
    idle_timeout_s: float
    frame_timeout_s: float
    keepalive_s: float
    handshake_timeout_s: float
    max_handshakes: int
    max_pushes: int


def listener_bounds(section: PosSection) -> ListenerBounds:
    """What the configuration says."""
    return ListenerBounds(
        max_frame_bytes=section.max_frame_bytes,
        max_connections=section.max_connections,
        max_in_flight=section.max_in_flight,
        max_in_flight_per_connection=section.max_in_flight_per_connection,
        idle_timeout_s=section.idle_timeout_s,
        frame_timeout_s=section.frame_timeout_s,
        keepalive_s=section.keepalive_s,
        handshake_timeout_s=section.handshake_timeout_s,
        max_handshakes=section.max_handshakes,
        max_pushes=section.max_pushes_per_connection if section.push else 0,
    )


class PosListener:
    """The plain and the TLS port, and the connections of both."""

    def __init__(
        self,
        *,
        handle: Handle,
        clock: Clock,
        metrics: Metrics,
        log: Log,
        bounds: ListenerBounds,
    ) -> None:
        self.handle = handle
        self.clock = clock
        self.max_frame_bytes = bounds.max_frame_bytes
        self.max_in_flight = bounds.max_in_flight_per_connection
        self.max_pushes = bounds.max_pushes
        self._metrics = metrics
        self._log = log
        self._bounds = bounds
        self._connections: set[PosConnection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: dict[PosConnection, None] = {}
        self._pushes = Pushes(bounds.max_connections) if bounds.max_pushes else None
        self._is_leaving = False
        self._server: asyncio.Server | None = None
        self._acceptor: TlsAcceptor | None = None
        self._sweeper: asyncio.Task[None] | None = None

    def connections(self) -> int:
        """Open connections."""
        return len(self._connections)

    def in_flight(self) -> int:
        """Messages being answered."""
        return len(self._tasks)

    def handshakes(self) -> int:
        """TLS handshakes under way."""
        return 0 if self._acceptor is None else self._acceptor.handshakes()

    def reachable(self) -> int:
        """Terminals that a push would reach."""
        return 0 if self._pushes is None else self._pushes.reachable()

    def merchants_of(self, terminal_id: str) -> Sequence[str]:
        """Of which merchants (F42) a push would reach a terminal of this number."""
        return () if self._pushes is None else self._pushes.merchants_of(terminal_id)

    def push(self, merchant_id: str, terminal_id: str, payload: bytes) -> bool:
        """Send a message nobody asked for over a terminal's open connection.

        Never waits. ``False``: pushes are off, the terminal is not connected to this
        process, or too many wait already; nothing is kept then.
        """
        return self._pushes is not None and self._pushes.push(merchant_id, terminal_id, payload)

    # --- what connections say

    def admit(self, connection: PosConnection) -> bool:
        """Whether one more connection is within the bound, and wanted."""
        if self._is_leaving:
            return False
        if not self._may_open(0):
            self._metrics.refused_connections.inc()
            return False
        self._connections.add(connection)
        return True

    def _may_open(self, handshakes: int) -> bool:
        return len(self._connections) + handshakes < self._bounds.max_connections

    def leave(self, connection: PosConnection) -> None:
        """A connection is gone."""
        self._connections.discard(connection)
        self._waiting.pop(connection, None)
        if self._pushes is not None:
            self._pushes.left(connection)

    def has_room(self) -> bool:
        """Whether one more message may be begun."""
        return len(self._tasks) < self._bounds.max_in_flight

    def wait_for_room(self, connection: PosConnection) -> None:
        """Let a connection go on once there is room, in the order they came."""
        self._waiting[connection] = None

    def rejected(self, fault: BadFrame) -> None:
        """Count and log a connection that sent what cannot be a message."""
        self._metrics.bad_frames.inc()
        self._log.warning(
            "pos connection closed", reason=fault.reason, field=fault.field, bytes=fault.size_bytes
        )

    def run(self, work: Coroutine[None, None, None]) -> None:
        """Answer one message in a task of its own."""
        self._tasks.add(asyncio.get_running_loop().create_task(work))

    def answered(self, connection: PosConnection, request: Message, reply: bytes | None) -> None:
        """Let go of a task that has its reply; cheaper than a callback for each."""
        task = asyncio.current_task()
        if task is not None:
            self._tasks.discard(task)
        if self._pushes is not None and connection in self._connections:
            self._pushes.heard(connection, request, reply)
        while self._waiting and self.has_room():
            waiting = next(iter(self._waiting))
            del self._waiting[waiting]
            waiting.advance()

    # --- its life

    def connection(self) -> PosConnection:
        """What serves one more connection, whatever transport it is made with."""
        return PosConnection(self)

    async def start(self, host: str, port: int) -> int:
        """Listen in plain; returns the real port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self.connection, host, port, reuse_port=True, backlog=1024
        )
        for listening in self._server.sockets:
            keep_alive(listening, self._bounds.keepalive_s)
        self._begin_sweeping()
        return int(self._server.sockets[0].getsockname()[1])

    async def start_tls(self, host: str, port: int, tls: ssl.SSLContext) -> int:
        """Listen under TLS too; returns the real port."""
        self._acceptor = TlsAcceptor(
            factory=self.connection,
            has_room=self._may_open,
            metrics=self._metrics,
            handshake_timeout_s=self._bounds.handshake_timeout_s,
            max_handshakes=self._bounds.max_handshakes,
            keepalive_s=self._bounds.keepalive_s,
        )
        real_port = await self._acceptor.start(host, port, tls)
        self._begin_sweeping()
        return real_port

    def _begin_sweeping(self) -> None:
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().create_task(self._sweep())

    async def _sweep(self) -> None:
        """One task for all connections."""
        idle_s, frame_s = self._bounds.idle_timeout_s, self._bounds.frame_timeout_s
        while True:
            await asyncio.sleep(min(_SWEEP_S, idle_s / 2, frame_s / 2))
            await self.sweep()

    async def sweep(self) -> None:
        """Close what has been silent, or in the middle of a frame, for too long."""
        now_s = self.clock.monotonic_s()
        silent_s = now_s - self._bounds.idle_timeout_s
        partial_s = now_s - self._bounds.frame_timeout_s
        for number, connection in enumerate(tuple(self._connections)):
            if connection.is_stuck(silent_s, partial_s):
                self._drop(connection, partial_s)
            if not number % _SWEPT_AT_ONCE:
                await asyncio.sleep(0)  # a till must not wait for twenty thousand others

    def _drop(self, connection: PosConnection, partial_s: float) -> None:
        if connection.partial_since_s < partial_s:
            self.rejected(BadFrame(_SLOW_FRAME))
        connection.drop()

    def hang_up(self) -> None:
        """Take no new connection; end the idle ones now, the others after their last reply."""
        self._is_leaving = True
        if self._server is not None:
            self._server.close()
        if self._acceptor is not None:
            self._acceptor.hang_up()
        for connection in tuple(self._connections):
            connection.end()

    async def close(self) -> None:
        """Close every connection once its replies are out."""
        self.hang_up()
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._acceptor is not None:
            await self._acceptor.close()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=1)
        for connection in tuple(self._connections):
            connection.close()
