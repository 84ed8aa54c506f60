"""One store fixture per engine; every contract test runs on both."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from gateway.store.engine import StoreOptions, store_for
from gateway.store.migrate import migrate
from gateway.store.port import Job, JobKind, Store
from tests.support.postgres import (
    PostgresServer,
    emptied_postgres_url,
    in_a_thread,
    postgres_server,
    postgres_url,
    shared_postgres_url,
)

__all__ = ["emptied_postgres_url", "postgres_server", "postgres_url", "shared_postgres_url"]

OpenStore = Callable[..., Awaitable[Store]]
Look = Callable[[str], Awaitable[Sequence[tuple[Any, ...]]]]


ACCOUNT = "a1"
"""The lane of the sample payments' settle jobs."""


async def lease_settle(store: Store, now_ms: int, lease_ms: int, limit: int) -> Sequence[Job]:
    """Take what is due of the sample account."""
    return await store.lease(JobKind.SETTLE, ACCOUNT, now_ms, now_ms + lease_ms, limit)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    in_a_thread(lambda: migrate(f"sqlite://{path}"))
    return path


@pytest.fixture
def sqlite_url(migrated_file: Path, tmp_path: Path) -> str:
    """A fresh, migrated SQLite database."""
    path = tmp_path / "store.db"
    shutil.copy(migrated_file, path)
    return f"sqlite://{path}"


@pytest.fixture(params=["sqlite", "emptied_postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """An empty, migrated database of either engine."""
    chosen: str = request.getfixturevalue(f"{request.param}_url")
    return chosen


@pytest.fixture(params=["sqlite", "postgres"])
def bare_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database that was never migrated."""
    if request.param == "sqlite":
        yield f"sqlite://{tmp_path / 'bare.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    bare = server.new_database(migrated=False)
    yield bare
    server.drop_database(bare)


@pytest.fixture
async def open_store() -> AsyncIterator[OpenStore]:
    """Opens stores and closes them when the test ends."""
    opened: list[Store] = []

    async def open_one(url: str, **bounds: float) -> Store:
        store = store_for(url, options=StoreOptions(**bounds))  # type: ignore[arg-type]
        await store.open()
        opened.append(store)
        return store

    yield open_one
    async with asyncio.timeout(30):
        for store in opened:
            await store.close()


@pytest.fixture
async def store(url: str, open_store: OpenStore) -> Store:
    """An open store on either engine."""
    return await open_store(url)


@pytest.fixture
def look(url: str) -> Look:
    """Reads the tables themselves, past the store."""

    async def read(sql: str) -> Sequence[tuple[Any, ...]]:
        if url.startswith("sqlite"):
            with sqlite3.connect(url.removeprefix("sqlite://")) as file:
                return file.execute(sql).fetchall()
        connection = await asyncpg.connect(url)
        try:
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    return read
