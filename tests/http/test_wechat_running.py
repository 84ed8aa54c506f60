"""A running gateway and the simulated WeChat Pay in every variant of an account.

What the usual installation does not have: codepay in the place of micropay, a service provider's
shop, the national algorithms with a public key or with certificates that are fetched; a code that
no table knows, and a reversal that WeChat Pay wants again.
"""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from sandbox.config import SandboxConfig
from sandbox.scenarios import WECHAT_CODES, Scenario
from tests.sandbox.conftest import RunningSandbox, alipay_keys, app_keys, config, running
from tests.sandbox.test_wechat_adapter import Shop as Scripted
from tests.sandbox.test_wechat_national import national_shop
from tests.sandbox.wechat_rig import SUB_MCHID
from tests.support.gateway import Place
from tests.support.second_shop import Shop, open_account

__all__ = ["alipay_keys", "app_keys", "config"]

FAST = {
    "timeout_s": "3",
    "query_after_s": ",".join(["0.1"] * 10),
    "undo_not_before_s": "0",
    "undo_retry_s": "0.1",
    "refund_retry_s": "0.1",
    "notify_url": "",
}
VARIANTS = {
    "codepay": {"codepay": "true"},
    "codepay of a provider": {"codepay": "true", "sub_mchid": SUB_MCHID},
    "national, public key": {"mode": "public key"},
    "national, certificates": {"mode": "certificate", "sub_mchid": SUB_MCHID},
}


@pytest.fixture(params=VARIANTS)
async def shop(
    request: pytest.FixtureRequest, place: Place, config: SandboxConfig
) -> AsyncIterator[Shop]:
    variant = dict(VARIANTS[request.param])
    mode = variant.pop("mode", "")
    scripted = (
        national_shop(config, mode, **variant) if mode else Scripted(config, None, None, **variant)
    )
    wechat = replace(scripted.simulated, reverse_after_s=0, refund_after_ms=0)
    async with running(replace(config, wechat=wechat)) as sandbox:
        sandbox.clock.ms = int(time.time() * 1000)
        await _opened_account(place, sandbox, scripted)
        async with place.gateway() as it:
            yield Shop(it, sandbox, "wechat", WECHAT_CODES)


async def _opened_account(place: Place, sandbox: RunningSandbox, scripted: Scripted) -> None:
    """An account of the other merchant's alone."""
    url = f"http://127.0.0.1:{sandbox.ports.wechat}"
    given = scripted.account
    settings = {**given.settings, "base_url": url, "face_url": url, **FAST}
    await open_account(place, "wechat", settings, given.secrets)


async def test_paid_refused_returned_and_undone(shop: Shop) -> None:
    paid = await shop.pay(Scenario.APPROVED)
    assert (paid["status"], await shop.charge(paid)) == ("succeeded", (1990, 0))
    refund = (await shop.gateway.other.refund(paid["id"], 500)).json
    assert (await shop.gateway.other.final_refund(refund["id"]))["status"] == "succeeded"
    assert await shop.charge(paid) == (1990, 500)
    refused = await shop.pay(Scenario.DECLINED)
    assert (refused["status"], refused["error"]["code"]) == ("failed", "insufficient_funds")
    read = (refused["error"]["message"], refused["error"]["message_zh"])
    assert read == (
        "Not enough money. Ask the payer to choose another way in WeChat.",
        "余额不足，请顾客更换支付方式",
    )
    asked = await shop.pay(Scenario.LOST_RESPONSE_CHARGED)
    assert (asked["status"], await shop.charge(asked)) == ("succeeded", (1990, 0))
    undone = await shop.pay(Scenario.APPROVED)
    await shop.gateway.other.cancel(undone["id"])
    assert (await shop.gateway.other.final(undone["id"]))["status"] == "reversed"
    assert await shop.charge(undone) == (1990, 1990)


async def test_what_no_table_knows_is_counted_and_a_reversal_repeated(shop: Shop) -> None:
    """Paid all the same; a busy WeChat Pay, another new code, then the money is back, once."""
    refused: list[dict[str, Any]] = []
    for base in ("/v3/pay/transactions", "/v3/pay/partner/transactions"):
        rule = {"kind": "refuse", "limit": 1}
        refused.append({**rule, "match": f"{base}/codepay", "code": "400 BRAND_NEW"})
        reverse = f"{base}/out-trade-no/{{out_trade_no}}/reverse"
        refused += [
            {**rule, "match": reverse, "code": code, "stage": "before"}
            for code in ("500", "403 BRAND_NEWER")
        ]
    await shop.faults(*refused)
    payment = await shop.pay(Scenario.APPROVED)
    assert payment["status"] == "succeeded"
    await shop.gateway.other.cancel(payment["id"])
    assert (await shop.gateway.other.final(payment["id"]))["status"] == "reversed"
    assert await shop.charge(payment) == (1990, 1990)
    shown = (await shop.gateway.api.send("GET", "/metrics")).raw.decode()
    assert 'posgate_unlisted_codes_total{account="wechat-2"} 2.0' in shown
