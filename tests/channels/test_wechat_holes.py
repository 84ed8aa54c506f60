"""The holes that payment gateways really had, as far as WeChat Pay's adapter could have them.

One or more for each (reference ``channels.md`` G, by its number there); ``docs/wechat.md`` lists
them with those that are tested elsewhere, and the last test here holds the list true.
"""

import base64
import json
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1

from channels.bills import BillRefused, BillUnavailable
from channels.inbound import InboundRequest, NoticeRefused
from channels.payer_orders import OrderRequest
from channels.port import AnswerLost, HttpResponse, PaymentRef, RefundRequest, Verdict
from channels.wechat import v2, v3
from channels.wechat.bill import BILLS
from channels.wechat.bill_wire import refuse_xml
from channels.wechat.plugin import PLUGIN
from domain.errors import ConfigurationError
from tests.channels.rigs import ref_of, rsa_key, services
from tests.channels.test_wechat_bill import GOOD, rows_of, written
from tests.channels.test_wechat_notices import envelope, refunded
from tests.channels.test_wechat_xml import BILLION_LAUGHS
from tests.channels.wechat_rigs import (
    API_V2_KEY,
    APIV3_KEY,
    APPID,
    AUTH_CODE,
    MCHID,
    NOW_MS,
    SUB_MCHID,
    CodepayRig,
    WechatRefundRig,
    WechatRig,
    secrets,
    v2_answer,
    v2_fields,
    v2_paid,
    v2_refused,
    v3_answer,
    v3_paid,
    v3_stamp,
)
from tests.conftest import samples_folder
from tests.support.holes import check_holes

ORDER = "NUMBER0001"
ROOT = Path(__file__).resolve().parents[2]
OK, U = Verdict.SUCCEEDED, Verdict.UNKNOWN


def ref(method: str = "auth_code", order_no: str = ORDER) -> PaymentRef:
    return replace(ref_of(WechatRig().request(order_no)), method=method)


def order(**more: Any) -> OrderRequest:
    made = OrderRequest(
        order_no=ORDER,
        amount_fen=1990,
        currency="CNY",
        subject="Tea",
        created_at_ms=NOW_MS,
        expires_at_ms=NOW_MS + 300_000,
        payer_id="oOPENID",
    )
    return replace(made, **more)


def hears(rig: WechatRig, body: bytes, headers: Mapping[str, str] | None = None) -> object:
    stamped = v3_stamp(body) if headers is None else headers
    return rig.wechat.read_notice(InboundRequest(method="POST", headers=stamped, body=body))


# --- 1: XML that reads document types


HOSTILE = {
    "a file": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><xml><a>&x;</a></xml>',
    "an address": b'<!DOCTYPE a [<!ENTITY x SYSTEM "http://127.0.0.1/">]><xml><a>&x;</a></xml>',
    "billion laughs": BILLION_LAUGHS,
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
async def test_g1_hostile_xml_is_no_answer_no_notice_and_no_bill(body: bytes) -> None:
    """Wherever WeChat Pay's XML comes in: a payment, its query and undo, a refund, a bill."""
    rig, refunds = WechatRig(), WechatRefundRig(refund_api="v2")
    rig.answers(body)
    refunds.answers(body)
    assert (await rig.channel.pay(rig.request())).verdict is U
    assert (await rig.channel.query(ref())).verdict is U
    assert (await rig.channel.cancel(ref())).verdict is U
    assert (await refunds.ability.refund(refunds.refund_request(5))).verdict is U
    assert (await refunds.ability.query_refund(refunds.refund_request(5))).verdict is U
    assert (await rig.wechat.openid_of(AUTH_CODE)).verdict is U
    with pytest.raises(NoticeRefused) as refused:
        hears(rig, body, {})
    assert refused.value.reply.status == 400
    with pytest.raises(BillUnavailable):
        refuse_xml(body)


@pytest.mark.samples
@pytest.mark.parametrize("name", ["v2_invalid.xxe_injection", "v2_invalid.bad_entity"])
def test_g1_the_saved_attacks_are_refused_as_notices(name: str) -> None:
    body = (samples_folder() / "wechat" / "notify" / f"{name}.sample.xml").read_bytes()
    with pytest.raises(NoticeRefused) as refused:
        hears(WechatRig(), body, {})
    assert refused.value.reply.status == 400


# --- 2 and 3: a good signature over something else; replay


@pytest.mark.parametrize("rig", [WechatRig(), CodepayRig()], ids=["v2", "v3"])
async def test_g3_an_answer_that_was_heard_before_answers_no_other_order(rig: WechatRig) -> None:
    """Not a payment's, not a query's: a signature is over the words, not over the question."""
    first = rig.request("FIRSTNUMBER1")
    assert (await rig.channel.pay(first)).verdict is OK
    heard = rig.respond("/pay/micropay" if type(rig) is WechatRig else "/codepay",
                        {"out_trade_no": "FIRSTNUMBER1"})  # fmt: skip
    rig.answers(heard)
    assert (await rig.channel.pay(rig.request("OTHERNUMBER1"))).verdict is U
    assert (await rig.channel.query(ref(order_no="OTHERNUMBER1"))).verdict is U
    rig.will_approve()


def test_g3_an_answer_of_apiv3_is_too_old_after_five_minutes() -> None:
    rig = WechatRig()
    body = envelope(v3_paid(ORDER))
    for at_ms in (NOW_MS - 301_000, NOW_MS + 301_000):
        with pytest.raises(NoticeRefused) as refused:
            hears(rig, body, v3_stamp(body, at_ms=at_ms))
        assert refused.value.reply.status == 401


# --- 4: a probe in the place of a signature


@pytest.mark.parametrize("text", ["WECHATPAY/SIGNTEST/x", "%%%", "A", "不", "\ud800", "=" * 8])
async def test_g4_a_signature_that_is_no_base64_is_refused_and_crashes_nothing(text: str) -> None:
    rig, body = CodepayRig(), envelope(v3_paid(ORDER))
    with pytest.raises(NoticeRefused) as refused:
        hears(rig, body, v3_stamp(body) | {"wechatpay-signature": text})
    assert refused.value.reply.status == 401
    good = v3_answer(v3_paid(ORDER))
    rig.answers(replace(good, headers={**good.headers, "wechatpay-signature": text}))
    assert (await rig.channel.query(ref())).verdict is U


# --- 5: money as a float


@pytest.mark.parametrize(
    ("fen", "text"), [(1990, "1990"), (1989, "1989"), (980, "980"), (1, "1"), (10**9, "1000000000")]
)
async def test_g5_an_amount_is_whole_fen_both_ways(fen: int, text: str) -> None:
    """19.9 x 100 is 1989 to a float; 9.8 x 100 is 980.0000000000001."""
    second, third = WechatRig(), CodepayRig()
    for rig, said in (
        (second, HttpResponse(200, {}, v2_paid(ORDER, total_fee=text))),
        (third, v3_answer(v3_paid(ORDER, amount={"total": fen, "currency": "CNY"}))),
    ):
        rig.answers(said)
        assert (await rig.channel.pay(rig.request(ORDER, amount_fen=fen))).amount_fen == fen
    assert second.asked[0][1]["total_fee"] == text
    assert type(third.asked[0][1]["amount"]["total"]) is int
    for rig, said in (
        (second, HttpResponse(200, {}, v2_paid(ORDER, total_fee="19.90"))),
        (third, v3_answer(v3_paid(ORDER, amount={"total": 1990.0, "currency": "CNY"}))),
    ):
        rig.answers(said)
        assert (await rig.channel.pay(rig.request(ORDER))).verdict is U
        assert (await rig.channel.pay(rig.request(amount_fen=19.9))).verdict is Verdict.NOT_SENT


# --- 6: the machine's time zone


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Shanghai"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


async def test_g6_every_time_on_the_wire_is_beijings(zone: str, tmp_path: Path) -> None:
    rig = WechatRig()
    rig.answers(v3_answer({"prepay_id": "wx1"}))
    await rig.wechat.create_page_order(order())
    assert rig.asked[0][1]["time_expire"] == "2026-11-22T15:20:37+08:00"
    rig.answers(v2_paid(ORDER, trade_state="SUCCESS"))
    assert (await rig.channel.query(ref())).paid_at_ms == 1_795_331_737_000
    assert rows_of(written(tmp_path, GOOD))[0]["at_ms"] == 1_795_331_737_000


# --- 7 and 8: numbers of repeats; polling


@pytest.mark.parametrize("api", ["v2", "v3"])
async def test_g7_every_repeat_has_the_same_number(api: str) -> None:
    """A lost answer, its query, its undo, a refund and its repeats: no number is made anew."""
    rig = WechatRefundRig(refund_api=api, codepay="true" if api == "v3" else "false")
    rig.payment = ref()
    rig._raise(AnswerLost("cut"))
    request, refund = rig.request(ORDER), rig.refund_request(5, "REFUNDNO1")
    for _ in range(2):
        await rig.channel.pay(request)
        await rig.channel.query(ref())
        await rig.channel.cancel(ref())
        await rig.ability.refund(refund)
        await rig.ability.query_refund(refund)
    assert set(rig.numbers) == {ORDER}
    refunds = [fields for path, fields in rig.asked if path.endswith(("refund", "refunds"))]
    assert {fields["out_refund_no"] for fields in refunds} == {"REFUNDNO1"}
    assert len(refunds) == 2


async def test_g8_a_call_sends_its_message_and_polls_nothing() -> None:
    """An undo asks, then acts; nothing waits inside of a call for a payer."""
    rig = WechatRig()
    rig.answers(v2_refused("USERPAYING"))
    for call, most in (
        (rig.channel.pay(rig.request(ORDER)), 1),
        (rig.channel.query(ref()), 1),
        (rig.channel.cancel(ref()), 2),
    ):
        before = len(rig.requests)
        await call
        assert len(rig.requests) - before == most


# --- 9 and 10: numbers and fields that an interface does not know


async def test_g9_every_refund_has_a_number_of_its_own() -> None:
    rig = WechatRefundRig()
    numbers = [rig.ability.new_refund_no() for _ in range(50)]
    assert len({*numbers, rig.payment.order_no}) == 51
    for number in numbers[:2]:
        await rig.ability.refund(rig.refund_request(5, number))
    sent = [fields["out_refund_no"] for _, fields in rig.asked]
    assert sent == numbers[:2]
    assert {fields["out_trade_no"] for _, fields in rig.asked} == {rig.payment.order_no}


async def test_g10_nothing_is_sent_that_the_interface_does_not_know() -> None:
    """Of both versions; one field too many, and WeChat Pay refuses the whole request."""
    rig = WechatRig()
    await rig.channel.pay(rig.request(ORDER, store_id="S1", terminal_id="T1"))
    assert set(v2_fields(rig.requests[0].body)) == {
        "appid", "mch_id", "nonce_str", "sign_type", "sign", "body", "out_trade_no", "total_fee",
        "fee_type", "spbill_create_ip", "device_info", "scene_info", "auth_code",
    }  # fmt: skip
    rig.answers(v3_answer({"prepay_id": "wx1"}))
    await rig.wechat.create_page_order(order(store_id="S1", terminal_id="T1", payer_ip="::1"))
    assert set(rig.asked[1][1]) == {
        "appid", "mchid", "description", "out_trade_no", "time_expire", "notify_url", "amount",
        "payer", "scene_info",
    }  # fmt: skip
    assert set(rig.asked[1][1]["scene_info"]) == {"payer_client_ip", "device_id", "store_info"}
    stamped = v3.Stamped(NOW_MS, "N")
    for api in (v3.NATIVE, v3.JSAPI, v3.H5, v3.APP, v3.CODEPAY, v3.CLOSE, v3.REVERSE, v3.REFUND):
        with pytest.raises(ValueError, match="knows no"):
            v3.request_of(api, {"more": "1"}, rig.account, rig.keys, stamped)
    for one in (v2.MICROPAY, v2.QUERY, v2.REVERSE, v2.REFUND, v2.REFUND_QUERY, v2.FACEPAY, v2.BILL):
        with pytest.raises(ValueError, match="knows no"):
            v2.request_of(one, {"more": "1"}, rig.account, "N")


# --- 12: bytes that somebody in between wrote anew


@pytest.mark.parametrize("change", [b" ", b"\n", b"\\u8336"], ids=repr)
async def test_g12_an_answer_of_apiv3_is_verified_as_it_came(change: bytes) -> None:
    """The same JSON written otherwise is another text."""
    rig = CodepayRig()
    good = v3_answer(v3_paid(ORDER, attach="茶"))
    rig.answers(good)
    assert (await rig.channel.query(ref())).verdict is OK
    again = good.body.replace("茶".encode(), change) if change[:1] == b"\\" else good.body + change
    assert again != good.body
    assert json.loads(again)
    rig.answers(replace(good, body=again))
    assert (await rig.channel.query(ref())).verdict is U
    indented = json.dumps(json.loads(good.body), indent=1).encode()
    rig.answers(replace(good, body=indented))
    assert (await rig.channel.query(ref())).verdict is U


@pytest.mark.parametrize("old", [b"1990", b"NUMBER0001", b"4200000925", b"SUCCESS]]></result"])
async def test_g12_an_answer_of_apiv2_that_was_changed_anywhere_is_none(old: bytes) -> None:
    rig = WechatRig()
    good = v2_paid(ORDER)
    assert old in good
    rig.answers(good.replace(old, b"X" + old[1:]))
    assert (await rig.channel.pay(rig.request(ORDER))).verdict is U


# --- 13: encodings; names inside an archive


def test_g13_a_bill_is_read_as_it_was_written_and_no_name_becomes_a_path(tmp_path: Path) -> None:
    expected = rows_of(written(tmp_path, GOOD))
    assert rows_of(written(tmp_path, GOOD, encoding="gbk")) == expected
    with pytest.raises(BillRefused):
        BILLS.kind_of(written(tmp_path, GOOD, encoding="utf-16"))
    raw = written(tmp_path, GOOD).read_bytes()
    hostile = tmp_path / "bill.zip"
    with zipfile.ZipFile(hostile, "w") as archive:
        archive.writestr("../../outside.csv", raw)
    before = {path.name for path in tmp_path.parent.parent.iterdir()}
    with pytest.raises(BillRefused, match="leads out"):
        rows_of(hostile)
    assert {path.name for path in tmp_path.parent.parent.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bill.csv", "bill.zip"]


# --- 15: the notice of a part refund


@pytest.mark.parametrize("event", ["REFUND.SUCCESS", "TRANSACTION.SUCCESS"])
def test_g15_the_notice_of_a_part_refund_pays_nothing(event: str) -> None:
    """Told by its kind; under a payment's kind its fields are no payment."""
    word: Any = hears(WechatRig(), envelope(refunded(appid=APPID), event))
    if event == "REFUND.SUCCESS":
        assert (word.refund_no, word.answer.amount_fen) == ("NUMBER0002", 500)
    else:
        assert word.answer.verdict is U


# --- 16: downgrades


@pytest.mark.parametrize("lie", ["MD5", "none", "SHA1", "another scheme"])
async def test_g16_no_weaker_signature_is_taken(lie: str) -> None:
    """An account signs in one way, and is answered in that way or not at all."""
    rig = CodepayRig() if lie in ("SHA1", "another scheme") else WechatRig()
    good = v3_answer(v3_paid(ORDER))
    signed = f"{NOW_MS // 1000}\nN\n".encode() + good.body + b"\n"
    weak = rsa_key("wechat").sign(signed, PKCS1v15(), SHA1())
    plain = v2_paid(ORDER)
    lies: dict[str, HttpResponse | bytes] = {
        "MD5": v2_answer({"out_trade_no": ORDER, "transaction_id": "42000", "total_fee": "1990",
                          "sign_type": "MD5"}, kind="MD5"),
        "none": plain[: plain.index(b"<sign>")] + b"</xml>",
        "SHA1": replace(good, headers={**good.headers, "wechatpay-signature": _base64(weak)}),
        "another scheme": replace(
            good, headers={**good.headers, "wechatpay-signature-type": "WECHATPAY2-SM2-WITH-SM3"}
        ),
    }  # fmt: skip
    rig.answers(lies[lie])
    assert (await rig.channel.pay(rig.request(ORDER))).verdict is U


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


@pytest.mark.parametrize("name", ["base_url", "face_url", "oauth_api", "oauth_page"])
def test_g16_a_way_without_tls_is_refused(name: str) -> None:
    given = WechatRig().given
    settings = {**given.settings, name: "http://api.mch.weixin.qq.com"}
    with pytest.raises(ConfigurationError, match=name):
        PLUGIN.build(replace(given, settings=settings), services(send=None))


# --- 17: numbers of another merchant


@pytest.mark.parametrize("shop", ["", SUB_MCHID])
async def test_g17_the_same_number_at_another_merchant_is_another_order(shop: str) -> None:
    """An answer or a notice names us, and the shop that we act for."""
    rig = CodepayRig(sub_mchid=shop)
    ours: dict[str, Any] = (
        {"mchid": None, "appid": None, "sp_mchid": MCHID, "sp_appid": APPID, "sub_mchid": shop}
        if shop
        else {}
    )
    rig.answers(v3_answer(v3_paid(ORDER, **ours)))
    assert (await rig.channel.query(ref())).verdict is OK
    for change in ({"sub_mchid": "9"}, {"sp_mchid": "9"}) if shop else ({"mchid": "9"},):
        rig.answers(v3_answer(v3_paid(ORDER, **{**ours, **change})))
        assert (await rig.channel.query(ref())).verdict is U
        with pytest.raises(NoticeRefused):
            hears(rig, envelope(v3_paid(ORDER, **{**ours, **change})))


# --- 18: secrets in texts


async def test_g18_no_code_no_key_and_no_payer_is_in_any_text() -> None:
    """Of account, requests, answers, faults: whatever could reach a log."""
    texts: list[str] = []
    openid = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
    for rig in (WechatRefundRig(), WechatRefundRig(codepay="true", refund_api="v2")):
        request = rig.request(ORDER)
        rig.will_approve()
        texts += [repr(request), repr(await rig.channel.pay(request))]
        rig.answers(v2_refused("AUTH_CODE_INVALID", err_code_des=f"code {AUTH_CODE}"))
        texts.append(repr(await rig.channel.pay(request)))
        rig._raise(RuntimeError(f"{AUTH_CODE} {API_V2_KEY.decode()}"))
        texts.append(repr(await rig.channel.pay(request)))
        rig.answers(v3_answer({"prepay_id": "wx-PREPAY"}))
        made = await rig.wechat.create_page_order(order(payer_id=openid))
        texts += [repr(made), repr(order(payer_id=openid))]
        rig.answers(v2_answer({"openid": openid}))
        texts.append(repr(await rig.wechat.openid_of(AUTH_CODE)))
        rig.answers(HttpResponse(200, {}, b'{"openid":"%b"}' % openid.encode()))
        texts.append(repr(await rig.wechat.payer_of("OAUTHCODE")))
        refund: RefundRequest = rig.refund_request(5)
        rig.will_be_unreachable()
        texts += [repr(refund), repr(await rig.ability.refund(refund))]
        texts += [repr(rig.channel), repr(rig.account), repr(rig.keys), repr(rig.given)]
        texts += [repr(one) for one in rig.requests]
    key = secrets()["merchant_private_key"].decode().split("\n")[3]
    hidden = {AUTH_CODE, API_V2_KEY.decode(), APIV3_KEY.decode(), openid, key}
    hidden |= {"PREPAY", "app-secret", "PRIVATE KEY"}
    for text in texts:
        assert not [one for one in hidden if one in text], text


# --- the list


def test_the_list_of_holes_names_every_hole_and_only_tests_that_exist() -> None:
    rows = check_holes("wechat.md", __file__)
    assert all(rows.values()), "a hole without a test"
