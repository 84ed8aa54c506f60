"""Notices reach merchants: at once, on the schedule, signed, and never in each other's way."""

import asyncio
from typing import Any

import pytest

from channels.port import AnswerLost, NotSent
from gateway.notifications import SCHEDULE_S, Delivery, NotifierBounds
from gateway.outbound import OutboundPolicy, Refused
from gateway.store.port import JobKind, NoticeState, Store
from tests.gateway.fakes import FlakyStore
from tests.gateway.outbox import BOUNDS, Outbox, is_signed
from tests.support.waiting import eventually


@pytest.fixture
def outbox(store: Store) -> Outbox:
    return Outbox(store)


async def test_a_notice_is_sent_once_and_booked(outbox: Outbox) -> None:
    """The stored bytes, signed by the merchant's key; then the job is gone."""
    notice = await outbox.put()
    async with outbox.working():
        stored = await outbox.until(notice, NoticeState.DELIVERED)
    (sent,) = outbox.network.to("shop.example")
    assert sent.body == notice.body
    assert sent.headers["Posgate-Key-Id"] == "key_1"
    assert is_signed(sent)
    assert not is_signed(sent, b"another secret")
    assert (stored.attempts, stored.last_error) == (1, "")
    assert await outbox.store.jobs(JobKind.NOTIFY, "", 10) == []


async def test_a_nudge_sends_without_waiting_for_the_interval(outbox: Outbox) -> None:
    async with outbox.working(NotifierBounds(interval_s=3600)) as notifier:
        await asyncio.sleep(0.05)
        notice = await outbox.put()
        notifier.nudge()
        await outbox.until(notice, NoticeState.DELIVERED)


async def test_every_2xx_acknowledges_and_nothing_else(outbox: Outbox) -> None:
    notices = {}
    for status in (200, 202, 204, 299, 199, 300, 302, 307, 400, 404, 500):
        outbox.network.answers[f"s{status}.example"] = status
        notices[status] = await outbox.put(f"https://s{status}.example/")
    async with outbox.working():
        for status, notice in notices.items():
            stored = await outbox.attempts(notice, 1)
            assert (stored.state is NoticeState.DELIVERED) == (200 <= status <= 299), status
            assert stored.last_error == ("" if 200 <= status <= 299 else f"HTTP {status}")


async def test_the_schedule_is_followed_to_the_second_and_ends_on_the_dead_list(
    outbox: Outbox,
) -> None:
    """16 attempts in 24 hours, none before its time, the same bytes each time."""
    outbox.network.answers["shop.example"] = 500
    notice = await outbox.put()
    due_s, expected = 0, [0]
    async with outbox.working():
        await outbox.attempts(notice, 1)
        for number, wait_s in enumerate(SCHEDULE_S, 2):
            outbox.clock.move(wait_s - 1)
            await asyncio.sleep(0.03)
            assert len(outbox.network.sent) == number - 1
            outbox.clock.move(1)
            due_s += wait_s
            expected.append(due_s)
            await outbox.attempts(notice, number)
        stored = await outbox.until(notice, NoticeState.DEAD)
        outbox.clock.move(10 * 86_400)
        await asyncio.sleep(0.03)
    assert outbox.network.times_s() == expected
    assert due_s == 86_640
    assert SCHEDULE_S[:6] == (15, 15, 30, 180, 600, 1200)
    assert {one.body for one in outbox.network.to("shop.example")} == {notice.body}
    assert (stored.attempts, stored.last_error) == (16, "HTTP 500")
    assert len(outbox.said("notice dead")) == 1


@pytest.mark.parametrize("fault", [NotSent("no connection"), AnswerLost("no answer in time")])
async def test_what_is_lost_on_the_way_is_sent_again(outbox: Outbox, fault: Exception) -> None:
    outbox.network.answers["shop.example"] = fault
    notice = await outbox.put()
    async with outbox.working():
        stored = await outbox.attempts(notice, 1)
        assert (stored.state, stored.last_error) == (NoticeState.PENDING, str(fault))
        outbox.network.answers["shop.example"] = 200
        outbox.clock.move(15)
        await outbox.until(notice, NoticeState.DELIVERED)


async def test_a_refused_address_is_dead_at_once(outbox: Outbox) -> None:
    """What only the connection can tell: the name means a private address."""
    outbox.network.answers["shop.example"] = Refused("the address is not a public one")
    notice = await outbox.put()
    async with outbox.working():
        stored = await outbox.until(notice, NoticeState.DEAD)
    assert stored.last_error == "refused: the address is not a public one"
    assert stored.attempts == 1


async def test_a_refused_url_is_dead_without_a_byte(outbox: Outbox) -> None:
    """What was accepted under another configuration is judged again."""
    notice = await outbox.put("http://169.254.169.254/latest/meta-data")
    async with outbox.working():
        stored = await outbox.until(notice, NoticeState.DEAD)
    assert outbox.network.sent == []
    assert stored.last_error == "refused: must be https"


async def test_a_merchant_without_a_key_is_told_later(outbox: Outbox) -> None:
    outbox.key = None
    notice = await outbox.put()
    async with outbox.working():
        stored = await outbox.attempts(notice, 1)
    assert stored.state is NoticeState.PENDING
    assert outbox.network.sent == []


async def test_a_crash_between_sending_and_booking_sends_the_same_event_again(
    outbox: Outbox,
) -> None:
    """At least once: the new incarnation sends the same bytes with a nonce of its own."""
    flaky = FlakyStore(outbox.store)
    outbox.store = flaky
    notice = await outbox.put()
    reached = asyncio.Event()

    async def crash(*_: Any) -> None:
        reached.set()
        await asyncio.Event().wait()

    flaky.before["notice_delivered"] = crash
    async with outbox.working():
        await reached.wait()
    assert (await outbox.now(notice)).state is NoticeState.PENDING
    async with outbox.working(random_bytes=lambda count: b"\x08" * count):
        await asyncio.sleep(0.03)
        assert len(outbox.network.sent) == 1, "the dead one's lease still holds"
        outbox.clock.move(31)
        await outbox.until(notice, NoticeState.DELIVERED)
    first, second = outbox.network.to("shop.example")
    assert first.body == second.body == notice.body
    assert first.headers["Posgate-Nonce"] != second.headers["Posgate-Nonce"]


async def test_a_worker_that_dies_costs_no_attempt(outbox: Outbox) -> None:
    """Whatever it leased: the schedule counts what was booked."""
    hanging = asyncio.Event()

    async def hang(_: Delivery) -> int:
        hanging.set()
        await asyncio.Event().wait()
        return 200

    notice = await outbox.put()
    outbox.network.answers["shop.example"] = hang
    for _ in range(3):
        hanging.clear()
        async with outbox.working(schedule_s=(15,)):
            await hanging.wait()
        outbox.clock.move(31)
    outbox.network.answers["shop.example"] = 500
    async with outbox.working(schedule_s=(15,)):
        assert (await outbox.attempts(notice, 1)).state is NoticeState.PENDING
        outbox.clock.move(15)
        await outbox.until(notice, NoticeState.DEAD)


async def test_a_booking_that_fails_is_made_good_by_another_delivery(outbox: Outbox) -> None:
    flaky = FlakyStore(outbox.store)
    outbox.store = flaky
    flaky.down["notice_delivered"] = 1
    notice = await outbox.put()
    async with outbox.working():
        await eventually(lambda: bool(outbox.said("notifications wait for the store")))
        outbox.clock.move(31)
        await outbox.until(notice, NoticeState.DELIVERED)
    assert len(outbox.network.sent) == 2


async def test_a_store_that_is_away_ends_nothing(outbox: Outbox) -> None:
    flaky = FlakyStore(outbox.store)
    outbox.store = flaky
    notice = await outbox.put()
    flaky.down = {"due_lanes": 2, "lease": 2, "notice": 1}
    async with outbox.working():
        await eventually(lambda: flaky.down["notice"] == 0)
        outbox.clock.move(31)
        await outbox.until(notice, NoticeState.DELIVERED)


async def test_a_fault_of_ours_is_an_attempt_and_not_the_end(outbox: Outbox) -> None:
    outbox.network.answers["shop.example"] = ZeroDivisionError()
    notice, other = await outbox.put(), await outbox.put("https://other.example/")
    async with outbox.working():
        assert (await outbox.attempts(notice, 1)).last_error == "a fault of ours"
        await outbox.until(other, NoticeState.DELIVERED)
    assert outbox.said("notifications fault")


async def test_two_workers_send_a_notice_once(outbox: Outbox) -> None:
    notices = [await outbox.put(f"https://h{n % 5}.example/") for n in range(30)]
    async with outbox.working(), outbox.working():
        for notice in notices:
            await outbox.until(notice, NoticeState.DELIVERED)
    assert len(outbox.network.sent) == 30


async def test_a_dead_endpoint_delays_nobody(outbox: Outbox) -> None:
    """Its attempts hang; everybody else's notices arrive, and it holds one place."""
    hanging = asyncio.Event()

    async def hang(_: Delivery) -> int:
        await hanging.wait()
        raise AnswerLost("no answer in time")

    outbox.network.answers["dead.example"] = hang
    await outbox.put_all([("https://dead.example/", "m0")] * 40)
    others = await outbox.put_all(
        [(f"https://shop{n % 10}.example/", f"m{n}") for n in range(1, 31)]
    )
    async with outbox.working():
        for notice in others:
            await outbox.until(notice, NoticeState.DELIVERED)
        assert outbox.network.most["dead.example"] == 1
        hanging.set()


async def test_a_failing_endpoint_is_probed_ever_more_rarely_and_loses_no_attempts(
    outbox: Outbox,
) -> None:
    """After five failures running: one attempt after 1, 2, 4, 8 s …, 60 s at most."""
    outbox.network.answers["dead.example"] = 503
    notices = await outbox.put_all([("https://dead.example/", "m1")] * 40)
    async with outbox.working(schedule_s=(10_000,) * 9):
        await outbox.has_failed(5)
        for count, pause_s in enumerate((1, 2, 4, 8, 16, 32, 60, 60, 60), 6):
            outbox.clock.move(pause_s - 0.1)
            await asyncio.sleep(0.03)
            assert len(outbox.network.sent) == count - 1
            outbox.clock.move(0.1)
            await outbox.has_failed(count)
    assert outbox.network.most["dead.example"] == 1
    assert sum([(await outbox.now(one)).attempts for one in notices]) == 14


async def test_an_endpoint_that_is_back_gets_all_that_waited(outbox: Outbox) -> None:
    """The probe's success makes due what the schedule had put off."""
    outbox.network.answers["shop.example"] = NotSent("no connection")
    notices = [await outbox.put() for _ in range(20)]
    async with outbox.working(schedule_s=(10_000,) * 9):
        await outbox.has_failed(5)
        outbox.network.answers["shop.example"] = 200
        outbox.clock.move(1)
        for notice in notices:
            await outbox.until(notice, NoticeState.DELIVERED)
    assert outbox.said("endpoint is back")
    assert len(outbox.network.sent) == 25


def failing_for(outbox: Outbox, fault: int | Exception) -> set[bytes]:
    """An endpoint that fails for the bodies that a test puts into the set, and takes the rest."""
    broken: set[bytes] = set()

    async def answer(delivery: Delivery) -> int:
        if delivery.body not in broken:
            return 200
        if isinstance(fault, int):
            return fault
        raise fault

    outbox.network.answers["shop.example"] = answer
    return broken


async def test_what_an_endpoint_refuses_hardly_holds_up_what_it_takes(outbox: Outbox) -> None:
    """It answers, so it is there: 30 refused notices cost the next one a second each."""
    broken = failing_for(outbox, 500)
    refused = [await outbox.put() for _ in range(30)]
    broken |= {notice.body for notice in refused}
    async with outbox.working(schedule_s=(10_000,) * 3):
        await outbox.has_failed(5)
        outbox.clock.move(0.01)
        good = await outbox.put()
        for count in range(6, 31):
            outbox.clock.move(1)
            await outbox.has_failed(count)
        outbox.clock.move(1)
        await outbox.until(good, NoticeState.DELIVERED)
        outbox.clock.move(60)
        await asyncio.sleep(0.03)
        assert [(await outbox.now(one)).attempts for one in refused] == [1] * 30
    assert not outbox.said("endpoint is back")


async def test_attempts_before_their_time_do_not_shorten_the_24_hours(outbox: Outbox) -> None:
    """Silence for some notices, success for others: the silent ones are tried to the end."""
    broken = failing_for(outbox, AnswerLost("no answer in time"))
    silent = [await outbox.put() for _ in range(5)]
    broken |= {notice.body for notice in silent}
    async with outbox.working(schedule_s=(100, 100)):
        for attempt in range(1, 5):
            for notice in silent:
                await outbox.attempts(notice, attempt)
            good = await outbox.put()
            outbox.clock.move(1)
            await outbox.until(good, NoticeState.DELIVERED)
        for notice in silent:
            assert (await outbox.now(notice)).state is NoticeState.PENDING
        outbox.clock.move(200)
        for _ in range(10):
            outbox.clock.move(60)
            await asyncio.sleep(0.02)
        for notice in silent:
            assert (await outbox.now(notice)).state is NoticeState.DEAD


async def test_the_bounds_hold(outbox: Outbox) -> None:
    """At one endpoint, for one merchant, and in all."""

    async def slow(_: Delivery) -> int:
        await asyncio.sleep(0.002)
        return 200

    outbox.network.answers |= {f"h{n}.example": slow for n in range(6)}
    notices = await outbox.put_all(
        [(f"https://h{n % 6}.example/", f"m{n % 3}") for n in range(120)]
    )
    bounds = NotifierBounds(interval_s=0.005, max_at_once=5, max_per_merchant=3, max_per_endpoint=2)
    async with outbox.working(bounds):
        for notice in notices:
            await outbox.until(notice, NoticeState.DELIVERED)
    assert outbox.network.most[""] <= 5
    assert all(outbox.network.most[f"h{n}.example"] <= 2 for n in range(6))


async def test_one_merchant_never_takes_all_places(outbox: Outbox) -> None:
    """However many hosts its URLs name."""
    hanging = asyncio.Event()

    async def hang(_: Delivery) -> int:
        await hanging.wait()
        return 200

    outbox.network.answers |= {f"h{n}.example": hang for n in range(50)}
    await outbox.put_all([(f"https://h{n}.example/", "m0") for n in range(50)])
    async with outbox.working():
        await eventually(lambda: len(outbox.network.sent) == BOUNDS.max_per_merchant)
        other = await outbox.put("https://shop.example/", "m1")
        await outbox.until(other, NoticeState.DELIVERED)
        assert len(outbox.network.sent) == BOUNDS.max_per_merchant + 1
        hanging.set()


async def test_lanes_beyond_the_bound_get_their_turn(outbox: Outbox) -> None:
    """More endpoints with a backlog than places: all of them come forward."""
    bounds = NotifierBounds(interval_s=3600, max_at_once=3, max_per_merchant=3, max_per_endpoint=2)
    hosts = [f"h{n:02d}.example" for n in range(12)]
    await outbox.put_all([(f"https://{hosts[n % 12]}/", f"m{n % 12:02d}") for n in range(72)])
    async with outbox.working(bounds):
        await eventually(lambda: len(outbox.network.sent) == 72)
    firsts = [
        next(at for at, (_, one) in enumerate(outbox.network.sent) if host in one.url)
        for host in hosts
    ]
    assert max(firsts) < 50


async def test_more_lanes_than_a_page_are_all_served(outbox: Outbox) -> None:
    notices = await outbox.put_all([(f"https://h{n}.example/", f"m{n}") for n in range(300)])
    async with outbox.working(NotifierBounds(interval_s=3600)):
        for notice in notices:
            await outbox.until(notice, NoticeState.DELIVERED)


async def test_a_replay_begins_the_schedule_anew(outbox: Outbox) -> None:
    outbox.network.answers["shop.example"] = 500
    notice = await outbox.put()
    async with outbox.working(schedule_s=(1,)):
        await outbox.attempts(notice, 1)
        outbox.clock.move(1)
        await outbox.until(notice, NoticeState.DEAD)
        assert await outbox.store.replay_notice(notice.event_id, outbox.clock.now_ms())
        await eventually(lambda: len(outbox.network.sent) == 3)
        outbox.network.answers["shop.example"] = 200
        outbox.clock.move(1)
        await outbox.until(notice, NoticeState.DELIVERED)
    assert len({one.body for one in outbox.network.to("shop.example")}) == 1


async def test_no_line_of_the_log_shows_the_url_or_a_secret(outbox: Outbox) -> None:
    """A URL may carry a merchant's own token."""
    outbox.network.answers["shop.example"] = 500
    notice = await outbox.put("https://shop.example/paid?token=sesame")
    async with outbox.working(schedule_s=()):
        await outbox.until(notice, NoticeState.DEAD)
    text = repr(outbox._capture.entries)
    assert "notice dead" in text
    assert "sesame" not in text
    assert "secret" not in text
    assert "sesame" not in repr(outbox.network.to("shop.example")[0])


async def test_an_intranet_is_reached_when_it_is_allowed(outbox: Outbox) -> None:
    outbox.policy = OutboundPolicy(allow_http=True, hosts=frozenset(["tills"]))
    notice = await outbox.put("http://tills:8080/paid")
    async with outbox.working():
        await outbox.until(notice, NoticeState.DELIVERED)
