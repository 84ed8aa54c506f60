"""The transactions of the dialect, as data (reference §3 and the MAC scope of §4).

Rules:

* F64 is required exactly where a MAC is: money, reversals, advices, scripts and our own
  inquiries. None on sign-in, sign-out, echo, settlement, upload and download.
* A reversal repeats F3, F22, F25 and 60.1 of what it reverses, so its row is made
  from that row.
* Nothing here says what the gateway supports: that is the gateway's own list.
* A processing code of 39 is ISO 8583's "private inquiry", 60.1 of 91 to 93 is used by
  nobody we know of: the two inquiries and the code to show there are Posgate's own.
"""

from collections.abc import Iterator
from typing import Final

from pos_protocol.transaction_kinds import Transaction, TransactionKind

_K = TransactionKind

_SALE: Final = (3, 4, 11, 22, 25, 41, 42, 49, 60, 64)
_BALANCE: Final = (3, 11, 22, 25, 41, 42, 49, 60, 64)
_LIVE_CODE: Final = (3, 4, 11, 25, 41, 42, 49, 60, 64)
_STATUS: Final = (3, 11, 25, 41, 42, 49, 60, 61, 64)
MONEY_ECHOED: Final = (2, 3, 4, 11, 14, 25, 41, 42, 49, 53, 60)
_QR_ECHOED: Final = (3, 4, 11, 25, 41, 42, 49, 59, 60)
_MANAGEMENT_ECHOED: Final = (11, 41, 42, 60)
_SETTLEMENT_ECHOED: Final = (11, 41, 42, 49, 60, 63)

_SALE_ADDED: Final = (12, 13, 15, 32, 37, 38, 39, 44, 63, 64)
_NO_AUTHORISATION: Final = (12, 13, 15, 32, 37, 39, 44, 63, 64)
_REVERSAL_ADDED: Final = (12, 13, 15, 32, 37, 39, 44, 64)
_BALANCE_ADDED: Final = (12, 13, 32, 37, 39, 44, 54, 64)
_STATUS_ADDED: Final = (12, 13, 37, 39, 62, 64)
_MANAGEMENT_ADDED: Final = (12, 13, 32, 37, 39)


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
    added: tuple[int, ...] = _SALE_ADDED,
    *,
    is_private: bool = False,
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
        added=added,
        has_mac=True,
        is_private=is_private,
    )


CARD: Final = (
    _money(_K.BALANCE, "0200", "310000", "00", "01", _BALANCE, added=_BALANCE_ADDED),
    _money(_K.SALE, "0200", "000000", "00", "22"),
    _money(_K.VOID, "0200", "200000", "00", "23", _with(_SALE, 37, 61)),
    _money(
        _K.REFUND, "0220", "200000", "00", "25", _with(_SALE, 37, 61, 63), added=_NO_AUTHORISATION
    ),
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
    _money(_K.ADJUSTMENT, "0220", "000000", "00", "32", _with(_SALE, 61)),
    _money(_K.TIP, "0220", "000000", "00", "34", _with(_SALE, 48, 61)),
    _money(_K.OFFLINE_ECASH, "0200", "000000", "00", "36"),
    _money(_K.ECASH_LOAD, "0200", "600000", "91", "45"),
    _money(_K.ECASH_LOAD, "0200", "630000", "91", "46"),
    _money(_K.ECASH_LOAD, "0200", "620000", "91", "47"),
    _money(
        _K.STATUS_INQUIRY, "0200", "390000", "00", "92", _STATUS,
        added=_STATUS_ADDED, is_private=True,
    ),
    _money(
        _K.LIVE_CODE, "0200", "390000", "00", "93", _LIVE_CODE,
        added=_STATUS_ADDED, is_private=True,
    ),
)  # fmt: skip
"""What comes with a card, or with neither card nor code."""

SCANS: Final = (
    _money(
        _K.QR_SALE, "0200", "000000", "00", "22", _with(_SALE, 59), _QR_ECHOED, _NO_AUTHORISATION
    ),
    _money(
        _K.QR_VOID, "0200", "200000", "00", "23", _with(_SALE, 59, 61), _QR_ECHOED,
        _NO_AUTHORISATION,
    ),
    _money(
        _K.QR_REFUND, "0220", "200000", "00", "25", _with(_SALE, 59, 61), _QR_ECHOED,
        _NO_AUTHORISATION,
    ),
    _money(
        _K.QR_QUERY, "0200", "390000", "00", "91", _with(_BALANCE, 59), _QR_ECHOED,
        _STATUS_ADDED, is_private=True,
    ),
)  # fmt: skip
"""What comes with a scanned code (F22 03x)."""

_NEVER_REVERSED: Final = frozenset({_K.BALANCE, _K.QR_QUERY, _K.STATUS_INQUIRY, _K.LIVE_CODE})


def _reversals(rows: tuple[Transaction, ...]) -> tuple[Transaction, ...]:
    """Every 0100 and 0200 may be reversed but an inquiry; advices and refunds never."""
    return tuple(
        _reversal(row) for row in rows if row.mti != "0220" and row.kind not in _NEVER_REVERSED
    )


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
        added=_REVERSAL_ADDED,
        has_mac=True,
        original=row.kind,
    )


CARD_REVERSALS: Final = _reversals(CARD)
SCAN_REVERSALS: Final = _reversals(SCANS)


def _management(
    kind: TransactionKind,
    mti: str,
    codes: str,
    required: tuple[int, ...] = (41, 42, 60),
    echoed: tuple[int, ...] = _MANAGEMENT_ECHOED,
    added: tuple[int, ...] = _MANAGEMENT_ADDED,
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
            added=added,
            has_mac=has_mac,
        )


_LINES = (11, 41, 42, 48, 60)
_CHIP_LINES = (11, 41, 42, 60, 62)
_NOTICE = (3, 4, 11, 22, 25, 41, 42, 49, 60)
_DOWNLOADED = (12, 13, 37, 39, 62)
MANAGEMENT: Final = (
    # F63 (the operator) is in the table of §3, and real terminals leave it out
    *_management(_K.SIGN_IN, "0800", "001 003 004 005 006", (11, 41, 42, 60),
                 added=(12, 13, 32, 37, 39, 62)),
    *_management(_K.SIGN_OUT, "0820", "002", (11, 41, 42, 60)),
    *_management(_K.ECHO, "0820", "301", added=(12, 13, 39)),
    # the one answer without F39: whether the totals agree is said in F48
    *_management(_K.SETTLEMENT, "0500", "201", (11, 41, 42, 48, 49, 60, 63), _SETTLEMENT_ECHOED,
                 (12, 13, 15, 32, 37, 48)),
    *_management(_K.UPLOAD, "0320", "201", _LINES, (11, 41, 42, 48, 60)),
    *_management(_K.UPLOAD, "0320", "203 204 205 206", _CHIP_LINES),
    *_management(_K.UPLOAD_END, "0320", "202 207", _LINES, (11, 41, 42, 48, 60)),
    *_management(_K.NOTICE_UPLOAD, "0320", "000", _NOTICE, MONEY_ECHOED),
    *_management(_K.SCRIPT_RESULT, "0620", "951", _with(_SALE, 61), MONEY_ECHOED,
                 (12, 13, 32, 37, 39, 64), has_mac=True),
    *_management(_K.DOWNLOAD, "0800", "360 364 370 380 390 394", added=_DOWNLOADED),
    *_management(_K.DOWNLOAD_END, "0800", "361 365 371 381 391 395", added=(12, 13, 37, 39)),
    *_management(_K.QUERY, "0820", "362 372 373 382", added=_DOWNLOADED),
    *_management(_K.MASTER_KEY_DOWNLOAD, "0800", "400 138", added=_DOWNLOADED),
    *_management(_K.E_RECEIPT, "0820", "800 801 802 803 804 805 806 807 808"),
)  # fmt: skip
"""What is named by F60.3 alone."""

TRANSACTIONS: Final = (*CARD, *SCANS, *CARD_REVERSALS, *SCAN_REVERSALS, *MANAGEMENT)
"""Every row, for documents and tests; ``transactions.identify`` finds one."""
