"""Which transaction a message is, and whether it is whole.

Rules: one dictionary look-up names a message, (MTI, F3, F25, 60.1, is a scan) for
money, (MTI, 60.3) for management. The rows are in ``transaction_table.py``.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from pos_protocol.errors import CodecError
from pos_protocol.message import Message
from pos_protocol.tlv import scanned_code, voucher_number
from pos_protocol.transaction_kinds import SETTLEMENT_KINDS, Transaction, TransactionKind
from pos_protocol.transaction_table import (
    CARD,
    CARD_REVERSALS,
    MANAGEMENT,
    MONEY_ECHOED,
    SCAN_REVERSALS,
    SCANS,
    TRANSACTIONS,
)

__all__ = [
    "MONEY_ECHOED",
    "SETTLEMENT_KINDS",
    "TRANSACTIONS",
    "Transaction",
    "TransactionKind",
    "batch_of",
    "identify",
    "is_reply",
    "is_request",
    "management_of",
    "missing_fields",
    "reply_mti",
    "request_mti",
    "row_of",
]

_QR_SALE: Final = TransactionKind.QR_SALE
_QR_QUERY: Final = TransactionKind.QR_QUERY
"""Looked up with every message: a global is, a member of an enumeration is not, cheap."""
NO_MANAGEMENT: Final = "000"
_MONEY_MTIS: Final = frozenset({"0100", "0200", "0220", "0400"})
_SCAN_ENTRY: Final = "03"
_ASKING: Final = ("0", "2", "4", "6")
"""The third digit of a request's MTI."""
_Key = tuple[str, str | bytes | None, str | bytes | None, str, bool]


def _money_index() -> Mapping[_Key, Transaction]:
    index: dict[_Key, Transaction] = {}
    tables: tuple[tuple[bool, Iterable[Transaction]], ...] = (
        (False, (*CARD, *CARD_REVERSALS)),
        (True, (*SCANS, *SCAN_REVERSALS)),
    )
    for is_scan, rows in tables:
        for row in rows:
            index[row.mti, row.processing_code, row.condition, row.type_code, is_scan] = row
    return MappingProxyType(index)


_BY_MONEY_KEY: Final = _money_index()
_BY_MANAGEMENT_KEY: Final[Mapping[tuple[str, str], Transaction]] = MappingProxyType(
    {(row.mti, row.management): row for row in MANAGEMENT}
)


def identify(message: Message) -> Transaction | None:
    """The row that ``message`` is a request of, ``None`` when there is none."""
    get, mti = message.fields.get, message.mti
    field_60 = str(get(60, ""))
    if mti not in _MONEY_MTIS:
        return _BY_MANAGEMENT_KEY.get((mti, field_60[8:11] or NO_MANAGEMENT))
    is_scan = str(get(22, ""))[:2] == _SCAN_ENTRY
    return _BY_MONEY_KEY.get((mti, get(3), get(25), field_60[:2], is_scan))


@lru_cache(maxsize=256)
def row_of(kind: TransactionKind, management: str = "", type_code: str = "") -> Transaction:
    """The first row of a kind that is no reversal's, with this 60.3 and 60.1 if given.

    Raises:
        KeyError: there is none.
    """
    for row in TRANSACTIONS:
        has_codes = management in ("", row.management) and type_code in ("", row.type_code)
        if row.kind is kind and has_codes:
            return row
    raise KeyError(f"{kind.value} has no such row")


def missing_fields(message: Message, transaction: Transaction) -> tuple[int, ...]:
    """The fields a request lacks, ascending; empty when it is complete.

    2 stands for "neither F2 nor track 2", 59 also for a scan without a code in A3 (a
    query of one: without code and voucher number).
    """
    fields = message.fields
    missing: list[int] = []
    if not transaction.required_set <= fields.keys():
        missing = [number for number in transaction.required if number not in fields]
    if transaction.needs_card and 2 not in fields and 35 not in fields:
        missing.insert(0, 2)
    kind = transaction.kind
    if (kind is _QR_SALE or kind is _QR_QUERY) and 59 not in missing:
        field_59 = message.text(59)
        named = scanned_code(field_59) or (kind is _QR_QUERY and voucher_number(field_59))
        if not named:
            missing = sorted([*missing, 59])
    return tuple(missing)


@lru_cache(maxsize=64)
def reply_mti(mti: str) -> str:
    """The MTI of the answer: the request's plus 10 (0200 → 0210, 0820 → 0830).

    Raises:
        CodecError: not a request's four digits.
    """
    if not (len(mti) == 4 and mti.isascii() and mti.isdigit() and mti[2] in _ASKING):
        raise CodecError(0, -1, "not the MTI of a request")
    return f"{mti[:2]}{int(mti[2]) + 1}{mti[3]}"


def is_request(mti: str) -> bool:
    """Whether a host may answer it: :func:`reply_mti` has an answer's MTI for it."""
    return mti[2:3] in _ASKING


def request_mti(mti: str) -> str:
    """The MTI that an answer's belongs to (0210 → 0200); a request's own as it is."""
    return f"{mti[:2]}{int(mti[2]) - 1}{mti[3]}" if is_reply(mti) else mti


def is_reply(mti: str) -> bool:
    """Whether an MTI is an answer's: its third digit is odd."""
    return mti[2:3] in ("1", "3", "5", "7")


def batch_of(message: Message) -> str:
    """60.2, the batch number; ``""`` when F60 is too short for one."""
    batch = message.text(60)[2:8]
    return batch if len(batch) == 6 else ""


def management_of(message: Message) -> str:
    """60.3, the management code; 000 when F60 is too short for one."""
    return message.text(60)[8:11] or NO_MANAGEMENT
