"""The simulated UnionPay's file of a clearing day, from its own charges (``channels.md`` C2).

Rules: records of 607 bytes by offset, GBK, CRLF; the fee is 0.6 % of an amount, half a fen
and more rounded up; a refund gives its fee back. The summary (RD) adds up the same rows. A
reversed sale is in neither.
"""

import io
import zipfile
from typing import Final

from domain.clock import beijing
from domain.money import format_yuan
from sandbox.unionpay_qr_books import Order, UnionPayBooks, clearing_day

_RECORD_BYTES: Final = 607
_BLANKS_AT_ZERO: Final = ((360, 13), (430, 13), (444, 13), (458, 12))


def fee_fen(amount_fen: int) -> int:
    """0.6 %."""
    return (amount_fen * 6 + 500) // 1000


def day_file(
    books: UnionPayBooks, mer_id: str, settle_date: str, now_ms: int
) -> tuple[str, bytes] | None:
    """Name and zip of the latest clearing day of that date; ``None`` if nothing was cleared."""
    books.tick(now_ms)
    rows = [
        order
        for order in books
        if order.done
        and not order.reversed
        and order.kind in ("01", "03", "04", "31", "33")
        and f"{clearing_day(order.created_at_ms):%m%d}" == settle_date
    ]
    if not rows:
        return None
    day = clearing_day(rows[-1].created_at_ms)
    detail = b"".join(_record(order, mer_id) + b"\r\n" for order in rows)
    files = {
        f"INN{day:%y%m%d}88ZM_{mer_id}": detail,
        f"RD2010{day:%y%m%d}01_{mer_id}": _summary(rows, mer_id, f"{day:%Y%m%d}"),
    }
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return f"{mer_id}_{day:%Y%m%d}.zip", whole.getvalue()


def _is_return(order: Order) -> bool:
    return order.kind in ("04", "31", "33")


def _record(order: Order, mer_id: str) -> bytes:
    line = bytearray(b" " * _RECORD_BYTES)
    amount, fee = order.amount_fen, fee_fen(order.amount_fen)
    sign, fee_sign = ("D", "C") if _is_return(order) else ("C", "D")
    values = {
        0: "S56",
        4: "88022900",
        16: "00049993",
        28: order.query_id[14:20],
        35: f"{beijing(order.created_at_ms):%m%d%H%M%S}",
        46: "622609******0048",
        66: f"{amount:012}",
        79: "5411",
        84: "07",
        87: order.query_id,
        109: "01",
        112: order.order_id[:32],
        145: "01",
        166: f"{fee_sign}{fee:012}",
        180: f"{sign}{amount - fee:012}",
        194: "0001",
        215: order.kind,
        218: order.sub_type,
        221: "000000",
        271: order.original.query_id if order.original is not None else "",
        293: mer_id,
        311: "0" * 15,
        374: f"{sign}{amount - fee:012}",
        397: order.reserved[:32],
        474: "7",
        476: order.original.order_id[:32] if order.original is not None else "",
    }
    for offset, length in _BLANKS_AT_ZERO:
        line[offset : offset + length] = b"0" * length
    for offset, text in values.items():
        raw = text.encode("gbk")
        line[offset : offset + len(raw)] = raw
    return bytes(line)


def _summary(rows: list[Order], mer_id: str, day: str) -> bytes:
    returned = [order for order in rows if _is_return(order)]
    paid = [order for order in rows if not _is_return(order)]
    debit, credit = sum(o.amount_fen for o in returned), sum(o.amount_fen for o in paid)
    fees, back = (sum(fee_fen(o.amount_fen) for o in some) for some in (paid, returned))
    net = (credit - fees) - (debit - back)
    figures = (debit, credit, fees, back, max(0, -net), max(0, net))
    numbers = "".join(format_yuan(fen).rjust(16) for fen in figures)
    text = (
        "中国银联全渠道商户交易汇总表\r\n\r\n"
        f"商户代码:{mer_id}    清算币种:人民币\r\n收单机构:88022900    清算日期:{day}\r\n\r\n"
        f"交易类型    交易笔数    交易金额    费用    资金清算差额\r\n"
        f"总计  {len(rows):>10}{numbers}\r\n"
    )
    return text.encode("gbk")
