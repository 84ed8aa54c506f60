"""The clock as an argument.

Rule: nobody below the composition root reads a clock. Wall time is UTC in
integer milliseconds; durations are measured with the monotonic clock, which no
administrator can set back. Channel time is Beijing time whatever the machine's
``TZ`` says: :func:`beijing`.
"""

from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Final, Protocol

BEIJING: Final = timezone(timedelta(hours=8), "Asia/Shanghai")


class Clock(Protocol):
    """Wall time and elapsed time; sleeping is the event loop's, virtual in a simulation."""

    def now_ms(self) -> int:
        """UTC wall time in ms since the epoch."""
        ...

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...


def beijing(time_ms: int) -> datetime:
    """The aware Beijing time of ``time_ms``; China has had no summer time since 1991."""
    return datetime.fromtimestamp(time_ms // 1000, BEIJING)


@lru_cache(maxsize=64)
def _beijing_texts(time_s: int) -> tuple[str, str]:
    local = datetime.fromtimestamp(time_s, BEIJING)
    return f"{local:%H%M%S}", f"{local:%m%d}"


def beijing_texts(time_ms: int) -> tuple[str, str]:
    """``hhmmss`` and ``MMDD`` in Beijing: F12 and F13 of a POS message."""
    return _beijing_texts(time_ms // 1000)


@lru_cache(maxsize=64)
def _iso_second(time_s: int) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%dT%H:%M:%S}"


def iso_utc(time_ms: int) -> str:
    """``2026-11-22T07:15:37.042Z`` for an API answer or a log."""
    whole_s, ms = divmod(time_ms, 1000)
    return f"{_iso_second(whole_s)}.{ms:03d}Z"
