"""ACP's times: Beijing's, and a clearing day that begins at 23:00. Pure.

Rule: ``txnTime`` is made from when our order was made, never from "now", so that every
repeat, query and reversal of an order says the same (reference ``channels.md`` C1).
"""

from datetime import date, timedelta
from functools import lru_cache
from typing import Final

from domain.clock import beijing

_CLEARING_SHIFT: Final = timedelta(hours=1)
"""From 23:00 on it is the next day's."""


@lru_cache(maxsize=64)
def _text(time_s: int) -> str:
    return f"{beijing(time_s * 1000):%Y%m%d%H%M%S}"


def txn_time(time_ms: int) -> str:
    """``yyyyMMddHHmmss`` in Beijing."""
    return _text(time_ms // 1000)


def clearing_day(time_ms: int) -> date:
    """The day that a moment is cleared on: from 23:00 the day before to 23:00."""
    return (beijing(time_ms) + _CLEARING_SHIFT).date()


def is_same_clearing_day(one_ms: int, other_ms: int) -> bool:
    """Whether a reversal or a void is still possible."""
    return clearing_day(one_ms) == clearing_day(other_ms)
