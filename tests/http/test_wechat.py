"""WeChat Pay from end to end: the gateway's API before the simulated channel, over real TLS."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.free_ports import free_port
from sandbox.scenarios import EXPECTED, WECHAT_CODES, Scenario
from tests.support.gateway import FAST, Place, Running, opened
from tests.support.waiting import eventually

APPROVED = WECHAT_CODES[Scenario.APPROVED]
QUICK = replace(
    FAST,
    till_wait_s=12,
    wechat_query_after_s=",".join(["0.2"] * 10),
    wechat_undo_retry_s="0.3",
    wechat_undo_not_before_s=0,
    wechat_prompt_s=3,
    wechat_timeout_s="2",
)


@pytest.fixture
async def place(installation_template: Path, tmp_path: Path) -> AsyncIterator[Place]:
    """An installation whose wallet is WeChat Pay, its gateway at a port that is known before."""
    port = free_port()
    tuning = replace(QUICK, wechat_notify_url=f"https://127.0.0.1:{port}/notify/wechat/wechat-1")
    async with opened(installation_template, tmp_path / "place", tuning, wallets=("wechat",)) as it:
        it.configure(http={"port": port})
        yield it


@pytest.fixture
async def running(place: Place) -> AsyncIterator[Running]:
    async with place.gateway() as it:
        yield it


async def final(running: Running, code: str, number: str = "") -> Any:
    """Pay and wait for the end."""
    payment = (await running.api.pay(code, number, wait_s=0)).json
    return await running.api.final(payment["id"])


@pytest.mark.parametrize("scenario", list(WECHAT_CODES), ids=lambda s: s.value)
async def test_every_scenario_ends_as_it_must(running: Running, scenario: Scenario) -> None:
    """The status, and what the channel believes of the money."""
    payment = await final(running, WECHAT_CODES[scenario])
    assert payment["status"] == EXPECTED["wechat", scenario.value].status
    assert payment["channel"] == "wechat"
    charged = 1990 if payment["status"] == "succeeded" else 0
    assert await running.place.charge(payment) == (charged, 0)


@pytest.mark.parametrize("kind", ["drop", "close", "corrupt"])
async def test_a_lost_or_spoilt_answer_is_asked_about(running: Running, kind: str) -> None:
    """Charged once, whatever became of the answer; never sent again."""
    rule = {"kind": kind, "match": "/pay/micropay", "limit": 1}
    await running.place.faults("wechat", rule)
    payment = await final(running, APPROVED)
    assert payment["status"] == "succeeded"
    assert await running.place.charge(payment) == (1990, 0)


@pytest.mark.parametrize("code", ["SYSTEMERROR", "BANKERROR", "500"])
@pytest.mark.parametrize("stage", ["before", "after"])
async def test_an_error_is_no_answer(running: Running, code: str, stage: str) -> None:
    """Unknown: what the query says, or the undo, decides."""
    rule = {"kind": "refuse", "match": "/pay/micropay", "code": code, "stage": stage}
    await running.place.faults("wechat", rule)
    payment = await final(running, APPROVED)
    expected = ("closed", (0, 0)) if stage == "before" else ("succeeded", (1990, 0))
    assert (payment["status"], await running.place.charge(payment)) == expected


async def test_a_payment_nobody_can_ask_about_is_undone(running: Running) -> None:
    """Queries fail, the money was taken: it goes back once, and no sale is reported."""
    await running.place.faults(
        "wechat",
        {"kind": "drop", "match": "/pay/micropay"},
        {"kind": "refuse", "match": "/pay/orderquery", "code": "SYSTEMERROR", "limit": 30},
        {"kind": "refuse", "match": "/secapi/pay/reverse", "code": "SYSTEMERROR", "limit": 2},
    )
    payment = await final(running, APPROVED)
    assert payment["status"] in ("reversed", "closed")
    assert await running.place.charge(payment) == (1990, 1990)


async def test_a_cancelled_payment_is_reversed(running: Running) -> None:
    """Over mutual TLS; a repeat changes nothing."""
    payment = (await running.api.pay(APPROVED)).json
    for _ in range(2):
        await running.api.cancel(payment["id"])
    assert (await running.api.final(payment["id"]))["status"] == "reversed"
    assert await running.place.charge(payment) == (1990, 1990)


async def test_a_reversal_waits_until_the_channel_takes_it(
    installation_template: Path, tmp_path: Path
) -> None:
    """The channel refuses one within its time after the pay; here it is wanted at once."""
    tuning = replace(QUICK, wechat_undo_not_before_s=1)
    async with (
        opened(installation_template, tmp_path / "p", tuning, wallets=("wechat",)) as place,
        place.gateway() as running,
    ):
        payment = (await running.api.pay(APPROVED)).json
        await running.api.cancel(payment["id"])
        assert (await running.api.final(payment["id"]))["status"] == "reversed"
        assert await place.charge(payment) == (1990, 1990)


async def test_a_refund_is_told_by_the_channel_too(running: Running) -> None:
    """Accepted, done a second later; the notification is verified, booked and taken."""
    payment = (await running.api.pay(APPROVED)).json
    asked = (await running.api.refund(payment["id"], 990)).json
    assert (await running.api.final_refund(asked["id"]))["status"] == "succeeded"
    assert await running.place.charge(payment) == (1990, 990)

    async def is_taken() -> bool:
        told = await running.place.ask("GET", "/notices")
        return [(n["event"], n["state"]) for n in told] == [("refunded", "taken")]

    await eventually(is_taken)
    found = (await running.api.get(payment["id"])).json
    assert (found["status"], found["refunded_amount"]) == ("succeeded", 990)


@pytest.mark.parametrize("kind", ["corrupt", "wrong_amount"])
async def test_a_forged_notification_changes_nothing(running: Running, kind: str) -> None:
    """The vendor's probe and another amount: not taken, or taken without effect; money agrees."""
    await running.place.faults("wechat.notify", {"kind": kind, "limit": 1})
    payment = (await running.api.pay(APPROVED)).json
    asked = (await running.api.refund(payment["id"], 990)).json
    assert (await running.api.final_refund(asked["id"]))["status"] == "succeeded"

    async def is_taken() -> bool:
        told = await running.place.ask("GET", "/notices")
        return [notice["state"] for notice in told] == ["taken"]

    await eventually(is_taken)
    (told,) = await running.place.ask("GET", "/notices")
    assert told["attempts"] >= (2 if kind == "corrupt" else 1)
    assert await running.place.charge(payment) == (1990, 990)
    assert (await running.api.get(payment["id"])).json["refunded_amount"] == 990


async def test_a_gateway_that_starts_again_finishes(place: Place) -> None:
    """Left while the payer types: the next process finds the payment and its end."""
    async with place.gateway(drain_s=0) as running:
        code = WECHAT_CODES[Scenario.USER_PAYING]
        payment = (await running.api.pay(code, "left", wait_s=0)).json
    async with place.gateway() as running:
        ended = await running.api.final(payment["id"])
        assert ended["status"] in ("succeeded", "closed", "reversed")
        kept = 1990 if ended["status"] == "succeeded" else 0
        charged, returned = await place.charge(ended)
        assert charged - returned == kept
