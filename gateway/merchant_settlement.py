"""Merchants' days settled: from the ledger's own postings, once, with what is carried.

Rules:

* A merchant's day is every posting on its account of that Beijing day; nothing counts twice
  or never, whatever a bill says later (that is a difference, and its repair a posting). What was
  posted on a day after it was settled is taken into the next one, and named (``unsettled.py``).
* A statement is written once and never changes; settling a day again writes only what is
  missing. Days are settled in order, since each begins with what the last carried out: a day with
  postings is left out by none that follows.
* A channel's fee goes with the day of its bill, and with the next day that is settled where that
  one has no posting. Who bears it is not settled before it is known.
* Our fee goes to the ledger in an entry of its own, under the statement's name, so that it
  is posted once for all tries.
"""

import asyncio
import json
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, Final, TypeVar

from channels.bills import BillKind
from domain.clock import Clock
from domain.errors import Conflict
from domain.ledger import Entry, Posting, merchant_payable
from gateway.store.port import LedgerEntry, Store
from gateway.unsettled import BEIJING_DAY, Held, OfDay, Posted, held_by, late_days, looked_at_from
from reconciliation.night_records import NightState, StoredRate, StoredStatement
from reconciliation.settlement import Late, SettledItem, settle

T = TypeVar("T")
REVENUE: Final = "revenue:fees"
_FEES: Final = "fees.json"
"""In a night's folder: the channel's fees by merchant."""
_EVENING_MS: Final = 3_600_000
"""What is sold in a day's last hour is of UnionPay's next clearing day."""
GRACE_MS: Final = 3_600_000
"""How long after its end a day may be settled: what is posted has its time from before its
commit, by its own machine's clock, and is not there at midnight yet."""


def is_over(day: date, now_ms: int) -> bool:
    """Whether ``day`` may be settled."""
    return now_ms >= day_window(day)[1] + GRACE_MS


def day_window(day: date) -> tuple[int, int]:
    """The first ms of a Beijing day, and of the next."""
    return BEIJING_DAY.start_ms(day), BEIJING_DAY.start_ms(day + timedelta(days=1))


async def settle_day(
    store: Store, clock: Clock, day: date, posted: Posted, nights: Path
) -> Sequence[StoredStatement]:
    """Settle ``day``: every merchant that was posted anything, owes a fee or has something late.

    ``posted`` is read in a thread and never held all at once; ``nights`` is the folder where the
    nights left the channels' fees.

    Raises:
        Conflict: ``day_passed``, ``day_left_out``: days are settled in order.
            ``night_not_done``: the channel's fee of a merchant that bears it is not known yet.
    """
    kept = await store.statements(day)
    for statement in kept:
        await _post_fee(store, clock, statement)  # whoever wrote it may have died before this
    latest = await store.last_settled_day(date.max)
    if latest is not None and latest > day:
        if kept or not await asyncio.to_thread(_any_posted, posted, day):
            return kept
        raise Conflict(
            "day_passed",
            f"{day} has no statement, and {latest} is settled: statements never change. What was "
            f"posted on {day} since is in the next day's: settle the day after {latest}",
        )
    last = await store.last_settled_day(day)
    first = looked_at_from(day, last)
    before = await store.statements_between(first, day)
    loop = asyncio.get_running_loop()
    work = _Settling(store, loop, clock, day, posted, held_by(before), last)
    late = await asyncio.to_thread(work.late, first)
    done = {(one.merchant_no, one.currency) for one in kept}
    fee_days = _days_after(last, day)
    bearing = await _bearing(store, day) - {merchant_no for merchant_no, _ in done}
    await _nights_done(store, nights, fee_days, bearing, posted)
    fees = _channel_fees(nights, fee_days)
    await asyncio.to_thread(work.settle_all, fees, late, done)
    return await store.statements(day)


def _any_posted(posted: Posted, day: date) -> bool:
    return any(True for _ in posted.posted_days(*day_window(day)))


def _days_after(last: date | None, day: date) -> Sequence[date]:
    """The days whose fees ``day`` takes: its own, and those without a posting before it."""
    first = day if last is None else last + timedelta(days=1)
    return [first + timedelta(days=on) for on in range((day - first).days + 1)]


Whose = tuple[str, str]
"""A merchant and a currency."""


@dataclass(frozen=True, slots=True)
class _Settling:
    """A day being settled, in a thread."""

    store: Store
    loop: asyncio.AbstractEventLoop
    clock: Clock
    day: date
    posted: Posted
    held: Mapping[OfDay, Held]
    last: date | None

    def late(self, first: date) -> Mapping[Whose, Sequence[OfDay]]:
        """What is late of the days from ``first``, by merchant."""
        found: dict[Whose, list[OfDay]] = {}
        before = self.posted.posted_days(day_window(first)[0], day_window(self.day)[0])
        for one in late_days(before, self.held, self.last):
            found.setdefault((one.merchant_no, one.currency), []).append(one)
        return found

    def settle_all(
        self, fees: Mapping[Whose, int], late: Mapping[Whose, Sequence[OfDay]], kept: set[Whose]
    ) -> None:
        """Each merchant's statement that is not kept yet; those without a posting last."""
        done = set(kept)
        for whose, rows in groupby(self.posted.posted_items(*day_window(self.day)), key=_whose):
            if whose not in done:
                done.add(whose)
                self._settle_one(whose, rows, fees.get(whose, 0), late.get(whose, ()))
        for whose in sorted({*fees, *late} - done):
            self._settle_one(whose, None, fees.get(whose, 0), late.get(whose, ()))

    def _settle_one(
        self,
        whose: Whose,
        rows: Iterable[Mapping[str, Any]] | None,
        fee_mfen: int,
        late: Sequence[OfDay],
    ) -> None:
        stored = self._ask(self.store.rates(whose[0]))
        bears = _bears(stored, self.day)
        if rows is None and not late and not (bears and fee_mfen):
            return  # a fee of a day without postings, which is ours to bear
        before = self._ask(self.store.last_statement(*whose, self.day))
        statement = settle(
            map(_item, rows or ()),
            [one.rate for one in stored],
            channel_fee_mfen=fee_mfen,
            bears_channel_fee=bears,
            carried_in_fen=0 if before is None else before.statement.carried_out_fen,
            late=[self._late_of(one, stored) for one in late],
        )
        whole = StoredStatement(
            merchant_no=whose[0],
            day=self.day,
            currency=whose[1],
            statement=statement,
            created_at_ms=self.clock.now_ms(),
        )
        self._ask(_keep(self.store, self.clock, whole))

    def _ask(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def _late_of(self, one: OfDay, stored: Sequence[StoredRate]) -> Late:
        held = self.held.get(one, Held())
        rows = self.posted.posted_items(*day_window(one.day), one.merchant_no)
        rates = [
            rate.rate
            for rate in stored
            if not held.settled_at_ms or rate.created_at_ms <= held.settled_at_ms
        ]
        whole = settle(
            (_item(row) for row in rows if row["currency"] == one.currency),
            rates,
            channel_fee_mfen=0,
            bears_channel_fee=False,
            carried_in_fen=0,
        )
        return held.late(one.day, whole)


async def _bearing(store: Store, day: date) -> frozenset[str]:
    """The merchants that bear the channel's fee of ``day``."""
    found = [one for one in await store.fee_bearers() if _bears(await store.rates(one), day)]
    return frozenset(found)


async def _nights_done(
    store: Store, nights: Path, days: Sequence[date], bearing: frozenset[str], posted: Posted
) -> None:
    """Raises ``Conflict``, ``night_not_done``: a fee that a merchant bears is not known yet."""
    if not bearing:
        return
    from_ms = day_window(days[0])[0] - _EVENING_MS
    until_ms = day_window(days[-1])[1]
    sold = await asyncio.to_thread(lambda: list(posted.sellers(from_ms, until_ms)))
    state = {(one.account_id, one.day): one.state for one in await store.nights(days[0], days[-1])}
    for merchant_no, account_id in sold:
        if merchant_no not in bearing:
            continue
        begun = await store.first_matched_day(account_id)
        for day in (day for day in days if begun is None or begun <= day or day == days[-1]):
            fees = nights / account_id / day.isoformat() / _FEES
            done = state.get((account_id, day), NightState.DONE) is NightState.DONE
            if not (done and fees.is_file()):
                raise Conflict(
                    "night_not_done",
                    f"{merchant_no} bears the channel's fee, which is not known before the night "
                    f"of {day} at {account_id} is done: statements never change. First: "
                    f"posgate reconcile --date {day} --account {account_id}",
                )


async def _keep(store: Store, clock: Clock, statement: StoredStatement) -> None:
    if await store.add_statement(statement):
        await _post_fee(store, clock, statement)  # else whoever wrote it posts it


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
        paid_on=BEIJING_DAY.of(row["paid_at_ms"]),
        paid_fen=row["paid_fen"],
        returned_before_fen=row["returned_before_fen"],
    )


def _bears(rates: Sequence[StoredRate], day: date) -> bool:
    """By the youngest rate in force."""
    in_force = [one for one in rates if one.rate.since <= day]
    return bool(in_force) and max(in_force, key=lambda one: one.rate.since).bears_channel_fee


def _channel_fees(nights: Path, days: Sequence[date]) -> Mapping[Whose, int]:
    """What every account's nights of ``days`` left of the merchants' fees, summed in mfen."""
    sums: dict[Whose, int] = {}
    for file in (file for day in days for file in _fee_files(nights, day)):
        for merchant_no, currency, mfen in json.loads(file.read_text()):
            if merchant_no:  # else nobody's: a line that no order of ours goes with
                sums[merchant_no, currency] = sums.get((merchant_no, currency), 0) + mfen
    return sums


def _fee_files(nights: Path, day: date) -> Iterator[Path]:
    if nights.is_dir():
        for account in sorted(nights.iterdir()):
            file = account / day.isoformat() / _FEES
            if file.is_file():
                yield file
