"""The plain statements of PostgreSQL write the very rows of the whole ones, or nothing."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from domain.decline import Decline, DeclineReason
from domain.errors import Conflict
from domain.payment import Event, Standing, Status
from gateway.store.port import Advance, Claim
from gateway.store.postgres_link import PostgresLink
from gateway.store.postgres_plain import (
    PLAIN_ADVANCE,
    PLAIN_CLAIM,
    is_plain_advance,
    is_plain_claim,
)
from gateway.store.postgres_rows import (
    ADVANCES,
    CLAIMS,
    NOTICES,
    POSTINGS,
    REPLIES,
    Parameters,
    advance_rows,
    claim_rows,
    make_row_types,
)
from gateway.store.postgres_statements import ADVANCE, CLAIM, PINNED
from tests.store.conftest import OpenStore
from tests.store.test_engines import HOT_TABLES
from tests.support.payments import (
    MERCHANT,
    sample_advance,
    sample_claim,
    sample_notice,
    sample_order,
    sample_parking,
    sample_postings,
    sample_reply,
    sample_shop_claim,
)

TABLES = (*HOT_TABLES, "till_events")
Rows = Mapping[str, Sequence[tuple[Any, ...]]]


def paid(number: int, **changes: Any) -> Advance:
    """The approval of a terminal's sale, with its reply."""
    return replace(sample_advance(number, reply=sample_reply(f"k{number}")), **changes)


def declined(number: int) -> Advance:
    """The refusal of a terminal's sale, with its reply."""
    decline = Decline(DeclineReason.DECLINED, "51")
    standing = Standing(status=Status.FAILED, version=2, decline=decline)
    return paid(number, event=Event.DECLINE, standing=standing, postings=())


CLAIMED = (
    *(sample_claim(number) for number in range(4)),
    sample_claim(4, due_at_ms=None),
    sample_claim(5, channel_order_no=""),
    sample_claim(6, account_id=""),
)
ADVANCED = (
    paid(0),
    declined(1),
    paid(2, merchant_no="m2"),
    paid(3, standing=sample_advance(3, version=3).standing),
    *(paid(number) for number in range(4, 8)),
)


async def _written(
    url: str, asked: Sequence[tuple[str, Parameters]]
) -> tuple[Sequence[Sequence[Any]], Rows]:
    """What the statements answer, and every row after them; all of it is taken back."""
    connection = await asyncpg.connect(url, server_settings=dict(PINNED))
    try:
        await make_row_types(connection, (CLAIMS, ADVANCES, POSTINGS, REPLIES, NOTICES))
        transaction = connection.transaction()
        await transaction.start()
        answers = [sorted(await connection.fetch(sql, *values)) for sql, values in asked]
        rows = {
            table: sorted(map(tuple, await connection.fetch(f"SELECT * FROM {table}")), key=repr)
            for table in TABLES
        }
        await transaction.rollback()
    finally:
        await connection.close()
    return answers, rows


async def test_a_plain_statement_writes_what_the_whole_one_writes(postgres_url: str) -> None:
    """Paid, declined, lost, of another merchant, without a job, without a number, unknown."""
    assert all(map(is_plain_claim, CLAIMED))
    assert all(map(is_plain_advance, ADVANCED))
    whole = [(CLAIM, claim_rows(CLAIMED)), (ADVANCE, advance_rows(ADVANCED))]
    plain: list[tuple[str, Parameters]] = [
        (PLAIN_CLAIM, (CLAIMED,)),
        (PLAIN_ADVANCE, (ADVANCED,)),
    ]
    (_, moved), rows = await _written(postgres_url, plain)
    (won, moved_by_the_whole), rows_of_the_whole = await _written(postgres_url, whole)
    assert (moved, rows) == (moved_by_the_whole, rows_of_the_whole)
    assert (len(won), len(moved)) == (7, 5)
    written = {table: len(found) for table, found in rows.items() if found}
    assert written == {
        "payments": 7,
        "attempts": 6,
        "jobs": 2,
        "payment_events": 12,
        "postings": 8,
        "terminal_replies": 5,
    }


@pytest.mark.parametrize(
    "change",
    [
        paid(0, reply=None),
        paid(0, due_at_ms=9_000),
        paid(0, notice=sample_notice(0)),
        paid(0, previous=Status.UNKNOWN),
        paid(0, previous=Status.REVERSING),
        paid(0, postings=(*sample_postings(), *sample_postings())),
        paid(0, postings=sample_postings()[:1]),
        replace(sample_parking(0), reply=sample_reply("k")),
    ],
    ids=["nobody", "open", "notice", "unknown", "reversing", "four lines", "one line", "parked"],
)
def test_what_more_hangs_on_is_not_plain(change: Advance) -> None:
    """Each of these has a row that the plain statement does not write."""
    assert not is_plain_advance(change)


@pytest.mark.parametrize(
    "claim",
    [
        sample_claim(0, reply=sample_reply("k")),
        sample_shop_claim(0),
        sample_claim(0, door="api"),
    ],
    ids=["reply", "shop", "api"],
)
def test_nor_is_a_claim_with_more(claim: Claim) -> None:
    """A reply is kept, or tills may be told."""
    assert not is_plain_claim(claim)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that the stores ask, in order."""
    seen: list[str] = []
    fetch = PostgresLink.fetch

    async def noted(self: PostgresLink, sql: str, parameters: Parameters) -> Sequence[Any]:
        seen.append(sql)
        return await fetch(self, sql, parameters)

    monkeypatch.setattr(PostgresLink, "fetch", noted)
    return seen


async def test_a_card_sale_is_two_plain_statements(
    postgres_url: str, open_store: OpenStore, asked: list[str]
) -> None:
    """Whoever moves it second has lost, and nothing is kept of that."""
    store = await open_store(postgres_url)
    assert await store.claim(sample_claim(1))
    assert await store.advance(paid(1))
    assert not await store.advance(paid(1, reply=sample_reply("late")))
    assert asked == [PLAIN_CLAIM, PLAIN_ADVANCE, PLAIN_ADVANCE]
    assert await store.terminal_reply(MERCHANT, "late") is None


async def test_a_key_that_is_taken_costs_its_neighbours_a_second_statement_and_no_more(
    postgres_url: str, open_store: OpenStore, asked: list[str]
) -> None:
    """The plain statement writes nothing; the whole one tells who was first."""
    store = await open_store(postgres_url)
    assert await store.claim(sample_claim(2))
    asked.clear()
    claims = [sample_claim(1), sample_claim(2, id="PAY2", channel_order_no="C2"), sample_claim(3)]
    assert await asyncio.gather(*map(store.claim, claims)) == [True, False, True]
    assert asked == [PLAIN_CLAIM, CLAIM]
    assert await store.payment("PAY2") is None
    assert await store.events("PAY2") == []
    assert await store.payment_by_channel_order("a1", "C2") is None


async def test_a_number_that_is_taken_is_a_conflict_of_who_brought_it(
    postgres_url: str, open_store: OpenStore
) -> None:
    """Its channel order number was used before: refused alone, as ever."""
    store = await open_store(postgres_url)
    assert await store.claim(sample_claim(2))
    taken = sample_order(2).channel_order_no
    claims = [sample_claim(1), sample_claim(4, channel_order_no=taken), sample_claim(3)]
    first, refused, third = await asyncio.gather(*map(store.claim, claims), return_exceptions=True)
    assert (first, third) == (True, True)
    assert isinstance(refused, Conflict)


async def test_a_batch_with_one_that_is_not_plain_is_one_whole_statement(
    postgres_url: str, open_store: OpenStore, asked: list[str]
) -> None:
    """No batch is split for it."""
    store = await open_store(postgres_url)
    claims = [sample_claim(0), sample_claim(1, reply=sample_reply("c")), sample_claim(2)]
    assert all(await asyncio.gather(*map(store.claim, claims)))
    advances = [paid(0), sample_advance(1, notice=sample_notice(1)), paid(2)]
    assert all(await asyncio.gather(*map(store.advance, advances)))
    assert asked == [CLAIM, ADVANCE]


async def test_a_payment_that_tills_are_told_of_is_never_moved_without_telling(
    postgres_url: str, open_store: OpenStore, asked: list[str]
) -> None:
    """Its reply to a terminal says otherwise, the row does not: all is written after all."""
    store = await open_store(postgres_url)
    for claim in (sample_claim(0), sample_shop_claim(1), sample_claim(2)):
        assert await store.claim(claim)
    asked.clear()
    assert all(await asyncio.gather(*(store.advance(paid(number)) for number in range(3))))
    assert asked == [PLAIN_ADVANCE, ADVANCE]
    told = await store.till_events(0, 10)
    assert [(event.payment_id, event.status) for event in told] == [
        (sample_order(1).id, Status.SUBMITTED.value),
        (sample_order(1).id, Status.SUCCEEDED.value),
    ]
    for number in range(3):
        assert len(await store.events(sample_order(number).id)) == 2
        assert len(await store.postings(sample_order(number).id)) == 2
