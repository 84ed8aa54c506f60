"""Our adapter against the simulated Alipay in every dress, over both transports.

The two ends were written apart; where they agree, both read the vendor's documents alike.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import ClientSession

from channels.alipay.bill import BILLS
from channels.alipay.plugin import PLUGIN
from channels.bills import BillPending, bills_of
from channels.http import HttpClient
from channels.inbound import InboundRequest, NoticeRefused, PaymentWord, RefundWord, notices_of
from channels.payer_orders import FaceRequest, OrderRequest, codes_of, faces_of, pages_of
from channels.port import (
    Advice,
    ByteLink,
    ChannelAccount,
    ChannelServices,
    LinkReceiver,
    NotSent,
    PaymentRef,
    PayRequest,
    RefundRequest,
    Verdict,
    refunds_of,
)
from channels.royalty import RoyaltyRequest, Share, royalties_of
from gateway.sources import RandomIds
from sandbox.alipay_faces import ftoken_of
from sandbox.alipay_orders import PAYER_ID
from sandbox.config import SandboxConfig
from sandbox.faults import FaultKind, FaultRule
from sandbox.scenarios import ALIPAY_CODES, Scenario
from sandbox.world import World
from tests.sandbox.conftest import AppKeys, RunningSandbox, StandingClock, running
from tests.sandbox.test_alipay_dress import AES_KEY, certified, changed

DRESSES = ("key", "certificate", "aes and token", "certificate, aes and token")
TRANSPORTS = ("v2", "v3")
NUMBER = "ORDER000000000000000000000000001"
DAY_MS = 86_400_000


class Ticking:
    """The sandbox's clock as the adapter's."""

    def __init__(self, clock: StandingClock) -> None:
        self._clock = clock

    def now_ms(self) -> int:
        return self._clock.ms

    def monotonic_s(self) -> float:
        return self._clock.ms / 1000


async def _no_link(_host: str, _port: int, _receiver: LinkReceiver) -> ByteLink:
    raise NotSent("no cards here")


async def _no_sequence(_name: str, _count: int) -> int:
    return 1


class Rig:
    """Both ends: the running sandbox, and one account's adapter."""

    def __init__(self, sandbox: RunningSandbox, channel: Any) -> None:
        self.sandbox = sandbox
        self.channel = channel
        self.ref = PaymentRef(
            order_no=NUMBER, amount_fen=1990, currency="CNY", created_at_ms=sandbox.clock.ms
        )

    async def pay(self, auth_code: str) -> Any:
        return await self.channel.pay(
            PayRequest(
                order_no=NUMBER,
                amount_fen=1990,
                currency="CNY",
                subject="一杯咖啡",
                created_at_ms=self.sandbox.clock.ms,
                auth_code=auth_code,
            )
        )

    def order(self, **more: str) -> OrderRequest:
        now_ms = self.sandbox.clock.ms
        return OrderRequest(
            order_no=NUMBER,
            amount_fen=1990,
            currency="CNY",
            subject="一杯咖啡",
            created_at_ms=now_ms,
            expires_at_ms=now_ms + 600_000,
            **more,
        )

    def refund(self, amount_fen: int, number: str = "REFUND01") -> RefundRequest:
        return RefundRequest(
            refund_no=number,
            payment=self.ref,
            amount_fen=amount_fen,
            currency="CNY",
            reason="cold",
            created_at_ms=self.sandbox.clock.ms,
        )


def dressed(
    config: SandboxConfig, ours: AppKeys, theirs: AppKeys, dress: str
) -> tuple[SandboxConfig, dict[str, bytes]]:
    """One dress at either end: the sandbox's configuration, and an account's secrets."""
    secrets = {"app_private_key": ours.pkcs1.encode()}
    if "certificate" in dress:
        config = certified(config, ours, theirs)
        secrets |= {
            "app_certificate": config.alipay.app_certificate_pem,
            "alipay_certificates": config.alipay.alipay_certificate_pem,
            "alipay_root_certificates": config.alipay.root_certificates_pem,
        }
    else:
        secrets["alipay_public_key"] = theirs.public.encode()
    if "aes" in dress:
        config = changed(config, aes_key=AES_KEY)
        secrets["aes_key"] = AES_KEY.encode()
    if "token" in dress:
        config = changed(config, app_auth_token="202605BBtoken")
        secrets["app_auth_token"] = b"202605BBtoken"
    return config, secrets


def settings_for(sandbox: RunningSandbox, config: SandboxConfig, transport: str) -> dict[str, str]:
    """An account's settings for a running sandbox."""
    site = f"http://127.0.0.1:{sandbox.ports.alipay}"
    return {
        "app_id": config.alipay.app_id,
        "gateway_url": f"{site}/gateway.do",
        "authorise_url": f"{site}/oauth2/publicAppAuthorize.htm",
        "seller_id": config.alipay.seller_id,
        "transport": transport,
        "service_provider_id": "2088000000000009",
    }


@asynccontextmanager
async def both_ends(
    config: SandboxConfig, ours: AppKeys, theirs: AppKeys, dress: str, transport: str
) -> AsyncIterator[Rig]:
    config, secrets = dressed(config, ours, theirs, dress)
    async with running(config) as sandbox:
        http = HttpClient()
        await http.start()
        account = ChannelAccount(
            account_id="ali1",
            channel="alipay",
            settings=settings_for(sandbox, config, transport),
            secrets=secrets,
        )
        services = ChannelServices(
            clock=Ticking(sandbox.clock),
            ids=RandomIds(),
            send=http.send,
            connect=_no_link,
            take_sequence=_no_sequence,
            download=http.download,
        )
        try:
            yield Rig(sandbox, PLUGIN.build(account, services))
        finally:
            await http.close()


@pytest.fixture(params=[(d, t) for d in DRESSES for t in TRANSPORTS], ids="-".join)
async def rig(
    request: pytest.FixtureRequest, config: SandboxConfig, app_keys: AppKeys, alipay_keys: AppKeys
) -> AsyncIterator[Rig]:
    async with both_ends(config, app_keys, alipay_keys, *request.param) as made:
        yield made


@pytest.fixture(params=TRANSPORTS)
async def plain(
    request: pytest.FixtureRequest, config: SandboxConfig, app_keys: AppKeys, alipay_keys: AppKeys
) -> AsyncIterator[Rig]:
    async with both_ends(config, app_keys, alipay_keys, "key", request.param) as made:
        yield made


async def test_paid_asked_about_returned_and_undone(rig: Rig) -> None:
    paid = await rig.pay(ALIPAY_CODES[Scenario.APPROVED])
    assert (paid.verdict, paid.amount_fen, paid.order_no) == (Verdict.SUCCEEDED, 1990, NUMBER)
    found = await rig.channel.query(rig.ref)
    assert (found.verdict, found.amount_fen) == (Verdict.SUCCEEDED, 1990)
    refunds = refunds_of(rig.channel)
    assert refunds is not None
    absent = await refunds.query_refund(rig.refund(990))
    assert (absent.verdict, absent.not_found) == (Verdict.UNKNOWN, True)
    for _ in range(2):
        assert (await refunds.refund(rig.refund(990))).verdict is Verdict.SUCCEEDED
    told = await refunds.query_refund(rig.refund(990))
    assert (told.verdict, told.amount_fen) == (Verdict.SUCCEEDED, 990)
    undone = await rig.channel.cancel(rig.ref)
    assert (undone.verdict, undone.was_paid) == (Verdict.SUCCEEDED, True)
    [charge] = await rig.sandbox.charges()
    assert (charge["charged_fen"], charge["returned_fen"]) == (1990, 1990)


@pytest.mark.parametrize(
    ("scenario", "verdict"),
    [
        (Scenario.DECLINED, Verdict.DECLINED),
        (Scenario.USER_PAYING, Verdict.PENDING),
        (Scenario.LOST_RESPONSE_CHARGED, Verdict.UNKNOWN),
    ],
)
async def test_other_answers(plain: Rig, scenario: Scenario, verdict: Verdict) -> None:
    assert (await plain.pay(ALIPAY_CODES[scenario])).verdict is verdict


ON_DEMAND: dict[str, tuple[Verdict, Advice | None, bool]] = {
    "ACQ.PAYMENT_AUTH_CODE_INVALID": (Verdict.DECLINED, Advice.FRESH_CODE, False),
    "ACQ.MERCHANT_AGREEMENT_INVALID": (Verdict.DECLINED, Advice.CONFIGURATION, False),
    "ACQ.PAYMENT_REQUEST_HAS_RISK": (Verdict.DECLINED, None, False),
    "ACQ.SYSTEM_ERROR": (Verdict.UNKNOWN, None, False),
    "ACQ.TRADE_HAS_SUCCESS": (Verdict.UNKNOWN, None, False),
    "ACQ.BRAND_NEW": (Verdict.UNKNOWN, None, True),
    "20000 isp.unknow-error": (Verdict.UNKNOWN, None, False),
    "10003": (Verdict.PENDING, None, False),
}


async def test_any_code_on_demand(plain: Rig) -> None:
    """Signed and without an effect; over either transport the same word, but for a 5xx."""
    for code, (verdict, advice, unlisted) in ON_DEMAND.items():
        rule = {"kind": "refuse", "match": "alipay.trade.pay", "stage": "before", "code": code}
        await plain.sandbox.control("POST", "/faults", {"channel": "alipay", "rules": [rule]})
        answer = await plain.pay(ALIPAY_CODES[Scenario.APPROVED])
        assert (answer.verdict, answer.advice, answer.unlisted) == (verdict, advice, unlisted), code
    assert await plain.sandbox.charges() == []


async def test_a_cancel_that_wants_to_be_sent_again(plain: Rig) -> None:
    """``retry_flag`` Y on demand, once: no answer, and the next one is."""
    await plain.pay(ALIPAY_CODES[Scenario.APPROVED])
    rule = {"kind": "refuse", "match": "alipay.trade.cancel", "stage": "before", "limit": 1}
    body = {"channel": "alipay", "rules": [{**rule, "code": "RETRY_FLAG"}]}
    await plain.sandbox.control("POST", "/faults", body)
    first = await plain.channel.cancel(plain.ref)
    assert (first.verdict, first.answered) == (Verdict.UNKNOWN, True)
    again = await plain.channel.cancel(plain.ref)
    assert (again.verdict, again.was_paid) == (Verdict.SUCCEEDED, True)


async def test_an_unpaid_trade_too_old_to_cancel_is_closed(rig: Rig) -> None:
    """``alipay.trade.close`` in every dress."""
    assert (await rig.pay(ALIPAY_CODES[Scenario.NEVER_PAYS])).verdict is Verdict.PENDING
    rig.sandbox.clock.ms += 25 * 3_600_000
    undone = await rig.channel.cancel(rig.ref)
    assert (undone.verdict, undone.was_paid, undone.channel_code) == (
        Verdict.SUCCEEDED,
        False,
        "close",
    )


async def test_an_answer_with_a_forged_signature_is_not_believed(rig: Rig) -> None:
    rules = [{"kind": "corrupt", "limit": 1}]
    await rig.sandbox.control("POST", "/faults", {"channel": "alipay", "rules": rules})
    assert (await rig.pay(ALIPAY_CODES[Scenario.APPROVED])).verdict is Verdict.UNKNOWN
    assert (await rig.channel.query(rig.ref)).verdict is Verdict.SUCCEEDED


async def test_a_code_is_scanned(rig: Rig) -> None:
    codes = codes_of(rig.channel)
    assert codes is not None
    made = await codes.create_code(rig.order())
    assert (made.verdict, made.code[:22]) == (Verdict.SUCCEEDED, "https://qr.alipay.com/")
    assert (await rig.channel.query(rig.ref)).not_found
    status, _ = await rig.sandbox.control("POST", "/pay", {"code": made.code})
    assert status == 200
    assert (await rig.channel.query(rig.ref)).verdict is Verdict.SUCCEEDED


async def test_a_page_is_paid_by_who_opened_it(rig: Rig) -> None:
    pages = pages_of(rig.channel)
    assert pages is not None
    url = pages.authorise_url("http://shop.invalid/pay", "s1")
    async with ClientSession() as http, http.get(url, allow_redirects=False) as answer:
        back = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert back["state"] == ["s1"]
    payer = await pages.payer_of(back["auth_code"][0])
    assert (payer.verdict, payer.payer_id) == (Verdict.SUCCEEDED, PAYER_ID)
    assert (await pages.payer_of(back["auth_code"][0])).verdict is not Verdict.SUCCEEDED
    made = await pages.create_page_order(rig.order(payer_id=payer.payer_id))
    assert made.verdict is Verdict.SUCCEEDED
    [trade_no] = made.parameters.values()
    status, _ = await rig.sandbox.control("POST", "/pay", {"order": trade_no})
    assert status == 200
    assert (await rig.channel.query(rig.ref)).verdict is Verdict.SUCCEEDED


async def test_a_face_pays(rig: Rig) -> None:
    faces = faces_of(rig.channel)
    assert faces is not None
    meta = {"apdidToken": "t", "appName": "a", "appVersion": "1", "bioMetaInfo": "b"}
    begun = await faces.begin_face(
        FaceRequest(device_data=json.dumps(meta), device_id="D1", store_id="S1", store_name="Shop")
    )
    assert begun.verdict is Verdict.SUCCEEDED
    token = ftoken_of(json.loads(begun.device_data)["zimId"])
    assert (await rig.pay(token)).verdict is Verdict.SUCCEEDED


async def test_shares(rig: Rig) -> None:
    paid = await rig.pay(ALIPAY_CODES[Scenario.APPROVED])
    royalties = royalties_of(rig.channel)
    assert royalties is not None
    ref = PaymentRef(
        order_no=NUMBER,
        amount_fen=1990,
        currency="CNY",
        created_at_ms=rig.sandbox.clock.ms,
        trade_no=paid.trade_no,
    )
    request = RoyaltyRequest(
        request_no="SHARE01",
        payment=ref,
        shares=(Share(receiver="2088102100000002", amount_fen=500),),
    )
    for _ in range(2):
        assert (await royalties.share(request)).verdict is Verdict.SUCCEEDED


async def test_the_bill_of_the_day(rig: Rig, tmp_path: Path) -> None:
    await rig.pay(ALIPAY_CODES[Scenario.APPROVED])
    bills = bills_of(rig.channel)
    assert bills is not None
    day = date(2026, 11, 22)
    with pytest.raises(BillPending):
        await bills.fetch_bill("trade", day, tmp_path)
    rig.sandbox.clock.ms += DAY_MS
    fetched = await bills.fetch_bill("trade", day, tmp_path)
    reader = BILLS.open("trade", fetched.path, day)
    rows = [row for batch in reader for row in batch.to_pylist()]
    assert [(row["order_no"], row["amount_fen"]) for row in rows] == [(NUMBER, 1990)]
    assert reader.totals().footer_agrees


async def test_what_is_told_is_read(plain: Rig, world: World) -> None:
    """The sandbox's notices, as they would be posted, through the adapter's reading."""
    state, now_ms = world.alipay_state, plain.sandbox.clock.ms
    trade = state.books.open(NUMBER, 1990, "Tea", "", now_ms, now_ms, notify_url="http://shop/")
    trade.give_back("REFUND01", 990, now_ms)
    world.tick(now_ms)
    inbox = notices_of(plain.channel)
    assert inbox is not None
    paid, returned = (
        inbox.read_notice(InboundRequest(method="POST", headers={}, body=delivery.request.body))
        for delivery in world.notifier.due(now_ms)
    )
    assert isinstance(paid, PaymentWord)
    assert isinstance(returned, RefundWord)
    assert (paid.order_no, returned.refund_no) == (NUMBER, "REFUND01")
    world.faults["alipay.notify"].replace([FaultRule(kind=FaultKind.CORRUPT)])
    trade.give_back("REFUND02", 500, now_ms)
    world.tick(now_ms)
    [forged] = world.notifier.due(now_ms)
    with pytest.raises(NoticeRefused):
        inbox.read_notice(InboundRequest(method="POST", headers={}, body=forged.request.body))
