"""Random days at a till: whatever the two sides disagree about is found, and nothing else.

Each test is a terminal of some days, one batch each; a day is random sales, voids and
refunds by card, chip and code, some of which only one side has, or both have otherwise.
The oracle is the list of what was planted, not a comparison.
"""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

import pytest

from domain.payment import Status
from domain.refund import RefundStatus
from gateway.pos import batches as batches_module
from gateway.store.batch_records import BatchState, DifferenceKind
from gateway.store.engine import StoreOptions, store_for
from gateway.store.port import Store
from tests.gateway.pos.settling import OTHER_PAN, PAN, Sold, Till
from tests.support.postgres import emptied_postgres_url, postgres_server, shared_postgres_url

__all__ = ["emptied_postgres_url", "postgres_server", "shared_postgres_url"]

DAYS = 4
_K = DifferenceKind
WITHOUT_MONEY = (Status.SUBMITTED, Status.UNKNOWN, Status.FAILED, Status.REVERSED, Status.CLOSED)

Told = tuple[str, DifferenceKind, int, int, str]
"""Trace, kind, terminal's and host's amount, payment."""


@pytest.fixture(params=["sqlite", "emptied_postgres"])
async def till(request: pytest.FixtureRequest) -> AsyncIterator[Till]:
    """A signed-in terminal, on either engine."""
    store: Store = store_for(
        request.getfixturevalue(f"{request.param}_url"), options=StoreOptions()
    )
    await store.open()
    opened = Till(store)
    await opened.open()
    yield opened
    await store.close()


@dataclass
class Day:
    """A batch in the making: what is planted in it."""

    till: Till
    chance: random.Random
    planted: list[tuple[Told, bool]]
    """Each with whether its line is uploaded after equal totals too."""
    trace: int = 0

    def sold(self) -> Sold:
        self.trace += self.chance.randint(1, 3)
        kind = self.chance.choice(("card", "chip", "code"))
        return Sold(
            trace=f"{self.trace:06d}",
            amount_fen=self.chance.randint(1, 99_999),
            pan="" if kind == "code" else PAN,
            is_credit=self.chance.random() < 0.3,
            is_chip=kind == "chip",
        )

    async def booked(self, sold: Sold) -> str:
        """The same transaction at the host; its payment."""
        make = self.till.books.refund if sold.is_credit else self.till.books.payment
        return await make(self.till.batch, sold.trace, sold.amount_fen, pan=sold.pan)

    def plant(self, sold: Sold, kind: DifferenceKind, said: int, held: int, payment: str) -> None:
        self.planted.append(((sold.trace, kind, said, held, payment), sold.is_chip))


async def both_have_it(day: Day, sold: Sold) -> None:
    await day.booked(sold)
    day.till.log_of_batch.append(sold)


async def neither_has_it(day: Day, sold: Sold) -> None:
    """The host tried, in vain; the terminal knows."""
    books, batch = day.till.books, day.till.batch
    if sold.is_credit:
        await books.refund(batch, sold.trace, sold.amount_fen, status=RefundStatus.FAILED)
    else:
        status = day.chance.choice(WITHOUT_MONEY)
        await books.payment(batch, sold.trace, sold.amount_fen, status=status)


async def only_the_terminal_has_it(day: Day, sold: Sold) -> None:
    day.till.log_of_batch.append(sold)
    day.plant(sold, _K.ONLY_TERMINAL, sold.amount_fen, 0, "")


async def the_host_has_no_money_of_it(day: Day, sold: Sold) -> None:
    books, batch = day.till.books, day.till.batch
    if sold.is_credit:
        of = await books.refund(batch, sold.trace, sold.amount_fen, status=RefundStatus.FAILED)
    else:
        status = day.chance.choice(WITHOUT_MONEY)
        of = await books.payment(batch, sold.trace, sold.amount_fen, status=status)
    day.till.log_of_batch.append(sold)
    day.plant(sold, _K.ONLY_TERMINAL, sold.amount_fen, 0, of)


async def only_the_host_has_it(day: Day, sold: Sold) -> None:
    of = await day.booked(sold)
    day.plant(replace(sold, is_chip=False), _K.ONLY_HOST, 0, sold.amount_fen, of)


async def the_amounts_differ(day: Day, sold: Sold) -> None:
    of = await day.booked(sold)
    said = replace(sold, amount_fen=sold.amount_fen + day.chance.randint(1, 500))
    day.till.log_of_batch.append(said)
    day.plant(sold, _K.AMOUNT_DIFFERS, said.amount_fen, sold.amount_fen, of)


async def the_cards_differ(day: Day, sold: Sold) -> None:
    carded = replace(sold, pan=PAN)
    of = await day.booked(carded)
    day.till.log_of_batch.append(replace(carded, pan=OTHER_PAN))
    day.plant(carded, _K.CARD_DIFFERS, sold.amount_fen, sold.amount_fen, of)


AGREEING = (both_have_it, neither_has_it)
DIFFERING: tuple[Callable[[Day, Sold], Awaitable[None]], ...] = (
    only_the_terminal_has_it,
    the_host_has_no_money_of_it,
    only_the_host_has_it,
    the_amounts_differ,
    the_cards_differ,
)


async def _lived(till: Till, chance: random.Random) -> Day:
    """Trade for a day."""
    day = Day(till, chance, [])
    share = chance.choice((0.0, 0.05, 0.3))
    only_cards = chance.random() < 0.3
    for _ in range(chance.randint(0, 25)):
        differing = (the_cards_differ,) if only_cards else DIFFERING
        choices = differing if chance.random() < share else AGREEING
        await chance.choice(choices)(day, day.sold())
    return day


async def _settled(till: Till, chance: random.Random) -> bool:
    """Settle and upload, with repeats and in any order; whether everything was uploaded."""
    everything = not (await till.settle()).are_equal
    if chance.random() < 0.5:
        assert (await till.settle()).are_equal is not everything
    asks = till.uploads(everything=everything)
    asks += [ask for ask in asks if chance.random() < 0.3]
    chance.shuffle(asks)
    for ask in asks:
        assert (await till.say(ask)).text(39) == "00"
    count = sum(sold.is_chip or everything for sold in till.log_of_batch)
    for _ in range(chance.randint(1, 2)):
        assert (await till.end(count, everything=everything)).text(39) == "00"
    return everything


@pytest.mark.parametrize("seed", range(3))
async def test_exactly_what_was_planted_is_found(
    till: Till, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal totals close; others are uploaded, and every difference is named once."""
    monkeypatch.setattr(batches_module, "_PAGE", 3)
    chance = random.Random(seed)
    for _ in range(DAYS):
        day = await _lived(till, chance)
        everything, key = await _settled(till, chance), till.key
        planted = {told for told, is_uploaded in day.planted if everything or is_uploaded}
        found = await till.differences(key)
        told = {
            (one.trace, one.kind, one.terminal_fen, one.host_fen, one.payment_id)
            for one in found
            if one.kind is not _K.TOTALS_DIFFER
        }
        assert told == planted
        assert len(told) == sum(one.kind is not _K.TOTALS_DIFFER for one in found)
        assert (len(found) > len(told)) is everything
        batch = await till.store.batch(key)
        assert batch is not None
        assert (batch.state, batch.totals_agree) == (BatchState.CLOSED, not everything)
        assert (await till.session()).batch_no == key.batch_no
        till.next_batch()
        await till.first_sale()
        assert (await till.session()).batch_no == key.batch_no + 1
