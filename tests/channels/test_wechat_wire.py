"""WeChat Pay's payments on the wire: each row of the code tables, and each way to mistake one."""

from typing import Any

import pytest

from channels.port import Advice, Answer, HttpResponse, UndoAnswer, Verdict
from channels.wechat import v2_wire, v3_wire
from channels.wechat.codes import (
    TRADE_STATES,
)
from channels.wechat.v2_xml import read_fields
from domain.decline import DeclineReason
from tests.channels.wechat_rigs import (
    APPID,
    MCHID,
    NOW_MS,
    SUB_APPID,
    SUB_MCHID,
    WechatRig,
    platform_keys,
    v2_answer,
    v2_paid,
    v2_refused,
    v3_answer,
    v3_paid,
    v3_refused,
    v3_stamp,
    wechat_account,
)
from tests.conftest import samples_folder

ORDER = "NUMBER00000000000000000000000001"
ACCOUNT = wechat_account()
KEYS = platform_keys()
D, U, P = Verdict.DECLINED, Verdict.UNKNOWN, Verdict.PENDING
R = DeclineReason


def pay_v2(body: bytes) -> Answer:
    return v2_wire.read_pay(HttpResponse(200, {}, body), ACCOUNT, ORDER)


def query_v2(body: bytes, **account: Any) -> Answer:
    return v2_wire.read_query(HttpResponse(200, {}, body), wechat_account(**account), ORDER)


def reverse_v2(body: bytes) -> UndoAnswer:
    return v2_wire.read_reverse(HttpResponse(200, {}, body), ACCOUNT, ORDER)


def pay_v3(response: HttpResponse, **account: Any) -> Answer:
    return v3_wire.read_codepay(response, wechat_account(**account), KEYS, ORDER, NOW_MS)


def query_v3(response: HttpResponse) -> Answer:
    return v3_wire.read_query(response, ACCOUNT, KEYS, ORDER, NOW_MS)


def test_what_is_not_listed_is_unknown_and_counted() -> None:
    for answer in (
        pay_v2(v2_refused("NEW_CODE")),
        query_v2(v2_refused("NEW_CODE")),
        query_v2(v2_paid(ORDER, trade_state="NEW_STATE")),
        pay_v3(v3_refused(400, "NEW_CODE")),
        query_v3(v3_answer(v3_paid(ORDER, trade_state="NEW_STATE"))),
        reverse_v2(v2_refused("NEW_CODE", recall="N")),
        reverse_v2(v2_refused("NEW_CODE", recall="Y")),
        v3_wire.read_reverse(v3_refused(403, "NEW_CODE"), ACCOUNT, KEYS, ORDER, NOW_MS),
        v3_wire.read_close(v3_refused(400, "NEW_CODE"), KEYS, NOW_MS),
    ):
        assert (answer.verdict, answer.unlisted) == (U, True)
        assert answer.channel_code.startswith("NEW_")


STATES: dict[str, tuple[Verdict, DeclineReason | None, bool]] = {
    "USERPAYING": (P, None, False),
    "NOTPAY": (P, None, False),
    "ACCEPT": (P, None, False),
    "CLOSED": (D, R.NOT_PAID_IN_TIME, False),
    "PAYERROR": (U, None, True),
    "REVOKED": (U, None, True),
    "REFUND": (U, None, True),
}


@pytest.mark.parametrize("state", STATES)
def test_each_state_of_a_trade_in_both_versions(state: str) -> None:
    assert set(STATES) | {"SUCCESS"} == set(TRADE_STATES)
    second = query_v2(v2_answer({"out_trade_no": ORDER, "trade_state": state}))
    third = query_v3(v3_answer(v3_paid(ORDER, trade_state=state)))
    for answer in (second, third):
        assert (answer.verdict, answer.reason, answer.hopeless) == STATES[state]
        assert (answer.order_no, answer.channel_code, answer.amount_fen) == (ORDER, state, None)


def test_a_yes_has_amount_currency_numbers_and_beijing_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Hole 6: the machine's zone changes nothing."""
    for zone in ("UTC", "America/New_York", "Asia/Shanghai"):
        monkeypatch.setenv("TZ", zone)
        answers = (
            pay_v2(v2_paid(ORDER)),
            query_v2(v2_paid(ORDER, trade_state="SUCCESS")),
            pay_v3(v3_answer(v3_paid(ORDER))),
            query_v3(v3_answer(v3_paid(ORDER))),
        )
        for answer in answers:
            assert answer.verdict is Verdict.SUCCEEDED
            assert (answer.amount_fen, answer.currency) == (1990, "CNY")
            assert (answer.order_no, answer.trade_no[:5]) == (ORDER, "42000")
            assert answer.paid_at_ms == 1_795_331_737_000


YES_BUT = {
    "no order": {"out_trade_no": ""},
    "another order": {"out_trade_no": "ANOTHERORDER"},
    "no amount": {"total_fee": ""},
    "a float": {"total_fee": "19.90"},
    "below zero": {"total_fee": "-1990"},
    "full-width digits": {"total_fee": "１９９０"},
    "no number of theirs": {"transaction_id": ""},
    "no merchant": {"mch_id": ""},
    "another merchant": {"mch_id": "1900000009"},
    "no application": {"appid": ""},
    "another application": {"appid": "wx9"},
    "a shop": {"sub_mch_id": "1900000009"},
    "recall": {"recall": "N"},
    "a refund's": {"refund_id": "5"},
}


@pytest.mark.parametrize("change", YES_BUT.values(), ids=YES_BUT)
def test_a_signed_yes_about_something_else_is_unknown(change: dict[str, str]) -> None:
    """Hole 2: a valid signature over another order, merchant, call or no amount."""
    assert pay_v2(v2_paid(ORDER, **change)).verdict is U
    assert query_v2(v2_paid(ORDER, trade_state="SUCCESS", **change)).verdict is U


def test_a_signed_query_answer_is_not_taken_for_a_payments() -> None:
    assert pay_v2(v2_paid(ORDER, trade_state="USERPAYING")).verdict is U
    assert query_v2(v2_paid(ORDER)).verdict is U


V3_YES_BUT: dict[str, dict[str, object]] = {
    "another order": {"out_trade_no": "ANOTHERORDER"},
    "no merchant": {"mchid": None},
    "another merchant": {"mchid": "1900000009"},
    "another application": {"appid": "wx9"},
    "no amount": {"amount": {}},
    "a float": {"amount": {"total": 1990.0}},
    "a text": {"amount": {"total": "1990"}},
    "a truth": {"amount": {"total": True}},
    "below zero": {"amount": {"total": -1}},
    "no number of theirs": {"transaction_id": None},
}


@pytest.mark.parametrize("change", V3_YES_BUT.values(), ids=V3_YES_BUT)
def test_a_signed_yes_of_apiv3_about_something_else_is_unknown(change: dict[str, object]) -> None:
    assert pay_v3(v3_answer(v3_paid(ORDER, **change))).verdict is U
    assert query_v3(v3_answer(v3_paid(ORDER, **change))).verdict is U


def test_another_amount_is_the_gateways_to_compare() -> None:
    assert pay_v2(v2_paid(ORDER, total_fee="1")).amount_fen == 1
    assert pay_v3(v3_answer(v3_paid(ORDER, amount={"total": 1, "currency": "USD"}))).amount_fen == 1


def test_a_service_provider_names_itself_and_the_shop() -> None:
    named = {"sub_mchid": SUB_MCHID, "sub_appid": SUB_APPID}
    partner = v3_paid(ORDER, sp_mchid=MCHID, sp_appid=APPID, **named)
    for gone in ("mchid", "appid"):
        del partner[gone]
    assert pay_v3(v3_answer(partner), **named).verdict is Verdict.SUCCEEDED
    for change in (
        {"sub_mchid": "9"},
        {"sp_mchid": "9"},
        {"sub_appid": "wx9"},
        {"sub_mchid": None},
    ):
        assert pay_v3(v3_answer(partner | change), **named).verdict is U
    second = v2_paid(ORDER, trade_state="SUCCESS", sub_mch_id=SUB_MCHID, sub_appid=SUB_APPID)
    assert query_v2(second, **named).verdict is Verdict.SUCCEEDED
    assert query_v2(second).verdict is U


def test_a_reversal_is_done_when_it_says_so_and_recalls_nothing() -> None:
    """Hole 11: a reversal while the payer is paying is none."""
    assert reverse_v2(v2_answer({"recall": "N"})).verdict is Verdict.SUCCEEDED
    for body in (
        v2_answer({"recall": "Y"}),
        v2_answer({}),
        v2_refused("USERPAYING", recall="Y"),
        v2_refused("USERPAYING", recall="N"),
        v2_refused("SYSTEMERROR", recall="N"),
        v2_refused("TRADE_ERROR", recall="N"),
        v2_answer({"recall": "N", "trade_state": "SUCCESS"}),
        v2_paid(ORDER, recall="N"),
        v2_answer({"recall": "N", "mch_id": "9"}),
    ):
        assert reverse_v2(body).verdict is U
    expired = reverse_v2(v2_refused("REVERSE_EXPIRE", recall="N"))
    assert (expired.verdict, reverse_v2(v2_refused("REVERSE_EXPIRE", recall="Y")).verdict) == (D, U)


def test_a_reversal_or_a_close_of_apiv3() -> None:
    def reverse(response: HttpResponse) -> UndoAnswer:
        return v3_wire.read_reverse(response, ACCOUNT, KEYS, ORDER, NOW_MS)

    def close(response: HttpResponse) -> UndoAnswer:
        return v3_wire.read_close(response, KEYS, NOW_MS)

    done = {"appid": APPID, "mchid": MCHID, "out_trade_no": ORDER}
    assert reverse(v3_answer(done)).verdict is Verdict.SUCCEEDED
    assert reverse(v3_answer(done | {"out_trade_no": "X"})).verdict is U
    assert reverse(v3_answer(done | {"trade_state": "SUCCESS"})).verdict is U
    assert reverse(v3_refused(403, "USER_PAYING")).verdict is U
    assert reverse(v3_refused(403, "REVERSE_EXPIRED")).verdict is D
    for recall in ("Y", "", 5):
        assert reverse(v3_answer(done | {"recall": recall})).verdict is U
    assert reverse(v3_answer(done | {"recall": "N"})).verdict is Verdict.SUCCEEDED
    assert (close(v3_answer(None, 204)).verdict, close(v3_answer(None, 204)).was_paid) == (
        Verdict.SUCCEEDED,
        False,
    )
    assert close(v3_answer({})).verdict is U
    assert close(v3_refused(400, "ORDERPAID")).verdict is U
    assert close(HttpResponse(204, {}, b"")).verdict is U


def test_an_unsigned_refusal_ends_nothing() -> None:
    """``return_code`` FAIL and an unsigned error are the set-up's fault, and prove nothing."""
    fail = b"<xml><return_code>FAIL</return_code><return_msg>SIGNERROR</return_msg></xml>"
    second = pay_v2(fail)
    third = pay_v3(HttpResponse(401, {}, b'{"code":"SIGN_ERROR","message":"x"}'))
    for answer in (second, third):
        assert (answer.verdict, answer.advice) == (U, Advice.CONFIGURATION)


@pytest.mark.samples
@pytest.mark.parametrize(
    ("name", "verdict", "code"),
    [
        ("v2_micropay_authcode_used", D, "AUTH_CODE_INVALID"),
        ("v2_micropay_authcode_wrong_prefix", D, "AUTH_CODE_INVALID"),
        ("v2_micropay_no_password", D, "TRADE_ERROR"),
        ("v2_micropay_user_cancelled", D, "TRADE_ERROR"),
        ("v2_micropay_userpaying", P, "USERPAYING"),
        ("v2_micropay_userpaying_same_amount", P, "USERPAYING"),
        ("v2_micropay_query_payerror", U, "PAYERROR"),
        ("v2_query_PAYERROR_2022", U, "PAYERROR"),
        ("v2_micropay_query_userpaying", P, "USERPAYING"),
        ("v2_micropay_query_success", Verdict.SUCCEEDED, "SUCCESS"),
        ("v2_orderquery_success_doc2014", Verdict.SUCCEEDED, "SUCCESS"),
    ],
)
def test_captured_answers_signed_anew(name: str, verdict: Verdict, code: str) -> None:
    """Their fields as they came, our numbers where they are masked, our key under it."""
    path = samples_folder() / "wechat" / "responses" / f"{name}.xml"
    fields = read_fields(path.read_bytes())
    ours = {"appid": APPID, "mch_id": MCHID, "out_trade_no": ORDER}
    changed = {
        n: ours.get(n, value) for n, value in fields.items() if n not in ("sign", "sub_mch_id")
    }
    missing = {n: "" for n in ("appid", "mch_id") if n not in fields}
    body = v2_answer(changed | missing)
    answer = (query_v2 if "query" in name else pay_v2)(body)
    assert (answer.verdict, answer.channel_code) == (verdict, code)
    assert answer.amount_fen in (None, 1)


@pytest.mark.samples
def test_captured_answers_of_apiv3_signed_anew() -> None:
    folder = samples_folder() / "wechat" / "responses"
    raw = (folder / "v3_query_SUCCESS.json").read_bytes()
    raw = raw.replace(b"wxd678efh567hg6787", APPID.encode()).replace(b"1230000109", MCHID.encode())
    answer = v3_wire.read_query(
        HttpResponse(200, v3_stamp(raw), raw), ACCOUNT, KEYS, "S20210119074247105778399200", NOW_MS
    )
    assert (answer.verdict, answer.amount_fen) == (Verdict.SUCCEEDED, 1)
    raw = (folder / "v3_query_404.json").read_bytes()
    assert query_v3(HttpResponse(404, v3_stamp(raw), raw)).not_found
    raw = (folder / "v3_error_PARAM_ERROR.json").read_bytes()
    answer = pay_v3(HttpResponse(400, v3_stamp(raw), raw))
    assert (answer.verdict, answer.reason) == (D, R.CONFIGURATION)


def test_a_payment_code_is_in_no_message() -> None:
    rig = WechatRig()
    said = v2_answer(
        {
            "result_code": "FAIL",
            "err_code": "AUTH_CODE_INVALID",
            "err_code_des": "130000000000000001 无效",
        }
    )
    answer = v2_wire.read_pay(HttpResponse(200, {}, said), rig.account, ORDER)
    assert "1300000" not in answer.channel_message
