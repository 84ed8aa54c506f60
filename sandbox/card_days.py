"""Days as the simulated card host counts them: in Beijing.

Rule: a link that read its clock just before midnight and a host that read its own just
after mean the same order, so a date in F61 may be one day off.
"""

from datetime import timedelta
from typing import Final

from domain.clock import beijing

_NO_DATE: Final = ("", "0000")


def is_day(date: str, at_ms: int) -> bool:
    """Whether ``MMDD`` is the day of ``at_ms``, or next to it, or no date at all."""
    if date in _NO_DATE:
        return True
    day = beijing(at_ms).date()
    return any(f"{day + timedelta(days=off):%m%d}" == date for off in (0, -1, 1))


def is_same_day(one_ms: int, other_ms: int) -> bool:
    """Whether both are on one day."""
    return beijing(one_ms).date() == beijing(other_ms).date()
