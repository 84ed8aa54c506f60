"""Terminals' batches: settled, uploaded, compared and read, on both engines."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from domain.payment import Status
from domain.refund import RefundStatus
from gateway.store.batch_records import (
    Batch,
    BatchDifference,
    BatchEntry,
    BatchKey,
    BatchLine,
    BatchState,
    BatchTotals,
    DifferenceKind,
)
from gateway.store.port import RefundClaimed, Store, pos_refund_number
from tests.support.batches import (
    BATCH_KEY,
    sample_batch,
    sample_batch_line,
    sample_difference,
)
from tests.support.payments import sample_advance, sample_claim, sample_order
from tests.support.refunds import sample_refund_claim

T = TypeVar("T")
KEY, SETTLED = BATCH_KEY, sample_batch()
ENDED = replace(
    SETTLED,
    version=2,
    state=BatchState.CLOSED,
    upload_expected=3,
    uploaded=2,
    closed_at_ms=9_500,
)


async def _pages(
    read: Callable[[T | None, int], Awaitable[Sequence[T]]], limit: int = 2
) -> list[T]:
    """Everything that a paged reader gives."""
    found: list[T] = []
    while page := await read(found[-1] if found else None, limit):
        found += page
    return found


async def test_a_batch_moves_by_one_version(store: Store) -> None:
    """Two settlements at once: one is kept, the other is told."""
    assert await store.batch(KEY) is None
    assert await store.save_batch(SETTLED)
    assert not await store.save_batch(replace(SETTLED, host=BatchTotals()))
    assert await store.batch(KEY) == SETTLED
    assert not await store.save_batch(replace(ENDED, version=3))
    assert await store.save_batch(ENDED)
    assert not await store.save_batch(ENDED)
    assert await store.batch(KEY) == ENDED


async def test_the_totals_say_whether_they_agree(store: Store) -> None:
    """In both card classes, as they were compared."""
    assert not SETTLED.totals_agree
    assert replace(SETTLED, host=SETTLED.terminal).totals_agree
    assert SETTLED.host.net_fen == 1990 - 500 + 3 - 5


async def test_batches_are_listed_by_key_and_by_terminal(store: Store) -> None:
    """In pages; each once."""
    others = [
        replace(SETTLED, key=BatchKey(merchant, terminal, batch))
        for merchant in ("m1", "m2")
        for terminal in ("T0000001", "T0000002")
        for batch in (7, 8, 12)
    ]
    for batch in reversed(others):
        assert await store.save_batch(batch)

    async def every(after: Batch | None, limit: int) -> Sequence[Batch]:
        key = None if after is None else after.key
        return await store.batches(terminal_id="", after=key, limit=limit)

    async def of_one(after: Batch | None, limit: int) -> Sequence[Batch]:
        key = None if after is None else after.key
        return await store.batches(terminal_id="T0000002", after=key, limit=limit)

    assert await _pages(every) == others
    assert await _pages(of_one) == [b for b in others if b.key.terminal_id == "T0000002"]


async def test_batches_of_a_night_are_those_settled_in_it(store: Store) -> None:
    """From is in, until is not; several of the same moment come once each."""
    batches = [
        replace(SETTLED, key=KEY._replace(batch_no=number), settled_at_ms=at_ms)
        for number, at_ms in (
            (9, 1_000),
            (8, 1_001),
            (1, 2_000),
            (2, 2_000),
            (3, 2_000),
            (4, 3_000),
        )
    ]
    for batch in batches:
        assert await store.save_batch(batch)

    async def night(after: Batch | None, limit: int) -> Sequence[Batch]:
        return await store.settled_batches(1_001, 3_000, after, limit)

    assert await _pages(night) == batches[1:5]


async def test_a_line_that_comes_again_is_the_line_that_is_there(store: Store) -> None:
    """Also with other words, also in another order; the batch before keeps its own."""
    first = [
        sample_batch_line(2),
        sample_batch_line(1, management="205", is_foreign=True, has_failed=True, pan_token=b""),
    ]
    await store.add_batch_lines(first)
    await store.add_batch_lines([sample_batch_line(3), *reversed(first)])
    await store.add_batch_lines([sample_batch_line(2, amount_fen=1)])
    before = sample_batch_line(2, key=KEY._replace(batch_no=6))
    await store.add_batch_lines([before])

    async def lines(after: BatchLine | None, limit: int) -> Sequence[BatchLine]:
        return await store.batch_lines(KEY, after.trace if after else "", limit)

    assert await _pages(lines) == [first[1], first[0], sample_batch_line(3)]
    assert await store.batch_line_count(KEY) == 3
    assert await store.batch_lines(before.key, "", 10) == [before]


async def test_differences_come_with_their_batch_or_not_at_all(store: Store) -> None:
    """A commit that loses writes none; one that wins keeps each once."""
    found = [
        sample_difference("000001"),
        sample_difference("000001", kind=DifferenceKind.CARD_DIFFERS),
    ]
    assert await store.save_batch(SETTLED)
    assert not await store.save_batch(SETTLED, found)
    assert await store.differences_of_batch(KEY, None, 10) == []
    assert await store.save_batch(ENDED, found)
    again = [replace(found[0], terminal_fen=5, at_ms=9_999), sample_difference("000002")]
    assert await store.save_batch(replace(ENDED, version=3), again)
    of_batch = await store.differences_of_batch(KEY, None, 10)
    assert sorted(of_batch, key=lambda d: (d.trace, d.kind.value)) == list(of_batch)
    assert set(of_batch) == {*found, again[1]}


async def test_differences_are_those_of_the_latest_settlement(store: Store) -> None:
    """Other totals later: what was found about the first ones is history."""
    stale, fresh = (
        sample_difference("000001"),
        sample_difference("000001", settlement_no=2, host_fen=9),
    )
    assert await store.save_batch(SETTLED, [stale])
    assert await store.differences_of_batch(KEY, None, 10) == [stale]
    assert await store.save_batch(replace(SETTLED, version=2, settlement_no=2), [fresh])
    assert await store.differences_of_batch(KEY, None, 10) == [fresh]


async def test_the_differences_of_a_batch_are_read_in_pages(store: Store) -> None:
    """By trace and kind, and none of another batch."""
    keys = [KEY._replace(batch_no=number) for number in (6, 7, 10)]
    found = [
        sample_difference(trace, key=key, kind=kind)
        for key in keys
        for trace in ("", "000001", "000002")
        for kind in (DifferenceKind.AMOUNT_DIFFERS, DifferenceKind.ONLY_HOST)
    ]
    for key in keys:
        mine = [difference for difference in found if difference.key == key]
        assert await store.save_batch(replace(SETTLED, key=key), mine)

    async def of_one(after: BatchDifference | None, limit: int) -> Sequence[BatchDifference]:
        return await store.differences_of_batch(KEY, after, limit)

    assert await _pages(of_one, 4) == [difference for difference in found if difference.key == KEY]


@pytest.fixture
async def traded(store: Store) -> Store:
    """Trace 1 is paid, 2 is on its way, 3 paid back trace 1 in part; and strangers around."""
    await store.claim(sample_claim(1, order_key="T0000001-000007-000001", pan_token=b"tok"))
    await store.advance(sample_advance(1))
    code: dict[str, Any] = {"method": "auth_code", "pan_token": b"of a code"}
    await store.claim(sample_claim(2, order_key="T0000001-000007-000002", **code))
    strangers: dict[int, dict[str, Any]] = {
        3: {"order_key": "T0000001-000008-000001"},
        4: {"order_key": "T0000001-000006-000001"},
        5: {"order_key": "T0000002-000007-000001"},
        6: {"order_key": "T0000001-000007-000001", "merchant_no": "m2"},
        7: {"order_key": "T0000001-000007-000009", "door": "api"},
    }
    for number, changes in strangers.items():
        assert await store.claim(sample_claim(number, **changes))
    paid = await store.payment(sample_order(1).id)
    assert paid is not None
    names = (
        pos_refund_number("T0000001-000007-000003"),
        pos_refund_number("T0000001-000008-000003"),
        "T0000001-000007-000004",
        "R1",
    )
    for number, name in enumerate(names, 1):
        claim = sample_refund_claim(number, paid, 450, merchant_refund_no=name)
        assert await store.claim_refund(claim) is RefundClaimed.WON
        paid = claim.payment
    return store


async def test_a_batch_holds_what_its_own_messages_made(traded: Store) -> None:
    """Neither another batch's, terminal's, merchant's nor door's; a code is no card."""
    paid, pending = await traded.batch_payments(KEY, "", 10)
    assert paid == BatchEntry(
        trace="000001",
        payment_id=sample_order(1).id,
        refund_id="",
        status=Status.SUCCEEDED,
        amount_fen=1990,
        captured_fen=1990,
        returned_fen=0,
        pan_token=b"tok",
    )
    assert (pending.trace, pending.status, pending.pan_token) == ("000002", Status.SUBMITTED, b"")
    assert await traded.batch_payments(KEY, "000001", 10) == [pending]
    assert await traded.batch_payments(KEY, "", 1) == [paid]


async def test_a_refund_is_an_entry_with_its_payments_card(traded: Store) -> None:
    """Under the trace of the message that asked for it."""
    (refund,) = await traded.batch_refunds(KEY, "", 10)
    assert refund == BatchEntry(
        trace="000003",
        payment_id=sample_order(1).id,
        refund_id=f"ref_{1:028d}",
        status=RefundStatus.SUBMITTED,
        amount_fen=450,
        captured_fen=1990,
        returned_fen=0,
        pan_token=b"tok",
    )
    assert await traded.batch_refunds(KEY, "000003", 10) == []
