"""An account's requests a second: the arithmetic, and who goes first."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.port import HttpRequest, HttpResponse, NotSent
from gateway import budget as budget_module
from gateway.budget import Budget, BudgetedSend
from tests.support.waiting import eventually

REQUEST = HttpRequest(method="POST", url="query", headers={}, body=b"", timeout_s=1)
PAYMENT = HttpRequest(method="POST", url="pay", headers={}, body=b"", timeout_s=1)
ANSWER = HttpResponse(200, {}, b"")


@given(
    st.lists(
        st.tuples(st.floats(0, 0.2), st.integers(0, 40), st.integers(0, 40)),
        min_size=1,
        max_size=60,
    )
)
def test_no_second_holds_more_than_the_budget(arrivals: list[tuple[float, int, int]]) -> None:
    """Payments in bursts, queries as soon as they may, timers that fire late: the rate holds."""
    budget, now_s, left = Budget(100, 0.0), 0.0, list[float]()
    for pause_s, payments, queries in arrivals:
        now_s += pause_s
        left += [now_s + budget.take(now_s) for _ in range(payments)]
        for _ in range(queries):
            if budget.wait_s(now_s) == 0:
                left.append(now_s + budget.take(now_s))
    left.sort()
    for first, until in enumerate(left[100:]):
        assert until - left[first] > 1 - 1e-9


def test_who_waits_as_told_gets_the_rate() -> None:
    budget, now_s, sent = Budget(100, 0.0), 0.0, 0
    while now_s < 1:
        now_s += budget.wait_s(now_s)
        budget.take(now_s)
        sent += 1
    assert 98 <= sent <= 100


def test_nothing_is_saved_up_over_a_quiet_hour() -> None:
    budget, now_s, sent = Budget(100, 0.0), 3600.0, 0
    while budget.wait_s(now_s) == 0:
        budget.take(now_s)
        sent += 1
    assert sent in (2, 3)


def test_payments_go_before_those_who_wait() -> None:
    """Fifty payments at once: half a second until the next query."""
    budget = Budget(100, 0.0)
    places = [budget.take(10.0) for _ in range(50)]
    assert places[:2] == [0, 0]
    assert places == sorted(places)
    assert places[-1] == pytest.approx(0.48, abs=0.01)
    assert budget.wait_s(10.0) == pytest.approx(0.49, abs=0.01)
    assert not budget.is_overdrawn(10.0)
    for _ in range(60):
        budget.take(10.0)
    assert budget.is_overdrawn(10.0)
    assert not budget.is_overdrawn(10.2)


def test_a_queue_is_bounded_by_time() -> None:
    budget = Budget(10, 0.0)
    assert not budget.is_too_long(19)
    assert budget.is_too_long(21)


class StillClock:
    """Time passes only where a test says so."""

    def __init__(self) -> None:
        self.now_s = 50.0

    def now_ms(self) -> int:
        return int(self.now_s * 1000)

    def monotonic_s(self) -> float:
        return self.now_s


class Channel:
    """Notes what came through."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.sent.append(request.url)
        return ANSWER


async def urgent(send: BudgetedSend) -> HttpResponse:
    return await send.urgently(send(PAYMENT))


async def test_payments_go_first_at_the_pace_of_the_budget() -> None:
    """A query is held as long as payments have the budget; then it goes, in its turn."""
    clock, channel = StillClock(), Channel()
    send = BudgetedSend(channel.send, 50, clock)
    payments = [asyncio.create_task(urgent(send)) for _ in range(5)]
    await asyncio.sleep(0)
    assert channel.sent == ["pay"]
    query = asyncio.create_task(send(REQUEST))
    await asyncio.sleep(0)
    payments.append(asyncio.create_task(urgent(send)))
    await asyncio.gather(*payments)
    assert channel.sent == ["pay"] * 6
    clock.now_s += 1
    await query
    assert channel.sent == ["pay"] * 6 + ["query"]


async def test_what_comes_first_goes_first() -> None:
    clock, order = StillClock(), list[str]()

    async def send_as(name: str) -> None:
        await send(REQUEST)
        order.append(name)

    send = BudgetedSend(Channel().send, 1000, clock)
    tasks = [asyncio.create_task(send_as(name)) for name in "abcdef"]
    while not all(task.done() for task in tasks):
        clock.now_s += 0.0005
        await asyncio.sleep(0)
    assert order == list("abcdef")


async def test_a_wait_that_is_too_long_is_not_sent() -> None:
    """A full queue says so at once, one that payments keep overdrawn after a while."""
    clock, channel = StillClock(), Channel()
    send = BudgetedSend(channel.send, 1, clock)
    await asyncio.create_task(urgent(send))
    waiting = [asyncio.create_task(send(REQUEST)) for _ in range(3)]
    await asyncio.sleep(0)
    assert send.is_crowded()
    with pytest.raises(NotSent):
        await send(REQUEST)
    payments = [asyncio.create_task(urgent(send)) for _ in range(4)]
    await asyncio.sleep(0)
    assert send.is_overdrawn()
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert not send.is_crowded()
    with pytest.raises(NotSent):
        await send(REQUEST)
    assert channel.sent == ["pay"]
    for payment in payments:
        payment.cancel()


async def test_one_who_leaves_the_queue_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancelled query gives its turn on."""
    monkeypatch.setattr(budget_module, "_WAIT_S", 1e9)
    clock, channel = StillClock(), Channel()
    send = BudgetedSend(channel.send, 1000, clock)
    await asyncio.create_task(urgent(send))
    first, second = asyncio.create_task(send(REQUEST)), asyncio.create_task(send(REQUEST))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    clock.now_s += 1
    await eventually(second.done)
    assert channel.sent == ["pay", "query"]
