"""Fixed-width records as columns: cut by bytes, decoded afterwards, a block at a time.

Rules: every record of a file is as long as its first; a record that is not, or that has
something else than a blank where a separator is, refuses the file at its line. Bytes are
cut before anything is decoded, so that a Chinese name moves nothing behind it.
"""

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from channels.bill_columns import Unfit, demand, literal
from channels.bill_text import Block
from channels.unionpay.file_layouts import Layout

_NOTHING: Final = pa.scalar(b"")
_NEWLINE: Final = b"\n"
_SIGNED: Final = "^[CD ][0-9]{11,12}$"
_OWN_NUMBER: Final = "^[A-Za-z0-9]+ *$"
_DIGITS: Final = "^[0-9]{1,13}$"


class Records:
    """The records of one block; raises :class:`Unfit` for a record that is none."""

    def __init__(self, block: Block, layout: Layout, stride: int, end: bytes) -> None:
        """``stride`` counts the ``end`` of a line too."""
        data = block.data if block.data.endswith(_NEWLINE) else block.data + end
        self.count = len(data) // stride
        _require_even(data, block.lines, stride, end)
        _require_blanks(data, layout.separators, stride)
        offsets = pa.array(range(0, len(data) + 1, stride), pa.int32()).buffers()[1]
        self._lines = pa.BinaryArray.from_buffers(
            pa.binary(), self.count, [None, offsets, pa.py_buffer(data)]
        )
        self._fields = layout.fields

    def has(self, name: str) -> bool:
        """Whether the layout has such a field."""
        return name in self._fields

    def text(self, name: str) -> Any:
        """A field without the blanks around it; ``""`` where the layout has none."""
        if name not in self._fields:
            return pa.repeat(literal(""), self.count)
        return pc.ascii_trim(self._ascii(name), " ")

    def own_number(self, name: str) -> Any:
        """A field that anybody may write into, where it holds a number like ours; else ``""``."""
        if name not in self._fields:
            return pa.repeat(literal(""), self.count)
        offset, length = self._fields[name]
        column = pc.binary_slice(self._lines, offset, offset + length)
        is_ours = pc.match_substring_regex(column, _OWN_NUMBER)
        texts = pc.cast(pc.if_else(is_ours, column, _NOTHING), pa.string())
        return pc.ascii_trim(texts, " ")

    def number(self, name: str) -> Any:
        """A field of digits."""
        column = self._ascii(name)
        demand(pc.match_substring_regex(column, _DIGITS), f"{name} is not a number")
        return pc.cast(column, pa.int64())

    def signed(self, name: str) -> Any:
        """A field of a sign and digits: above zero for C (credit), below for D (debit)."""
        if name not in self._fields:
            return pa.repeat(literal(0), self.count)
        column = self._ascii(name)
        demand(pc.match_substring_regex(column, _SIGNED), f"{name} is not a signed amount")
        digits = pc.cast(pc.utf8_slice_codeunits(column, 1), pa.int64())
        is_debit = pc.starts_with(column, "D")
        return pc.if_else(is_debit, pc.negate(digits), digits)

    def _ascii(self, name: str) -> Any:
        offset, length = self._fields[name]
        column = pc.binary_slice(self._lines, offset, offset + length)
        try:
            texts = pc.cast(column, pa.string())
            is_ascii = pc.string_is_ascii(texts)
        except pa.ArrowInvalid:
            raise Unfit(_first_not_ascii(column), f"{name} is not plain text") from None
        demand(is_ascii, f"{name} is not plain text")
        return texts


def _require_even(data: bytes, lines: int, stride: int, end: bytes) -> None:
    """Every line, and there are ``lines``, ends where its record does."""
    count, length = len(data) // stride, stride - len(end)
    ends = all(
        data[length + place :: stride] == end[place : place + 1] * count
        for place in range(len(end))
    )
    if ends and len(data) % stride == 0 and lines == count:
        return
    for row, line in enumerate(data.removesuffix(_NEWLINE).split(_NEWLINE)):
        found = len(line.removesuffix(b"\r"))
        if found != length or len(line) + 1 != stride:
            raise Unfit(row, f"it has {found} bytes, a record here has {length}")
    raise Unfit(0, "its records are not of one length")


def _require_blanks(data: bytes, places: Sequence[int], stride: int) -> None:
    """Between two fields there is a blank, in every record."""
    for place in places:
        column = data[place::stride]
        if column.strip(b" "):
            row = next(row for row, byte in enumerate(column) if byte != 0x20)
            raise Unfit(row, f"byte {place + 1} is not the blank between two fields")


def _first_not_ascii(column: Any) -> int:
    return next((row for row, raw in enumerate(column.to_pylist()) if not raw.isascii()), 0)
