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

DRESSES = ("key", "certificate", "aes", "token", "certificate and aes")
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


@asynccontextmanager
async def both_ends(
    config: SandboxConfig, ours: AppKeys, theirs: AppKeys, dress: str, transport: str
) -> AsyncIterator[Rig]:
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
    if dress == "token":
        config = changed(config, app_auth_token="202605BBtoken")
        secrets["app_auth_token"] = b"202605BBtoken"
    async with running(config) as sandbox:
        http = HttpClient()
        await http.start()
        site = f"http://127.0.0.1:{sandbox.ports.alipay}"
        account = ChannelAccount(
            account_id="ali1",
            channel="alipay",
            settings={
                "app_id": config.alipay.app_id,
                "gateway_url": f"{site}/gateway.do",
                "authorise_url": f"{site}/oauth2/publicAppAuthorize.htm",
                "seller_id": config.alipay.seller_id,
                "transport": transport,
            },
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


async def test_a_face_pays(plain: Rig) -> None:
    faces = faces_of(plain.channel)
    assert faces is not None
    meta = {"apdidToken": "t", "appName": "a", "appVersion": "1", "bioMetaInfo": "b"}
    begun = await faces.begin_face(
        FaceRequest(device_data=json.dumps(meta), device_id="D1", store_id="S1", store_name="Shop")
    )
    assert begun.verdict is Verdict.SUCCEEDED
    token = ftoken_of(json.loads(begun.device_data)["zimId"])
    assert (await plain.pay(token)).verdict is Verdict.SUCCEEDED


async def test_shares(plain: Rig) -> None:
    paid = await plain.pay(ALIPAY_CODES[Scenario.APPROVED])
    royalties = royalties_of(plain.channel)
    assert royalties is not None
    ref = PaymentRef(
        order_no=NUMBER,
        amount_fen=1990,
        currency="CNY",
        created_at_ms=plain.sandbox.clock.ms,
        trade_no=paid.trade_no,
    )
    request = RoyaltyRequest(
        request_no="SHARE01",
        payment=ref,
        shares=(Share(receiver="2088102100000002", amount_fen=500),),
    )
    for _ in range(2):
        assert (await royalties.share(request)).verdict is Verdict.SUCCEEDED


async def test_the_bill_of_the_day(plain: Rig, tmp_path: Path) -> None:
    await plain.pay(ALIPAY_CODES[Scenario.APPROVED])
    bills = bills_of(plain.channel)
    assert bills is not None
    day = date(2026, 11, 22)
    with pytest.raises(BillPending):
        await bills.fetch_bill("trade", day, tmp_path)
    plain.sandbox.clock.ms += DAY_MS
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
        inbox.read_notice(
            InboundRequest(
                method="POST", path_and_query="/", headers={}, body=delivery.request.body
            )
        )
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
        inbox.read_notice(
            InboundRequest(method="POST", path_and_query="/", headers={}, body=forged.request.body)
        )
