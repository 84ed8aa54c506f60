"""A day's volume by any of its dimensions, from what its nights left. Pure but for reading files.

Rules: the nights' ``report.parquet`` hold sums by account, merchant, store, terminal, cashier,
method, hour and kind; a report adds them up by the dimensions that are asked for, in the order of
their names, so that the same day makes the same bytes.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet

from reconciliation.exports import amount_text, harmless

DIMENSIONS: Final = (
    "day", "channel", "account_id", "merchant_no", "store_id", "terminal_id", "cashier", "method",
    "hour",
)  # fmt: skip
_SUMS: Final = ("payments", "payments_fen", "refunds", "refunds_fen", "fee_mfen")
_HEADINGS: Final[Mapping[str, str]] = {
    "day": "业务日 day",
    "channel": "渠道 channel",
    "account_id": "渠道账户 account",
    "merchant_no": "商户 merchant",
    "store_id": "门店 store",
    "terminal_id": "终端 terminal",
    "cashier": "收银员 cashier",
    "method": "支付方式 method",
    "hour": "小时 hour",
    "payments": "支付笔数 payments",
    "payments_fen": "支付金额 payments_yuan",
    "refunds": "退款笔数 refunds",
    "refunds_fen": "退款金额 refunds_yuan",
    "fee_mfen": "手续费 fees_yuan",
}
Row = dict[str, Any]


def night_rows(file: Path, day: date, channel: str, account_id: str) -> Iterator[Row]:
    """The rows of one night's report, with the dimensions that all of its rows share."""
    for row in pyarrow.parquet.read_table(file).to_pylist():
        yield (
            {"cashier": ""}
            | row
            | {"day": day.isoformat(), "channel": channel, "account_id": account_id}
        )


def report(rows: Iterable[Row], dimensions: Sequence[str]) -> list[Row]:
    """The sums by ``dimensions``.

    Raises:
        ValueError: one of them is none of :data:`DIMENSIONS`.
    """
    unknown = [name for name in dimensions if name not in DIMENSIONS]
    if unknown:
        raise ValueError(f"no dimension {unknown[0]!r}; there are {', '.join(DIMENSIONS)}")
    sums: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        key = tuple(row[name] for name in dimensions)
        found = sums.setdefault(
            key, dict(zip(dimensions, key, strict=True)) | dict.fromkeys(_SUMS, 0)
        )
        word = "payments" if row["kind"] == "payment" else "refunds"
        found[word] += row["lines"]
        found[f"{word}_fen"] += row["amount_fen"]
        found["fee_mfen"] += row["fee_mfen"]
    return [sums[key] for key in sorted(sums)]


def report_csv(rows: Sequence[Row], dimensions: Sequence[str]) -> bytes:
    """For a spreadsheet: amounts in yuan."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([_HEADINGS[name] for name in (*dimensions, *_SUMS)])
    for row in rows:
        writer.writerow(
            [
                *(harmless(str(row[name])) for name in dimensions),
                row["payments"],
                amount_text(row["payments_fen"], "fen"),
                row["refunds"],
                amount_text(row["refunds_fen"], "fen"),
                amount_text(row["fee_mfen"], "mfen"),
            ]
        )
    return out.getvalue().encode("utf-8-sig")


def report_parquet(rows: Sequence[Row], dimensions: Sequence[str]) -> bytes:
    """For programs: amounts in fen and thousandths of one."""
    kinds = {name: pa.int64() for name in (*_SUMS, "hour")}
    fields = [(name, kinds.get(name, pa.string())) for name in (*dimensions, *_SUMS)]
    table = pa.Table.from_pylist(list(rows), schema=pa.schema(fields))
    out = pa.BufferOutputStream()
    pyarrow.parquet.write_table(table, out, compression="zstd")
    return bytes(out.getvalue().to_pybytes())
