"""UnionPay's files, made on the spot: records by byte offset, summaries, Unix compress."""

import io
import zipfile
from collections.abc import Mapping, Sequence

ZM_BYTES = 607
ZM: Mapping[str, tuple[int, int]] = {
    "code": (0, 3),
    "trace_time": (35, 10),
    "amount": (66, 12),
    "query_id": (87, 21),
    "order_id": (112, 32),
    "fee": (166, 13),
    "net": (180, 13),
    "txn_type": (215, 2),
    "name": (327, 32),
    "reserved": (397, 32),
    "original": (476, 32),
}
ACOM_LINE = (
    "48379219    00049992    747302 0803162152 6216261000000000018 000000000100 000000000000 "
    " 00000000000 0200 000000 1000 01080209 777290058160810 215228025551 00 000000 90880051   "
    " 000000 00 012 000000000000 000000000007  00000000003 1 000 0 0 0000000000 90880051    0 "
    "07 10  00000000000  000201 0000                          SZUP032018080316215228025551     "
    "        0401"
)
"""The published line of an ACOMN file, as the reference prints it (card number invented)."""


def record(length: int, places: Mapping[str, tuple[int, int]], **values: str) -> bytes:
    """One record, blanks where nothing is said."""
    line = bytearray(b" " * length)
    for name, value in values.items():
        offset, width = places[name]
        raw = value.encode("gbk")
        assert len(raw) <= width, name
        line[offset : offset + len(raw)] = raw
    return bytes(line)


def zm_row(
    order_id: str, amount_fen: int, fee_fen: int, *, refund_of: str = "", **more: str
) -> bytes:
    """A payment, or the refund of one."""
    sign, fee_sign, kind = ("D", "C", "04") if refund_of else ("C", "D", "01")
    values = {
        "code": "S56",
        "trace_time": "0906112203",
        "amount": f"{amount_fen:012}",
        "query_id": "201509061122031906248",
        "order_id": order_id,
        "fee": f"{fee_sign}{fee_fen:012}",
        "net": f"{sign}{amount_fen - fee_fen:012}",
        "txn_type": kind,
        "reserved": refund_of,
        "name": "街角小店",
        **more,
    }
    return record(ZM_BYTES, ZM, **values)


def rd(count: int, paid: int, returned: int, fees: int, back: int, day: str = "20150906") -> bytes:
    """A summary with one line of totals; amounts in fen."""

    def yuan(fen: int) -> str:
        return f"{fen // 100}.{fen % 100:02}"

    net = (paid - fees) - (returned - back)
    net_debit, net_credit = (-net, 0) if net < 0 else (0, net)
    figures = (returned, paid, fees, back, net_debit, net_credit)
    numbers = "  ".join(yuan(fen) for fen in figures)
    return (
        f"  中国银联全渠道商户交易汇总表\r\n清算日期:{day}\r\n交易类型\r\n总计  {count}  {numbers}\r\n"
    ).encode("gbk")


def zipped(files: Mapping[str, bytes]) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return whole.getvalue()


def lines(rows: Sequence[bytes], end: bytes = b"\r\n") -> bytes:
    return b"".join(row + end for row in rows)


def compressed(data: bytes, most_width: int = 16, *, block_mode: bool = True) -> bytes:
    """``data`` as Unix ``compress`` writes it, without its clearing of the table."""
    out = bytearray([0x1F, 0x9D, most_width | (0x80 if block_mode else 0)])
    first = 257 if block_mode else 256
    table = {bytes([byte]): byte for byte in range(256)}
    width, group, free, before = 9, bytearray(), first, b""

    def flush(bits: list[tuple[int, int]]) -> None:
        value, at = 0, 0
        for code, wide in bits:
            value |= code << at
            at += wide
        out.extend(value.to_bytes(-(-at // 8), "little"))

    del group
    pending: list[tuple[int, int]] = []

    def put(code: int) -> None:
        nonlocal pending
        pending.append((code, width))
        if len(pending) == 8:
            flush(pending)
            pending = []

    def widen() -> None:
        nonlocal pending, width
        if pending:
            padded = [*pending, *[(0, width)] * (8 - len(pending))]
            flush(padded)
            pending = []
        width += 1

    for byte in data:
        one = bytes([byte])
        if before + one in table:
            before += one
            continue
        put(table[before])
        if free < 1 << most_width:
            table[before + one] = free
            free += 1
        if width < most_width and free - 1 >= 1 << width:
            widen()
        before = one
    if before:
        put(table[before])
    if pending:
        flush(pending)
    return bytes(out)
