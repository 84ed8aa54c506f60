"""How a checkout ends: cancelled, out of time, refunded, decided by a person, never twice."""

import asyncio
from dataclasses import replace
from typing import Any

import orjson
import pytest

from channels.payer_orders import OrderAnswer
from domain.checkout import CheckoutStatus
from domain.errors import Conflict, Unprocessable
from domain.payment import Payment, Status
from domain.settle import Decision
from gateway.cases import Cases
from gateway.checkout.port import Start
from gateway.refunds import RefundAsk
from gateway.store.port import JobKind, Store
from tests.gateway.checkout.cafe import ANN, BOB, BOUNDS, PUBLIC_URL, STANDS, Cafe
from tests.gateway.checkout.walks import hears, paying, quiet
from tests.gateway.scripted import ACTING, CLOSED, LOST, MISSING, NO, PAID, RETURNED, SILENT
from tests.support.waiting import eventually

# --- the merchant ends it


async def test_a_cancelled_checkout_that_nobody_pays_is_closed_at_once(cafe: Cafe) -> None:
    base = await cafe.opened()
    await cafe.checkouts.cancel(base)
    assert await cafe.stands(base) == (CheckoutStatus.CLOSED, "closed")
    assert (await cafe.checkouts.begin(base.order.id, ANN)).start is Start.OVER
    assert [(one.type, one.sequence) for one in await cafe.told(base)] == [("payment.closed", 1)]
    assert cafe.alipay.calls == []
    assert (await cafe.proof()).named == []


async def test_a_cancel_undoes_the_attempt_and_tells_once(cafe: Cafe) -> None:
    base = await paying(cafe)
    undone = await cafe.checkouts.cancel(base)
    assert undone.standing.status is Status.REVERSING
    await quiet(cafe)
    assert await cafe.stands(base) == (CheckoutStatus.CLOSED, "closed")
    [notice] = await cafe.told(base)
    shown = orjson.loads(notice.body)["payment"]
    assert (notice.type, shown["error"]["code"]) == ("payment.closed", "cancelled")
    assert (await cafe.proof()).named == []


async def test_a_cancel_of_a_paid_one_returns_it(cafe: Cafe) -> None:
    base = await paying(cafe)
    await hears(cafe, await cafe.attempt(base), PAID)
    cafe.alipay.cancels = [RETURNED]
    await cafe.checkouts.cancel(await cafe.now(base))
    await quiet(cafe)
    assert await cafe.stands(base) == (CheckoutStatus.REVERSED, "reversed")
    told = [(one.type, one.sequence) for one in await cafe.told(base)]
    assert told == [("payment.succeeded", 1), ("payment.reversed", 2)]
    seen = await cafe.checkouts.seen(await cafe.now(base))
    assert seen.standing.returned_fen == 1990
    assert (await cafe.proof()).named == []


async def test_money_that_comes_after_the_end_goes_back_and_is_told(cafe: Cafe) -> None:
    base = await paying(cafe)
    await cafe.checkouts.cancel(base)
    await quiet(cafe)
    await hears(cafe, await cafe.attempt(base), PAID)
    assert await cafe.stands(base) == (CheckoutStatus.CLOSING, "reversing")
    cafe.alipay.cancels = [RETURNED]
    await cafe.settle_due()
    assert await cafe.stands(base) == (CheckoutStatus.REVERSED, "reversed")
    told = [(one.type, one.sequence) for one in await cafe.told(base)]
    assert told == [("payment.closed", 1), ("payment.reversed", 2)]
    assert (await cafe.proof()).named == []


@pytest.mark.parametrize("is_answered", [True, False])
async def test_a_cancel_that_read_an_order_on_its_way(cafe: Cafe, is_answered: bool) -> None:
    """Answered since: undone at once, for its sender has gone. Still on its way: its sender's."""
    on_its_way, answered = asyncio.Event(), asyncio.Event()

    async def held() -> OrderAnswer:
        on_its_way.set()
        await answered.wait()
        return STANDS

    cafe.alipay.orders = [held]
    base = await cafe.opened()
    pressed = asyncio.ensure_future(cafe.checkouts.begin(base.order.id, ANN))
    await on_its_way.wait()
    read = await cafe.attempt(base)
    assert read.standing.status is Status.SUBMITTED
    if is_answered:
        answered.set()
        await pressed
    await cafe.payments.cancel(read)
    await quiet(cafe)
    assert ("cancel" in cafe.alipay.calls) is is_answered
    expected = CheckoutStatus.CLOSED if is_answered else CheckoutStatus.CLOSING
    assert (await cafe.row(base)).status is expected
    answered.set()
    assert (await pressed).start is (Start.READY if is_answered else Start.OVER)
    await quiet(cafe)
    assert await cafe.stands(base) == (CheckoutStatus.CLOSED, "closed")
    assert cafe.alipay.calls.count("cancel") == 1


async def test_a_cancel_races_a_begin(cafe: Cafe) -> None:
    """Whichever is first: closed in the end, and nothing is left open at a channel."""
    for number in range(6):
        base = await cafe.opened(f"race{number}")
        await asyncio.gather(cafe.checkouts.begin(base.order.id, ANN), cafe.checkouts.cancel(base))
        await quiet(cafe)
        assert await cafe.stands(base) == (CheckoutStatus.CLOSED, "closed")
        if (await cafe.row(base)).attempts:
            assert (await cafe.attempt(base)).standing.status is Status.CLOSED
    assert (await cafe.proof()).named == []


# --- its time is over


async def test_the_time_of_one_that_nobody_pays_ends_it(cafe: Cafe) -> None:
    base = await cafe.opened()
    await cafe.end_due()
    assert await cafe.stands(base) == (CheckoutStatus.WAITING, "pending")
    cafe.clock.later_s = 301
    assert (await cafe.checkouts.begin(base.order.id, ANN)).start is Start.OVER
    await cafe.end_due()
    assert await cafe.stands(base) == (CheckoutStatus.CLOSED, "closed")
    [notice] = await cafe.told(base)
    assert orjson.loads(notice.body)["payment"]["error"]["code"] == "not_paid_in_time"
    assert await cafe.store.jobs(JobKind.CHECKOUT, "", 9) == []


async def test_the_time_alone_ends_nothing_that_may_be_paid(cafe: Cafe) -> None:
    """Only the channel's answer does: asked once more, then closed there."""
    base = await paying(cafe)
    cafe.alipay.queries = [ACTING]
    cafe.clock.later_s = 301
    await cafe.end_due()
    assert await cafe.stands(base) == (CheckoutStatus.PAYING, "pending")
    await cafe.settle_due()
    assert cafe.alipay.calls == ["create_page_order", "query", "cancel"]
    assert await cafe.stands(base) == (CheckoutStatus.CLOSED, "closed")
    assert [one.type for one in await cafe.told(base)] == ["payment.closed"]
    assert await cafe.store.jobs(JobKind.CHECKOUT, "", 9) == []


async def test_what_is_paid_at_the_last_moment_stands(cafe: Cafe) -> None:
    base = await paying(cafe)
    cafe.alipay.queries = [PAID]
    cafe.clock.later_s = 301
    await cafe.settle_due()
    assert await cafe.stands(base) == (CheckoutStatus.PAID, "succeeded")
    await cafe.end_due()
    assert await cafe.stands(base) == (CheckoutStatus.PAID, "succeeded")


async def test_an_attempt_waits_for_its_payer_however_often_it_is_asked_about(cafe: Cafe) -> None:
    """Long past a till's patience and the channel's schedule, "not found" included."""
    base = await paying(cafe)
    cafe.alipay.queries = [MISSING, MISSING, MISSING, ACTING, LOST, ACTING]
    for later_s in (30, 60, 90, 120, 200, 290):
        cafe.clock.later_s = later_s
        await cafe.settle_due()
    assert cafe.alipay.calls.count("query") == 6
    assert "cancel" not in cafe.alipay.calls
    assert (await cafe.row(base)).status is CheckoutStatus.PAYING


@pytest.mark.parametrize(
    ("public_url", "asked_at_s"),
    [(PUBLIC_URL, [5, 10, 15, 20, 25, 40]), ("", [2, 4, 6, 8, 10, 15, 20, 25, 40])],
    ids=["told", "never told"],
)
async def test_an_attempt_is_asked_about_the_seldomer_the_older_it_is(
    store: Store, monkeypatch: pytest.MonkeyPatch, public_url: str, asked_at_s: list[int]
) -> None:
    """Soon where only asking tells; from 5 s on where the channel tells by itself."""
    cafe = Cafe(store, replace(BOUNDS, public_url=public_url))
    made_ms = cafe.clock.now_ms()
    monkeypatch.setattr(cafe.clock, "now_ms", lambda: made_ms + cafe.clock.later_s * 1000)
    await cafe.opened(wallets=["wechat"])
    await quiet(cafe)
    cafe.wechat.queries = [ACTING]
    heard_s = []
    for later_s in range(1, 42):
        cafe.clock.later_s = later_s
        asked = cafe.wechat.calls.count("query")
        await cafe.recover()
        if cafe.wechat.calls.count("query") > asked:
            heard_s.append(later_s)
    assert heard_s == asked_at_s


async def test_one_that_was_taken_over_when_its_time_ends(cafe: Cafe) -> None:
    """The attempt is being undone already: the checkout ends with it."""
    base = await paying(cafe)
    cafe.alipay.queries, cafe.alipay.cancels = [ACTING], [SILENT]
    await cafe.checkouts.release(base.order.id, ANN)
    assert await cafe.stands(base) == (CheckoutStatus.PAYING, "pending")
    cafe.clock.later_s = 301
    await cafe.end_due()
    assert await cafe.stands(base) == (CheckoutStatus.CLOSING, "reversing")
    cafe.alipay.cancels = [CLOSED]
    await quiet(cafe)
    await cafe.settle_due()
    assert await cafe.stands(base) == (CheckoutStatus.CLOSED, "closed")
    assert (await cafe.proof()).named == []


# --- refunds


async def refund(cafe: Cafe, base: Payment, number: str = "r1", amount_fen: int = 500) -> Any:
    ask = RefundAsk(merchant_refund_no=number, amount_fen=amount_fen, reason="", fingerprint=b"f")
    return await cafe.refunds.create("M1", base.order.id, ask)


async def test_a_refund_of_a_checkout_is_one_of_its_attempt(cafe: Cafe) -> None:
    base = await paying(cafe)
    await hears(cafe, await cafe.attempt(base), PAID)
    before = (await cafe.now(base)).standing.version
    made, replayed = await refund(cafe, base)
    await eventually(lambda: not cafe.refunds.in_flight())
    # reserved, then returned: whoever follows the order by its own id hears of both
    assert await cafe.store.payment_versions([base.order.id]) == {base.order.id: before + 2}
    again, is_known = await refund(cafe, base)
    assert (replayed, is_known, again.order) == (False, True, made.order)
    seen = await cafe.checkouts.seen(await cafe.now(base))
    assert (seen.standing.status, seen.standing.returned_fen) == (Status.SUCCEEDED, 500)
    told = await cafe.told(base)
    assert [(one.type, one.sequence) for one in told] == [
        ("payment.succeeded", 1),
        ("refund.succeeded", 2),
    ]
    assert orjson.loads(told[1].body)["refund"]["payment_id"] == base.order.id
    with pytest.raises(Conflict, match="refunded"):
        await cafe.checkouts.cancel(await cafe.now(base))
    with pytest.raises(Unprocessable, match="1490"):
        await refund(cafe, base, "r2", 1491)
    assert (await cafe.proof()).named == []


async def test_what_nobody_paid_is_not_refunded(cafe: Cafe) -> None:
    base = await cafe.opened()
    with pytest.raises(Conflict, match="pending"):
        await refund(cafe, base)
    await cafe.checkouts.begin(base.order.id, ANN)
    with pytest.raises(Conflict, match="pending"):
        await refund(cafe, base)


# --- a person decides


async def test_a_parked_attempt_is_the_checkouts_case(cafe: Cafe) -> None:
    """Another amount: nobody else begins, and the person's word moves both."""

    base = await paying(cafe)
    await hears(cafe, await cafe.attempt(base), replace(PAID, amount_fen=1))
    seen = await cafe.checkouts.seen(await cafe.now(base))
    assert seen.standing.parked_reason == "amount_mismatch"
    cafe.clock.later_s = 60
    assert (await cafe.checkouts.begin(base.order.id, BOB)).start is Start.ELSEWHERE
    cases = Cases(store=cafe.store, clock=cafe.clock, notices=cafe.notices)
    [case] = [one async for one in cases.listed(is_open=True)]
    await cases.resolve(case.case_id, Decision.PAID, by="wang", why="the bank says so")
    assert await cafe.stands(base) == (CheckoutStatus.PAID, "succeeded")
    assert [one.type for one in await cafe.told(base)] == ["payment.succeeded"]
    assert (await cafe.proof()).named == []


async def test_a_declined_attempt_is_not_announced(cafe: Cafe) -> None:
    base = await paying(cafe)
    await hears(cafe, await cafe.attempt(base), NO)
    assert await cafe.stands(base) == (CheckoutStatus.WAITING, "pending")
    assert await cafe.told(base) == []
