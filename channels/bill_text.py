r"""A bill's text as blocks of whole lines, so that any size takes the same memory.

Rules: lines are counted from 1 and end with ``\n``; a ``\r`` before it belongs to the
end; a line has a bound. A file is cut into lines and columns before it is decoded: in
UTF-8, GBK and GB 18030 the bytes of comma, quote, tab and newline are never part of
another character. So what is read is decoded strictly, and a product's name that the
channel cut in the middle of a character spoils nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from channels.bill_archive import BillSource
from channels.bills import BillRefused

BLOCK_BYTES: Final = 2 * 1024 * 1024
MAX_LINE_BYTES: Final = 64 * 1024
UTF8_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Block:
    """``lines`` whole lines; the last one of a file may lack its newline."""

    data: bytes = field(repr=False)
    first_line: int
    lines: int

    @property
    def last_line(self) -> int:
        """The number of its last line."""
        return self.first_line + max(self.lines, 1) - 1

    def cut(self, offset: int) -> tuple["Block", "Block"]:
        """What is before ``offset``, which begins a line, and what begins there."""
        head, tail = self.data[:offset], self.data[offset:]
        before = head.count(b"\n") if tail else self.lines
        return (
            Block(head, self.first_line, before),
            Block(tail, self.first_line + before, self.lines - before),
        )

    def texts(self, encoding: str, name: str) -> Iterator[tuple[int, str]]:
        """Its lines one by one, with their numbers, decoded, without blanks around them.

        Raises:
            BillRefused: a line is not text in ``encoding``.
        """
        if not self.data:
            return
        end = self.data.removesuffix(b"\n")
        for line, raw in enumerate(end.split(b"\n"), self.first_line):
            yield line, decoded(raw, encoding, name, line).strip()


def decoded(raw: bytes, encoding: str, name: str, line: int) -> str:
    """One line's text.

    Raises:
        BillRefused: it is not text in ``encoding``.
    """
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        raise BillRefused(name, line, f"it is not text in {encoding.upper()}") from None


def blocks(source: BillSource, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """The bytes of ``source`` in blocks of whole lines.

    Raises:
        BillRefused: a line is longer than any bill's, or the source cannot be read.
    """
    rest, line = b"", 1
    while piece := source.read(block_bytes):
        cut = piece.rfind(b"\n") + 1
        if cut:
            block = _block(rest + piece[:cut], line)
            yield block
            line += block.lines
            rest = piece[cut:]
        else:
            rest += piece
        if len(rest) > MAX_LINE_BYTES:
            raise BillRefused(source.name, line, f"it is longer than {MAX_LINE_BYTES} bytes")
    if rest:
        yield _block(rest, line)


def _block(data: bytes, first_line: int) -> Block:
    return Block(data, first_line, data.count(b"\n") + (0 if data.endswith(b"\n") else 1))
