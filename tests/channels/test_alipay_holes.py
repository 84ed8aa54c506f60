"""The holes that payment gateways really had, as far as Alipay's adapter could have them.

One or more for each (reference ``channels.md`` G, by its number there); ``docs/alipay.md``
lists them with those that are tested elsewhere, and the last test here holds the list true.
1 is XML's: Alipay speaks none.
"""

import json
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from channels.alipay.bill import BILLS
from channels.alipay.notice import read_notice
from channels.alipay.orders_wire import read_create, read_precreate
from channels.alipay.refund_wire import read_refund, read_refund_query
from channels.alipay.wire import build_pay, read_cancel, read_close, read_pay, read_query
from channels.bills import BillRefused
from channels.inbound import InboundRequest, NoticeRefused, PaymentWord, RefundWord, Word
from channels.port import AnswerLost, HttpResponse, RefundRequest, Verdict, refunds_of
from domain.errors import ConfigurationError
from domain.money import MoneyError
from signing.alipay import sign
from tests.bills.alipay_files import HEADER, Bill, Row, zipped
from tests.channels.rigs import AlipayRig, alipay_answer, paid, ref_of, rsa_key
from tests.channels.test_alipay_notice import OURS, PAID, signed
from tests.channels.test_alipay_transports import DRESSES, KEYED, Peer
from tests.channels.test_alipay_transports import PAID as FIELDS
from tests.support.holes import check_holes

ORDER = "ORDER00001"
NOW_MS = 1_795_331_737_042
ROOT = Path(__file__).resolve().parents[2]


def told(body: bytes) -> Word:
    """What a notification says."""
    request = InboundRequest(method="POST", headers={}, body=body)
    return read_notice(request, OURS)


def refund_of(rig: AlipayRig, number: str = "R1") -> RefundRequest:
    return RefundRequest(
        refund_no=number,
        payment=ref_of(rig.request(ORDER)),
        amount_fen=5,
        currency="CNY",
        reason="",
        created_at_ms=0,
    )


def said(method: str, fields: dict[str, object]) -> HttpResponse:
    """A truly signed answer."""
    return HttpResponse(200, {}, alipay_answer(method, fields))


def test_g2_a_good_signature_about_another_order_or_seller_is_believed_of_nothing() -> None:
    """Every call, whatever it says: the order and the seller must be ours."""
    rig = AlipayRig(seller_id="2088000000000001")
    refund = refund_of(rig)
    yes: dict[str, dict[str, object]] = {
        "pay": paid(ORDER, "19.90"),
        "query": {**paid(ORDER, "19.90"), "trade_status": "TRADE_SUCCESS"},
        "cancel": {"code": "10000", "out_trade_no": ORDER, "action": "close"},
        "close": {"code": "10000", "out_trade_no": ORDER},
        "refund": {
            "code": "10000",
            "out_trade_no": ORDER,
            "refund_fee": "0.05",
            "fund_change": "Y",
        },
        "fastpay_refund_query": {
            "code": "10000",
            "out_trade_no": ORDER,
            "out_request_no": "R1",
            "refund_status": "REFUND_SUCCESS",
            "refund_amount": "0.05",
        },
    }

    def verdict(method: str, **changes: object) -> Verdict:
        response = said(method, {**yes[method], **changes})
        if method == "refund":
            return read_refund(response, rig.account, refund).verdict
        if method == "fastpay_refund_query":
            return read_refund_query(response, rig.account, refund).verdict
        if method in ("pay", "query"):
            read = read_pay if method == "pay" else read_query
            return read(response, rig.account, ORDER).verdict
        undo = read_cancel if method == "cancel" else read_close
        return undo(response, rig.account, ORDER).verdict

    for method in yes:
        assert verdict(method) is Verdict.SUCCEEDED, method
        assert verdict(method, out_trade_no="ANOTHER001") is Verdict.UNKNOWN, method
        assert verdict(method, seller_id="2088000000000002") is Verdict.UNKNOWN, method
    for read, made in ((read_precreate, "precreate"), (read_create, "create")):
        stands: dict[str, object] = {
            "code": "10000",
            "qr_code": "https://qr.alipay.com/x",
            "trade_no": "T1",
        }
        ours = read(said(made, {**stands, "out_trade_no": ORDER}), rig.account, ORDER)
        assert ours.verdict is Verdict.SUCCEEDED
        assert read(said(made, stands), rig.account, ORDER).verdict is Verdict.UNKNOWN
    no = {"code": "40004", "sub_code": "ACQ.PAYMENT_FAIL"}
    assert verdict("pay", **no) is Verdict.DECLINED
    assert verdict("pay", **no, out_trade_no="ANOTHER001") is Verdict.UNKNOWN


def test_g2_the_channels_own_amount_is_handed_on_to_be_compared() -> None:
    rig = AlipayRig()
    assert read_pay(said("pay", paid(ORDER, "0.01")), rig.account, ORDER).amount_fen == 1
    word = told(signed({**PAID, "total_amount": "0.01"}))
    assert isinstance(word, PaymentWord)
    assert word.answer.amount_fen == 1


def test_g3_an_answer_that_was_heard_before_answers_nothing_else() -> None:
    """Truly signed, of the same order: another refund's yes, and a query's under pay's name."""
    rig = AlipayRig()
    done: dict[str, object] = {
        "code": "10000",
        "out_trade_no": ORDER,
        "out_request_no": "R1",
        "refund_status": "REFUND_SUCCESS",
        "refund_amount": "0.05",
    }
    heard = said("fastpay_refund_query", done)
    first = read_refund_query(heard, rig.account, refund_of(rig))
    again = read_refund_query(heard, rig.account, refund_of(rig, "R2"))
    assert (first.verdict, again.verdict) == (Verdict.SUCCEEDED, Verdict.UNKNOWN)
    moved = {"code": "10000", "out_trade_no": ORDER, "refund_fee": "0.05", "fund_change": "Y"}
    named = said("refund", {**moved, "out_request_no": "R1"})
    assert read_refund(named, rig.account, refund_of(rig)).verdict is Verdict.SUCCEEDED
    assert read_refund(named, rig.account, refund_of(rig, "R2")).verdict is Verdict.UNKNOWN
    closed = said("close", {**paid(ORDER, "19.90"), "trade_status": "TRADE_SUCCESS"})
    assert read_close(closed, rig.account, ORDER).verdict is Verdict.UNKNOWN
    asked = {**paid(ORDER, "19.90"), "trade_status": "TRADE_CLOSED"}
    assert read_pay(said("pay", asked), rig.account, ORDER).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("sign_text", ["%%%", "WECHATPAY/SIGNTEST/x", "不", "A"])
def test_g4_a_probe_that_is_no_base64_is_refused_and_crashes_nothing(sign_text: str) -> None:
    body = signed(PAID).rpartition(b"&sign=")[0] + b"&sign=" + sign_text.encode("utf-8", "replace")
    request = InboundRequest(method="POST", headers={}, body=body)
    with pytest.raises(NoticeRefused) as refused:
        read_notice(request, OURS)
    assert refused.value.reply.status == 400


@pytest.mark.parametrize(
    ("amount_fen", "yuan"),
    [(1990, "19.90"), (980, "9.80"), (1, "0.01"), (10_000_000_001, "100000000.01")],
)
def test_g5_money_is_never_a_float(amount_fen: int, yuan: str) -> None:
    """19.9 x 100 is 1989 to a float; 9.8 x 100 is 980.0000000000001."""
    rig = AlipayRig()
    request = replace(rig.request(ORDER), amount_fen=amount_fen)
    assert b"total_amount%22%3A%22" + yuan.encode() in build_pay(request, rig.account, NOW_MS).body
    said = HttpResponse(200, {}, alipay_answer("pay", paid(ORDER, yuan)))
    assert read_pay(said, rig.account, ORDER).amount_fen == amount_fen
    number = alipay_answer("pay", paid(ORDER, yuan) | {"total_amount": 19.9})
    assert read_pay(HttpResponse(200, {}, number), rig.account, ORDER).verdict is Verdict.UNKNOWN
    with pytest.raises(MoneyError):
        build_pay(replace(request, amount_fen=19.9), rig.account, NOW_MS)  # type: ignore[arg-type]


async def test_g7_every_repeat_has_the_same_number() -> None:
    """A lost answer, its query, its cancel, a refund and its repeat: no number is made anew."""
    peer = Peer(KEYED)
    request = peer.request()
    ref = ref_of(request)
    refund = RefundRequest(
        refund_no="R1", payment=ref, amount_fen=5, currency="CNY", reason="", created_at_ms=0
    )
    seen: list[object] = []

    def cut(_: HttpResponse) -> HttpResponse:
        seen.append((peer.content["out_trade_no"], peer.content.get("out_request_no")))
        raise AnswerLost("cut")

    peer.mutate = cut
    refunds = refunds_of(peer.channel)
    assert refunds is not None
    for _ in range(2):
        await peer.channel.pay(request)
        await peer.channel.query(ref)
        await peer.channel.cancel(ref)
        await refunds.refund(refund)
        await refunds.query_refund(refund)
    assert set(seen) == {(ORDER, None), (ORDER, "R1")}


async def test_g8_a_call_asks_once_and_polls_nothing() -> None:
    """A payer who types a password is the schedule's, not a call's."""
    peer = Peer(KEYED)
    peer.fields = {"code": "10003"}
    assert (await peer.channel.pay(peer.request())).verdict is Verdict.PENDING
    peer.fields = {"trade_status": "WAIT_BUYER_PAY"}
    assert (await peer.channel.query(ref_of(peer.request()))).verdict is Verdict.PENDING
    assert len(peer.requests) == 2


async def test_g9_every_refund_has_a_number_of_its_own() -> None:
    """The order's number goes with it and never in its place; an undo alone has it as its own."""
    peer = Peer(KEYED)
    refunds = refunds_of(peer.channel)
    assert refunds is not None
    numbers = {peer.channel.new_order_no(), refunds.new_refund_no(), refunds.new_refund_no()}
    assert len(numbers) == 3
    refund = replace(refund_of(AlipayRig()), refund_no=refunds.new_refund_no())
    await refunds.refund(refund)
    assert (peer.content["out_trade_no"], peer.content["out_request_no"]) == (
        ORDER,
        refund.refund_no,
    )


def test_g10_nothing_is_sent_that_the_method_does_not_know() -> None:
    rig = AlipayRig()
    request = replace(rig.request(ORDER), store_id="S1", terminal_id="T1")
    built = build_pay(request, rig.account, NOW_MS)
    form = dict(part.split("=", 1) for part in built.body.decode().split("&"))
    assert set(form) == {
        "app_id", "method", "format", "charset", "sign_type", "timestamp", "version",
        "biz_content", "sign",
    }  # fmt: skip


async def test_g10_of_a_payment_only_the_vendors_fields() -> None:
    peer = Peer(KEYED)
    await peer.channel.pay(replace(peer.request(), store_id="S1", terminal_id="T1"))
    assert set(peer.content) == {
        "out_trade_no", "scene", "auth_code", "subject", "total_amount", "product_code",
        "store_id", "terminal_id",
    }  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [
        {"retry_flag": "Y"},
        {"retry_flag": "Y", "action": "close"},
        {"action": "new"},
        {"code": "10003"},
        {"code": "20000"},
        {"code": "40004", "sub_code": "ACQ.SYSTEM_ERROR"},
        {"code": "40004", "sub_code": "AQC.SYSTEM_ERROR"},
        {"code": "40004", "sub_code": "ACQ.SELLER_BALANCE_NOT_ENOUGH"},
        {"code": "40004", "sub_code": "ACQ.BRAND_NEW"},
    ],
    ids=str,
)
def test_g11_a_cancel_that_is_not_through_undoes_nothing(fields: dict[str, object]) -> None:
    account = AlipayRig().account
    answer = said("cancel", {"code": "10000", "out_trade_no": ORDER, **fields})
    undone = read_cancel(answer, account, ORDER)
    assert (undone.verdict, undone.was_paid) == (Verdict.UNKNOWN, None)


@pytest.mark.parametrize("change", [b" ", b"\n", b"\\u00e9"], ids=repr)
def test_g12_only_the_bytes_as_they_came_are_verified(change: bytes) -> None:
    """Written anew by whoever stands between, the same JSON is another text."""
    rig = AlipayRig()
    body = alipay_answer("pay", paid(ORDER, "19.90", note="é / \\/"))
    assert read_pay(HttpResponse(200, {}, body), rig.account, ORDER).verdict is Verdict.SUCCEEDED
    outer = orjson.loads(body)
    key = "alipay_trade_pay_response"
    again = json.dumps(outer, separators=(", ", ": ")).encode()
    assert read_pay(HttpResponse(200, {}, again), rig.account, ORDER).verdict is Verdict.UNKNOWN
    changed = body.replace(b'"19.90"', b'"19.90"' + change.replace(b"\\u00e9", b" "), 1)
    assert key in outer
    assert read_pay(HttpResponse(200, {}, changed), rig.account, ORDER).verdict is Verdict.UNKNOWN


def test_g13_a_name_inside_an_archive_becomes_no_path(tmp_path: Path) -> None:
    """GBK names are read as GBK, and one that leads elsewhere refuses all of it."""
    data = Bill((Row("order0001", 1990),)).data
    good = zipped(tmp_path / "good.zip", ("2088_业务明细.csv", data))
    assert BILLS.kind_of(good) == "trade"
    bad = zipped(tmp_path / "bad.zip", ("../2088_业务明细.csv", data))
    with pytest.raises(BillRefused, match="leads out"):
        BILLS.open("trade", bad)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.zip", "good.zip"]


def test_g14_yuan_become_fen_by_the_columns_name(tmp_path: Path) -> None:
    """19.9 and 9.8 to the fen, wherever their column stands."""
    rows = (Row("order0001", 1990), Row("order0002", 980))
    for header in (tuple(HEADER), tuple(reversed(HEADER))):
        reader = BILLS.open("trade", Bill(rows, header=header).write(tmp_path))
        found = [row for batch in reader for row in batch.to_pylist()]
        assert [(one["order_no"], one["amount_fen"]) for one in found] == [
            ("order0001", 1990),
            ("order0002", 980),
        ]


def test_g15_the_notice_of_a_part_refund_is_no_payment() -> None:
    """It says TRADE_SUCCESS and the whole amount; its number is ``out_biz_no``."""
    marks = {"out_biz_no": "R1", "refund_fee": "5.00", "gmt_refund": "2026-11-22 16:00:00"}
    word = told(signed({**PAID, **marks}))
    assert isinstance(word, RefundWord)
    assert (word.refund_no, word.ask_first, word.answer.amount_fen) == ("R1", True, None)


@pytest.mark.parametrize("setting", ["gateway_url", "notify_url", "authorise_url"])
def test_g16_a_way_without_tls_is_refused(setting: str) -> None:
    with pytest.raises(ConfigurationError, match=setting):
        AlipayRig(**{setting: "http://openapi.alipay.com/x"})


@pytest.mark.parametrize("sign_type", ["RSA", "MD5", "HMAC-SHA256", "rsa2", ""])
def test_g16_no_weaker_signature_is_taken(sign_type: str) -> None:
    """RSA2 is pinned: the text that names another hash decides nothing."""
    body = signed({**PAID, "sign_type": sign_type})
    request = InboundRequest(method="POST", headers={}, body=body)
    with pytest.raises(NoticeRefused):
        read_notice(request, OURS)


@pytest.mark.parametrize(
    "change", [{"app_id": "2021000000009999"}, {"seller_id": "2088000000009999"}], ids=str
)
def test_g17_a_notice_for_another_application_or_merchant_is_refused(
    change: dict[str, str],
) -> None:
    """Truly signed by Alipay, with a number that could be ours."""
    with pytest.raises(NoticeRefused, match="for another"):
        told(signed({**PAID, **change}))


@pytest.mark.parametrize("dress", DRESSES)
async def test_g18_no_secret_and_no_payment_code_is_in_any_text(dress: str) -> None:
    """Of account, request, answers, faults: what could reach a log."""
    secrets, settings = DRESSES[dress]
    peer = Peer({**secrets, "app_auth_token": b"SECRET-TOKEN"}, **settings)
    peer.fields = {**FIELDS}
    request = peer.request()
    answer = await peer.channel.pay(request)
    account = peer.channel._account  # type: ignore[attr-defined]
    texts = [repr(request), repr(answer), repr(account), str(account), repr(peer.channel)]
    texts += [repr(one) for one in peer.requests]
    peer.fields = {"code": "40004", "sub_code": "ACQ.X", "sub_msg": f"code {request.auth_code}"}
    texts.append(repr(await peer.channel.pay(request)))
    token = sign({"a": "b"}, rsa_key("app"))
    for text in texts:
        for secret in (request.auth_code, "SECRET-TOKEN", token, "PRIVATE KEY"):
            assert secret not in text


def test_the_list_of_holes_names_every_hole_and_only_tests_that_exist() -> None:
    rows = check_holes("alipay.md", __file__)
    assert [number for number, tests in rows.items() if not tests] == [1]
