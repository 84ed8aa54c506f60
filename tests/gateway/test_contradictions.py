"""What a channel says that does not fit its order: parked, with its proof."""

from collections.abc import Iterator
from typing import Any

import pytest

from channels.port import Answer, Verdict
from domain.payment import Status
from gateway import booking as booking_module
from gateway.store.port import Store
from tests.gateway.fakes import House
from tests.gateway.scripted import (
    CLOSED,
    LOST,
)
from tests.support.waiting import eventually


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


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"amount_fen": 1989}, "amount_mismatch"),
        ({"currency": "USD"}, "currency_mismatch"),
        ({"order_no": "OTHER"}, "order_mismatch"),
    ],
)
@pytest.mark.parametrize("call", ["pay", "query"])
async def test_a_contradiction_is_parked(
    house: House, said: dict[str, Any], reason: str, call: str
) -> None:
    """Never paid, never dropped: unknown, counted, logged, and left for a person."""
    wrong = Answer(verdict=Verdict.SUCCEEDED, trade_no="T9", **said)
    house.channel.pays = [wrong if call == "pay" else LOST]
    house.channel.queries = [wrong]
    payment = await house.paid()
    assert payment.standing.status is Status.UNKNOWN
    assert payment.standing.parked_reason == reason
    assert await house.held(payment) == 0
    assert await house.open_jobs() == []
    assert [line["reason"] for line in house.said("payment parked")] == [reason]
    assert b"posgate_parked_total 1.0" in house.metrics.exposition()


@pytest.mark.parametrize("said", [{"amount_fen": 1989}, {"currency": "USD"}])
async def test_a_parked_proof_of_payment_outlasts_a_cancel_that_finds_nothing(
    house: House, said: dict[str, Any]
) -> None:
    """Signed and of this order, though it does not fit: whoever paid must not be forgotten."""
    house.channel.pays = [Answer(verdict=Verdict.SUCCEEDED, trade_no="T9", paid_at_ms=7, **said)]
    house.channel.cancels = [CLOSED]
    payment = await house.paid()
    assert (payment.standing.channel_trade_no, payment.standing.paid_at_ms) == ("T9", 7)
    (line,) = house.said("channel answer needs eyes")
    assert line["trade_no"] == "T9"
    await house.payments.cancel(payment)
    await eventually(lambda: not house.payments.in_flight())
    await eventually(lambda: "cancel" in house.channel.calls)
    await eventually(lambda: len(house.said("payment parked")) == 2)
    now = (await house.now(payment)).standing
    assert (now.status, now.parked_reason) == (
        Status.REVERSING, "undone_as_unpaid_after_payment",
    )  # fmt: skip


async def test_what_is_said_of_another_order_proves_nothing_of_this_one(house: House) -> None:
    house.channel.pays = [
        Answer(verdict=Verdict.SUCCEEDED, amount_fen=1, order_no="OTHER", trade_no="T9")
    ]
    payment = await house.paid()
    standing = payment.standing
    assert standing.parked_reason == "order_mismatch"
    assert (standing.channel_trade_no, standing.paid_at_ms) == ("", 0)
