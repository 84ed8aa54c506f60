"""A repair that was approved is carried out, wherever the process died that should have."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.differences import BY_ITSELF, Differences
from gateway.store.port import Store
from reconciliation.differences import Repair
from reconciliation.night_records import (
    Deed,
    DifferenceState,
    NightState,
    StoredDifference,
)
from tests.gateway.test_nightly import Node
from tests.reconciliation.fakes import SetClock
from tests.store.conftest import OpenStore, migrated_file, open_store, sqlite_url
from tests.store.test_nights import FIRST, stored
from tests.support.waiting import eventually

__all__ = ["migrated_file", "open_store", "sqlite_url"]
CLOCK = SetClock(1_000_000)
RECEIVABLE = ("channel:alipay:a1", "CNY")


class Dies(Exception):
    """The process ends here."""


class DyingStore:
    """A store whose process dies before or after one of its commits."""

    def __init__(self, store: Store, name: str, *, is_committed: bool) -> None:
        self._store = store
        self._name = name
        self._is_committed = is_committed

    def __getattr__(self, name: str) -> Any:
        found: Callable[..., Any] = getattr(self._store, name)
        return self._dying(found) if name == self._name else found

    def _dying(self, commit: Callable[..., Any]) -> Callable[..., Any]:
        async def dies(*words: Any) -> Any:
            if self._name != "post" and words[0].deed is not Deed.CARRY_OUT:
                return await commit(*words)
            if self._is_committed:
                await commit(*words)
            raise Dies

        return dies


@pytest.fixture
async def store(sqlite_url: str, open_store: OpenStore) -> Store:
    return await open_store(sqlite_url)


async def proposed(store: Store) -> StoredDifference:
    """The sample difference, 10 yuan that the channel does not have, proposed by one person."""
    one = stored("A")
    await store.save_match(replace(FIRST, state=NightState.MATCHED), [one], ())
    return await Differences(store, CLOCK).propose(one.id, Repair.ADJUST, "Li", "seen")


@pytest.mark.parametrize("point", ["post", "decide_difference"])
@pytest.mark.parametrize("is_committed", [False, True])
async def test_whoever_dies_after_the_approval_leaves_it_to_the_next(
    store: Store, point: str, is_committed: bool
) -> None:
    one = await proposed(store)
    dying: Any = DyingStore(store, point, is_committed=is_committed)
    with pytest.raises(Dies):
        await Differences(dying, CLOCK).approve(one.id, "Wang", "agreed")
    for _ in range(2):
        await Differences(store, CLOCK).carry_out_approved()
        assert (await store.balances())[RECEIVABLE] == -1000
        found = await store.difference(one.id)
        assert found is not None
        assert found[0].state is DifferenceState.CLOSED
        assert [one.deed for one in found[1]] == [Deed.PROPOSE, Deed.APPROVE, Deed.CARRY_OUT]


async def test_the_night_carries_it_out_and_says_so(store: Store) -> None:
    one = await proposed(store)
    dying: Any = DyingStore(store, "post", is_committed=False)
    with pytest.raises(Dies):
        await Differences(dying, CLOCK).approve(one.id, "Wang", "agreed")
    node = Node(store, CLOCK)
    task = asyncio.ensure_future(node.nightly.look())
    await eventually(lambda: bool(node.processes))
    node.end()
    await task
    found = await store.difference(one.id)
    assert found is not None
    assert (found[0].state, found[1][-1].by) == (DifferenceState.CLOSED, BY_ITSELF)
