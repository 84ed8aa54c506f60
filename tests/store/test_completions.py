"""A hold is taken once at a time, with what takes it or not at all, on both engines."""

import asyncio
from dataclasses import replace

import pytest

from domain.errors import Conflict
from domain.payment import Event, Status
from gateway.store.port import Advance, Claim, Completion, JobKind, Store, TakenHold
from tests.store.conftest import Look, OpenStore
from tests.support.payments import sample_advance, sample_claim, sample_order, sample_reply

HOLD = sample_order(1).id
FIRST = TakenHold(hold_id=HOLD, number=1)


def completing(number: int, takes: TakenHold = FIRST, **changes: object) -> Claim:
    """The claim of order ``number``, which takes the hold of order 1."""
    return replace(sample_claim(number), takes=takes, **changes)  # type: ignore[arg-type]


def releasing(takes: TakenHold = FIRST) -> Advance:
    """The move of order 1 that begins its release."""
    advance = sample_advance(1, due_at_ms=9_000)
    standing = replace(advance.standing, status=Status.REVERSING, captured_fen=0, paid_at_ms=0)
    return replace(advance, event=Event.UNDO, standing=standing, postings=(), takes=takes)


async def test_a_completion_takes_its_hold_in_the_commit_of_its_claim(store: Store) -> None:
    """Order, attempt, event, job and who has the hold."""
    assert await store.completion_of(HOLD) is None
    assert await store.claim(completing(2, reply=sample_reply("k")))
    order = sample_order(2)
    payment = await store.payment(order.id)
    assert payment is not None
    assert payment.order == order
    assert [line.event for line in await store.events(order.id)] == [Event.SUBMIT]
    assert [job.subject for job in await store.jobs(JobKind.SETTLE, "", 9)] == [order.id]
    assert await store.terminal_reply(order.merchant_no, "k") == sample_reply("k")
    assert await store.completion_of(HOLD) == Completion(
        hold_id=HOLD, number=1, payment_id=order.id
    )


async def test_a_claim_whose_hold_is_taken_writes_nothing(store: Store) -> None:
    """Neither its order nor its job; the hold stays the first one's."""
    assert await store.claim(completing(2))
    assert not await store.claim(completing(3))
    assert await store.payment(sample_order(3).id) is None
    assert len(await store.jobs(JobKind.SETTLE, "", 9)) == 1
    taken = await store.completion_of(HOLD)
    assert taken is not None
    assert taken.payment_id == sample_order(2).id


async def test_a_claim_whose_key_exists_takes_nothing(store: Store) -> None:
    """The repeat of a completion finds its payment, and asks for no second number."""
    assert await store.claim(completing(2))
    again = completing(2, TakenHold(hold_id=HOLD, number=2))
    assert not await store.claim(again)
    taken = await store.completion_of(HOLD)
    assert taken is not None
    assert taken.number == 1


async def test_a_claim_that_breaks_another_rule_takes_nothing(store: Store) -> None:
    """A channel number that was used before: a conflict, and the hold is free."""
    assert await store.claim(sample_claim(2))
    stale = completing(3)
    used = replace(stale.order, channel_order_no=sample_order(2).channel_order_no)
    with pytest.raises(Conflict):
        await store.claim(replace(stale, order=used))
    assert await store.completion_of(HOLD) is None
    assert await store.payment(stale.order.id) is None


async def test_the_last_taker_is_told(store: Store) -> None:
    """Each number once, whoever had the one before; holds are told apart."""
    assert await store.claim(completing(2))
    assert await store.claim(completing(3, TakenHold(hold_id=HOLD, number=2)))
    assert await store.claim(completing(4, TakenHold(hold_id="other", number=1)))
    taken = await store.completion_of(HOLD)
    assert taken is not None
    assert (taken.number, taken.payment_id) == (2, sample_order(3).id)


async def test_a_release_takes_its_hold_with_its_move(store: Store) -> None:
    """Then no completion gets it."""
    assert await store.claim(sample_claim(1))
    assert await store.advance(releasing())
    hold = await store.payment(HOLD)
    assert hold is not None
    assert hold.standing.status is Status.REVERSING
    taken = await store.completion_of(HOLD)
    assert taken == Completion(hold_id=HOLD, number=1, payment_id=HOLD)
    assert not await store.claim(completing(2))
    assert await store.payment(sample_order(2).id) is None


async def test_a_release_of_what_is_taken_moves_nothing(store: Store) -> None:
    """The hold stays as it was, and so do its history and its job."""
    assert await store.claim(sample_claim(1))
    assert await store.claim(completing(2))
    before = await store.payment(HOLD), await store.jobs(JobKind.SETTLE, "", 9)
    assert not await store.advance(releasing())
    assert (await store.payment(HOLD), await store.jobs(JobKind.SETTLE, "", 9)) == before
    assert len(await store.events(HOLD)) == 1


async def test_a_release_whose_version_moved_takes_nothing(store: Store) -> None:
    """Somebody else moved the hold: look again."""
    assert await store.claim(sample_claim(1))
    assert await store.advance(sample_advance(1))
    assert not await store.advance(releasing())
    assert await store.completion_of(HOLD) is None


@pytest.mark.parametrize("round_", range(3))
async def test_of_all_that_want_a_hold_at_once_one_gets_it(
    url: str, open_store: OpenStore, round_: int
) -> None:
    """Six completions and a release over three stores: one taker, the others leave nothing."""
    stores = [await open_store(url) for _ in range(3)]
    assert await stores[0].claim(sample_claim(1))
    claims = [completing(10 * (round_ + 1) + n) for n in range(6)]
    work = [stores[n % 3].claim(claim) for n, claim in enumerate(claims)]
    outcomes = await asyncio.gather(*work, stores[round_].advance(releasing()))
    assert outcomes.count(True) == 1
    there = [await stores[0].payment(claim.order.id) is not None for claim in claims]
    hold = await stores[1].payment(HOLD)
    assert hold is not None
    assert [*there, hold.standing.status is Status.REVERSING] == outcomes


async def test_who_took_a_hold_is_history(store: Store, url: str, look: Look) -> None:
    """Nobody changes or deletes a row, not even by plain SQL."""
    assert await store.claim(completing(2))
    for statement in ("UPDATE completions SET number = 2", "DELETE FROM completions"):
        with pytest.raises(Exception, match="append-only"):
            await look(statement)
    assert len(await look("SELECT * FROM completions")) == 1
