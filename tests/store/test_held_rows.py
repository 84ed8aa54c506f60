"""Another process holds a row that a checkout's statement needs: it waits, and is whole or lost."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from domain.checkout import CheckoutStatus, attempt_id, attempt_key
from domain.payment import Status
from gateway.store.port import Advance, CheckoutMove, Claim, Store
from tests.store.conftest import OpenStore
from tests.store.test_checkouts import BASE, ROW, beginning, opening, paid
from tests.support.payments import sample_claim, sample_notice
from tests.support.waiting import eventually


@pytest.fixture
async def other(postgres_url: str) -> AsyncIterator[Any]:
    """Another process in the midst of a change."""
    connection = await asyncpg.connect(postgres_url)
    # of two who wait for each other the first to notice is ended: never this one
    await connection.execute("SET deadlock_timeout = '1min'")
    yield connection
    await connection.close()


@pytest.fixture
async def store(postgres_url: str, open_store: OpenStore) -> Store:
    return await open_store(postgres_url)


async def waits(other: Any) -> None:
    """Until somebody waits for a lock."""

    async def is_blocked() -> bool:
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        return bool(await other.fetchval(waiting))

    await eventually(is_blocked)


@pytest.mark.parametrize("table", ["payments", "checkouts"])
@pytest.mark.parametrize("moved", [0, 1])
async def test_an_advance_waits_for_who_holds_its_rows(
    store: Store, other: Any, table: str, moved: int
) -> None:
    """Moved by the other, it has lost and nothing of it is written; held only, it wins."""
    assert await store.claim(opening())
    assert await store.claim(beginning())
    transaction = other.transaction()
    await transaction.start()
    await other.execute(f"UPDATE {table} SET version = version + {moved} WHERE id = '{BASE.id}'")
    advancing = asyncio.ensure_future(store.advance(paid()))
    await waits(other)
    await transaction.commit()
    assert await advancing is (moved == 0)
    read = await store.checkout_with_payments(BASE.id)
    assert read is not None
    assert read[2] is not None
    is_paid = [read[0].status is CheckoutStatus.PAID]
    is_paid += [one.standing.status is Status.SUCCEEDED for one in read[1:] if one is not None]
    assert is_paid == [moved == 0] * 3


async def test_of_two_processes_that_wait_for_each_other_neither_change_is_lost(
    store: Store, other: Any
) -> None:
    """The server ends the wait: the batch is tried again in parts, and each of it is paid."""
    made = [_order(number) for number in range(2)]
    for opened, begun, _ in made:
        assert await store.claim(opened)
        assert await store.claim(begun)
    first, second = (begun.order.id for _, begun, _ in made)
    transaction = other.transaction()
    await transaction.start()
    lock = "SELECT FROM payments WHERE id = $1 FOR UPDATE"
    await other.execute(lock, second)
    advancing = [asyncio.ensure_future(store.advance(change)) for *_, change in made]
    await waits(other)
    await other.execute(lock, first)
    await transaction.commit()
    assert await asyncio.gather(*advancing) == [True, True]


def _order(number: int) -> tuple[Claim, Claim, Advance]:
    """A checkout, its attempt, and that it is paid."""
    base = replace(BASE, id=f"pay_N{number}", order_key=f"n{number}")
    row = replace(ROW, id=base.id)
    opened = replace(opening(), order=base, moves=CheckoutMove(checkout=row, due_at_ms=9_000))
    began = replace(row, status=CheckoutStatus.PAYING, version=2, attempts=1)
    claim = sample_claim(
        number + 50, id=attempt_id(base.id, 1), door="checkout", order_key=attempt_key(base, 1)
    )
    change = paid()
    assert change.moves is not None
    assert change.moves.base is not None
    after = replace(
        change.moves.base, payment_id=base.id, notice=sample_notice(number, payment_id=base.id)
    )
    kept = replace(change.moves.checkout, id=base.id)
    moves = CheckoutMove(checkout=kept, due_at_ms=None, base=after)
    return (
        opened,
        replace(claim, moves=CheckoutMove(checkout=began, due_at_ms=9_000)),
        replace(change, payment_id=claim.order.id, moves=moves),
    )
