"""A night whose bill has changed is matched anew: nothing told is lost, nothing is told twice."""

from pathlib import Path

import pytest

from gateway.differences import Differences
from reconciliation.differences import Repair
from reconciliation.night_records import (
    Deed,
    DifferenceState,
    NightState,
    StoredDifference,
    SurplusRefund,
    surplus_refund_ids,
)
from tests.reconciliation.nights import DAY, day, pool_of
from tests.reconciliation.test_job import DAY_MS, NOON_MS, Office, line, office
from tests.store.conftest import migrated_file, open_store, sqlite_url

__all__ = ["migrated_file", "office", "open_store", "sqlite_url"]
_S = DifferenceState


async def told(office: Office, offset: int = 0) -> dict[tuple[str, str], StoredDifference]:
    """A night's differences by kind and order."""
    found = await office.store.night_differences("a1", day(offset), "", 1000)
    return {(one.found.kind.value, one.found.order_no): one for one in found}


@pytest.fixture
async def changed(office: Office) -> Office:
    """Matched with one bill; the channel delivers another one now."""
    for order_no in ("A", "B", "C"):
        office.orders.sold(order_no, NOON_MS)
    office.bills.days[DAY] = [line("A", 990), line("B", 980), line("C", 970), line("X")]
    await office.run()
    office.bills.days[DAY] = [line("A"), line("B", 985), line("C", 970), line("Y", fee_mfen=3000)]
    return office


async def test_what_is_gone_is_superseded_and_the_rest_is_as_it_is(changed: Office) -> None:
    before = await told(changed)
    (night,) = await changed.job().again(changed.account, DAY)
    assert (night.state, night.error) == (NightState.DONE, "")
    now = await told(changed)
    assert now["amount", "A"].state is _S.SUPERSEDED
    assert (now["amount", "B"].state, now["amount", "B"].found.theirs_fen) == (_S.OPEN, 985)
    assert now["amount", "C"].found == before["amount", "C"].found
    assert changed.fees[-1][-1] == 3
    found = await changed.store.difference(now["amount", "B"].id)
    assert found is not None
    (decision,) = found[1]
    assert (decision.deed, "theirs 980 fen" in decision.why) == (Deed.SUPERSEDE, True)
    assert {one.key.order_no for one in (await pool_of(changed.store, "a1", DAY)).theirs} == {"Y"}


async def test_matched_again_and_again_it_says_the_same(changed: Office) -> None:
    await changed.job().again(changed.account, DAY)
    first = await told(changed)
    await changed.job().again(changed.account, DAY)
    assert await told(changed) == first
    changed.bills.days[DAY] = [line("A", 990), line("B", 985), line("C", 970)]
    await changed.job().again(changed.account, DAY)
    assert (await told(changed))["amount", "A"].state is _S.OPEN


async def test_what_people_decided_stays(changed: Office) -> None:
    use = Differences(changed.store, changed.clock)
    known = await told(changed)
    for order_no in ("A", "B"):
        await use.propose(known["amount", order_no].id, Repair.ADJUST, "Li", "seen")
    await use.approve(known["amount", "A"].id, "Wang", "agreed")
    await changed.job().again(changed.account, DAY)
    now = await told(changed)
    assert now["amount", "A"].state is _S.CLOSED
    assert now["amount", "B"].state is _S.OPEN  # proposed for other figures
    found = await changed.store.difference(now["amount", "B"].id)
    assert found is not None
    assert [one.deed for one in found[1]] == [Deed.PROPOSE, Deed.SUPERSEDE]


@pytest.mark.parametrize("is_begun", [False, True])
async def test_an_approved_refund_stays_only_if_it_was_begun(
    changed: Office, is_begun: bool
) -> None:
    """Nothing left yet: of a surplus that is not there, or is another one, nothing shall leave."""
    changed.bills.days[DAY] = [line("A", 1010), line("B", 1020), line("C", 970), line("X")]
    await changed.job().again(changed.account, DAY)
    use, known = Differences(changed.store, changed.clock), await told(changed)
    approved = []
    for order_no in ("A", "B"):
        await use.propose(known["amount", order_no].id, Repair.REFUND, "Li", "seen")
        approved.append(await use.approve(known["amount", order_no].id, "Wang", "agreed"))
    if is_begun:
        for one in approved:
            assert await changed.store.add_surplus_refund(await sent(changed, one), one.version)
    changed.bills.days[DAY] = [line("A"), line("B", 1030), line("C", 970), line("X")]
    await changed.job().again(changed.account, DAY)
    now = await told(changed)
    states = [now["amount", order_no].state for order_no in ("A", "B")]
    assert states == ([_S.APPROVED] * 2 if is_begun else [_S.SUPERSEDED, _S.OPEN])
    if not is_begun:
        refused = await sent(changed, approved[0])
        assert not await changed.store.add_surplus_refund(refused, approved[0].version)


async def sent(office: Office, one: StoredDifference) -> SurplusRefund:
    """The refund of an approved surplus, as it is written before it is sent."""
    found = await office.store.difference(one.id)
    assert found is not None
    return SurplusRefund(
        id=surplus_refund_ids(one.id, found[1])[-1], difference_id=one.id,
        payment_id=one.found.subject, channel=one.channel, account_id="a1", channel_refund_no=f"SR{one.id}", amount_fen=10,
        currency="CNY", created_at_ms=1,
    )  # fmt: skip


async def test_the_days_that_began_with_it_are_matched_again_too(office: Office) -> None:
    office.orders.sold("A", NOON_MS)
    office.bills.days = {DAY: [], day(1): [line("A")]}
    office.clock.at_ms += DAY_MS
    await office.run()
    await office.run(day(1))
    assert set(await told(office, 1)) == {("late", "A")}
    office.bills.days[DAY] = [line("A")]
    nights = await office.job().again(office.account, DAY)
    assert [night.day for night in nights] == [DAY, day(1)]
    now = await told(office, 1)
    assert now["late", "A"].state is _S.SUPERSEDED
    assert now["duplicate", "A"].state is _S.OPEN


async def test_a_bill_that_is_not_believed_leaves_the_night_as_it_was(
    changed: Office, tmp_path: Path
) -> None:
    before = await told(changed)
    bad = tmp_path / "bad.jsonl"
    bad.write_text("not a line\n")
    (night,) = await changed.job().again(changed.account, DAY, bad)
    assert night.state is NightState.CHANGED
    assert "bad.jsonl, line 1" in night.error
    assert await told(changed) == before
    (night,) = await changed.job().again(changed.account, DAY)
    assert night.state is NightState.DONE


async def test_a_night_that_was_never_matched_is_run(office: Office) -> None:
    office.bills.days[DAY] = [line("X")]
    (night,) = await office.job().again(office.account, DAY)
    assert night.state is NightState.DONE


@pytest.mark.parametrize("step", ["post", "export"])
async def test_stopped_in_the_middle_it_is_finished_by_the_next_run(
    changed: Office, step: str
) -> None:
    changed.fails[step] = 1
    with pytest.raises(ConnectionError):
        await changed.job().again(changed.account, DAY)
    assert (await changed.run()).state is NightState.DONE
    assert (await told(changed))["amount", "A"].state is _S.SUPERSEDED


@pytest.mark.parametrize("step", ["post", "export"])
async def test_stopped_before_the_later_nights_they_are_told_as_changed(
    office: Office, step: str
) -> None:
    """They began with what is no more: nobody shall take them for done."""
    office.orders.sold("A", NOON_MS)
    office.bills.days = {DAY: [], day(1): [line("A")], day(2): []}
    office.clock.at_ms += 2 * DAY_MS
    for offset in range(3):
        await office.run(day(offset))
    office.bills.days[DAY] = [line("A", fee_mfen=9000)]
    office.fails[step] = 1
    with pytest.raises(ConnectionError):
        await office.job().again(office.account, DAY)
    assert (await office.run()).state is NightState.DONE
    for offset in (1, 2):
        night = await office.run(day(offset))
        assert (night.state, str(DAY) in night.error) == (NightState.CHANGED, True)
    nights = await office.job().again(office.account, DAY)
    assert [(night.state, night.error) for night in nights] == [(NightState.DONE, "")] * 3
    now = await told(office, 1)
    assert now["late", "A"].state is _S.SUPERSEDED
    assert now["duplicate", "A"].state is _S.OPEN
