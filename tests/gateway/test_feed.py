"""Who follows payments hears every change, wherever it was committed, at a bounded cost."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
import pytest

from domain.errors import Unavailable
from gateway.events.feed import FROM_NOW, Feed, FeedBounds
from gateway.events.follower import Follower, Message
from gateway.events.told import FollowedPayments, Told, as_it_is
from gateway.http.answers import payment_dict
from gateway.logs import make_log
from gateway.store.port import Store, TillEvent
from tests.gateway.fakes import FlakyStore, SteppedClock
from tests.support.payments import (
    MERCHANT,
    sample_advance,
    sample_claim,
    sample_parking,
    sample_shop_claim,
)
from tests.support.refunds import sample_refund_claim


class Till:
    """A terminal that is always there, and what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def reaches(self, event: TillEvent) -> bool:
        return event.terminal_id == "T0000001"

    async def push(self, event: TillEvent, told: Told) -> None:
        self.told.append((event.status, told.status))


class Scene:
    """A store with a feed that is turned by hand."""

    def __init__(self, store: Store, till: Till | None = None, **bounds: Any) -> None:
        self.store = FlakyStore(store)
        self.clock = SteppedClock()
        self.till = till
        real: Any = self.store
        self.feed = Feed(
            store=real,
            followed=FollowedPayments(real, seen=as_it_is, render=payment_dict),
            push=till,
            clock=self.clock,
            log=make_log("critical", "json"),
            bounds=FeedBounds(**bounds),
        )

    def payment(self, number: int, after: int = FROM_NOW) -> Follower:
        return self.feed.follow_payment(MERCHANT, sample_claim(number).order.id, after)

    def shop(self, store_id: str = "S1", after: int = FROM_NOW) -> Follower:
        return self.feed.follow_store(MERCHANT, store_id, after)

    async def turn(self) -> None:
        """Rounds until there is nothing more to be done at once."""
        while await self.feed.round():
            pass

    async def sold(self, *numbers: int, **order: object) -> None:
        for number in numbers:
            assert await self.store.claim(sample_shop_claim(number, **order))
            assert await self.store.advance(sample_advance(number))


async def heard(follower: Follower) -> Sequence[Message]:
    """What waits, which must be something."""
    async with asyncio.timeout(5):
        messages = await follower.next()
    assert messages is not None
    return messages


async def words(follower: Follower) -> list[str]:
    """The statuses that wait, without what only says where the stream stands."""
    return [message.told.status for message in await heard(follower) if message.told]


@pytest.fixture
async def scene(store: Store) -> AsyncIterator[Scene]:
    yield Scene(store)


async def test_a_payment_is_told_as_it_stands_and_again_when_it_moves(scene: Scene) -> None:
    await scene.store.claim(sample_claim(1))
    follower = scene.payment(1)
    await scene.turn()
    (first,) = await heard(follower)
    assert first.told is not None
    assert (first.number, first.told.status) == (1, "submitted")
    assert orjson.loads(first.told.body)["version"] == 1
    await scene.store.advance(sample_advance(1))
    await scene.turn()
    (second,) = await heard(follower)
    assert second.told is not None
    assert (second.number, second.told.status) == (2, "succeeded")


async def test_who_knows_the_newest_hears_nothing(scene: Scene) -> None:
    await scene.sold(1)
    knows, does_not = scene.payment(1, after=2), scene.payment(1, after=1)
    await scene.turn()
    assert await words(does_not) == ["succeeded"]
    knows.end()
    assert await knows.next() is None


async def test_of_a_payment_only_the_newest_waits(scene: Scene) -> None:
    """A slow reader of one payment is never cut, and is never told what is no longer so."""
    await scene.store.claim(sample_claim(1))
    follower = scene.payment(1)
    await scene.turn()
    await scene.store.advance(sample_advance(1))
    await scene.turn()
    assert await words(follower) == ["succeeded"]


async def test_a_parked_payment_is_unknown(scene: Scene) -> None:
    await scene.store.claim(sample_claim(1))
    await scene.store.advance(sample_parking(1))
    follower = scene.payment(1)
    await scene.turn()
    assert await words(follower) == ["unknown"]


async def test_a_store_hears_its_payments_and_no_others(scene: Scene) -> None:
    follower, other = scene.shop("S1"), scene.shop("S2")
    await scene.turn()
    await heard(follower), await heard(other)
    await scene.sold(1)
    await scene.sold(2, store_id="S2")
    await scene.sold(3, door="pos")
    await scene.turn()
    (message,) = await heard(follower)
    assert message.told is not None
    assert message.told.payment.order.id == sample_claim(1).order.id
    assert await words(other) == ["succeeded"]


async def test_the_same_store_name_of_another_merchant_is_another_store(scene: Scene) -> None:
    stranger = scene.feed.follow_store("M2", "S1", FROM_NOW)
    await scene.turn()
    await heard(stranger)
    await scene.sold(1)
    await scene.turn()
    stranger.end()
    assert await stranger.next() is None


async def test_a_store_that_comes_again_is_told_what_it_missed(scene: Scene) -> None:
    """Whatever became of the process that told it the rest."""
    follower = scene.shop()
    await scene.turn()
    (where,) = await heard(follower)
    scene.feed.leave(follower)
    await scene.sold(*range(7))
    other_process = Scene(scene.store._real, max_waiting=4)
    again = other_process.shop(after=where.number)
    ids: list[str] = []
    for _ in range(20):
        await other_process.turn()
        if again.room() == 4:
            break
        ids += [each.told.payment.order.id for each in await heard(again) if each.told]
    assert sorted(set(ids)) == [sample_claim(number).order.id for number in range(7)]
    assert not again.is_cut
    await scene.sold(8)
    await other_process.turn()
    assert await words(again) == ["succeeded"]


async def test_what_comes_while_one_catches_up_is_told_once_and_in_order(scene: Scene) -> None:
    await scene.sold(1, 2)
    early = scene.shop()
    await scene.turn()
    await heard(early)
    late = scene.shop(after=0)
    await scene.sold(3)
    await scene.turn()
    numbers = [each.number for each in await heard(late)]
    assert numbers == sorted(numbers)
    assert await words(early) == ["succeeded"]
    late.end()
    assert await late.next() is None


async def test_a_store_that_cannot_be_reached_delays_and_loses_nothing(scene: Scene) -> None:
    follower = scene.shop()
    await scene.turn()
    await heard(follower)
    await scene.sold(1)
    for call in ("till_events", "payments"):
        scene.store.down[call] = 1
        with pytest.raises(Unavailable):
            await scene.turn()
    await scene.turn()
    assert await words(follower) == ["succeeded"]


async def test_the_loop_outlives_a_store_that_is_down(store: Store) -> None:
    scene = Scene(store, poll_s=0.01)
    await scene.sold(1)
    scene.store.down["payment_versions"] = 1
    running = asyncio.create_task(scene.feed.run())
    follower = scene.payment(1)
    assert await words(follower) == ["succeeded"]
    running.cancel()


async def test_a_reader_that_lets_too_much_pile_up_is_cut(store: Store) -> None:
    scene = Scene(store, max_waiting=3)
    slow, quick = scene.shop(), scene.shop()
    await scene.turn()
    for number in range(4):
        await heard(quick)
        await scene.sold(number)
        await scene.turn()
    assert slow.is_cut
    assert await slow.next() is None
    assert await words(quick) == ["succeeded"]


async def test_streams_are_bounded_in_all_and_for_each_merchant(store: Store) -> None:
    scene = Scene(store, max_streams=3, max_streams_per_merchant=2)
    first, _ = scene.shop(), scene.payment(1)
    with pytest.raises(Unavailable, match="merchant"):
        scene.shop()
    scene.feed.follow_store("M2", "S1", FROM_NOW)
    with pytest.raises(Unavailable, match="too many event streams: "):
        scene.feed.follow_store("M3", "S1", FROM_NOW)
    assert scene.feed.following() == 3
    scene.feed.leave(first)
    scene.feed.leave(first)
    scene.shop()
    assert scene.feed.following() == 3


async def test_who_left_is_forgotten_wherever_it_stood(scene: Scene) -> None:
    joining, live, payment = scene.shop("S2"), scene.shop("S1"), scene.payment(1)
    scene.feed.leave(joining)
    await scene.turn()
    scene.feed.leave(live)
    scene.feed.leave(payment)
    assert (scene.feed._stores, scene.feed._payments) == ({}, {})
    assert (len(scene.feed._joining), scene.feed._of_merchant) == (0, {})


async def test_an_idle_stream_shows_signs_of_life_and_ends_in_time(store: Store) -> None:
    scene = Scene(store, heartbeat_s=15, life_s=40)
    await scene.store.claim(sample_claim(1))
    follower = scene.payment(1, after=1)
    await scene.turn()
    for _ in range(2):
        scene.clock.skipped_s += 15
        await scene.turn()
        assert await heard(follower) == ()
    scene.clock.skipped_s += 15
    await scene.turn()
    assert await follower.next() is None


async def test_who_leaves_lets_everybody_go_and_takes_nobody(scene: Scene) -> None:
    follower = scene.payment(1)
    scene.feed.hang_up()
    assert await follower.next() is None
    with pytest.raises(Unavailable):
        scene.payment(1)


async def test_nobody_follows_nobody_asks(store: Store) -> None:
    """Not a single question to the store, and a first follower is heard."""
    scene = Scene(store, poll_s=0.001)
    asked: list[str] = []

    async def ask(*_: Any) -> None:
        asked.append("asked")

    scene.store.before["till_position"] = scene.store.before["payment_versions"] = ask
    running = asyncio.create_task(scene.feed.run())
    for _ in range(20):
        await asyncio.sleep(0)
    assert asked == []
    await scene.sold(1)
    assert await words(scene.payment(1)) == ["succeeded"]
    assert asked == ["asked"]
    running.cancel()


@pytest.mark.parametrize(("after", "status"), [(1, "succeeded"), (FROM_NOW, "succeeded")])
async def test_a_wait_ends_when_the_payment_moves(store: Store, after: int, status: str) -> None:
    scene = Scene(store, poll_s=0.01)
    await scene.store.claim(sample_claim(1))
    running = asyncio.create_task(scene.feed.run())
    payment_id = sample_claim(1).order.id
    waiting = asyncio.create_task(scene.feed.newer(MERCHANT, payment_id, after=after, wait_s=30))
    await asyncio.sleep(0)
    await scene.store.advance(sample_advance(1))
    told = await waiting
    assert told is not None
    assert (told.status, told.version) == (status, 2)
    assert scene.feed.following() == 0
    running.cancel()


async def test_a_wait_in_vain_ends_in_time(store: Store) -> None:
    """Beyond what is known: nothing. Until the end: what there is."""
    scene = Scene(store, poll_s=0.001)
    await scene.store.claim(sample_claim(1))
    running = asyncio.create_task(scene.feed.run())
    payment_id = sample_claim(1).order.id
    assert await scene.feed.newer(MERCHANT, payment_id, after=1, wait_s=0.02) is None
    assert scene.feed.following() == 0
    running.cancel()


async def test_a_terminal_is_told_of_what_is_made_for_it(store: Store) -> None:
    till = Till()
    scene = Scene(store, till)
    await scene.turn()
    await scene.sold(1, terminal_id="T0000001", store_id="")
    await scene.sold(2, terminal_id="T0000002")
    await scene.turn()
    assert till.told == [("submitted", "succeeded"), ("succeeded", "succeeded")]
    payment = await scene.store.payment(sample_claim(1).order.id)
    assert payment is not None
    await scene.store.claim_refund(sample_refund_claim(1, payment))
    await scene.turn()
    assert till.told[2:] == [("succeeded", "succeeded")]
