"""What WeChat Pay tells unasked: believed, refused, asked about, or nobody's of ours."""

import base64
import json
from collections.abc import Mapping
from hashlib import md5
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from channels.inbound import (
    InboundRequest,
    NoticeRefused,
    OtherNotice,
    PaymentWord,
    RefundWord,
    Word,
    notices_of,
)
from channels.port import Verdict
from tests.channels.wechat_rigs import (
    API_V2_KEY,
    APIV3_KEY,
    APPID,
    MCHID,
    NOW_MS,
    SUB_MCHID,
    CodepayRig,
    WechatRig,
    v2_answer,
    v2_paid,
    v3_paid,
    v3_stamp,
    xml,
)
from tests.conftest import samples_folder

ORDER, REFUND = "NUMBER0001", "NUMBER0002"
RIG = WechatRig()


def notice(body: bytes, headers: Mapping[str, str] | None = None, method: str = "POST") -> Word:
    notices = notices_of(RIG.channel)
    assert notices is not None
    return notices.read_notice(
        InboundRequest(
            method=method,
            headers=headers if headers is not None else v3_stamp(body),
            body=body,
        )
    )


def refused(body: bytes, headers: Mapping[str, str] | None = None) -> int:
    with pytest.raises(NoticeRefused) as caught:
        notice(body, headers)
    assert ORDER not in caught.value.why
    return caught.value.reply.status


def envelope(fields: object, event: str = "TRANSACTION.SUCCESS", key: bytes = APIV3_KEY) -> bytes:
    """A notification as it comes, its resource encrypted."""
    text = fields if isinstance(fields, bytes) else orjson.dumps(fields)
    sealed = AESGCM(key).encrypt(b"abcdef012345", text, b"transaction")
    return orjson.dumps(
        {
            "id": "c7d5b540",
            "create_time": "2026-11-22T15:15:37+08:00",
            "resource_type": "encrypt-resource",
            "event_type": event,
            "resource": {
                "algorithm": "AEAD_AES_256_GCM",
                "ciphertext": base64.b64encode(sealed).decode(),
                "associated_data": "transaction",
                "nonce": "abcdef012345",
            },
        }
    )


def refunded(**more: object) -> dict[str, object]:
    return {
        "mchid": MCHID,
        "out_trade_no": ORDER,
        "transaction_id": "42000",
        "out_refund_no": REFUND,
        "refund_id": "50300",
        "refund_status": "SUCCESS",
        "amount": {"total": 1990, "refund": 500, "payer_total": 1990, "payer_refund": 500},
        **more,
    }


def test_a_payment_that_succeeded() -> None:
    word = notice(envelope(v3_paid(ORDER)))
    assert isinstance(word, PaymentWord)
    assert (word.order_no, word.ask_first) == (ORDER, False)
    assert (word.answer.verdict, word.answer.amount_fen) == (Verdict.SUCCEEDED, 1990)
    assert word.answer.currency == "CNY"


def test_replayed_and_reordered_words_are_the_same_words() -> None:
    """Hole 3: the word says the same however often it comes; the gateway's table makes it one."""
    body = envelope(v3_paid(ORDER))
    assert notice(body) == notice(body)
    old = v3_stamp(body, at_ms=NOW_MS - 301_000)
    assert refused(body, old) == 401


def test_the_ends_of_a_refund() -> None:
    for event, state, verdict in (
        ("REFUND.SUCCESS", "SUCCESS", Verdict.SUCCEEDED),
        ("REFUND.CLOSED", "CLOSED", Verdict.DECLINED),
        ("REFUND.ABNORMAL", "ABNORMAL", Verdict.UNKNOWN),
    ):
        word = notice(envelope(refunded(refund_status=state), event))
        assert isinstance(word, RefundWord)
        assert (word.order_no, word.refund_no) == (ORDER, REFUND)
        assert word.answer.verdict is verdict
        assert word.answer.amount_fen == (500 if verdict is Verdict.SUCCEEDED else None)


def test_a_partial_refund_is_never_a_payment() -> None:
    """Hole 15: told apart by its kind; its fields under a payment's event prove nothing."""
    assert isinstance(notice(envelope(refunded(), "REFUND.SUCCESS")), RefundWord)
    word = notice(envelope(refunded(appid=APPID)))
    assert isinstance(word, PaymentWord)
    assert word.answer.verdict is Verdict.UNKNOWN


MISMATCHES: dict[str, dict[str, object]] = {
    "another merchant": {"mchid": "1900000009"},
    "no merchant": {"mchid": None},
    "another application": {"appid": "wx9"},
    "no amount": {"amount": None},
    "a float": {"amount": {"total": 19.9}},
}


@pytest.mark.parametrize("change", MISMATCHES.values(), ids=MISMATCHES)
def test_a_valid_signature_over_somebody_elses_payment(change: dict[str, object]) -> None:
    """Hole 2: the signature alone is not enough."""
    assert refused(envelope(v3_paid(ORDER, **change))) == 400
    assert refused(envelope(refunded(mchid="9"), "REFUND.SUCCESS")) == 400


def test_another_amount_or_currency_is_said_as_it_is() -> None:
    """The gateway compares it with the order and parks it; the adapter hides nothing."""
    word = notice(envelope(v3_paid(ORDER, amount={"total": 1, "currency": "USD"})))
    assert isinstance(word, PaymentWord)
    assert (word.answer.amount_fen, word.answer.currency) == (1, "USD")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"wechatpay-signature": ""},
        v3_stamp(b"x"),
        v3_stamp(envelope(v3_paid(ORDER)), signer="somebody"),
        v3_stamp(envelope(v3_paid(ORDER)), at_ms=NOW_MS + 301_000),
    ],
)
def test_what_is_not_signed_by_wechat_pay_is_refused_with_401(headers: dict[str, str]) -> None:
    assert refused(envelope(v3_paid(ORDER)), headers) == 401


@pytest.mark.samples
def test_the_captured_probe_is_refused_with_401() -> None:
    """Hole 4: a probe must see a failure, and crash nothing."""
    path = samples_folder() / "wechat" / "notify" / "v3_signtest_probe.headers.json"
    headers = {name.lower(): value for name, value in json.loads(path.read_text()).items()}
    body = envelope(v3_paid(ORDER))
    assert refused(body, headers) == 401
    fresh = headers | {"wechatpay-timestamp": str(NOW_MS // 1000)}
    assert refused(body, fresh) == 401
    assert (
        refused(body, v3_stamp(body) | {"wechatpay-signature": fresh["wechatpay-signature"]}) == 401
    )


def test_an_unknown_serial_asks_for_certificates() -> None:
    body = envelope(v3_paid(ORDER))
    RIG.wechat._calls._wanted.clear()
    assert refused(body, v3_stamp(body, serial="ABCDEF")) == 401
    assert RIG.wechat._calls._wanted.is_set()


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{",
        b'{"event_type":"TRANSACTION.SUCCESS"}',
        b'{"event_type":"TRANSACTION.SUCCESS","resource":5}',
        envelope(b"not JSON"),
        envelope([]),
        envelope(v3_paid(ORDER), key=b"x" * 32),
    ],
)
def test_what_cannot_be_read_is_refused(body: bytes) -> None:
    assert refused(body) == 400


def test_other_events_and_other_peoples_numbers_are_taken() -> None:
    """So that they do not come for ever."""
    assert notice(envelope({}, "PAYSCORE.USER_OPEN_SERVICE")) == OtherNotice(
        about="PAYSCORE.USER_OPEN_SERVICE"
    )
    assert isinstance(notice(envelope(v3_paid("a-b"))), OtherNotice)
    combined = v3_paid(ORDER, combine_out_trade_no="X")
    assert isinstance(notice(envelope(combined)), OtherNotice)


@pytest.mark.samples
@pytest.mark.parametrize("name", ["REFUND.SUCCESS", "REFUND.ABNORMAL"])
def test_published_refunds_are_read(name: str) -> None:
    path = samples_folder() / "wechat" / "notify" / f"v3_{name}.plain.doc.json"
    fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) | {"mchid": MCHID}
    word = notice(envelope(fields, name))
    assert isinstance(word, RefundWord)
    assert (word.order_no, word.refund_no) == ("20150806125346", "7752501201407033233368018")


def test_a_service_providers_notices_name_the_shop() -> None:
    rig = CodepayRig(sub_mchid=SUB_MCHID)
    fields = v3_paid(ORDER, sp_mchid=MCHID, sp_appid=APPID, sub_mchid=SUB_MCHID)
    del fields["mchid"]
    for shop, good in ((SUB_MCHID, True), ("9", False), (None, False)):
        body = envelope(fields | {"sub_mchid": shop})
        request = InboundRequest(method="POST", headers=v3_stamp(body), body=body)
        if good:
            assert isinstance(rig.wechat.read_notice(request), PaymentWord)
        else:
            with pytest.raises(NoticeRefused):
                rig.wechat.read_notice(request)


def test_a_payment_of_apiv2_is_signed_like_an_answer() -> None:
    word = notice(v2_paid(ORDER), {})
    assert isinstance(word, PaymentWord)
    assert (word.answer.verdict, word.answer.amount_fen) == (Verdict.SUCCEEDED, 1990)
    for bad in (
        v2_answer({"out_trade_no": ORDER, "total_fee": "1990"}, key=b"x" * 32),
        v2_paid(ORDER).replace(b"1990", b"1991"),
        v2_paid(ORDER, mch_id="9"),
        xml({"return_code": "SUCCESS", "out_trade_no": ORDER}),
        xml({"return_code": "FAIL", "out_trade_no": ORDER}),
        b"<!DOCTYPE xml><xml/>",
        b"<xml>",
    ):
        assert refused(bad, {}) in (400, 401)


def test_a_refund_of_apiv2_is_asked_about_first() -> None:
    """Nothing signs it: encrypted under a key that is as old as the account."""
    details = xml({"out_trade_no": ORDER, "out_refund_no": REFUND, "refund_status": "SUCCESS"})
    text = b"<root>" + details[5:-6] + b"</root>"
    padding = 16 - len(text) % 16
    encryptor = Cipher(AES(md5(API_V2_KEY).hexdigest().encode()), ECB()).encryptor()
    sealed = encryptor.update(text + bytes([padding]) * padding) + encryptor.finalize()
    whole = {
        "return_code": "SUCCESS",
        "appid": APPID,
        "mch_id": MCHID,
        "req_info": base64.b64encode(sealed).decode(),
    }
    word = notice(xml(whole), {})
    assert isinstance(word, RefundWord)
    assert (word.order_no, word.refund_no, word.ask_first) == (ORDER, REFUND, True)
    assert word.answer.verdict is Verdict.UNKNOWN
    assert refused(xml(whole | {"mch_id": "9"}), {}) == 400
    assert refused(xml(whole | {"req_info": "QUJD"}), {}) == 401


def test_replies() -> None:
    assert RIG.wechat.taken().status == 200
    assert b"SUCCESS" in RIG.wechat.taken().body
    assert RIG.wechat.not_taken().status >= 500
    with pytest.raises(NoticeRefused):
        notice(b"{}", method="GET")
