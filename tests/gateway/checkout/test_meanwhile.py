"""What becomes of an order while its channel makes it again, and of money that comes after all.

Whoever goes on with an order, takes one over or looks again is told what is true by then.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from channels.payer_orders import OrderAnswer
from channels.port import Verdict
from domain.checkout import CheckoutStatus
from domain.decline import Decline, DeclineReason
from domain.payment import Payment, Status
from gateway.checkout.port import Start
from gateway.checkout.repeats import Repeats
from gateway.http.pages.orders import state_of
from gateway.http.pages.texts import State
from gateway.routes import Routes
from gateway.store.port import Store
from tests.gateway.checkout.cafe import ANN, BOB, STANDS, Cafe, WalletChannel
from tests.gateway.checkout.walks import hears, paying, quiet
from tests.gateway.scripted import ACTING, LOST, MISSING, PAID, RETURNED, SILENT
from tests.support.waiting import eventually


async def cancelled(cafe: Cafe, base: Payment) -> None:
    await cafe.checkouts.cancel(base)
    await quiet(cafe)


async def paid(cafe: Cafe, base: Payment) -> None:
    await hears(cafe, await cafe.attempt(base), PAID)


async def taken_over(cafe: Cafe, base: Payment) -> None:
    cafe.clock.later_s = 21
    assert (await cafe.checkouts.begin(base.order.id, BOB)).start is Start.READY


@pytest.mark.parametrize(
    ("happens", "told"),
    [(cancelled, Start.OVER), (paid, Start.PAID), (taken_over, Start.UNKNOWN)],
)
async def test_an_order_that_ended_while_it_was_made_again_is_handed_to_nobody(
    cafe: Cafe, happens: Callable[[Cafe, Payment], Awaitable[None]], told: Start
) -> None:
    """The channel says "it stands", and by then it was paid, closed or is another's."""
    base = await paying(cafe)
    cafe.alipay.queries = [ACTING]

    async def meanwhile() -> OrderAnswer:
        await happens(cafe, base)
        return STANDS

    cafe.alipay.orders = [meanwhile]
    begun = await cafe.checkouts.begin(base.order.id, ANN)
    assert (begun.start, begun.parameters) == (told, {})
    assert (await cafe.proof()).named == []


async def test_an_order_is_made_again_at_the_account_that_has_it(cafe: Cafe) -> None:
    """The merchant has an account of its own by now: a second order there could be paid, too."""
    base = await paying(cafe)
    other, kept = WalletChannel(), [cafe.routes.of_account(name) for name in ("a1", "w1")]
    own = replace(cafe._open("a2", "alipay", other), merchant_no="M1")
    vars(cafe.routes).update(vars(Routes([*kept, own])))
    assert (await cafe.checkouts.begin(base.order.id, ANN)).start is Start.READY
    assert other.calls == []
    first, second = cafe.alipay.requests
    assert first == second


async def test_looking_often_is_no_flood_of_calls(cafe: Cafe) -> None:
    """Every look at the page of an order that is being paid hands it on: from what was said."""
    base = await paying(cafe)
    for _ in range(30):
        begun = await cafe.checkouts.begin(base.order.id, ANN)
        assert (begun.start, begun.parameters) == (Start.READY, STANDS.parameters)
    assert len(cafe.alipay.requests) == 2
    cafe.clock.skipped_s += 1.1
    await cafe.checkouts.begin(base.order.id, ANN)
    assert len(cafe.alipay.requests) == 3


async def test_looks_at_once_make_one_order(cafe: Cafe) -> None:
    """Whoever looks while it is being made again waits for the same answer."""
    base = await paying(cafe)
    looks = [cafe.checkouts.begin(base.order.id, ANN) for _ in range(9)]
    assert {one.start for one in await asyncio.gather(*looks)} == {Start.READY}
    assert len(cafe.alipay.requests) == 2


async def test_who_goes_away_while_it_is_made_again_keeps_nobody_waiting(cafe: Cafe) -> None:
    """The first look is given up in its call: the others are told that it is not known."""
    base = await paying(cafe)
    asked = asyncio.Event()

    async def stuck() -> OrderAnswer:
        asked.set()
        await asyncio.Event().wait()
        return STANDS

    cafe.alipay.orders = [stuck]
    first, gone, second = (
        asyncio.ensure_future(cafe.checkouts.begin(base.order.id, ANN)) for _ in range(3)
    )
    await asked.wait()
    gone.cancel()
    first.cancel()
    assert (await second).start is Start.UNKNOWN
    assert cafe.checkouts.remembered() == 1


async def test_what_was_said_is_forgotten(cafe: Cafe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the oldest, and whatever is older than a second."""
    monkeypatch.setattr("gateway.checkout.repeats.AT_MOST", 2)
    repeats = Repeats(cafe.clock)

    made = 0

    async def make() -> OrderAnswer:
        nonlocal made
        made += 1
        return STANDS

    for number in range(5):
        assert await repeats.once(str(number), make) == STANDS
    assert (len(repeats), made) == (2, 5)
    await repeats.once("4", make)
    assert made == 5
    await repeats.once("0", make)
    assert made == 6
    cafe.clock.skipped_s += 1.1
    await repeats.once("4", make)
    assert (len(repeats), made) == (1, 7)


async def test_whoever_takes_over_what_was_paid_is_told_so(cafe: Cafe) -> None:
    """Asked about because another pressed: nobody is left with "being paid elsewhere"."""
    base = await paying(cafe)
    cafe.alipay.queries = [PAID]
    cafe.clock.later_s = 21
    begun = await cafe.checkouts.begin(base.order.id, BOB)
    assert (begun.start, begun.view.status) == (Start.PAID, CheckoutStatus.PAID)
    assert cafe.wechat.calls == []


async def test_a_code_that_is_being_undone_is_not_made_again(cafe: Cafe) -> None:
    """Its channel may close it before the new order comes: a dead order would be shown."""
    cafe.wechat.orders, cafe.wechat.queries = [OrderAnswer(verdict=Verdict.UNKNOWN)], [MISSING]
    base = await cafe.opened(wallets=["wechat"])
    cafe.wechat.queries, cafe.wechat.cancels = [replace(LOST, hopeless=True)], [SILENT]
    await cafe.settle_due()
    assert (await cafe.attempt(base)).standing.status is Status.REVERSING
    cafe.wechat.orders = [STANDS]
    again = await cafe.opened(wallets=["wechat"])
    assert len(cafe.wechat.requests) == 1
    assert await cafe.checkouts.code(again) is None


async def test_the_code_of_an_order_that_ended_meanwhile_is_not_shown(cafe: Cafe) -> None:
    cafe.wechat.orders, cafe.wechat.queries = [OrderAnswer(verdict=Verdict.UNKNOWN)], [MISSING]
    base = await cafe.opened(wallets=["wechat"])

    async def meanwhile() -> OrderAnswer:
        cafe.wechat.queries = [replace(LOST, hopeless=True)]
        await cafe.settle_due()
        assert (await cafe.attempt(base)).standing.status is Status.CLOSED
        return STANDS

    cafe.wechat.orders = [meanwhile]
    again = await cafe.opened(wallets=["wechat"])
    assert await cafe.checkouts.code(again) is None


async def shown(cafe: Cafe, base: Payment) -> State:
    """The state of Ann's page."""
    view = await cafe.checkouts.view(base.order.id, ANN)
    assert view is not None
    return state_of(view, cafe.clock.now_ms())


async def test_who_gave_up_and_paid_all_the_same_never_reads_that_nothing_was_charged(
    cafe: Cafe,
) -> None:
    """Nobody else has begun: the order waits, and his money is on its way back."""
    base = await paying(cafe)
    cafe.alipay.queries = [ACTING]
    await cafe.checkouts.release(base.order.id, ANN)
    assert await shown(cafe, base) is State.FAILED
    await hears(cafe, await cafe.attempt(base), PAID)
    assert await shown(cafe, base) is State.TWICE
    cafe.alipay.cancels = [RETURNED]
    await cafe.settle_due()
    assert await shown(cafe, base) is State.TWICE
    view = await cafe.checkouts.view(base.order.id, BOB)
    assert view is not None
    assert not view.is_paid_twice


async def test_a_giving_up_that_found_money_says_so(cafe: Cafe) -> None:
    """The undo itself tells that it was paid: nothing was ever heard before."""
    base = await paying(cafe)
    cafe.alipay.queries, cafe.alipay.cancels = [ACTING], [RETURNED]
    view = await cafe.checkouts.release(base.order.id, ANN)
    assert state_of(view, cafe.clock.now_ms()) is State.TWICE


async def test_money_of_an_attempt_before_is_told_where_the_last_one_was_refused(
    cafe: Cafe,
) -> None:
    """He began again, and was refused; the first was paid meanwhile."""
    base = await paying(cafe)
    cafe.alipay.queries = [ACTING]
    await cafe.checkouts.release(base.order.id, ANN)
    assert (await cafe.checkouts.begin(base.order.id, ANN)).start is Start.READY
    await hears(cafe, await cafe.attempt(base, 1), PAID)
    assert await shown(cafe, base) is State.PAYING  # he can finish this one
    await cafe.checkouts.release(base.order.id, ANN)
    assert await shown(cafe, base) is State.TWICE


async def test_a_no_to_one_making_does_not_unmake_what_a_repeat_elsewhere_made(
    store: Store,
) -> None:
    """Two processes make the same order; the one that is refused afterwards ends nothing.

    Its channel's "no" says that this call made none: the order of the other one can still be paid,
    and a second wallet must not be let in beside it.
    """
    one, other = Cafe(store), Cafe(store)
    base, release = await one.opened(), asyncio.Event()

    async def slow() -> OrderAnswer:
        await release.wait()
        return OrderAnswer(
            verdict=Verdict.DECLINED, reason=DeclineReason.NOT_PERMITTED, channel_code="SIGN_ERROR"
        )

    one.alipay.orders, one.alipay.queries = [slow], [ACTING]
    first = asyncio.create_task(one.checkouts.begin(base.order.id, ANN))
    await eventually(lambda: one.alipay.calls.count("create_page_order") == 1)
    assert (await other.checkouts.begin(base.order.id, ANN)).start is Start.READY
    release.set()
    await first
    assert (await one.attempt(base)).standing.status is Status.PENDING
    assert (await other.checkouts.begin(base.order.id, BOB)).start is Start.ELSEWHERE


async def test_a_no_to_the_only_making_lets_the_next_one_in(cafe: Cafe) -> None:
    """With its own reason: nothing was made, and the checkout waits for another wallet."""
    base = await cafe.opened()
    cafe.alipay.orders = [
        OrderAnswer(verdict=Verdict.DECLINED, reason=DeclineReason.NOT_PERMITTED, channel_code="X")
    ]
    assert (await cafe.checkouts.begin(base.order.id, ANN)).start is Start.REFUSED
    failed = (await cafe.attempt(base)).standing
    assert failed.decline == Decline(DeclineReason.NOT_PERMITTED, "X")
    assert failed.status is Status.FAILED
    cafe.alipay.orders = [STANDS]
    assert (await cafe.checkouts.begin(base.order.id, BOB)).start is Start.READY
