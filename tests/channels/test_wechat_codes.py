"""WeChat Pay's code tables: every row, written a second time, and what no row may say."""

from typing import Any

import pytest

from channels.port import Advice, HttpResponse, Verdict
from channels.wechat import v2_refund_wire, v3_refund_wire, v3_wire
from channels.wechat.codes import (
    CLOSE_V3,
    ORDER_V3,
    PAY_V2,
    PAY_V3,
    QUERY_V2,
    QUERY_V3,
    REFUND_QUERY_V2,
    REFUND_QUERY_V3,
    REFUND_STATES,
    REFUND_V2,
    REFUND_V3,
    REVERSE_V2,
    REVERSE_V3,
    TRADE_STATES,
)
from channels.wechat.plugin import PLUGIN
from domain.decline import DeclineReason
from tests.channels.test_wechat_wire import ACCOUNT, KEYS, ORDER, pay_v2, pay_v3, reverse_v2
from tests.channels.wechat_rigs import NOW_MS, WechatRefundRig, v2_refused, v3_refused

D, U, P = Verdict.DECLINED, Verdict.UNKNOWN, Verdict.PENDING
R = DeclineReason


# The table of the reference (B1), written a second time: verdict, reason, advice.
REFERENCE_V2: dict[str, tuple[Verdict, DeclineReason | None, Advice | None]] = {
    "SYSTEMERROR": (U, None, None),
    "BANKERROR": (U, None, None),
    "USERPAYING": (P, None, None),
    "AUTH_CODE_INVALID": (D, R.CODE_INVALID, Advice.FRESH_CODE),
    "AUTHCODEEXPIRE": (D, R.CODE_INVALID, Advice.FRESH_CODE),
    "AUTH_CODE_ERROR": (D, R.CODE_INVALID, Advice.FRESH_CODE),
    "TRADE_ERROR": (D, R.PAYER_CANCELLED, None),
    "NOTENOUGH": (D, R.INSUFFICIENT_FUNDS, None),
    "NOTSUPORTCARD": (D, R.NOT_PERMITTED, None),
    "ORDERPAID": (U, None, None),
    "OUT_TRADE_NO_USED": (U, None, None),
    "ORDERCLOSED": (U, None, None),
    "ORDERREVERSED": (U, None, None),
    "SIGNERROR": (D, R.CONFIGURATION, Advice.CONFIGURATION),
    "PARAM_ERROR": (D, R.CONFIGURATION, Advice.CONFIGURATION),
    "NOAUTH": (D, R.CONFIGURATION, Advice.CONFIGURATION),
    "LACK_PARAMS": (D, R.CONFIGURATION, Advice.CONFIGURATION),
    "XML_FORMAT_ERROR": (D, R.CONFIGURATION, Advice.CONFIGURATION),
    "APPID_MCHID_NOT_MATCH": (D, R.CONFIGURATION, Advice.CONFIGURATION),
}


@pytest.mark.parametrize("code", REFERENCE_V2)
def test_each_row_of_the_references_table(code: str) -> None:
    answer = pay_v2(v2_refused(code))
    assert (answer.verdict, answer.reason, answer.advice) == REFERENCE_V2[code]
    assert (answer.channel_code, answer.unlisted) == (code, False)


@pytest.mark.parametrize("code", PAY_V2)
def test_no_listed_code_of_a_payment_is_a_success(code: str) -> None:
    """And a decline has its reason and a text that a cashier can act on."""
    answer = pay_v2(v2_refused(code))
    assert answer.verdict is not Verdict.SUCCEEDED
    assert (answer.reason is not None) == (answer.verdict is D)
    if answer.verdict is D:
        text = PLUGIN.texts.payments[code]
        assert text.en.isascii()
        assert not text.zh.isascii()


@pytest.mark.parametrize("table", [QUERY_V2, QUERY_V3, REFUND_QUERY_V2, REFUND_QUERY_V3])
def test_no_code_of_a_query_declines(table: dict[Any, Any]) -> None:
    """ "Not found" least of all: a query can overtake its payment."""
    assert {outcome.verdict for outcome in table.values()} == {U}
    assert any(outcome.not_found for outcome in table.values())


def test_every_table_declines_only_with_a_reason_and_a_text() -> None:
    """In English and Chinese, for whoever stands at the till."""
    for table, texts in (
        (PAY_V2, PLUGIN.texts.payments),
        (PAY_V3, PLUGIN.texts.payments),
        (ORDER_V3, PLUGIN.texts.payments),
        (TRADE_STATES, PLUGIN.texts.payments),
        (REFUND_V2, PLUGIN.texts.refunds),
        (REFUND_V3, PLUGIN.texts.refunds),
        (REFUND_STATES, PLUGIN.texts.refunds),
    ):
        rows: dict[Any, Any] = dict(table)
        for key, outcome in rows.items():
            code = key if isinstance(key, str) else key[1]
            assert (outcome.reason is not None) == (outcome.verdict is D), code
            if outcome.verdict is D:
                text = texts[code]
                assert text.en.isascii(), code
                assert not text.zh.isascii(), code


# What APIv3 says, written a second time from the vendor's pages: by HTTP status and code.
REFERENCE_V3: dict[tuple[int, str], tuple[Verdict, DeclineReason | None, Advice | None]] = {
    (202, "USERPAYING"): (P, None, None),
    (202, "USER_PAYING"): (P, None, None),
    (403, "USER_PAYING"): (P, None, None),
    (400, "AUTH_CODE_INVALID"): (D, R.CODE_INVALID, Advice.FRESH_CODE),
    (403, "AUTH_CODE_INVALID"): (D, R.CODE_INVALID, Advice.FRESH_CODE),
    (403, "AUTH_CODE_EXPIRED"): (D, R.CODE_INVALID, Advice.FRESH_CODE),
    (403, "NOT_ENOUGH"): (D, R.INSUFFICIENT_FUNDS, None),
    (403, "TRADE_ERROR"): (D, R.PAYER_CANCELLED, None),
    (403, "BANK_ERROR"): (U, None, None),
    (403, "BANKERROR"): (U, None, None),
    (403, "ACCOUNT_ERROR"): (D, R.DECLINED, None),
    (403, "ACCOUNTERROR"): (D, R.DECLINED, None),
    (403, "OPENID_MISMATCH"): (D, R.NOT_PERMITTED, None),
    (403, "RULE_LIMIT"): (D, R.NOT_PERMITTED, None),
    (403, "RULELIMIT"): (D, R.NOT_PERMITTED, None),
    **{
        (status, code): (U, None, None)
        for status in (400, 403)
        for code in ("OUT_TRADE_NO_USED", "ORDER_CLOSED", "ORDERPAID", "ORDER_REVERSED")
    },
    (400, "PARAM_ERROR"): (D, R.CONFIGURATION, Advice.CONFIGURATION),
    (400, "INVALID_REQUEST"): (U, None, Advice.CONFIGURATION),
    (400, "APPID_MCHID_NOT_MATCH"): (D, R.CONFIGURATION, Advice.CONFIGURATION),
    (400, "MCH_NOT_EXISTS"): (D, R.CONFIGURATION, Advice.CONFIGURATION),
    (404, "MCH_NOT_EXISTS"): (D, R.CONFIGURATION, Advice.CONFIGURATION),
    (401, "SIGN_ERROR"): (D, R.CONFIGURATION, Advice.CONFIGURATION),
    (403, "NO_AUTH"): (D, R.CONFIGURATION, Advice.CONFIGURATION),
}


@pytest.mark.parametrize("row", REFERENCE_V3, ids=str)
def test_each_row_of_apiv3s_table(row: tuple[int, str]) -> None:
    answer = pay_v3(v3_refused(*row))
    assert (answer.verdict, answer.reason, answer.advice) == REFERENCE_V3[row]
    assert (answer.channel_code, answer.unlisted) == (row[1], False)


def test_no_row_of_a_payment_is_only_in_our_table() -> None:
    assert set(PAY_V3) == set(REFERENCE_V3)
    more = {"FREQUENCY_LIMITED", "INVALID_REQ_TOO_MUCH", "BUYER_MISMATCH", "APPID_NOT_EXIST",
            "MCHID_NOT_EXIST", "REQUIRE_POST_METHOD", "POST_DATA_EMPTY", "NOT_UTF8"}  # fmt: skip
    assert set(PAY_V2) - set(REFERENCE_V2) == more


# A refund's codes: verdict, reason, advice; a decline is believed once the query finds none.
REFUNDS_V2: dict[str, tuple[Verdict, DeclineReason | None, Advice | None]] = {
    "SYSTEMERROR": (U, None, None),
    "BIZERR_NEED_RETRY": (U, None, Advice.RETRY_SAME),
    "INVALID_REQ_TOO_MUCH": (U, None, Advice.RETRY_SAME),
    "FREQUENCY_LIMITED": (U, None, Advice.RETRY_SAME),
    "ORDER_NOT_READY": (U, None, Advice.RETRY_SAME),
    "NOTENOUGH": (U, None, Advice.RETRY_SAME),
    "ORDERNOTEXIST": (U, None, None),
    "INVALID_TRANSACTIONID": (U, None, None),
    "REFUND_FEE_MISMATCH": (U, None, Advice.CONFIGURATION),
    "TRADE_OVERDUE": (D, R.NOT_PERMITTED, None),
    "USER_ACCOUNT_ABNORMAL": (D, R.DECLINED, None),
    "REFUND_FEE_INVALID": (D, R.AMOUNT_LIMIT, None),
    "ERROR": (D, R.DECLINED, None),
    "INVALID_REQUEST": (D, R.NOT_PERMITTED, None),
}
REFUNDS_V3: dict[tuple[int, str], tuple[Verdict, DeclineReason | None, Advice | None]] = {
    (400, "INVALID_REQUEST"): (D, R.NOT_PERMITTED, None),
    (403, "INVALID_REQUEST"): (D, R.NOT_PERMITTED, None),
    (403, "USER_ACCOUNT_ABNORMAL"): (D, R.DECLINED, None),
    (403, "NOT_ENOUGH"): (U, None, Advice.RETRY_SAME),
    (403, "NO_AUTH"): (U, None, Advice.CONFIGURATION),
    (400, "PARAM_ERROR"): (U, None, Advice.CONFIGURATION),
    (401, "SIGN_ERROR"): (U, None, Advice.CONFIGURATION),
    (404, "MCH_NOT_EXISTS"): (U, None, Advice.CONFIGURATION),
    (404, "RESOURCE_NOT_EXISTS"): (U, None, None),
}
RIG = WechatRefundRig()
REFUND = RIG.refund_request(500)


@pytest.mark.parametrize("code", REFUNDS_V2)
def test_each_row_of_a_refunds_table(code: str) -> None:
    response = HttpResponse(200, {}, v2_refused(code))
    answer = v2_refund_wire.read_refund(response, ACCOUNT, REFUND)
    assert (answer.verdict, answer.reason, answer.advice) == REFUNDS_V2[code]
    assert (answer.channel_code, answer.unlisted) == (code, False)
    for listed in set(REFUND_V2) - set(REFUNDS_V2):  # the set-up: never a refund's end
        assert (REFUND_V2[listed].verdict, REFUND_V2[listed].advice) == (U, Advice.CONFIGURATION)


@pytest.mark.parametrize("row", REFUNDS_V3, ids=str)
def test_each_row_of_apiv3s_refunds(row: tuple[int, str]) -> None:
    assert set(REFUND_V3) == set(REFUNDS_V3)
    answer = v3_refund_wire.read_refund(v3_refused(*row), KEYS, REFUND, NOW_MS)
    assert (answer.verdict, answer.reason, answer.advice) == REFUNDS_V3[row]
    for busy in (429, 500, 503):
        again = v3_refund_wire.read_refund(v3_refused(busy, row[1]), KEYS, REFUND, NOW_MS)
        assert (again.verdict, again.unlisted) == (U, False)


@pytest.mark.parametrize("code", REVERSE_V2)
def test_no_code_of_a_reversal_is_a_success(code: str) -> None:
    """And one alone says that it can never be reversed."""
    for recall in ("N", ""):
        answer = reverse_v2(v2_refused(code, recall=recall))
        assert answer.verdict is (D if code == "REVERSE_EXPIRE" else U)
        assert not answer.unlisted
    assert reverse_v2(v2_refused(code, recall="Y")).verdict is U


@pytest.mark.parametrize("row", sorted({*CLOSE_V3, *REVERSE_V3}), ids=str)
def test_a_code_of_an_undo_over_apiv3(row: tuple[int, str]) -> None:
    """Closed already is closed; paid or paying meanwhile is not."""
    closed = v3_wire.read_close(v3_refused(*row), KEYS, NOW_MS)
    is_over = row[1] == "ORDER_CLOSED"
    assert closed.verdict is (Verdict.SUCCEEDED if is_over else U)
    undone = v3_wire.read_reverse(v3_refused(*row), ACCOUNT, KEYS, ORDER, NOW_MS)
    assert undone.verdict is (D if row[1] == "REVERSE_EXPIRED" else U)
    assert (closed.unlisted, undone.unlisted) == (row not in CLOSE_V3, row not in REVERSE_V3)


@pytest.mark.parametrize("code", PAY_V3)
def test_a_v3_code_means_what_its_status_says(code: tuple[int, str]) -> None:
    """The same word under 500 or 429 means nothing."""
    status, word = code
    assert pay_v3(v3_refused(status, word)).verdict is PAY_V3[code].verdict
    for busy in (429, 500, 503):
        assert pay_v3(v3_refused(busy, word)).verdict is U
