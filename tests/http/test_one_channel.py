"""An order claimed on one channel cannot be paid on another."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import orjson
import pytest

from channels.port import Answer, ChannelPlugin, Verdict
from channels.registry import plugins
from domain.decline import DeclineReason
from gateway.accounts import seal_secrets
from gateway.store.port import Account
from sandbox.scenarios import ALIPAY_CODES, Scenario
from tests.gateway.fakes import FakeChannel
from tests.support.gateway import Place, Running, with_seams

ALIPAY = ALIPAY_CODES[Scenario.APPROVED]
WECHAT = "130000000000000001"


@contextlib.asynccontextmanager
async def with_wechat(place: Place, wechat: FakeChannel) -> AsyncIterator[Running]:
    """A gateway with a second wallet open, faked, beside the sandbox's Alipay."""
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
    plugin = ChannelPlugin("wechat", (), lambda _account, _services: wechat)
    every = {**plugins(), "wechat": plugin}
    async with with_seams(place, plugins=lambda: every).gateway() as running:
        yield running


async def test_the_second_wallet_is_really_open(place: Place) -> None:
    """A self-test: without a claim before it, the same code is paid there."""
    wechat = FakeChannel()
    async with with_wechat(place, wechat) as running:
        payment = (await running.api.pay(WECHAT)).json
        assert (payment["status"], payment["channel"]) == ("succeeded", "wechat")
    assert len(wechat.paid) == 1


@pytest.mark.parametrize(
    ("scenario", "status"),
    [
        (Scenario.APPROVED, "succeeded"),
        (Scenario.DECLINED, "failed"),
        (Scenario.NEVER_PAYS, "pending"),
    ],
    ids=["paid", "declined", "open"],
)
async def test_a_number_of_one_wallet_is_refused_at_another(
    place: Place, scenario: Scenario, status: str
) -> None:
    """409 order_conflict whatever became of the first, and nothing is sent to the second."""
    wechat = FakeChannel()
    async with with_wechat(place, wechat) as running:
        wait_s = 1 if status == "pending" else 30
        first = (await running.api.pay(ALIPAY_CODES[scenario], "one", wait_s=wait_s)).json
        assert first["status"] == status
        reply = await running.api.pay(WECHAT, "one")
        assert (reply.status, reply.code) == (409, "order_conflict")
        assert wechat.paid == []
        found = (await running.api.find("one")).json
        assert (found["id"], found["channel"]) == (first["id"], "alipay")
        await running.api.cancel(first["id"])


async def test_and_the_other_way_round(place: Place) -> None:
    """Open at the second wallet, its answer lost: Alipay is not asked for the money."""
    wechat = FakeChannel()
    wechat.pays = [Answer(verdict=Verdict.UNKNOWN)]
    wechat.queries = [Answer(verdict=Verdict.DECLINED, reason=DeclineReason.DECLINED)]
    async with with_wechat(place, wechat) as running:
        first = (await running.api.pay(WECHAT, "one")).json
        reply = await running.api.pay(ALIPAY, "one")
        assert (reply.status, reply.code) == (409, "order_conflict")
        assert (await running.api.find("one")).json["id"] == first["id"]
    assert await place.charges() == []


async def test_a_race_between_two_wallets_is_won_by_one(place: Place) -> None:
    """Forty at once under one number, half of them on each: one charge altogether."""
    wechat = FakeChannel()
    async with with_wechat(place, wechat) as running:
        replies = await asyncio.gather(
            *(running.api.pay(code, "race") for code in (ALIPAY, WECHAT) * 20)
        )
        assert sorted(reply.status for reply in replies) == [200] * 19 + [201] + [409] * 20
        paid = {reply.json["channel"] for reply in replies if reply.status < 300}
        assert len(paid) == 1
        charges = await place.charges()
        assert len(charges) + len(wechat.paid) == 1
