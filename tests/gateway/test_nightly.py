"""The nights of several nodes: one runs them, who loses its lease stops, questions are asked."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
import structlog

from gateway.nightly import Nightly, NightlyPace
from gateway.store.port import JobKind, Store
from reconciliation.differences import Repair
from reconciliation.night_records import DifferenceState, NightState, StoredDifference
from tests.reconciliation.fakes import SetClock
from tests.store.conftest import OpenStore, migrated_file, open_store, sqlite_url
from tests.store.test_nights import FIRST, stored
from tests.support.waiting import eventually

__all__ = ["migrated_file", "open_store", "sqlite_url"]
SURPLUS_REFUND = "dif_C.2"
PACE = NightlyPace(interval_s=0.01, lease_s=0.06, pause_s=600)


class Process:
    """A process of nights that ends when it is told to."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.was_killed = False

    async def wait(self) -> int:
        return await asyncio.shield(self.ended)

    def kill(self) -> None:
        self.was_killed = True
        if not self.ended.done():
            self.ended.set_result(-9)


class Node:
    """One gateway process's nights."""

    def __init__(self, store: Store, clock: SetClock) -> None:
        self.processes: list[Process] = []
        self.asked: list[tuple[str, str, str, str]] = []
        self.given_back: list[str] = []
        self.asked_of_surplus: list[str] = []
        self.answers = True
        self.while_giving_back: Callable[[StoredDifference], Awaitable[None]] | None = None
        self.nightly = Nightly(
            store=store, spawn=self._spawn, ask=self._ask, give_back=self._give_back,
            ask_surplus=self._ask_surplus, clock=clock, log=structlog.get_logger(), pace=PACE,
        )  # fmt: skip

    async def _spawn(self) -> Process:
        self.processes.append(Process())
        return self.processes[-1]

    async def _ask(self, channel: str, account_id: str, order_no: str, refund_no: str) -> bool:
        self.asked.append((channel, account_id, order_no, refund_no))
        return self.answers

    async def _ask_surplus(self, one: StoredDifference) -> bool | None:
        if one.found.subject != SURPLUS_REFUND:
            return None
        self.asked_of_surplus.append(one.id)
        return self.answers

    async def _give_back(self, one: StoredDifference) -> bool:
        self.given_back.append(one.id)
        if self.while_giving_back is not None:
            await self.while_giving_back(one)
        return self.answers

    def end(self, status: int = 0) -> None:
        self.processes[-1].ended.set_result(status)


MakeNode = Callable[[], Awaitable[Node]]


@pytest.fixture
async def store(sqlite_url: str, open_store: OpenStore) -> Store:
    return await open_store(sqlite_url)


@pytest.fixture
def clock() -> SetClock:
    return SetClock(1_000_000)


async def test_of_two_nodes_one_runs_the_nights_and_again_after_a_pause(
    store: Store, clock: SetClock
) -> None:
    nodes = [Node(store, clock), Node(store, clock)]
    looks = [asyncio.ensure_future(node.nightly.look()) for node in nodes]
    await eventually(lambda: any(node.processes for node in nodes))
    await asyncio.sleep(0.05)
    (runner,) = [node for node in nodes if node.processes]
    runner.end()
    await asyncio.gather(*looks)
    for node in nodes:
        await node.nightly.look()
    assert sum(len(node.processes) for node in nodes) == 1
    clock.at_ms += 600_001
    look = asyncio.ensure_future(nodes[0].nightly.look())
    await eventually(lambda: sum(len(node.processes) for node in nodes) == 2)
    nodes[0].end(1)
    await look


async def test_who_cannot_renew_its_lease_ends_its_process(store: Store, clock: SetClock) -> None:
    slow, quick = Node(store, clock), Node(store, clock)
    look = asyncio.ensure_future(slow.nightly.look())
    await eventually(lambda: bool(slow.processes))
    clock.at_ms += 61  # the lease is over, as after a long sleep of the machine
    taken = await store.lease(JobKind.NIGHT, "-", clock.at_ms, clock.at_ms + 60, 1)
    if taken:  # before it renewed
        await look
        assert slow.processes[0].was_killed
    else:
        slow.end()
        await look
    assert quick.processes == []


async def test_a_cancelled_gateway_leaves_no_process_behind(store: Store, clock: SetClock) -> None:
    node = Node(store, clock)
    look = asyncio.ensure_future(node.nightly.look())
    await eventually(lambda: bool(node.processes))
    look.cancel()
    with pytest.raises(asyncio.CancelledError):
        await look
    assert node.processes[0].was_killed


async def test_who_lost_its_lease_over_a_slow_channel_asks_no_more(
    store: Store, clock: SetClock
) -> None:
    """Another node is at the rest by then; this one starts no process either."""
    slow = [
        replace(stored(name), state=DifferenceState.APPROVED, repair=Repair.REFUND)
        for name in ("A", "B")
    ]
    await store.save_match(replace(FIRST, state=NightState.MATCHED), slow, ())
    node = Node(store, clock)

    async def ages(one: StoredDifference) -> None:
        clock.at_ms += 61
        assert await store.lease(JobKind.NIGHT, "-", clock.at_ms, clock.at_ms + 60, 1)

    node.while_giving_back = ages
    await node.nightly.look()
    assert len(node.given_back) == 1
    assert node.processes == []


@pytest.mark.parametrize("answers", [True, False])
async def test_an_approved_question_is_asked_and_closed_once_it_is_answered(
    store: Store, clock: SetClock, answers: bool
) -> None:
    asked = replace(stored("A"), state=DifferenceState.APPROVED, repair=Repair.QUERY_AGAIN)
    other = replace(stored("B"), state=DifferenceState.APPROVED, repair=Repair.ADJUST)
    owed = replace(stored("C"), state=DifferenceState.APPROVED, repair=Repair.REFUND)
    back = replace(stored("D"), state=DifferenceState.APPROVED, repair=Repair.QUERY_AGAIN)
    back = replace(back, found=replace(back.found, subject=SURPLUS_REFUND))
    night = replace(FIRST, state=NightState.MATCHED)
    await store.save_match(night, [asked, other, owed, back], ())
    node = Node(store, clock)
    node.answers = answers
    look = asyncio.ensure_future(node.nightly.look())
    await eventually(lambda: bool(node.processes))
    node.end()
    await look
    assert node.asked == [("alipay", "a1", "A", "")]
    assert node.given_back == [owed.id]
    assert node.asked_of_surplus == [back.id]
    for question in (asked, back):
        found = await store.difference(question.id)
        assert found is not None
        assert found[0].state is (DifferenceState.CLOSED if answers else DifferenceState.APPROVED)
