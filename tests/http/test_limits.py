"""Limits at the HTTPS door: told in both languages, before anything is begun."""

from typing import Any

from domain.limits import Limit
from gateway.cli.installation import MERCHANT_NO
from gateway.pin_hash import hash_pin
from gateway.store.shop_records import Operator
from sandbox.scenarios import ALIPAY_CODES, Scenario
from tests.support.gateway import Place, Running

APPROVED = ALIPAY_CODES[Scenario.APPROVED]
PIN = "739201"


async def limited(place: Place, **values: Any) -> None:
    """Before the gateway starts."""
    async with place.session() as opened:
        await opened.store.set_limit(Limit(merchant_no=MERCHANT_NO, **values), 1)
        await opened.store.add_operator(
            Operator(
                merchant_no=MERCHANT_NO,
                operator_id="01",
                name="",
                pin_hash=hash_pin(PIN),
                created_at_ms=1,
            )
        )


async def told(running: Running, number: str, **changes: Any) -> Any:
    """A refusal's body; the number is free."""
    reply = await running.api.pay(APPROVED, number, **changes)
    assert reply.status == 403, reply.raw
    assert (await running.api.find(number)).status == 404
    return reply.json["error"]


async def test_limits_and_operators_at_the_door(place: Place) -> None:
    """Amount, sum and PIN; another merchant's payments are none of theirs."""
    await limited(place, single_fen=3000, daily_fen=4000, small_fen=1990)
    async with place.gateway() as running:
        error = await told(running, "n1", amount=3001)
        assert error["code"] == "limit_single"
        assert error["message"] == "The amount exceeds what one payment may be here."
        assert error["message_zh"] == "单笔金额超过商户限额"
        assert (await running.api.pay(APPROVED, "n2")).json["status"] == "succeeded"
        assert (await told(running, "n3", amount=2000))["code"] == "operator_pin_needed"
        wrong = {"amount": 2000, "operator_id": "01", "operator_pin": "739202"}
        assert (await told(running, "n3", **wrong))["code"] == "operator_pin_wrong"
        paid = await running.api.pay(APPROVED, "n3", **{**wrong, "operator_pin": PIN})
        assert (paid.status, paid.json["status"]) == (201, "succeeded")
        again = await running.api.pay(APPROVED, "n3", **{**wrong, "operator_pin": PIN})
        assert again.headers["Idempotent-Replayed"] == "true"
        assert (await told(running, "n4", amount=11))["code"] == "limit_daily"
        assert (await running.api.pay(APPROVED, "n4", amount=10)).json["status"] == "succeeded"
        assert (await running.other.pay(APPROVED, "n5", amount=9000)).status == 201
        metrics = (await running.api.send("GET", "/metrics")).raw
    assert b'posgate_over_limit_total{rule="limit_daily"} 1.0' in metrics
    written = running.log_file.read_bytes()
    for file in place.folder.glob("posgate.db*"):
        written += file.read_bytes()
    assert PIN.encode() not in written
    assert b"operator let it through" in written


async def test_a_pin_of_the_wrong_form_is_named_and_never_quoted(running: Running) -> None:
    reply = await running.api.pay(APPROVED, "n1", operator_pin=7392015555)
    assert (reply.status, reply.json["error"]["field"]) == (400, "operator_pin")
    assert b"7392015555" not in reply.raw
