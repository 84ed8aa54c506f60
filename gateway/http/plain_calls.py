"""The API's connections: a plain signed call is answered here, all else by the server behind.

A general server's request, response, writer and second task cost a payment a tenth of what the
gateway spends on it, for nothing that it needs. Rules:

* What is not plainly one whole call (``plain_wire.py``) is handed on with its connection, for
  good and not an octet of it used: half a body, another path, anything unclear. So there is
  one judge of bad HTTP, and nothing waits here for more to come.
* One call at a time on a connection; what comes meanwhile is not read, and nothing is
  answered to who does not read its answers.
* A call goes on when its caller is gone: what it began is booked.
* Idle connections end after ``keep_alive_s``; who leaves ends them at once, the others after
  their answer.
* What comes is read into a buffer that all share (``shared_buffer.py``), whoever answers it.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from functools import lru_cache
from typing import Final, cast

from channels.shared_buffer import ReadInto, shared_buffer
from domain.clock import Clock
from gateway.http.call import ApiRequest, ApiResponse
from gateway.http.plain_wire import read_plain, written

Handle = Callable[[ApiRequest], Awaitable[ApiResponse]]
Behind = Callable[[], asyncio.Protocol]
"""Makes the protocol of a connection that the general server is to serve."""
_http_date: Final = lru_cache(maxsize=4)(lambda now_s: formatdate(now_s, usegmt=True))


class PlainCalls:
    """What the connections share; :meth:`connection` makes one for any transport."""

    def __init__(
        self,
        *,
        handle: Handle,
        behind: Behind,
        clock: Clock,
        max_body_bytes: int,
        keep_alive_s: float,
    ) -> None:
        self.handle: Final = handle
        self.behind: Final = behind
        self.clock: Final = clock
        self.max_body_bytes: Final = max_body_bytes
        self.keep_alive_s: Final = keep_alive_s
        self.buffer: Final = shared_buffer()
        self.is_leaving = False
        self.open: Final[set[PlainConnection]] = set()
        self.tasks: Final[set[asyncio.Task[None]]] = set()
        """What is being answered, also to who is gone."""

    def connection(self) -> asyncio.BufferedProtocol:
        """The protocol of a new connection."""
        return PlainConnection(self)

    def hang_up(self) -> None:
        """End the idle ones now, the others after their answer."""
        self.is_leaving = True
        for connection in list(self.open):
            connection.end_if_idle()

    async def close(self, patience_s: float) -> None:
        """Let what is being answered end in that time; what does not is cancelled.

        What does not end even then is not waited for longer.
        """
        self.hang_up()
        if self.tasks:
            await asyncio.wait(tuple(self.tasks), timeout=patience_s)
        left = tuple(self.tasks)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=patience_s)
        for connection in list(self.open):
            connection.abort()


class PlainConnection(asyncio.BufferedProtocol):
    """One connection, until it is handed on."""

    def __init__(self, calls: PlainCalls) -> None:
        self._calls = calls
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._is_full = False
        self._idle_since_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._calls.is_leaving:
            self._transport.close()
            return
        bare = transport.get_extra_info("socket")
        if bare is not None:
            bare.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._calls.open.add(self)
        loop = asyncio.get_running_loop()
        self._idle_since_s = loop.time()
        self._timer = loop.call_later(self._calls.keep_alive_s, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._forget()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._calls.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._received += self._calls.buffer[:nbytes]
        if self.task is None and not self._is_full:
            self._advance(self._transport)
        else:
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self.task is None and self._received:
            transport.resume_reading()
            self._advance(transport)

    def _advance(self, transport: asyncio.Transport) -> None:
        """Begin the call that has come, or hand the connection on."""
        calls = self._calls
        found = read_plain(self._received, calls.max_body_bytes)
        if found is None:
            self._hand_on(transport)
            return
        asked, size = found
        self._received = self._received[size:]
        self.task = asyncio.get_running_loop().create_task(self._answer(asked))
        calls.tasks.add(self.task)
        self.task.add_done_callback(calls.tasks.discard)

    async def _answer(self, asked: ApiRequest) -> None:
        try:
            answer = await self._calls.handle(asked)
            self.task = None
            self._write(answer)
        except BaseException:
            self.task = None
            self.abort()
            raise

    def _write(self, answer: ApiResponse) -> None:
        """Say it, and begin the next call if it has come already."""
        transport, calls = self._transport, self._calls
        if transport is None or transport.is_closing():
            return
        date = _http_date(calls.clock.now_ms() // 1000)
        transport.write(written(answer, date, is_last=calls.is_leaving))
        if calls.is_leaving:
            transport.close()
            return
        self._idle_since_s = asyncio.get_running_loop().time()
        if self._received and not self._is_full:
            transport.resume_reading()
            self._advance(transport)

    def _hand_on(self, transport: asyncio.Transport) -> None:
        self._forget()
        self._transport = None
        behind = self._calls.behind()
        transport.set_protocol(ReadInto(self._calls.buffer, behind))
        behind.connection_made(transport)
        received, self._received = self._received, b""
        behind.data_received(received)

    def _look(self) -> None:
        """End what has idled too long, or look again when it would have."""
        loop, kept_s = asyncio.get_running_loop(), self._calls.keep_alive_s
        left_s = self._idle_since_s + kept_s - loop.time()
        if self.task is None and left_s <= 0:
            self.end_if_idle()
            if self._is_full:  # who does not read its answers would be waited for, for ever
                self.abort()
            return
        self._timer = loop.call_later(left_s if left_s > 0 else kept_s, self._look)

    def end_if_idle(self) -> None:
        """Close it unless it is being answered."""
        if self.task is None and self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Cut it off."""
        if self._transport is not None:
            self._transport.abort()

    def _forget(self) -> None:
        self._calls.open.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
