"""Alipay's own Python SDK talks to the simulated gateway and believes it."""

import http.client
from collections.abc import Callable
from typing import Any

import pytest
from alipay.aop.api.request.AlipayTradeCancelRequest import AlipayTradeCancelRequest
from alipay.aop.api.request.AlipayTradeCloseRequest import AlipayTradeCloseRequest
from alipay.aop.api.request.AlipayTradeFastpayRefundQueryRequest import (
    AlipayTradeFastpayRefundQueryRequest,
)
from alipay.aop.api.request.AlipayTradePayRequest import AlipayTradePayRequest
from alipay.aop.api.request.AlipayTradePrecreateRequest import AlipayTradePrecreateRequest
from alipay.aop.api.request.AlipayTradeQueryRequest import AlipayTradeQueryRequest
from alipay.aop.api.request.AlipayTradeRefundRequest import AlipayTradeRefundRequest

from sandbox.scenarios import ALIPAY_CODES, Scenario

Call = Callable[..., Any]


def bar_code(scenario: Scenario, number: str, amount: str = "19.90") -> dict[str, str]:
    return {
        "out_trade_no": number,
        "scene": "bar_code",
        "auth_code": ALIPAY_CODES[scenario],
        "subject": "一杯咖啡和两块饼干",
        "total_amount": amount,
        "product_code": "FACE_TO_FACE_PAYMENT",
    }


async def test_pay_answers_what_the_sdk_can_verify_and_read(sdk: Call) -> None:
    """An approved pay is 10000 with a 28-digit trade number and Beijing time."""
    node = await sdk(AlipayTradePayRequest, **bar_code(Scenario.APPROVED, "SDK1"))
    assert (node["code"], node["out_trade_no"], node["total_amount"]) == ("10000", "SDK1", "19.90")
    assert len(node["trade_no"]) == 28
    assert node["gmt_payment"] == "2026-11-22 12:00:00"


async def test_query_and_cancel_of_a_paid_trade(sdk: Call, sandbox: Any) -> None:
    """Cancel of a paid trade returns the money once, and query then says closed."""
    await sdk(AlipayTradePayRequest, **bar_code(Scenario.APPROVED, "SDK2"))
    before = await sdk(AlipayTradeQueryRequest, out_trade_no="SDK2")
    assert (before["trade_status"], before["buyer_pay_amount"]) == ("TRADE_SUCCESS", "19.90")
    for _ in range(2):
        undone = await sdk(AlipayTradeCancelRequest, out_trade_no="SDK2")
        assert (undone["code"], undone["action"], undone["retry_flag"]) == ("10000", "refund", "N")
    after = await sdk(AlipayTradeQueryRequest, trade_no=before["trade_no"])
    assert after["trade_status"] == "TRADE_CLOSED"
    assert await sandbox.charges() == [
        {"channel": "alipay", "order_no": "SDK2", "charged_fen": 1990, "returned_fen": 1990}
    ]


async def test_a_payer_who_types_a_password_pays_later(sdk: Call, sandbox: Any) -> None:
    """10003 and WAIT_BUYER_PAY first, TRADE_SUCCESS from the eighth second on."""
    node = await sdk(AlipayTradePayRequest, **bar_code(Scenario.USER_PAYING, "SDK3"))
    assert node["code"] == "10003"
    sandbox.clock.ms += 7_999
    waiting = await sdk(AlipayTradeQueryRequest, out_trade_no="SDK3")
    assert (waiting["code"], waiting["trade_status"]) == ("10000", "WAIT_BUYER_PAY")
    assert await sandbox.charges() == []
    sandbox.clock.ms += 1
    paid = await sdk(AlipayTradeQueryRequest, out_trade_no="SDK3")
    assert (paid["trade_status"], paid["send_pay_date"]) == ("TRADE_SUCCESS", "2026-11-22 12:00:08")


async def test_a_refusal_is_signed_too(sdk: Call) -> None:
    """40004 comes in a node that the SDK verifies."""
    node = await sdk(AlipayTradePayRequest, **bar_code(Scenario.DECLINED, "SDK4"))
    assert (node["code"], node["sub_code"]) == ("40004", "ACQ.BUYER_BALANCE_NOT_ENOUGH")


@pytest.mark.parametrize(
    ("scenario", "charged"),
    [
        (Scenario.LOST_RESPONSE_CHARGED, True),
        (Scenario.LOST_RESPONSE_NOT_CHARGED, False),
    ],
)
async def test_lost_answers(sdk: Call, sandbox: Any, scenario: Scenario, charged: bool) -> None:
    """The connection ends without an answer; only a query tells which of the two it was."""
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        await sdk(AlipayTradePayRequest, **bar_code(scenario, "SDK5"))
    node = await sdk(AlipayTradeQueryRequest, out_trade_no="SDK5")
    assert node.get("trade_status") == ("TRADE_SUCCESS" if charged else None)
    assert node.get("sub_code") == (None if charged else "ACQ.TRADE_NOT_EXIST")
    assert bool(await sandbox.charges()) is charged


async def test_cancel_before_pay_closes_the_number(sdk: Call, sandbox: Any) -> None:
    """Cancelling an unknown number succeeds without an action, and a late pay is refused."""
    undone = await sdk(AlipayTradeCancelRequest, out_trade_no="SDK6")
    assert undone == {
        "code": "10000",
        "msg": "Success",
        "out_trade_no": "SDK6",
        "retry_flag": "N",
    }
    late = await sdk(AlipayTradePayRequest, **bar_code(Scenario.APPROVED, "SDK6"))
    assert (late["code"], late["sub_code"]) == ("40004", "ACQ.TRADE_HAS_CLOSE")
    assert await sandbox.charges() == []


async def test_refund_and_its_query(sdk: Call, sandbox: Any) -> None:
    """refund_fee is cumulative, one out_request_no counts once, more than paid is refused."""
    await sdk(AlipayTradePayRequest, **bar_code(Scenario.APPROVED, "SDK7"))

    async def refund(number: str, amount: str) -> Any:
        return await sdk(
            AlipayTradeRefundRequest,
            out_trade_no="SDK7",
            out_request_no=number,
            refund_amount=amount,
        )

    first, again = await refund("R1", "5.00"), await refund("R1", "5.00")
    assert (first["fund_change"], again["fund_change"]) == ("Y", "N")
    assert first["refund_fee"] == again["refund_fee"] == "5.00"
    assert (await refund("R1", "5.01"))["sub_code"] == "ACQ.DISCORDANT_REPEAT_REQUEST"
    assert (await refund("R2", "14.91"))["sub_code"] == "ACQ.REASON_TRADE_REFUND_FEE_ERR"
    assert (await refund("R2", "14.90"))["refund_fee"] == "19.90"
    found = await sdk(
        AlipayTradeFastpayRefundQueryRequest, out_trade_no="SDK7", out_request_no="R2"
    )
    assert (found["refund_status"], found["refund_amount"]) == ("REFUND_SUCCESS", "14.90")
    absent = await sdk(
        AlipayTradeFastpayRefundQueryRequest, out_trade_no="SDK7", out_request_no="R9"
    )
    assert absent == {"code": "10000", "msg": "Success"}
    [charge] = await sandbox.charges()
    assert (charge["charged_fen"], charge["returned_fen"]) == (1990, 1990)


async def test_close_and_precreate(sdk: Call) -> None:
    """Only an unpaid trade can be closed; precreate's code contains a slash, still verified."""
    await sdk(AlipayTradePayRequest, **bar_code(Scenario.NEVER_PAYS, "SDK8"))
    assert (await sdk(AlipayTradeCloseRequest, out_trade_no="SDK8"))["code"] == "10000"
    node = await sdk(AlipayTradeCloseRequest, out_trade_no="SDK8")
    assert node["sub_code"] == "ACQ.TRADE_STATUS_ERROR"
    code = await sdk(
        AlipayTradePrecreateRequest, out_trade_no="SDK9", subject="咖啡", total_amount="1.00"
    )
    assert code["qr_code"].startswith("https://qr.alipay.com/bax")


async def test_the_sdk_refuses_a_wrong_signature(sdk: Call, sandbox: Any) -> None:
    """The fault ``corrupt`` breaks what the SDK verifies, and nothing else."""
    rules = [{"kind": "corrupt", "match": "alipay.trade.query", "limit": 1}]
    status, _ = await sandbox.control("POST", "/faults", {"channel": "alipay", "rules": rules})
    assert status == 200
    await sdk(AlipayTradePayRequest, **bar_code(Scenario.APPROVED, "SDK10"))
    with pytest.raises(Exception, match="sign verify failed"):
        await sdk(AlipayTradeQueryRequest, out_trade_no="SDK10")
    node = await sdk(AlipayTradeQueryRequest, out_trade_no="SDK10")
    assert node["trade_status"] == "TRADE_SUCCESS"
