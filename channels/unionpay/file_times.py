"""``MMDDhhmmss`` of a file's records: the year is the one nearest to the file's own day.

Rule: a transmission time has no year. A file of 1 January holds the last of December, one
of 31 December may hold the first of January; so the year is that of the file's day, one less
where the month lies more than half a year ahead of it, one more where as far behind.
"""

from datetime import date
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from channels.bill_columns import beijing_ms, demand, literal

_SHAPE: Final = "^[0-9]{10}$"
_HALF_YEAR_MONTHS: Final = 6


def trace_times_ms(column: Any, day: date) -> Any:
    """UTC ms of Beijing times without a year; raises ``channels.bill_columns.Unfit``."""
    demand(pc.match_substring_regex(column, _SHAPE), "the time is not MMDDhhmmss")
    ahead = pc.subtract(
        pc.cast(pc.utf8_slice_codeunits(column, 0, 2), pa.int64()), literal(day.month)
    )
    before = pc.greater(ahead, literal(_HALF_YEAR_MONTHS))
    after = pc.less(ahead, literal(-_HALF_YEAR_MONTHS))
    year = pc.if_else(
        before,
        literal(f"{day.year - 1:04}"),
        pc.if_else(after, literal(f"{day.year + 1:04}"), literal(f"{day.year:04}")),
    )

    def part(start: int) -> Any:
        return pc.utf8_slice_codeunits(column, start, start + 2)

    dates = pc.binary_join_element_wise(year, part(0), part(2), literal("-"))
    times = pc.binary_join_element_wise(part(4), part(6), part(8), literal(":"))
    return beijing_ms(pc.binary_join_element_wise(dates, times, literal(" ")), "the time")
