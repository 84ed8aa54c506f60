"""QR codes as pictures: SVG, PNG, and the dark runs of each row for a page that is drawn.

Rules: error correction Q, so that a scratched or dirty poster is still read (a quarter of
it may be gone), and a quiet zone of four modules, as ISO/IEC 18004 wants. The same text
gives the same bytes.
"""

import io
from collections.abc import Sequence
from itertools import groupby
from typing import Final, NamedTuple

import segno

QUIET_MODULES: Final = 4
_CORRECTION: Final = "q"
PNG_SCALE: Final = 16
"""Pixels a module: some 700 in all, sharp at a hand's width."""


class Run(NamedTuple):
    """Dark modules beside each other in one row, counted without the quiet zone."""

    row: int
    column: int
    length: int


def qr_svg(text: str) -> bytes:
    """A picture that stays sharp at any size."""
    picture = io.BytesIO()
    _code(text).save(picture, kind="svg", border=QUIET_MODULES, xmldecl=False, omitsize=True)
    return picture.getvalue()


def qr_png(text: str) -> bytes:
    """A picture of :data:`PNG_SCALE` pixels a module, black on white."""
    picture = io.BytesIO()
    _code(text).save(picture, kind="png", border=QUIET_MODULES, scale=PNG_SCALE)
    return picture.getvalue()


def dark_runs(text: str) -> tuple[int, Sequence[Run]]:
    """How many modules a side has, and the dark ones."""
    matrix = _code(text).matrix
    runs = []
    for row, modules in enumerate(matrix):
        column = 0
        for is_dark, group in groupby(modules, key=bool):
            length = len(list(group))
            if is_dark:
                runs.append(Run(row, column, length))
            column += length
    return len(matrix), runs


def _code(text: str) -> segno.QRCode:
    return segno.make_qr(text, error=_CORRECTION)
