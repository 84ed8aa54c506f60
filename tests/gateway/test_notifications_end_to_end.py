"""From a payment over HTTPS to the merchant's endpoint: the gateway's own network and store."""

from collections.abc import AsyncIterator

import orjson
import pytest

from gateway.store.port import NoticeState
from signing.merchant import answer_string, verify
from tests.gateway.raw_endpoint import Endpoint, serving
from tests.support.gateway import Place, Running, place, running
from tests.support.waiting import eventually

__all__ = ["place", "running"]

APPROVED = "280000000000000001"


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with serving(Endpoint()) as it:
        yield it


async def test_a_final_payment_is_told_in_the_merchants_own_signature(
    running: Running, endpoint: Endpoint
) -> None:
    """The body is what the API shows; the signature verifies with the merchant's secret."""
    url = f"http://127.0.0.1:{endpoint.port}/paid?shop=7"
    payment = (await running.api.pay(APPROVED, notify_url=url)).json
    assert payment["status"] == "succeeded"
    await eventually(lambda: bool(endpoint.requests))
    head, _, body = endpoint.requests[0].partition(b"\r\n\r\n")
    lines = [line.partition(": ") for line in head.decode().splitlines()]
    said = {name: value for name, _, value in lines}
    assert lines[0][0] == "POST /paid?shop=7 HTTP/1.1"
    assert said["Posgate-Key-Id"] == running.api.key.key_id
    message = answer_string(said["Posgate-Timestamp"], said["Posgate-Nonce"], body)
    assert verify(running.api.key.secret.encode(), message, said["Posgate-Signature"])
    event = orjson.loads(body)
    assert (event["type"], event["sequence"]) == ("payment.succeeded", 1)
    assert event["payment"] == (await running.api.get(payment["id"])).json

    async def is_booked() -> bool:
        stored = await running.gateway.store.notice(event["event_id"])
        return stored is not None and stored.state is NoticeState.DELIVERED

    await eventually(is_booked)
    metrics = (await running.api.send("GET", "/metrics")).raw.decode()
    assert 'posgate_notices_total{result="delivered"} 1.0' in metrics
    assert "posgate_notifying" in metrics
    assert "posgate_failing_endpoints 0.0" in metrics


async def test_a_gateway_that_was_down_tells_when_it_is_back(
    place: Place, endpoint: Endpoint
) -> None:
    """The notice is in the store with the payment; who delivers it does not matter."""
    url = f"http://127.0.0.1:{endpoint.port}/"
    place.configure(notifications={"interval_s": 3600})
    async with place.gateway() as first:
        first.gateway.core.notifier.nudge = lambda: None  # type: ignore[method-assign]
        first.gateway.core.notifier._is_draining = True
        await first.api.pay(APPROVED, notify_url=url)
        assert endpoint.requests == []
    async with place.gateway():
        await eventually(lambda: bool(endpoint.requests))


@pytest.mark.parametrize(
    "url",
    ["http://shop.example/", "https://169.254.169.254/latest", "https://[::1]/", "https://2130706433/",
     "https://localhost/", "https://shop.example:22/", "https://a@shop.example/",
     "https://shop.example/#x"],
)  # fmt: skip
async def test_a_url_that_would_never_be_called_is_refused_at_the_door(
    place: Place, url: str
) -> None:
    """422 with the field, before anything is charged."""
    place.configure(notifications={"allow": [], "allow_http": False})
    async with place.gateway() as running:
        reply = await running.api.pay(APPROVED, notify_url=url)
        assert (reply.status, reply.code, reply.field) == (422, "notify_url_refused", "notify_url")
        assert await place.charges() == []


async def test_a_repeat_is_answered_although_its_url_is_refused_by_now(place: Place) -> None:
    """Paid under one configuration and sent again under another: 422 would say "not charged"."""
    url = "http://127.0.0.1:9/paid"
    async with place.gateway() as before:
        paid = await before.api.pay(APPROVED, "again", notify_url=url)
        assert paid.status == 201
    place.configure(notifications={"allow": [], "allow_http": False})
    async with place.gateway() as after:
        again = await after.api.pay(APPROVED, "again", notify_url=url)
        assert (again.status, again.json["id"]) == (200, paid.json["id"])
        other = await after.api.pay(APPROVED, "again", notify_url=url, amount=1)
        assert (other.status, other.code) == (409, "order_conflict")
        new = await after.api.pay(APPROVED, "new", notify_url=url)
        assert (new.status, new.code) == (422, "notify_url_refused")
    assert len(await place.charges()) == 1
