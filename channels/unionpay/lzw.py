"""Unix ``compress`` (.Z), read: how card acquirers are sent their files. Pure but for the file.

Rules: LZW with codes of 9 to 16 bits, the lowest bit first, in groups of eight codes; a
change of width skips to the next group. Bounded: the file, the table (text that repeats
makes long entries) and, by whoever reads, what comes out. Whatever is wrong is an
``EOFError`` or an ``OSError``, as with a damaged gzip.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, cast

MAGIC: Final = b"\x1f\x9d"
MAX_PACKED_BYTES: Final = 256 * 1024**2
MAX_TABLE_BYTES: Final = 64 * 1024**2
_FIRST_WIDTH: Final = 9
_MOST_WIDTH: Final = 16
_CLEAR: Final = 256
_PIECE_BYTES: Final = 256 * 1024


def open_compressed(path: Path) -> IO[bytes]:
    """What is in the file at ``path``, as it is read; raises ``OSError``."""
    with path.open("rb") as file:
        packed = file.read(MAX_PACKED_BYTES + 1)
    if len(packed) > MAX_PACKED_BYTES:
        raise OSError("it is too large")
    return cast(IO[bytes], io.BufferedReader(_Pieces(unpacked(packed)), _PIECE_BYTES))


def unpacked(packed: bytes) -> Iterator[bytes]:
    """The pieces that ``packed`` holds.

    Raises:
        OSError: not such a file, or a damaged one.
    """
    if packed[:2] != MAGIC or len(packed) < 3:
        raise OSError("it is not a .Z file")
    most_width, has_clear = packed[2] & 0x1F, bool(packed[2] & 0x80)
    if not _FIRST_WIDTH <= most_width <= _MOST_WIDTH:
        raise OSError("its code width is not one of .Z")
    table = _Table(most_width, has_clear)
    piece = bytearray()
    for code in _codes(packed, table):
        piece += table.take(code)
        if len(piece) >= _PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


class _Table:
    """The entries so far, and how wide the next code is."""

    def __init__(self, most_width: int, has_clear: bool) -> None:
        self._most = 1 << most_width
        self._most_width = most_width
        self.has_clear = has_clear
        self.clear()

    def clear(self) -> None:
        """Begin again: single bytes, and no code before."""
        self._entries = [bytes([byte]) for byte in range(256)]
        if self.has_clear:
            self._entries.append(b"")
        self._bytes = 0
        self._before = b""
        self.width = _FIRST_WIDTH

    def is_due(self) -> bool:
        """Whether the next code is wider."""
        return self.width < self._most_width and len(self._entries) >= 1 << self.width

    def take(self, code: int) -> bytes:
        """The entry of ``code``; what it makes of the one before is the table's next."""
        before = self._before
        if code < len(self._entries):
            entry = self._entries[code]
        elif code == len(self._entries) and before:
            entry = before + before[:1]
        else:
            raise OSError("it is damaged: a code that nothing made")
        if before and len(self._entries) < self._most:
            self._entries.append(before + entry[:1])
            self._bytes += len(before) + 1
            if self._bytes > MAX_TABLE_BYTES:
                raise OSError("its text repeats itself beyond the bound")
        self._before = entry
        return entry


def _codes(packed: bytes, table: _Table) -> Iterator[int]:
    """The codes one by one; the table tells how wide each is."""
    at = group = 3 * 8
    end = len(packed) * 8
    while True:
        if table.is_due():
            at = group = _next_group(at, group, table.width)
            table.width += 1
        if at + table.width > end:
            return
        window = int.from_bytes(packed[at >> 3 : (at >> 3) + 3], "little")
        code = window >> (at & 7) & ((1 << table.width) - 1)
        at += table.width
        if code == _CLEAR and table.has_clear:
            at = group = _next_group(at, group, table.width)
            table.clear()
            continue
        yield code


def _next_group(at: int, group: int, width: int) -> int:
    """Where the next eight codes begin, counted from where this width began."""
    size = 8 * width
    return group + -(-(at - group) // size) * size


class _Pieces(io.RawIOBase):
    """An iterator of pieces as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""

    def readable(self) -> bool:
        """It is only read."""
        return True

    def readinto(self, buffer: object) -> int:
        """As ``io.RawIOBase``."""
        view = memoryview(buffer)  # type: ignore[arg-type]  # typeshed's Buffer is of 3.12
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = piece
        count = min(len(view), len(self._left))
        view[:count] = self._left[:count]
        self._left = self._left[count:]
        return count
