"""The simulated APIv3, call by call; the answers are verified with the product's own signing."""

import base64
import gzip
import hashlib
import json
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from sandbox.config import SandboxConfig
from sandbox.effects import HANG_UP
from sandbox.faults import parse_rules
from sandbox.scenarios import WECHAT_CODES, Scenario
from sandbox.wechat_books import Order
from sandbox.world import World
from signing.wechat import (
    RSA_SCHEME,
    Stamp,
    WechatSignatureError,
    certificate_key,
    open_resource,
    verify_message,
)
from tests.sandbox.conftest import NOON_MS
from tests.sandbox.test_wechat_v2 import a_days_business, charges, paid, rows_of
from tests.sandbox.wechat_rig import (
    APIV3_KEY,
    APP_SECRET,
    APPID,
    MCHID,
    PUBLIC_KEY_ID,
    SUB_MCHID,
    WeChatMerchant,
    reply_of,
    wechat_kit,
)

PAY = "/v3/pay/transactions"
PARTNER = "/v3/pay/partner/transactions"
NOTIFY = "https://shop.example/notify/wechat/1"
PARTNER_IDS = {"sp_appid": APPID, "sp_mchid": MCHID, "sub_mchid": SUB_MCHID}
DIRECT_IDS = {"appid": APPID, "mchid": MCHID}


@pytest.fixture
def merchant(config: SandboxConfig) -> WeChatMerchant:
    kit = wechat_kit()
    wechat = replace(kit.config, bills_at_once=True)
    return WeChatMerchant(World(replace(config, wechat=wechat), Random(2).randbytes), kit, NOON_MS)


def order_body(number: str, kind: str, fen: int = 100, **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "description": "一杯茶", "out_trade_no": number, "notify_url": NOTIFY,
        "amount": {"total": fen, "currency": "CNY"},
    }  # fmt: skip
    if kind == "jsapi":
        body["payer"] = {"openid": "oPayer"}
    if kind == "h5":
        body["scene_info"] = {"payer_client_ip": "127.0.0.1", "h5_info": {"type": "Wap"}}
    if kind == "codepay":
        del body["notify_url"]
        body["payer"] = {"auth_code": WECHAT_CODES[Scenario.APPROVED]}
        body["scene_info"] = {"store_info": {"out_id": "S1"}}
    return body | more


def pay(merchant: WeChatMerchant, number: str, kind: str = "native", **more: Any) -> Any:
    body = order_body(number, kind, **more)
    return merchant.v3("POST", f"{PAY}/{kind}", {**DIRECT_IDS, **body})


def query(merchant: WeChatMerchant, number: str) -> Any:
    reply = merchant.v3("GET", f"{PAY}/out-trade-no/{number}?mchid={MCHID}")
    return reply.json


def order_at(merchant: WeChatMerchant, number: str, sub_mchid: str = "") -> Order:
    state = merchant.world.wechat_state
    assert state is not None
    order = state.books.find(sub_mchid, number, merchant.now_ms)
    assert order is not None
    return order


@pytest.mark.parametrize(
    ("kind", "member", "start"),
    [
        ("native", "code_url", "weixin://wxpay/bizpayurl?pr="),
        ("jsapi", "prepay_id", "wx20261122"),
        ("app", "prepay_id", "wx20261122"),
        ("h5", "h5_url", "https://wx.tenpay.com/"),
    ],
)
@pytest.mark.parametrize("serial", ["", PUBLIC_KEY_ID])
def test_orders_that_the_payer_completes(
    merchant: WeChatMerchant, kind: str, member: str, start: str, serial: str
) -> None:
    """Made (again) the same; NOTPAY until paid, then SUCCESS with the payer; both modes."""
    merchant.serial = serial
    made = pay(merchant, "N0000001", kind)
    assert made.status == 200 and made.json.keys() == {member}
    assert made.json[member].startswith(start)
    assert pay(merchant, "N0000001", kind).json == made.json
    assert query(merchant, "N0000001")["trade_state"] == "NOTPAY"
    assert charges(merchant) == []
    assert order_at(merchant, "N0000001").pay("oSomebody", merchant.now_ms + 3000)
    asked = query(merchant, "N0000001")
    assert asked["trade_state"] == "SUCCESS"
    assert asked["success_time"] == "2026-11-22T12:00:03+08:00"
    assert asked["payer"] == {"openid": "oSomebody"}
    assert asked["amount"]["total"] == asked["amount"]["payer_total"] == 100
    theirs = f"{PAY}/id/{asked['transaction_id']}?mchid={MCHID}"
    assert merchant.v3("GET", theirs).json == asked
    again = pay(merchant, "N0000001", kind)
    assert (again.status, again.json["code"]) == (403, "ORDERPAID")
    assert not order_at(merchant, "N0000001").pay("oOther", merchant.now_ms)


def test_other_content_under_the_same_number(merchant: WeChatMerchant) -> None:
    """INVALID_REQUEST; the first order stands."""
    pay(merchant, "N0000002")
    for change in ({"fen": 101}, {"description": "other"}, {"attach": "x"}):
        again = pay(merchant, "N0000002", **change)
        assert (again.status, again.json["code"]) == (400, "INVALID_REQUEST")
    assert query(merchant, "N0000002")["amount"]["total"] == 100


def test_close_and_expiry(merchant: WeChatMerchant) -> None:
    """204 twice; a closed or expired order is not paid any more; a paid one does not close."""
    for number in ("N0000003", "N0000004", "N0000005"):
        pay(merchant, number)
    for _ in range(2):
        closed = merchant.v3("POST", f"{PAY}/out-trade-no/N0000003/close", {"mchid": MCHID})
        assert (closed.status, closed.body) == (204, b"")
    assert query(merchant, "N0000003")["trade_state"] == "CLOSED"
    assert not order_at(merchant, "N0000003").pay("o", merchant.now_ms)
    assert pay(merchant, "N0000003").json["code"] == "ORDER_CLOSED"
    order_at(merchant, "N0000004").pay("o", merchant.now_ms)
    no = merchant.v3("POST", f"{PAY}/out-trade-no/N0000004/close", {"mchid": MCHID})
    assert (no.status, no.json["code"]) == (400, "ORDER_PAID")
    merchant.now_ms += 2 * 3_600_000
    assert query(merchant, "N0000005")["trade_state"] == "CLOSED"
    none = merchant.v3("POST", f"{PAY}/out-trade-no/N0000009/close", {"mchid": MCHID})
    assert (none.status, none.json["code"]) == (404, "ORDER_NOT_EXIST")


def test_codepay_and_its_reversal(merchant: WeChatMerchant) -> None:
    """The code scenarios through APIv3: success, 202 while the payer types, lost, reversed."""
    done = pay(merchant, "C0000001", "codepay")
    assert (done.status, done.json["trade_state"]) == (200, "SUCCESS")
    assert done.json["trade_type"] == "MICROPAY"
    code = {"auth_code": WECHAT_CODES[Scenario.USER_PAYING]}
    typing = pay(merchant, "C0000002", "codepay", payer=code)
    assert (typing.status, typing.json["code"]) == (202, "USERPAYING")
    lost = {"auth_code": WECHAT_CODES[Scenario.LOST_RESPONSE_CHARGED]}
    body = {**DIRECT_IDS, **order_body("C0000003", "codepay", payer=lost)}
    assert merchant.v3_raw("POST", f"{PAY}/codepay", body) == HANG_UP
    back = f"{PAY}/out-trade-no/C0000001/reverse"
    assert merchant.v3("POST", back, DIRECT_IDS).status == 400
    merchant.now_ms += 15_000
    reversed_ = merchant.v3("POST", back, DIRECT_IDS)
    assert (reversed_.status, reversed_.json["out_trade_no"]) == (200, "C0000001")
    assert query(merchant, "C0000001")["trade_state"] == "REVOKED"
    no = merchant.v3("POST", f"{PAY}/out-trade-no/C0000002/close", {"mchid": MCHID})
    assert no.json["code"] == "INVALID_REQUEST"
    assert charges(merchant) == [
        ("C0000001", 100, 100), ("C0000002", 100, 0), ("C0000003", 100, 0),
    ]  # fmt: skip


def test_the_partner_variant(merchant: WeChatMerchant) -> None:
    """Its own paths and names; the direct path does not see its orders."""
    body = {**PARTNER_IDS, **order_body("P0000001", "jsapi", payer={"sp_openid": "oP"})}
    assert merchant.v3("POST", f"{PARTNER}/jsapi", body).json["prepay_id"]
    ids = f"sp_mchid={MCHID}&sub_mchid={SUB_MCHID}"
    asked = merchant.v3("GET", f"{PARTNER}/out-trade-no/P0000001?{ids}").json
    assert (asked["sp_mchid"], asked["sub_mchid"]) == (MCHID, SUB_MCHID)
    assert merchant.v3("GET", f"{PAY}/out-trade-no/P0000001?mchid={MCHID}").status == 404
    stranger = {**body, "sub_mchid": "1999999999"}
    assert merchant.v3("POST", f"{PARTNER}/jsapi", stranger).json["code"] == "NO_AUTH"
    order_at(merchant, "P0000001", SUB_MCHID).pay("oP", merchant.now_ms)
    refund = {
        "sub_mchid": SUB_MCHID, "out_trade_no": "P0000001", "out_refund_no": "PR1",
        "amount": {"refund": 100, "total": 100, "currency": "CNY"},
    }  # fmt: skip
    assert merchant.v3("POST", "/v3/refund/domestic/refunds", refund).status == 200
    path = "/v3/refund/domestic/refunds/PR1"
    assert merchant.v3("GET", path).status == 404
    assert merchant.v3("GET", f"{path}?sub_mchid={SUB_MCHID}").json["out_trade_no"] == "P0000001"


def test_refunds(merchant: WeChatMerchant) -> None:
    """PROCESSING, then SUCCESS; the same number returns once."""
    pay(merchant, "R0000001")
    body = {
        "out_trade_no": "R0000001", "out_refund_no": "RR1", "reason": "cold",
        "amount": {"refund": 40, "total": 100, "currency": "CNY"},
    }  # fmt: skip
    path = "/v3/refund/domestic/refunds"
    unpaid = merchant.v3("POST", path, body)
    assert (unpaid.status, unpaid.json["code"]) == (403, "INVALID_REQUEST")
    order_at(merchant, "R0000001").pay("o", merchant.now_ms)
    first = merchant.v3("POST", path, body).json
    assert first["status"] == "PROCESSING" and first["amount"]["refund"] == 40
    merchant.now_ms += 1000
    again = merchant.v3("POST", path, body).json
    assert again["refund_id"] == first["refund_id"] and again["status"] == "SUCCESS"
    assert merchant.v3("GET", f"{path}/RR1").json == again
    other = {**body, "amount": {"refund": 41, "total": 100, "currency": "CNY"}}
    assert merchant.v3("POST", path, other).json["code"] == "INVALID_REQUEST"
    assert charges(merchant) == [("R0000001", 100, 40)]
    missing = merchant.v3("GET", f"{path}/RR9")
    assert (missing.status, missing.json["code"]) == (404, "RESOURCE_NOT_EXISTS")


@pytest.mark.parametrize(
    "change",
    [
        {"surprise": 1}, {"amount": {"total": 1.0}}, {"amount": {"total": "1"}}, {"amount": {"total": True}},
        {"amount": {"total": 0}}, {"amount": {"total": 1, "fen": 1}}, {"out_trade_no": "short"},
        {"out_trade_no": "no spaces"}, {"notify_url": "https://a.example/?q=1"}, {"notify_url": "ftp://a"},
        {"description": ""}, {"time_expire": "2026-11-22T12:00:00"}, {"time_expire": "2026-11-22T11:00:00+08:00"},
        {"payer": {"openid": "o"}}, {"appid": "wxother"}, {"mchid": "1900000009"},
    ],
)  # fmt: skip
def test_bodies_that_are_refused(merchant: WeChatMerchant, change: dict[str, Any]) -> None:
    """Unknown names, amounts that are no whole fen, bad numbers, addresses and times."""
    reply = merchant.v3(
        "POST", f"{PAY}/native", {**DIRECT_IDS, **order_body("X0000001", "native"), **change}
    )
    assert reply.status == 400
    assert merchant.v3("GET", f"{PAY}/out-trade-no/X0000001?mchid={MCHID}").status == 404


def test_a_request_that_is_not_believed(merchant: WeChatMerchant) -> None:
    """401 SIGN_ERROR: no header, a changed body, a stale time, another serial or merchant."""
    target = f"{PAY}/out-trade-no/S0000001?mchid={MCHID}"

    def says(head: str, body: bytes = b"") -> int:
        reply = reply_of(merchant.send("GET", target, body, head))
        assert reply.json["code"] == "SIGN_ERROR"
        return reply.status

    head = merchant.head("GET", target)
    assert reply_of(merchant.send("GET", target, b"", head)).status == 404
    assert says("") == says(head, b"x") == 401
    for old, new in (
        (wechat_kit().serial, "ABCDEF"),
        (MCHID, "1900000009"),
        ("n0nce", "n1nce"),
        (RSA_SCHEME, "WECHATPAY2-SM2-WITH-SM3"),
        ('signature="', 'signature="WECHATPAY/SIGNTEST/'),
        ('",nonce_str', '";nonce_str'),
    ):
        assert old in head
        assert says(head.replace(old, new)) == 401
    merchant.now_ms += 300_000
    assert reply_of(merchant.send("GET", target, b"", head)).status == 404
    merchant.now_ms += 1000
    assert says(head) == 401


def test_an_unknown_wechatpay_serial(merchant: WeChatMerchant) -> None:
    """Refused: a caller must not believe that it chose a key."""
    merchant.serial = "PUB_KEY_ID_404"
    reply = reply_of(merchant.v3_raw("GET", "/v3/certificates"))
    assert (reply.status, reply.json["code"]) == (400, "PARAM_ERROR")


def test_the_platforms_certificates(merchant: WeChatMerchant) -> None:
    """Encrypted under the APIv3 key; the one that signs is among them."""
    (only,) = merchant.v3("GET", "/v3/certificates").json["data"]
    pem = open_resource(only["encrypt_certificate"], APIV3_KEY.encode())
    serial, _ = certificate_key(pem, RSA_SCHEME)
    assert (
        serial
        == only["serial_no"]
        == certificate_key(wechat_kit().platform_certificate, RSA_SCHEME)[0]
    )


def test_bills(merchant: WeChatMerchant) -> None:
    """A link that lives 30 s, the SHA-1 of the uncompressed bytes, GZIP or not."""
    a_days_business(merchant)
    for kind, tar in (("ALL", "GZIP"), ("SUCCESS", ""), ("REFUND", "GZIP")):
        asked = f"/v3/bill/tradebill?bill_date=2026-11-22&bill_type={kind}"
        told = merchant.v3("GET", asked + (f"&tar_type={tar}" if tar else "")).json
        assert told["download_url"].startswith("http://sandbox.example:1/v3/billdownload/file?")
        link = "/v3/" + told["download_url"].split("/v3/")[1]
        raw = reply_of(merchant.v3_raw("GET", link))
        assert raw.status == 200 and "wechatpay-signature" not in raw.headers
        text = gzip.decompress(raw.body) if tar else raw.body
        assert hashlib.sha1(text, usedforsecurity=False).hexdigest() == told["hash_value"]
        rows, totals = rows_of(text.decode())
        assert totals[0] == str(len(rows))
    flow = merchant.v3("GET", "/v3/bill/fundflowbill?bill_date=2026-11-22").json
    merchant.now_ms += 1
    paid(merchant, "B0000009")
    merchant.now_ms += 29_999
    link = "/v3/" + flow["download_url"].split("/v3/")[1]
    text = reply_of(merchant.v3_raw("GET", link)).body
    assert hashlib.sha1(text, usedforsecurity=False).hexdigest() == flow["hash_value"]
    merchant.now_ms += 1
    assert reply_of(merchant.v3_raw("GET", link)).status == 400
    none = merchant.v3("GET", "/v3/bill/tradebill?bill_date=2026-11-20")
    assert (none.status, none.json["code"]) == (400, "NO_STATEMENT_EXIST")
    forged = reply_of(merchant.v3_raw("GET", "/v3/billdownload/file?token=AAAA"))
    assert forged.status == 400


@pytest.mark.parametrize(
    ("rule", "status", "code"),
    [
        ({"kind": "refuse", "code": "429 FREQUENCY_LIMITED"}, 429, "FREQUENCY_LIMITED"),
        ({"kind": "refuse", "code": "500", "stage": "before"}, 500, "SYSTEM_ERROR"),
    ],
)
def test_refusals_on_demand(
    merchant: WeChatMerchant, rule: dict[str, Any], status: int, code: str
) -> None:
    """By the path as the vendor writes it, signed like any answer."""
    path = f"{PAY}/out-trade-no/{{out_trade_no}}"
    pay(merchant, "F0000001")
    merchant.world.faults["wechat"].replace(parse_rules([{"match": path, "limit": 1, **rule}]))
    reply = merchant.v3("GET", f"{PAY}/out-trade-no/F0000001?mchid={MCHID}")
    assert (reply.status, reply.json["code"]) == (status, code)
    assert query(merchant, "F0000001")["trade_state"] == "NOTPAY"


def test_a_spoilt_signature(merchant: WeChatMerchant) -> None:
    """``corrupt`` breaks the header that signs, or a bill's bytes."""
    merchant.world.faults["wechat"].replace(parse_rules([{"kind": "corrupt"}]))
    reply = reply_of(merchant.v3_raw("GET", "/v3/certificates"))
    assert base64.b64decode(reply.headers["wechatpay-signature"])
    with pytest.raises(WechatSignatureError):
        verify_message(
            Stamp.of(reply.headers), reply.body, merchant.kit.platform_keys, merchant.now_ms
        )


def test_the_wallets_oauth(merchant: WeChatMerchant) -> None:
    """Sent back with a code that tells the payer once, to who has the application's secret."""
    back = "https%3A%2F%2Fshop.example%2Fqr%3Fa%3D1"
    ask = f"/connect/oauth2/authorize?appid={APPID}&redirect_uri={back}&response_type=code&state=s1"
    sent = reply_of(merchant.send("GET", f"{ask}&payer=ann"))
    assert sent.status == 302
    location = sent.headers["location"]
    assert location.startswith("https://shop.example/qr?a=1&code=") and location.endswith(
        "&state=s1"
    )
    code = location.split("code=")[1].split("&")[0]

    def exchange(secret: str) -> Any:
        target = f"/sns/oauth2/access_token?appid={APPID}&secret={secret}&code={code}&grant_type=authorization_code"
        return json.loads(reply_of(merchant.send("GET", target)).body)

    assert exchange("wrong")["errcode"] == 40125
    assert len(exchange(APP_SECRET)["openid"]) == 28
    assert exchange(APP_SECRET)["errcode"] == 40029
    bad = ask.replace(back, "javascript%3Aalert")
    assert reply_of(merchant.send("GET", bad)).status == 400
