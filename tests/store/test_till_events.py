"""What tills are told: which moves are written, in which order they become visible."""

import asyncio

import asyncpg
import pytest

from gateway.store.port import Store, TillEvent
from tests.store.conftest import OpenStore
from tests.support.payments import (
    MERCHANT,
    sample_advance,
    sample_claim,
    sample_parking,
    sample_shop_claim,
)
from tests.support.refunds import sample_refund_claim


def _said(events: list[TillEvent]) -> list[tuple[str, str, str]]:
    return [(event.payment_id[-1], event.previous, event.status) for event in events]


async def _all(store: Store) -> list[TillEvent]:
    return list(await store.till_events(0, 100))


async def test_a_move_of_a_shops_payment_is_told(store: Store) -> None:
    assert await store.claim(sample_shop_claim(1))
    assert await store.advance(sample_advance(1))
    events = await _all(store)
    assert _said(events) == [("1", "created", "submitted"), ("1", "submitted", "succeeded")]
    assert {(event.merchant_no, event.store_id) for event in events} == {(MERCHANT, "S1")}
    assert await store.till_position() == events[-1].position > events[0].position


async def test_a_terminal_alone_will_do(store: Store) -> None:
    assert await store.claim(sample_shop_claim(1, store_id="", terminal_id="T0000001"))
    (event,) = await _all(store)
    assert (event.store_id, event.terminal_id) == ("", "T0000001")


@pytest.mark.parametrize("door", ["pos", "checkout"])
async def test_what_a_terminal_sold_and_what_a_checkout_tried_is_not(
    store: Store, door: str
) -> None:
    assert await store.claim(sample_claim(1, door=door, store_id="S1"))
    assert await store.advance(sample_advance(1))
    assert await _all(store) == []
    assert await store.till_position() == 0


async def test_nor_what_belongs_to_no_shop(store: Store) -> None:
    assert await store.claim(sample_shop_claim(1, store_id=""))
    assert await _all(store) == []


async def test_what_loses_its_guard_is_not_told(store: Store) -> None:
    assert await store.claim(sample_shop_claim(1))
    assert not await store.claim(sample_shop_claim(1))
    assert not await store.advance(sample_advance(1, version=7))
    assert len(await _all(store)) == 1


async def test_a_parked_payment_is_unknown(store: Store) -> None:
    assert await store.claim(sample_shop_claim(1))
    assert await store.advance(sample_parking(1))
    assert _said(await _all(store))[-1] == ("1", "submitted", "unknown")


async def test_a_refund_is_a_move_that_keeps_the_status(store: Store) -> None:
    await store.claim(sample_shop_claim(1))
    await store.advance(sample_advance(1))
    payment = await store.payment(sample_claim(1).order.id)
    assert payment is not None
    await store.claim_refund(sample_refund_claim(1, payment))
    assert _said(await _all(store))[-1] == ("1", "succeeded", "succeeded")


async def test_many_at_once_are_each_told_once(store: Store) -> None:
    """Group commits of several shops, some for nobody."""
    claims = [sample_shop_claim(number, store_id=f"S{number % 3}") for number in range(40)]
    await asyncio.gather(*(store.claim(claim) for claim in claims))
    await asyncio.gather(*(store.advance(sample_advance(n)) for n in range(40)))
    events = await _all(store)
    assert len(events) == 80
    assert len({event.position for event in events}) == 80
    of_one = await store.store_events(MERCHANT, "S1", 0, events[-1].position, 100)
    assert {event.store_id for event in of_one} == {"S1"}
    assert len(of_one) == 26


async def test_a_store_is_read_in_pages_and_up_to_a_point(store: Store) -> None:
    for number in range(4):
        await store.claim(sample_shop_claim(number))
    await store.claim(sample_shop_claim(9, store_id="S2"))
    every = [event.position for event in await _all(store)]
    first = await store.store_events(MERCHANT, "S1", 0, every[-1], 2)
    assert [event.position for event in first] == every[:2]
    rest = await store.store_events(MERCHANT, "S1", every[1], every[2], 9)
    assert [event.position for event in rest] == every[2:3]
    assert await store.store_events("another", "S1", 0, every[-1], 9) == []


async def test_versions_of_many_payments(store: Store) -> None:
    for number in range(5):
        await store.claim(sample_claim(number))
    await store.advance(sample_advance(3))
    ids = [sample_claim(number).order.id for number in range(7)]
    versions = await store.payment_versions(ids)
    assert [versions.get(each) for each in ids] == [1, 1, 1, 2, 1, None, None]
    assert await store.payment_versions([]) == {}


async def test_no_event_becomes_visible_after_a_later_one(
    emptied_postgres_url: str, open_store: OpenStore
) -> None:
    """A commit that is slow lets nobody overtake it: who read up to a position missed nothing."""
    store = await open_store(emptied_postgres_url)
    slow = await asyncpg.connect(emptied_postgres_url)
    try:
        held = slow.transaction()
        await held.start()
        await slow.execute(
            "INSERT INTO till_events (merchant_no, store_id, terminal_id, payment_id, previous, "
            "status) VALUES ('m1', 'S1', '', 'slow', 'created', 'submitted')"
        )
        quick = asyncio.create_task(store.claim(sample_shop_claim(1)))
        done, _ = await asyncio.wait([quick], timeout=0.2)
        assert not done
        assert await _all(store) == []
        # what no till hears of waits for nobody
        other = await open_store(emptied_postgres_url)
        assert await other.claim(sample_claim(2))
        assert await other.advance(sample_advance(2))
        await held.commit()
        assert await quick
    finally:
        await slow.close()
    assert [event.payment_id for event in await _all(store)] == ["slow", sample_claim(1).order.id]
