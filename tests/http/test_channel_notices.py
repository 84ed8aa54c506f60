"""Notifications from channels at ``POST /notify/{channel}/{account}``, over real HTTPS."""

import contextlib
from collections.abc import AsyncIterator

import orjson
import pytest

from channels.inbound import PaymentWord
from channels.port import Answer, ChannelPlugin, Verdict
from channels.registry import plugins
from gateway.accounts import seal_secrets
from gateway.store.port import Account
from tests.gateway.fakes import TellingChannel
from tests.support.gateway import Place, Running, with_seams
from tests.support.waiting import eventually

WECHAT = "130000000000000001"
SAYS = b'{"it":"paid"}'


@contextlib.asynccontextmanager
async def telling(place: Place, channel: TellingChannel) -> AsyncIterator[Running]:
    """A gateway with a faked wallet that also tells."""
    async with place.session() as it:
        account = Account(
            account_id="wechat-1",
            channel="wechat",
            merchant_no="",
            settings_json=orjson.dumps({}).decode(),
            secrets_sealed=seal_secrets(it.sealer, "wechat-1", {}),
            created_at_ms=it.clock.now_ms(),
        )
        await it.store.add_account(account)
    every = {
        **plugins(),
        "wechat": ChannelPlugin("wechat", (), lambda _account, _services: channel),
    }
    async with with_seams(place, plugins=lambda: every).gateway() as running:
        yield running


async def test_a_notification_ends_a_payment_and_the_channel_is_told(place: Place) -> None:
    """Until it comes nobody knows; afterwards merchant, metrics and log do."""
    channel = TellingChannel()
    channel.pays = [Answer(verdict=Verdict.PENDING)]
    channel.queries = [Answer(verdict=Verdict.PENDING)]
    async with telling(place, channel) as running:
        payment = (await running.api.pay(WECHAT, wait_s=0)).json
        assert payment["status"] in ("submitted", "pending")
        await eventually(lambda: "query" in channel.calls or "pay" in channel.calls)
        number = payment["channel_order_no"]
        paid = Answer(verdict=Verdict.SUCCEEDED, amount_fen=1990, currency="CNY", trade_no="T9")
        channel.words[SAYS] = PaymentWord(order_no=number, answer=paid)
        said = await running.api.send("POST", "/notify/wechat/wechat-1", SAYS)
        assert (said.status, said.raw) == (200, b"success")
        assert said.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert "Posgate-Signature" not in said.headers
        payment = (await running.api.get(payment["id"])).json
        assert (payment["status"], payment["channel_trade_no"]) == ("succeeded", "T9")
        shown = (await running.api.send("GET", "/metrics")).raw.decode()
        assert 'posgate_inbound_total{channel="wechat",result="booked"} 1.0' in shown
        assert "posgate_inbound_in_flight 0.0" in shown
    (line,) = [line for line in running.lines() if line["event"] == "channel notice"]
    assert (line["outcome"], line["payment_id"]) == ("booked", payment["id"])
    assert SAYS.decode() not in running.log_file.read_text()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/notify/wechat/nobody", 404),
        ("POST", "/notify/alipay/wechat-1", 404),
        ("POST", "/notify/wechat", 404),
        ("POST", "/notify/wechat/wechat-1/more", 404),
        ("GET", "/notify/wechat/wechat-1", 405),
        ("POST", "/notify/wechat/wechat-1", 401),
        ("POST", "/notify/wechat/wechat%2D1?a=b", 401),
    ],
)
async def test_what_is_no_notification_is_refused(
    place: Place, method: str, path: str, status: int
) -> None:
    async with telling(place, TellingChannel()) as running:
        said = await running.api.send(method, path, b"" if method == "GET" else b"forged")
        assert said.status == status


async def test_the_body_is_bounded(place: Place) -> None:
    """In size, before an adapter reads it."""
    channel = TellingChannel()
    place.configure(http={"max_body_bytes": 1000})
    async with telling(place, channel) as running:
        said = await running.api.send("POST", "/notify/wechat/wechat-1", b"x" * 1001)
        assert said.status == 413
        assert said.code == "body_too_large"
        said = await running.api.send("POST", "/notify/wechat/wechat-1", b"x" * 1000)
        assert said.status == 401
        await eventually(lambda: running.gateway.core.inbound.in_flight() == 0)
