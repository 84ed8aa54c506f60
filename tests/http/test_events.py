"""Event streams and long polls at a running gateway's door."""

import asyncio

import pytest

from sandbox.scenarios import ALIPAY_CODES, Scenario
from tests.support.event_stream import stream
from tests.support.gateway import Place, Running, scanned
from tests.support.waiting import eventually

APPROVED = ALIPAY_CODES[Scenario.APPROVED]
USER_PAYING = ALIPAY_CODES[Scenario.USER_PAYING]
module_loop = pytest.mark.asyncio(loop_scope="module")


@module_loop
async def test_a_payment_is_followed_to_its_end(standing: Running) -> None:
    """As it stands at once, then each change, the same JSON as a look-up's."""
    api = standing.api
    payment = (await api.pay(USER_PAYING, wait_s=0)).json
    async with stream(api, f"/v1/payments/{payment['id']}/events") as events:
        event = await events.next()
        while event.payment["status"] != "succeeded":
            before = event
            event = await events.next()
            assert int(event.fields["id"]) > int(before.fields["id"])
        assert event.fields["event"] == "payment.succeeded"
        assert event.fields["id"] == str(event.payment["version"])
    assert event.payment == (await api.get(payment["id"])).json
    assert before.payment["status"] != "succeeded"


@module_loop
async def test_a_store_hears_its_payments(standing: Running) -> None:
    """Of whoever makes them, refunds of them too, and goes on where it stopped."""
    api = standing.api
    async with stream(api, "/v1/stores/shop-1/events") as events:
        while "id" not in (where := await events.block()).fields:
            pass
        paid = (await api.pay(APPROVED, store_id="shop-1")).json
        (await api.pay(APPROVED, store_id="shop-2"))
        event = await events.next()
        while event.payment["status"] != "succeeded":
            event = await events.next()
        assert event.payment["id"] == paid["id"]
    await api.refund(paid["id"], 90)
    again = f"/v1/stores/shop-1/events?after={event.fields['id']}"
    async with stream(api, again) as events:
        event = await events.next()
        while event.payment["refunded_amount"] != 90:
            event = await events.next()
        assert event.payment["id"] == paid["id"]
    last = where.fields["id"]
    async with stream(api, "/v1/stores/shop-1/events", Last_Event_ID=last) as events:
        assert (await events.next()).payment["id"] == paid["id"]


@module_loop
async def test_nobody_follows_another_merchants(standing: Running) -> None:
    """Neither its payment nor, under the same name, its store."""
    payment = (await standing.api.pay(APPROVED, store_id="mine")).json
    path = f"/v1/payments/{payment['id']}/events"
    reply = await standing.other.call("GET", path)
    assert (reply.status, reply.code) == (404, "payment_not_found")
    async with stream(standing.other, "/v1/stores/mine/events?after=0") as events:
        block = await events.block()
        while "id" not in block.fields:
            block = await events.block()
        assert "data" not in block.fields


@module_loop
@pytest.mark.parametrize("path", ["/v1/payments/{id}/events", "/v1/stores/s/events"])
async def test_what_is_no_number_is_refused(standing: Running, path: str) -> None:
    payment = (await standing.api.pay(APPROVED)).json
    path = path.replace("{id}", payment["id"])
    for after in ("x", "-1", "1.5", "9" * 20, "%C2%B2"):
        reply = await standing.api.call("GET", f"{path}?after={after}")
        assert (reply.status, reply.field) == (400, "after"), after
    reply = await standing.api.call("GET", path, Last_Event_ID="1e3")
    assert (reply.status, reply.field) == (400, "Last-Event-ID")


@module_loop
async def test_a_head_opens_no_stream(standing: Running) -> None:
    path = "/v1/stores/s/events"
    reply = await standing.api.call("HEAD", path)
    assert (reply.status, reply.raw) == (200, b"")
    await eventually(lambda: standing.gateway.core.feed.following() == 0)


@module_loop
async def test_a_reader_that_is_gone_is_forgotten(standing: Running) -> None:
    """Without waiting for something to write."""
    feed = standing.gateway.core.feed
    async with stream(standing.api, "/v1/stores/s/events") as events:
        await events.block()
        assert feed.following() >= 1
    await eventually(lambda: feed.following() == 0)


@module_loop
async def test_a_long_poll_answers_when_the_payment_moves(standing: Running) -> None:
    """With a version beyond what the caller knows; without, once it is over."""
    api = standing.api
    payment = (await api.pay(USER_PAYING, wait_s=0)).json
    path = f"/v1/payments/{payment['id']}"
    moved = (await api.call("GET", f"{path}?wait_s=20&after={payment['version']}")).json
    assert moved["version"] > payment["version"]
    over = (await api.call("GET", f"{path}?wait_s=20")).json
    assert over["status"] == "succeeded"
    assert (await api.call("GET", f"{path}?wait_s=20&after=0")).json == over
    assert (await api.call("GET", f"{path}?wait_s=20")).json == over
    for bad, status in (("wait_s=31", 422), ("wait_s=x", 400), ("after=-1", 400)):
        assert (await api.call("GET", f"{path}?{bad}")).status == status
    same = (await api.call("GET", f"{path}?wait_s=1&after={over['version']}")).json
    assert same == over


@module_loop
async def test_a_long_poll_of_a_store_misses_nothing(standing: Running) -> None:
    """It waits for the first, goes on after what it heard, hears at once what came meanwhile."""
    api, path = standing.api, "/v1/stores/polled/events"
    first = (await api.call("GET", f"{path}?wait_s=5")).json
    assert (first["events"], type(first["last_event_id"])) == ([], int)
    waiting = asyncio.create_task(
        api.call("GET", f"{path}?wait_s=20&after={first['last_event_id']}")
    )
    await eventually(lambda: standing.gateway.core.feed.following() == 1)
    one = (await api.pay(APPROVED, store_id="polled")).json
    heard = (await waiting).json
    two = (await api.pay(APPROVED, store_id="polled")).json
    await api.pay(APPROVED, store_id="another")
    seen = {event["payment"]["id"]: event for event in heard["events"]}
    while two["id"] not in seen or seen[two["id"]]["event"] != "payment.succeeded":
        after = heard["last_event_id"]
        heard = (await api.call("GET", f"{path}?wait_s=20&after={after}")).json
        assert heard["events"], "nothing was heard in time"
        assert heard["last_event_id"] >= heard["events"][-1]["id"] > after
        seen |= {event["payment"]["id"]: event for event in heard["events"]}
    assert seen.keys() == {one["id"], two["id"]}
    assert seen[two["id"]]["payment"] == two
    assert standing.gateway.core.feed.following() == 0
    for bad, status in (("wait_s=31", 422), ("wait_s=x", 400), ("wait_s=1&after=-1", 400)):
        assert (await api.call("GET", f"{path}?{bad}")).status == status
    theirs = (await standing.other.call("GET", f"{path}?wait_s=1&after=0")).json
    assert theirs["events"] == []
    async with asyncio.timeout(5):  # no wait is no stream: an answer at once
        now = (await api.call("GET", f"{path}?wait_s=0&after={first['last_event_id']}")).json
        assert {event["payment"]["id"] for event in now["events"]} == seen.keys()
        path = f"{path}?wait_s=0&after={now['last_event_id']}"
        assert (await api.call("GET", path)).json["events"] == []


@module_loop
async def test_a_disabled_key_hears_no_more(standing: Running) -> None:
    """Within the directory's freshness: the key is looked up at each sign of life."""
    gateway = standing.gateway
    async with stream(standing.other, "/v1/stores/s/events") as events:
        await events.block()
        async with standing.place.session() as opened:
            await opened.store.disable_api_key(standing.other.key.key_id)
        gateway.core.directory._keys.forget(standing.other.key.key_id)
        for follower in tuple(gateway.core.feed._all):
            follower.beat()
        assert await events.ended()


async def test_a_restart_and_another_process_lose_nothing(place: Place) -> None:
    """What was committed elsewhere, and while nobody listened, is told to who comes again."""
    async with place.gateway() as first, stream(first.api, "/v1/stores/shop/events") as events:
        block = await events.block()
        while "id" not in block.fields:
            block = await events.block()
        where = block.fields["id"]
        async with place.gateway() as second:
            paid = (await second.api.pay(APPROVED, store_id="shop")).json
            event = await events.next()
            while event.payment["status"] != "succeeded":
                event = await events.next()
            assert event.payment["id"] == paid["id"]
            unheard = (await second.api.call("POST", "/v1/payments",
                scanned(APPROVED, store_id="shop"))).json  # fmt: skip
    async with place.gateway() as third:
        path = "/v1/stores/shop/events"
        async with stream(third.api, path, Last_Event_ID=where) as events:
            heard = [(await events.next()).payment["id"] for _ in range(2)]
    assert heard == [paid["id"], unheard["id"]]


async def test_who_drains_lets_its_streams_go(place: Place) -> None:
    async with place.gateway() as it, stream(it.api, "/v1/stores/shop/events") as events:
        await events.block()
        leaving = asyncio.create_task(it.gateway._drain(it.gateway.core, 1))
        assert await events.ended()
        await leaving
