"""Deadlines and undos of payments, and who hears of them."""

import asyncio
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from channels.port import Answer
from domain.decline import DeclineReason
from domain.errors import Conflict
from domain.payment import Payment, Status
from domain.refund import Refund, RefundOrder, RefundStanding, RefundStatus, reserve
from gateway import booking as booking_module
from gateway.store.port import RefundClaim, RefundClaimed, Store
from tests.gateway.fakes import House
from tests.gateway.scripted import (
    ACTING,
    PAID,
    RETURNED,
    SILENT,
)


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The store is tried again at once."""
    monkeypatch.setattr(booking_module, "STORE_RETRY_S", (0.001, 0.001))
    yield


@pytest.fixture
def house(store: Store) -> House:
    return House(store)


def history(events: Any) -> list[str]:
    """The states of a payment, one after the other."""
    return [event.status.value for event in events]


async def test_a_deadline_begins_the_undo_and_ends_nothing(store: Store) -> None:
    """After ``till_wait_s`` the state is reversing until the channel answers."""
    house = House(store, till_wait_s=0.1)
    house.channel.pays, house.channel.queries = [ACTING], [ACTING]
    house.channel.cancels = [SILENT]
    payment = await house.paid()
    assert payment.standing.status is Status.REVERSING
    assert payment.standing.decline is not None
    assert payment.standing.decline.reason is DeclineReason.NOT_PAID_IN_TIME


async def test_a_query_that_hangs_does_not_outlast_the_till(store: Store) -> None:
    """The till is told at its deadline, though the channel says nothing."""
    house = House(store, till_wait_s=0.2)
    never = asyncio.Event()

    async def forever() -> Answer:
        await never.wait()
        return PAID

    house.channel.pays, house.channel.queries = [ACTING], [forever]
    live = await house.begun()
    await house.payments.run(live)
    await live.told(10)
    assert live.payment.standing.status in (Status.REVERSING, Status.CLOSED)
    await house.payments.drain(5)


async def test_an_undo_by_somebody_else_wakes_the_one_who_waits(house: House) -> None:
    """A till that waits for its payer hears of the merchant's cancel at once."""
    house.channel.pays, house.channel.queries = [ACTING], [ACTING]
    live = await house.begun()
    await house.payments.run(live)
    told = asyncio.create_task(live.told(30))
    await asyncio.sleep(0)
    await house.payments.cancel(await house.now(live.payment))
    async with asyncio.timeout(5):
        await told
    payment = await house.until(live.payment, "closed")
    assert payment.standing.decline is not None
    assert payment.standing.decline.reason is DeclineReason.CANCELLED
    await house.payments.drain(5)


async def reserved(house: House, payment: Payment) -> None:
    """A refund of a part of it was begun by somebody."""
    after = reserve(payment, 100)
    assert after is not None
    order = RefundOrder(
        id="ref_1", payment_id=payment.order.id, merchant_no="M1", merchant_refund_no="r1",
        fingerprint=b"f", amount_fen=100, currency="CNY", reason="", channel="alipay",
        account_id="a1", channel_refund_no="R1", created_at_ms=1,
    )  # fmt: skip
    refund = Refund(order, RefundStanding(status=RefundStatus.SUBMITTED, version=1))
    change = RefundClaim(refund=refund, payment=Payment(payment.order, after), due_at_ms=2**53)
    assert await house.flaky._real.claim_refund(change) is RefundClaimed.WON


@pytest.mark.parametrize("crossing", [False, True], ids=["before", "crossing"])
async def test_a_payment_with_refunds_is_not_undone(house: House, crossing: bool) -> None:
    """An undo takes it back whole; this one is already going back in parts."""
    payment = await house.paid()

    async def refund_first(_change: Any) -> None:
        await reserved(house, payment)

    if crossing:
        house.flaky.before["advance"] = refund_first
    else:
        await reserved(house, payment)
    asked = payment if crossing else await house.now(payment)
    with pytest.raises(Conflict) as refused:
        await house.payments.cancel(asked)
    assert refused.value.code == "payment_has_refunds"
    now = await house.now(payment)
    assert now.standing.status is Status.SUCCEEDED
    assert now.standing.refunding_fen == 100
    assert "cancel" not in house.channel.calls
    assert await house.open_jobs() == []


async def told(house: House, payment: Payment) -> list[tuple[int, str, str]]:
    """What its merchant is sent: sequence, type, and the state in the body."""
    notices = await house.store.notices(
        merchant_no="M1", payment_id=payment.order.id, state=None, after="", limit=10
    )
    found = sorted((one.notice for one in notices), key=lambda notice: notice.sequence)
    return [
        (notice.sequence, notice.type, orjson.loads(notice.body)["payment"]["status"])
        for notice in found
    ]


async def test_what_the_merchant_is_told_comes_with_the_move(house: House) -> None:
    """One notice for each end, in sequence; none for what is on the way, none without a URL."""
    url = "https://till.example:8443/n"
    payment = await house.paid(notify_url=url)
    assert await told(house, payment) == [(1, "payment.succeeded", "succeeded")]
    house.channel.cancels = [RETURNED]
    await house.payments.cancel(payment)
    payment = await house.until(payment, "reversed")
    assert await told(house, payment) == [
        (1, "payment.succeeded", "succeeded"),
        (2, "payment.reversed", "reversed"),
    ]
    (notice, _) = await house.store.notices(
        merchant_no="M1", payment_id=payment.order.id, state=None, after="", limit=10
    )
    assert notice.notice.endpoint == "M1:till.example:8443"
    silent = await house.paid("k2")
    assert await told(house, silent) == []
