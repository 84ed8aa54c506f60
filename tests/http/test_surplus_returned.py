"""A surplus goes back through a running gateway's adapter, once, and the shop hears nothing."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.differences import Differences
from gateway.sources import SystemClock
from reconciliation.differences import Difference, DifferenceKind, Repair
from reconciliation.night_records import DifferenceState, NightState, difference_id
from sandbox.config import SandboxConfig
from sandbox.scenarios import Scenario
from tests.http.test_alipay_running import alipay_keys, app_keys, config, shop_of
from tests.sandbox.conftest import AppKeys
from tests.store.test_nights import FIRST, stored
from tests.support.gateway import Place
from tests.support.second_shop import Shop

__all__ = ["alipay_keys", "app_keys", "config"]
ACCOUNT, SURPLUS_FEN = "alipay-2", 310


@pytest.fixture
async def shop(
    place: Place, config: SandboxConfig, app_keys: AppKeys, alipay_keys: AppKeys
) -> AsyncIterator[Shop]:
    async with shop_of(place, config, app_keys, alipay_keys, "v3") as it:
        yield it


async def test_a_surplus_goes_back_through_the_channels_own_adapter(shop: Shop) -> None:
    paid = await shop.pay(Scenario.APPROVED)
    gateway = shop.gateway.gateway
    found = Difference(
        kind=DifferenceKind.AMOUNT, day=FIRST.day, order_no=paid["channel_order_no"],
        subject=paid["id"], ours_fen=1990, theirs_fen=1990 + SURPLUS_FEN,
    )  # fmt: skip
    one = replace(stored("A"), id=difference_id(ACCOUNT, found), account_id=ACCOUNT, found=found)
    night = replace(FIRST, account_id=ACCOUNT, state=NightState.MATCHED)
    await gateway.store.save_match(night, [one], ())
    use = Differences(gateway.store, SystemClock())
    await use.propose(one.id, Repair.REFUND, "Li", "the payer was charged more")
    approved = await use.approve(one.id, "Wang", "seen at the channel's desk")
    before = await gateway.store.balances()
    assert await gateway.surplus_refunds().carry_out(approved)
    assert await shop.charge(paid) == (1990, SURPLUS_FEN)
    kept = await gateway.store.difference(one.id)
    assert kept is not None
    assert kept[0].state is DifferenceState.CLOSED
    left = {name: fen for name, fen in (await gateway.store.balances()).items() if fen}
    assert left == {name: fen for name, fen in before.items() if fen}
    assert (await shop.gateway.other.final(paid["id"]))["refunded_amount"] == 0
