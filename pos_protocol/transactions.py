"""The transactions of the dialect, as data (reference §3 and the MAC scope of §4).

Rules:

* A message is named by one dictionary look-up: (MTI, F3, F25, 60.1, is a scan) for
  money, (MTI, 60.3) for management.
* F64 is required exactly where a MAC is: money, reversals, advices, scripts. None
  on sign-in, sign-out, echo, settlement, upload and download.
* A reversal repeats F3, F22, F25 and 60.1 of what it reverses, so its row is made
  from that row.
* Nothing here says what the gateway supports: that is the gateway's own list.
"""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from pos_protocol.errors import CodecError
from pos_protocol.message import Message
from pos_protocol.tlv import scanned_code


class TransactionKind(enum.Enum):
    """What a terminal asks for."""

    SIGN_IN = "sign_in"
    SIGN_OUT = "sign_out"
    ECHO = "echo"
    SALE = "sale"
    QR_SALE = "qr_sale"
    REVERSAL = "reversal"
    BALANCE = "balance"
    VOID = "void"
    QR_VOID = "qr_void"
    REFUND = "refund"
    QR_REFUND = "qr_refund"
    PREAUTH = "preauth"
    PREAUTH_VOID = "preauth_void"
    PREAUTH_ADDITIONAL = "preauth_additional"
    PREAUTH_MOTO = "preauth_moto"
    COMPLETION = "completion"
    COMPLETION_ADVICE = "completion_advice"
    COMPLETION_VOID = "completion_void"
    INSTALMENT_SALE = "instalment_sale"
    POINTS_SALE = "points_sale"
    MOTO_SALE = "moto_sale"
    OFFLINE_SALE = "offline_sale"
    ADJUSTMENT = "adjustment"
    TIP = "tip"
    OFFLINE_ECASH = "offline_ecash"
    ECASH_LOAD = "ecash_load"
    SETTLEMENT = "settlement"
    UPLOAD = "upload"
    NOTICE_UPLOAD = "notice_upload"
    SCRIPT_RESULT = "script_result"
    DOWNLOAD = "download"
    DOWNLOAD_END = "download_end"
    QUERY = "query"
    MASTER_KEY_DOWNLOAD = "master_key_download"
    E_RECEIPT = "e_receipt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """One row. ``original`` is what a ``REVERSAL`` undoes.

    ``required`` are the fields that a request must have (F64 among them if
    ``has_mac``); ``echoed`` those that the answer repeats if the request had them.
    ``management`` is 60.3, ``type_code`` 60.1.
    """

    kind: TransactionKind
    mti: str
    processing_code: str
    condition: str
    type_code: str
    management: str
    required: tuple[int, ...]
    echoed: tuple[int, ...]
    has_mac: bool
    original: TransactionKind | None = None
    required_set: frozenset[int] = field(init=False, repr=False, compare=False)
    """``required``, for one look whether all are there."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "required_set", frozenset(self.required))

    @property
    def needs_card(self) -> bool:
        """Whether the request must carry a card number, in F2 or in track 2."""
        return self.kind in _CARD_KINDS


_K = TransactionKind
_CARD_KINDS: Final = frozenset(
    {
        _K.SALE,
        _K.BALANCE,
        _K.PREAUTH,
        _K.PREAUTH_ADDITIONAL,
        _K.PREAUTH_MOTO,
        _K.INSTALMENT_SALE,
        _K.POINTS_SALE,
        _K.MOTO_SALE,
    }
)

_SALE: Final = (3, 4, 11, 22, 25, 41, 42, 49, 60, 64)
_BALANCE: Final = (3, 11, 22, 25, 41, 42, 49, 60, 64)
MONEY_ECHOED: Final = (2, 3, 4, 11, 14, 25, 41, 42, 49, 53, 60)
_QR_ECHOED: Final = (3, 4, 11, 25, 41, 42, 49, 59, 60)
_MANAGEMENT_ECHOED: Final = (11, 41, 42, 60)
_SETTLEMENT_ECHOED: Final = (11, 41, 42, 49, 60, 63)


def _with(fields: tuple[int, ...], *more: int) -> tuple[int, ...]:
    return tuple(sorted({*fields, *more}))


def _money(
    kind: TransactionKind,
    mti: str,
    processing_code: str,
    condition: str,
    type_code: str,
    required: tuple[int, ...] = _SALE,
    echoed: tuple[int, ...] = MONEY_ECHOED,
) -> Transaction:
    return Transaction(
        kind=kind,
        mti=mti,
        processing_code=processing_code,
        condition=condition,
        type_code=type_code,
        management="000",
        required=required,
        echoed=echoed,
        has_mac=True,
    )


_CARD = (
    _money(_K.BALANCE, "0200", "310000", "00", "01", _BALANCE),
    _money(_K.SALE, "0200", "000000", "00", "22"),
    _money(_K.VOID, "0200", "200000", "00", "23", _with(_SALE, 37, 61)),
    _money(_K.REFUND, "0220", "200000", "00", "25", _with(_SALE, 37, 61, 63)),
    _money(_K.PREAUTH, "0100", "030000", "06", "10"),
    _money(_K.PREAUTH_VOID, "0100", "200000", "06", "11", _with(_SALE, 38, 61)),
    _money(_K.COMPLETION, "0200", "000000", "06", "20", _with(_SALE, 38, 61)),
    _money(_K.COMPLETION_ADVICE, "0220", "000000", "06", "24", _with(_SALE, 38, 61)),
    _money(_K.COMPLETION_VOID, "0200", "200000", "06", "21", _with(_SALE, 37, 61)),
    _money(_K.PREAUTH_ADDITIONAL, "0100", "030000", "60", "10"),
    _money(_K.PREAUTH_MOTO, "0100", "030000", "18", "10"),
    _money(_K.INSTALMENT_SALE, "0200", "000000", "64", "22"),
    _money(_K.POINTS_SALE, "0200", "000000", "65", "22"),
    _money(_K.MOTO_SALE, "0200", "000000", "08", "22"),
    _money(_K.OFFLINE_SALE, "0220", "000000", "00", "30"),
    _money(_K.ADJUSTMENT, "0220", "000000", "00", "32"),
    _money(_K.TIP, "0220", "000000", "00", "34"),
    _money(_K.OFFLINE_ECASH, "0200", "000000", "00", "36"),
    _money(_K.ECASH_LOAD, "0200", "600000", "91", "45"),
    _money(_K.ECASH_LOAD, "0200", "630000", "91", "46"),
    _money(_K.ECASH_LOAD, "0200", "620000", "91", "47"),
)

_SCANS = (
    _money(_K.QR_SALE, "0200", "000000", "00", "22", _with(_SALE, 59), _QR_ECHOED),
    _money(_K.QR_VOID, "0200", "200000", "00", "23", _with(_SALE, 59, 61), _QR_ECHOED),
    _money(_K.QR_REFUND, "0220", "200000", "00", "25", _with(_SALE, 59, 61), _QR_ECHOED),
)


def _reversals(rows: tuple[Transaction, ...]) -> tuple[Transaction, ...]:
    """Every 0100 and 0200 may be reversed but a balance; advices and refunds never."""
    return tuple(_reversal(row) for row in rows if row.mti != "0220" and row.kind is not _K.BALANCE)


def _reversal(row: Transaction) -> Transaction:
    # the voucher and authorisation of a void are in its F61; F59 is not demanded again
    original_data = (61,) if 61 in row.required else ()
    return Transaction(
        kind=_K.REVERSAL,
        mti="0400",
        processing_code=row.processing_code,
        condition=row.condition,
        type_code=row.type_code,
        management="000",
        required=_with(_SALE, 39, *original_data),
        echoed=row.echoed,
        has_mac=True,
        original=row.kind,
    )


_CARD_REVERSALS = _reversals(_CARD)
_SCAN_REVERSALS = _reversals(_SCANS)


def _management(
    kind: TransactionKind,
    mti: str,
    codes: str,
    required: tuple[int, ...] = (41, 42, 60),
    echoed: tuple[int, ...] = _MANAGEMENT_ECHOED,
    *,
    has_mac: bool = False,
) -> Iterator[Transaction]:
    """One row for each 60.3 in ``codes`` (separated by blanks)."""
    for code in codes.split():
        yield Transaction(
            kind=kind,
            mti=mti,
            processing_code="",
            condition="",
            type_code="00",
            management=code,
            required=required,
            echoed=echoed,
            has_mac=has_mac,
        )


_UPLOAD_CODES = "201 202 203 204 205 206 207"
_DOWNLOAD_CODES = "360 364 370 380 390 394"
_DOWNLOAD_END_CODES = "361 365 371 381 391 395"
_RECEIPT_CODES = "800 801 802 803 804 805 806 807 808"
_MANAGEMENT = (
    # F63 (the operator) is in the table of §3, and real terminals leave it out
    *_management(_K.SIGN_IN, "0800", "001 003 004 005 006", (11, 41, 42, 60)),
    *_management(_K.SIGN_OUT, "0820", "002", (11, 41, 42, 60)),
    *_management(_K.ECHO, "0820", "301"),
    *_management(_K.SETTLEMENT, "0500", "201", (11, 41, 42, 48, 49, 60, 63), _SETTLEMENT_ECHOED),
    *_management(_K.UPLOAD, "0320", _UPLOAD_CODES, (11, 41, 42, 48, 60)),
    *_management(_K.NOTICE_UPLOAD, "0320", "000", (3, 4, 11, 22, 25, 41, 42, 49, 60), MONEY_ECHOED),
    *_management(_K.SCRIPT_RESULT, "0620", "951", _with(_SALE, 61), MONEY_ECHOED, has_mac=True),
    *_management(_K.DOWNLOAD, "0800", _DOWNLOAD_CODES),
    *_management(_K.DOWNLOAD_END, "0800", _DOWNLOAD_END_CODES),
    *_management(_K.QUERY, "0820", "362 372 373 382"),
    *_management(_K.MASTER_KEY_DOWNLOAD, "0800", "400 138"),
    *_management(_K.E_RECEIPT, "0820", _RECEIPT_CODES),
)

TRANSACTIONS: Final = (*_CARD, *_SCANS, *_CARD_REVERSALS, *_SCAN_REVERSALS, *_MANAGEMENT)
"""Every row, for documents and tests; :func:`identify` finds one."""

_MONEY_MTIS: Final = frozenset({"0100", "0200", "0220", "0400"})
_SCAN_ENTRY: Final = "03"
_Key = tuple[str, str, str, str, bool]


def _money_index() -> Mapping[_Key, Transaction]:
    index: dict[_Key, Transaction] = {}
    tables = ((False, (*_CARD, *_CARD_REVERSALS)), (True, (*_SCANS, *_SCAN_REVERSALS)))
    for is_scan, rows in tables:
        for row in rows:
            index[row.mti, row.processing_code, row.condition, row.type_code, is_scan] = row
    return MappingProxyType(index)


_BY_MONEY_KEY: Final = _money_index()
_BY_MANAGEMENT_KEY: Final[Mapping[tuple[str, str], Transaction]] = MappingProxyType(
    {(row.mti, row.management): row for row in _MANAGEMENT}
)


def identify(message: Message) -> Transaction | None:
    """The row that ``message`` is a request of, ``None`` when there is none."""
    field_60 = message.text(60)
    if message.mti not in _MONEY_MTIS:
        return _BY_MANAGEMENT_KEY.get((message.mti, field_60[8:11] or "000"))
    is_scan = message.text(22)[:2] == _SCAN_ENTRY
    return _BY_MONEY_KEY.get(
        (message.mti, message.text(3), message.text(25), field_60[:2], is_scan)
    )


def missing_fields(message: Message, transaction: Transaction) -> tuple[int, ...]:
    """The fields a request lacks, ascending; empty when it is complete.

    2 stands for "neither F2 nor track 2", 59 also for a scan without a code in A3.
    """
    fields = message.fields
    missing: list[int] = []
    if not transaction.required_set <= fields.keys():
        missing = [number for number in transaction.required if number not in fields]
    if transaction.needs_card and 2 not in fields and 35 not in fields:
        missing.insert(0, 2)
    if transaction.kind is _K.QR_SALE and 59 not in missing and not scanned_code(message.text(59)):
        missing = sorted([*missing, 59])
    return tuple(missing)


@lru_cache(maxsize=64)
def reply_mti(mti: str) -> str:
    """The MTI of the answer: the request's plus 10 (0200 → 0210, 0820 → 0830).

    Raises:
        CodecError: not a request's four digits.
    """
    if not (len(mti) == 4 and mti.isascii() and mti.isdigit() and mti[2] in "0246"):
        raise CodecError(0, -1, "not the MTI of a request")
    return f"{mti[:2]}{int(mti[2]) + 1}{mti[3]}"


def is_reply(mti: str) -> bool:
    """Whether an MTI is an answer's: its third digit is odd."""
    return mti[2:3] in ("1", "3", "5", "7")


def batch_of(message: Message) -> str:
    """60.2, the batch number; ``""`` when F60 is too short for one."""
    batch = message.text(60)[2:8]
    return batch if len(batch) == 6 else ""
