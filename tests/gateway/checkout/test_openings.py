"""A checkout is made: a wallet's own code, a merchant's number, a press; one order each."""

import asyncio
from dataclasses import replace
from typing import Any

import orjson
import pytest

from domain.checkout import CheckoutStatus
from domain.errors import Conflict, Unavailable, Unprocessable
from gateway.checkout.port import Start
from tests.gateway.checkout.cafe import ANN, BOB, STANDS, Cafe
from tests.gateway.checkout.walks import PRESS, REFUSED, UNANSWERED, hears
from tests.gateway.scripted import MISSING, PAID

# --- one wallet's own code


async def test_a_single_wallets_code_is_its_channels(cafe: Cafe) -> None:
    base = await cafe.opened(wallets=["wechat"])
    code = await cafe.checkouts.code(await cafe.now(base))
    assert code is not None
    assert (code.code, code.expires_at_ms) == ("wallet://code", base.order.till_deadline_ms)
    attempt = await cafe.attempt(base)
    assert attempt.order.method == "qr"
    assert (await cafe.checkouts.begin(base.order.id, BOB)).start is Start.AWAY
    await hears(cafe, attempt, PAID)
    assert await cafe.stands(base) == (CheckoutStatus.PAID, "succeeded")
    assert await cafe.checkouts.code(await cafe.now(base)) is None


async def test_a_single_wallet_that_refuses_fails_it(cafe: Cafe) -> None:
    cafe.wechat.orders = [REFUSED]
    base = await cafe.opened(wallets=["wechat"])
    assert await cafe.stands(base) == (CheckoutStatus.FAILED, "failed")
    [notice] = await cafe.told(base)
    assert (notice.type, notice.sequence) == ("payment.failed", 1)
    assert (await cafe.proof()).named == []


async def test_a_code_that_did_not_come_is_fetched_by_the_repeat(cafe: Cafe) -> None:
    cafe.wechat.orders, cafe.wechat.queries = [UNANSWERED], [MISSING]
    base = await cafe.opened(wallets=["wechat"])
    assert await cafe.checkouts.code(base) is None
    cafe.wechat.orders = [STANDS]
    again = await cafe.opened(wallets=["wechat"])
    assert again.order.id == base.order.id
    assert await cafe.checkouts.code(again) is not None
    assert len({request.order_no for request in cafe.wechat.requests}) == 1


@pytest.mark.parametrize("wallets", [["unionpay_qr"], ["unionpay_qr", "card"]])
async def test_wallets_that_are_not_open_make_no_checkout(cafe: Cafe, wallets: list[str]) -> None:
    with pytest.raises(Unprocessable, match="merchant"):
        await cafe.opened(wallets=wallets)
    assert await cafe.store.jobs(None, "", 9) == []


# --- numbers and presses


async def test_a_number_is_one_payment_whatever_its_method(cafe: Cafe) -> None:
    """A checkout under the number of a scanned code, and the other way round."""
    await cafe.paid("k1")
    with pytest.raises(Conflict):
        await cafe.opened("k1")
    await cafe.opened("k2")
    with pytest.raises(Conflict):
        await cafe.begun("k2")
    again = await cafe.opened("k2")
    assert again.order.order_key == "k2"


async def test_a_press_is_one_order_whatever_the_browser_says_the_second_time(cafe: Cafe) -> None:
    views = await asyncio.gather(*(cafe.checkouts.press(PRESS) for _ in range(3)))
    changed = await cafe.checkouts.press(replace(PRESS, amount_fen=1))
    assert {one.checkout_id for one in (*views, changed)} == {views[0].checkout_id}
    assert (changed.amount_fen, changed.shop_name, changed.remark) == (1990, "奶茶店", "少冰")
    with pytest.raises(Conflict):
        await cafe.checkouts.press(replace(PRESS, code_id="d" * 26))
    base = await cafe.store.payment(views[0].checkout_id)
    assert base.order.door == "page"
    assert orjson.loads(base.order.metadata_json) == {"qr_code": "c" * 26, "remark": "少冰"}
    assert await cafe.payments.find_by_order("M1", "press-1") == base


@pytest.mark.parametrize("url", ["https://shop.example/paid", ""])
async def test_a_printed_codes_payment_is_told_where_its_code_says(cafe: Cafe, url: str) -> None:
    """One sequence, with its refund, at the address of the press; nobody where there is none."""
    view = await cafe.checkouts.press(replace(PRESS, notify_url=url))
    again = replace(PRESS, notify_url="https://shop.example/changed-meanwhile")
    assert (await cafe.checkouts.press(again)).checkout_id == view.checkout_id
    base = await cafe.store.payment(view.checkout_id)
    await cafe.checkouts.begin(base.order.id, ANN)
    await hears(cafe, await cafe.attempt(base), PAID)
    told = await cafe.told(base)
    expected = [("payment.succeeded", 1, url)] if url else []
    assert [(one.type, one.sequence, one.url) for one in told] == expected
    for one in told:
        payment = orjson.loads(one.body)["payment"]
        assert (payment["status"], payment["store_id"]) == ("succeeded", None)
        assert payment["metadata"] == {"qr_code": PRESS.code_id, "remark": "少冰"}


async def test_a_repeated_press_is_answered_whatever_keeps_new_ones_out(
    cafe: Cafe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the process drains, and once no wallet is open to the merchant any more."""
    first = await cafe.checkouts.press(PRESS)
    await cafe.payments.drain(0)
    assert (await cafe.checkouts.press(PRESS)).checkout_id == first.checkout_id
    with pytest.raises(Unavailable):
        await cafe.checkouts.press(replace(PRESS, press_key="press-2"))
    monkeypatch.setattr(cafe.payments, "_accepting", True)
    monkeypatch.setattr(cafe.routes, "open_to", lambda _merchant_no: ())
    assert (await cafe.checkouts.press(PRESS)).checkout_id == first.checkout_id
    with pytest.raises(Unprocessable):
        await cafe.checkouts.press(replace(PRESS, press_key="press-2"))


@pytest.mark.parametrize("change", [{"press_key": "no key"}, {"press_key": ""}, {"amount_fen": 0}])
async def test_an_altered_press_makes_nothing(cafe: Cafe, change: dict[str, Any]) -> None:
    with pytest.raises(Unprocessable):
        await cafe.checkouts.press(replace(PRESS, **change))
    assert await cafe.store.jobs(None, "", 9) == []
