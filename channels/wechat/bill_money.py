"""WeChat Pay's amounts: columns of yuan with two or five decimals, and the sums at the end.

Rules: integers throughout. An order's amount has whole fen, however many noughts are written
behind them; a fee may have thousandths of one. A sum in the file may lack decimals, and its
counts are written ``45.0`` too.
"""

import re
from typing import Any, Final

import pyarrow.compute as pc

from channels.bill_columns import Numbers, Unfit, demand, literal, scaled

_SUM: Final = re.compile(r"(-?)([0-9]{1,15})(?:\.([0-9]{1,5}))?", re.ASCII)
_COUNT: Final = re.compile(r"([0-9]{1,15})(?:\.0{1,5})?", re.ASCII)
FEN: Final = 1000
"""Thousandths of a fen in one."""


def fen_of(column: Any, name: str) -> Numbers:
    """A column of amounts in fen; raises ``channels.bill_columns.Unfit``."""
    try:
        return scaled(column, 2, name)
    except Unfit:
        mfen = mfen_of(column, name)
    whole: Numbers = pc.divide(mfen, literal(FEN))
    demand(pc.equal(pc.multiply(whole, literal(FEN)), mfen), f"{name} has parts of a fen")
    return whole


def mfen_of(column: Any, name: str) -> Numbers:
    """A column of amounts in thousandths of a fen; raises ``channels.bill_columns.Unfit``."""
    return scaled(column, 5, name)


def sum_mfen(text: str) -> int | None:
    """A sum at the end of a file, in thousandths of a fen; ``None`` for what is none."""
    found = _SUM.fullmatch(text.strip())
    if found is None:
        return None
    sign, whole, decimals = found.groups()
    value = int(whole + (decimals or "").ljust(5, "0"))
    return -value if sign else value


def count_of(text: str) -> int | None:
    """A count at the end of a file; ``None`` for what is none."""
    found = _COUNT.fullmatch(text.strip())
    return None if found is None else int(found[1])
