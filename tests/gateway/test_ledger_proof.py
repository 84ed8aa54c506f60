"""The proof agrees with true books and names what was tampered with."""

import sqlite3
from collections.abc import AsyncIterator

import pytest

from domain.ledger import adjustment, channel_receivable, fee
from domain.payment import Event, Payment
from domain.refund import RefundEvent
from gateway.ledger_proof import Findings, LedgerProof
from gateway.store.engine import StoreOptions, store_for
from gateway.store.port import LedgerEntry, Store
from tests.gateway.booked import Shop
from tests.support.postgres import (
    emptied_postgres_url,
    postgres_server,
    postgres_url,
    shared_postgres_url,
)

__all__ = ["emptied_postgres_url", "postgres_server", "postgres_url", "shared_postgres_url"]

RECEIVABLE = channel_receivable("unionpay_card", "a1")


@pytest.fixture
def shop(store: Store) -> Shop:
    return Shop(store)


@pytest.fixture
async def postgres(emptied_postgres_url: str) -> AsyncIterator[Store]:
    """The other engine."""
    opened = store_for(emptied_postgres_url, options=StoreOptions())
    await opened.open()
    yield opened
    await opened.close()


async def every_kind(shop: Shop) -> dict[str, Payment]:
    """Payments that ended in every way, with refunds, cases and entries of their own."""
    paid = await shop.move(await shop.submitted(), Event.PAID)
    partly, _ = await shop.refunded(
        await shop.move(await shop.submitted(), Event.ANSWER_LOST, Event.PAID),
        500,
        RefundEvent.ANSWER_LOST,
        RefundEvent.RETURNED,
    )
    partly, _ = await shop.refunded(partly, 300)
    partly, _ = await shop.refunded(partly, 200, RefundEvent.DECLINE)
    late = await shop.move(await shop.submitted(), Event.DECLINE, Event.PAID, Event.UNDONE_PAID)
    parked = await shop.park(await shop.submitted(), Event.PAID, "amount_mismatch")
    undone = await shop.move(await shop.submitted(), Event.PAID, Event.UNDO)
    refused = await shop.park(undone, Event.UNDONE_UNPAID, "undo_refused")
    await shop.move(await shop.submitted(), Event.GIVE_UP, Event.UNDONE_UNPAID)
    for number, postings in enumerate(
        (
            adjustment("suspense", "merchant:m1", 7, "CNY"),
            fee(RECEIVABLE, "fees:unionpay_card:a1", 3, "CNY"),
        )
    ):
        entry = LedgerEntry(
            entry_id=f"adj_{number}", postings=postings, by="wang", why="because", at_ms=9
        )
        assert await shop.store.post(entry)
    return {"paid": paid, "partly": partly, "late": late, "parked": parked, "refused": refused}


async def proof(store: Store) -> Findings:
    return await LedgerProof(store).run()


async def test_an_empty_ledger_agrees(store: Store) -> None:
    assert await proof(store) == Findings()


async def test_true_books_of_every_kind_agree(shop: Shop, store: Store) -> None:
    await every_kind(shop)
    found = await proof(store)
    assert (found.wrong, found.named, found.is_moving) == (0, [], False)
    # captures of paid, partly, undone; the refund; capture and reversal at once; two of its own
    assert (found.payments, found.refunds, found.entries, found.lines) == (6, 3, 7, 16)
    assert found.accounts == 4


async def test_the_other_engine_proves_the_same(postgres: Store, store: Store) -> None:
    await every_kind(Shop(store))
    await every_kind(Shop(postgres))
    assert await proof(postgres) == await proof(store)


async def test_pages_and_batches_change_nothing(
    shop: Shop, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await every_kind(shop)
    whole = await proof(store)
    monkeypatch.setattr("gateway.ledger_proof._PAGE", 1)
    assert await proof(store) == whole


def unguarded(url: str) -> sqlite3.Connection:
    """The file as somebody with a database shell would have it, without its triggers."""
    file = sqlite3.connect(url.removeprefix("sqlite://"))
    for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        file.execute(f"DROP TRIGGER {name}")
    return file


TAMPERING = [
    ("UPDATE postings SET amount_fen = amount_fen + 1 WHERE payment_id = :paid AND line = 0",
     "does not sum to zero"),
    ("UPDATE postings SET amount_fen = 2 * amount_fen WHERE payment_id = :paid",
     "captured 1990 and returned 0, posted 3980 and 0"),
    ("UPDATE postings SET account = 'merchant:m2' WHERE payment_id = :paid AND line = 1",
     "it posted on merchant:m2"),
    ("UPDATE postings SET currency = 'USD' WHERE payment_id = :paid AND line = 1",
     "does not sum to zero"),
    ("DELETE FROM postings WHERE payment_id = :paid", "posted 0 and 0"),
    ("DELETE FROM postings WHERE payment_id = :paid AND line = 0", "a gap in its lines"),
    ("UPDATE postings SET payment_id = 'PAYnobody' WHERE payment_id = :paid",
     "PAYnobody has postings and is no payment"),
    ("UPDATE postings SET entry = 'adjustment' WHERE payment_id = :paid", "posted 0 and 0"),
    ("UPDATE payments SET captured_fen = 1989 WHERE id = :paid", "captured 1989"),
    ("UPDATE payments SET returned_fen = 501 WHERE id = :partly", "returned 501"),
    ("UPDATE payments SET refunding_fen = 0 WHERE id = :partly", "reserved 0"),
    ("UPDATE payments SET refunding_fen = 1990 WHERE id = :partly", "on its way of 1990"),
    ("UPDATE payments SET version = 9 WHERE id = :paid", "each of 9 versions"),
    ("UPDATE payments SET status = 'closed' WHERE id = :paid", "its history ends succeeded"),
    ("UPDATE payments SET status = 'authorized' WHERE id = :paid", "only authorized, and 1990"),
    ("UPDATE payments SET parked_reason = '' WHERE id = :parked", "ends in a case"),
    ("UPDATE refunds SET amount_fen = 499 WHERE payment_id = :partly AND status = 'succeeded'",
     "its refunds returned 499, posted 500"),
    ("UPDATE refunds SET status = 'failed' WHERE payment_id = :partly AND status = 'submitted'",
     "its open refunds are 0, reserved 300"),
    ("DELETE FROM refunds WHERE payment_id = :partly AND status = 'failed'",
     "it has 2 refunds, its history reserves 3"),
    ("DELETE FROM payment_events WHERE payment_id = :paid AND sequence = 1",
     "does not have one line for each"),
    ("UPDATE payment_events SET event = 'decline' WHERE payment_id = :paid AND sequence = 2",
     "is not a legal move"),
    ("UPDATE payment_events SET previous = 'pending' WHERE payment_id = :paid AND sequence = 2",
     "follows submitted"),
    ("UPDATE payment_events SET status = 'closed' WHERE payment_id = :late AND sequence = 4",
     "is not a legal move"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "named"), TAMPERING, ids=[sql[:60] for sql, _ in TAMPERING])
async def test_tampering_is_named(
    shop: Shop, store: Store, sqlite_url: str, sql: str, named: str
) -> None:
    payments = await every_kind(shop)
    ids = {name: payment.order.id for name, payment in payments.items()}
    with unguarded(sqlite_url) as file:
        assert file.execute(sql, ids).rowcount > 0
    found = await proof(store)
    assert found.wrong > 0
    assert any(named in what for what in found.named), found.named


async def test_what_is_named_is_bounded_and_what_is_wrong_is_counted(
    shop: Shop, store: Store, sqlite_url: str
) -> None:
    for _ in range(5):
        await shop.move(await shop.submitted(), Event.PAID)
    with unguarded(sqlite_url) as file:
        file.execute("UPDATE payments SET captured_fen = 1")
    found = await LedgerProof(store, max_named=3).run()
    assert (found.wrong, len(found.named)) == (10, 3)


async def test_balances_that_move_meanwhile_are_said_to_move(shop: Shop, store: Store) -> None:
    """A payment that comes in between is no fault of the books."""
    await shop.move(await shop.submitted(), Event.PAID)
    pending = await shop.submitted()

    class Busy:
        """The store, with a payment made while it is being read."""

        moved = False

        def __getattr__(self, name: str) -> object:
            return getattr(store, name)

        async def payments(self, payment_ids: list[str]) -> object:
            if not self.moved:
                self.moved = True
                await shop.move(pending, Event.PAID)
            return await store.payments(payment_ids)

    found = await LedgerProof(Busy()).run()  # type: ignore[arg-type]  # the rest is the store's
    assert (found.is_moving, found.wrong, found.payments) == (True, 0, 2)


async def test_a_payment_that_moves_while_it_is_read_is_read_again(
    shop: Shop, store: Store
) -> None:
    pending = await shop.submitted()

    class Busy:
        """The store, with the payment moved between its standing and its history."""

        moved = False

        def __getattr__(self, name: str) -> object:
            return getattr(store, name)

        async def events(self, payment_id: str) -> object:
            if not self.moved:
                self.moved = True
                await shop.move(pending, Event.PAID)
            return await store.events(payment_id)

    found = await LedgerProof(Busy()).run()  # type: ignore[arg-type]  # the rest is the store's
    assert (found.wrong, found.named) == (0, [])
