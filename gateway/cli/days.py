"""Days as options of commands.

Rule: they are read here alone, and none goes on that this business cannot have: arithmetic with
the first and the last days of the calendar overflows.
"""

from datetime import date
from typing import Final

import typer

from domain.clock import beijing
from gateway.sources import SystemClock

FIRST_DAY: Final = date(2000, 1, 1)
LAST_DAY: Final = date(2999, 12, 31)


def day_of(text: str, option: str = "--date") -> date:
    """``YYYY-MM-DD``; what is none, or none of this business, is told with the option's name."""
    try:
        if len(text) != len("2026-11-29"):
            raise ValueError
        day = date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{option}: write YYYY-MM-DD") from None
    if not FIRST_DAY <= day <= LAST_DAY:
        raise typer.BadParameter(f"{option}: {day} is not from {FIRST_DAY} to {LAST_DAY}")
    return day


def day_over(text: str, option: str = "--date") -> date:
    """The same, of a day that is over in Beijing."""
    day = day_of(text, option)
    if day >= beijing(SystemClock().now_ms()).date():
        raise typer.BadParameter(f"{option}: {day} is not over")
    return day
