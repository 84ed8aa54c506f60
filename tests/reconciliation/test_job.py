"""A night's steps: in order, resumable, the same again, and refusing what is not believed."""

import json
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.store.port import Store
from reconciliation.days import business_day
from reconciliation.engine import EngineBounds
from reconciliation.job import NightJob, OutOfOrder
from reconciliation.night_account import NightAccount
from reconciliation.night_records import DifferenceState, Night, NightState
from reconciliation.rates import ChannelRate
from tests.reconciliation.fakes import JsonFormat, ScriptedBills, ScriptedOrders, SetClock
from tests.reconciliation.nights import DAY, day
from tests.store.conftest import OpenStore, migrated_file, open_store, sqlite_url

__all__ = ["migrated_file", "open_store", "sqlite_url"]
NOON_MS = business_day("alipay").start_ms(DAY) + 12 * 3_600_000
DAY_MS = 86_400_000


class Office:
    """A job with everything that it touches, all of it scripted but the store."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self.bills = ScriptedBills()
        self.orders = ScriptedOrders()
        self.clock = SetClock(business_day("alipay").due_ms(DAY) + 1)
        self.fees: list[tuple[str, str, date, int]] = []
        self.exports: list[Night] = []
        self.fails: dict[str, int] = {}
        self.account = NightAccount(
            account_id="a1", channel="alipay", format=JsonFormat(), kind="trade", bills=self.bills
        )

    def _trip(self, step: str) -> None:
        if self.fails.get(step, 0):
            self.fails[step] -= 1
            raise ConnectionError(step)

    async def _post(self, channel: str, account_id: str, on: date, fee_fen: int) -> None:
        self._trip("post")
        self.fees.append((channel, account_id, on, fee_fen))

    async def _export(self, account: NightAccount, night: Night, folder: Path) -> None:
        self._trip("export")
        self.exports.append(night)

    def job(self) -> NightJob:
        """A new process's job."""
        return NightJob(
            store=self.store, source=self.orders, clock=self.clock, folder=self.folder,
            bounds=EngineBounds(memory_mb=256, threads=1), post_fee=self._post,
            export=self._export,
        )  # fmt: skip

    async def run(self, on: date = DAY, **changes: Any) -> Night:
        return await self.job().run(self.account, on, **changes)

    async def kinds(self, on: date = DAY) -> list[str]:
        found = await self.store.night_differences("a1", on, "", 1000)
        return sorted(one.found.kind.value for one in found)


@pytest.fixture
async def office(sqlite_url: str, open_store: OpenStore, tmp_path: Path) -> Office:
    return Office(await open_store(sqlite_url), tmp_path / "nights")


def line(order_no: str, fen: int = 1000, **changes: Any) -> dict[str, Any]:
    """A line of a scripted bill."""
    return {"order_no": order_no, "amount_fen": fen} | changes


async def test_a_night_that_agrees_goes_all_the_way(office: Office) -> None:
    office.orders.sold("A", NOON_MS)
    office.bills.days[DAY] = [line("A", fee_mfen=5500)]
    night = await office.run()
    assert (night.state, night.error) == (NightState.DONE, "")
    assert office.fees == [("alipay", "a1", DAY, 6)]  # 5.5 fen, half to even
    totals = json.loads(night.totals_json)
    assert (totals["lines"], totals["pairs"], totals["differences"]) == (1, 1, {})
    assert await office.store.night("a1", DAY) == night


async def test_run_twice_it_does_nothing_again(office: Office) -> None:
    office.bills.days[DAY] = [line("X")]
    first = await office.run()
    assert await office.run() == first
    assert (office.bills.fetched, len(office.exports)) == (1, 1)


async def test_before_its_hour_and_before_it_is_made_a_bill_is_waited_for(office: Office) -> None:
    office.clock.at_ms -= 2
    night = await office.run()
    assert (night.state, office.bills.fetched) == (NightState.WAITING, 0)
    office.clock.at_ms += 2
    night = await office.run()
    assert (night.state, night.error) == (NightState.WAITING, "not made yet")
    office.bills.days[DAY] = []
    assert (await office.run()).state is NightState.DONE


async def test_a_day_without_a_bill_is_a_day_without_lines(office: Office) -> None:
    office.orders.sold("A", NOON_MS)
    office.bills.days[DAY] = None
    night = await office.run()
    assert (night.state, json.loads(night.totals_json)["waiting"]) == (NightState.DONE, 1)


async def test_a_bill_that_is_not_believed_loads_nothing_and_says_where(
    office: Office, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"order_no": "A", "amount_fen": 1}\nnot a line\n')
    night = await office.run(given=bad)
    assert night.state is NightState.REFUSED
    assert night.error == "bad.jsonl, line 2: not a line of a bill"
    assert (await office.kinds(), office.fees) == ([], [])
    bad.write_text('{"order_no": "A", "amount_fen": 1}\n')
    assert (await office.run(given=bad)).state is NightState.DONE


@pytest.mark.parametrize("step", ["post", "export"])
async def test_stopped_at_a_step_it_goes_on_from_there(office: Office, step: str) -> None:
    office.bills.days[DAY] = [line("X", fee_mfen=2000)]
    office.fails[step] = 1
    with pytest.raises(ConnectionError):
        await office.run()
    assert (await office.run()).state is NightState.DONE
    assert (len(office.fees), len(office.exports), office.bills.fetched) == (1, 1, 1)


async def test_days_are_matched_in_order_and_the_pool_goes_on(office: Office) -> None:
    office.orders.sold("A", NOON_MS)
    office.bills.days = {day(on): [] for on in range(4)}
    office.bills.days[day(1)] = [line("A")]
    office.clock.at_ms += 4 * DAY_MS
    await office.run()
    with pytest.raises(OutOfOrder, match=str(day(1))):
        await office.run(day(2))
    await office.run(day(1))
    assert await office.kinds(day(1)) == ["late"]
    (late,) = await office.store.night_differences("a1", day(1), "", 9)
    assert late.state is DifferenceState.CLOSED
    await office.run(day(2))
    await office.run(day(3))
    assert await office.kinds(day(3)) == []


async def test_what_stays_away_for_the_carry_days_becomes_a_difference(office: Office) -> None:
    office.orders.sold("A", NOON_MS)
    office.bills.days = {day(on): [] for on in range(4)}
    office.bills.days[DAY] = [line("X")]
    office.clock.at_ms += 4 * DAY_MS
    for on in range(4):
        await office.run(day(on))
    assert [await office.kinds(day(on)) for on in range(3)] == [[], [], []]
    assert await office.kinds(day(3)) == ["missing_here", "missing_there"]


async def test_an_old_order_that_a_bill_names_is_found(office: Office) -> None:
    """A refund of a payment of last month: neither is unknown."""
    long_ago = NOON_MS - 40 * DAY_MS
    office.orders.sold("A", long_ago)
    office.orders.sold("A", NOON_MS, kind="refund", refund_no="R1", amount_fen=400, captured_fen=0)
    office.bills.days[DAY] = [line("A", 400, kind="refund", refund_no="R1")]
    await office.run()
    assert await office.kinds() == []


async def test_another_bill_after_the_match_is_noticed(office: Office) -> None:
    office.bills.days[DAY] = [line("X")]
    night = await office.run()
    assert await office.job().look_again(office.account, night) == night
    office.bills.days[DAY] = [line("X"), line("Y")]
    changed = await office.job().look_again(office.account, night)
    assert (changed.state, "another one" in changed.error) == (NightState.CHANGED, True)


async def test_fees_are_compared_with_the_accounts_rate(office: Office) -> None:
    office.account = NightAccount(
        account_id="a1", channel="alipay", format=JsonFormat(), kind="trade", bills=office.bills,
        rate=ChannelRate(rate_ppm=6000),
    )  # fmt: skip
    for order_no in ("A", "B"):
        office.orders.sold(order_no, NOON_MS)
    office.bills.days[DAY] = [line("A", fee_mfen=6000), line("B", fee_mfen=16000)]
    await office.run()
    assert await office.kinds() == ["fee"]


Step = Callable[[], Awaitable[Night]]


async def test_the_files_of_a_night_are_the_same_bytes_again(office: Office) -> None:
    """What the engine wrote does not depend on when or how often it ran."""
    office.orders.sold("A", NOON_MS, store_id="s1")
    office.bills.days[DAY] = [line("A", at_ms=NOON_MS), line("X", at_ms=NOON_MS)]
    office.fails["post"] = 0
    await office.run()
    place = office.folder / "a1" / DAY.isoformat()
    first = {name: (place / name).read_bytes() for name in ("lines.parquet", "report.parquet")}
    again = Office(office.store, office.folder.with_name("again"))
    again.orders, again.bills = office.orders, office.bills
    again.account = NightAccount(
        account_id="a2", channel="alipay", format=JsonFormat(), kind="trade", bills=office.bills
    )
    await again.run()
    place = again.folder / "a2" / DAY.isoformat()
    assert first == {name: (place / name).read_bytes() for name in first}
