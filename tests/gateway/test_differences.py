"""Repairs take two people, post once, and are remembered."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from domain.errors import Conflict, InvalidRequest, NotFound
from gateway.differences import Differences
from gateway.store.port import Store
from reconciliation.differences import DifferenceKind, Repair
from reconciliation.night_records import (
    Deed,
    DifferenceDecision,
    DifferenceState,
    NightState,
    StoredDifference,
)
from tests.reconciliation.fakes import SetClock
from tests.store.conftest import OpenStore, migrated_file, open_store, sqlite_url
from tests.store.test_nights import FIRST, stored

__all__ = ["migrated_file", "open_store", "sqlite_url"]


class Desk:
    """The use case over a store that holds one difference."""

    def __init__(self, store: Store, one: StoredDifference) -> None:
        self.store = store
        self.one = one
        self.use = Differences(store, SetClock(7_000))

    async def propose(self, repair: Repair = Repair.ADJUST, by: str = "Li") -> StoredDifference:
        return await self.use.propose(self.one.id, repair, by, "seen in the bill")

    async def balances(self) -> dict[str, int]:
        return {account: fen for (account, _), fen in (await self.store.balances()).items()}

    async def deeds(self) -> Sequence[tuple[Deed, str]]:
        shown = await self.use.show(self.one.id)
        return [(decision.deed, decision.by) for decision in shown.decisions]


@pytest.fixture
async def desk(sqlite_url: str, open_store: OpenStore) -> Desk:
    store = await open_store(sqlite_url)
    found = replace(stored("A").found, kind=DifferenceKind.MISSING_THERE)
    one = replace(stored("A"), found=found)
    await store.save_match(replace(FIRST, state=NightState.MATCHED), [one], ())
    return Desk(store, one)


async def test_one_proposes_another_approves_and_it_is_posted_once(desk: Desk) -> None:
    await desk.propose()
    shown = await desk.use.show(desk.one.id)
    assert [line.amount_fen for line in shown.would_post] == [-1000, 1000]
    assert await desk.balances() == {}
    done = await desk.use.approve(desk.one.id, "Wang", "agreed")
    assert done.state is DifferenceState.CLOSED
    assert await desk.balances() == {"channel:alipay:a1": -1000, "suspense": 1000}
    assert await desk.deeds() == [
        (Deed.PROPOSE, "Li"), (Deed.APPROVE, "Wang"), (Deed.CARRY_OUT, "Wang"),
    ]  # fmt: skip


async def test_a_repair_that_was_cut_short_posts_once(desk: Desk) -> None:
    """Posted, and the process died before the difference was closed."""
    await desk.propose(Repair.WRITE_OFF)
    real, calls = desk.store.decide_difference, 0

    async def dies_at_the_second(
        decision: DifferenceDecision, difference: StoredDifference
    ) -> bool:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise ConnectionError
        return await real(decision, difference)

    desk.store.decide_difference = dies_at_the_second  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        await desk.use.approve(desk.one.id, "Wang", "agreed")
    done = await desk.use.carry_out(desk.one.id, "Wang", "again")
    assert done.state is DifferenceState.CLOSED
    assert await desk.balances() == {"channel:alipay:a1": -1000, "written_off:alipay:a1": 1000}


@pytest.mark.parametrize("by", ["Li", " li ", "LI"])
async def test_nobody_decides_about_his_own_proposal(desk: Desk, by: str) -> None:
    await desk.propose()
    for decide in (desk.use.approve, desk.use.refuse):
        with pytest.raises(Conflict, match="cannot decide"):
            await decide(desk.one.id, by, "mine")
    assert await desk.balances() == {}
    assert await desk.deeds() == [(Deed.PROPOSE, "Li")]


async def test_what_was_refused_is_open_again_for_another_proposal(desk: Desk) -> None:
    await desk.propose()
    refused = await desk.use.refuse(desk.one.id, "Wang", "ask first")
    assert refused.state is DifferenceState.OPEN
    again = await desk.propose(Repair.QUERY_AGAIN, by="Wang")
    assert again.repair is Repair.QUERY_AGAIN
    approved = await desk.use.approve(desk.one.id, "Li", "yes")
    assert approved.state is DifferenceState.APPROVED
    assert await desk.balances() == {}


async def test_who_proposed_may_think_better_of_it(desk: Desk) -> None:
    await desk.propose()
    withdrawn = await desk.use.withdraw(desk.one.id, "Li", "a slip")
    assert withdrawn.state is DifferenceState.OPEN
    with pytest.raises(Conflict, match="not proposed"):
        await desk.use.approve(desk.one.id, "Wang", "agreed")
    await desk.propose(Repair.WRITE_OFF)
    assert await desk.deeds() == [(Deed.PROPOSE, "Li"), (Deed.WITHDRAW, "Li"), (Deed.PROPOSE, "Li")]
    assert await desk.balances() == {}


async def test_a_question_that_nobody_answers_can_be_resolved_another_way(desk: Desk) -> None:
    """Its channel is gone for good; asked no more, it is adjusted."""
    await desk.propose(Repair.QUERY_AGAIN)
    await desk.use.approve(desk.one.id, "Wang", "ask")
    withdrawn = await desk.use.withdraw(desk.one.id, "Wang", "the account is closed")
    assert withdrawn.state is DifferenceState.OPEN
    with pytest.raises(Conflict, match="not approved"):  # a night that had just asked
        await desk.use.carry_out(desk.one.id, "posgate", "the channel was asked")
    await desk.propose()
    done = await desk.use.approve(desk.one.id, "Wang", "agreed")
    assert done.state is DifferenceState.CLOSED
    assert await desk.balances() == {"channel:alipay:a1": -1000, "suspense": 1000}


@pytest.mark.parametrize(
    "repair", [each for each in Repair if each not in (Repair.NONE, Repair.QUERY_AGAIN)]
)
async def test_what_may_have_moved_money_is_not_withdrawn(desk: Desk, repair: Repair) -> None:
    """Approved, and its process died; a refund, whose channel may have it."""
    stands = replace(
        desk.one, repair=repair, state=DifferenceState.APPROVED, version=desk.one.version + 1
    )
    told = DifferenceDecision(
        difference_id=desk.one.id, number=1, deed=Deed.APPROVE, repair=repair,
        by="Wang", why="agreed", at_ms=7_000,
    )  # fmt: skip
    assert await desk.store.decide_difference(told, stands)
    with pytest.raises(Conflict) as refused:
        await desk.use.withdraw(desk.one.id, "Li", "a slip")
    assert refused.value.code == "repair_not_withdrawable"
    assert (await desk.use.show(desk.one.id)).difference == stands


@pytest.mark.parametrize("state", [DifferenceState.OPEN, DifferenceState.CLOSED])
async def test_where_nothing_is_proposed_nothing_is_withdrawn(
    desk: Desk, state: DifferenceState
) -> None:
    if state is DifferenceState.CLOSED:
        await desk.propose()
        await desk.use.approve(desk.one.id, "Wang", "agreed")
    before = await desk.use.show(desk.one.id)
    with pytest.raises(Conflict, match="not proposed"):
        await desk.use.withdraw(desk.one.id, "Wang", "a slip")
    assert await desk.use.show(desk.one.id) == before


async def test_what_is_not_open_is_not_proposed_for_and_what_is_not_proposed_not_approved(
    desk: Desk,
) -> None:
    with pytest.raises(Conflict):
        await desk.use.approve(desk.one.id, "Wang", "-")
    await desk.propose()
    with pytest.raises(Conflict):
        await desk.propose(by="Zhao")
    await desk.use.approve(desk.one.id, "Wang", "agreed")
    with pytest.raises(Conflict):
        await desk.propose(by="Zhao")


async def test_only_what_fits_a_kind_may_be_proposed(desk: Desk) -> None:
    with pytest.raises(InvalidRequest, match="query_again"):
        await desk.propose(Repair.REFUND)
    with pytest.raises(NotFound):
        await desk.use.show("dif_none")


@pytest.mark.parametrize(("by", "why"), [("", "x"), ("Li", " "), ("Li", "x" * 501)])
async def test_a_decision_needs_a_name_and_a_reason(desk: Desk, by: str, why: str) -> None:
    with pytest.raises(InvalidRequest):
        await desk.use.propose(desk.one.id, Repair.ADJUST, by, why)


async def test_a_card_number_in_a_reason_is_masked(desk: Desk) -> None:
    await desk.use.propose(desk.one.id, Repair.ADJUST, "Li", "card 9900000000000010 paid twice")
    shown = await desk.use.show(desk.one.id)
    assert "9900000000000010" not in shown.decisions[0].why
    assert "990000" in shown.decisions[0].why
