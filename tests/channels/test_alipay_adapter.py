"""The Alipay adapter: what it asks again, and what it refuses to be built from."""

from collections.abc import Mapping

import pytest

from channels.alipay.plugin import PLUGIN
from channels.alipay.refund_wire import read_refund
from channels.port import ChannelAccount, HttpResponse, RefundRequest, Verdict, refunds_of
from domain.errors import ConfigurationError
from gateway.breaker import is_failure
from tests.channels.rigs import (
    AlipayRig,
    alipay_answer,
    paid,
    private_pem,
    public_pem,
    ref_of,
    rsa_key,
    services,
)

ORDER = "ORDER00001"
CANCELLED = {"code": "10000", "out_trade_no": ORDER, "retry_flag": "N"}
NOT_FOUND: dict[str, object] = {"code": "40004", "sub_code": "ACQ.TRADE_NOT_EXIST"}


@pytest.mark.parametrize(
    ("after", "verdict", "was_paid"),
    [
        (NOT_FOUND, Verdict.SUCCEEDED, False),
        (paid(ORDER, "19.90", trade_status="TRADE_CLOSED"), Verdict.SUCCEEDED, None),
        (
            paid(ORDER, "19.90", trade_status="TRADE_CLOSED", send_pay_date="2026-11-22 15:15:38"),
            Verdict.SUCCEEDED,
            True,
        ),
        (paid(ORDER, "19.90", trade_status="TRADE_SUCCESS"), Verdict.UNKNOWN, None),
        (paid(ORDER, "19.90", trade_status="WAIT_BUYER_PAY"), Verdict.UNKNOWN, None),
        ({"code": "20000", "sub_code": "isp.unknow-error"}, Verdict.UNKNOWN, None),
    ],
)
async def test_a_cancel_without_an_action_is_confirmed_by_a_query(
    after: dict[str, object], verdict: Verdict, was_paid: bool | None
) -> None:
    """Cancelling a number that Alipay never saw answers success too."""
    rig = AlipayRig()
    rig.answers(alipay_answer("cancel", CANCELLED), alipay_answer("query", after))
    undone = await rig.channel.cancel(ref_of(rig.request(ORDER)))
    assert (undone.verdict, undone.was_paid) == (verdict, was_paid)
    assert [form["method"] for form in rig.requests] == [
        "alipay.trade.cancel",
        "alipay.trade.query",
    ]


TOO_LATE: dict[str, object] = {"code": "40004", "sub_code": "ACQ.TRADE_CANCEL_TIME_OUT"}


def undoing(rig: AlipayRig, paid_yuan: str, refund: dict[str, object]) -> dict[str, object]:
    """A trade that is too old to cancel; what is asked for in its refund."""
    seen: dict[str, object] = {}

    def respond(method: str, content: Mapping[str, str]) -> HttpResponse:
        seen.update({method: content})
        told: dict[str, dict[str, object]] = {
            "cancel": TOO_LATE,
            "query": paid(ORDER, paid_yuan, trade_status="TRADE_SUCCESS"),
            "refund": {"code": "10000", "out_trade_no": ORDER, "refund_fee": paid_yuan, **refund},
            "fastpay.refund.query": {
                "code": "10000",
                "out_trade_no": ORDER,
                "out_request_no": ORDER,
                "refund_status": "REFUND_SUCCESS",
                "refund_amount": "5.00",
            },
        }
        return HttpResponse(200, {}, alipay_answer(method.replace(".", "_"), told[method]))

    rig.respond = respond
    return seen


async def test_what_cannot_be_cancelled_is_refunded_as_it_was_paid() -> None:
    """Whatever the order says: all of what Alipay took goes back, under the order's number."""
    rig = AlipayRig()
    seen = undoing(rig, "18.00", {"fund_change": "Y"})
    undone = await rig.channel.cancel(ref_of(rig.request(ORDER)))
    assert (undone.verdict, undone.was_paid) == (Verdict.SUCCEEDED, True)
    assert seen["refund"] == {
        "out_trade_no": ORDER,
        "out_request_no": ORDER,
        "refund_amount": "18.00",
        "refund_reason": "Undone",
    }


async def test_the_return_of_a_part_is_no_undo() -> None:
    """The refund moved nothing now, and the query tells of a smaller one under its number."""
    rig = AlipayRig()
    undoing(rig, "19.90", {"fund_change": "N"})
    undone = await rig.channel.cancel(ref_of(rig.request(ORDER)))
    assert (undone.verdict, undone.was_paid) == (Verdict.UNKNOWN, None)


@pytest.mark.parametrize(
    ("refunded", "verdict"),
    [
        ("5.00", Verdict.SUCCEEDED),
        ("19.90", Verdict.SUCCEEDED),
        ("4.99", Verdict.UNKNOWN),
        ("19.91", Verdict.UNKNOWN),
    ],
)
def test_a_refund_is_within_what_was_returned_of_the_trade(refunded: str, verdict: Verdict) -> None:
    """``refund_fee`` is the sum of all refunds: ours is in it, and no more than was paid."""
    rig = AlipayRig()
    request = RefundRequest(
        refund_no="R1",
        payment=ref_of(rig.request(ORDER)),
        amount_fen=500,
        currency="CNY",
        reason="",
        created_at_ms=0,
    )
    fields = {"code": "10000", "out_trade_no": ORDER, "refund_fee": refunded, "fund_change": "Y"}
    said = HttpResponse(200, {}, alipay_answer("refund", fields))
    assert read_refund(said, rig.account, request).verdict is verdict


async def test_a_cancel_with_an_action_needs_no_query() -> None:
    rig = AlipayRig()
    rig.answers(alipay_answer("cancel", {**CANCELLED, "action": "close"}))
    undone = await rig.channel.cancel(ref_of(rig.request(ORDER)))
    assert (undone.verdict, undone.was_paid) == (Verdict.SUCCEEDED, False)
    assert len(rig.requests) == 1


CLOSED = {"code": "10000", "out_trade_no": ORDER, "trade_status": "TRADE_CLOSED"}
NOT_CANCELLED = {"code": "40004", "sub_code": "ACQ.TRADE_CANCEL_TIME_OUT"}
SYSTEM_ERRORS = [
    {"code": "20000", "sub_code": "isp.unknow-error"},
    {"code": "40004", "sub_code": "ACQ.SYSTEM_ERROR"},
    {"code": "40004", "sub_code": "aop.ACQ.SYSTEM_ERROR"},
    {"code": "40004", "sub_code": "isp.new"},
    {"code": "40002", "sub_code": "isv.invalid-signature"},
]


@pytest.mark.parametrize("call", ["pay", "query", "cancel"])
@pytest.mark.parametrize(
    ("said", "signer", "away"),
    [
        ({"code": "40004", "sub_code": "ACQ.NEW"}, "alipay", False),
        ({"code": "40004", "sub_code": "ACQ.NEW"}, "somebody", True),
        *((said, "alipay", True) for said in SYSTEM_ERRORS),
    ],
)
async def test_a_verified_word_about_the_trade_does_not_mean_that_alipay_is_away(
    call: str, said: dict[str, object], signer: str, away: bool
) -> None:
    """A fault of Alipay's own, or what nobody signed, does."""
    rig = AlipayRig()
    rig.answers(alipay_answer(call, said, signer=signer))
    request = rig.request(ORDER)
    ref = ref_of(request)
    channel = rig.channel
    calls = {"pay": lambda: channel.pay(request), "query": lambda: channel.query(ref)}
    answer = await calls.get(call, lambda: channel.cancel(ref))()
    if answer.verdict is Verdict.UNKNOWN:
        assert is_failure(answer) == away
    else:
        assert call == "pay"


async def test_a_closed_trade_is_an_answer() -> None:
    """A payer who closes a trade must not close the account to all others."""
    rig = AlipayRig()
    rig.answers(alipay_answer("query", CLOSED))
    answer = await rig.channel.query(ref_of(rig.request(ORDER)))
    assert (answer.verdict, answer.channel_code) == (Verdict.UNKNOWN, "TRADE_CLOSED")
    assert not is_failure(answer)


@pytest.mark.parametrize("cancelled", [CANCELLED, NOT_CANCELLED])
@pytest.mark.parametrize(
    ("found", "away"),
    [
        ({**CLOSED, "trade_status": "NEW_STATE"}, False),
        *((said, True) for said in SYSTEM_ERRORS),
    ],
)
async def test_an_undo_that_stays_unknown_is_answered_as_its_last_question_was(
    cancelled: dict[str, object], found: dict[str, object], away: bool
) -> None:
    rig = AlipayRig()
    rig.answers(alipay_answer("cancel", cancelled), alipay_answer("query", found))
    undone = await rig.channel.cancel(ref_of(rig.request(ORDER)))
    assert undone.verdict is Verdict.UNKNOWN
    assert is_failure(undone) == away


@pytest.mark.parametrize("state", ["TRADE_SUCCESS", "WAIT_BUYER_PAY"])
async def test_a_cancel_whose_trade_is_seen_open_was_answered(state: str) -> None:
    rig = AlipayRig()
    rig.answers(
        alipay_answer("cancel", CANCELLED),
        alipay_answer("query", paid(ORDER, "19.90", trade_status=state)),
    )
    undone = await rig.channel.cancel(ref_of(rig.request(ORDER)))
    assert (undone.verdict, is_failure(undone)) == (Verdict.UNKNOWN, False)


@pytest.mark.parametrize("more", [{"retry_flag": "Y"}, {"action": "new"}])
async def test_a_cancel_that_alipay_wants_again_was_answered(more: dict[str, str]) -> None:
    rig = AlipayRig()
    rig.answers(alipay_answer("cancel", {**CANCELLED, **more}))
    undone = await rig.channel.cancel(ref_of(rig.request(ORDER)))
    assert (undone.verdict, is_failure(undone)) == (Verdict.UNKNOWN, False)


async def test_a_text_that_cannot_be_written_is_not_sent() -> None:
    rig = AlipayRig()
    request = rig.request(ORDER)
    odd = type(request)(
        order_no=ORDER,
        amount_fen=1990,
        currency="CNY",
        subject="\ud800",
        created_at_ms=0,
        auth_code=request.auth_code,
    )
    tried = await rig.channel.pay(odd)
    assert (tried.verdict, tried.unwritable) == (Verdict.NOT_SENT, True)
    refund = RefundRequest(
        refund_no="R1",
        payment=ref_of(request),
        amount_fen=5,
        currency="CNY",
        reason="\ud800",
        created_at_ms=0,
    )
    refunds = refunds_of(rig.channel)
    assert refunds is not None
    returned = await refunds.refund(refund)
    assert (returned.verdict, returned.unwritable) == (Verdict.NOT_SENT, True)
    assert not rig.requests


async def test_the_schedule_is_three_seconds_ten_times_unless_set() -> None:
    assert AlipayRig().channel.schedule.query_after_s == (3.0,) * 10
    assert AlipayRig(query_after_s="0.5, 1").channel.schedule.query_after_s == (0.5, 1.0)


async def test_a_5xx_with_a_good_signature_is_still_unknown() -> None:
    rig = AlipayRig()
    rig.respond = lambda method, content: HttpResponse(
        500, {}, alipay_answer("pay", paid(ORDER, "19.90"))
    )
    assert (await rig.channel.pay(rig.request(ORDER))).verdict is Verdict.UNKNOWN


BAD_SETTINGS: list[tuple[str, str]] = [
    ("gateway_url", "http://openapi.alipay.com/gateway.do"),
    ("gateway_url", "ftp://127.0.0.1/"),
    ("gateway_url", "https://user:pw@host/"),
    ("app_id", ""),
    ("timeout_s", "nan"),
    ("timeout_s", "0"),
    ("query_after_s", "3;3"),
    ("undo_retry_s", ""),
    ("colour", "blue"),
]


@pytest.mark.parametrize(("name", "value"), BAD_SETTINGS)
def test_a_setting_that_cannot_be_used_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        AlipayRig(**{name: value})


@pytest.mark.parametrize("missing", ["app_private_key", "alipay_public_key"])
@pytest.mark.parametrize("value", [b"", b"no key at all"])
def test_a_bad_key_is_named_and_never_shown(missing: str, value: bytes) -> None:
    secrets = {
        "app_private_key": private_pem(rsa_key("app")),
        "alipay_public_key": public_pem(rsa_key("alipay")),
        missing: value,
    }
    account = ChannelAccount(
        account_id="ali1", channel="alipay", settings={"app_id": "app1"}, secrets=secrets
    )
    with pytest.raises(ConfigurationError, match=missing) as error:
        PLUGIN.build(account, services())
    assert "no key at all" not in str(error.value)
