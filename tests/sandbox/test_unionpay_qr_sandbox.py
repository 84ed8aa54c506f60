"""Our adapter and the simulated UnionPay, two ends written apart, joined without a socket."""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from channels.bills import BillPending
from channels.inbound import InboundRequest, NoticeRefused, PaymentWord, RefundWord
from channels.payer_orders import OrderRequest
from channels.port import (
    AnswerLost,
    ChannelAccount,
    HttpRequest,
    HttpResponse,
    PaymentRef,
    PayRequest,
    RefundRequest,
    Verdict,
)
from channels.unionpay.files import BILLS
from channels.unionpay.qr_adapter import UnionPayQrChannel
from channels.unionpay.qr_plugin import PLUGIN
from gateway.cli.acp_ca import (
    MERCHANT_FILE,
    MERCHANT_PFX_FILE,
    MIDDLE_FILE,
    PFX_PASSWORD,
    ROOT_FILE,
    SIGNER_NAME,
    UNIONPAY_FILE,
    UNIONPAY_KEY_FILE,
    write_acp_files,
)
from sandbox.config import (
    AlipaySandboxConfig,
    CardHostConfig,
    SandboxConfig,
    UnionPayQrSandboxConfig,
)
from sandbox.faults import FaultKind, FaultRule, Stage
from sandbox.http_wire import HttpRequest as Visit
from sandbox.scenarios import UNIONPAY_QR_CODES, Scenario
from sandbox.unionpay_qr_site import AUTHORISE_PATH
from sandbox.unionpay_qr_site import handle as visit
from sandbox.wallet import Payer
from sandbox.world import UNIONPAY_QR, World
from tests.channels.rigs import CountedIds, FixedClock, private_pem, public_pem, rsa_key, services

MER_ID = "990000000000077"
NOON_MS = 1_795_320_000_000  # 2026-11-22 12:00:00 in Beijing
BACK_URL = "https://pos.example.com/notify/unionpay_qr/up1"


@dataclass
class Joined:
    """Both ends, and the clock they share."""

    world: World
    channel: UnionPayQrChannel
    clock: FixedClock

    def request(self, scenario: Scenario = Scenario.APPROVED) -> PayRequest:
        return PayRequest(
            order_no=self.channel.new_order_no(),
            amount_fen=1990,
            currency="CNY",
            subject="Tea",
            created_at_ms=self.clock.ms,
            auth_code=UNIONPAY_QR_CODES[scenario],
        )

    def refund(self, payment: PaymentRef, amount_fen: int) -> RefundRequest:
        return RefundRequest(
            refund_no=self.channel.new_refund_no(),
            payment=payment,
            amount_fen=amount_fen,
            currency="CNY",
            reason="",
            created_at_ms=self.clock.ms,
        )

    def money(self, order_no: str) -> tuple[int, int]:
        """What the simulated UnionPay took and gave back."""
        for charge in self.world.charges(self.clock.ms):
            if (charge["channel"], charge["order_no"]) == (UNIONPAY_QR, order_no):
                return charge["charged_fen"], charge["returned_fen"]
        return 0, 0


@pytest.fixture(scope="session")
def acp_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("acp")
    now = datetime.datetime.fromtimestamp(NOON_MS / 1000, datetime.UTC)
    write_acp_files(folder, MER_ID, now)
    return folder


@pytest.fixture
def joined(acp_folder: Path) -> Iterator[Joined]:
    world = World(
        SandboxConfig(
            alipay=AlipaySandboxConfig(
                app_id="app1",
                app_public_key_pem=public_pem(rsa_key("app")),
                alipay_private_key_pem=private_pem(rsa_key("alipay")),
            ),
            card=CardHostConfig(links=()),
            unionpay_qr=UnionPayQrSandboxConfig(
                mer_id=MER_ID,
                merchant_certificate_pem=(acp_folder / MERCHANT_FILE).read_bytes(),
                unionpay_private_key_pem=(acp_folder / UNIONPAY_KEY_FILE).read_bytes(),
                unionpay_certificate_pem=(acp_folder / UNIONPAY_FILE).read_bytes(),
            ),
        ),
        bytes,
    )
    clock = FixedClock(NOON_MS)
    state = world.unionpay_qr_state
    assert state is not None

    async def send(request: HttpRequest) -> HttpResponse:
        effect = world.unionpay_qr(state, request.body, clock.ms)
        if not effect.answer:
            raise AnswerLost("nothing came")
        return HttpResponse(200, {}, effect.answer)

    async def download(request: HttpRequest, path: Path, max_bytes: int) -> HttpResponse:
        path.write_bytes((await send(request)).body)
        return HttpResponse(200, {}, b"")

    account = ChannelAccount(
        account_id="up1",
        channel="unionpay_qr",
        settings={
            "base_url": "http://127.0.0.1:1",
            "file_url": "http://127.0.0.1:1",
            "mer_id": MER_ID,
            "root_certificate": (acp_folder / ROOT_FILE).read_text(),
            "middle_certificate": (acp_folder / MIDDLE_FILE).read_text(),
            "signer_name": SIGNER_NAME,
            "back_url": BACK_URL,
        },
        secrets={
            "sign_key": (acp_folder / MERCHANT_PFX_FILE).read_bytes(),
            "sign_password": PFX_PASSWORD.encode(),
        },
    )
    lent = services(send=send, download=download, clock=clock, ids=CountedIds())
    channel = PLUGIN.build(account, lent)
    assert isinstance(channel, UnionPayQrChannel)
    yield Joined(world, channel, clock)


def ref_of(request: PayRequest, **known: object) -> PaymentRef:
    plain = PaymentRef(
        order_no=request.order_no,
        amount_fen=request.amount_fen,
        currency=request.currency,
        created_at_ms=request.created_at_ms,
    )
    return replace(plain, **known)  # type: ignore[arg-type]  # named by the test


async def test_a_sale_is_accepted_then_found_paid(joined: Joined) -> None:
    request = joined.request()
    assert (await joined.channel.pay(request)).verdict is Verdict.PENDING
    paid = await joined.channel.query(ref_of(request))
    assert (paid.verdict, paid.amount_fen, paid.currency) == (Verdict.SUCCEEDED, 1990, "CNY")
    assert paid.paid_at_ms == NOON_MS
    assert len(paid.trade_no) == 21
    assert joined.money(request.order_no) == (1990, 0)


async def test_the_scenarios_of_the_till(joined: Joined) -> None:
    """Paid later, refused, lost with and without the money, never paid."""
    later = joined.request(Scenario.USER_PAYING)
    await joined.channel.pay(later)
    assert (await joined.channel.query(ref_of(later))).verdict is Verdict.PENDING
    refused = await joined.channel.pay(joined.request(Scenario.DECLINED))
    assert (refused.verdict, refused.channel_code) == (Verdict.DECLINED, "64")
    lost = joined.request(Scenario.LOST_RESPONSE_CHARGED)
    assert (await joined.channel.pay(lost)).verdict is Verdict.UNKNOWN
    assert (await joined.channel.query(ref_of(lost))).verdict is Verdict.SUCCEEDED
    gone = joined.request(Scenario.LOST_RESPONSE_NOT_CHARGED)
    assert (await joined.channel.pay(gone)).verdict is Verdict.UNKNOWN
    assert (await joined.channel.query(ref_of(gone))).not_found
    never = joined.request(Scenario.NEVER_PAYS)
    await joined.channel.pay(never)
    joined.clock.ms += 60_000
    assert (await joined.channel.query(ref_of(later))).verdict is Verdict.SUCCEEDED
    assert (await joined.channel.query(ref_of(never))).verdict is Verdict.PENDING
    for request in (gone, never):
        undone = await joined.channel.cancel(ref_of(request))
        assert undone.verdict is Verdict.SUCCEEDED
        assert joined.money(request.order_no) == (0, 0)


async def test_a_reversal_gives_the_money_back_once_and_a_late_payer_pays_nothing(
    joined: Joined,
) -> None:
    request = joined.request()
    await joined.channel.pay(request)
    for _ in range(2):
        assert (await joined.channel.cancel(ref_of(request))).verdict is Verdict.SUCCEEDED
        assert joined.money(request.order_no) == (1990, 1990)
    slow = joined.request(Scenario.USER_PAYING)
    await joined.channel.pay(slow)
    await joined.channel.cancel(ref_of(slow))
    joined.clock.ms += 60_000
    assert joined.money(slow.order_no) == (0, 0)
    assert (await joined.channel.query(ref_of(slow))).verdict is not Verdict.SUCCEEDED


async def test_after_the_clearing_day_the_undo_is_a_refund_and_its_repeat_moves_nothing(
    joined: Joined,
) -> None:
    """The first is only accepted; the next call finds it done."""
    request = joined.request()
    await joined.channel.pay(request)
    joined.clock.ms += 12 * 3600 * 1000
    assert (await joined.channel.cancel(ref_of(request))).verdict is Verdict.UNKNOWN
    joined.clock.ms += 2_000
    assert (await joined.channel.cancel(ref_of(request))).verdict is Verdict.UNKNOWN  # duplicate
    assert joined.money(request.order_no) == (1990, 1990)


async def test_voids_and_refunds_are_accepted_first(joined: Joined) -> None:
    request = joined.request()
    await joined.channel.pay(request)
    paid = await joined.channel.query(ref_of(request))
    known = ref_of(request, trade_no=paid.trade_no)
    part = joined.refund(known, 500)
    assert (await joined.channel.refund(part)).verdict is Verdict.PENDING
    assert (await joined.channel.query_refund(part)).verdict is Verdict.PENDING
    assert joined.money(request.order_no) == (1990, 0)
    joined.clock.ms += 1_000
    done = await joined.channel.query_refund(part)
    assert (done.verdict, done.amount_fen) == (Verdict.SUCCEEDED, 500)
    assert joined.money(request.order_no) == (1990, 500)
    over = await joined.channel.refund(joined.refund(known, 1491))
    assert over.verdict is Verdict.DECLINED
    again = await joined.channel.refund(part)
    assert (again.verdict, again.channel_code) == (Verdict.UNKNOWN, "12")
    whole = joined.request()
    await joined.channel.pay(whole)
    void = joined.refund(ref_of(whole), 1990)
    assert (await joined.channel.refund(void)).verdict is Verdict.PENDING
    joined.clock.ms += 1_000
    assert (await joined.channel.query_refund(void)).verdict is Verdict.SUCCEEDED
    assert joined.money(whole.order_no) == (1990, 1990)


async def test_faults_on_demand(joined: Joined) -> None:
    """Silence before and after the charge, and an answer with another signature."""
    faults = joined.world.faults[UNIONPAY_QR]
    for stage, charged_fen in ((Stage.BEFORE, 0), (Stage.AFTER, 1990)):
        faults.replace([FaultRule(kind=FaultKind.DROP, match="01/06", stage=stage)])
        request = joined.request()
        assert (await joined.channel.pay(request)).verdict is Verdict.UNKNOWN
        assert joined.money(request.order_no) == (charged_fen, 0)
    faults.replace([FaultRule(kind=FaultKind.CORRUPT)])
    request = joined.request()
    assert (await joined.channel.pay(request)).verdict is Verdict.UNKNOWN
    assert (await joined.channel.query(ref_of(request))).verdict is Verdict.UNKNOWN
    faults.replace([])
    assert (await joined.channel.query(ref_of(request))).verdict is Verdict.SUCCEEDED


def told(joined: Joined) -> list[bytes]:
    """The bodies that are to be posted to our door now."""
    joined.world.tick(joined.clock.ms)
    bodies = []
    for delivery in joined.world.notifier.due(joined.clock.ms):
        assert delivery.url == BACK_URL
        bodies.append(delivery.request.body)
    return bodies


def heard(joined: Joined, body: bytes) -> object:
    request = InboundRequest(method="POST", headers={}, body=body)
    return joined.channel.read_notice(request)


async def test_what_is_done_is_told_and_what_failed_is_not(joined: Joined) -> None:
    paid, refused = joined.request(), joined.request(Scenario.DECLINED)
    await joined.channel.pay(paid)
    await joined.channel.pay(refused)
    (body,) = told(joined)
    word = heard(joined, body)
    assert isinstance(word, PaymentWord)
    assert (word.order_no, word.ask_first) == (paid.order_no, True)
    refund = joined.refund(ref_of(paid), 500)
    await joined.channel.refund(refund)
    joined.clock.ms += 1_000
    (body,) = told(joined)
    back = heard(joined, body)
    assert isinstance(back, RefundWord)
    assert (back.order_no, back.refund_no) == (paid.order_no, refund.refund_no)


async def test_a_forged_notice_is_refused_and_a_lying_one_is_asked_about(joined: Joined) -> None:
    plan = joined.world.faults[f"{UNIONPAY_QR}.notify"]
    plan.replace([FaultRule(kind=FaultKind.CORRUPT)])
    await joined.channel.pay(joined.request())
    (body,) = told(joined)
    with pytest.raises(NoticeRefused):
        heard(joined, body)
    plan.replace([FaultRule(kind=FaultKind.WRONG_AMOUNT)])
    request = joined.request()
    await joined.channel.pay(request)
    (body,) = told(joined)
    assert dict(parse_qsl(body.decode()))["txnAmt"] != "1990"
    word = heard(joined, body)
    assert isinstance(word, PaymentWord)
    assert word.ask_first
    assert (await joined.channel.query(ref_of(request))).amount_fen == 1990


def order(joined: Joined, **more: str) -> OrderRequest:
    plain = OrderRequest(
        order_no=joined.channel.new_order_no(),
        amount_fen=1990,
        currency="CNY",
        subject="Tea",
        created_at_ms=joined.clock.ms,
        expires_at_ms=joined.clock.ms + 900_000,
    )
    return replace(plain, **more)  # type: ignore[arg-type]  # named by the test


async def test_a_payer_scans_a_code_and_another_pays_on_a_page(joined: Joined) -> None:
    shown = order(joined)
    code = await joined.channel.create_code(shown)
    again = await joined.channel.create_code(shown)
    assert (code.verdict, code.code) == (Verdict.SUCCEEDED, again.code)
    payment = PaymentRef(
        order_no=shown.order_no, amount_fen=1990, currency="CNY", created_at_ms=shown.created_at_ms
    )
    assert (await joined.channel.query(payment)).verdict is Verdict.PENDING
    answer = joined.world.pay(Payer(code=code.code), joined.clock.ms)
    assert answer is not None
    assert (answer.channel, answer.paid) == (UNIONPAY_QR, True)
    assert (await joined.channel.query(payment)).verdict is Verdict.SUCCEEDED
    url = joined.channel.authorise_url("https://pos.example.com/pay", "abc")
    assert url.startswith("https://qr.95516.com")
    seen = visit(Visit("GET", AUTHORISE_PATH, url.partition("?")[2].encode(), b"", True))
    assert b"userAuthCode=payer0001" in seen.effect.answer
    payer = await joined.channel.payer_of("payer0001")
    page = await joined.channel.create_page_order(order(joined, payer_id=payer.payer_id))
    assert page.verdict is Verdict.SUCCEEDED
    stranger = joined.world.pay(Payer(code=page.page_url, payer_id="user-x"), joined.clock.ms)
    assert stranger is not None
    assert not stranger.paid
    paid = joined.world.pay(Payer(code=page.page_url), joined.clock.ms)
    assert paid is not None
    assert paid.paid


async def test_the_days_file_is_made_of_the_charges_and_reads_as_they_are(
    joined: Joined, tmp_path: Path
) -> None:
    day = datetime.date(2026, 11, 22)
    with pytest.raises(BillPending):
        await joined.channel.fetch_bill("zm", day, tmp_path)
    requests = [joined.request() for _ in range(4)]
    for request in requests:
        await joined.channel.pay(request)
    refund = joined.refund(ref_of(requests[0]), 990)
    await joined.channel.refund(refund)
    await joined.channel.cancel(ref_of(requests[3]))
    joined.clock.ms += 1_000
    fetched = await joined.channel.fetch_bill("zm", day, tmp_path)
    assert BILLS.kind_of(fetched.path) == "zm"
    reader = BILLS.open("zm", fetched.path, day)
    rows = [row for batch in reader for row in batch.to_pylist()]
    totals = reader.totals()
    assert (totals.payments, totals.payments_fen) == (3, 3 * 1990)
    assert (totals.refunds, totals.refunds_fen, totals.footer_agrees) == (1, 990, True)
    assert totals.fee_mfen == (3 * 12 - 6) * 1000
    assert {row["order_no"] for row in rows} == {r.order_no for r in requests[:3]}
    assert [row["refund_no"] for row in rows if row["kind"] == "refund"] == [refund.refund_no]
    assert all(row["at_ms"] == NOON_MS for row in rows)


async def test_whoever_is_not_the_merchant_moves_nothing(joined: Joined) -> None:
    """An unsigned, altered or unreadable request is answered and nothing is done."""
    state = joined.world.unionpay_qr_state
    assert state is not None
    for body in (b"", b"a=1&a=2", b"txnType=01&txnSubType=06&merId=990000000000077"):
        effect = joined.world.unionpay_qr(state, body, joined.clock.ms)
        assert b"respCode=1" in effect.answer
    assert joined.world.charges(joined.clock.ms) == []
