"""The simulated Alipay's own notices at a running gateway's door, over real TLS.

What only a notice can tell (every answer is lost) is booked, parked or refused as it must;
what the gateway knows already is told again and changes nothing.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.free_ports import free_port
from sandbox.scenarios import ALIPAY_CODES, Scenario
from tests.support.gateway import FAST, Place, Running, opened
from tests.support.waiting import eventually

APPROVED = ALIPAY_CODES[Scenario.APPROVED]
NOTICES = "alipay.notify"
LOST: Sequence[dict[str, object]] = (
    {"kind": "drop", "match": "alipay.trade.pay"},
    {"kind": "drop", "match": "alipay.trade.query", "stage": "before"},
    {"kind": "drop", "match": "alipay.trade.cancel", "stage": "before"},
)
"""The money is taken, and no call ever says so."""


@pytest.fixture
async def running(installation_template: Path, tmp_path: Path) -> AsyncIterator[Running]:
    """A gateway at a port that its Alipay account knew before."""
    port = free_port()
    url = f"https://127.0.0.1:{port}/notify/alipay/alipay-1"
    tuning = replace(FAST, alipay_notify_url=url)
    async with opened(installation_template, tmp_path / "place", tuning) as place:
        place.configure(http={"port": port})
        async with place.gateway() as it:
            yield it


async def told(place: Place, event: str, attempts: int = 1) -> Any:
    """The one notice of an event, once as many attempts at it were answered."""
    found: list[dict[str, Any]] = []

    async def is_there() -> bool:
        notices = await place.ask("GET", "/notices")
        found[:] = [one for one in notices if one["event"] == event]
        return any(one["attempts"] >= attempts and one["last_status"] for one in found)

    await eventually(is_there)
    [notice] = found
    return notice


async def bookings(running: Running, payment: Any) -> tuple[int, int]:
    """How often it was paid, and the lines of its ledger."""
    events = await running.gateway.store.events(payment["id"])
    postings = await running.gateway.store.postings(payment["id"])
    return [line.event.value for line in events].count("paid"), len(postings)


async def final(running: Running) -> Any:
    payment = (await running.api.pay(APPROVED, wait_s=0)).json
    return await running.api.final(payment["id"])


async def test_a_notice_alone_books_what_no_answer_told(running: Running) -> None:
    await running.place.faults("alipay", *LOST)
    payment = await final(running)
    assert payment["status"] == "succeeded"
    notice = await told(running.place, "paid")
    assert (notice["order_no"], notice["state"]) == (payment["channel_order_no"], "taken")
    assert await bookings(running, payment) == (1, 2)
    assert await running.place.charge(payment) == (1990, 0)


async def test_told_twice_is_booked_once(running: Running) -> None:
    await running.place.faults("alipay", *LOST)
    await running.place.faults(NOTICES, {"kind": "duplicate", "match": "paid"})
    payment = await final(running)
    assert (payment["status"], (await told(running.place, "paid"))["state"]) == (
        "succeeded",
        "taken",
    )
    assert await bookings(running, payment) == (1, 2)


async def test_another_amount_truly_signed_is_a_persons(running: Running) -> None:
    await running.place.faults("alipay", *LOST)
    await running.place.faults(NOTICES, {"kind": "wrong_amount", "match": "paid"})
    payment = await final(running)
    assert (payment["status"], payment["error"]["code"]) == ("unknown", "amount_mismatch")
    assert payment["case_id"]
    assert (await bookings(running, payment))[1] == 0


async def test_a_forged_one_is_refused_and_the_true_one_after_it_taken(running: Running) -> None:
    await running.place.faults("alipay", *LOST)
    await running.place.faults(NOTICES, {"kind": "corrupt", "match": "paid", "limit": 1})
    payment = (await running.api.pay(APPROVED, wait_s=0)).json
    refused = await told(running.place, "paid")
    assert (refused["last_status"], refused["state"]) == (400, "waiting")
    assert (await running.api.get(payment["id"])).json["status"] != "succeeded"
    assert "the signature does not verify" in running.log_file.read_text()
    assert (await running.api.final(payment["id"]))["status"] == "succeeded"
    taken = await told(running.place, "paid", attempts=2)
    assert (taken["last_status"], taken["state"]) == (200, "taken")


async def test_a_refund_of_a_part_told_before_its_payment_changes_nothing(
    running: Running,
) -> None:
    """The refund's notice says the trade's success too; the payment's own comes after it."""
    late = {"kind": "delay", "match": "paid", "delay_ms": 2000}
    await running.place.faults(NOTICES, late)
    payment = await final(running)
    asked = (await running.api.refund(payment["id"], 500)).json
    assert (await running.api.final_refund(asked["id"]))["status"] == "succeeded"
    assert (await told(running.place, "refunded"))["state"] == "taken"
    assert (await told(running.place, "paid"))["state"] == "taken"
    now = (await running.api.get(payment["id"])).json
    assert (now["status"], now["refunded_amount"]) == ("succeeded", 500)
    assert (await bookings(running, payment))[0] == 1
    assert await running.place.charge(payment) == (1990, 500)
