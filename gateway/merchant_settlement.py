"""Merchants' days settled: from the ledger's own postings, once, with what is carried.

Rules:

* A merchant's day is every posting on its account of that Beijing day; nothing counts twice
  or never, whatever a bill says later (that is a difference, and its repair a posting).
* A statement is written once and never changes; settling a day again writes only what is
  missing. Days are settled in order, since each begins with what the last carried out.
* Our fee goes to the ledger in an entry of its own, under the statement's name, so that it
  is posted once for all tries.
"""

import asyncio
import json
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, Final, TypeVar

from channels.bills import BillKind
from domain.clock import Clock
from domain.ledger import Entry, Posting, merchant_payable
from gateway.store.port import LedgerEntry, Store
from reconciliation.days import BusinessDay
from reconciliation.night_records import StoredRate, StoredStatement
from reconciliation.settlement import SettledItem, Statement, settle

T = TypeVar("T")
REVENUE: Final = "revenue:fees"
_DAY: Final = BusinessDay(begins_h=0, due_h=0)


def day_window(day: date) -> tuple[int, int]:
    """The first ms of a Beijing day, and of the next."""
    return _DAY.start_ms(day), _DAY.start_ms(day + timedelta(days=1))


async def settle_day(
    store: Store, clock: Clock, day: date, rows: Iterable[Mapping[str, Any]], nights: Path
) -> Sequence[StoredStatement]:
    """Settle ``day`` from its postings, ordered by merchant and currency.

    ``rows`` are ``PostedItems`` of the store, read in a thread and never held all at once;
    ``nights`` the folder where the nights left the channels' fees.
    """
    fees = _channel_fees(nights, day)
    kept = set()
    for statement in await store.statements(day):
        kept.add((statement.merchant_no, statement.currency))
        await _post_fee(store, clock, statement)  # whoever wrote it may have died before this
    loop = asyncio.get_running_loop()

    def ask(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    def settle_all() -> None:
        for (merchant_no, currency), items in groupby(rows, key=_whose):
            if (merchant_no, currency) in kept:
                continue
            stored = ask(store.rates(merchant_no))
            before = ask(store.last_statement(merchant_no, currency, day))
            fee_mfen = fees.get((merchant_no, currency), 0)
            statement = _statement(items, stored, before, fee_mfen, day)
            whole = StoredStatement(
                merchant_no=merchant_no,
                day=day,
                currency=currency,
                statement=statement,
                created_at_ms=clock.now_ms(),
            )
            ask(_keep(store, clock, whole))

    await asyncio.to_thread(settle_all)
    return await store.statements(day)


async def _keep(store: Store, clock: Clock, statement: StoredStatement) -> None:
    if await store.add_statement(statement):
        await _post_fee(store, clock, statement)  # else whoever wrote it posts it


def _statement(
    rows: Iterable[Mapping[str, Any]],
    stored: Sequence[StoredRate],
    before: StoredStatement | None,
    fee_mfen: int,
    day: date,
) -> Statement:
    return settle(
        map(_item, rows),
        [one.rate for one in stored],
        channel_fee_mfen=fee_mfen,
        bears_channel_fee=_bears(stored, day),
        carried_in_fen=0 if before is None else before.statement.carried_out_fen,
    )


async def _post_fee(store: Store, clock: Clock, kept: StoredStatement) -> None:
    fee_fen = kept.statement.our_fee_fen
    if not fee_fen:
        return
    payable = merchant_payable(kept.merchant_no)
    lines = (
        Posting(Entry.FEE, payable, fee_fen, kept.currency),
        Posting(Entry.FEE, REVENUE, -fee_fen, kept.currency),
    )
    name = f"settle_{kept.merchant_no}_{kept.day:%Y%m%d}_{kept.currency}"[-64:]
    await store.post(
        LedgerEntry(
            entry_id=name,
            postings=lines,
            by="settlement",
            why=f"our fee of {kept.day}",
            at_ms=clock.now_ms(),
        )
    )


def _whose(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["merchant_no"], row["currency"]


def _item(row: Mapping[str, Any]) -> SettledItem:
    return SettledItem(
        kind=BillKind(row["kind"]),
        amount_fen=row["amount_fen"],
        channel=row["channel"],
        method=row["method"],
        paid_on=_DAY.of(row["paid_at_ms"]),
        paid_fen=row["paid_fen"],
        returned_before_fen=row["returned_before_fen"],
    )


def _bears(rates: Sequence[StoredRate], day: date) -> bool:
    """By the youngest rate in force."""
    in_force = [one for one in rates if one.rate.since <= day]
    return bool(in_force) and max(in_force, key=lambda one: one.rate.since).bears_channel_fee


def _channel_fees(nights: Path, day: date) -> Mapping[tuple[str, str], int]:
    """What every account's night left of the merchants' fees, summed in mfen."""
    sums: dict[tuple[str, str], int] = {}
    for file in _fee_files(nights, day):
        for merchant_no, currency, mfen in json.loads(file.read_text()):
            sums[merchant_no, currency] = sums.get((merchant_no, currency), 0) + mfen
    return sums


def _fee_files(nights: Path, day: date) -> Iterator[Path]:
    if nights.is_dir():
        for account in sorted(nights.iterdir()):
            file = account / day.isoformat() / "fees.json"
            if file.is_file():
                yield file
