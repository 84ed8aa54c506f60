"""Three processes of one account at the simulated host that makes new keys at each sign-on."""

import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from channels.card import CardData
from channels.port import ChannelAccount, PayRequest, Verdict
from channels.tcp import connect
from channels.unionpay.card_adapter import CardChannel
from channels.unionpay.plugin import CARD_PLUGIN
from gateway.sources import RandomIds, SystemClock
from sandbox.scenarios import CARDS, Scenario
from tests.channels.rigs import Sequences, services
from tests.support.kept_keys import KeptInMemory

PAN = CARDS[Scenario.APPROVED].pan
TMK = "0123456789ABCDEFFEDCBA9876543210"


async def started(port: int, shared: str, kept: KeptInMemory, numbers: Sequences) -> CardChannel:
    """One process, signed on or with the others' keys."""
    account = ChannelAccount(
        account_id="card1",
        channel="unionpay_card",
        settings={
            "host": "127.0.0.1", "port": str(port), "merchant_id": "999000000000001",
            "terminal_id": "99000001", "share_keys": shared, "timeout_s": "5",
        },
        secrets={"tmk": TMK.encode()},
    )  # fmt: skip
    lent = services(
        clock=SystemClock(), ids=RandomIds(), connect=connect, take_sequence=numbers.take,
        key_keeper=kept,
    )  # fmt: skip
    channel = CARD_PLUGIN.build(account, lent)
    assert isinstance(channel, CardChannel)
    await channel.start()
    return channel


async def sold(channel: CardChannel) -> tuple[Verdict, str]:
    request = PayRequest(
        order_no=channel.new_order_no(),
        amount_fen=1990,
        currency="CNY",
        subject="",
        created_at_ms=time.time_ns() // 1_000_000,
        card=CardData(pan=PAN, entry_mode="012"),
    )
    answer = await channel.pay(request)
    return answer.verdict, answer.channel_code


@pytest.mark.parametrize(
    ("shared", "first", "sign_ons"),
    [("true", (Verdict.SUCCEEDED, "00"), 1), ("false", (Verdict.UNKNOWN, "A0"), 3)],
)
async def test_the_first_process_goes_on_selling_only_where_keys_are_shared(
    run: Callable[..., Any],
    change: Callable[..., Any],
    shared: str,
    first: tuple[Verdict, str],
    sign_ons: int,
) -> None:
    kept, numbers = KeptInMemory(), Sequences()
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(
            run(change(card={"rotate_keys_each_sign_in": True}))
        )
        port = sandbox.ports.card
        made = [await started(port, shared, kept, numbers) for _ in range(3)]
        for channel in made:
            stack.push_async_callback(channel.close)
        assert sum(one.line_statistics()[0]["sign_ons"] for one in made) == sign_ons
        assert await sold(made[0]) == first
        assert await sold(made[2]) == (Verdict.SUCCEEDED, "00")
