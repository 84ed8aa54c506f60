"""Every published sample of WeChat Pay's goes through the adapter: none is left out unnoticed.

What is signed or sealed under keys that are not ours is signed and sealed anew, its fields as
they came but for our numbers; a sample whose own keys are published is believed as it stands.
"""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from channels.inbound import NoticeRefused, OtherNotice, PaymentWord, RefundWord, Word
from channels.port import HttpResponse, RefundRequest, Verdict
from channels.wechat import v3_refund_wire
from channels.wechat.v2_xml import XmlRefused, read_fields
from signing.wechat import RSA_SCHEME, Stamp, certificate_key, open_resource, verify_message
from signing.wechat_v2 import is_signed
from tests.channels.test_wechat_notices import RIG, envelope, notice
from tests.channels.wechat_rigs import (
    APPID,
    MCHID,
    NOW_MS,
    WechatRefundRig,
    platform_keys,
    v2_answer,
    v3_stamp,
)
from tests.conftest import samples_folder
from tests.signing.test_wechat import VECTORS

pytestmark = pytest.mark.samples
WECHAT = samples_folder() / "wechat"
HOSTILE = {
    "v2_fragment_injection.sample.xml",
    "v2_invalid.bad_entity.sample.xml",
    "v2_invalid.xxe_injection.sample.xml",
}
OTHER_EVENTS = (
    "COUPON.USE",
    "MALL_AUTH.ACTIVATE_CARD",
    "MALL_REFUND.SUCCESS",
    "MALL_TRANSACTION.SUCCESS",
    "PROFITSHARING.SUCCESS",
    "TRANSACTION.PAY_BACK",
    "VEHICLE.ENTRANCE_STATE_CHANGE",
)
ELSEWHERE = {
    # tests/channels/test_wechat_bill.py
    "bills/v2_bill_ALL_php_fixture.csv",
    "bills/v3_fundflow_20210201.csv.gz",
    "bills/v3_tradebill_ALL_20210128.csv.gz",
    # tests/channels/test_wechat_wire.py
    *(f"responses/v2_micropay_{name}.xml" for name in (
        "authcode_used", "authcode_wrong_prefix", "no_password", "query_payerror",
        "query_success", "query_userpaying", "user_cancelled", "userpaying",
        "userpaying_same_amount",
    )),
    "responses/v2_orderquery_success_doc2014.xml",
    "responses/v2_query_PAYERROR_2022.xml",
    "responses/v3_error_PARAM_ERROR.json",
    "responses/v3_query_404.json",
    "responses/v3_query_SUCCESS.json",
    # tests/channels/test_wechat_notices.py, tests/signing/test_wechat.py
    "notify/v3_signtest_probe.headers.json",
}  # fmt: skip
HERE = {
    *(f"notify/{name}" for name in HOSTILE),
    *(f"notify/v3_{event}.plain.doc.json" for event in OTHER_EVENTS),
    *(f"notify/v3_{event}.plain.doc.json" for event in (
        "TRANSACTION.SUCCESS", "REFUND.SUCCESS", "REFUND.ABNORMAL",
    )),
    "notify/v3_MALL_TRANSACTION.SUCCESS.encrypted.json",
    *(f"notify/v3_payscore_notify.{part}.json" for part in ("body", "headers", "plain")),
    "notify/v2_paysuccess.notification.sample.xml",
    "notify/v2_refund.notification.req_info.sample.xml",
    *(f"notify/v2_refund-processed.{number}.doc.xml" for number in (0, 1)),
    *(f"notify/v2_combined-transactions-success.{number}.doc.xml" for number in (0, 1)),
    *(f"notify/v2_vehicle-state-changed-for-parking.{number}.doc.xml" for number in (0, 1)),
    "responses/v2_getpublickey.response.xml",
    "responses/v2_unifiedorder.request.xml",
    "responses/v3_certificates_java.json",
    "responses/v3_certificates_real_signed.headers.json",
    "responses/v3_certificates_real_signed.json",
    "responses/v3_refund_PROCESSING.json",
}  # fmt: skip


def raw(name: str) -> bytes:
    return (WECHAT / name).read_bytes()


def plain(event: str, **ours: object) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(raw(f"notify/v3_{event}.plain.doc.json"))
    return fields | ours


def test_no_sample_is_left_out() -> None:
    found = {path.relative_to(WECHAT).as_posix() for path in WECHAT.rglob("*") if path.is_file()}
    assert found == ELSEWHERE | HERE
    assert Path(__file__).name == "test_wechat_samples.py"


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_documents_are_refused(name: str) -> None:
    with pytest.raises(NoticeRefused) as refused:
        notice(raw(f"notify/{name}"), {})
    assert refused.value.reply.status == 400


@pytest.mark.parametrize("event", OTHER_EVENTS)
def test_other_events_are_nobodys_payment(event: str) -> None:
    """Parking, malls, coupons, profit sharing: taken, told apart by their kind, never booked."""
    sample = raw(f"notify/v3_{event}.plain.doc.json")  # of some the page is no JSON
    assert notice(envelope(sample, event)) == OtherNotice(about=event)


def test_a_payment_is_read_with_everything_that_comes_along() -> None:
    """Promotions, sub orders, a scene: the order, its amount and numbers are what counts."""
    fields = plain("TRANSACTION.SUCCESS", mchid=MCHID, appid=APPID)
    word = notice(envelope(fields))
    assert isinstance(word, PaymentWord)
    assert word.order_no == word.answer.trade_no == "1217752501201407033233368018"
    assert (word.answer.verdict, word.answer.amount_fen) == (Verdict.SUCCEEDED, 100)
    assert word.answer.paid_at_ms == 1_528_425_296_000


@pytest.mark.parametrize(
    ("event", "verdict"),
    [("REFUND.SUCCESS", Verdict.SUCCEEDED), ("REFUND.ABNORMAL", Verdict.UNKNOWN)],
)
def test_refunds_are_read(event: str, verdict: Verdict) -> None:
    word = notice(envelope(plain(event, mchid=MCHID), event))
    assert isinstance(word, RefundWord)
    assert word.answer.verdict is verdict


def test_an_event_sealed_under_another_key_is_told_by_its_kind_alone() -> None:
    body = raw("notify/v3_MALL_TRANSACTION.SUCCESS.encrypted.json")
    assert notice(body) == OtherNotice(about="MALL_TRANSACTION.SUCCESS")
    paid = body.replace(b"MALL_TRANSACTION.SUCCESS", b"TRANSACTION.SUCCESS")
    with pytest.raises(NoticeRefused) as refused:
        notice(paid)
    assert refused.value.reply.status == 400


def test_a_real_notification_verifies_as_it_stands() -> None:
    """Its certificate and key are published with it; changed by a byte it does not."""
    given = VECTORS["wx.v3.notify.full.go"]["input"]
    serial, key = certificate_key(given["platform_cert_pem"].encode(), RSA_SCHEME)
    headers = json.loads(raw("notify/v3_payscore_notify.headers.json"))
    stamp = Stamp.of({name.lower(): value for name, value in headers.items()})
    body, now_ms = raw("notify/v3_payscore_notify.body.json"), int(stamp.timestamp) * 1000
    verify_message(stamp, body, {serial: key}, now_ms)
    opened = open_resource(json.loads(body)["resource"], given["apiv3_key"].encode())
    assert json.loads(opened) == json.loads(raw("notify/v3_payscore_notify.plain.json"))
    with pytest.raises(NoticeRefused) as refused:
        notice(body, {name.lower(): value for name, value in headers.items()})
    assert refused.value.reply.status == 401  # stale, and under a key that is not ours


def test_a_payment_of_apiv2_with_coupons() -> None:
    """As it came its sign is another merchant's; under ours it is a payment."""
    with pytest.raises(NoticeRefused):
        notice(raw("notify/v2_paysuccess.notification.sample.xml"), {})
    fields = read_fields(raw("notify/v2_paysuccess.notification.sample.xml"))
    ours = {"appid": APPID, "mch_id": MCHID, "sign": ""}
    word = notice(v2_answer(fields | ours), {})
    assert isinstance(word, PaymentWord)
    assert (word.order_no, word.answer.amount_fen) == ("1409811653", 1)


@pytest.mark.parametrize(
    "name",
    [
        "v2_refund-processed.0.doc",
        "v2_combined-transactions-success.0.doc",
        "v2_combined-transactions-success.1.doc",
        "v2_vehicle-state-changed-for-parking.0.doc",
        "v2_vehicle-state-changed-for-parking.1.doc",
    ],
)
def test_other_notifications_of_apiv2_are_refused(name: str) -> None:
    """Not signed for us, sealed with nonsense, no payment at all: nothing is booked or taken."""
    with pytest.raises(NoticeRefused) as refused:
        notice(raw(f"notify/{name}.xml"), {})
    assert refused.value.reply.status in (400, 401)


def test_what_is_signed_and_names_no_order_is_somebody_elses() -> None:
    combined = {"combine_out_trade_no": "1217752501201407033233368018", "sign": ""}
    assert isinstance(notice(v2_answer(combined), {}), OtherNotice)


@pytest.mark.parametrize(
    "name", ["v2_refund.notification.req_info.sample", "v2_refund-processed.1.doc"]
)
def test_what_a_refunds_notification_holds_is_read(name: str) -> None:
    fields = read_fields(raw(f"notify/{name}.xml"))
    assert {"out_trade_no", "out_refund_no", "refund_fee", "refund_status"} <= fields.keys()
    assert fields["refund_fee"].isdigit()


def test_a_refund_on_its_way() -> None:
    """Captured: its time is the year 1 while it is in work."""
    rig = WechatRefundRig()
    said = raw("responses/v3_refund_PROCESSING.json")
    numbers = orjson.loads(said)
    payment = rig.payment
    request = RefundRequest(
        refund_no=numbers["out_refund_no"],
        payment=type(payment)(
            order_no=numbers["out_trade_no"], amount_fen=1, currency="CNY", created_at_ms=NOW_MS
        ),
        amount_fen=1,
        currency="CNY",
        reason="",
        created_at_ms=NOW_MS,
    )
    answer = v3_refund_wire.read_refund(
        HttpResponse(200, v3_stamp(said), said), platform_keys(), request, NOW_MS
    )
    assert (answer.verdict, answer.amount_fen, answer.channel_code) == (
        Verdict.PENDING, None, "PROCESSING",
    )  # fmt: skip


def test_a_list_of_certificates_opens_and_a_real_one_verifies() -> None:
    vector = VECTORS["wx.v3.certificates.java"]
    (entry,) = json.loads(raw("responses/v3_certificates_java.json"))["data"]
    pem = open_resource(entry["encrypt_certificate"], vector["input"]["apiv3_key"].encode())
    assert certificate_key(pem, RSA_SCHEME)[0] == entry["serial_no"]
    real = VECTORS["wx.v3.response.verify.real"]["input"]
    serial, key = certificate_key(real["platform_cert_pem"].encode(), RSA_SCHEME)
    headers = json.loads(raw("responses/v3_certificates_real_signed.headers.json"))
    stamp = Stamp.of({name.lower(): value for name, value in headers.items()} | {
        "wechatpay-serial": serial,
    })  # fmt: skip
    body = raw("responses/v3_certificates_real_signed.json")
    verify_message(stamp, body, {serial: key}, int(stamp.timestamp) * 1000)


def test_what_is_no_answer_of_ours_is_read_as_fields_alone() -> None:
    """A request, and an answer of an interface that is not used: neither is believed."""
    key = RIG.account.api_v2_key
    for name in ("v2_getpublickey.response", "v2_unifiedorder.request"):
        try:
            fields = read_fields(raw(f"responses/{name}.xml"))
        except XmlRefused:
            continue
        assert not is_signed(fields, key, RIG.account.sign_type)
    word: Word = notice(envelope(plain("REFUND.SUCCESS", mchid=MCHID), "REFUND.SUCCESS"))
    assert isinstance(word, RefundWord)
