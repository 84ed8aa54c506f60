"""One code for every wallet, under its merchant's limits: judged once, counted once, given back."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from domain.errors import OverLimit
from domain.limits import Limit, limit_day
from gateway.checkout.port import Payer, Press, Start
from gateway.cli.installation import MERCHANT_NO
from gateway.pin_hash import hash_pin
from gateway.store.shop_records import Operator
from tests.support.gateway import Reply, Running, opened

PIN = "739201"
ANN = Payer(wallet="alipay", payer_id="2088000000000001")
BOB = Payer(wallet="alipay", payer_id="2088000000000002")

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(
    installation_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    """A gateway whose merchant may take 50.00 a day, 40.00 at once, 19.90 without an operator."""
    folder = tmp_path_factory.mktemp("one-code-limits") / "place"
    async with opened(installation_template, folder) as place:
        place.configure(http={"public_url": "https://pay.example"})
        async with place.session() as it:
            limit = Limit(merchant_no=MERCHANT_NO, daily_fen=5000, single_fen=4000, small_fen=1990)
            await it.store.set_limit(limit, 1)
            await it.store.add_operator(
                Operator(
                    merchant_no=MERCHANT_NO,
                    operator_id="01",
                    name="",
                    pin_hash=hash_pin(PIN),
                    created_at_ms=1,
                )
            )
        async with place.gateway() as running:
            yield running


async def asked(shop: Running, amount: int, **more: str) -> Reply:
    body = {
        "merchant_order_no": secrets.token_hex(8),
        "amount": amount,
        "currency": "CNY",
        "subject": "奶茶",
        "method": {"type": "qr"},
    }
    return await shop.api.call("POST", "/v1/payments", body | more)


def press(amount_fen: int) -> Press:
    return Press(
        merchant_no=MERCHANT_NO,
        press_key=secrets.token_hex(8),
        code_id="a" * 26,
        shop_name="奶茶店",
        amount_fen=amount_fen,
        subject="奶茶店",
    )


async def spent(shop: Running) -> int:
    """What today has taken of the limit; nobody's payment was forgotten or counted twice."""
    store, day = shop.gateway.store, limit_day(shop.gateway._seams.clock.now_ms())
    await store.free_unpaid(MERCHANT_NO, "", day)
    return await store.spent(MERCHANT_NO, "", day)


async def test_the_cashiers_order_needs_the_operator_and_its_payer_does_not(shop: Running) -> None:
    """Nothing counts before a wallet begins; what is abandoned counts no more."""
    reply = await asked(shop, 1991)
    assert (reply.status, reply.code) == (403, "operator_pin_needed")
    payment = (await asked(shop, 1991, operator_id="01", operator_pin=PIN)).json
    assert payment["status"] == "pending"
    assert await spent(shop) == 0
    checkouts = shop.gateway.core.checkouts
    assert (await checkouts.begin(payment["id"], ANN)).start is Start.READY
    assert (await checkouts.begin(payment["id"], ANN)).start is Start.READY
    assert await spent(shop) == 1991
    assert (await shop.api.cancel(payment["id"])).json["status"] == "closed"
    assert await spent(shop) == 0


async def test_a_press_at_a_printed_code_is_judged_before_it_is_an_order(shop: Running) -> None:
    """By the payer himself: no operator, but the amount and the day."""
    checkouts = shop.gateway.core.checkouts
    with pytest.raises(OverLimit) as told:
        await checkouts.press(press(4001))
    assert told.value.code == "limit_single"
    first, second = await checkouts.press(press(3000)), await checkouts.press(press(3000))
    assert (await checkouts.begin(first.checkout_id, ANN)).start is Start.READY
    with pytest.raises(OverLimit) as told:
        await checkouts.begin(second.checkout_id, BOB)
    assert told.value.code == "limit_daily"
    with pytest.raises(OverLimit) as told:
        await checkouts.press(press(2001))
    assert told.value.code == "limit_daily"
    assert await spent(shop) == 3000
    assert await shop.place.charges() == []


async def test_no_pin_is_in_the_log(shop: Running) -> None:
    assert PIN not in shop.log_file.read_text()
