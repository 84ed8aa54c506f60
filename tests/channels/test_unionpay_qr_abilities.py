"""What UnionPay's ACP can do beside selling: notifications, the payer's own orders, the file."""

import base64
import hashlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.bills import BillPending, BillUnavailable, bills_of
from channels.inbound import (
    InboundRequest,
    NoticeRefused,
    OtherNotice,
    PaymentWord,
    RefundWord,
    Word,
    notices_of,
)
from channels.payer_orders import OrderRequest, codes_of, pages_of
from channels.port import (
    AnswerLost,
    ChannelAccount,
    HttpRequest,
    HttpResponse,
    NotSent,
    Verdict,
)
from channels.unionpay.qr_adapter import UnionPayQrChannel
from channels.unionpay.qr_numbers import undo_number
from channels.unionpay.qr_plugin import PLUGIN
from domain.errors import ConfigurationError
from signing.unionpay import rsa_signature
from tests.channels.qr_rigs import MER_ID, Params, UnionPayQrRig, acp_answer, echo, own_pem
from tests.channels.rigs import services
from tests.support.acp_chain import Issued, chain, issue

ORDER_NO, REFUND_NO = "NUMBER00000000000000000000000001", "NUMBER00000000000000000000000002"
DAY = date(2026, 11, 22)


def notice(signer: Issued | None = None, **changed: str) -> bytes:
    """A notification as UnionPay posts it: a form, URL-encoded, signed."""
    own = signer or chain()[2]
    params = {
        "version": "5.1.0",
        "signMethod": "01",
        "encoding": "UTF-8",
        "signPubKeyCert": own.pem,
        "merId": MER_ID,
        "orderId": ORDER_NO,
        "txnTime": "20261122151537",
        "txnType": "01",
        "txnSubType": "06",
        "txnAmt": "1990",
        "currencyCode": "156",
        "queryId": "951811221515371234568",
        "respCode": "00",
        "respMsg": "成功[0000000]",
        **changed,
    }
    params.setdefault("signature", rsa_signature(params, own.key))
    return urlencode(params).encode()


@cache
def listener() -> UnionPayQrRig:
    """One channel for all: reading a notification changes nothing in it."""
    return UnionPayQrRig()


def read(body: bytes, method: str = "POST") -> Word:
    ability = notices_of(listener().channel)
    assert ability is not None
    return ability.read_notice(InboundRequest(method=method, headers={}, body=body))


def test_a_notified_payment_is_to_be_asked_about_and_brings_no_amount() -> None:
    """G 2: whatever it says of the money, the query is what is booked."""
    word = read(notice())
    assert isinstance(word, PaymentWord)
    assert (word.order_no, word.ask_first) == (ORDER_NO, True)
    assert (word.answer.verdict, word.answer.amount_fen) == (Verdict.PENDING, None)


def test_a_notified_return_names_its_payment_and_is_to_be_asked_about() -> None:
    """G 15: never a second payment, though its code is 00 and its amount positive."""
    for kind in ("04", "31"):
        word = read(notice(txnType=kind, orderId=REFUND_NO, reqReserved=ORDER_NO))
        assert isinstance(word, RefundWord)
        assert (word.order_no, word.refund_no, word.ask_first) == (ORDER_NO, REFUND_NO, True)
        assert word.answer.verdict is Verdict.PENDING


def test_what_moves_nothing_of_ours_is_taken_and_left() -> None:
    for body in (
        notice(txnType="04", orderId=undo_number(ORDER_NO), reqReserved=ORDER_NO),
        notice(txnType="04", orderId=REFUND_NO),
        notice(txnType="79"),
        notice(orderId="no number of ours"),
    ):
        assert isinstance(read(body), OtherNotice)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"garbage",
        b"\xff\xfe",
        b"a=%GG",
        notice() + b"&txnAmt=1",
        notice().replace(b"txnAmt=1990", b"txnAmt=1"),
        notice(signature=""),
        notice(version="5.0.0"),
        notice(signMethod="12"),
        notice(merId="777290058110099"),
        notice(issue("041@Z@somebody@1", chain()[1])),
        notice(issue("041@Z@中国银联股份有限公司@1", owner="forger")),
    ],
    ids=range(12),
)
def test_what_was_forged_altered_or_lowered_is_refused_and_says_nothing_of_it(body: bytes) -> None:
    """G 2, 4, 16: the sender sees a failure; the log sees nothing of the body."""
    with pytest.raises(NoticeRefused) as refused:
        read(body)
    assert refused.value.reply.status == 400
    assert ORDER_NO not in refused.value.why


def test_a_get_is_no_notification() -> None:
    with pytest.raises(NoticeRefused):
        read(notice(), method="GET")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_body_raises_anything_else(body: bytes) -> None:
    with pytest.raises(NoticeRefused):
        read(body)


def test_unionpay_counts_200_as_received() -> None:
    ability = notices_of(UnionPayQrRig().channel)
    assert ability is not None
    assert (ability.taken().status, ability.not_taken().status) == (200, 500)


def order(**more: str) -> OrderRequest:
    plain = OrderRequest(
        order_no=ORDER_NO,
        amount_fen=1990,
        currency="CNY",
        subject="Tea",
        created_at_ms=1_795_331_737_042,
        expires_at_ms=1_795_331_737_042 + 900_000,
    )
    return replace(plain, **more)  # type: ignore[arg-type]  # named by the test


async def test_a_code_for_one_order_is_made_by_01_07() -> None:
    rig = UnionPayQrRig()
    rig.answers(lambda asked: echo(asked, "00", qrCode="https://qr.95516.com/00010000/6201"))
    ability = codes_of(rig.channel)
    assert ability is not None
    answer = await ability.create_code(order(notify_url="https://pos.example.com/n"))
    assert (answer.verdict, answer.code) == (
        Verdict.SUCCEEDED,
        "https://qr.95516.com/00010000/6201",
    )
    sent = rig.requests[0]
    assert (sent["txnType"], sent["txnSubType"], sent["txnAmt"]) == ("01", "07", "1990")
    assert (sent["payTimeout"], sent["backUrl"]) == ("20261122153037", "https://pos.example.com/n")


async def test_another_app_of_unionpays_is_named_as_it_says() -> None:
    rig = UnionPayQrRig()
    pages = pages_of(rig.channel)
    assert pages is not None
    rig.answers(lambda asked: echo(asked, "00", appUserId="n8xBMa+IhTa3"))
    assert (await pages.payer_of("code", "UnionPay/1.0 JDJR")).payer_id == "n8xBMa+IhTa3"
    assert rig.requests[0]["appUpIdentifier"] == "UnionPay/1.0 JDJR"


async def test_a_wallets_page_leads_to_who_pays_and_to_where_he_pays() -> None:
    rig = UnionPayQrRig(front_url="https://pos.example.com/done")
    pages = pages_of(rig.channel)
    assert pages is not None
    url = urlsplit(pages.authorise_url("https://pos.example.com/pay?o=1", "a&b"))
    assert parse_qs(url.query)["redirectUrl"] == ["https://pos.example.com/pay?o=1&state=a%26b"]
    rig.answers(lambda asked: echo(asked, "00", appUserId="n8xBMa+IhTa3"))
    payer = await pages.payer_of("uskMsSXHS1KBLHZ90+iDzA==")
    assert (payer.verdict, payer.payer_id) == (Verdict.SUCCEEDED, "n8xBMa+IhTa3")
    asked = rig.requests[0]
    assert (asked["txnType"], asked["txnSubType"]) == ("00", "10")
    assert (asked["userAuthCode"], asked["appUpIdentifier"]) == (
        "uskMsSXHS1KBLHZ90+iDzA==",
        "UnionPay/1.0 CloudPay",
    )
    rig.answers(lambda asked: echo(asked, "00", payUrl="https://qr.95516.com/pay"))
    answer = await pages.create_page_order(order(payer_id="n8xBMa+IhTa3"))
    assert (answer.verdict, answer.page_url) == (Verdict.SUCCEEDED, "https://qr.95516.com/pay")
    sent = rig.requests[1]
    assert (sent["txnSubType"], sent["tradeType"], sent["appUserId"]) == (
        "01",
        "mobileWeb",
        "n8xBMa+IhTa3",
    )
    assert "n8xBMa" not in repr((payer, answer))


async def test_an_order_that_cannot_be_trusted_is_unknown_and_a_listed_no_is_one() -> None:
    rig = UnionPayQrRig()
    channel = rig.channel
    assert isinstance(channel, UnionPayQrChannel)
    for name, fault in rig.faults().items():
        fault()
        assert (await channel.create_code(order())).verdict is Verdict.UNKNOWN, name
        assert (await channel.create_page_order(order())).verdict is Verdict.UNKNOWN, name
        assert (await channel.payer_of("code")).verdict is Verdict.UNKNOWN, name
    rig.says("00")  # a yes without what was asked for
    assert (await channel.create_code(order())).verdict is Verdict.UNKNOWN
    assert (await channel.payer_of("code")).verdict is Verdict.UNKNOWN
    rig.says("31")
    refused = await channel.create_code(order())
    assert refused.verdict is Verdict.DECLINED
    assert refused.reason is not None
    assert not refused.unlisted
    rig.says("Z9")
    strange = await channel.create_code(order())
    assert (strange.verdict, strange.unlisted) == (Verdict.UNKNOWN, True)
    unwritable = await channel.create_code(order(subject="\ud800"))
    assert (unwritable.verdict, unwritable.unwritable) == (Verdict.NOT_SENT, True)
    rig.will_be_unreachable()
    assert (await channel.create_code(order())).verdict is Verdict.NOT_SENT
    assert (await channel.create_page_order(order())).verdict is Verdict.NOT_SENT


class FileServer:
    """Answers 76/01 into a file, as the client's download does."""

    def __init__(self, answer: Callable[[Params], bytes], status: int = 200) -> None:
        self.answer = answer
        self.status = status
        self.fault: Exception | None = None
        self.asked: Params = {}
        self.url = ""

    async def download(self, request: HttpRequest, path: Path, max_bytes: int) -> HttpResponse:
        if self.fault is not None:
            raise self.fault
        self.url = request.url
        self.asked = dict(parse_qsl(request.body.decode("ascii")))
        path.write_bytes(self.answer(self.asked))
        return HttpResponse(self.status, {}, b"")


def channel_before(server: FileServer) -> UnionPayQrChannel:
    rig = UnionPayQrRig()
    return UnionPayQrChannel(rig.account, rig.channel.schedule, services(download=server.download))


def with_file(content: bytes, **changed: str) -> Callable[[Params], bytes]:
    packed = base64.b64encode(zlib.compress(content)).decode()

    def answer(asked: Params) -> bytes:
        more = {"settleDate": asked["settleDate"], "fileContent": packed, **changed}
        return acp_answer(echo(asked, "00") | more)

    return answer


async def test_the_days_file_is_fetched_verified_and_kept_under_our_own_name(
    tmp_path: Path,
) -> None:
    """G 13: UnionPay's name of it is no path of ours."""
    server = FileServer(with_file(b"PK the zip", fileName="../../etc/passwd"))
    bills = bills_of(channel_before(server))
    assert bills is not None
    assert bills.bill_kinds == ("zm",)
    fetched = await bills.fetch_bill("zm", DAY, tmp_path)
    assert fetched.path == tmp_path / f"unionpay_{MER_ID}_20261122.zip"
    assert fetched.path.read_bytes() == b"PK the zip"
    assert fetched.sha256 == hashlib.sha256(b"PK the zip").hexdigest()
    assert [path.name for path in tmp_path.iterdir()] == [fetched.path.name]
    asked = server.asked
    assert server.url == "http://127.0.0.1:1/files/"
    assert (asked["txnType"], asked["txnSubType"], asked["settleDate"], asked["fileType"]) == (
        "76",
        "01",
        "1122",
        "00",
    )


def test_a_days_file_is_due_the_morning_after_in_beijing() -> None:
    bills = bills_of(UnionPayQrRig().channel)
    assert bills is not None
    due = datetime.fromtimestamp(bills.bill_due_ms(DAY) / 1000, UTC)
    assert due == datetime(2026, 11, 23, 1, tzinfo=UTC)


async def test_98_is_not_yet_and_everything_else_is_not_now(tmp_path: Path) -> None:
    bills = channel_before(FileServer(lambda asked: acp_answer(echo(asked, "98"))))
    with pytest.raises(BillPending):
        await bills.fetch_bill("zm", DAY, tmp_path)
    bomb = base64.b64encode(zlib.compress(bytes(65 * 1024 * 1024))).decode()
    bad: Mapping[str, Callable[[Params], bytes]] = {
        "refused": lambda asked: acp_answer(echo(asked, "10")),
        "forged": lambda asked: acp_answer(
            echo(asked, "00", fileContent="x"), issue("041@Z@somebody@1", chain()[1])
        ),
        "another merchant's": lambda asked: acp_answer(echo(asked | {"merId": "7"}, "00")),
        "another day's": with_file(b"PK", settleDate="1121"),
        "another call's": with_file(b"PK", txnType="01"),
        "not base64": with_file(b"PK", fileContent="é"),
        "not zlib": with_file(b"PK", fileContent="QUJD"),
        "cut": with_file(b"PK", fileContent=base64.b64encode(zlib.compress(b"PK")[:-3]).decode()),
        "none": with_file(b"PK", fileContent=""),
        "a bomb": with_file(b"PK", fileContent=bomb),
        "garbage": lambda asked: b"\xff",
    }
    for name, answer in bad.items():
        with pytest.raises(BillUnavailable):
            await channel_before(FileServer(answer)).fetch_bill("zm", DAY, tmp_path)
        assert list(tmp_path.iterdir()) == [], name
    for fault in (NotSent("refused"), AnswerLost("too large")):
        server = FileServer(with_file(b"PK"))
        server.fault = fault
        with pytest.raises(BillUnavailable):
            await channel_before(server).fetch_bill("zm", DAY, tmp_path)
    with pytest.raises(BillUnavailable):
        await channel_before(FileServer(with_file(b"PK"), 500)).fetch_bill("zm", DAY, tmp_path)
    with pytest.raises(BillUnavailable):
        await channel_before(FileServer(with_file(b"PK"))).fetch_bill("fundflow", DAY, tmp_path)


def account(secrets: Mapping[str, bytes], **settings: str) -> ChannelAccount:
    root, middle, _ = chain()
    plain = {
        "mer_id": MER_ID,
        "root_certificate": root.pem,
        "middle_certificate": middle.pem,
    }
    return ChannelAccount(
        account_id="up1", channel="unionpay_qr", settings={**plain, **settings}, secrets=secrets
    )


def own_key() -> Mapping[str, bytes]:
    return {"sign_key": own_pem(issue("merchant", chain()[1]))}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mer_id", "short"),
        ("sign_method", "02"),
        ("base_url", "http://gateway.example.com"),
        ("file_url", "ftp://x"),
        ("back_url", "https://pos.example.com/n?a=1"),
        ("front_url", "nowhere"),
        ("root_certificate", "-----BEGIN CERTIFICATE-----"),
        ("middle_certificate", ""),
        ("channel_type", "09"),
        ("acquirer_code", "48800000"),
        ("timeout_s", "0"),
        ("query_after_s", ""),
        ("undo_retry_s", ""),
        ("refund_retry_s", ""),
        ("undo_after_not_found", "0"),
        ("unknown", "1"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(name: str, value: str) -> None:
    named = "merchant_category" if name == "acquirer_code" else name
    with pytest.raises(ConfigurationError, match=named):
        PLUGIN.build(account(own_key(), **{name: value}), services())


def test_a_forged_middle_a_missing_key_and_a_short_secret_refuse_to_start() -> None:
    with pytest.raises(ConfigurationError, match="middle_certificate"):
        forged = issue("OCA1", owner="forger").pem
        PLUGIN.build(account(own_key(), middle_certificate=forged), services())
    with pytest.raises(ConfigurationError, match="sign_key"):
        PLUGIN.build(account({}), services())
    with pytest.raises(ConfigurationError, match="secure_key"):
        PLUGIN.build(account({"secure_key": b"short"}, sign_method="11"), services())
    keyed = {"secure_key": b"0123456789abcdef"}
    assert PLUGIN.build(account(keyed, sign_method="12", root_certificate=""), services())
