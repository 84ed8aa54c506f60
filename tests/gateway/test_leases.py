"""A lease of a payment: kept while it lasts, and no longer."""

from typing import Any

import pytest

from channels.port import PollSchedule
from domain.errors import Unavailable
from gateway.store.port import Store
from tests.gateway.fakes import FakeChannel, House
from tests.gateway.scripted import ACTING, CLOSED


class AwayForRenewals:
    """A store that renews no lease; everything else goes through."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        if name == "renew":
            return self._away
        return getattr(self._store, name)

    async def _away(self, *_: object, **__: object) -> bool:
        raise Unavailable("the store is away")


def leased_house(store: Store) -> House:
    """A house whose leases cannot be renewed, at a channel that says "acting" for long."""
    schedule = PollSchedule(query_after_s=(0.03, 0.03, 0.03), undo_retry_s=(0.01,))
    away: Any = AwayForRenewals(store)
    house = House(away, FakeChannel(schedule))
    house.channel.pays, house.channel.queries = [ACTING], [ACTING, ACTING, ACTING]
    house.channel.cancels = [CLOSED]
    return house


async def test_a_lease_that_cannot_be_renewed_is_kept_while_it_lasts(store: Store) -> None:
    """Nobody else can have the payment before its end."""
    house = leased_house(store)
    live = await house.begun()
    await house.settlement.settle(live, at_once=False)
    assert house.channel.calls == ["query"] * 3 + ["cancel"]


async def test_a_lease_that_ran_out_is_not_worked_under(store: Store) -> None:
    """Somebody else may have the payment by now: nothing more is sent, recovery goes on."""
    house = leased_house(store)
    live = await house.begun()
    live.leased_until_ms = house.clock.now_ms()
    with pytest.raises(Unavailable):
        await house.settlement.settle(live, at_once=False)
    assert house.channel.calls == []
