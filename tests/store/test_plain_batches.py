"""What is plain shares a batch on PostgreSQL; where one is refused, nobody else comes to harm."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from domain.errors import Conflict, Unavailable, Unprocessable
from domain.payment import Status
from gateway.store.database import Refused
from gateway.store.port import Claim, Store
from gateway.store.postgres_appliers import _REPEATS_EXPECTED_S
from gateway.store.postgres_link import PostgresLink
from gateway.store.postgres_plain import (
    DECIDED_BOTH,
    DECIDED_CLAIM,
    PLAIN_ADVANCE,
    PLAIN_BOTH,
    PLAIN_CLAIM,
)
from gateway.store.postgres_rows import Parameters
from gateway.store.postgres_statements import ADVANCE, CLAIM
from tests.store.conftest import OpenStore
from tests.store.test_plain import paid
from tests.support.payments import (
    MERCHANT,
    sample_advance,
    sample_claim,
    sample_notice,
    sample_order,
    sample_reply,
    sample_shop_claim,
)

Outcomes = Sequence[bool | BaseException]


def watch(monkeypatch: pytest.MonkeyPatch, note: Callable[[str, Parameters], None]) -> None:
    """Be told of each statement before it is asked."""
    fetch = PostgresLink.fetch

    async def noted(self: PostgresLink, sql: str, parameters: Parameters) -> Sequence[Any]:
        note(sql, parameters)
        return await fetch(self, sql, parameters)

    monkeypatch.setattr(PostgresLink, "fetch", noted)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The statements that the store asks, in order."""
    seen: list[object] = []
    watch(monkeypatch, lambda sql, _: seen.append(sql))
    return seen


async def together(*changes: Awaitable[bool]) -> Outcomes:
    """Changes that come at once, and what each is told."""
    return await asyncio.gather(*changes, return_exceptions=True)


async def versions(store: Store, *numbers: int) -> Sequence[int | None]:
    """At which version each payment stands; its history must be as long, its entry there once."""
    found: list[int | None] = []
    for number in numbers:
        payment_id = sample_order(number).id
        payment = await store.payment(payment_id)
        found.append(None if payment is None else payment.standing.version)
        assert len(await store.events(payment_id)) == (found[-1] or 0)
        assert len(await store.postings(payment_id)) == (2 if found[-1] == 2 else 0)
    return found


async def connections(url: str) -> set[int]:
    """The server's processes behind the gateway's connections."""
    look = await asyncpg.connect(url)
    try:
        rows = await look.fetch(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    finally:
        await look.close()
    return {row["pid"] for row in rows}


def taken(number: int) -> Claim:
    """The claim of a payment whose order key is number ``number``'s, under an id of its own."""
    return sample_claim(number, id=f"REPEAT{number}", channel_order_no=f"REPEAT{number}")


async def test_a_card_sale_is_two_plain_statements(
    postgres_url: str, open_store: OpenStore, asked: list[object]
) -> None:
    """Whoever moves it second has lost, and nothing is kept of that."""
    store = await open_store(postgres_url)
    assert await store.claim(sample_claim(1))
    assert await store.advance(paid(1))
    assert not await store.advance(paid(1, reply=sample_reply("late")))
    assert asked == [PLAIN_CLAIM, PLAIN_ADVANCE, PLAIN_ADVANCE]
    assert await store.terminal_reply(MERCHANT, "late") is None


async def test_what_comes_at_once_is_one_statement(
    postgres_url: str, open_store: OpenStore, asked: list[object]
) -> None:
    """Payments that begin and payments that end, in any order; one of the latter has lost."""
    store = await open_store(postgres_url)
    assert await together(*(store.claim(sample_claim(number)) for number in (1, 2))) == [True] * 2
    asked.clear()
    outcomes = await together(
        store.advance(paid(1)),
        store.claim(sample_claim(3)),
        store.advance(paid(2, standing=sample_advance(2, version=3).standing)),
        store.claim(sample_claim(4)),
    )
    assert outcomes == [True, True, False, True]
    assert asked == [PLAIN_BOTH]
    assert await versions(store, 1, 2, 3, 4) == [2, 1, 1, 1]


async def test_a_key_that_is_taken_costs_its_neighbours_a_second_statement_and_no_more(
    postgres_url: str, open_store: OpenStore, asked: list[object]
) -> None:
    """The trusting statement writes nothing; the other tells who was first."""
    store = await open_store(postgres_url)
    assert await store.claim(sample_claim(2))
    asked.clear()
    claims = [sample_claim(1), taken(2), sample_claim(3)]
    assert await asyncio.gather(*map(store.claim, claims)) == [True, False, True]
    assert asked == [PLAIN_CLAIM, DECIDED_CLAIM]
    assert await store.payment("REPEAT2") is None
    assert await store.events("REPEAT2") == []
    assert await store.payment_by_channel_order("a1", "REPEAT2") is None


async def test_a_key_that_is_taken_among_both_is_one_statement_more(
    postgres_url: str, open_store: OpenStore, asked: list[object]
) -> None:
    """Who is first wins, who repeats has lost, who ends moves: once each."""
    store = await open_store(postgres_url)
    assert await together(*(store.claim(sample_claim(number)) for number in (1, 2))) == [True] * 2
    asked.clear()
    outcomes = await together(
        store.claim(sample_claim(3)),
        store.advance(paid(1)),
        store.claim(taken(2)),
        store.claim(sample_claim(4)),
        store.advance(paid(2)),
    )
    assert outcomes == [True, True, False, True, True]
    assert asked == [PLAIN_BOTH, DECIDED_BOTH]
    assert await versions(store, 1, 2, 3, 4) == [2, 2, 1, 1]
    assert await store.payment("REPEAT2") is None
    assert await store.terminal_reply(MERCHANT, "k2") == sample_reply("k2")


async def test_a_payment_that_is_claimed_again_while_it_ends_is_not_won(
    postgres_url: str, open_store: OpenStore
) -> None:
    """Though it moved, and has the very id of what was claimed."""
    store = await open_store(postgres_url)
    assert await store.claim(sample_claim(1))
    outcomes = await together(store.claim(sample_claim(1)), store.advance(paid(1)))
    assert outcomes == [False, True]
    assert await versions(store, 1) == [2]


async def test_who_repeats_all_day_holds_nobody_up(
    postgres_url: str, open_store: OpenStore, asked: list[object]
) -> None:
    """While repeats come every batch decides at once; a second after the last, all trust again."""
    store = await open_store(postgres_url)
    assert await together(*(store.claim(sample_claim(number)) for number in (1, 2))) == [True] * 2
    asked.clear()
    assert not await store.claim(taken(1))
    for number in range(10, 14):
        assert await together(
            store.claim(taken(2)),
            store.claim(sample_claim(number)),
            store.advance(paid(number - 9)),
        ) == [False, True, number < 12]
    assert asked == [PLAIN_CLAIM, DECIDED_CLAIM, *[DECIDED_BOTH] * 4]
    until_s = asyncio.get_running_loop().time() + _REPEATS_EXPECTED_S
    number = 100
    while asyncio.get_running_loop().time() < until_s:  # new ones meanwhile keep nobody waiting
        number += 1
        assert await store.claim(sample_claim(number))
        await asyncio.sleep(0.05)
    asked.clear()
    assert await together(store.claim(sample_claim(20)), store.advance(paid(10))) == [True, True]
    assert asked == [PLAIN_BOTH]
    assert await versions(store, 1, 2, 10, 11, 20) == [2, 2, 2, 1, 1]


async def until_waiting(look: Any, count: int) -> None:
    """Until so many statements wait for a lock."""
    for _ in range(1_000):
        if await look.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") >= count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody waits")


async def test_who_decides_locks_in_the_order_of_who_trusts(
    postgres_url: str, open_store: OpenStore, asked: list[object]
) -> None:
    """Two processes with the same payments, one of them after a repeat: neither waits for the
    other while the other waits for it.
    """
    trusting, deciding = await open_store(postgres_url), await open_store(postgres_url)
    assert await trusting.claim(sample_claim(1))
    assert await trusting.claim(sample_claim(2))
    assert not await deciding.claim(taken(2))
    asked.clear()
    gate = await asyncpg.connect(postgres_url)
    try:
        held = gate.transaction()
        await held.start()
        await gate.fetch("SELECT 1 FROM payments WHERE id = $1 FOR UPDATE", sample_order(1).id)
        one = asyncio.ensure_future(
            together(trusting.advance(paid(1)), trusting.claim(sample_claim(7)))
        )
        await until_waiting(gate, 1)
        other = asyncio.ensure_future(
            together(deciding.advance(paid(1, reply=None)), deciding.claim(taken(7)))
        )
        await until_waiting(gate, 2)
        await held.rollback()
    finally:
        await gate.close()
    assert [await one, await other] == [[True, True], [False, False]]
    assert asked == [PLAIN_BOTH, DECIDED_BOTH], "one was ended, to be asked again"
    assert await versions(trusting, 1, 2, 7) == [2, 1, 1]


async def test_processes_that_are_sent_the_same_write_it_in_the_same_order(
    postgres_url: str, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it came; each is told what became of its own."""
    store = await open_store(postgres_url)
    claims = [sample_claim(number) for number in range(10, 20)]
    assert all(await asyncio.gather(*map(store.claim, claims)))
    seen: list[Parameters] = []
    watch(monkeypatch, lambda _, parameters: seen.append(parameters))
    for first in (20, 30):  # trusting, then deciding
        changes = [store.claim(sample_claim(number)) for number in range(first + 5, first, -1)]
        changes += [store.advance(paid(number)) for number in range(first - 6, first - 11, -1)]
        await together(*changes, store.claim(taken(10)))
    for written in (seen[0], seen[1], seen[2]):
        keys = [claim.order.order_key for claim in written[0]]
        ids = [advance.payment_id for advance in written[1]]
        assert (keys, ids) == (sorted(keys), sorted(ids))
        assert (len(keys), len(ids)) == (6, 5)
    assert await versions(store, 10, 14, 19, 21, 25) == [2, 2, 1, 2, 1]


async def test_nor_does_what_is_not_plain_lock_as_it_comes(
    postgres_url: str, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shop's payments, from the last to the first."""
    store = await open_store(postgres_url)
    seen: dict[str, Parameters] = {}
    watch(monkeypatch, seen.__setitem__)
    numbers = range(5, 0, -1)
    claims = [sample_shop_claim(number) for number in numbers]
    late = replace(claims[0], order=replace(claims[0].order, id="LATE", channel_order_no="LATE"))
    assert await store.claim(claims.pop(0))
    assert await together(*map(store.claim, (late, *claims))) == [False, *[True] * 4]
    stale = sample_advance(5, version=3)
    advances = [sample_advance(number) for number in numbers[1:]]
    assert await together(*map(store.advance, (stale, *advances))) == [False, *[True] * 4]
    keys = [claim.order.order_key for claim in seen[CLAIM][0]]
    ids = [advance.payment_id for advance in seen[ADVANCE][0]]
    assert (keys, ids) == (sorted(keys), sorted(ids))
    assert (len(keys), len(ids)) == (5, 5)


async def test_a_batch_that_decides_tells_tills_what_its_advance_denied(
    postgres_url: str, open_store: OpenStore
) -> None:
    """As one that trusts does."""
    store = await open_store(postgres_url)
    assert await store.claim(sample_claim(0))
    assert await store.claim(sample_shop_claim(1))
    assert not await store.claim(taken(0))
    assert await together(store.claim(sample_claim(3)), store.advance(paid(1))) == [True, True]
    assert [event.status for event in await store.till_events(0, 10)] == [
        Status.SUBMITTED.value,
        Status.SUCCEEDED.value,
    ]


async def test_what_cannot_be_stored_is_not_asked_about_twice(
    postgres_url: str, open_store: OpenStore, asked: list[object]
) -> None:
    """Who is first changes nothing about it."""
    store = await open_store(postgres_url)
    won, refused = await together(
        store.claim(sample_claim(1)), store.claim(sample_claim(2, subject="a\x00b"))
    )
    assert won is True
    assert isinstance(refused, Unprocessable)
    assert asked == [PLAIN_CLAIM] * 3


@pytest.mark.parametrize("repeats", [False, True])
async def test_a_reply_that_is_taken_is_a_conflict_of_who_brought_it(
    postgres_url: str, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch, repeats: bool
) -> None:
    """The statement that decides is refused too, and with it the claims that had won: those are
    tried again from nothing, and none loses to what it wrote itself.
    """
    store = await open_store(postgres_url)
    reader = await open_store(postgres_url)
    assert await together(*(store.claim(sample_claim(number)) for number in (1, 2))) == [True] * 2
    assert await store.save_reply(sample_reply("k1"))
    left: list[object] = []
    fetch = PostgresLink.fetch

    async def looked(self: PostgresLink, sql: str, parameters: Parameters) -> Sequence[Any]:
        try:
            return await fetch(self, sql, parameters)
        except Refused:
            if not left and sql is DECIDED_BOTH:
                left.append(await versions(reader, 1, 2, 3, 4))
            raise

    monkeypatch.setattr(PostgresLink, "fetch", looked)
    changes = [
        store.claim(sample_claim(3)),
        store.advance(paid(1)),
        store.claim(sample_claim(4)),
        store.advance(paid(2)),
    ]
    if repeats:
        changes.append(store.claim(taken(2)))
    first, conflict, *others = await together(*changes)
    assert isinstance(conflict, Conflict)
    assert conflict.code == "reply_exists"
    assert [first, *others] == [True, True, True, *([False] if repeats else [])]
    assert left == [[1, 1, None, None]]
    assert await versions(store, 1, 2, 3, 4) == [1, 2, 1, 1]


async def test_a_number_that_is_taken_is_a_conflict_of_who_brought_it(
    postgres_url: str, open_store: OpenStore
) -> None:
    """Its channel order number was used before: refused alone, as ever."""
    store = await open_store(postgres_url)
    assert await store.claim(sample_claim(2))
    number = sample_order(2).channel_order_no
    first, refused, third, moved = await together(
        store.claim(sample_claim(1)),
        store.claim(sample_claim(4, channel_order_no=number)),
        store.claim(sample_claim(3)),
        store.advance(paid(2)),
    )
    assert (first, third, moved) == (True, True, True)
    assert isinstance(refused, Conflict)
    assert await versions(store, 1, 2, 3, 4) == [1, 2, 1, None]


@pytest.mark.parametrize(
    "wrong", [{"subject": "a\x00b"}, {"subject": "a\ud800b"}, {"amount_fen": 1 << 70}]
)
async def test_what_cannot_be_stored_fails_alone(
    postgres_url: str, open_store: OpenStore, wrong: dict[str, Any]
) -> None:
    """Neither claims nor advances beside it come to harm, whether server or driver refuses it."""
    store = await open_store(postgres_url)
    assert await store.claim(sample_claim(1))
    before = await connections(postgres_url)
    moved, refused, won = await together(
        store.advance(paid(1)),
        store.claim(sample_claim(2, **wrong)),
        store.claim(sample_claim(3)),
    )
    assert (moved, won) == (True, True)
    assert isinstance(refused, Unprocessable)
    assert refused.code == "not_storable"
    assert await versions(store, 1, 2, 3) == [2, None, 1]
    assert await connections(postgres_url) >= before, "one was given up"


async def test_what_is_not_plain_goes_beside(
    postgres_url: str, open_store: OpenStore, asked: list[object]
) -> None:
    """No plain batch is made whole for it."""
    store = await open_store(postgres_url)
    claims = [sample_claim(0), sample_claim(1, reply=sample_reply("c")), sample_claim(2)]
    assert all(await asyncio.gather(*map(store.claim, claims)))
    assert sorted(map(str, asked)) == sorted([PLAIN_CLAIM, CLAIM])
    asked.clear()
    advances = [paid(0), sample_advance(1, notice=sample_notice(1)), paid(2)]
    assert all(await asyncio.gather(*map(store.advance, advances)))
    assert sorted(map(str, asked)) == sorted([PLAIN_ADVANCE, ADVANCE])
    assert await versions(store, 0, 1, 2) == [2, 2, 2]


@pytest.mark.parametrize("with_a_claim", [False, True])
async def test_a_payment_that_tills_are_told_of_is_never_moved_without_telling(
    postgres_url: str, open_store: OpenStore, asked: list[object], with_a_claim: bool
) -> None:
    """Its advance says otherwise, the row does not: alone at last, it is written with all else."""
    store = await open_store(postgres_url)
    for claim in (sample_claim(0), sample_shop_claim(1), sample_claim(2)):
        assert await store.claim(claim)
    asked.clear()
    changes = [store.advance(paid(number)) for number in range(3)]
    if with_a_claim:
        changes.append(store.claim(sample_claim(3)))
    assert await together(*changes) == [True] * len(changes)
    assert asked[0] == (PLAIN_BOTH if with_a_claim else PLAIN_ADVANCE)
    assert asked.count(ADVANCE) == 1
    assert len(asked) == 6
    told = await store.till_events(0, 10)
    assert [(event.payment_id, event.status) for event in told] == [
        (sample_order(1).id, Status.SUBMITTED.value),
        (sample_order(1).id, Status.SUCCEEDED.value),
    ]
    assert await versions(store, 0, 1, 2, 3) == [2, 2, 2, 1 if with_a_claim else None]


async def test_one_change_on_two_ways_is_written_once(
    postgres_url: str, open_store: OpenStore
) -> None:
    """A notification and a terminal's query move one payment at once, and so do two claims of
    one key; even where each way waits for the other, which the database ends.
    """
    store = await open_store(postgres_url)
    numbers = range(12)
    claims = await together(
        *(store.claim(sample_claim(number)) for number in numbers),
        *(
            store.claim(
                sample_claim(
                    number, id=f"R{number}", channel_order_no=f"R{number}",
                    reply=sample_reply(f"r{number}"),
                )
            )
            for number in reversed(numbers)
        ),
    )  # fmt: skip
    assert sorted(map(str, claims)) == ["False"] * 12 + ["True"] * 12
    begun = range(100, 112)
    assert all(await asyncio.gather(*(store.claim(sample_claim(number)) for number in begun)))
    advances = await together(
        *(store.advance(paid(number)) for number in begun),
        *(store.advance(sample_advance(number)) for number in reversed(begun)),
    )
    assert sorted(map(str, advances)) == ["False"] * 12 + ["True"] * 12
    assert await versions(store, *begun) == [2] * 12


async def _hung_up(link: PostgresLink) -> None:
    """The driver has noticed already."""
    link._connection.terminate()


async def _defect(_link: PostgresLink) -> None:
    raise RuntimeError("a defect of ours")


@pytest.mark.parametrize(
    ("broken", "told"), [(_hung_up, [True, True, False]), (_defect, [Unavailable] * 3)]
)
async def test_what_breaks_between_the_statements_has_written_nothing(
    postgres_url: str,
    open_store: OpenStore,
    monkeypatch: pytest.MonkeyPatch,
    broken: Callable[[PostgresLink], Awaitable[None]],
    told: Sequence[object],
) -> None:
    """A new connection decides the batch, or everybody in it is told that it is not known."""
    store = await open_store(postgres_url)
    assert await together(*(store.claim(sample_claim(number)) for number in (1, 2))) == [True] * 2
    fetch, breaks = PostgresLink.fetch, [broken]

    async def cut(self: PostgresLink, sql: str, parameters: Parameters) -> Sequence[Any]:
        if sql is DECIDED_BOTH and breaks:
            await breaks.pop()(self)
        return await fetch(self, sql, parameters)

    monkeypatch.setattr(PostgresLink, "fetch", cut)

    def changes() -> Sequence[Awaitable[bool]]:
        return store.claim(sample_claim(3)), store.advance(paid(1)), store.claim(taken(2))

    outcomes = await together(*changes())
    assert [one if isinstance(one, bool) else type(one) for one in outcomes] == told
    assert not breaks
    assert await versions(store, 1, 2, 3) == ([2, 1, 1] if told[0] is True else [1, 1, None])
    assert await together(*changes()) == [told[0] is not True] * 2 + [False]
    assert await versions(store, 1, 2, 3) == [2, 1, 1]
