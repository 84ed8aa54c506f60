"""Order numbers reserved in blocks."""

import asyncio

import pytest

from channels.unionpay import card_numbers
from channels.unionpay.card_numbers import (
    BATCHES_OF_A_DAY,
    BLOCK,
    NUMBERS_OF_A_DAY,
    OrderNumbers,
    batches_of,
    day_of,
)
from domain.errors import Unavailable
from tests.channels.rigs import TERMINAL, FixedClock, Sequences

DAY_MS = 86_400_000
TODAY = f"{batches_of(day_of(FixedClock().ms)).start:06}"


async def test_numbers_go_on_across_blocks_without_a_gap_or_a_repeat() -> None:
    numbers = OrderNumbers("n", TERMINAL, Sequences().take, FixedClock())
    await numbers.start()
    given = []
    for _ in range(3 * BLOCK):
        given.append(numbers.next())
        await asyncio.sleep(0)
    assert given == [f"{TERMINAL}{TODAY}{trace:06}" for trace in range(1, 3 * BLOCK + 1)]
    await numbers.close()


async def test_a_restart_never_gives_a_number_again() -> None:
    sequences = Sequences()
    first = OrderNumbers("n", TERMINAL, sequences.take, FixedClock())
    await first.start()
    used = {first.next() for _ in range(10)}
    second = OrderNumbers("n", TERMINAL, sequences.take, FixedClock())
    await second.start()
    assert not used & {second.next() for _ in range(10)}


async def test_with_the_store_down_numbers_run_out_and_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(card_numbers, "RETRY_S", 0.01)
    sequences, up = Sequences(), asyncio.Event()

    async def take(name: str, count: int) -> int:
        if not up.is_set():
            raise Unavailable("the store is down")
        return await sequences.take(name, count)

    numbers = OrderNumbers("n", TERMINAL, take, FixedClock())
    await numbers.start()
    assert not numbers.available
    with pytest.raises(Unavailable):
        numbers.next()
    up.set()
    assert numbers._fetching is not None
    await numbers._fetching
    assert numbers.next() == TERMINAL + TODAY + "000001"
    await numbers.close()


def test_a_day_begins_at_midnight_in_beijing() -> None:
    midnight_ms = 1_795_276_800_000  # 22 November 2026, 00:00 in Beijing
    assert day_of(midnight_ms) == day_of(midnight_ms - 1) + 1
    assert day_of(midnight_ms) == day_of(midnight_ms + DAY_MS - 1)


def test_days_have_batches_of_their_own_for_a_century() -> None:
    """No two days within 37,000 share a batch, and every batch has six digits."""
    first = day_of(FixedClock().ms)
    seen: set[int] = set()
    for day in range(first, first + 37_000):
        batches = batches_of(day)
        assert len(batches) == BATCHES_OF_A_DAY
        assert 1 <= batches.start < batches.stop <= 1_000_000
        assert batches.start not in seen
        seen.update(batches)


async def test_a_new_day_has_a_new_batch_and_no_sale_waits_for_it() -> None:
    """The first numbers after midnight are yesterday's, until today's are reserved."""
    clock, sequences = FixedClock(), Sequences()
    numbers = OrderNumbers("n", TERMINAL, sequences.take, clock)
    await numbers.start()
    for _ in range(BLOCK // 2 + 10):  # the spare block of today is there, too
        numbers.next()
    await asyncio.sleep(0)
    clock.ms += DAY_MS
    assert numbers.next()[8:14] == TODAY
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    tomorrow = f"{batches_of(day_of(clock.ms)).start:06}"
    assert numbers.next() == TERMINAL + tomorrow + "000001"
    assert tomorrow != TODAY
    await numbers.close()


async def test_numbers_of_a_day_go_on_in_its_next_batch() -> None:
    clock, sequences = FixedClock(), Sequences()
    sequences.next[f"n:{day_of(clock.ms)}"] = 999_998
    numbers = OrderNumbers("n", TERMINAL, sequences.take, clock)
    await numbers.start()
    first, second = numbers.next(), numbers.next()
    assert (first[8:], second[8:]) == (f"{TODAY}999999", f"{int(TODAY) + 1:06}000001")
    await numbers.close()


async def test_a_day_never_uses_the_numbers_of_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When all of its own are used it has none; the next day begins with its first."""
    monkeypatch.setattr(card_numbers, "RETRY_S", 0.001)
    clock, sequences = FixedClock(), Sequences()
    sequences.next[f"n:{day_of(clock.ms)}"] = NUMBERS_OF_A_DAY - BLOCK
    numbers = OrderNumbers("n", TERMINAL, sequences.take, clock)
    await numbers.start()
    of_today = set()
    for _ in range(BLOCK):
        of_today.add(numbers.next())
        await asyncio.sleep(0)
    assert {int(number[8:14]) for number in of_today} <= set(batches_of(day_of(clock.ms)))
    await asyncio.sleep(0.01)
    assert not numbers.available
    with pytest.raises(Unavailable, match="numbers of today are used"):
        numbers.next()
    clock.ms += DAY_MS
    assert numbers._fetching is not None
    await numbers._fetching
    tomorrow = f"{batches_of(day_of(clock.ms)).start:06}"
    assert numbers.next() == TERMINAL + tomorrow + "000001"
    await numbers.close()
