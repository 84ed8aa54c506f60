"""The TCP listener: sockets in, whole messages out, replies back.

Rules: bounded connections, frames and messages in flight per connection (reading
pauses at the bound); a frame that cannot be one closes its connection after one
masked log line and touches no other; a connection that closes takes no payment with
it, the work goes on and the reply is kept. Who drains hangs up: a terminal that dials
again finds another process behind the same port.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final, cast

from domain.clock import Clock
from gateway.logs import Log
from gateway.metrics import Metrics
from pos_protocol.codec import Message
from pos_protocol.framing import frame
from pos_protocol.session import BadFrame, HostSession, Received

_SWEEP_S: Final = 15.0
Handle = Callable[[bytes, Message], Awaitable[bytes | None]]


class _Connection(asyncio.Protocol):
    __slots__ = (
        "_backlog",
        "_choked",
        "_in_flight",
        "_is_ending",
        "_listener",
        "_paused",
        "_session",
        "_transport",
        "heard_s",
    )

    def __init__(self, listener: "PosListener") -> None:
        self._listener = listener
        self._session = HostSession(listener.max_frame_bytes)
        self._transport: asyncio.Transport | None = None
        self._in_flight = 0
        self._backlog: deque[Received] = deque()
        self._paused = self._choked = self._is_ending = False
        self.heard_s = listener.clock.monotonic_s()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self._listener.admit(self):
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.leave(self)
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self.heard_s = self._listener.clock.monotonic_s()
        for event in self._session.receive_data(data):
            if isinstance(event, BadFrame):
                self._reject(event)
                return
            if self._in_flight < self._listener.max_in_flight:
                self._begin(event.payload, event.message)
            else:  # of what was read already; reading is paused by now
                self._backlog.append(event)

    def eof_received(self) -> bool:
        """Stay open for the replies of what is in flight: the peer may still read."""
        for event in self._session.receive_data(b""):
            if isinstance(event, BadFrame):
                self._reject(event)
                return False
        self._is_ending = True
        return self._in_flight > 0

    def pause_writing(self) -> None:
        """The peer does not read its replies: take no more from it."""
        self._choked = True
        self._breathe()

    def resume_writing(self) -> None:
        self._choked = False
        self._breathe()

    def _breathe(self) -> None:
        """Read exactly while both bounds, in flight and unread replies, leave room."""
        paused = self._choked or self._in_flight >= self._listener.max_in_flight
        if self._transport is None or paused == self._paused:
            return
        self._paused = paused
        if paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _begin(self, payload: bytes, message: Message) -> None:
        self._in_flight += 1
        if self._in_flight >= self._listener.max_in_flight:
            self._breathe()
        self._listener.run(self._answer(payload, message))

    async def _answer(self, payload: bytes, message: Message) -> None:
        try:
            reply = await self._listener.handle(payload, message)
        finally:
            self._in_flight -= 1
            self._listener.answered(asyncio.current_task())
            if self._backlog:
                event = self._backlog.popleft()
                self._begin(event.payload, event.message)
        if self._transport is None:
            return
        if reply is not None:
            self._transport.write(frame(reply))
        if self._is_ending and not self._in_flight:
            self._transport.close()
        elif self._paused:
            self._breathe()

    def _reject(self, frame: BadFrame) -> None:
        self._listener.rejected(frame)
        self.close()

    def end(self) -> None:
        """Close the socket once nothing is in flight on it, at once if nothing is."""
        self._is_ending = True
        if not self._in_flight:
            self.close()

    def close(self) -> None:
        """Close the socket; what is in flight goes on."""
        if self._transport is not None:
            self._transport.close()


class PosListener:
    """One listening address and its connections."""

    def __init__(
        self,
        *,
        handle: Handle,
        clock: Clock,
        metrics: Metrics,
        log: Log,
        max_frame_bytes: int,
        max_connections: int,
        max_in_flight: int,
        idle_timeout_s: float,
    ) -> None:
        self.handle = handle
        self.clock = clock
        self.max_frame_bytes = max_frame_bytes
        self.max_in_flight = max_in_flight
        self._metrics = metrics
        self._log = log
        self._max_connections = max_connections
        self._idle_timeout_s = idle_timeout_s
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_leaving = False
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None

    def connections(self) -> int:
        """Open connections."""
        return len(self._connections)

    def admit(self, connection: _Connection) -> bool:
        """Whether one more connection is within the bound, and wanted."""
        if self._is_leaving:
            return False
        if len(self._connections) >= self._max_connections:
            self._metrics.refused_connections.inc()
            return False
        self._connections.add(connection)
        return True

    def leave(self, connection: _Connection) -> None:
        """A connection is gone."""
        self._connections.discard(connection)

    def rejected(self, frame: BadFrame) -> None:
        """Count and log a connection that sent what cannot be a message."""
        self._metrics.bad_frames.inc()
        self._log.warning(
            "pos connection closed", reason=frame.reason, field=frame.field, bytes=frame.size_bytes
        )

    def run(self, work: Coroutine[None, None, None]) -> None:
        """Answer one message in a task of its own."""
        self._tasks.add(asyncio.get_running_loop().create_task(work))

    def answered(self, task: "asyncio.Task[None] | None") -> None:
        """Let go of a task that has its reply; cheaper than a callback for each."""
        if task is not None:
            self._tasks.discard(task)

    def connection(self) -> asyncio.Protocol:
        """What serves one more connection, whatever transport it is made with."""
        return _Connection(self)

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen; returns the real port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self.connection, host, port, ssl=tls, reuse_port=True, backlog=1024
        )
        self._sweeper = loop.create_task(self._sweep())
        return int(self._server.sockets[0].getsockname()[1])

    async def _sweep(self) -> None:
        """Close what has been silent for too long; one task for all connections."""
        while True:
            await asyncio.sleep(min(_SWEEP_S, self._idle_timeout_s / 2))
            silent_s = self.clock.monotonic_s() - self._idle_timeout_s
            for connection in tuple(self._connections):
                if connection.heard_s < silent_s:
                    connection.close()

    def hang_up(self) -> None:
        """Take no new connection; end the idle ones now, the others after their last reply."""
        self._is_leaving = True
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.end()

    async def close(self) -> None:
        """Close every connection once its replies are out."""
        self.hang_up()
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=1)
        for connection in tuple(self._connections):
            connection.close()
