"""Who may hear of a payment's move is known to whoever books it, and decides the way it goes."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from channels.port import Answer
from gateway.store.engine import StoreOptions, store_for
from gateway.store.port import Advance, Store
from gateway.store.postgres_link import PostgresLink
from gateway.store.postgres_plain import PLAIN_ADVANCE, PLAIN_CLAIM
from gateway.store.postgres_rows import Parameters
from gateway.store.postgres_statements import ADVANCE, CLAIM
from tests.gateway.fakes import House
from tests.gateway.scripted import NO, PAID
from tests.support.postgres import emptied_postgres_url, postgres_server, shared_postgres_url

__all__ = ["emptied_postgres_url", "postgres_server", "shared_postgres_url"]

SHOPS: dict[str, Any] = {"store_id": "S1"}
TERMINALS: dict[str, Any] = {"door": "pos", "store_id": "S1", "terminal_id": "T0000001"}
NOBODYS: dict[str, Any] = {}


@pytest.fixture
async def postgres(emptied_postgres_url: str) -> AsyncIterator[Store]:
    """A store on PostgreSQL."""
    opened = store_for(emptied_postgres_url, options=StoreOptions())
    await opened.open()
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    ("order", "told"),
    [(SHOPS, True), ({"terminal_id": "T0000001"}, True), (TERMINALS, False), (NOBODYS, False)],
    ids=["a shop's", "an order for a terminal", "a terminal's sale", "of no shop"],
)
@pytest.mark.parametrize("answer", [PAID, NO])
async def test_an_advance_says_whether_tills_are_told(
    store: Store, answer: Answer, order: dict[str, Any], told: bool
) -> None:
    house = House(store)
    house.channel.pays = [answer]
    seen: list[bool] = []

    async def noted(change: Advance) -> None:
        seen.append(change.is_told)

    house.flaky.before["advance"] = noted
    await house.paid(**order)
    assert seen == [told]


@pytest.mark.parametrize(
    ("order", "statements", "told"),
    [
        (SHOPS, [CLAIM, ADVANCE], ["submitted", "succeeded"]),
        (TERMINALS, [PLAIN_CLAIM, PLAIN_ADVANCE], []),
        (NOBODYS, [PLAIN_CLAIM, PLAIN_ADVANCE], []),
    ],
    ids=["a shop's", "a terminal's sale", "of no shop"],
)
async def test_a_shops_tills_are_told_and_who_tells_nobody_goes_the_short_way(
    postgres: Store,
    monkeypatch: pytest.MonkeyPatch,
    order: dict[str, Any],
    statements: list[str],
    told: list[str],
) -> None:
    """From the door to the database, on the engine that has two ways."""
    asked: list[str] = []
    fetch = PostgresLink.fetch

    async def noted(self: PostgresLink, sql: str, parameters: Parameters) -> Any:
        asked.append(sql)
        return await fetch(self, sql, parameters)

    monkeypatch.setattr(PostgresLink, "fetch", noted)
    house = House(postgres)
    house.channel.pays = [PAID]
    payment = await house.paid(**order)
    assert payment.standing.status.value == "succeeded"
    assert asked == statements
    assert [event.status for event in await postgres.till_events(0, 9)] == told
    assert len(await postgres.events(payment.order.id)) == 2
    assert len(await postgres.postings(payment.order.id)) == 2
