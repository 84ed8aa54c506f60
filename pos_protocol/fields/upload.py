"""A batch upload's lines: F48 of magnetic ones, F62 of chip ones (reference §2).

Magnetic: a count n2, then up to eight times 40 digits: card class n2 (00 domestic, 01
foreign), trace n6, PAN n20 (right-aligned, zeros before it), amount n12. End of the
upload: how many lines in all, n4. Chip: ``61`` (or ``71``, an attempt that failed), card
class, ``00``, amount n12, currency n3, as text, then whatever the terminal adds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from pos_protocol.errors import CodecError
from pos_protocol.fields.digits import exactly, number_at, written

LINES_MAX: Final = 8
_LINE: Final = 40
_PAN: Final = 20
_CHIP: Final = 21
_CLASSES: Final = ("00", "01")
_CHIP_DONE: Final = "61"
_CHIP_FAILED: Final = "71"


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLine:
    """One transaction of a batch; ``pan`` without the zeros before it."""

    trace: str
    pan: str = field(repr=False)
    amount_fen: int
    is_foreign: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipLine:
    """F62 of a chip transaction in an upload; its card is in F2, F23 and F55."""

    amount_fen: int
    is_foreign: bool = False
    has_failed: bool = False
    currency: str = "156"
    rest: str = field(default="", repr=False)


def parse_lines(field_48: str) -> tuple[UploadLine, ...]:
    """The lines; raises :class:`CodecError` when the count and the digits disagree."""
    count = number_at(48, "the count", field_48[:2])
    if count > LINES_MAX or len(field_48) != 2 + count * _LINE:
        raise CodecError(48, -1, f"{count} lines do not make {len(field_48)} digits")
    starts = range(2, len(field_48), _LINE)
    return tuple(_line(field_48[start : start + _LINE]) for start in starts)


def _line(digits: str) -> UploadLine:
    number_at(48, "a line", digits)
    return UploadLine(
        trace=digits[2:8],
        pan=digits[8:28].lstrip("0"),
        amount_fen=int(digits[28:]),
        is_foreign=_is_foreign(48, digits[:2]),
    )


def build_lines(lines: Sequence[UploadLine]) -> str:
    """Up to :data:`LINES_MAX` lines; raises :class:`CodecError` for what has no form."""
    if len(lines) > LINES_MAX:
        raise CodecError(48, -1, f"at most {LINES_MAX} lines go into one message")
    parts = [f"{len(lines):02d}"]
    for line in lines:
        if len(line.pan) > _PAN or line.pan.startswith("0"):
            raise CodecError(48, -1, "a card number has at most 20 digits and no zero first")
        pan = exactly(48, "a card number", line.pan.rjust(_PAN, "0"), _PAN)
        trace = exactly(48, "a trace number", line.trace, 6)
        amount = written(48, "an amount", line.amount_fen, 12)
        parts.append(_CLASSES[line.is_foreign] + trace + pan + amount)
    return "".join(parts)


def blocks(lines: Sequence[UploadLine]) -> tuple[tuple[UploadLine, ...], ...]:
    """A batch, cut into what goes into one message each."""
    starts = range(0, len(lines), LINES_MAX)
    return tuple(tuple(lines[start : start + LINES_MAX]) for start in starts)


def parse_count(field_48: str) -> int:
    """How many lines an upload had, as its end says; raises :class:`CodecError`."""
    return number_at(48, "the count", exactly(48, "the count", field_48, 4))


def build_count(count: int) -> str:
    """Four digits."""
    return written(48, "the count", count, 4)


def parse_chip_line(field_62: bytes) -> ChipLine:
    """F62 of a chip upload; raises :class:`CodecError` when it is none."""
    text = field_62.decode("latin-1")
    kind, card_class, currency = text[:2], text[2:4], text[18:_CHIP]
    if len(text) < _CHIP or kind not in (_CHIP_DONE, _CHIP_FAILED):
        raise CodecError(62, -1, "not a chip transaction's upload")
    return ChipLine(
        amount_fen=number_at(62, "the amount", text[6:18]),
        is_foreign=_is_foreign(62, card_class),
        has_failed=kind == _CHIP_FAILED,
        currency=exactly(62, "the currency", currency, 3),
        rest=text[_CHIP:],
    )


def build_chip_line(line: ChipLine) -> bytes:
    """21 characters and the rest."""
    kind = _CHIP_FAILED if line.has_failed else _CHIP_DONE
    amount = written(62, "the amount", line.amount_fen, 12)
    currency = exactly(62, "the currency", line.currency, 3)
    try:
        rest = line.rest.encode("latin-1")
    except UnicodeEncodeError:
        raise CodecError(62, -1, "the rest is no single-byte text") from None
    return f"{kind}{_CLASSES[line.is_foreign]}00{amount}{currency}".encode() + rest


def _is_foreign(field: int, card_class: str) -> bool:
    if card_class not in _CLASSES:
        raise CodecError(field, -1, "a card class is 00 or 01")
    return card_class == _CLASSES[True]
