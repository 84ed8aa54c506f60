"""Bring a database to the schema of this code, through Tortoise's own migrations.

Rules: idempotent; two processes may run it at once (a PostgreSQL advisory lock, a
lock on the folder of an SQLite file), the second finds nothing to do. Only this
file, the models and ``migrations/`` import Tortoise; the gateway's hot path never
loads it.
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
from tortoise.context import TortoiseContext
from tortoise.exceptions import BaseORMException
from tortoise.migrations.api import migrate as apply_migrations

from domain.errors import ConfigurationError, Unavailable
from gateway.store.location import file_fault, sqlite_path
from gateway.store.postgres_faults import connect_fault
from gateway.store.postgres_link import UNREACHABLE
from gateway.store.schema import APP

_ADVISORY_LOCK: Final = 0x706F736761746500
"""``posgate`` and a zero byte, as a number."""

MODELS: Final[Mapping[str, Any]] = {
    "connections": {"default": "sqlite://:memory:"},
    "apps": {
        APP: {
            "models": [
                "gateway.store.models",
                "gateway.store.batch_models",
                "gateway.store.checkout_models",
                "gateway.store.event_models",
                "gateway.store.night_models",
                "gateway.store.shop_models",
                "gateway.store.archive_models",
            ],
            "migrations": "gateway.store.migrations",
            "default_connection": "default",
        }
    },
}
"""What ``tortoise makemigrations`` needs to compare the models with the migrations."""


async def migrate(url: str) -> list[str]:
    """Apply what is missing and return the names of what was applied, in order.

    Raises:
        ConfigurationError: the URL is of no known kind, or a migration failed.
        Unavailable: the database cannot be reached.
    """
    applied: list[str] = []

    def note(step: str, _app: str, name: str) -> None:
        if step == "apply_done":
            applied.append(name)

    path = sqlite_path(url)
    lock = _postgres_lock(url) if path is None else _file_lock(path)
    connection = _postgres_connection(url) if path is None else f"sqlite://{path}"
    config = {**MODELS, "connections": {"default": connection}}
    try:
        async with lock, TortoiseContext():
            await apply_migrations(config=config, progress=note)
    except (OSError, asyncpg.PostgresConnectionError) as error:
        raise Unavailable(f"the database went away: {error}; run it again") from error
    except (BaseORMException, asyncpg.PostgresError) as error:
        raise ConfigurationError(f"the migration failed: {error}") from error
    return applied


@asynccontextmanager
async def _postgres_lock(url: str) -> AsyncIterator[None]:
    """Hold a session lock: the ORM's own connections come and go beside it."""
    try:
        connection = await asyncpg.connect(url)
    except UNREACHABLE as error:
        raise connect_fault(url, error) from error
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _ADVISORY_LOCK)
        yield
    finally:
        await connection.close()


@asynccontextmanager
async def _file_lock(path: Path) -> AsyncIterator[None]:
    """Lock the file's folder, which leaves no lock file behind; the file can be written then."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise file_fault(path, error) from error
    try:
        await asyncio.to_thread(fcntl.flock, folder, fcntl.LOCK_EX)
        _try_to_write(path)
        yield
    finally:
        os.close(folder)


def _try_to_write(path: Path) -> None:
    """Find out before the ORM does, which leaves a thread behind and never ends."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.executescript("PRAGMA journal_mode = WAL; BEGIN IMMEDIATE; ROLLBACK")
    except sqlite3.Error as error:
        raise file_fault(path, error) from error


def _postgres_connection(url: str) -> dict[str, Any]:
    """The URL in Tortoise's terms."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    if "," in parts.netloc.rpartition("@")[2]:
        raise ConfigurationError("store.url: migrate one host, not several: name the first alone")
    credentials: dict[str, Any] = {
        "host": parts.hostname or query.get("host", [None])[0],
        "port": parts.port or 5432,
        "user": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "database": unquote(parts.path.removeprefix("/")) or None,
        "minsize": 1,
        "maxsize": 1,
    }
    if "sslmode" in query:
        credentials["ssl"] = query["sslmode"][0]
    return {"engine": "tortoise.backends.asyncpg", "credentials": credentials}
