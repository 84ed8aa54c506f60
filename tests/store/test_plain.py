"""The plain statements of PostgreSQL write the very rows of the whole ones; what is plain."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from domain.checkout import Checkout, CheckoutStatus
from domain.decline import Decline, DeclineReason
from domain.ledger import Entry
from domain.payment import Event, Order, Standing, Status
from gateway.store.port import Advance, CheckoutMove, Claim
from gateway.store.postgres_plain import (
    DECIDED_BOTH,
    DECIDED_CLAIM,
    PLAIN_ADVANCE,
    PLAIN_BOTH,
    PLAIN_CLAIM,
)
from gateway.store.postgres_plain_rows import (
    PLAIN_ADVANCES,
    PLAIN_CLAIMS,
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
from gateway.store.told import IS_TOLD, is_told
from tests.store.conftest import Look
from tests.store.test_engines import HOT_TABLES
from tests.support.payments import (
    MERCHANT,
    sample_advance,
    sample_claim,
    sample_notice,
    sample_order,
    sample_postings,
    sample_reply,
    sample_shop_claim,
)

TABLES = (*HOT_TABLES, "till_events")
Rows = Mapping[str, Sequence[tuple[Any, ...]]]
Asked = Sequence[tuple[str, Parameters]]

DEBIT, CREDIT = sample_postings()
MOVE = CheckoutMove(
    checkout=Checkout(
        id="pay_ABC", merchant_no=MERCHANT, status=CheckoutStatus.WAITING, version=1, attempts=0,
        wallets=("alipay",), is_single=True, code_id="", created_at_ms=1_000, expires_at_ms=9_000,
    ),
    due_at_ms=9_000,
)  # fmt: skip


def paid(number: int, **changes: Any) -> Advance:
    """The approval of a payment that no till is told of, with a terminal's reply."""
    plain = sample_advance(number, reply=sample_reply(f"k{number}"), is_told=False)
    return replace(plain, **changes)


def stands(**changes: Any) -> Standing:
    """Where an approved payment stands, but for ``changes``."""
    return replace(sample_advance(0).standing, **changes)


def claimed(first: int) -> Sequence[Claim]:
    """Ten claims: of a terminal's sales, of the API's, of a page's; each of the last three odd."""
    return (
        *(sample_claim(number) for number in range(first, first + 5)),
        sample_claim(first + 5, door="api", terminal_id=""),
        sample_claim(first + 6, door="page", terminal_id="", pan_sealed=b"", pan_token=b"t" * 32),
        sample_claim(first + 7, due_at_ms=None),
        sample_claim(first + 8, channel_order_no=""),
        sample_claim(first + 9, account_id=""),
    )


CARD = stands(channel_trade_no="T7", channel_reference="R7", card_organisation="CUP")
REFUSED = Standing(
    status=Status.FAILED, version=2, decline=Decline(DeclineReason.INSUFFICIENT_FUNDS, "51")
)
ADVANCED = (
    paid(0),
    paid(1, event=Event.DECLINE, standing=REFUSED, postings=()),
    paid(2, merchant_no="m2", reply=None),
    paid(3, standing=stands(version=3)),
    paid(4, previous=Status.PENDING, standing=CARD),
    paid(5, reply=None),
    paid(6, event=Event.DECLINE, standing=replace(REFUSED, decline=None), postings=(), reply=None),
    *(paid(number) for number in range(7, 10)),
    paid(77),
)
"""Two of them lose, of another's payment and to a version; one is of no payment."""


async def _written(url: str, asked: Asked) -> tuple[Sequence[Sequence[Any]], Rows]:
    """What the statements answer, and every row after them; all of it is taken back."""
    connection = await asyncpg.connect(url, server_settings=dict(PINNED))
    types = (CLAIMS, ADVANCES, POSTINGS, REPLIES, NOTICES, PLAIN_CLAIMS, PLAIN_ADVANCES)
    try:
        await make_row_types(connection, types)
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


def _counted(rows: Rows) -> Mapping[str, int]:
    return {table: len(found) for table, found in rows.items() if found}


async def test_a_plain_claim_writes_what_the_whole_one_writes(postgres_url: str) -> None:
    """With and without a job, a number at the channel, an account, a card."""
    claims = claimed(0)
    assert all(map(is_plain_claim, claims))
    (answer,), rows = await _written(postgres_url, [(PLAIN_CLAIM, (claims,))])
    (won,), rows_of_the_whole = await _written(postgres_url, [(CLAIM, claim_rows(claims))])
    assert rows == rows_of_the_whole
    assert (len(answer), len(won)) == (0, 10)
    assert _counted(rows) == {"payments": 10, "attempts": 9, "jobs": 9, "payment_events": 10}


async def test_a_plain_advance_writes_what_the_whole_one_writes(postgres_url: str) -> None:
    """Paid, declined, closed; lost, of another merchant, of nobody; with and without a reply."""
    assert all(map(is_plain_advance, ADVANCED))
    before = (CLAIM, claim_rows(claimed(0)))
    plain = [before, (PLAIN_ADVANCE, (ADVANCED,))]
    whole = [before, (ADVANCE, advance_rows(ADVANCED))]
    (_, moved), rows = await _written(postgres_url, plain)
    (_, moved_by_the_whole), rows_of_the_whole = await _written(postgres_url, whole)
    assert (moved, rows) == (moved_by_the_whole, rows_of_the_whole)
    assert [row[0] for row in moved] == [
        sample_order(number).id for number in (0, 1, 4, 5, 6, 7, 8, 9)
    ]
    assert _counted(rows) == {
        "payments": 10,
        "attempts": 9,
        "jobs": 2,
        "payment_events": 18,
        "postings": 12,
        "terminal_replies": 6,
    }


async def test_both_in_one_write_what_both_write(postgres_url: str) -> None:
    """Ten begin while ten move."""
    before, claims = (CLAIM, claim_rows(claimed(0))), claimed(100)
    both = [before, (PLAIN_BOTH, (claims, ADVANCED))]
    whole = [before, (CLAIM, claim_rows(claims)), (ADVANCE, advance_rows(ADVANCED))]
    (_, moved), rows = await _written(postgres_url, both)
    (_, won, moved_by_the_whole), rows_of_the_whole = await _written(postgres_url, whole)
    assert (moved, rows) == (moved_by_the_whole, rows_of_the_whole)
    assert (len(won), len(moved)) == (10, 8)
    assert _counted(rows) == {
        "payments": 20,
        "attempts": 18,
        "jobs": 11,
        "payment_events": 28,
        "postings": 12,
        "terminal_replies": 6,
    }


@pytest.mark.parametrize("with_advances", [False, True])
async def test_what_decides_writes_what_the_whole_ones_write(
    postgres_url: str, with_advances: bool
) -> None:
    """Of fourteen claims four come too late: one of the very payment, three of another id."""
    before, again = (CLAIM, claim_rows(claimed(0))), claimed(4)
    late = [again[0], *(replace(sample_claim(n), order=repeated(n)) for n in (5, 8, 9))]
    claims = (*late[:2], *claimed(100), *late[2:])
    if with_advances:
        ((_, answer), rows), ((_, won, moved), whole) = (
            await _written(postgres_url, [before, (DECIDED_BOTH, (claims, ADVANCED))]),
            await _written(
                postgres_url,
                [before, (CLAIM, claim_rows(claims)), (ADVANCE, advance_rows(ADVANCED))],
            ),
        )
    else:
        ((_, answer), rows), ((_, won), whole) = (
            await _written(postgres_url, [before, (DECIDED_CLAIM, (claims,))]),
            await _written(postgres_url, [before, (CLAIM, claim_rows(claims))]),
        )
        moved = []
    assert rows == whole
    assert {tuple(row) for row in answer} == {
        *((row[0], True) for row in won),
        *((row[0], False) for row in moved),
    }
    assert (len(won), len(moved)) == (10, 8 if with_advances else 0)


def repeated(number: int) -> Order:
    """The order of a payment that was claimed before, under an id and a number of its own."""
    key = claimed(0)[number].order
    return replace(key, id=f"AGAIN{number}", channel_order_no=f"AGAIN{number}")


@pytest.mark.parametrize(
    "changes",
    [
        {"is_told": True},
        {"notice": sample_notice(0)},
        {"due_at_ms": 9_000},
        {"standing": Standing(status=Status.UNKNOWN, version=2, parked_reason="amount_mismatch")},
        {"previous": Status.UNKNOWN},
        {"previous": Status.REVERSING},
        {"previous": Status.SUCCEEDED},
        {"previous": Status.AUTHORIZED},
        {"standing": stands(refunding_fen=1)},
        {"standing": stands(returned_fen=1)},
        {"standing": stands(notices=1)},
        {"postings": (DEBIT, CREDIT, DEBIT, CREDIT)},
        {"postings": (DEBIT,)},
        {"postings": (DEBIT, replace(CREDIT, entry=Entry.FEE))},
        {"postings": (DEBIT, replace(CREDIT, currency="HKD"))},
        {"postings": (DEBIT, replace(CREDIT, amount_fen=-1))},
        {"postings": (DEBIT, replace(CREDIT, amount_fen=DEBIT.amount_fen))},
        {"reply": replace(sample_reply("k0"), merchant_no="m2")},
        {"moves": MOVE},
    ],
    ids=",".join,
)
def test_what_more_hangs_on_is_not_plain(changes: Mapping[str, Any]) -> None:
    """Each of these has something that the plain statement does not write."""
    assert is_plain_advance(paid(0))
    assert not is_plain_advance(paid(0, **changes))


def test_an_advance_is_told_of_until_somebody_knows_better() -> None:
    """Whoever makes one and does not know the order goes the way that tells tills."""
    assert not is_plain_advance(sample_advance(0))


@pytest.mark.parametrize(
    "changes",
    [
        {"reply": sample_reply("k")},
        {"order": sample_shop_claim(0).order},
        {"order": sample_order(0, door="api")},
        {"event": Event.UNDO},
        {"standing": Standing(status=Status.CLOSED, version=1)},
        {"standing": Standing(status=Status.SUBMITTED, version=2)},
        {"standing": Standing(status=Status.SUBMITTED, version=1, channel_trade_no="T")},
        {"standing": Standing(status=Status.SUBMITTED, version=1, parked_reason="why")},
        {"moves": MOVE},
    ],
    ids=",".join,
)
def test_nor_is_a_claim_with_more(changes: Mapping[str, Any]) -> None:
    """A reply is kept, tills may be told, or it begins elsewhere than a payment does."""
    assert is_plain_claim(sample_claim(0))
    assert not is_plain_claim(replace(sample_claim(0), **changes))


async def test_we_and_the_database_agree_on_what_tills_are_told_of(look: Look) -> None:
    """Every door, with and without a store and a terminal: one rule, written twice."""
    doors, ids = ("api", "pos", "checkout", "page", "screen"), ("", "X1")
    orders = [
        sample_order(0, door=door, store_id=store_id, terminal_id=terminal_id)
        for door, store_id, terminal_id in itertools.product(doors, ids, ids)
    ]
    asked = " UNION ALL ".join(
        f"SELECT {number} AS number, '{order.door}' AS door, '{order.store_id}' AS store_id, "
        f"'{order.terminal_id}' AS terminal_id"
        for number, order in enumerate(orders)
    )
    told = await look(f"SELECT {IS_TOLD} FROM ({asked}) AS orders ORDER BY number")
    assert [bool(row[0]) for row in told] == [is_told(order) for order in orders]
    assert sum(map(is_told, orders)) == 9
