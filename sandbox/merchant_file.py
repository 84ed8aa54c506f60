"""A merchant's files of a clearing day as UnionPay makes them (``channels.md`` C2).

Rules: detail (ZM) records of 607 bytes and error (ZME) records of 339, cut by offset, GBK,
CRLF, a blank between fields; the fee is 0.6 % of an amount, half a fen and more rounded up, and
what goes back gives its fee back. The summary (RD) adds up the detail, not the errors.
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from domain.clock import beijing
from domain.money import format_yuan

ACQUIRER: Final = "88022900"
SENDER: Final = "00049993"
_ZM_BYTES: Final = 607
_ZME_BYTES: Final = 339
_BLANKS_AT_ZERO: Final = ((360, 13), (430, 13), (444, 13), (458, 12))


@dataclass(frozen=True, slots=True, kw_only=True)
class MerchantRow:
    """A transaction as the merchant is told of it.

    ``txn_type`` is ACP's: 01 and 03 pay, 04, 31 and 33 give back. ``pan`` is masked.
    """

    code: str
    trace: str
    at_ms: int
    pan: str = field(repr=False)
    amount_fen: int
    trade_no: str
    order_id: str
    txn_type: str
    sub_type: str
    terminal_id: str = ""
    original_trade_no: str = ""
    original_order_id: str = ""
    original_trace: str = ""
    original_at_ms: int = 0
    reserved: str = ""
    fee_beside_fen: int = 0
    """What its fee is more than it should be."""

    @property
    def is_return(self) -> bool:
        """Whether money goes back."""
        return self.txn_type in ("04", "31", "33")


def fee_fen(amount_fen: int) -> int:
    """0.6 %."""
    return (amount_fen * 6 + 500) // 1000


def _fee_fen(row: MerchantRow) -> int:
    return fee_fen(row.amount_fen) + row.fee_beside_fen


def day_zip(
    rows: Sequence[MerchantRow], errors: Sequence[MerchantRow], merchant_id: str, day: date
) -> bytes:
    """Detail and summary, and the errors where there are any."""
    files = {
        f"INN{day:%y%m%d}88ZM_{merchant_id}": b"".join(
            _detail(row, merchant_id) + b"\r\n" for row in rows
        ),
        f"RD2010{day:%y%m%d}01_{merchant_id}": _summary(rows, merchant_id, f"{day:%Y%m%d}"),
    }
    if errors:
        files[f"INN{day:%y%m%d}88ZME_{merchant_id}"] = b"".join(
            _error(row, merchant_id) + b"\r\n" for row in errors
        )
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return whole.getvalue()


def _signs(row: MerchantRow) -> tuple[str, str]:
    """Of what is settled, and of its fee."""
    return ("D", "C") if row.is_return else ("C", "D")


def stamp(at_ms: int) -> str:
    """``MMDDhhmmss`` in Beijing; zeros for no time."""
    return f"{beijing(at_ms):%m%d%H%M%S}" if at_ms else "0" * 10


def _detail(row: MerchantRow, merchant_id: str) -> bytes:
    line = bytearray(b" " * _ZM_BYTES)
    for offset, length in _BLANKS_AT_ZERO:
        line[offset : offset + length] = b"0" * length
    fee, (sign, fee_sign) = _fee_fen(row), _signs(row)
    written(
        line,
        {
            0: row.code,
            4: ACQUIRER,
            16: SENDER,
            28: row.trace,
            35: stamp(row.at_ms),
            46: row.pan,
            66: f"{row.amount_fen:012}",
            79: "5411",
            84: "07",
            87: row.trade_no,
            109: "01",
            112: row.order_id[:32],
            145: "01",
            148: row.original_trace,
            155: stamp(row.original_at_ms) if row.original_trace else "",
            166: f"{fee_sign}{fee:012}",
            180: f"{sign}{row.amount_fen - fee:012}",
            194: "0001",
            215: row.txn_type,
            218: row.sub_type,
            221: "000000",
            271: row.original_trade_no,
            293: merchant_id,
            311: "0" * 15,
            374: f"{sign}{row.amount_fen - fee:012}",
            388: row.terminal_id,
            397: row.reserved[:32],
            474: "7",
            476: row.original_order_id[:32],
        },
    )
    return bytes(line)


def _error(row: MerchantRow, merchant_id: str) -> bytes:
    line = bytearray(b" " * _ZME_BYTES)
    fee, (sign, fee_sign) = _fee_fen(row), _signs(row)
    written(
        line,
        {
            0: row.code,
            4: ACQUIRER,
            16: SENDER,
            28: row.trace,
            35: stamp(row.at_ms),
            46: row.pan,
            66: f"{row.amount_fen:012}",
            79: "5411",
            84: "07",
            90: row.original_trace,
            97: stamp(row.original_at_ms),
            113: row.trade_no[-12:],
            126: f"{fee_sign}{fee:012}",
            140: f"{sign}{row.amount_fen - fee:012}",
            154: merchant_id,
        },
    )
    return bytes(line)


def written(line: bytearray, values: Mapping[int, str]) -> None:
    """Put each text at its byte."""
    for offset, text in values.items():
        raw = text.encode("gbk")
        line[offset : offset + len(raw)] = raw


def _summary(rows: Sequence[MerchantRow], merchant_id: str, day: str) -> bytes:
    returned = [row for row in rows if row.is_return]
    paid = [row for row in rows if not row.is_return]
    debit, credit = sum(o.amount_fen for o in returned), sum(o.amount_fen for o in paid)
    fees, back = (sum(map(_fee_fen, some)) for some in (paid, returned))
    net = (credit - fees) - (debit - back)
    figures = (debit, credit, fees, back, max(0, -net), max(0, net))
    numbers = "".join(format_yuan(fen).rjust(16) for fen in figures)
    text = (
        "中国银联全渠道商户交易汇总表\r\n\r\n"
        f"商户代码:{merchant_id}    清算币种:人民币\r\n收单机构:{ACQUIRER}    清算日期:{day}\r\n\r\n"
        f"交易类型    交易笔数    交易金额    费用    资金清算差额\r\n"
        f"总计  {len(rows):>10}{numbers}\r\n"
    )
    return text.encode("gbk")
