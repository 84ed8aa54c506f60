"""One order, several wallets: begun once, taken over, paid twice, cancelled, expired, refunded."""

import asyncio
from dataclasses import replace

import orjson
import pytest

from domain.checkout import CheckoutStatus
from domain.decline import DeclineReason
from domain.errors import NotFound
from domain.payment import Event, Payment, Status
from gateway.checkout.port import Payer, Start
from gateway.store.port import JobKind
from tests.gateway.checkout.cafe import ANN, BOB, PUBLIC_URL, STANDS, Cafe
from tests.gateway.checkout.walks import PRESS, REFUSED, UNANSWERED, hears, paying, quiet
from tests.gateway.scripted import ACTING, CLOSED, LOST, MISSING, PAID, RETURNED, SILENT


async def test_a_checkout_waits_and_nothing_is_at_any_channel(cafe: Cafe) -> None:
    """No order exists before the press; its merchant sees a payment that waits."""
    base = await cafe.opened()
    assert await cafe.stands(base) == (CheckoutStatus.WAITING, "pending")
    assert cafe.alipay.calls == cafe.wechat.calls == []
    assert [line.event for line in await cafe.store.events(base.order.id)] == [Event.PAYER_ACTING]
    assert await cafe.open_jobs() == []


async def test_a_payer_begins_pays_and_the_merchant_is_told_once(cafe: Cafe) -> None:
    """The order stands at one channel; its word moves attempt and checkout in one commit."""
    base = await cafe.opened()
    back = f"{PUBLIC_URL}/q/x/done"
    begun = await cafe.checkouts.begin(base.order.id, replace(ANN, return_url=back))
    assert (begun.start, begun.parameters) == (Start.READY, STANDS.parameters)
    assert begun.view.is_mine
    [request] = cafe.alipay.requests
    assert (request.payer_id, request.amount_fen) == (ANN.payer_id, 1990)
    assert request.return_url == back
    assert request.notify_url == f"{PUBLIC_URL}/notify/alipay/a1"
    assert request.expires_at_ms == base.order.till_deadline_ms
    attempt = await cafe.attempt(base)
    assert (attempt.order.channel_order_no, attempt.order.method) == (request.order_no, "jsapi")
    await hears(cafe, attempt, PAID)
    assert await cafe.stands(base) == (CheckoutStatus.PAID, "succeeded")
    [notice] = await cafe.told(base)
    shown = orjson.loads(notice.body)["payment"]
    assert (notice.type, notice.sequence) == ("payment.succeeded", 1)
    assert (shown["id"], shown["merchant_order_no"]) == (base.order.id, "k1")
    assert (shown["channel"], shown["channel_order_no"]) == ("alipay", request.order_no)
    assert shown["method"] == {"type": "qr"}
    assert await cafe.held(attempt) == 1990
    assert {job.kind for job in await cafe.store.jobs(None, "", 9)} == {JobKind.NOTIFY}
    assert (await cafe.proof()).named == []


async def test_a_payers_name_is_stored_nowhere(cafe: Cafe) -> None:
    base = await paying(cafe)
    attempt = await cafe.attempt(base)
    texts = repr((attempt, base, await cafe.row(base), ANN, cafe.alipay.requests))
    assert ANN.payer_id not in texts
    assert ANN.payer_id.encode() not in attempt.order.pan_token


async def test_from_the_press_to_the_order_the_store_is_asked_four_times(cafe: Cafe) -> None:
    """Three commits and one look between them; nothing that was just written is read again."""
    pressed = await cafe.checkouts.press(PRESS)
    begun = await cafe.checkouts.begin(pressed.checkout_id, ANN)
    await quiet(cafe)
    assert begun.start is Start.READY
    assert cafe.flaky.calls == ["claim", "checkout_with_payments", "claim", "advance"]
    [base] = await cafe.store.payments([pressed.checkout_id])
    seen = await cafe.checkouts.view(pressed.checkout_id, ANN)
    assert seen == begun.view
    [job] = await cafe.store.jobs(JobKind.SETTLE, "", 9)
    assert job.due_at_ms < base.order.created_at_ms + 60_000


async def test_pressed_again_is_the_same_order(cafe: Cafe) -> None:
    """A double press, a reload: the same number at the channel, the parameters anew."""
    base = await paying(cafe)
    again = await cafe.checkouts.begin(base.order.id, ANN)
    assert (again.start, again.parameters) == (Start.READY, STANDS.parameters)
    first, second = cafe.alipay.requests
    assert first == second
    assert (await cafe.row(base)).attempts == 1


async def test_pressed_twice_at_once_is_one_order(cafe: Cafe) -> None:
    base = await cafe.opened()
    begun = await asyncio.gather(*(cafe.checkouts.begin(base.order.id, ANN) for _ in range(4)))
    assert {one.start for one in begun} == {Start.READY}
    assert len({request.order_no for request in cafe.alipay.requests}) == 1
    assert (await cafe.row(base)).attempts == 1


@pytest.mark.parametrize("first", [ANN, BOB])
async def test_of_two_wallets_at_once_one_begins(cafe: Cafe, first: Payer) -> None:
    second = BOB if first is ANN else ANN
    base = await cafe.opened()
    begun = await asyncio.gather(
        cafe.checkouts.begin(base.order.id, first), cafe.checkouts.begin(base.order.id, second)
    )
    assert sorted(one.start.value for one in begun) == ["elsewhere", "ready"]
    assert (await cafe.row(base)).attempts == 1
    assert len(cafe.alipay.requests) + len(cafe.wechat.requests) == 1


async def test_a_second_wallet_is_told_that_it_is_paid_elsewhere(cafe: Cafe) -> None:
    base = await paying(cafe)
    begun = await cafe.checkouts.begin(base.order.id, BOB)
    assert begun.start is Start.ELSEWHERE
    assert not begun.view.is_mine
    await hears(cafe, await cafe.attempt(base), PAID)
    assert (await cafe.checkouts.begin(base.order.id, BOB)).start is Start.PAID
    assert cafe.wechat.calls == []


async def test_whoever_gave_up_makes_room_for_another(cafe: Cafe) -> None:
    """The wallet says "cancelled": asked, closed at its channel, and only then begun again."""
    base = await paying(cafe)
    cafe.alipay.queries = [ACTING]
    view = await cafe.checkouts.release(base.order.id, ANN)
    assert view.status is CheckoutStatus.WAITING
    assert cafe.alipay.calls == ["create_page_order", "query", "cancel"]
    assert (await cafe.checkouts.begin(base.order.id, BOB)).start is Start.READY
    await hears(cafe, await cafe.attempt(base, 2), PAID)
    assert await cafe.stands(base) == (CheckoutStatus.PAID, "succeeded")
    [notice] = await cafe.told(base)
    assert orjson.loads(notice.body)["payment"]["channel"] == "wechat"
    assert (await cafe.proof()).named == []


async def test_whoever_does_not_pay_releases_nothing(cafe: Cafe) -> None:
    base = await paying(cafe)
    view = await cafe.checkouts.release(base.order.id, BOB)
    assert view.status is CheckoutStatus.PAYING
    assert cafe.alipay.calls == ["create_page_order"]


async def test_a_release_finds_that_it_was_paid(cafe: Cafe) -> None:
    """The wallet said "cancelled" and had paid: what the channel says stands."""
    base = await paying(cafe)
    cafe.alipay.queries = [PAID]
    view = await cafe.checkouts.release(base.order.id, ANN)
    await quiet(cafe)
    assert view.status is CheckoutStatus.PAID
    assert "cancel" not in cafe.alipay.calls


async def test_another_takes_over_once_the_first_is_closed(cafe: Cafe) -> None:
    """An attempt that was left alone for long: asked about, closed, then the next begins."""
    base = await paying(cafe)
    cafe.alipay.queries = [ACTING]
    cafe.clock.later_s = 21
    assert (await cafe.checkouts.begin(base.order.id, BOB)).start is Start.READY
    assert cafe.alipay.calls == ["create_page_order", "query", "cancel"]
    first = await cafe.attempt(base)
    assert first.standing.status is Status.CLOSED
    assert await cafe.stands(base) == (CheckoutStatus.PAYING, "pending")
    assert await cafe.told(base) == []


async def test_nobody_takes_over_what_cannot_be_closed(
    cafe: Cafe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The channel does not answer: the second wallet is told "elsewhere", and nothing begins."""
    monkeypatch.setattr("gateway.checkout.attempts._TAKE_OVER_WAIT_S", 0.05)
    base = await paying(cafe)
    cafe.alipay.queries, cafe.alipay.cancels = [LOST], [SILENT]
    cafe.clock.later_s = 21
    begun = await cafe.checkouts.begin(base.order.id, BOB)
    assert begun.start is Start.ELSEWHERE
    assert begun.view.is_asking
    assert cafe.wechat.calls == []
    await quiet(cafe)
    calls = len(cafe.alipay.calls)
    for _ in range(3):  # pressing on makes nothing faster, and calls nobody
        assert (await cafe.checkouts.begin(base.order.id, BOB)).start is Start.ELSEWHERE
    assert len(cafe.alipay.calls) == calls
    cafe.alipay.cancels = [CLOSED]
    await cafe.settle_due()
    assert (await cafe.checkouts.begin(base.order.id, BOB)).start is Start.READY


async def test_a_second_payment_goes_back_by_itself(cafe: Cafe) -> None:
    """The first was closed, the second paid; then the first turns out to be paid, too."""
    base = await paying(cafe)
    cafe.alipay.queries = [ACTING]
    await cafe.checkouts.release(base.order.id, ANN)
    await cafe.checkouts.begin(base.order.id, BOB)
    first, second = await cafe.attempt(base, 1), await cafe.attempt(base, 2)
    await hears(cafe, second, PAID)
    await hears(cafe, first, PAID)
    assert (await cafe.attempt(base, 1)).standing.status is Status.REVERSING
    cafe.alipay.cancels = [RETURNED]
    await cafe.settle_due()
    assert (await cafe.attempt(base, 1)).standing.status is Status.REVERSED
    assert await cafe.stands(base) == (CheckoutStatus.PAID, "succeeded")
    assert [one.type for one in await cafe.told(base)] == ["payment.succeeded"]
    lines = await cafe.store.postings(first.order.id)
    assert sum(line.amount_fen for line in lines if line.account.startswith("merchant:")) == 0
    assert (await cafe.proof()).named == []


async def test_only_who_paid_twice_is_told_so(cafe: Cafe) -> None:
    """From the moment that his own money is known of; a payer who gave up for nothing is not."""
    base = await paying(cafe)
    cafe.alipay.queries = [ACTING]
    await cafe.checkouts.release(base.order.id, ANN)
    await cafe.checkouts.begin(base.order.id, BOB)
    await hears(cafe, await cafe.attempt(base, 2), PAID)
    assert await _former(cafe, base, ANN) == (True, False)
    await hears(cafe, await cafe.attempt(base, 1), PAID)
    assert await _former(cafe, base, ANN) == (True, True)
    assert await _former(cafe, base, BOB) == (False, False)
    assert await _former(cafe, base, replace(ANN, payer_id="of-eve")) == (False, False)
    assert await _former(cafe, base, None) == (False, False)


async def _former(cafe: Cafe, base: Payment, payer: Payer | None) -> tuple[bool, bool]:
    view = await cafe.checkouts.view(base.order.id, payer)
    assert view is not None
    return view.has_given_up, view.is_paid_twice


async def test_a_press_is_offered_once_another_was_left_alone(cafe: Cafe) -> None:
    """As soon as a press would take over, and to nobody whose own attempt it is."""
    base = await paying(cafe)
    for later_s, offered in ((19, False), (21, True)):
        cafe.clock.later_s = later_s
        for payer, may in ((BOB, offered), (ANN, False)):
            view = await cafe.checkouts.view(base.order.id, payer)
            assert view is not None
            assert view.may_take_over is may, (later_s, payer.wallet)


async def test_an_unknown_order_is_made_again_under_its_number(cafe: Cafe) -> None:
    """No trustworthy answer: the payer begins again, and the channel knows one order."""
    base = await cafe.opened()
    cafe.alipay.orders, cafe.alipay.queries = [UNANSWERED], [MISSING]
    begun = await cafe.checkouts.begin(base.order.id, ANN)
    assert begun.start is Start.UNKNOWN
    assert begun.view.is_asking
    assert await cafe.stands(base) == (CheckoutStatus.PAYING, "unknown")
    cafe.alipay.orders = [STANDS]
    assert (await cafe.checkouts.begin(base.order.id, ANN)).start is Start.READY
    assert len({request.order_no for request in cafe.alipay.requests}) == 1
    assert await cafe.stands(base) == (CheckoutStatus.PAYING, "pending")


async def test_a_no_to_the_repeat_of_an_order_unmakes_nothing(cafe: Cafe) -> None:
    """ "Order paid", "number used": it is asked about instead, and was paid."""
    base = await paying(cafe)
    cafe.alipay.orders, cafe.alipay.queries = [REFUSED], [PAID]
    assert (await cafe.checkouts.begin(base.order.id, ANN)).start is Start.PAID
    assert await cafe.stands(base) == (CheckoutStatus.PAID, "succeeded")


async def test_a_refused_order_lets_another_begin(cafe: Cafe) -> None:
    base = await cafe.opened()
    cafe.alipay.orders = [REFUSED]
    begun = await cafe.checkouts.begin(base.order.id, ANN)
    assert begun.start is Start.REFUSED
    assert begun.view.decline is not None
    assert begun.view.decline.reason is DeclineReason.NOT_PERMITTED
    assert await cafe.stands(base) == (CheckoutStatus.WAITING, "pending")
    assert (await cafe.checkouts.begin(base.order.id, BOB)).start is Start.READY
    assert await cafe.told(base) == []


@pytest.mark.parametrize(
    "payer", [Payer(wallet="unionpay_qr", payer_id="x"), Payer(wallet="x", payer_id="x")]
)
async def test_a_wallet_that_is_not_open_begins_nothing(cafe: Cafe, payer: Payer) -> None:
    base = await cafe.opened()
    assert (await cafe.checkouts.begin(base.order.id, payer)).start is Start.AWAY
    assert (await cafe.row(base)).attempts == 0


async def test_an_invented_id_is_nobodys(cafe: Cafe) -> None:
    """Neither a number that was never given, nor an attempt's, nor another payment's."""
    base = await paying(cafe)
    plain = await cafe.paid("plain")
    for invented in ("pay_" + "A" * 32, f"{base.order.id}-1", plain.order.id, ""):
        assert await cafe.checkouts.view(invented) is None
        with pytest.raises(NotFound):
            await cafe.checkouts.begin(invented, ANN)
    with pytest.raises(NotFound):
        await cafe.payments.find("M1", f"{base.order.id}-1")


# --- asked by the page


async def test_the_page_asks_the_channel_at_most_every_two_seconds(cafe: Cafe) -> None:
    base = await paying(cafe)
    cafe.alipay.queries = [ACTING, PAID]
    for _ in range(3):
        view = await cafe.checkouts.ask(base.order.id)
        assert view is not None
        assert view.status is CheckoutStatus.PAYING
    cafe.clock.skipped_s += 2.1
    view = await cafe.checkouts.ask(base.order.id)
    assert view is not None
    assert view.status is CheckoutStatus.PAID
    assert cafe.alipay.calls.count("query") == 2
