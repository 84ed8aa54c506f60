"""A running gateway and the simulated Alipay in its fullest dress, over either transport.

Certificates, encrypted contents and a merchant's token at once: paid, refused, returned and
undone through the API; and at the till what only Alipay can say: a code that no table knows,
and a cancel that it wants again.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest

from channels.payer_orders import FaceRequest, faces_of
from sandbox.alipay_faces import ftoken_of
from sandbox.config import SandboxConfig
from sandbox.scenarios import ALIPAY_CODES, Scenario
from tests.sandbox.conftest import (
    AppKeys,
    alipay_keys,
    app_keys,
    config,
    running,
)
from tests.sandbox.test_alipay_both_ends import dressed, settings_for
from tests.support.gateway import Place
from tests.support.second_shop import Shop, open_account

__all__ = ["alipay_keys", "app_keys", "config"]

DRESS = "certificate, aes and token"
FAST = {
    "timeout_s": "3",
    "query_after_s": ",".join(["0.1"] * 10),
    "undo_retry_s": "0.1",
    "refund_retry_s": "0.1",
}


@asynccontextmanager
async def shop_of(
    place: Place, plain: SandboxConfig, ours: AppKeys, theirs: AppKeys, transport: str
) -> AsyncIterator[Shop]:
    worn, secrets = dressed(plain, ours, theirs, DRESS)
    async with running(worn) as sandbox:
        sandbox.clock.ms = int(time.time() * 1000)  # requests of version 3 are judged by their age
        settings = settings_for(sandbox, worn, transport) | FAST
        await open_account(place, "alipay", settings, secrets)
        async with place.gateway() as it:
            yield Shop(it, sandbox, "alipay", ALIPAY_CODES)


@pytest.fixture(params=["v2", "v3"])
async def shop(
    request: pytest.FixtureRequest,
    place: Place,
    config: SandboxConfig,
    app_keys: AppKeys,
    alipay_keys: AppKeys,
) -> AsyncIterator[Shop]:
    async with shop_of(place, config, app_keys, alipay_keys, request.param) as it:
        yield it


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
        "Alipay balance too low. Pay another way.",
        "支付宝余额不足，请更换支付方式",
    )
    closed = await shop.pay(Scenario.NEVER_PAYS)
    assert (closed["status"], await shop.charge(closed)) == ("closed", (0, 0))
    asked = await shop.pay(Scenario.LOST_RESPONSE_CHARGED)
    assert (asked["status"], await shop.charge(asked)) == ("succeeded", (1990, 0))


async def test_a_face_pays_once(shop: Shop) -> None:
    """Begun by the port's ability; the token that comes of it is paid as a code is."""
    routes = shop.gateway.gateway._routes
    assert routes is not None
    route = routes.told("alipay", "alipay-2")
    assert route is not None
    faces = faces_of(route.notices)
    assert faces is not None
    meta = {"apdidToken": "t", "appName": "a", "appVersion": "1", "bioMetaInfo": "b"}
    data = orjson.dumps(meta).decode()
    asked = FaceRequest(device_data=data, device_id="D1", store_id="S1", store_name="x")
    begun = await faces.begin_face(asked)
    token = ftoken_of(orjson.loads(begun.device_data)["zimId"])
    paid, again = [(await shop.gateway.other.pay(token)).json for _ in range(2)]
    assert (paid["status"], await shop.charge(paid)) == ("succeeded", (1990, 0))
    assert (again["status"], again["error"]["code"]) == ("failed", "code_invalid")
    assert token not in shop.gateway.log_file.read_text()


async def test_a_code_that_no_table_knows_is_asked_about_and_counted(shop: Shop) -> None:
    """It was paid all the same: ``after`` Alipay had acted."""
    rule = {"kind": "refuse", "match": "alipay.trade.pay", "limit": 1, "code": "ACQ.BRAND_NEW"}
    await shop.faults(rule)
    payment = await shop.pay(Scenario.APPROVED)
    assert (payment["status"], await shop.charge(payment)) == ("succeeded", (1990, 0))
    shown = (await shop.gateway.api.send("GET", "/metrics")).raw.decode()
    assert 'posgate_unlisted_codes_total{account="alipay-2"} 1.0' in shown


async def test_it_is_cancelled_until_alipay_answers(shop: Shop) -> None:
    """Paid unheard; ``retry_flag`` Y, a busy Alipay and silence; then the money is back."""
    cancel = {"kind": "refuse", "match": "alipay.trade.cancel", "stage": "before", "limit": 1}
    await shop.faults(
        {"kind": "refuse", "match": "alipay.trade.query", "code": "ACQ.TRADE_NOT_EXIST"},
        {**cancel, "code": "RETRY_FLAG"},
        {**cancel, "code": "AQC.SYSTEM_ERROR"},
        {"kind": "close", "match": "alipay.trade.cancel", "stage": "before", "limit": 1},
    )
    payment = await shop.pay(Scenario.LOST_RESPONSE_CHARGED)
    assert (payment["status"], await shop.charge(payment)) == ("reversed", (1990, 1990))
    store = shop.gateway.gateway.store
    lines = await store.postings(payment["id"])
    assert sorted(line.amount_fen for line in lines) == [-1990, -1990, 1990, 1990]
