"""One connection of the load generator, one request in flight on it.

Rules: saturated (rate 0), the next request leaves when the answer is there; at a fixed
rate, requests are due at regular times after a random phase whatever happened to the
ones before, and the latency counts from when a request was due, so that a slow answer
cannot hide behind the requests it held up. Nothing is judged while the clock runs.
"""

import asyncio
import random
import time
from collections import deque
from dataclasses import dataclass
from typing import Final, cast

from benchmarks.tills import Till

_DRAIN_S: Final = 15.0
_PEEK_S: Final = 0.01
now_s: Final = time.monotonic


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """When to pay (monotonic s): from ``begin_s``, measured from ``measure_s`` to ``end_s``.

    ``rate`` is payments per second of all callers together, 0 for as many as answers
    allow.
    """

    begin_s: float
    measure_s: float
    end_s: float
    rate: float


@dataclass(slots=True)
class Exchange:
    """One request and its answer; ``start_s`` is when it was due."""

    start_s: float
    end_s: float
    request: bytes
    answer: bytes


class Caller(asyncio.Protocol):
    """A till with a connection."""

    def __init__(self, till: Till) -> None:
        self.till = till
        self.log: list[Exchange] = []
        self.lost = False
        self._stock: deque[bytes] = deque()
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._request = b""
        self._start_s = 0.0
        self._busy = False
        self._backlog: deque[float] = deque()
        self._window = Window(begin_s=0, measure_s=0, end_s=0, rate=0)
        self._due_s = 0.0
        self._period_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True

    @property
    def idle(self) -> bool:
        """Whether everything that was due is answered."""
        return not self._busy and not self._backlog

    @property
    def in_flight(self) -> int:
        """What was sent and has no answer yet."""
        return int(self._busy)

    @property
    def unsent(self) -> int:
        """What was due and could not be sent before an earlier request had its answer."""
        return len(self._backlog)

    def prepare(self, count: int) -> None:
        """Build requests ahead."""
        while len(self._stock) < count:
            self._stock.append(self.till.build())

    def begin(self, window: Window, callers: int) -> None:
        """Pay until the window's end; returns at once."""
        self.log = []
        self._backlog.clear()  # what an earlier window left over was counted as an error there
        self._window = window
        self._period_s = callers / window.rate if window.rate else 0.0
        phase_s = random.random() * self._period_s
        self._due_s = window.begin_s + phase_s
        self._wait()

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    def _wait(self) -> None:
        delay_s = max(0.0, self._due_s - now_s())
        asyncio.get_running_loop().call_later(delay_s, self._tick)

    def _tick(self) -> None:
        due_s = self._due_s
        if due_s >= self._window.end_s:
            return
        if self._period_s:
            self._due_s = due_s + self._period_s
            self._wait()
        if self._busy:
            self._backlog.append(due_s)
        else:
            # the loop's timers tick in ms: early is now, late is late
            self._send(min(due_s, now_s()))

    def _send(self, start_s: float) -> None:
        self._busy = True
        if self._transport is None or self.lost:
            return
        self._start_s = start_s
        self._request = self._stock.popleft() if self._stock else self.till.build()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._received:
            data = self._received + data
        size = self.till.cut(data)
        if not size:
            self._received = data
            return
        end_s = now_s()
        self._received = data[size:]
        self.log.append(Exchange(self._start_s, end_s, self._request, data[:size]))
        if self._backlog:
            self._send(self._backlog.popleft())
        elif not self._period_s and end_s < self._window.end_s:
            self._send(end_s)
        else:
            self._busy = False


async def finish(callers: list[Caller], window: Window) -> None:
    """Wait for the window's end, then for the last answers, no longer than 15 s."""
    await asyncio.sleep(window.end_s - now_s())
    for _ in range(int(_DRAIN_S / _PEEK_S)):
        if all(caller.idle or caller.lost for caller in callers):
            break
        await asyncio.sleep(_PEEK_S)
