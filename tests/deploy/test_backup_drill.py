"""The restore drill of docs/operations.md, on both engines: what comes back is proved."""

import asyncio
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from gateway.ledger_proof import Findings, LedgerProof
from gateway.store.engine import store_for
from gateway.store.migrate import migrate
from tests.support.payments import sample_advance, sample_claim
from tests.support.postgres import PostgresServer, postgres_server

__all__ = ["postgres_server"]


async def _fill(url: str) -> None:
    """Twenty payments with their ledger."""
    store = store_for(url)
    await store.open()
    for place in range(20):
        await store.claim(sample_claim(place))
        await store.advance(sample_advance(place))
    await store.close()


async def _prove(url: str) -> Findings:
    store = store_for(url)
    await store.open()
    found = await LedgerProof(store).run()
    await store.close()
    return found


def proved(url: str) -> tuple[int, int]:
    """Payments and faults of a database."""
    found = asyncio.run(_prove(url))
    return found.payments, found.wrong


def test_an_sqlite_file_is_copied_while_it_is_used_and_proved(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'posgate.db'}"
    asyncio.run(migrate(url))
    asyncio.run(_fill(url))
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(tmp_path / "posgate.db")) as file:
        file.execute("VACUUM INTO ?", (str(copy),))
    asyncio.run(_more(url))
    assert proved(f"sqlite:///{copy}") == (20, 0)
    assert proved(url) == (21, 0)


async def _more(url: str) -> None:
    store = store_for(url)
    await store.open()
    await store.claim(sample_claim(99))
    await store.advance(sample_advance(99))
    await store.close()


@pytest.fixture
def databases(postgres_server: PostgresServer) -> Iterator[tuple[str, str]]:
    """A filled database and an empty one."""
    full, empty = postgres_server.new_database(), postgres_server.new_database(migrated=False)
    yield full, empty
    for url in (full, empty):
        postgres_server.drop_database(url)


def test_a_postgresql_dump_is_restored_elsewhere_and_proved(
    postgres_server: PostgresServer, databases: tuple[str, str], tmp_path: Path
) -> None:
    full, empty = databases
    asyncio.run(_fill(full))
    dump, restore = map(postgres_server.program, ("pg_dump", "pg_restore"))
    file = tmp_path / "posgate.dump"
    subprocess.run([dump, "--format=custom", f"--file={file}", full], check=True)
    asyncio.run(_more(full))
    subprocess.run([restore, "--no-owner", f"--dbname={empty}", str(file)], check=True)
    assert proved(empty) == (20, 0)
    with pytest.raises(asyncpg.PostgresError, match="append-only"):
        asyncio.run(_tamper(empty))


async def _tamper(url: str) -> None:
    """The guards of the ledger came back too."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("DELETE FROM postings")
    finally:
        await connection.close()
