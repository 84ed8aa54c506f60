"""A channel that delivers bills, a reader of them, and a store of nights, without sockets."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from channels.bill_rows import BILL_SCHEMA
from channels.bills import BillAbsent, BillPending, BillRefused, BillTotals, FetchedBill
from reconciliation.days import business_day
from reconciliation.orders import STORED_SCHEMA


class ScriptedBills:
    """``Bills``: what each day's file holds is put here; a day that is not here is not made yet."""

    bill_kinds: Sequence[str] = ("trade",)

    def __init__(self) -> None:
        self.days: dict[date, list[dict[str, Any]] | None] = {}
        self.fetched = 0

    def bill_due_ms(self, day: date) -> int:
        return business_day("alipay").due_ms(day)

    async def fetch_bill(self, kind: str, day: date, folder: Path) -> FetchedBill:
        self.fetched += 1
        if day not in self.days:
            raise BillPending("not made yet")
        rows = self.days[day]
        if rows is None:
            raise BillAbsent
        file = folder / f"{day}.jsonl"
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
        file.write_bytes(data)
        return FetchedBill(kind=kind, day=day, path=file, sha256=hashlib.sha256(data).hexdigest())


class JsonReader:
    """One JSON object a line: the shortest bill there can be."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: list[dict[str, Any]] = []

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for number, line in enumerate(self._path.read_text().splitlines(), 1):
            try:
                row = json.loads(line)
            except ValueError:
                raise BillRefused(self._path.name, number, "not a line of a bill") from None
            self._rows.append(_bill_row(row, number))
        yield pa.RecordBatch.from_pylist(self._rows, schema=BILL_SCHEMA)

    def totals(self) -> BillTotals:
        def of(kind: str) -> list[int]:
            return [row["amount_fen"] for row in self._rows if row["kind"] == kind]

        return BillTotals(
            lines=len(self._rows),
            payments=len(of("payment")),
            payments_fen=sum(of("payment")),
            refunds=len(of("refund")),
            refunds_fen=sum(of("refund")),
            fee_mfen=sum(row["fee_mfen"] for row in self._rows),
            footer_agrees=None,
        )


def _bill_row(row: dict[str, Any], number: int) -> dict[str, Any]:
    usual = {
        "kind": "payment", "refund_no": "", "trade_no": f"T{number}", "status": "", "fee_mfen": 0,
        "currency": "CNY", "at_ms": 0, "line": number,
    }  # fmt: skip
    return usual | row


class JsonFormat:
    """``BillFormat`` of :class:`ScriptedBills`."""

    kinds = ("trade",)

    def kind_of(self, path: Path) -> str:
        return "trade"

    def open(self, kind: str, path: Path, day: date | None = None) -> JsonReader:
        return JsonReader(path)


class ScriptedOrders:
    """``OrderSource``: rows of ``STORED_SCHEMA`` by account."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def sold(self, order_no: str, at_ms: int, **changes: Any) -> None:
        """One payment of ours, captured unless it says otherwise."""
        row = {
            "kind": "payment", "order_no": order_no, "refund_no": "", "status": "succeeded",
            "amount_fen": 1000, "captured_fen": 1000, "currency": "CNY", "subject": f"pay_{order_no}",
            "merchant_no": "m1", "store_id": "", "terminal_id": "", "method": "auth_code",
            "made_at_ms": at_ms, "channel_at_ms": at_ms,
        }  # fmt: skip
        self.rows.append(row | changes)

    @contextmanager
    def made_between(
        self, account_id: str, from_ms: int, until_ms: int
    ) -> Iterator[Iterator[pa.RecordBatch]]:
        yield self._batches([row for row in self.rows if from_ms <= row["made_at_ms"] < until_ms])

    def booked_between(
        self, account_id: str, from_ms: int, until_ms: int, *, made_before_ms: int
    ) -> Iterator[pa.RecordBatch]:
        """What has the channel's time is booked at that time."""
        orders = {
            row["order_no"]
            for row in self.rows
            if row["kind"] == "payment" and row["made_at_ms"] < made_before_ms
        }
        moved = {row["order_no"] for row in self.rows if from_ms <= row["channel_at_ms"] < until_ms}
        return self._batches([row for row in self.rows if row["order_no"] in orders & moved])

    def named(self, account_id: str, order_nos: Sequence[str]) -> Iterator[pa.RecordBatch]:
        wanted = frozenset(order_nos)
        return self._batches([row for row in self.rows if row["order_no"] in wanted])

    def _batches(self, rows: list[dict[str, Any]]) -> Iterator[pa.RecordBatch]:
        if rows:
            yield pa.RecordBatch.from_pylist(rows, schema=STORED_SCHEMA)


class SetClock:
    """A clock that a test moves."""

    def __init__(self, now_ms: int) -> None:
        self.at_ms = now_ms

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_s(self) -> float:
        return self.at_ms / 1000


__all__ = ["JsonFormat", "ScriptedBills", "ScriptedOrders", "SetClock", "replace"]
