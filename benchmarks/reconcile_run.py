"""One measured step of the metric ``reconcile``, in a process of its own.

``python -m benchmarks.reconcile_run night|parquet|floor|pandas FOLDER`` prints one JSON line:
seconds, the process's CPU seconds (its start among them) and peak memory, and what it found.
"""

import asyncio
import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from benchmarks.reconcile_files import DAY, RATE_PPM
from channels.bill_formats import bill_format
from gateway.batch_night import day_differences
from gateway.sources import SystemClock
from gateway.store.engine import store_for
from gateway.store.migrate import migrate
from gateway.store.order_source import read_copy
from gateway.store.port import Store
from reconciliation.day_figures import NightFolder, day_figures
from reconciliation.day_page import PAGE_NAME, day_page
from reconciliation.days import business_day
from reconciliation.engine import EngineBounds
from reconciliation.exports import differences_csv, summary_csv, write_files
from reconciliation.job import NightJob
from reconciliation.night_account import NightAccount
from reconciliation.night_records import Night
from reconciliation.orders import entries_of
from reconciliation.rates import ChannelRate
from reconciliation.workbook import workbook

_ON: Final = date.fromisoformat(DAY)
_BOUNDS: Final = EngineBounds(memory_mb=2560, threads=2)


class CopiedOrders:
    """``OrderSource`` over the file that a COPY left."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @contextmanager
    def made_between(
        self, account_id: str, from_ms: int, until_ms: int
    ) -> Iterator[Iterator[pa.RecordBatch]]:
        """The whole file: it is of that day."""
        yield read_copy(self._file)

    def booked_between(
        self, account_id: str, from_ms: int, until_ms: int, *, made_before_ms: int
    ) -> Iterator[pa.RecordBatch]:
        """Nothing older: the file is of that day."""
        return iter(())

    def named(self, account_id: str, order_nos: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Nothing more: what the file lacks, nobody has."""
        return iter(())


async def _night(folder: Path) -> dict[str, Any]:
    url = f"sqlite:///{folder / 'night.db'}"
    await migrate(url)
    store = store_for(url)
    await store.open()
    began_s = time.perf_counter()
    job = NightJob(
        store=store,
        source=CopiedOrders(folder / "orders.csv"),
        clock=SystemClock(),
        folder=folder / "nights",
        bounds=_BOUNDS,
        post_fee=_no_fee,
        export=_Exports(store, folder / "exports"),
    )
    account = NightAccount(
        account_id="a1",
        channel="alipay",
        format=bill_format("alipay"),
        kind="trade",
        bills=None,
        rate=ChannelRate(rate_ppm=RATE_PPM),
        carry_days=0,
        fee_tolerance_mfen=500,
    )
    night = await job.run(account, _ON, folder / "bill.csv")
    seconds = time.perf_counter() - began_s
    kinds = Counter(one.found.kind.value for one in await day_differences(store, [night]))
    await store.close()
    return {"seconds": seconds, "state": night.state.value, "error": night.error, "kinds": kinds}


async def _no_fee(_channel: str, _account_id: str, _day: date, _fee_fen: int) -> None:
    """The ledger is not what is measured here: one row."""


class _Exports:
    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder

    async def __call__(self, account: NightAccount, night: Night, folder: Path) -> None:
        found = await day_differences(self._store, [night])
        files = {
            "summary.csv": summary_csv([night]),
            "differences.csv": differences_csv(found),
            "reconciliation.xlsx": workbook([night], found),
            PAGE_NAME: day_page(_ON, day_figures([NightFolder("alipay", folder)]), found),
        }
        write_files(self._folder, files)


def _parquet(folder: Path) -> dict[str, Any]:
    """Both sides as Parquet: what the floor begins with."""
    reader = bill_format("alipay").open("trade", folder / "bill.csv", _ON)
    _write(folder / "bill.parquet", iter(reader))
    kind = business_day("alipay")
    ours = (entries_of(batch, kind) for batch in read_copy(folder / "orders.csv"))
    _write(folder / "ours.parquet", ours)
    return {"seconds": 0.0}


def _write(file: Path, batches: Iterator[pa.RecordBatch]) -> None:
    import pyarrow.parquet  # noqa: PLC0415 - only this step writes it by itself

    first = next(batches)
    with pyarrow.parquet.ParquetWriter(file, first.schema) as writer:
        writer.write_batch(first)
        for batch in batches:
            writer.write_batch(batch)


def _floor(folder: Path) -> dict[str, Any]:
    """DuckDB joins what is in Parquet already, and counts what differs."""
    began_s = time.perf_counter()
    database = duckdb.connect(config={"threads": 2, "memory_limit": "2560MB"})
    row = database.execute(
        f"SELECT count(*) FROM '{folder}/bill.parquet' b FULL JOIN '{folder}/ours.parquet' o "
        "USING (kind, order_no, refund_no) WHERE b.amount_fen IS DISTINCT FROM o.amount_fen"
    ).fetchone()
    return {"seconds": time.perf_counter() - began_s, "found": row[0] if row else 0}


def _pandas(folder: Path) -> dict[str, Any]:
    """The obvious way: read both raw files, merge, compare."""
    import pandas  # noqa: PLC0415 - only this step needs it

    began_s = time.perf_counter()
    bill = pandas.read_csv(
        folder / "bill.csv", encoding="gb18030", comment="#", dtype=str, header=0
    )
    names = ["kind", "order_no", "refund_no", "status", "amount_fen", "captured_fen", "currency",
             "subject", "merchant_no", "store_id", "terminal_id", "method", "made", "at",
             "cashier"]  # fmt: skip
    ours = pandas.read_csv(folder / "orders.csv", names=names, dtype={"order_no": str})
    bill["order_no"] = bill["商户订单号"].str.strip()
    bill["fen"] = (bill["订单金额（元）"].astype("float64") * 100).round().astype("int64")
    merged = bill[["order_no", "fen"]].merge(ours, on="order_no", how="outer", indicator=True)
    found = int(((merged["_merge"] != "both") | (merged["fen"] != merged["amount_fen"])).sum())
    return {"seconds": time.perf_counter() - began_s, "found": found}


def main() -> None:
    """Run one step and print what it came to."""
    step, folder = sys.argv[1], Path(sys.argv[2])
    if step == "night":
        found = asyncio.run(_night(folder))
    else:
        found = {"parquet": _parquet, "floor": _floor, "pandas": _pandas}[step](folder)
    used = resource.getrusage(resource.RUSAGE_SELF)
    found["cpu_s"] = used.ru_utime + used.ru_stime
    found["peak_mb"] = used.ru_maxrss / 1024
    print(json.dumps(found))


if __name__ == "__main__":
    main()
