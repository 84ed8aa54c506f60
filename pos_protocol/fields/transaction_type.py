"""F60: what kind of transaction, of which batch, read how (reference §2).

60.1 type n2 · 60.2 batch n6 · 60.3 management code n3 · 60.4 read capability n1 · 60.5
chip condition n1 · 60.6 partial approval n1 · 60.7 account type n3.

Rule: terminals send 8, 11, 12, 13, 14 or 17 digits, so reading takes as many parts as
there are digits and keeps what is none (two public messages have letters in the batch).
"""

from dataclasses import dataclass
from typing import Final

from pos_protocol.errors import CodecError

_WIDTHS: Final = (2, 6, 3, 1, 1, 1, 3)


@dataclass(frozen=True, slots=True)
class TransactionType:
    """The parts in order, ``""`` for each that is not there."""

    type_code: str
    batch: str
    management: str = ""
    read_capability: str = ""
    chip_condition: str = ""
    partial_approval: str = ""
    account_type: str = ""
    rest: str = ""


def parse_transaction_type(field_60: str) -> TransactionType:
    """As many parts as there are digits; the last may be cut short. Never raises."""
    return TransactionType(
        type_code=field_60[:2],
        batch=field_60[2:8],
        management=field_60[8:11],
        read_capability=field_60[11:12],
        chip_condition=field_60[12:13],
        partial_approval=field_60[13:14],
        account_type=field_60[14:17],
        rest=field_60[17:],
    )


def build_transaction_type(parts: TransactionType, digits: int | None = None) -> str:
    """All parts, or ``digits`` of them: cut, or filled with zeros, to what a terminal sends.

    Raises:
        CodecError: a part that has not its width, or one after a missing one.
    """
    whole = (
        parts.type_code, parts.batch, parts.management, parts.read_capability,
        parts.chip_condition, parts.partial_approval, parts.account_type,
    )  # fmt: skip
    is_over = False
    for part, width in zip(whole, _WIDTHS, strict=True):
        if (part and is_over) or len(part) not in (0, width):
            raise CodecError(60, -1, "a part that does not have its place")
        is_over = not part
    text = "".join(whole) + parts.rest
    return text if digits is None else text[:digits].ljust(digits, "0")
