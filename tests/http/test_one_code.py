"""One code for every wallet, over HTTPS and with the simulated channels: made, shown, paid."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.checkout.port import Begun, Payer, Start
from tests.support.event_stream import stream
from tests.support.gateway import FAST, Reply, Running, opened

PUBLIC_URL = "https://pay.example"
WALLETS = ("alipay", "unionpay_qr", "wechat")
ANN = Payer(wallet="alipay", payer_id="2088000000000001")
PAYERS = {
    "alipay": ANN.payer_id,
    "unionpay_qr": "sandbox-payer",
    "wechat": "oSandboxPayer000000000000000",
}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(
    installation_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    """One gateway with a public address, for the whole module."""
    folder = tmp_path_factory.mktemp("one-code") / "place"
    tuning = replace(FAST, wechat_timeout_s="2")
    async with opened(installation_template, folder, tuning, wallets=WALLETS) as place:
        place.configure(http={"public_url": PUBLIC_URL})
        async with place.gateway() as running:
            yield running


async def asked(shop: Running, number: str = "", **changes: object) -> Reply:
    body: dict[str, object] = {
        "merchant_order_no": number or secrets.token_hex(8),
        "amount": 1990,
        "currency": "CNY",
        "subject": "奶茶",
        "method": {"type": "qr"},
    }
    return await shop.api.call("POST", "/v1/payments", body | changes)


async def pays(shop: Running, **what: str) -> Any:
    """The payer's phone."""
    return await shop.place.ask("POST", "/pay", what)


async def test_an_order_is_shown_as_a_code_that_any_wallet_may_scan(shop: Running) -> None:
    reply = await asked(shop)
    payment = reply.json
    assert (reply.status, payment["status"]) == (201, "pending")
    assert payment["channel"] is payment["channel_order_no"] is payment["paid_at"] is None
    assert payment["method"]["type"] == "qr"
    assert payment["method"]["code"].startswith(f"{PUBLIC_URL}/q/L")
    assert payment["created_at"] < payment["method"]["code_expires_at"] < payment["expires_at"]
    assert (await shop.api.get(payment["id"])).json == payment
    assert (await shop.api.find(payment["merchant_order_no"])).json == payment
    assert (await shop.other.get(payment["id"])).status == 404


async def test_paid_from_a_page_it_is_the_merchants_one_payment(shop: Running) -> None:
    """Scanned, begun, paid in the wallet, refunded: one id from the first to the last."""
    payment = (await asked(shop)).json
    checkouts = shop.gateway.core.checkouts
    view = await checkouts.scanned(payment["method"]["code"].rpartition("/")[2])
    assert view is not None
    assert view.wallets == WALLETS
    begun = await checkouts.begin(view.checkout_id, ANN)
    assert begun.start is Start.READY
    now = (await shop.api.get(payment["id"])).json
    assert (now["status"], now["channel"]) == ("pending", "alipay")
    await pays(shop, order=begun.parameters["tradeNO"], payer=ANN.payer_id)
    await checkouts.ask(view.checkout_id)
    final = await shop.api.final(payment["id"])
    assert (final["status"], final["channel"], final["amount"]) == ("succeeded", "alipay", 1990)
    assert final["channel_trade_no"]
    assert "code" not in final["method"]
    assert await shop.place.charge(final) == (1990, 0)
    refund = (await shop.api.refund(payment["id"], 500)).json
    assert refund["payment_id"] == payment["id"]
    assert (await shop.api.final_refund(refund["id"]))["status"] == "succeeded"
    assert (await shop.api.get(payment["id"])).json["refunded_amount"] == 500
    assert [one["id"] for one in (await shop.api.refunds(payment["id"])).json["refunds"]] == [
        refund["id"]
    ]


async def test_a_till_that_waits_hears_that_it_is_paid(shop: Running) -> None:
    """Long polling speaks of the checkout, with the channel that was paid through."""
    payment = (await asked(shop, store_id="S1")).json
    checkouts = shop.gateway.core.checkouts
    begun = await checkouts.begin(payment["id"], ANN)
    waiting = asyncio.create_task(shop.api.call("GET", f"/v1/payments/{payment['id']}?wait_s=20"))
    await pays(shop, order=begun.parameters["tradeNO"], payer=ANN.payer_id)
    await checkouts.ask(payment["id"])
    told = (await waiting).json
    assert (told["status"], told["channel"]) == ("succeeded", "alipay")
    assert told == (await shop.api.get(payment["id"])).json


async def test_the_till_hears_of_it_under_its_one_id(shop: Running) -> None:
    """Paid at a wallet, then refunded: its stream and its store's, and nothing of an attempt."""
    payment = (await asked(shop, store_id="counter")).json
    checkouts = shop.gateway.core.checkouts
    begun = await checkouts.begin(payment["id"], ANN)
    path = f"/v1/payments/{payment['id']}/events"
    async with (
        stream(shop.api, path) as own,
        stream(shop.api, "/v1/stores/counter/events?after=0") as counter,
    ):
        assert (await own.next()).payment["status"] == "pending"
        await pays(shop, order=begun.parameters["tradeNO"], payer=ANN.payer_id)
        await checkouts.ask(payment["id"])
        for events in (own, counter):
            event = await events.next()
            while event.payment["status"] != "succeeded":
                event = await events.next()
            assert event.payment["id"] == payment["id"]
            assert (event.payment["channel"], event.payment["store_id"]) == ("alipay", "counter")
        await shop.api.refund(payment["id"], 500)
        while event.payment["refunded_amount"] != 500:
            event = await counter.next()
        assert event.payment["id"] == payment["id"]


@pytest.mark.parametrize("wallet", WALLETS)
async def test_a_single_wallets_own_code_is_paid_by_its_scanner(shop: Running, wallet: str) -> None:
    payment = (await asked(shop, method={"type": "qr", "wallets": [wallet]})).json
    assert payment["channel"] == wallet
    await pays(shop, code=payment["method"]["code"])
    await shop.gateway.core.checkouts.ask(payment["id"])
    final = await shop.api.final(payment["id"])
    assert (final["status"], final["merchant_order_no"]) == (
        "succeeded",
        payment["merchant_order_no"],
    )
    assert await shop.place.charge(final) == (1990, 0)


@pytest.mark.parametrize("wallet", WALLETS)
async def test_every_wallet_pays_from_its_page(shop: Running, wallet: str) -> None:
    """Begun by that wallet's payer, refused to the others meanwhile, paid once."""
    payment = (await asked(shop)).json
    checkouts = shop.gateway.core.checkouts
    payer = Payer(wallet=wallet, payer_id=PAYERS[wallet], return_url=f"{PUBLIC_URL}/back")
    begun = await checkouts.begin(payment["id"], payer)
    assert begun.start is Start.READY
    for other in set(WALLETS) - {wallet}:
        told = await checkouts.begin(payment["id"], Payer(wallet=other, payer_id=PAYERS[other]))
        assert told.start is Start.ELSEWHERE
    await pays(shop, order=order_of(begun), payer=payer.payer_id)
    await checkouts.ask(payment["id"])
    final = await shop.api.final(payment["id"])
    assert (final["status"], final["channel"]) == ("succeeded", wallet)
    assert await shop.place.charge(final) == (1990, 0)


def order_of(begun: Begun) -> str:
    """What the wallet's bridge, or its page, is given."""
    given = begun.parameters
    return begun.page_url or given.get("tradeNO") or given.get("package", "")


async def test_a_repeat_is_the_same_order_and_other_content_a_conflict(shop: Running) -> None:
    number = secrets.token_hex(8)
    first, again = await asked(shop, number), await asked(shop, number)
    assert (again.status, again.headers["Idempotent-Replayed"]) == (200, "true")
    assert again.json["id"] == first.json["id"]
    for other in ({"amount": 1991}, {"method": {"type": "qr", "wallets": ["alipay"]}}):
        reply = await asked(shop, number, **other)
        assert (reply.status, reply.code) == (409, "order_conflict")
    scanned = await shop.api.pay("281234567890123456", number)
    assert (scanned.status, scanned.code) == (409, "order_conflict")


async def test_a_cancelled_order_is_closed_and_its_code_dead(shop: Running) -> None:
    payment = (await asked(shop)).json
    closed = (await shop.api.cancel(payment["id"])).json
    assert (closed["status"], closed["error"]["code"]) == ("closed", "cancelled")
    assert closed["method"] == {"type": "qr"}
    token = payment["method"]["code"].rpartition("/")[2]
    assert await shop.gateway.core.checkouts.scanned(token) is None


async def test_an_order_under_way_is_closed_at_its_channel_by_a_cancel(shop: Running) -> None:
    payment = (await asked(shop)).json
    begun = await shop.gateway.core.checkouts.begin(payment["id"], ANN)
    assert begun.start is Start.READY
    closed = (await shop.api.cancel(payment["id"])).json
    assert closed["status"] == "closed"
    with pytest.raises(AssertionError, match="closed"):
        await pays(shop, order=begun.parameters["tradeNO"], payer=ANN.payer_id)


@pytest.mark.parametrize(
    ("method", "status", "code"),
    [
        ({"type": "qr", "auth_code": "28"}, 400, "unknown_field"),
        ({"type": "qr", "wallets": []}, 400, "invalid_field"),
        ({"type": "qr", "wallets": "alipay"}, 400, "invalid_field"),
        ({"type": "qr", "wallets": ["alipay", "alipay"]}, 400, "invalid_field"),
        ({"type": "qr", "wallets": [1]}, 400, "invalid_field"),
        ({"type": "qr", "wallets": ["cash"]}, 400, "invalid_field"),
        ({"type": "jsapi"}, 422, "method_not_open"),
    ],
)
async def test_what_cannot_be_asked_for_makes_nothing(
    shop: Running, method: object, status: int, code: str
) -> None:
    number = secrets.token_hex(8)
    reply = await asked(shop, number, method=method)
    assert (reply.status, reply.code) == (status, code)
    assert (await shop.api.find(number)).status == 404


async def test_an_attempt_is_no_payment_of_its_merchants(shop: Running) -> None:
    """Neither found, cancelled nor refunded under its own name."""
    payment = (await asked(shop)).json
    await shop.gateway.core.checkouts.begin(payment["id"], ANN)
    attempt = f"{payment['id']}-1"
    assert (await shop.api.get(attempt)).status == 404
    assert (await shop.api.cancel(attempt)).status == 404
    assert (await shop.api.refund(attempt, 1)).status == 404
    assert (await shop.api.refunds(attempt)).status == 404


async def test_no_payer_and_no_code_is_in_the_log(shop: Running) -> None:
    payment = (await asked(shop)).json
    await shop.gateway.core.checkouts.begin(payment["id"], ANN)
    log = shop.log_file.read_text()
    assert payment["id"] in log
    assert ANN.payer_id not in log
    assert "/q/L" not in log
