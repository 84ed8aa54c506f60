"""F62 of downloads and status queries: tag lists in blocks (reference §2, §3).

An answer begins with one character: ``0`` there is nothing, ``1`` this is the last
block, ``2`` more follow, ``3`` a list that ends here (queries say it of their last
block). A BER-TLV list follows. A query asks with ``1`` and the number n2 of the entries
that the terminal has already. The dialect's own text of these is not public: the
characters are what terminal programs send and expect, and the tags are the caller's.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pos_protocol.errors import CodecError, TlvError
from pos_protocol.fields.digits import number_at, written
from pos_protocol.tlv import ber_build, ber_items

BLOCK_BYTES_MAX: Final = 998
_ASKED: Final = b"1"
Tags = tuple[tuple[str, bytes], ...]


class BlockMark(enum.Enum):
    """The first character of an answer's F62."""

    EMPTY = "0"
    LAST = "1"
    MORE = "2"
    LIST_END = "3"


@dataclass(frozen=True, slots=True)
class DownloadBlock:
    """One answer; ``tags`` are hex names with their values, in order."""

    mark: BlockMark
    tags: Tags = ()

    @property
    def has_more(self) -> bool:
        """Whether the terminal should ask again."""
        return self.mark is BlockMark.MORE


def parse_block(field_62: bytes) -> DownloadBlock:
    """One answer's F62; raises :class:`CodecError` for another mark or a broken list."""
    marks = {mark.value.encode(): mark for mark in BlockMark}
    mark = marks.get(field_62[:1])
    if mark is None:
        raise CodecError(62, -1, "the first character is none of 0 to 3")
    try:
        return DownloadBlock(mark, ber_items(field_62[1:]))
    except TlvError as error:
        raise CodecError(62, -1, error.reason) from None


def build_block(block: DownloadBlock) -> bytes:
    """Mark and tag list; raises :class:`CodecError` when it does not fit into F62."""
    try:
        tags = ber_build(block.tags)
    except TlvError as error:
        raise CodecError(62, -1, error.reason) from None
    if len(tags) > BLOCK_BYTES_MAX:
        raise CodecError(62, -1, f"a block has at most {BLOCK_BYTES_MAX} bytes")
    return block.mark.value.encode() + tags


def cut_into_blocks(entries: Sequence[Tags]) -> tuple[DownloadBlock, ...]:
    """Whole entries (a key, an application), as many into each block as fit.

    Raises:
        CodecError: an entry that no block can hold.
    """
    packed: list[list[tuple[str, bytes]]] = [[]]
    room = BLOCK_BYTES_MAX
    for entry in entries:
        size = len(build_block(DownloadBlock(BlockMark.LAST, entry))) - 1
        if size > room:
            packed.append([])
            room = BLOCK_BYTES_MAX
        packed[-1].extend(entry)
        room -= size
    if not packed[0]:
        return (DownloadBlock(BlockMark.EMPTY),)
    last = len(packed) - 1
    return tuple(
        DownloadBlock(BlockMark.LAST if index == last else BlockMark.MORE, tuple(tags))
        for index, tags in enumerate(packed)
    )


def parse_query(field_62: bytes) -> int:
    """How many entries a query says the terminal has; raises :class:`CodecError`."""
    if len(field_62) != 3 or field_62[:1] != _ASKED:
        raise CodecError(62, -1, "a query says 1 and two digits")
    return number_at(62, "the number of entries", field_62[1:].decode("latin-1"))


def build_query(known_entries: int = 0) -> bytes:
    """``100`` for a terminal that has nothing yet."""
    return _ASKED + written(62, "the number of entries", known_entries, 2).encode()
