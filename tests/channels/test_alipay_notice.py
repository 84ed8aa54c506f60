"""Alipay's notifications: read from their form, believed as far as they may be."""

import base64
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.alipay.account import AlipayAccount
from channels.alipay.notice import NOT_TAKEN, TAKEN, read_notice
from channels.inbound import (
    InboundRequest,
    NoticeRefused,
    OtherNotice,
    PaymentWord,
    RefundWord,
    Word,
    notices_of,
)
from channels.port import Answer, Verdict
from signing.alipay_certificates import AlipayKeys, one_key
from signing.rsa import load_public_key, sign_sha256
from tests.channels.rigs import AlipayRig, rsa_key
from tests.conftest import samples_folder
from tests.signing.test_alipay_samples import public_key_of

ORDER, SELLER = "ORDER00001", "2088000000000001"
PAID = {
    "notify_type": "trade_status_sync",
    "notify_id": "n1",
    "app_id": "app1",
    "charset": "utf-8",
    "version": "1.0",
    "seller_id": SELLER,
    "out_trade_no": ORDER,
    "trade_no": "2026112222001404120000000001",
    "trade_status": "TRADE_SUCCESS",
    "total_amount": "19.90",
    "subject": "奶茶 & 水=好",
    "gmt_payment": "2026-11-22 15:15:38",
}


def account(**changes: object) -> AlipayAccount:
    return replace(AlipayRig(seller_id=SELLER).account, **changes)  # type: ignore[arg-type]


OURS = account()


def signed(params: dict[str, str], *, by: str = "alipay", drop_sign_type: bool = True) -> bytes:
    """A form as Alipay posts it; an empty ``sign_type`` in ``params`` stays as it is."""
    params = {"sign_type": "RSA2", **params}
    covered = "&".join(
        f"{name}={value}"
        for name, value in sorted(params.items())
        if not (drop_sign_type and name == "sign_type")
    )
    sign = base64.b64encode(sign_sha256(rsa_key(by), covered.encode())).decode()
    return urlencode({**params, "sign": sign}).encode()


def read(body: bytes, by: AlipayAccount | None = None) -> Word:
    request = InboundRequest(method="POST", headers={}, body=body)
    return read_notice(request, by or OURS)


def refused(body: bytes, by: AlipayAccount | None = None) -> str:
    with pytest.raises(NoticeRefused) as fault:
        read(body, by)
    assert fault.value.reply.status == 400
    assert fault.value.reply.body != TAKEN.body
    return fault.value.why


def test_paid() -> None:
    answer = Answer(
        verdict=Verdict.SUCCEEDED,
        amount_fen=1990,
        order_no=ORDER,
        trade_no="2026112222001404120000000001",
        channel_code="10000",
        paid_at_ms=1_795_331_738_000,
    )
    assert read(signed(PAID)) == PaymentWord(order_no=ORDER, answer=answer)
    finished = read(signed({**PAID, "trade_status": "TRADE_FINISHED"}))
    assert finished == PaymentWord(order_no=ORDER, answer=answer)


@pytest.mark.parametrize(
    ("state", "verdict"), [("WAIT_BUYER_PAY", Verdict.PENDING), ("TRADE_CLOSED", Verdict.UNKNOWN)]
)
def test_what_is_not_paid(state: str, verdict: Verdict) -> None:
    word = read(signed({**PAID, "trade_status": state}))
    assert isinstance(word, PaymentWord)
    assert (word.answer.verdict, word.answer.channel_code, word.ask_first) == (
        verdict,
        state,
        False,
    )


def test_a_state_that_no_table_knows_is_another_notice() -> None:
    assert isinstance(read(signed({**PAID, "trade_status": "TRADE_NEW"})), OtherNotice)


@pytest.mark.parametrize("amount", ["", "19.999", "1e3", "x"])
def test_paid_without_a_readable_amount_is_asked_about(amount: str) -> None:
    word = read(signed({**PAID, "total_amount": amount}))
    assert isinstance(word, PaymentWord)
    assert word.ask_first
    assert word.answer.verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("state", ["TRADE_SUCCESS", "TRADE_CLOSED", "TRADE_FINISHED"])
def test_a_partial_refund_is_never_a_payment(state: str) -> None:
    """It carries TRADE_SUCCESS too; its number is ``out_biz_no``, its ``refund_fee`` a sum."""
    marks = {"out_biz_no": "R1", "refund_fee": "5.00", "gmt_refund": "2026-11-22 16:00:00.123"}
    word = read(signed({**PAID, "trade_status": state, **marks}))
    assert isinstance(word, RefundWord)
    assert (word.order_no, word.refund_no, word.ask_first) == (ORDER, "R1", True)
    assert word.answer.amount_fen is None


@pytest.mark.parametrize(
    "marks",
    [
        {"refund_fee": "5.00"},
        {"refund_fee": "?"},
        {"gmt_refund": "2026-11-22 16:00:00"},
        {"out_biz_no": ORDER},
    ],
)
def test_a_refund_that_is_none_of_our_books_is_another_notice(marks: dict[str, str]) -> None:
    assert isinstance(read(signed({**PAID, **marks})), OtherNotice)


@pytest.mark.parametrize("fee", ["", "0", "0.00"])
def test_a_payment_of_which_nothing_was_refunded_is_a_payment(fee: str) -> None:
    assert read(signed({**PAID, "refund_fee": fee})) == read(signed(PAID))


def test_no_order_of_ours_is_another_notice() -> None:
    assert isinstance(read(signed({**PAID, "out_trade_no": ""})), OtherNotice)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"app_id": "app2"}, "for another application"),
        ({"app_id": ""}, "for another application"),
        ({"seller_id": "2088000000000002"}, "for another seller"),
    ],
)
def test_truly_signed_and_not_for_us(changes: dict[str, str], why: str) -> None:
    """A signature alone proves nothing: it may be another merchant's order."""
    assert refused(signed({**PAID, **changes})) == why


@pytest.mark.parametrize("field", PAID)
def test_no_field_can_be_changed(field: str) -> None:
    pairs = dict(parse_qsl(signed(PAID).decode()))
    assert refused(urlencode({**pairs, field: "x"}).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"sign": ""},
        {"sign": "?"},
        {"sign": "AAAA"},
        {"sign_type": "RSA"},
        {"sign_type": "MD5"},
        {"sign_type": ""},
    ],
)
def test_a_missing_or_weaker_signature_is_refused(change: dict[str, str]) -> None:
    pairs = dict(parse_qsl(signed(PAID).decode()))
    assert refused(urlencode({**pairs, **change}).encode()) == "the signature does not verify"
    without = {name: value for name, value in pairs.items() if name not in change}
    assert refused(urlencode(without).encode()) == "the signature does not verify"


def test_another_key_is_refused() -> None:
    assert refused(signed(PAID, by="app")) == "the signature does not verify"


def test_each_kind_is_signed_by_its_own_rule() -> None:
    """A trade's without ``sign_type`` (V1), an application's message with it (V2)."""
    message = {"app_id": "app1", "msg_method": "alipay.open.app.message", "biz_content": "{}"}
    word = read(signed(message, drop_sign_type=False))
    assert word == OtherNotice(about="alipay.open.app.message")
    assert refused(signed(message)) == "the signature does not verify"
    assert refused(signed(PAID, drop_sign_type=False)) == "the signature does not verify"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"a",
        "a=奶".encode(),
        b"a=%ff",
        b"&".join(b"a%d=1" % number for number in range(201)),
        b"<xml/>",
    ],
)
def test_what_is_no_form_is_refused(body: bytes) -> None:
    assert refused(body) in ("not a form", "the signature does not verify")


def test_a_field_that_comes_twice_is_refused() -> None:
    """One reader would take the first, another the last."""
    assert refused(signed(PAID) + b"&total_amount=0.01") == "a field comes twice"


def test_the_form_is_decoded_once() -> None:
    """A text that looks encoded stays as it is."""
    word = read(signed({**PAID, "subject": "100%25 tea %E5%A5%B6+x"}))
    assert isinstance(word, PaymentWord)


@given(st.binary(max_size=300))
def test_anything_else_is_refused_and_nothing_raised(body: bytes) -> None:
    with pytest.raises(NoticeRefused):
        read(body)


def test_in_certificate_mode_any_certificate_of_the_account_may_verify() -> None:
    """Unless the notification names one."""
    own, other = rsa_key("alipay").public_key(), rsa_key("app").public_key()
    both = account(alipay_keys=AlipayKeys({"old": other, "new": own}))
    assert isinstance(read(signed(PAID), both), PaymentWord)
    assert isinstance(read(signed({**PAID, "alipay_cert_sn": "new"}), both), PaymentWord)
    for serial in ("old", "none"):
        assert refused(signed({**PAID, "alipay_cert_sn": serial}), both)


def test_the_adapter_tells_and_answers_in_the_vendors_words() -> None:
    notices = notices_of(AlipayRig(seller_id=SELLER).channel)
    assert notices is not None
    request = InboundRequest(method="POST", headers={}, body=signed(PAID))
    assert isinstance(notices.read_notice(request), PaymentWord)
    assert (notices.taken(), notices.taken().body) == (TAKEN, b"success")
    assert (notices.not_taken(), NOT_TAKEN.status) == (NOT_TAKEN, 500)


@pytest.mark.samples
def test_a_real_notification_is_read() -> None:
    """And the one whose signature is wrong is not."""
    folder = samples_folder() / "alipay" / "notify"
    ours = account(
        app_id="2019073166072302",
        seller_id="2088531891668739",
        alipay_keys=one_key(load_public_key(public_key_of("ali.notify.v1.ok"))),
    )
    word = read((folder / "trade_success_20190815.form").read_bytes().strip(), ours)
    assert isinstance(word, PaymentWord)
    assert word.order_no == "20190815155618536-564-57"
    assert (word.answer.amount_fen, word.answer.trade_no) == (10, "2019081522001468450512505578")
    bad = (folder / "trade_badsign_20190523.form").read_bytes().strip()
    assert refused(bad, ours) == "the signature does not verify"
    message = account(
        app_id="2017122801303261",
        alipay_keys=one_key(load_public_key(public_key_of("ali.notify.v2.ok"))),
    )
    word = read((folder / "servicemarket_20190308.form").read_bytes().strip(), message)
    assert word == OtherNotice(about="alipay.open.servicemarket.order.notify")
