"""Alipay's further abilities in every dress: codes, pages, faces, royalty, bills."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from channels.bills import BillAbsent, BillPending, BillUnavailable, bills_of
from channels.payer_orders import (
    FaceRequest,
    OrderRequest,
    PayerCodes,
    codes_of,
    faces_of,
    pages_of,
)
from channels.port import Advice, AnswerLost, NotSent, Verdict
from channels.royalty import RoyaltyRequest, Share, royalties_of
from domain.decline import DeclineReason
from tests.channels.rigs import ref_of
from tests.channels.test_alipay_transports import DRESSES, KEYED, Peer

ORDER = OrderRequest(
    order_no="ORDER00001",
    amount_fen=1990,
    currency="CNY",
    subject="a/b=c",
    created_at_ms=1_795_331_737_042,
    expires_at_ms=1_795_331_737_042 + 90_000,
    payer_id="2088123412341234",
    store_id="S1",
    terminal_id="T1",
)
DAY = date(2026, 11, 20)


@pytest.fixture(params=DRESSES)
def peer(request: pytest.FixtureRequest) -> Peer:
    secrets, settings = DRESSES[request.param]
    return Peer(secrets, notify_url="https://pay.example/notify/alipay/ali1", **settings)


def codes(peer: Peer) -> PayerCodes:
    found = codes_of(peer.channel)
    assert found is not None
    return found


async def test_a_code_for_one_order(peer: Peer) -> None:
    peer.fields = {"qr_code": "https://qr.alipay.example/bax00001"}
    answer = await codes(peer).create_code(ORDER)
    assert (answer.verdict, answer.code) == (
        Verdict.SUCCEEDED,
        "https://qr.alipay.example/bax00001",
    )
    assert peer.content["total_amount"] == "19.90"
    assert peer.content["time_expire"] == "2026-11-22 15:17:07"
    assert peer.content["subject"] == "a b c"
    assert (peer.content["store_id"], peer.content["terminal_id"]) == ("S1", "T1")
    assert "qr.alipay" not in repr(answer)


@pytest.mark.parametrize(
    "fields",
    [{}, {"qr_code": ""}, {"qr_code": "x" * 5000}, {"out_trade_no": "OTHER", "qr_code": "x"}],
)
async def test_a_code_that_is_none_is_unknown(fields: dict[str, object]) -> None:
    peer = Peer(KEYED)
    peer.fields = fields
    assert (await codes(peer).create_code(ORDER)).verdict is Verdict.UNKNOWN


async def test_where_the_order_is_told_goes_before_where_the_account_is() -> None:
    peer = Peer(KEYED, notify_url="https://pay.example/a")
    for request, url in (
        (ORDER, "https://pay.example/a"),
        (replace(ORDER, notify_url="https://pay.example/b"), "https://pay.example/b"),
    ):
        await codes(peer).create_code(request)
        assert peer.forms[-1]["notify_url"] == url
        pages = pages_of(peer.channel)
        assert pages is not None
        await pages.create_page_order(request)
        assert (peer.forms[-1]["method"], peer.forms[-1]["notify_url"]) == (
            "alipay.trade.create",
            url,
        )


async def test_an_order_for_a_page(peer: Peer) -> None:
    pages = pages_of(peer.channel)
    assert pages is not None
    peer.fields = {"trade_no": "T1"}
    answer = await pages.create_page_order(ORDER)
    assert (answer.verdict, answer.parameters) == (Verdict.SUCCEEDED, {"tradeNO": "T1"})
    assert peer.content["buyer_id"] == "2088123412341234"
    assert (peer.content["product_code"], peer.content["op_app_id"]) == ("JSAPI_PAY", "app1")
    await pages.create_page_order(replace(ORDER, payer_id="0634o1-open"))
    assert peer.content["buyer_open_id"] == "0634o1-open"
    assert "buyer_id" not in peer.content
    nobody = await pages.create_page_order(replace(ORDER, payer_id=""))
    assert nobody.verdict is Verdict.NOT_SENT
    peer.fields = {}
    assert (await pages.create_page_order(ORDER)).verdict is Verdict.UNKNOWN


async def test_who_the_payer_is(peer: Peer) -> None:
    pages = pages_of(peer.channel)
    assert pages is not None
    for fields, who in (
        ({"user_id": "2088123412341234", "access_token": "t"}, "2088123412341234"),
        ({"open_id": "0634o1-open"}, "0634o1-open"),
    ):
        peer.fields = dict(fields)
        answer = await pages.payer_of("code1")
        assert (answer.verdict, answer.payer_id) == (Verdict.SUCCEEDED, who)
        assert who not in repr(answer)
    assert (peer.content["grant_type"], peer.content["code"]) == ("authorization_code", "code1")
    peer.fields = {}
    assert (await pages.payer_of("code1")).verdict is Verdict.UNKNOWN


async def test_a_code_of_no_payer_is_refused() -> None:
    peer = Peer(KEYED)
    pages = pages_of(peer.channel)
    assert pages is not None
    peer.fields = {"code": "40002", "sub_code": "isv.code-invalid"}
    answer = await pages.payer_of("old")
    assert (answer.verdict, answer.payer_id) == (Verdict.DECLINED, "")


def test_where_the_wallets_browser_is_sent() -> None:
    pages = pages_of(Peer(KEYED).channel)
    assert pages is not None
    url = urlsplit(pages.authorise_url("https://pay.example/c?x=1&y=奶", "a b&c"))
    assert url.netloc == "openauth.alipay.com"
    assert parse_qs(url.query) == {
        "app_id": ["app1"],
        "scope": ["auth_base"],
        "redirect_uri": ["https://pay.example/c?x=1&y=奶"],
        "state": ["a b&c"],
    }


async def test_a_face_is_begun_with_what_the_device_said(peer: Peer) -> None:
    faces = faces_of(peer.channel)
    assert faces is not None
    request = FaceRequest(
        device_data='{"apdidToken":"x"}', device_id="D1", store_id="S1", store_name="x"
    )
    peer.fields = {"result": '{"zimId":"z"}'}
    answer = await faces.begin_face(request)
    assert (answer.verdict, answer.device_data) == (Verdict.SUCCEEDED, '{"zimId":"z"}')
    assert answer.expires_in_s > 0
    assert peer.content == {"zimmetainfo": '{"apdidToken":"x"}'}
    peer.fields = {}
    assert (await faces.begin_face(request)).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("sub_code", "verdict", "reason"),
    [
        ("ACQ.TOTAL_FEE_EXCEED", Verdict.DECLINED, DeclineReason.AMOUNT_LIMIT),
        ("ACQ.BIZ_PRODUCT_NOT_ALLOWED", Verdict.DECLINED, DeclineReason.CONFIGURATION),
        ("ACQ.TRADE_HAS_SUCCESS", Verdict.UNKNOWN, None),
        ("ACQ.SYSTEM_ERROR", Verdict.UNKNOWN, None),
        ("ACQ.NEW", Verdict.UNKNOWN, None),
    ],
)
async def test_a_refused_order(
    sub_code: str, verdict: Verdict, reason: DeclineReason | None
) -> None:
    peer = Peer(KEYED)
    peer.fields = {"code": "40004", "sub_code": sub_code}
    answer = await codes(peer).create_code(ORDER)
    assert (answer.verdict, answer.reason, answer.channel_code) == (verdict, reason, sub_code)
    assert answer.unlisted == (sub_code == "ACQ.NEW")


async def test_an_order_that_cannot_be_written_says_so() -> None:
    """It was not sent, and says nothing of Alipay."""
    peer = Peer(KEYED)
    pages = pages_of(peer.channel)
    assert pages is not None
    odd = replace(ORDER, subject="\ud800")
    for answer in (
        await codes(peer).create_code(odd),
        await pages.create_page_order(odd),
        await pages.create_page_order(replace(ORDER, payer_id="")),
    ):
        assert (answer.verdict, answer.unwritable) == (Verdict.NOT_SENT, True)
    assert peer.requests == []


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        (NotSent("no route"), Verdict.NOT_SENT),
        (AnswerLost("cut"), Verdict.UNKNOWN),
        (RuntimeError("defect"), Verdict.UNKNOWN),
    ],
)
async def test_orders_and_shares_that_get_no_answer(fault: Exception, verdict: Verdict) -> None:
    peer = Peer(KEYED)

    def broken(_: object) -> object:
        raise fault

    peer.mutate = broken  # type: ignore[assignment]
    pages, faces, royalties = (
        pages_of(peer.channel),
        faces_of(peer.channel),
        royalties_of(peer.channel),
    )
    assert pages is not None and faces is not None and royalties is not None
    assert (await codes(peer).create_code(ORDER)).verdict is verdict
    assert (await pages.create_page_order(ORDER)).verdict is verdict
    assert (await royalties.share(shares(peer))).verdict is verdict
    assert (await pages.payer_of("c")).verdict is Verdict.UNKNOWN
    face = FaceRequest(device_data="{}", device_id="D", store_id="S", store_name="x")
    assert (await faces.begin_face(face)).verdict is Verdict.UNKNOWN
    wrong = replace(ORDER, amount_fen="19.90")  # type: ignore[arg-type]
    assert (await codes(peer).create_code(wrong)).verdict is Verdict.NOT_SENT


def shares(peer: Peer, *amounts: int) -> RoyaltyRequest:
    ref = replace(ref_of(peer.request()), trade_no="T1")
    given = tuple(
        Share(receiver="2088000000000007", amount_fen=amount, note="rent")
        for amount in amounts or (500, 90)
    )
    return RoyaltyRequest(request_no="Y1", payment=ref, shares=given)


async def test_a_payment_is_shared_under_one_number(peer: Peer) -> None:
    royalties = royalties_of(peer.channel)
    assert royalties is not None
    peer.fields = {"trade_no": "T1", "settle_no": "S9"}
    answer = await royalties.share(shares(peer))
    assert (answer.verdict, answer.settle_no) == (Verdict.SUCCEEDED, "S9")
    assert peer.content["out_request_no"] == "Y1"
    assert [share["amount"] for share in peer.content["royalty_parameters"]] == ["5.00", "0.90"]
    peer.fields = {"trade_no": "OTHER"}
    assert (await royalties.share(shares(peer))).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("amounts", [(1991,), (0,), (-1, 5), (1000, 991)])
async def test_shares_that_do_not_fit_are_not_sent(amounts: tuple[int, ...]) -> None:
    peer = Peer(KEYED)
    royalties = royalties_of(peer.channel)
    assert royalties is not None
    assert (await royalties.share(shares(peer, *amounts))).verdict is Verdict.NOT_SENT
    unnamed = replace(shares(peer), payment=ref_of(peer.request()))
    assert (await royalties.share(unnamed)).verdict is Verdict.NOT_SENT
    assert peer.requests == []


async def test_a_refused_royalty() -> None:
    peer = Peer(KEYED)
    royalties = royalties_of(peer.channel)
    assert royalties is not None
    for sub_code, verdict, advice in (
        ("ACQ.ROYALTY_RECEIVER_INVALID", Verdict.DECLINED, Advice.CONFIGURATION),
        ("ACQ.TXN_RESULT_ACCOUNT_BALANCE_NOT_ENOUGH", Verdict.UNKNOWN, Advice.RETRY_SAME),
        ("ACQ.DUP_OUT_REQUEST_NO", Verdict.UNKNOWN, None),
    ):
        peer.fields = {"code": "40004", "sub_code": sub_code}
        answer = await royalties.share(shares(peer))
        assert (answer.verdict, answer.advice, answer.unlisted) == (verdict, advice, False)


async def test_what_is_shared_later_is_frozen_when_it_is_paid() -> None:
    peer = Peer(KEYED, royalty_freeze="true")
    await peer.channel.pay(peer.request())
    assert peer.content["extend_params"] == {"royalty_freeze": "true"}


@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_a_bill_is_fetched_at_once(peer: Peer, scheme: str, tmp_path: Path) -> None:
    """Over TLS, also where the vendor writes the URL without."""
    bills = bills_of(peer.channel)
    assert bills is not None
    assert bills.bill_kinds == ("trade",)
    peer.fields = {"bill_download_url": f"{scheme}://dwbillcenter.alipay.example/x?a=1"}
    fetched = await bills.fetch_bill("trade", DAY, tmp_path)
    asked, got = peer.requests
    assert (peer.content["bill_type"], peer.content["bill_date"]) == ("trade", "2026-11-20")
    assert asked.method == ("GET" if peer.is_v3 else "POST")
    assert (got.method, got.url) == ("GET", "https://dwbillcenter.alipay.example/x?a=1")
    assert fetched.path.parent == tmp_path
    assert fetched.path.read_bytes() == b"PK\x03\x04 a zip"
    assert len(fetched.sha256) == 64


def test_a_bill_is_due_at_nine_in_beijing_on_the_day_after() -> None:
    bills = bills_of(Peer(KEYED).channel)
    assert bills is not None
    assert bills.bill_due_ms(date(2026, 11, 22)) == 1_795_395_600_000  # 2026-11-23T01:00:00Z


@pytest.mark.parametrize(
    ("sub_code", "day", "fault"),
    [
        ("isp.bill_not_exist", date(2026, 11, 21), BillPending),
        ("BILL_NOT_EXIST", date(2026, 11, 21), BillPending),
        ("isv.bill-not-exist", date(2026, 11, 1), BillAbsent),
        ("NO_BILL_DATA", date(2026, 11, 21), BillAbsent),
        ("INVAILID_ARGUMENTS", date(2026, 11, 21), BillUnavailable),
        ("ACQ.NEW", date(2026, 11, 21), BillUnavailable),
    ],
)
async def test_a_bill_that_is_not_there(
    tmp_path: Path, sub_code: str, day: date, fault: type[Exception]
) -> None:
    peer = Peer(KEYED)
    bills = bills_of(peer.channel)
    assert bills is not None
    peer.fields = {"code": "40004", "sub_code": sub_code}
    with pytest.raises(fault):
        await bills.fetch_bill("trade", day, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("", (200, b"PK")),
        ("http://", (200, b"PK")),
        ("ftp://x", (200, b"PK")),
        ("https://ok.example/x", (403, b"<html>")),
        ("https://ok.example/x", (403, b"PK\x03\x04")),
        ("https://ok.example/x", (200, b"<html>")),
        ("https://ok.example/x", AnswerLost("cut")),
        ("https://ok.example/x", NotSent("no route")),
    ],
)
async def test_a_bill_that_does_not_come_whole(
    tmp_path: Path, url: str, file: tuple[int, bytes] | Exception
) -> None:
    """Nothing is left behind that somebody could take for it."""
    peer = Peer(KEYED)
    bills = bills_of(peer.channel)
    assert bills is not None
    peer.fields, peer.file = {"bill_download_url": url}, file
    with pytest.raises(BillUnavailable):
        await bills.fetch_bill("trade", DAY, tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_another_kind_of_bill_is_not_asked_for(tmp_path: Path) -> None:
    peer = Peer(KEYED)
    bills = bills_of(peer.channel)
    assert bills is not None
    with pytest.raises(BillUnavailable):
        await bills.fetch_bill("../x", DAY, tmp_path)
    assert peer.requests == []
