"""Which account serves a payment, and which accounts can be opened at all."""

import asyncio
import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

import orjson
import pytest
import structlog
from structlog.testing import LogCapture

from channels.port import (
    Answer,
    ChannelAccount,
    ChannelPlugin,
    ChannelServices,
    HttpRequest,
    HttpResponse,
    PaymentRef,
    PayRequest,
    Send,
)
from domain.errors import ChannelDown, ConfigurationError, Unprocessable
from gateway.accounts import build_routes, open_account, seal_secrets
from gateway.channel_requests import bare_request
from gateway.guard import Protection
from gateway.metrics import Metrics
from gateway.routes import Route, Routes
from gateway.sources import RandomIds, SystemClock, random_bytes
from gateway.store.port import Account
from signing.keywrap import Sealer
from tests.gateway.fakes import FakeChannel
from tests.support.payments import sample_order

SEALER = Sealer(bytes(32), random_bytes)


def route(account_id: str, merchant_no: str = "", *, enabled: bool = True) -> Route:
    return Route(
        account_id=account_id,
        channel_name="alipay",
        merchant_no=merchant_no,
        enabled=enabled,
        channel=FakeChannel(),
    )


def test_a_merchants_own_account_goes_first() -> None:
    """The others use the one for everybody."""
    routes = Routes([route("all"), route("own", "M1")])
    assert routes.choose("M1", "alipay").account_id == "own"
    assert routes.choose("M2", "alipay").account_id == "all"


def test_another_merchants_account_is_nobodys() -> None:
    """I13: no payment runs over somebody else's contract."""
    routes = Routes([route("own", "M1")])
    for merchant_no, channel in (("M2", "alipay"), ("", "alipay"), ("M1", "wechat")):
        with pytest.raises(Unprocessable) as told:
            routes.choose(merchant_no, channel)
        assert told.value.code == "channel_not_open"


def test_a_disabled_account_is_still_undone() -> None:
    """No new payment; what it has open finds its channel."""
    routes = Routes([route("old", enabled=False), route("new")])
    assert routes.choose("M1", "alipay").account_id == "new"
    assert routes.channel("old") is not None
    assert routes.channel("gone") is None


async def test_every_account_is_started_and_closed() -> None:
    one, two = route("one"), route("two", enabled=False)
    routes = Routes([one, two])
    await routes.start()
    await routes.close()
    for each in (one, two):
        assert isinstance(each.channel, FakeChannel)
        assert each.channel.calls == ["start", "close"]


class LateChannel(FakeChannel):
    """A host that says nothing until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.may_start = asyncio.Event()

    async def start(self) -> None:
        await self.may_start.wait()
        await super().start()


async def test_an_account_that_is_silent_holds_up_no_other() -> None:
    late = LateChannel()
    silent, other = dataclasses.replace(route("silent"), channel=late), route("other")
    starting = asyncio.ensure_future(Routes([silent, other]).start())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert isinstance(other.channel, FakeChannel)
    assert (other.channel.calls, late.calls) == (["start"], [])
    late.may_start.set()
    await starting
    assert late.calls == ["start"]


def account(
    sealer: Sealer = SEALER, channel: str = "fake", settings_json: str = '{"host":"h"}'
) -> Account:
    sealed = seal_secrets(sealer, "a1", {"key": b"\x00a secret\xff"})
    return Account(
        account_id="a1",
        channel=channel,
        merchant_no="",
        settings_json=settings_json,
        secrets_sealed=sealed,
        created_at_ms=1,
    )


def plugins(timeout_s: float = 1) -> Mapping[str, ChannelPlugin]:
    channel = FakeChannel()
    channel.timeout_s = timeout_s

    def build(_account: ChannelAccount, _services: ChannelServices) -> FakeChannel:
        return channel

    return MappingProxyType({"fake": ChannelPlugin("fake", (), build)})


async def _never(*_said: object) -> int:
    raise AssertionError("nobody is called")


SERVICES = ChannelServices(
    clock=SystemClock(),
    ids=RandomIds(),
    send=_never,  # type: ignore[arg-type]
    connect=_never,  # type: ignore[arg-type]
    take_sequence=_never,
)


PROTECTION = Protection(
    failures=3, open_s=5, clock=SystemClock(), metrics=Metrics(), log=structlog.get_logger()
)
HTTP = HttpRequest(method="POST", url="https://c.example/", headers={}, body=b"", timeout_s=1)


def test_secrets_open_for_their_adapter_only() -> None:
    """Byte for byte; not in the account's text."""
    opened = open_account(SEALER, account())
    assert opened.secrets == {"key": b"\x00a secret\xff"}
    assert opened.settings == {"host": "h"}
    assert "secret" not in repr(opened)
    assert b"a secret" not in account().secrets_sealed


def test_another_master_key_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"a1.*master key"):
        open_account(Sealer(b"\x01" * 32, random_bytes), account())


def test_a_channel_that_is_not_installed_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"a1.*'nosuch'"):
        build_routes([account(channel="nosuch")], plugins(), SERVICES, SEALER, 45, PROTECTION)


@pytest.mark.parametrize("timeout_s", [45, 46])
def test_a_call_that_outlasts_the_till_is_refused(timeout_s: float) -> None:
    """A till would wait past its deadline."""
    with pytest.raises(ConfigurationError, match=r"a1: timeout_s.*till_wait_s"):
        build_routes([account()], plugins(timeout_s), SERVICES, SEALER, 45, PROTECTION)


@pytest.mark.parametrize(
    "wrong",
    [
        account(channel="nosuch"),
        account(Sealer(b"\x01" * 32, random_bytes)),
        account(settings_json='{"calls_per_s":"abc"}'),
    ],
)
def test_a_disabled_account_that_cannot_be_opened_stops_no_start(wrong: Account) -> None:
    """It is warned of and left out; a disabled one that can be opened is asked as before."""
    capture = LogCapture()
    log = structlog.wrap_logger(None, processors=[capture])
    protection = dataclasses.replace(PROTECTION, log=log)
    disabled = dataclasses.replace(wrong, disabled=True)
    good = dataclasses.replace(account(), disabled=True)
    assert build_routes([good], plugins(), SERVICES, SEALER, 45, protection).find("fake", "a1")
    assert capture.entries == []
    routes = build_routes([disabled], plugins(), SERVICES, SEALER, 45, protection)
    assert routes.channel("a1") is None
    (said,) = capture.entries
    assert (said["log_level"], said["account"]) == ("warning", "a1")
    assert "a1: " in said["why"]


def test_a_good_account_is_a_route() -> None:
    routes = build_routes([account()], plugins(), SERVICES, SEALER, 45, PROTECTION)
    route = routes.choose("M1", "fake")
    assert route.account_id == "a1"
    assert route.guard is not None
    assert route.calls_per_s == 0
    assert routes.health().keys() == {"a1"}
    assert (routes.at_once("a1", 64), routes.at_once("gone", 64)) == (64, 64)
    assert not routes.is_down("a1")
    assert not routes.holds_back("a1")


class CallingChannel(FakeChannel):
    """Pays and queries by one request each."""

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send

    async def pay(self, request: PayRequest) -> Answer:
        await self._send(HTTP)
        return await super().pay(request)

    async def query(self, ref: PaymentRef) -> Answer:
        await self._send(HTTP)
        return await super().query(ref)


async def test_an_account_with_a_budget_is_counted_where_its_requests_leave() -> None:
    """Payments take places ahead until a second is full; then no new one is admitted."""
    sent: list[HttpRequest] = []

    async def send(request: HttpRequest) -> HttpResponse:
        sent.append(request)
        return HttpResponse(200, {}, b"")

    def build(_account: ChannelAccount, services: ChannelServices) -> CallingChannel:
        return CallingChannel(services.send)

    plugin = MappingProxyType({"fake": ChannelPlugin("fake", (), build)})
    services = dataclasses.replace(SERVICES, send=send)
    limited = account(settings_json='{"calls_per_s":"3"}')
    routes = build_routes([limited], plugin, services, SEALER, 45, PROTECTION)
    route = routes.choose("M1", "fake")
    assert route.guard is not None
    assert routes.at_once("a1", 64) == 3
    payments = list[asyncio.Task[Answer]]()
    for _ in range(3):
        route.guard.admit()
        payments.append(asyncio.create_task(route.channel.pay(bare_request(sample_order(1)))))
        await asyncio.sleep(0)
    assert len(sent) == 1
    with pytest.raises(ChannelDown):
        route.guard.admit()
    for payment in payments:
        payment.cancel()
    assert not routes.is_down("a1")


@pytest.mark.parametrize("text", ["", "many", "-1", "nan", "inf", "0.01", "1e9"])
def test_a_budget_that_is_none_is_named(text: str) -> None:
    wrong = account(settings_json=orjson.dumps({"calls_per_s": text}).decode())
    with pytest.raises(ConfigurationError, match=r"a1: calls_per_s"):
        build_routes([wrong], plugins(), SERVICES, SEALER, 45, PROTECTION)
