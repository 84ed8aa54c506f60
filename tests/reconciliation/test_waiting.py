"""What waits is neither forgotten nor told twice, however old its order is by then."""

from dataclasses import replace

import pytest

from tests.reconciliation.nights import day, pool_of
from tests.reconciliation.test_job import DAY_MS, NOON_MS, Office, line, office
from tests.store.conftest import migrated_file, open_store, sqlite_url

__all__ = ["migrated_file", "office", "open_store", "sqlite_url"]
MIDNIGHT_MS = NOON_MS + 12 * 3_600_000
"""The end of the first day."""


async def nights(office: Office, last: int, first: int = 0) -> dict[int, list[str]]:
    """The nights from ``first`` to ``last``, by day, of those that told anything."""
    office.clock.at_ms += (last + 1 - first) * DAY_MS
    told = {}
    for offset in range(first, last + 1):
        office.bills.days.setdefault(day(offset), [])
        await office.run(day(offset))
        told[offset] = await office.kinds(day(offset))
    return {offset: kinds for offset, kinds in told.items() if kinds}


async def test_what_was_paid_past_midnight_is_missed_though_its_order_is_old(
    office: Office,
) -> None:
    office.orders.sold("A", MIDNIGHT_MS - 2_000, channel_at_ms=MIDNIGHT_MS + 3_000)
    assert await nights(office, 8) == {4: ["missing_there"]}


async def test_a_refund_that_was_paid_out_a_day_later_is_missed(office: Office) -> None:
    office.orders.sold("A", NOON_MS)
    office.orders.sold(
        "A", NOON_MS + 1, channel_at_ms=NOON_MS + DAY_MS, kind="refund", refund_no="R1"
    )
    office.bills.days[day(0)] = [line("A")]
    assert await nights(office, 8) == {4: ["refund_missing_there"]}


async def test_a_refund_that_was_paid_out_days_later_is_expected_then(office: Office) -> None:
    office.orders.sold("A", NOON_MS)
    office.orders.sold(
        "A", NOON_MS + 1, channel_at_ms=NOON_MS + 4 * DAY_MS, kind="refund", refund_no="R1"
    )
    office.bills.days[day(0)] = [line("A")]
    assert await nights(office, 11) == {7: ["refund_missing_there"]}


async def test_it_may_be_told_to_wait_longer(office: Office) -> None:
    office.account = replace(office.account, carry_days=5)
    office.orders.sold("A", NOON_MS)
    office.orders.sold("B", NOON_MS)
    office.bills.days[day(5)] = [line("B")]
    assert await nights(office, 9) == {5: ["late", "missing_there"]}


async def test_what_was_missed_and_is_billed_later_is_late_and_no_duplicate(
    office: Office,
) -> None:
    office.orders.sold("A", NOON_MS)
    office.bills.days[day(5)] = [line("A")]
    assert await nights(office, 6) == {3: ["missing_there"], 5: ["late"]}


async def test_what_was_missed_and_is_billed_in_part_of_its_number_is_late(
    office: Office,
) -> None:
    """A card acquirer's file that knows no batch, five days later."""
    office.orders.sold("LK000001000042", NOON_MS)
    office.bills.days[day(5)] = [line("LK??????000042", at_ms=NOON_MS)]
    assert await nights(office, 9) == {3: ["missing_there"], 5: ["late"]}


async def test_an_undone_payment_that_the_channel_keeps_past_midnight_differs(
    office: Office,
) -> None:
    office.orders.sold("A", MIDNIGHT_MS - 2_000, status="reversed")
    office.bills.days[day(1)] = [line("A")]
    assert await nights(office, 8) == {4: ["status"]}
    (found,) = await office.store.night_differences("a1", day(4), "", 9)
    assert found.found.subject == "pay_A"


async def test_an_undone_payment_that_was_missed_is_owed_nothing(office: Office) -> None:
    office.account = replace(office.account, carry_days=5)
    office.orders.sold("A", NOON_MS)
    assert await nights(office, 2) == {}
    office.orders.rows[0]["status"] = "reversed"
    assert await nights(office, 8, first=3) == {}
    assert not (await pool_of(office.store, "a1", day(8))).ours


def _decided(office: Office, at_ms: int) -> None:
    office.orders.rows[0] |= {"status": "succeeded", "captured_fen": 1000, "channel_at_ms": at_ms}


@pytest.fixture
def parked(office: Office) -> Office:
    """A payment that nobody knows the end of on its own night."""
    office.orders.sold("A", MIDNIGHT_MS - 1_000, channel_at_ms=0, status="unknown", captured_fen=0)
    return office


@pytest.mark.parametrize("paid_at_ms", [MIDNIGHT_MS - 1_000, MIDNIGHT_MS + 12 * 3_600_000])
async def test_what_was_open_on_its_night_and_is_billed_once_is_no_duplicate(
    parked: Office, paid_at_ms: int
) -> None:
    await nights(parked, 0)
    _decided(parked, paid_at_ms)
    parked.bills.days[day(1)] = [line("A")]
    told = {1: ["late"]} if paid_at_ms < MIDNIGHT_MS else {}
    assert await nights(parked, 9, first=1) == told


@pytest.mark.parametrize(
    ("paid_at_ms", "told_on"), [(MIDNIGHT_MS - 1_000, 3), (MIDNIGHT_MS + 12 * 3_600_000, 4)]
)
async def test_what_was_open_on_its_night_and_is_never_billed_is_missed(
    parked: Office, paid_at_ms: int, told_on: int
) -> None:
    await nights(parked, 0)
    _decided(parked, paid_at_ms)
    assert await nights(parked, 9, first=1) == {told_on: ["missing_there"]}


async def test_what_stays_open_waits_without_end_and_then_its_time(parked: Office) -> None:
    assert await nights(parked, 6) == {}
    _decided(parked, MIDNIGHT_MS + 6 * DAY_MS)
    assert await nights(parked, 12, first=7) == {10: ["missing_there"]}


@pytest.mark.parametrize("ending", ["closed", "reversed"])
async def test_what_was_open_and_was_not_paid_is_owed_nothing(parked: Office, ending: str) -> None:
    await nights(parked, 0)
    parked.orders.rows[0]["status"] = ending
    assert await nights(parked, 5, first=1) == {}


@pytest.mark.parametrize("decided_on", [1, 2, 6])
async def test_what_was_billed_while_it_was_open_is_not_missed_once_it_is_decided(
    parked: Office, decided_on: int
) -> None:
    """The person who decided took its difference of status for the channel's word."""
    parked.bills.days[day(0)] = [line("A")]
    told = {0: ["status"]}
    assert await nights(parked, decided_on - 1) == told
    _decided(parked, NOON_MS + decided_on * DAY_MS)
    assert await nights(parked, decided_on + 6, first=decided_on) == {}
    assert not (await pool_of(parked.store, "a1", day(decided_on + 6))).ours


async def test_what_was_billed_while_it_was_open_and_again_is_a_duplicate(parked: Office) -> None:
    parked.bills.days[day(0)] = [line("A")]
    await nights(parked, 0)
    _decided(parked, NOON_MS + DAY_MS)
    parked.bills.days[day(1)] = [line("A")]
    assert await nights(parked, 6, first=1) == {1: ["duplicate"]}


async def test_a_refund_that_was_refused_billed_and_paid_after_all_is_not_missed(
    office: Office,
) -> None:
    office.orders.sold("A", NOON_MS)
    office.orders.sold("A", NOON_MS, kind="refund", refund_no="R1", status="failed")
    office.bills.days[day(0)] = [line("A"), line("A", kind="refund", refund_no="R1")]
    assert await nights(office, 1) == {0: ["refund_status"]}
    office.orders.rows[1] |= {"status": "succeeded", "channel_at_ms": NOON_MS + 2 * DAY_MS}
    assert await nights(office, 8, first=2) == {}


async def test_matched_anew_the_days_since_find_what_they_found(office: Office) -> None:
    """Also what stands by now where it did not stand on its own night."""
    office.orders.sold("A", NOON_MS)
    office.orders.sold(
        "A", NOON_MS + 1, channel_at_ms=NOON_MS + 4 * DAY_MS, kind="refund", refund_no="R1"
    )
    office.bills.days[day(0)] = [line("A")]
    found = await nights(office, 8)
    (*_, last) = await office.job().again(office.account, day(0))
    assert last.day == day(8)
    assert {on: kinds for on in range(9) if (kinds := await office.kinds(day(on)))} == found
