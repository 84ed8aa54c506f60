"""A line between one terminal and the real POS connection of a gateway, on virtual time.

Rules: what becomes of each frame, in either direction, is decided beforehand, in the order
in which frames set out, and for all that come after. The line itself never breaks: what a
broken one loses is lost here too.
"""

import asyncio
import enum
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from pos_protocol.framing import FrameReader, frame


class Fate(enum.Enum):
    """What becomes of one frame."""

    WELL = "well"
    LOST = "lost"
    TWICE = "twice"
    SLOW = "slow"
    """Later than what is sent next, if anything is."""
    TOO_LATE = "too late"
    """When the terminal has stopped waiting."""
    AGES_LATE = "ages late"
    """When the terminal has sent a reversal three times, and asked."""
    AGAIN_LATER = "again later"
    """At once, and once more when everything has moved on."""
    GARBLED = "garbled"


_JOURNEYS_S: Mapping[Fate, tuple[float, ...]] = {
    Fate.WELL: (0.05,),
    Fate.LOST: (),
    Fate.TWICE: (0.05, 0.3),
    Fate.SLOW: (8.0,),
    Fate.TOO_LATE: (75.0,),
    Fate.AGES_LATE: (400.0,),
    Fate.AGAIN_LATER: (0.05, 130.0),
    Fate.GARBLED: (0.05,),
}


class Listener(Protocol):
    """What serves connections."""

    def connection(self) -> asyncio.Protocol:
        """What serves one more."""
        ...


class LossyLink(asyncio.Transport):
    """The line, as the gateway's side knows it; the terminal's side is :meth:`send`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: Listener,
        received: Callable[[bytes], None],
        said: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._loop = loop
        self._received = received
        self._said = said
        self._fates: deque[Fate] = deque()
        self._then = Fate.WELL
        self._reader = FrameReader(65_535)
        self._served = listener.connection()
        self._served.connection_made(self)
        self.under_way = 0
        """Frames that have not arrived yet."""

    def decide(self, fates: Sequence[Fate] = (), then: Fate = Fate.WELL) -> None:
        """What becomes of the next frames and of all ``then``; the old decisions are void."""
        self._fates, self._then = deque(fates), then

    @property
    def is_sound(self) -> bool:
        """Nothing is under way, and nothing will be lost or late."""
        return not (self.under_way or self._fates) and self._then is Fate.WELL

    def send(self, payload: bytes) -> None:
        """The terminal writes a message."""
        self._travel("->", payload, lambda data: self._served.data_received(frame(data)))

    def write(self, data: Any) -> None:
        """The gateway's side writes."""
        for payload in self._reader.feed(bytes(data)):
            self._travel("<-", payload, self._received)

    def _travel(self, way: str, payload: bytes, arrive: Callable[[bytes], None]) -> None:
        fate = self._fates.popleft() if self._fates else self._then
        self._said(f"  {way} {payload[11:13].hex()} {fate.value}")
        if fate is Fate.GARBLED:
            payload = payload[:-1] + bytes([payload[-1] ^ 1])
        for delay_s in _JOURNEYS_S[fate]:
            self.under_way += 1
            self._loop.call_later(delay_s, self._arrive, payload, arrive)

    def _arrive(self, payload: bytes, arrive: Callable[[bytes], None]) -> None:
        self.under_way -= 1
        arrive(payload)

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        """A gateway that hangs up on this terminal has found a fault in what it sent."""
        raise AssertionError("the gateway closed the connection")

    abort = close

    def pause_reading(self) -> None:
        """One terminal with one message at a time never comes to a bound."""
        raise AssertionError("the gateway stopped reading")

    def resume_reading(self) -> None:
        """See :meth:`pause_reading`."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default
