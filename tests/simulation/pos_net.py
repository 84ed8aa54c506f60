"""The network between a terminal and the real POS connection of a gateway.

Rules: the gateway's side is the product's own connection class on a transport of ours;
whole messages are lost, doubled and overtaken on the way, both ways, and connections
break. What a terminal had sent before a break may still arrive.
"""

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any, Protocol, cast

from pos_protocol.framing import FrameReader, frame
from tests.simulation.clock_loop import Owner
from tests.simulation.plan import Line
from tests.simulation.scene import Scene


class Listener(Protocol):
    """What serves connections."""

    def connection(self) -> asyncio.Protocol:
        """What serves one more."""
        ...


class PosPipe(asyncio.Transport):
    """One connection; the transport that the gateway's side writes to."""

    def __init__(
        self,
        scene: Scene,
        received: Callable[[bytes], None],
        lost: Callable[[], None],
        forget: Callable[["PosPipe"], None],
        *,
        can_duplicate: bool,
    ) -> None:
        super().__init__()
        self._scene = scene
        self._rng = scene.pos_rng
        self._received = received
        self._lost = lost
        self._forget = forget
        self._can_duplicate = can_duplicate
        self._reader = FrameReader(65_535)
        self._closed = False
        self._owner: Owner | None = None
        self._context = contextvars.Context()
        self._served: asyncio.Protocol | None = None

    def serve(self, listener: Listener, owner: Owner, context: contextvars.Context) -> None:
        """Connect the gateway's side."""
        self._owner, self._context = owner, context
        self._scene.loop.call_soon(self._begin, listener, context=context)

    def _begin(self, listener: Listener) -> None:
        self._served = listener.connection()
        self._served.connection_made(self)

    def send(self, payload: bytes) -> None:
        """The terminal writes a message."""
        for delay_s in self._journeys():
            self._scene.loop.call_later(
                delay_s, self._arrive, frame(payload), context=self._context
            )
        if self._rng.random() < self._line().reset:
            self._outside(self._rng.random(), self.broken)

    def hang_up(self) -> None:
        """The terminal leaves."""
        if not self._closed:
            self._closed = True
            self._forget(self)
            self._scene.loop.call_soon(self._end, context=self._context)

    def broken(self) -> None:
        """The connection breaks: both sides learn it."""
        if not self._closed:
            self._scene.trace.line("pos.broken")
            self.hang_up()
            self._lost()

    def _line(self) -> Line:
        return self._scene.line("pos")

    def _journeys(self) -> list[float]:
        """When each copy of a message arrives."""
        rng, line = self._rng, self._line()
        copies = 2 if self._can_duplicate and rng.random() < line.duplicate else 1
        if not self._can_duplicate:
            return [] if rng.random() < line.loss else [line.latency_s]
        return [self._scene.delay_s(rng, line) for _ in range(copies) if rng.random() >= line.loss]

    def _arrive(self, data: bytes) -> None:
        if self._served is not None and not (self._closed and self._rng.random() < 0.5):
            self._served.data_received(data)

    def _end(self) -> None:
        if self._served is not None:
            self._served.connection_lost(None)

    def _outside(self, delay_s: float, do: Callable[..., None], *values: Any) -> None:
        self._scene.loop.call_later(delay_s, do, *values, context=self._scene.outside)

    def write(self, data: Any) -> None:
        """The gateway's side writes."""
        if self._closed or self._owner is None or not self._owner.alive:
            return
        for payload in self._reader.feed(bytes(data)):
            for delay_s in self._journeys():
                self._outside(delay_s, self._deliver, payload)

    def _deliver(self, payload: bytes) -> None:
        if not self._closed:
            self._received(payload)

    def close(self) -> None:
        """The gateway's side closes."""
        self._outside(0.0, self.broken)

    abort = close

    def is_closing(self) -> bool:
        return self._closed

    def pause_reading(self) -> None:
        """The simulation's messages wait for nobody."""

    def resume_reading(self) -> None:
        """See :meth:`pause_reading`."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


def as_transport(pipe: PosPipe) -> asyncio.Transport:
    """The pipe as the gateway knows it."""
    return cast("asyncio.Transport", pipe)
