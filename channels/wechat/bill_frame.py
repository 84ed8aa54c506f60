"""The frame of every file of WeChat Pay's: header, rows behind backticks, sums at the end.

Rules (reference ``channels.md`` B3):

* UTF-8, with or without a byte-order mark, or GBK where the header's names stand so, as a
  spreadsheet saves it; LF or CRLF. Each value of a row begins with a
  backtick, so values are cut at comma *and* backtick: what a shop writes may hold commas.
* The first line without a backtick after the rows is the header of the sums; one line of sums
  follows, and nothing after it but the commas of a spreadsheet. A file without them is cut; whoever
  reads it compares them.
* APIv2 answers a refusal in XML where the file would be: that is no bill, and it says why.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import pyarrow as pa

from channels.bill_archive import BillMember, members_of
from channels.bill_columns import Unfit
from channels.bill_table import TableShape, plain_name, read_rows, shape_of
from channels.bill_text import UTF8_BOM, Block, blocks, decoded
from channels.bills import BillAbsent, BillPending, BillRefused, BillUnavailable
from channels.wechat.bill_wire import refuse_xml
from channels.wechat.v2_xml import MOST_BYTES

_UTF8: Final = "utf-8"
_GBK: Final = "gb18030"
_SEPARATOR: Final = "\x1f"
"""Stands where comma and backtick stood; a file that has it by itself is refused."""
_TICK: Final = b"`"
_NOT_A_ROW: Final = re.compile(rb"\n(?=[^`])")
_NO_MARKS: Final = bytes(set(range(256)) - set(b"`,\n"))


def only_member(path: Path) -> BillMember:
    """The one file of what was delivered.

    Raises:
        BillRefused: there are more, or none.
    """
    members = members_of(path)
    if len(members) != 1:
        raise BillRefused(path.name, 0, "it holds more than one file")
    return members[0]


def header_of(member: BillMember) -> tuple[str, ...]:
    """The names of the first line. Raises as :func:`_head_of`."""
    return _head_of(member)[0]


def _head_of(member: BillMember) -> tuple[tuple[str, ...], str]:
    """The names of the first line, and the encoding that they stand in.

    Raises:
        BillRefused: it has none, or is WeChat Pay's refusal.
    """
    with member.opened() as source:
        head = source.read(MOST_BYTES)
    _refuse_refusals(head, member.name)
    line = head.removeprefix(UTF8_BOM).split(b"\n", 1)[0]
    encoding = _encoding_of(line)
    text = decoded(line, encoding, member.name, 1)
    return tuple(map(plain_name, text.strip().split(","))), encoding


def _encoding_of(line: bytes) -> str:
    """GBK only for what is text in it and not in UTF-8; names that come out wrong are not found."""
    try:
        line.decode(_UTF8)
    except UnicodeDecodeError:
        try:
            line.decode(_GBK)
        except UnicodeDecodeError:
            return _UTF8
        return _GBK
    return _UTF8


class Frame:
    """One file, taken apart: :meth:`rows` first, to the end, then :attr:`sums`."""

    def __init__(self, member: BillMember, needed: Sequence[str], optional: Sequence[str]) -> None:
        """Raises :class:`BillRefused` where the header lacks what is needed."""
        self.name = member.name
        self._member = member
        self._tail: list[str] = []
        self._tail_line = 0
        names, self._encoding = _head_of(member)
        try:
            self.shape: TableShape = shape_of(
                names,
                needed,
                self._encoding,
                optional=optional,
                delimiter=_SEPARATOR,
                quote=None,
            )
        except Unfit as unfit:
            raise BillRefused(member.name, 1, unfit.why) from None
        between = (b"," + _TICK) * (len(self.shape.names) - 1)
        self._marks_of_a_row = _TICK + between + b"\n"

    def rows(self) -> Iterator[Block]:
        """The rows in blocks, as they stand."""
        self._tail, self._tail_line = [], 0
        with self._member.opened() as source:
            for whole in blocks(source):
                block = whole
                if block.first_line == 1:
                    block = block.cut(block.data.find(b"\n") + 1 or len(block.data))[1]
                if not self._tail_line and block.data:
                    rows, block = block.cut(self._end_of_rows(block))
                    if rows.data:
                        yield rows
                if block.data:
                    self._take_tail(block)

    def sums(self) -> tuple[int, Mapping[str, str]]:
        """The line of the sums, and the sums by name.

        Raises:
            BillRefused: they are not there, or something else is.
        """
        if len(self._tail) != 2:
            line = self._tail_line
            raise BillRefused(self.name, line, "the sums at the end are missing: the file is cut")
        names = [plain_name(name) for name in self._tail[0].split(",")]
        values = self._tail[1].removeprefix("`").split(",`")
        if len(names) != len(values) or len(set(names)) != len(names):
            raise BillRefused(self.name, self._tail_line + 1, "the sums do not fit their names")
        return self._tail_line + 1, dict(zip(names, values, strict=True))

    def refused(self, line: int, why: str) -> BillRefused:
        """To refuse the file for one of its lines."""
        return BillRefused(self.name, line, why)

    def _end_of_rows(self, block: Block) -> int:
        """Where the first line without a backtick begins."""
        if not block.data.startswith(_TICK):
            return 0
        found = _NOT_A_ROW.search(block.data)
        return found.end() if found else len(block.data)

    def columns(self, rows: Block) -> Mapping[str, pa.StringArray]:
        """The needed columns of a block of :meth:`rows`; raises ``Unfit``.

        Where no value holds a comma or a backtick, the backticks are just taken out.
        """
        data = rows.data
        marks = data.translate(None, _NO_MARKS).removesuffix(b"\n") + b"\n"
        if marks == self._marks_of_a_row * rows.lines:
            plain = data.translate(None, _TICK)
            return read_rows(replace(rows, data=plain), replace(self.shape, delimiter=","))
        at = data.find(_SEPARATOR.encode())
        if at >= 0:
            raise Unfit(data.count(b"\n", 0, at), "a control character stands in it")
        plain = data[1:].replace(b"\n" + _TICK, b"\n").replace(b"," + _TICK, _SEPARATOR.encode())
        return read_rows(replace(rows, data=plain), self.shape)

    def _take_tail(self, block: Block) -> None:
        for line, text in block.texts(self._encoding, self.name):
            if not text:
                continue
            self._tail_line = self._tail_line or line
            if len(self._tail) >= 2 or text.startswith("`") is (not self._tail):
                raise self.refused(line, "it is neither a row nor the sums")
            self._tail.append(text.rstrip(","))


def _refuse_refusals(head: bytes, name: str) -> None:
    try:
        refuse_xml(head)
    except BillPending:
        why = "WeChat Pay's refusal, not a bill: the bill is being made"
    except BillAbsent:
        why = "WeChat Pay's refusal, not a bill: the day has none"
    except BillUnavailable as fault:
        why = f"WeChat Pay's refusal, not a bill: {fault}"
    else:
        return
    raise BillRefused(name, 1, why)
