"""A process that dies at any step of a checkout: the next brings it to one end, charged once.

Each death is a call of the store or of the channel that never comes back, just before or just
after what it does. What the dead process knew is gone; the next has the store alone.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from channels.payer_orders import OrderAnswer
from channels.port import Verdict
from domain.checkout import OPEN, CheckoutStatus
from domain.payment import Payment, Status
from gateway.checkout.port import Start
from gateway.store.port import JobKind, Store
from tests.gateway.checkout.cafe import ANN, BOB, STANDS, Cafe
from tests.gateway.scripted import ACTING, CLOSED, MISSING, PAID, RETURNED

Act = Callable[[Cafe, Payment], Awaitable[Any]]


class Died(BaseException):
    """The process is gone."""


async def die(*_: object) -> None:
    raise Died


async def begin(cafe: Cafe, base: Payment) -> None:
    await cafe.checkouts.begin(base.order.id, ANN)


async def cancel(cafe: Cafe, base: Payment) -> None:
    await cafe.checkouts.cancel(base)


async def ask(cafe: Cafe, base: Payment) -> None:
    cafe.alipay.queries = [PAID]
    await cafe.checkouts.ask(base.order.id)


async def expire(cafe: Cafe, _: Payment) -> None:
    cafe.clock.later_s = 301
    await cafe.end_due()


async def dies(cafe: Cafe, base: Payment, act: Act, place: str, call: str) -> None:
    """Do it, and die at that place."""
    hooks = cafe.flaky.before if place == "before" else cafe.flaky.after
    hooks[call] = die
    with pytest.raises(Died):
        await act(cafe, base)
    for task in tuple(cafe.payments._tasks):
        task.cancel()


async def order_nos(store: Store, base: Payment) -> set[str]:
    """The numbers under which any channel may have heard of it."""
    row = await store.checkout(base.order.id)
    assert row is not None
    ids = [f"{base.order.id}-{number}" for number in range(1, row.attempts + 1)]
    return {one.order.channel_order_no for one in await store.payments(ids)}


def heir(store: Store, dead: Cafe) -> Cafe:
    """Another process on the same store, at the same time of day, before the same channels."""
    cafe = Cafe(store)
    cafe.clock.later_s = dead.clock.later_s
    for mine, theirs in ((cafe.alipay, dead.alipay), (cafe.wechat, dead.wechat)):
        mine.requests, mine.queries, mine.cancels = theirs.requests, theirs.queries, theirs.cancels
    return cafe


@pytest.mark.parametrize("place", ["before", "after"])
async def test_a_checkout_is_made_or_not(store: Store, place: str) -> None:
    """The merchant's repeat finds it, or makes it; there is one either way."""
    dead = Cafe(store)
    hooks = dead.flaky.before if place == "before" else dead.flaky.after
    hooks["claim"] = die
    with pytest.raises(Died):
        await dead.opened()
    cafe = heir(store, dead)
    base = await cafe.opened()
    assert await cafe.stands(base) == (CheckoutStatus.WAITING, "pending")
    assert len(await store.jobs(JobKind.CHECKOUT, "", 9)) == 1


@pytest.mark.parametrize(
    ("place", "call"),
    [("before", "claim"), ("after", "claim"), ("before", "advance"), ("after", "advance")],
)
async def test_a_payer_begins_again_where_the_process_died(
    store: Store, place: str, call: str
) -> None:
    """The same order under the same number, paid once, announced once."""
    dead = Cafe(store)
    base = await dead.opened()
    await dies(dead, base, begin, place, call)
    cafe = heir(store, dead)
    cafe.alipay.queries = [MISSING]
    begun = await cafe.checkouts.begin(base.order.id, ANN)
    assert begun.start is Start.READY
    assert {request.order_no for request in cafe.alipay.requests} == await order_nos(store, base)
    assert (await cafe.row(base)).attempts == 1
    cafe.alipay.queries = [PAID]
    await cafe.settle_due()
    assert await cafe.stands(base) == (CheckoutStatus.PAID, "succeeded")
    assert [one.type for one in await cafe.told(base)] == ["payment.succeeded"]
    assert (await cafe.proof()).named == []


@pytest.mark.parametrize("sent", [False, True])
async def test_an_order_that_nobody_comes_back_for_is_closed(store: Store, sent: bool) -> None:
    """Died in the call: whether or not the order stands, it ends with its time, undone."""
    dead = Cafe(store)
    base = await dead.opened()

    async def gone() -> OrderAnswer:
        raise Died

    dead.alipay.orders = [gone]
    with pytest.raises(Died):
        await begin(dead, base)
    cafe = heir(store, dead)
    cafe.alipay.queries = [ACTING if sent else MISSING]
    cafe.clock.later_s = 301
    await cafe.settle_due()
    await cafe.end_due()
    assert cafe.alipay.calls[-1] == "cancel"
    assert await cafe.stands(base) == (CheckoutStatus.CLOSED, "closed")
    assert [one.type for one in await cafe.told(base)] == ["payment.closed"]
    assert (await cafe.proof()).named == []


@pytest.mark.parametrize("place", ["before", "after"])
async def test_paid_is_booked_whole_or_not_yet(store: Store, place: str) -> None:
    """Attempt, checkout, payment, ledger and notice: all of it, by whoever comes next."""
    dead = Cafe(store)
    base = await dead.opened()
    await begin(dead, base)
    await dies(dead, base, ask, place, "advance")
    cafe = heir(store, dead)
    whole = (await cafe.row(base)).status is CheckoutStatus.PAID
    assert whole == (place == "after")
    assert (await cafe.attempt(base)).standing.captured_fen == (1990 if whole else 0)
    assert len(await cafe.told(base)) == int(whole)
    await cafe.settle_due()
    assert await cafe.stands(base) == (CheckoutStatus.PAID, "succeeded")
    assert len(await cafe.told(base)) == 1
    assert (await cafe.proof()).named == []


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("state", ["waiting", "paying", "paid"])
async def test_a_cancel_is_begun_or_not(store: Store, place: str, state: str) -> None:
    """The merchant's repeat, or recovery, ends it; the money is back where there was any."""
    dead = Cafe(store)
    base = await dead.opened()
    if state != "waiting":
        await begin(dead, base)
    if state == "paid":
        await ask(dead, base)
        dead.alipay.cancels = [RETURNED]
    call = "move_checkout" if state == "waiting" else "advance"
    await dies(dead, base, cancel, place, call)
    cafe = heir(store, dead)
    begun = (await cafe.row(base)).status not in (*OPEN, CheckoutStatus.PAID)
    assert begun == (place == "after")
    if not begun:
        await cancel(cafe, await cafe.now(base))
    await cafe.settle_due()
    ended = ("reversed", "closed")[state != "paid"]
    assert (await cafe.stands(base))[1] == ended
    assert (await cafe.told(base))[-1].type == f"payment.{ended}"
    assert (await cafe.proof()).named == []


@pytest.mark.parametrize("place", ["before", "after"])
async def test_an_end_by_time_is_told_once(store: Store, place: str) -> None:
    dead = Cafe(store)
    base = await dead.opened()
    await dies(dead, base, expire, place, "move_checkout")
    cafe = heir(store, dead)
    for job in await store.jobs(JobKind.CHECKOUT, "", 9):  # the dead one's lease is over
        await store.renew(JobKind.CHECKOUT, job.subject, 0, job.fence, given_back=True)
    await cafe.end_due()
    assert await cafe.stands(base) == (CheckoutStatus.CLOSED, "closed")
    assert [one.type for one in await cafe.told(base)] == ["payment.closed"]


async def test_a_takeover_that_died_half_way_is_finished(store: Store) -> None:
    """The first order's undo was begun: recovery ends it, and then another may begin."""
    dead = Cafe(store)
    base = await dead.opened()
    await begin(dead, base)
    dead.alipay.queries = [ACTING]
    dead.clock.later_s = 21

    async def gone() -> Any:
        raise Died

    dead.alipay.cancels = [gone]
    begun = await dead.checkouts.begin(base.order.id, BOB)
    assert begun.start is Start.ELSEWHERE
    cafe = heir(store, dead)
    cafe.alipay.cancels = [CLOSED]
    assert (await cafe.attempt(base)).standing.status is Status.REVERSING
    await cafe.settle_due()
    assert (await cafe.checkouts.begin(base.order.id, BOB)).start is Start.READY
    assert (await cafe.row(base)).attempts == 2


async def test_a_code_that_was_made_and_not_kept_is_made_again(store: Store) -> None:
    dead = Cafe(store)
    dead.flaky.before["move_checkout"] = die
    with pytest.raises(Died):
        await dead.opened(wallets=["wechat"])
    cafe = heir(store, dead)
    base = await cafe.opened(wallets=["wechat"])
    code = await cafe.checkouts.code(base)
    assert code is not None
    assert code.code == STANDS.code
    assert len({request.order_no for request in cafe.wechat.requests}) == 1


async def test_the_channels_no_is_not_lost(store: Store) -> None:
    """Refused, and died before that was booked: nobody paid, so the next may begin."""
    dead = Cafe(store)
    base = await dead.opened()
    dead.alipay.orders = [OrderAnswer(verdict=Verdict.DECLINED)]
    await dies(dead, base, begin, "before", "advance")
    cafe = heir(store, dead)
    cafe.alipay.queries = [MISSING]
    cafe.clock.later_s = 21
    assert (await cafe.checkouts.begin(base.order.id, BOB)).start is Start.READY
