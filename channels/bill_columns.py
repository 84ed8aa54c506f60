"""Columns of text to columns of integers, a batch at a time, by integer arithmetic.

Rules:

* Money is never a float here either: the point is taken out of the text and the digits
  are read as an integer. What is not an amount to the letter is not read.
* A column is right as a whole or not at all: :class:`Unfit` names the first row that is
  wrong (counted from 0 in its batch) and what is wrong with it, without its value.
* A number that names something is text, and taken as it stands. What a spreadsheet makes of a
  long one (``2.02609E+27``) names nothing any more.
* Times in files are Beijing's (reference ``channels.md`` 0) and become UTC ms.
"""

from functools import lru_cache
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

Texts = pa.StringArray
Numbers = pa.Int64Array

_BEIJING_S: Final = 8 * 3600
_BLANKS: Final = " \t\r"
_DIGITS: Final = r"^[0-9]{1,18}$"
_SCIENTIFIC: Final = r"^[0-9](\.[0-9]+)?[Ee]\+[0-9]+$"
_NO_CONTROLS: Final = bytes(sorted({*range(0x20, 0x100)} - {0x7F}))
_TIME: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}$"


class Unfit(ValueError):
    """Row ``row`` of a batch cannot be read; ``why`` names its column and no value."""

    def __init__(self, row: int, why: str) -> None:
        super().__init__(why)
        self.row = row
        self.why = why


@lru_cache(maxsize=256)
def literal(value: str | int | bool) -> Any:
    """A constant for Arrow's functions, made once.

    Made anew from a Python value at each call it costs a search for a module that is not
    installed, ten times what the function itself does to a column.
    """
    return pa.scalar(value)


def demand(fits: Any, why: str) -> None:
    """Raise :class:`Unfit` at the first row where the boolean column ``fits`` is not true."""
    if pc.all(fits, skip_nulls=False).as_py() is True:
        return
    row: int = pc.index(pc.fill_null(fits, literal(False)), literal(False)).as_py()
    if row >= 0:
        raise Unfit(row, why)


def trimmed(column: Any) -> Texts:
    """Without the blanks and tabs that channels put around a value."""
    texts: Texts = pc.ascii_trim(column, _BLANKS)
    return texts


def named(column: Any, name: str) -> Texts:
    """A column of numbers that name something.

    The bytes are looked at first, all at once; only where they are suspicious, row by row.
    """
    texts: Texts = column
    data = texts.buffers()[2]
    raw = b"" if data is None else data.to_pybytes()
    if raw.translate(None, _NO_CONTROLS):
        controls = pc.match_substring_regex(texts, "[\x00-\x1f\x7f]")
        demand(pc.invert(controls), f"a control character stands in {name}")
    if b"E+" in raw or b"e+" in raw:
        spoiled = pc.match_substring_regex(texts, _SCIENTIFIC)
        demand(pc.invert(spoiled), f"{name} was rounded by a spreadsheet")
    return texts


def scaled(column: Any, places: int, name: str) -> Numbers:
    """``"19.9"`` → 1990 for ``places`` 2: yuan to fen; 5 places: to thousandths of a fen.

    Fewer decimals than ``places`` are as good; more are not money. Twelve digits before
    the point at most.
    """
    if pc.all(pc.equal(column, literal(f"0.{'0' * places}"))).as_py():
        zeros: Numbers = pa.repeat(literal(0), len(column))
        return zeros
    exact = rf"^-?[0-9]{{1,12}}\.[0-9]{{{places}}}$"
    if not pc.all(pc.match_substring_regex(column, exact)).as_py():
        column = _with_all_places(column, places, name)
    digits = pc.replace_substring(column, ".", "", max_replacements=1)
    numbers: Numbers = pc.cast(digits, pa.int64())
    return numbers


def _with_all_places(column: Any, places: int, name: str) -> Any:
    loose = rf"^-?[0-9]{{1,12}}(\.[0-9]{{1,{places}}})?$"
    demand(pc.match_substring_regex(column, loose), f"{name} is not an amount")
    point = pc.find_substring(column, ".")
    pointed = pc.binary_join_element_wise(column, literal("."), literal(""))
    parts = pc.split_pattern(
        pc.if_else(pc.less(point, literal(0)), pointed, column), ".", max_splits=1
    )
    decimals = pc.ascii_rpad(pc.list_element(parts, 1), places, "0")
    return pc.binary_join_element_wise(pc.list_element(parts, 0), decimals, literal("."))


def counted(column: Any, name: str) -> Numbers:
    """Whole numbers without a sign."""
    demand(pc.match_substring_regex(column, _DIGITS), f"{name} is not a whole number")
    numbers: Numbers = pc.cast(column, pa.int64())
    return numbers


def beijing_ms(column: Any, name: str) -> Numbers:
    """``"2019-09-16 10:55:16"``, Beijing time, → UTC ms; an empty text → 0: none is told."""
    empty = pc.equal(column, literal(""))
    told = pc.if_else(empty, literal("1970-01-01 08:00:00"), column)
    demand(pc.match_substring_regex(told, _TIME), f"{name} is not a time")
    try:
        local_s = pc.cast(pc.cast(told, pa.timestamp("s")), pa.int64())
    except pa.ArrowInvalid:
        raise Unfit(_first_impossible(told), f"{name} is not a time") from None
    numbers: Numbers = pc.multiply(pc.subtract(local_s, literal(_BEIJING_S)), literal(1000))
    return numbers


def _first_impossible(column: Any) -> int:
    """The first row that looks like a time and is none (a 30th of February)."""
    for row, text in enumerate(column):
        try:
            pc.cast(text, pa.timestamp("s"))
        except pa.ArrowInvalid:
            return row
    return 0


def total(column: Any) -> int:
    """The sum of an integer column, 0 where it has no rows."""
    found: int | None = pc.sum(column).as_py()
    return found or 0
