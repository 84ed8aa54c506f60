"""The real clock, ids and randomness: what the composition root hands in."""

import os
import time
from typing import Final

from domain.ids import RANDOM_BYTES, number

_PAGE_BYTES: Final = 4096


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        """UTC wall time in ms."""
        return time.time_ns() // 1_000_000

    monotonic_s = staticmethod(time.monotonic)
    """Seconds from an arbitrary start; read a dozen times for a sale: it is the bare function."""


class RandomPool:
    """The system's random source, asked for a page at a time: a call costs more than bytes do.

    No byte is ever handed out twice. A process made by ``fork`` would share the page,
    so workers are started, never forked.
    """

    def __init__(self) -> None:
        self._page = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        """``count`` fresh random bytes."""
        end = self._at + count
        if end > len(self._page):
            if count > _PAGE_BYTES:
                return os.urandom(count)
            self._page, self._at, end = os.urandom(_PAGE_BYTES), 0, count
        taken = self._page[self._at : end]
        self._at = end
        return taken


class RandomIds:
    """Numbers of the wall clock and a random pool of its own."""

    def __init__(self) -> None:
        self._take = RandomPool().take

    def new(self, prefix: str = "") -> str:
        """See :class:`domain.ids.IdSource`."""
        return prefix + number(time.time_ns() // 1_000_000, self._take(RANDOM_BYTES))


def random_bytes(count: int) -> bytes:
    """From the system's random source; for keys, which no pool should hold."""
    return os.urandom(count)
