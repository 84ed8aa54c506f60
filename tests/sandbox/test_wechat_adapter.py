"""The WeChat Pay adapter against the simulated WeChat Pay: both ends were written apart.

No socket: the adapter's ``send`` hands its request to the simulator, and reads the bytes that
come back. The till's codes run over APIv2 and over APIv3's codepay, as a merchant and as a
service provider.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from random import Random
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from channels.bills import BillPending
from channels.payer_orders import FaceRequest, OrderRequest
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
from channels.wechat.adapter import WechatChannel
from channels.wechat.bill import BILLS
from channels.wechat.plugin import PLUGIN
from domain.clock import beijing
from domain.decline import DeclineReason
from sandbox.config import SandboxConfig, WeChatNationalKeys
from sandbox.http_wire import HttpRequest as SimulatedRequest
from sandbox.scenarios import FACE_CODE_PREFIX, WECHAT_CODES, Scenario
from sandbox.wechat_bill import BillWanted, bill_text
from sandbox.world import World
from tests.channels.rigs import CountedIds, FixedClock, services
from tests.sandbox.conftest import NOON_MS
from tests.sandbox.wechat_rig import (
    API_V2_KEY,
    APIV3_KEY,
    APP_SECRET,
    APPID,
    MCHID,
    PUBLIC_KEY_ID,
    SUB_MCHID,
    private,
    reply_of,
    wechat_kit,
)

BASE_URL = "http://127.0.0.1:1"
OK, U, D, P = Verdict.SUCCEEDED, Verdict.UNKNOWN, Verdict.DECLINED, Verdict.PENDING
WAYS = {
    "micropay": {},
    "micropay with MD5": {"sign_type": "MD5"},
    "micropay of a provider": {"sub_mchid": SUB_MCHID},
    "codepay": {"codepay": "true"},
    "codepay of a provider": {"codepay": "true", "sub_mchid": SUB_MCHID},
}


class Shop:
    """A merchant's channel before a simulated WeChat Pay with a clock of its own."""

    def __init__(
        self,
        config: SandboxConfig,
        national: WeChatNationalKeys | None = None,
        sealed: Mapping[str, bytes] | None = None,
        **settings: str,
    ) -> None:
        kit = wechat_kit()
        simulated = replace(kit.config, bills_at_once=True, national=national)
        self.simulated = simulated
        self.world = World(replace(config, wechat=simulated), Random(1).randbytes)
        self.clock = FixedClock(NOON_MS)
        self.lost = 0
        self.requests: list[str] = []
        named = {
            "base_url": BASE_URL,
            "face_url": BASE_URL,
            "oauth_api": BASE_URL,
            "oauth_page": BASE_URL + "/connect/oauth2/authorize",
            "appid": APPID,
            "mchid": MCHID,
            "merchant_serial": kit.serial,
            "platform_public_key_id": PUBLIC_KEY_ID,
            "certificates_refresh_s": "0",
            "notify_url": "https://shop.example/notify/wechat/wx1",
            **settings,
        }
        secrets = {
            "merchant_private_key": private(kit.merchant),
            "apiv3_key": APIV3_KEY.encode(),
            "api_v2_key": API_V2_KEY.encode(),
            "app_secret": APP_SECRET.encode(),
            "client_certificate": kit.merchant_pem,
            "platform_public_key": kit.public_key if named["platform_public_key_id"] else b"",
        }
        account = ChannelAccount(
            account_id="wx1",
            channel="wechat",
            settings=named,
            secrets=secrets | dict(sealed or {}),
        )
        lent = services(send=self.send, download=self.download, clock=self.clock, ids=CountedIds())
        self.account = account
        channel = PLUGIN.build(account, lent)
        assert isinstance(channel, WechatChannel)
        self.channel = channel
        self.method = "auth_code"

    async def send(self, request: HttpRequest) -> HttpResponse:
        parts = urlsplit(request.url)
        self.requests.append(parts.path)
        shown = wechat_kit().merchant_certificate.public_bytes(Encoding.DER)
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        effect = self.world.wechat(
            SimulatedRequest(
                request.method,
                parts.path,
                parts.query.encode(),
                request.body,
                True,
                f"{head}Host: 127.0.0.1:1\r\n".encode(),
                shown if request.identity is not None else b"",
            ),
            self.clock.ms,
        )
        if not effect.answer:
            raise AnswerLost("hung up")
        reply = reply_of(effect)
        return HttpResponse(reply.status, reply.headers, reply.body)

    async def download(self, request: HttpRequest, path: Path, max_bytes: int) -> HttpResponse:
        answer = await self.send(request)
        path.write_bytes(answer.body)
        return replace(answer, body=b"")

    def request(self, scenario: Scenario = Scenario.APPROVED, **more: object) -> PayRequest:
        request = PayRequest(
            order_no=self.channel.new_order_no(),
            amount_fen=1990,
            currency="CNY",
            subject="门店-消费 <A&B> ]]>",
            created_at_ms=self.clock.ms,
            auth_code=WECHAT_CODES[scenario],
            store_id="S1",
            terminal_id="77000001",
        )
        return replace(request, **more)  # type: ignore[arg-type]  # a test's changes

    def ref(self, order_no: str) -> PaymentRef:
        return PaymentRef(
            order_no=order_no,
            amount_fen=1990,
            currency="CNY",
            created_at_ms=self.clock.ms,
            method=self.method,
        )

    def order(self, **more: object) -> OrderRequest:
        made = OrderRequest(
            order_no=self.channel.new_order_no(),
            amount_fen=1990,
            currency="CNY",
            subject="Tea",
            created_at_ms=self.clock.ms,
            expires_at_ms=self.clock.ms + 300_000,
        )
        return replace(made, **more)  # type: ignore[arg-type]  # a test's changes

    def refund_request(self, order_no: str, amount_fen: int) -> RefundRequest:
        return RefundRequest(
            refund_no=self.channel.new_refund_no(),
            payment=self.ref(order_no),
            amount_fen=amount_fen,
            currency="CNY",
            reason="a broken cup",
            created_at_ms=self.clock.ms,
        )

    def charge(self, order_no: str) -> tuple[int, int] | None:
        """What the simulator took and gave back under a number."""
        for one in self.world.charges(self.clock.ms):
            if one["order_no"] == order_no:
                return one["charged_fen"], one["returned_fen"]
        return None


@pytest.fixture(params=WAYS)
def shop(request: pytest.FixtureRequest, config: SandboxConfig) -> Shop:
    return Shop(config, None, None, **WAYS[request.param])


async def test_paid_asked_about_and_reversed(shop: Shop) -> None:
    request = shop.request()
    answer = await shop.channel.pay(request)
    assert (answer.verdict, answer.amount_fen, answer.currency) == (OK, 1990, "CNY")
    found = await shop.channel.query(shop.ref(request.order_no))
    assert (found.verdict, found.trade_no) == (OK, answer.trade_no)
    assert found.paid_at_ms // 1000 == NOON_MS // 1000
    shop.clock.ms += 16_000
    undone = await shop.channel.cancel(shop.ref(request.order_no))
    assert (undone.verdict, undone.was_paid) == (OK, True)
    assert shop.charge(request.order_no) == (1990, 1990)
    again = await shop.channel.cancel(shop.ref(request.order_no))
    assert (again.verdict, shop.charge(request.order_no)) == (OK, (1990, 1990))


async def test_refused(shop: Shop) -> None:
    request = shop.request(Scenario.DECLINED)
    answer = await shop.channel.pay(request)
    assert (answer.verdict, answer.reason) == (D, DeclineReason.INSUFFICIENT_FUNDS)
    assert shop.charge(request.order_no) in (None, (0, 0))


async def test_a_payer_who_types_a_password(shop: Shop) -> None:
    request = shop.request(Scenario.USER_PAYING)
    assert (await shop.channel.pay(request)).verdict is P
    assert (await shop.channel.query(shop.ref(request.order_no))).verdict is P
    shop.clock.ms += 9_000
    assert (await shop.channel.query(shop.ref(request.order_no))).verdict is OK


async def test_a_payer_who_never_does_is_reversed_once_wechat_pay_allows_it(shop: Shop) -> None:
    """Not while 15 s have not passed, and not while the payer still may pay."""
    request = shop.request(Scenario.NEVER_PAYS)
    assert (await shop.channel.pay(request)).verdict is P
    assert (await shop.channel.cancel(shop.ref(request.order_no))).verdict is U
    shop.clock.ms += 16_000
    assert (await shop.channel.cancel(shop.ref(request.order_no))).verdict is U
    shop.clock.ms += 60_000
    undone = await shop.channel.cancel(shop.ref(request.order_no))
    assert (undone.verdict, undone.was_paid) == (OK, None)
    assert shop.charge(request.order_no) in (None, (0, 0))


async def test_a_lost_answer_is_asked_about(shop: Shop) -> None:
    charged = shop.request(Scenario.LOST_RESPONSE_CHARGED)
    assert (await shop.channel.pay(charged)).verdict is U
    assert (await shop.channel.query(shop.ref(charged.order_no))).verdict is OK
    free = shop.request(Scenario.LOST_RESPONSE_NOT_CHARGED)
    assert (await shop.channel.pay(free)).verdict is U
    asked = await shop.channel.query(shop.ref(free.order_no))
    assert asked.verdict in (U, P)
    shop.clock.ms += 16_000
    assert (await shop.channel.cancel(shop.ref(free.order_no))).verdict is OK
    assert shop.charge(free.order_no) in (None, (0, 0))
    late = await shop.channel.pay(replace(free, auth_code=WECHAT_CODES[Scenario.APPROVED]))
    assert late.verdict is U
    assert shop.charge(free.order_no) in (None, (0, 0))


@pytest.mark.parametrize("api", ["v3", "v2"])
async def test_refunds_in_parts_and_never_beyond(config: SandboxConfig, api: str) -> None:
    shop = Shop(config, refund_api=api)
    paid = shop.request()
    await shop.channel.pay(paid)
    for part_fen in (500, 1490):
        request = shop.refund_request(paid.order_no, part_fen)
        unknown = await shop.channel.query_refund(request)
        assert (unknown.verdict, unknown.not_found) == (U, True)
        assert (await shop.channel.refund(request)).verdict is P
        shop.clock.ms += 2_000
        assert (await shop.channel.refund(request)).verdict in (OK, P)
        found = await shop.channel.query_refund(request)
        assert (found.verdict, found.amount_fen) == (OK, part_fen)
    over = await shop.channel.refund(shop.refund_request(paid.order_no, 1))
    assert over.verdict is D
    assert shop.charge(paid.order_no) == (1990, 1990)


async def test_what_is_too_old_for_a_reversal_is_refunded(config: SandboxConfig) -> None:
    shop = Shop(config)
    paid = shop.request()
    await shop.channel.pay(paid)
    shop.clock.ms += 8 * 86_400_000
    assert (await shop.channel.cancel(shop.ref(paid.order_no))).verdict is U
    shop.clock.ms += 2_000
    undone = await shop.channel.cancel(shop.ref(paid.order_no))
    assert (undone.verdict, undone.was_paid) == (OK, True)
    assert shop.charge(paid.order_no) == (1990, 1990)


@pytest.mark.parametrize("provider", ["", SUB_MCHID])
async def test_a_payers_orders_are_made_and_closed(config: SandboxConfig, provider: str) -> None:
    shop = Shop(config, sub_mchid=provider)
    shop.method = "qr"
    order = shop.order()
    for _ in range(2):  # made again under the same number, it is the same
        made = await shop.channel.create_code(order)
        assert (made.verdict, made.code[:9]) == (OK, "weixin://")
    assert (await shop.channel.query(shop.ref(order.order_no))).verdict is P
    undone = await shop.channel.cancel(shop.ref(order.order_no))
    assert (undone.verdict, undone.was_paid) == (OK, False)
    assert (await shop.channel.query(shop.ref(order.order_no))).verdict is D
    never = await shop.channel.cancel(shop.ref(shop.channel.new_order_no()))
    assert (never.verdict, never.was_paid) == (OK, False)


async def test_a_page_knows_its_payer_and_is_signed(config: SandboxConfig) -> None:
    shop = Shop(config)
    sent_to = shop.channel.authorise_url("https://pay.example/back?a=1", "S1")
    answer = await shop.send(
        HttpRequest(method="GET", url=sent_to, headers={}, body=b"", timeout_s=1)
    )
    back = parse_qs(urlsplit(answer.headers["location"]).query)
    assert (back["state"], back["a"]) == (["S1"], ["1"])
    payer = await shop.channel.payer_of(back["code"][0])
    assert (payer.verdict, payer.payer_id[:1]) == (OK, "o")
    assert (await shop.channel.payer_of(back["code"][0])).verdict is U
    made = await shop.channel.create_page_order(shop.order(payer_id=payer.payer_id))
    assert (made.verdict, made.parameters["signType"]) == (OK, "RSA")
    page = await shop.channel.create_page_order(shop.order(payer_ip="10.0.0.1"))
    assert (page.verdict, page.page_url[:8]) == (OK, "https://")


@pytest.mark.parametrize("provider", ["", SUB_MCHID])
async def test_an_app_orders_and_its_order_is_closed(config: SandboxConfig, provider: str) -> None:
    shop = Shop(config, sub_mchid=provider)
    shop.method, order = "app", shop.order()
    made = await shop.channel.create_app_order(order)
    assert (made.verdict, made.parameters["package"]) == (OK, "Sign=WXPay")
    assert (await shop.channel.query(shop.ref(order.order_no))).verdict is P
    assert (await shop.channel.cancel(shop.ref(order.order_no))).was_paid is False


async def test_by_either_number(shop: Shop) -> None:
    request = shop.request()
    paid = await shop.channel.pay(request)
    theirs = replace(shop.ref(""), trade_no=paid.trade_no)
    found = await shop.channel.query(theirs)
    assert (found.verdict, found.order_no, found.amount_fen) == (OK, request.order_no, 1990)
    assert (await shop.channel.query(replace(theirs, trade_no="42000"))).verdict is U


async def test_a_face_begins_pays_and_is_reversed(config: SandboxConfig) -> None:
    shop = Shop(config)
    shop.method = "face"
    begun = await shop.channel.begin_face(
        FaceRequest(device_data="RAW", device_id="D1", store_id="S1", store_name="Shop")
    )
    assert begun.verdict is OK
    assert begun.expires_in_s > 0
    face = f"{FACE_CODE_PREFIX}{Scenario.APPROVED.value}|oPAYER000000000000000000001"
    request = shop.request(auth_code=face)
    assert (await shop.channel.pay(request)).verdict is OK
    shop.clock.ms += 16_000
    assert (await shop.channel.cancel(shop.ref(request.order_no))).was_paid
    whose = await shop.channel.openid_of(WECHAT_CODES[Scenario.APPROVED])
    assert whose.verdict is OK


async def test_certificates_are_fetched_where_no_public_key_is_given(
    config: SandboxConfig,
) -> None:
    shop = Shop(config, codepay="true", platform_public_key_id="", certificates_refresh_s="36000")
    shop.clock.ms = int(time.time() * 1000)  # inside of the certificate's own time
    assert (await shop.channel.pay(shop.request())).verdict is OK
    assert shop.requests[0] == "/v3/certificates"
    assert list(shop.channel._keys.known)


@pytest.mark.parametrize("api", ["v3", "v2"])
async def test_bills_of_the_simulators_own_charges(
    config: SandboxConfig, api: str, tmp_path: Path
) -> None:
    """Fetched with their hash, read by our reader, and their sums are those of the books."""
    shop = Shop(config, bill_api=api)
    for scenario in (Scenario.APPROVED, Scenario.DECLINED, Scenario.LOST_RESPONSE_CHARGED):
        await shop.channel.pay(shop.request(scenario))
    paid, reversed_ = shop.request(), shop.request()
    for request in (paid, reversed_):
        await shop.channel.pay(request)
    await shop.channel.refund(shop.refund_request(paid.order_no, 500))
    shop.clock.ms += 16_000
    await shop.channel.cancel(shop.ref(reversed_.order_no))
    shop.clock.ms += 2_000
    day = beijing(NOON_MS).date()
    bill = await shop.channel.fetch_bill("trade", day, tmp_path)
    assert BILLS.kind_of(bill.path) == "trade"
    reader = BILLS.open("trade", bill.path, day)
    rows = [row for batch in reader for row in batch.to_pylist()]
    totals = reader.totals()
    assert (totals.payments, totals.payments_fen) == (4, 4 * 1990)
    assert (totals.refunds, totals.refunds_fen) == (2, 500 + 1990)
    assert {row["order_no"] for row in rows} >= {paid.order_no, reversed_.order_no}
    flow = await shop.channel.fetch_bill("fundflow", day, tmp_path)
    funds = BILLS.open("fundflow", flow.path, day)
    assert [batch.num_rows for batch in funds]
    assert funds.totals().payments_fen == 4 * 1990
    with pytest.raises(BillPending):
        await shop.channel.fetch_bill("trade", date(2027, 1, 1), tmp_path)


@pytest.mark.parametrize(
    ("kind", "payments", "refunds"), [("ALL", 2, 2), ("SUCCESS", 2, 0), ("REFUND", 0, 2)]
)
async def test_each_kind_of_bill_in_both_versions_dress(
    config: SandboxConfig, tmp_path: Path, kind: str, payments: int, refunds: int
) -> None:
    """27, 20 and 29 columns; LF, or a byte-order mark with CRLF."""
    shop = Shop(config)
    paid, reversed_ = shop.request(), shop.request()
    for request in (paid, reversed_):
        await shop.channel.pay(request)
    await shop.channel.refund(shop.refund_request(paid.order_no, 500))
    shop.clock.ms += 16_000
    await shop.channel.cancel(shop.ref(reversed_.order_no))
    day = beijing(NOON_MS).date()
    state = shop.world.wechat_state
    assert state is not None
    text = bill_text(BillWanted(kind, day.isoformat()), state, shop.clock.ms + 2_000)
    dresses = (text.encode(), text.replace("\n", "\r\n").encode("utf-8-sig"))
    for dress in dresses:
        path = tmp_path / "bill.csv"
        path.write_bytes(dress)
        assert BILLS.kind_of(path) == "trade"
        reader = BILLS.open("trade", path, day)
        assert sum(batch.num_rows for batch in reader) == payments + refunds
        totals = reader.totals()
        assert (totals.payments_fen, totals.refunds_fen) == (
            1990 * payments,
            2490 * (refunds // 2),
        )
