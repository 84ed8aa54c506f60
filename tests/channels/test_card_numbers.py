"""Order numbers reserved in blocks."""

import asyncio

import pytest

from channels.unionpay import card_numbers
from channels.unionpay.card_numbers import BLOCK, OrderNumbers
from domain.errors import Unavailable
from tests.channels.rigs import TERMINAL, Sequences


async def test_numbers_go_on_across_blocks_without_a_gap_or_a_repeat() -> None:
    numbers = OrderNumbers("n", TERMINAL, Sequences().take)
    await numbers.start()
    given = []
    for _ in range(3 * BLOCK):
        given.append(numbers.next())
        await asyncio.sleep(0)
    assert given == [f"{TERMINAL}000001{trace:06}" for trace in range(1, 3 * BLOCK + 1)]
    await numbers.close()


async def test_a_restart_never_gives_a_number_again() -> None:
    sequences = Sequences()
    first = OrderNumbers("n", TERMINAL, sequences.take)
    await first.start()
    used = {first.next() for _ in range(10)}
    second = OrderNumbers("n", TERMINAL, sequences.take)
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

    numbers = OrderNumbers("n", TERMINAL, take)
    await numbers.start()
    assert not numbers.available
    with pytest.raises(Unavailable):
        numbers.next()
    up.set()
    assert numbers._fetching is not None
    await numbers._fetching
    assert numbers.next() == TERMINAL + "000001000001"
    await numbers.close()
