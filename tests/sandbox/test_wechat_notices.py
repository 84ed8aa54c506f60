"""The simulated WeChat Pay's payer with a phone, its notifications, and the national algorithms."""

import json
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from sandbox.config import SandboxConfig, WeChatNationalKeys
from sandbox.faults import parse_rules
from sandbox.notifier import Delivery
from sandbox.scenarios import Scenario
from sandbox.wallet import Payer, WalletAnswer
from sandbox.world import World
from signing.wechat import (
    SM_SCHEME,
    Stamp,
    WechatSignatureError,
    authorization,
    merchant_key,
    message_of,
    open_resource,
    platform_key,
    verify_message,
)
from tests.sandbox.conftest import NOON_MS
from tests.sandbox.test_wechat_v3 import DIRECT_IDS, NOTIFY, PAY, order_body, pay, query
from tests.sandbox.wechat_rig import APIV3_KEY, MCHID, WeChatMerchant, reply_of, wechat_kit
from tests.signing.test_sm import PRIVATE, PUBLIC


@pytest.fixture
def merchant(config: SandboxConfig) -> WeChatMerchant:
    kit = wechat_kit()
    world = World(replace(config, wechat=kit.config, notify_factor=60), Random(3).randbytes)
    return WeChatMerchant(world, kit, NOON_MS)


def due(merchant: WeChatMerchant) -> list[Delivery]:
    merchant.world.tick(merchant.now_ms)
    return merchant.world.notifier.due(merchant.now_ms)


def believed(merchant: WeChatMerchant, delivery: Delivery) -> tuple[str, Any, str]:
    """Serial, resource and event of a notice that verifies."""
    headers = {name.lower(): value for name, value in delivery.request.headers.items()}
    stamp = Stamp.of(headers)
    verify_message(stamp, delivery.request.body, merchant.kit.platform_keys, merchant.now_ms)
    told = json.loads(delivery.request.body)
    resource = json.loads(open_resource(told["resource"], APIV3_KEY.encode()))
    return stamp.serial, resource, told["event_type"]


def phone(merchant: WeChatMerchant, **payer: Any) -> WalletAnswer:
    answer = merchant.world.pay(Payer(**payer), merchant.now_ms)
    assert answer is not None
    return answer


def test_what_a_phone_can_pay(merchant: WeChatMerchant) -> None:
    """A code is scanned, a prepay_id or H5 page opened; once; a stranger's order is not paid."""
    code = pay(merchant, "W0000001").json["code_url"]
    assert not phone(merchant, code=code, act=Scenario.NEVER_PAYS).paid
    assert phone(merchant, code=code, act=Scenario.DECLINED).why
    assert phone(merchant, code=code, payer_id="oAnn").paid
    assert query(merchant, "W0000001")["payer"] == {"openid": "oAnn"}
    assert phone(merchant, code=code).why == "the order is SUCCESS"
    prepay_id = pay(merchant, "W0000002", "jsapi").json["prepay_id"]
    assert phone(merchant, order=prepay_id, payer_id="oOther").why
    assert phone(merchant, order=prepay_id).paid
    page = pay(merchant, "W0000003", "h5").json["h5_url"]
    assert not phone(merchant, order=page, act=Scenario.USER_PAYING).paid
    merchant.now_ms += 8_000
    assert query(merchant, "W0000003")["trade_state"] == "SUCCESS"
    assert merchant.world.pay(Payer(code="weixin://wxpay/bizpayurl?pr=x"), NOON_MS) is None


def test_notices_come_until_they_are_taken_under_both_keys(merchant: WeChatMerchant) -> None:
    """At once, then on the vendor's schedule; the same id; orders take turns between the keys."""
    serials = set()
    for number in ("W0000011", "W0000012"):
        assert phone(merchant, code=pay(merchant, number).json["code_url"]).paid
        (first,) = due(merchant)
        assert first.url == NOTIFY
        serial, resource, event = believed(merchant, first)
        serials.add(serial)
        assert (event, resource["out_trade_no"]) == ("TRANSACTION.SUCCESS", number)
        assert resource["amount"]["total"] == 100
        merchant.world.notifier.answered(first, 500, b"", merchant.now_ms)
        assert due(merchant) == []
        merchant.now_ms += 250
        (second,) = due(merchant)
        ids = {json.loads(one.request.body)["id"] for one in (first, second)}
        assert len(ids) == 1
        merchant.world.notifier.answered(second, 204, b"", merchant.now_ms)
        assert due(merchant) == []
    assert serials == set(merchant.kit.platform_keys)


def test_a_probe_and_a_wrong_amount(merchant: WeChatMerchant) -> None:
    """The probe must not verify; the wrong amount does, and only its content tells."""
    rules = [{"kind": "corrupt", "limit": 1}, {"kind": "wrong_amount", "limit": 1, "skip": 1}]
    merchant.world.faults["wechat.notify"].replace(parse_rules(rules))
    phone(merchant, code=pay(merchant, "W0000021").json["code_url"])
    (probe,) = due(merchant)
    assert probe.request.headers["Wechatpay-Signature"].startswith("WECHATPAY/SIGNTEST/")
    with pytest.raises(WechatSignatureError):
        believed(merchant, probe)
    merchant.world.notifier.answered(probe, 401, b"", merchant.now_ms)
    merchant.now_ms += 250
    (wrong,) = due(merchant)
    assert believed(merchant, wrong)[1]["amount"]["total"] == 101


def test_a_refund_is_told_when_it_is_done(merchant: WeChatMerchant) -> None:
    """Not while it is on its way."""
    phone(merchant, code=pay(merchant, "W0000031").json["code_url"])
    for one in due(merchant):
        merchant.world.notifier.answered(one, 200, b"", merchant.now_ms)
    body = {
        "out_trade_no": "W0000031", "out_refund_no": "WR1", "notify_url": NOTIFY,
        "amount": {"refund": 40, "total": 100, "currency": "CNY"},
    }  # fmt: skip
    assert merchant.v3("POST", "/v3/refund/domestic/refunds", body).status == 200
    assert due(merchant) == []
    merchant.now_ms += 1000
    (told,) = due(merchant)
    _, resource, event = believed(merchant, told)
    assert (event, resource["refund_status"]) == ("REFUND.SUCCESS", "SUCCESS")
    assert resource["amount"]["refund"] == 40


def test_the_national_algorithms(config: SandboxConfig) -> None:
    """An SM2 request is believed, and answered under the national key with its signature type."""
    kit = wechat_kit()
    national = WeChatNationalKeys(
        merchant_serial="5A01",
        merchant_public_key_pem=PUBLIC,
        platform_serial="5A02",
        platform_private_key_pem=PRIVATE,
    )
    wechat = replace(kit.config, national=national)
    merchant = WeChatMerchant(
        World(replace(config, wechat=wechat), Random(4).randbytes), kit, NOON_MS
    )
    key, timestamp = merchant_key(PRIVATE, SM_SCHEME), str(NOON_MS // 1000)
    raw = json.dumps({**DIRECT_IDS, **order_body("W0000041", "native")}).encode()

    def ask(serial: str) -> Any:
        message = message_of("POST", f"{PAY}/native", timestamp, "n0nce", raw)
        value = authorization(key, MCHID, serial, timestamp, "n0nce", message)
        head = f"Authorization: {value}\r\n"
        return reply_of(merchant.send("POST", f"{PAY}/native", raw, head))

    answer = ask("5A01")
    assert answer.status == 200 and answer.json["code_url"]
    stamp = Stamp.of(answer.headers)
    assert (stamp.serial, stamp.scheme) == ("5A02", SM_SCHEME)
    verify_message(stamp, answer.body, {"5A02": platform_key(PUBLIC, SM_SCHEME)}, NOON_MS)
    assert ask("5A03").status == 401
