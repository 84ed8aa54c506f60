"""Alipay's notifications at a running gateway: booked once, compared, answered after the commit."""

import asyncio
import base64
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from sandbox.scenarios import ALIPAY_CODES, Scenario
from signing.rsa import load_private_key, sign_sha256
from tests.support.gateway import Running
from tests.support.waiting import eventually

NEVER_PAYS = ALIPAY_CODES[Scenario.NEVER_PAYS]
APPROVED = ALIPAY_CODES[Scenario.APPROVED]
URL = "/notify/alipay/alipay-1"


def key_of(running: Running) -> RSAPrivateKey:
    return load_private_key((running.place.folder / "alipay-private.pem").read_bytes())


def settings_of(running: Running) -> tuple[str, str]:
    """Our application and seller, as the installation has them."""
    section = running.gateway._loaded.config.sandbox
    assert section is not None
    assert section.alipay is not None
    return section.alipay.app_id, section.alipay.seller_id


def notice(running: Running, payment: Any, **changes: str) -> bytes:
    """What Alipay posts about a payment."""
    app_id, seller_id = settings_of(running)
    params = {
        "notify_type": "trade_status_sync",
        "notify_id": "n1",
        "app_id": app_id,
        "seller_id": seller_id,
        "charset": "utf-8",
        "out_trade_no": payment["channel_order_no"],
        "trade_no": "2026112222001404120000000077",
        "trade_status": "TRADE_SUCCESS",
        "total_amount": "19.90",
        "gmt_payment": "2026-11-22 15:15:38",
        **changes,
    }
    text = "&".join(f"{name}={value}" for name, value in sorted(params.items()) if value)
    signature = base64.b64encode(sign_sha256(key_of(running), text.encode())).decode()
    return urlencode({**params, "sign_type": "RSA2", "sign": signature}).encode()


async def waiting(running: Running) -> Any:
    """A payment that its payer has not finished."""
    return (await running.api.pay(NEVER_PAYS, wait_s=0)).json


async def told(running: Running, body: bytes) -> tuple[int, bytes]:
    said = await running.api.send("POST", URL, body)
    return said.status, said.raw


async def test_paid_is_booked_and_answered_success(running: Running) -> None:
    payment = await waiting(running)
    body = notice(running, payment)
    assert await told(running, body) == (200, b"success")
    now = (await running.api.get(payment["id"])).json
    assert (now["status"], now["paid_at"]) == ("succeeded", "2026-11-22T07:15:38.000Z")
    assert now["channel_trade_no"] == "2026112222001404120000000077"


async def test_a_replay_of_a_thousand_changes_nothing(running: Running) -> None:
    payment = await waiting(running)
    body = notice(running, payment)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(told(running, body)) for _ in range(1000)]
    assert {task.result() for task in tasks} <= {(200, b"success"), (500, b"failure")}
    assert await told(running, body) == (200, b"success")
    events = await running.gateway.store.events(payment["id"])
    assert [line.event.value for line in events].count("paid") == 1
    postings = await running.gateway.store.postings(payment["id"])
    assert len(postings) == 2


@pytest.mark.parametrize(
    "changes",
    [{"app_id": "2021000000009999"}, {"seller_id": "2088000000009999"}],
    ids=["another application", "another seller"],
)
async def test_signed_and_not_for_us_changes_nothing(
    running: Running, changes: dict[str, str]
) -> None:
    payment = await waiting(running)
    assert await told(running, notice(running, payment, **changes)) == (400, b"failure")
    assert (await running.api.get(payment["id"])).json["status"] != "succeeded"


async def test_another_amount_is_a_persons(running: Running) -> None:
    payment = await waiting(running)
    assert await told(running, notice(running, payment, total_amount="0.01")) == (200, b"success")
    now = (await running.api.get(payment["id"])).json
    assert (now["status"], now["error"]["code"]) == ("unknown", "amount_mismatch")
    assert now["case_id"]


async def test_a_forged_one_changes_nothing_and_shows_nothing(running: Running) -> None:
    payment = await waiting(running)
    body = notice(running, payment).replace(b"19.90", b"0.01")
    assert await told(running, body) == (400, b"failure")
    assert (await running.api.get(payment["id"])).json["status"] != "succeeded"
    log = Path(running.log_file).read_text()
    assert "the signature does not verify" in log
    assert "sign=" not in log
    assert body.decode() not in log


async def test_an_order_that_is_not_ours_is_never_taken_when_it_was_paid(running: Running) -> None:
    other = {"channel_order_no": "X" * 32}
    assert await told(running, notice(running, other)) == (500, b"failure")
    said = await told(running, notice(running, other, trade_status="TRADE_CLOSED"))
    assert said == (200, b"success")


async def test_a_partial_refund_is_never_a_second_payment(running: Running) -> None:
    """Its notification carries the trade's success; it is keyed on ``out_biz_no``."""
    payment = (await running.api.pay(APPROVED)).json
    assert payment["status"] == "succeeded"
    asked = (await running.api.refund(payment["id"], 500)).json
    refund = await running.api.final_refund(asked["id"])
    marks = {
        "out_biz_no": refund["channel_refund_no"],
        "refund_fee": "5.00",
        "gmt_refund": "2026-11-22 16:00:00",
    }
    for _ in range(3):
        assert await told(running, notice(running, payment, **marks)) == (200, b"success")
    now = (await running.api.get(payment["id"])).json
    assert (now["status"], now["refunded_amount"]) == ("succeeded", 500)
    assert len(await running.gateway.store.postings(payment["id"])) == 4


async def test_paid_after_it_was_closed_goes_back(running: Running) -> None:
    """The payer was late; the money is returned, never kept and never lost."""
    payment = await waiting(running)
    closed = (await running.api.cancel(payment["id"])).json
    await running.api.cancel(payment["id"])
    closed = await running.api.final(payment["id"])
    assert closed["status"] == "closed"
    assert await told(running, notice(running, payment)) == (200, b"success")

    async def is_undone() -> bool:
        now = (await running.api.get(payment["id"])).json
        return now["status"] == "reversed" or bool(now["case_id"])

    await eventually(is_undone)
