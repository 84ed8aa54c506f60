"""F12 and F13 of an answer, as a moment. Pure.

Rule: the host's clock has no year; it is the one that brings the moment nearest to when
the payment was made.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from domain.clock import BEIJING, beijing

_DAY_MS = 86_400_000


def host_time_ms(date: str, time: str, near_ms: int) -> int:
    """The moment of ``MMDD`` and ``hhmmss`` in Beijing, 0 if they are none."""
    if len(date) != 4 or len(time) != 6:
        return 0
    return _nearest(date + time, near_ms // _DAY_MS)


@lru_cache(maxsize=64)
def _nearest(text: str, near_day: int) -> int:
    near = beijing(near_day * _DAY_MS)
    moments = []
    for year in (near.year - 1, near.year, near.year + 1):
        try:
            moment = datetime.strptime(f"{year}{text}", "%Y%m%d%H%M%S").replace(tzinfo=BEIJING)
        except ValueError:  # no date, or 29 February of another year
            continue
        moments.append(moment)
    if not moments:
        return 0
    best = min(moments, key=lambda moment: abs(moment - near))
    return (best - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
