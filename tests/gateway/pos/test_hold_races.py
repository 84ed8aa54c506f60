"""A hold that several want, and whoever dies in between: taken or released, never both."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from channels.card import CardAction
from domain.payment import Status
from gateway.store.port import Store
from pos_protocol.terminal import Request
from tests.gateway.pos.hold_counter import (
    SILENT,
    UNDONE,
    HoldCounter,
    proved,
    recovered,
)
from tests.support.waiting import eventually


@pytest.fixture
async def till(store: Store) -> HoldCounter:
    """A counter whose host approves everything."""
    return await HoldCounter(store).opened()


# --- at once


async def test_of_completions_at_once_one_wins(till: HoldCounter) -> None:
    """Eight messages of one hold: one 00, the others 25, one message to the host."""
    hold = await till.held()
    codes = await asyncio.gather(*(till.code(till.completion(hold)) for _ in range(8)))
    assert sorted(codes) == ["00", *["25"] * 7]
    assert len(till.host.asked_for(CardAction.COMPLETE)) == 1
    await proved(till)


async def test_completions_at_two_processes_one_wins(store: Store) -> None:
    """Both have seen the hold free when the first claim is committed."""
    one = await HoldCounter(store).opened()
    two = HoldCounter(store, one.host)
    two.terminal.trace = 500
    hold = await one.held()
    requests = one.completion(hold), two.completion(hold)

    async def overtaken(*_: Any) -> None:
        assert await two.code(requests[1]) == "00"

    one.house.flaky.before["claim"] = overtaken
    assert await one.code(requests[0]) == "25"
    assert await one.find(requests[0]) is None
    assert len(one.host.asked_for(CardAction.COMPLETE)) == 1
    await proved(one)


async def test_a_repeat_at_another_process_is_no_second_completion(store: Store) -> None:
    """The first is committed after the repeat has looked for itself: the same reply."""
    one = await HoldCounter(store).opened()
    two = HoldCounter(store, one.host)
    hold = await one.held()
    request = one.completion(hold)
    replies: list[bytes | None] = []

    async def overtaken(*_: Any) -> None:
        replies.append(await two.raw(request))

    one.house.flaky.before["completion_of"] = overtaken
    replies.append(await one.raw(request))
    assert replies[0] == replies[1] is not None
    assert len(one.host.asked_for(CardAction.COMPLETE)) == 1


Overtake = Callable[[HoldCounter, Request], Awaitable[str]]


async def _completes(till: HoldCounter, hold: Request) -> str:
    return await till.code(till.completion(hold))


async def _voids(till: HoldCounter, hold: Request) -> str:
    return await till.code(till.void(hold))


@pytest.mark.parametrize(
    ("slow", "fast", "call", "code"),
    [(_completes, _voids, "claim", "25"), (_voids, _completes, "advance", "22")],
)
async def test_a_completion_and_a_void_at_once_one_wins(
    store: Store, slow: Overtake, fast: Overtake, call: str, code: str
) -> None:
    """Whoever commits first; the other looks again and is refused, and nothing of it was sent."""
    one = await HoldCounter(store).opened()
    two = HoldCounter(store, one.host)
    two.terminal.trace = 500
    hold = await one.held()

    async def overtaken(*_: Any) -> None:
        assert await fast(two, hold) == "00"

    one.house.flaky.before[call] = overtaken
    assert await slow(one, hold) == code
    assert len(one.host.asked_for(CardAction.COMPLETE)) == (fast is _completes)
    assert one.host.calls.count("cancel") == (fast is _voids)
    assert await one.status(hold) == ("authorized" if fast is _completes else "closed")
    await proved(one)


@pytest.mark.parametrize("round_", range(4))
async def test_completions_and_voids_in_a_crowd(till: HoldCounter, round_: int) -> None:
    """Three of each at once: taken or released, never both, and the books agree."""
    hold = await till.held()
    requests = [
        *(till.completion(hold) for _ in range(3)),
        *(till.void(hold) for _ in range(3)),
    ]
    rotated = requests[round_:] + requests[:round_]
    await asyncio.gather(*(till.code(request) for request in rotated))
    taken = len(till.host.asked_for(CardAction.COMPLETE))
    released = await till.status(hold) == "closed"
    assert (taken, released) in ((1, False), (0, True))
    await proved(till)


@pytest.mark.parametrize("call", ["completion_of", "advance"])
async def test_the_same_void_at_two_processes_is_one(store: Store, call: str) -> None:
    """Copies of one message: the second finds its own release, and is told as the first was."""
    one = await HoldCounter(store).opened()
    two = HoldCounter(store, one.host)
    hold = await one.held()
    request = one.void(hold)
    if call == "completion_of":
        # a void looks once before it takes its number, and once to release
        one.house.flaky.before["claim"] = _hook(one, two, request, "completion_of")
    else:
        one.house.flaky.before[call] = _copy(two, request)
    assert await one.code(request) == "00"
    assert one.host.calls.count("cancel") == 1
    assert await one.status(hold) == "closed"
    await proved(one)


@pytest.mark.parametrize("call", ["completion_of", "advance"])
async def test_a_release_that_another_hand_began_is_no_conflict(store: Store, call: str) -> None:
    """As a reversal of the authorisation asks for it: begun, by whomever, is what it wanted."""
    one = await HoldCounter(store).opened()
    two = HoldCounter(store, one.host)
    held = await one.payment(await one.held())

    async def overtaken(*_: Any) -> None:
        await two.house.payments.cancel(held)

    one.house.flaky.before[call] = overtaken
    live = await one.house.payments.cancel(held)
    assert live.payment.standing.status in (Status.REVERSING, Status.CLOSED)
    await one.house.until(held, "closed")
    assert one.host.calls.count("cancel") == 1
    await proved(one)


def _copy(other: HoldCounter, request: Request) -> Callable[..., Awaitable[None]]:
    async def overtaken(*_: Any) -> None:
        assert await other.code(request) == "00"

    return overtaken


def _hook(
    one: HoldCounter, other: HoldCounter, request: Request, call: str
) -> Callable[..., Awaitable[None]]:
    async def later(*_: Any) -> None:
        one.house.flaky.before[call] = _copy(other, request)

    return later


# --- crashes


async def test_a_completion_that_died_after_its_claim_frees_the_hold(store: Store) -> None:
    """Recovery undoes what was perhaps sent; until then the hold is taken."""
    dead = await HoldCounter(store).opened()
    hold = await dead.held()
    request = dead.completion(hold)
    dead.house.flaky.after["claim"] = _die
    with pytest.raises(asyncio.CancelledError):
        await dead.code(request)
    till = HoldCounter(store, dead.host)
    till.terminal.trace = 50
    assert await till.code(till.completion(hold)) == "25"
    await recovered(till, request, "closed")
    assert await till.code(request) == "98"
    assert await till.code(till.completion(hold)) == "00"
    await proved(till)


async def test_an_answer_that_could_not_be_booked_is_told_to_nobody(till: HoldCounter) -> None:
    """The host took it, the store was away: silence, then recovery gives it back."""
    hold = await till.held()
    till.host.cancels = [UNDONE]
    till.house.flaky.down["advance"] = 99
    request = till.completion(hold)
    assert await till.code(request) == SILENT
    till.house.flaky.down["advance"] = 0
    await recovered(till, request, "reversed")
    assert await till.code(request) == "98"
    assert await till.booked_fen(request) == 0
    assert await till.code(till.completion(hold)) == "00"


async def test_a_void_that_died_before_its_release_is_finished_by_its_repeat(
    till: HoldCounter,
) -> None:
    """Its number is taken, the hold still held: the repeat releases it."""
    hold = await till.held()
    void = till.void(hold)
    till.house.flaky.down["advance"] = 99
    assert await till.code(void) == SILENT
    assert await till.status(hold) == "authorized"
    till.house.flaky.down["advance"] = 0
    assert await till.code(void) == "00"
    assert await till.status(hold) == "closed"


async def test_a_release_that_died_half_way_is_finished_by_recovery(till: HoldCounter) -> None:
    """Begun is durable: the host is asked until it answers."""
    hold = await till.held()
    till.host.cancels = [RuntimeError("dies"), RuntimeError("dies"), RuntimeError("dies"), UNDONE]
    void = till.void(hold)
    voiding = asyncio.create_task(till.code(void))
    await eventually(lambda: till.host.calls.count("cancel") == 3)
    await recovered(till, hold, "closed")
    assert await voiding == "00"
    assert await till.code(void) == "00"


async def _die(*_: Any) -> None:
    raise asyncio.CancelledError
