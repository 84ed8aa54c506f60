"""A database that is not to be had: where, why and what next, at once, and no password."""

import asyncio
import contextlib
import re
import sqlite3
from pathlib import Path

import asyncpg
import pytest

from domain.errors import ConfigurationError, PosgateError, Unavailable
from gateway.store.engine import StoreOptions, store_for
from gateway.store.location import without_password
from gateway.store.migrate import migrate
from gateway.store.postgres_faults import connect_fault
from tests.support.postgres import PostgresServer


@pytest.mark.parametrize("content", ["no database", None], ids=["another file", "a folder"])
async def test_a_file_that_cannot_be_opened_is_told_at_once(
    tmp_path: Path, content: str | None
) -> None:
    """By ``migrate`` too, which waited for ever; with the path and what next."""
    path = tmp_path / "store.db"
    if content is None:
        path.mkdir()
    else:
        path.write_text(content * 100)
    async with asyncio.timeout(20):
        with pytest.raises(Unavailable, match=rf"{path} cannot be opened: .*store\.url"):
            await migrate(f"sqlite://{path}")


async def test_a_schema_that_is_not_current_is_told_in_a_line(tmp_path: Path) -> None:
    """How much is missing, from where on, and the command; no file that may be another's."""
    path = tmp_path / "store.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE tortoise_migrations (app TEXT, name TEXT)")
    with pytest.raises(ConfigurationError) as told:
        await store_for(f"sqlite://{path}").open()
    assert re.search(r"\d+ migrations missing, from 0001_initial on", told.value.message)
    assert "posgate migrate" in told.value.message
    assert ".yaml" not in told.value.message


@pytest.mark.parametrize("command", ["open", "migrate"])
async def test_why_a_server_is_not_to_be_had_is_said(
    postgres_server: PostgresServer, command: str
) -> None:
    """Where, why and what next; never the password."""

    async def told(url: str) -> str:
        with pytest.raises(PosgateError) as fault:
            if command == "open":
                await store_for(url, options=StoreOptions(commit_timeout_s=5.0)).open()
            else:
                await migrate(url)
        return fault.value.message

    said = await told("postgresql://posgate:s3cret@127.0.0.1:1/x")
    assert "127.0.0.1:1 cannot be reached: Connection refused; " in said
    assert "s3cret" not in said
    said = await told("postgresql://posgate:s3cret@nohost.invalid/x")
    assert "nohost.invalid:5432 cannot be reached: " in said
    assert "gaierror" not in said
    said = await told(postgres_server.url("no_such_database"))
    assert (
        f'{postgres_server.port} refuses us: database "no_such_database" does not exist; ' in said
    )
    said = await told(postgres_server.url("x") + "?sslmode=bogus")
    assert "sslmode" in said


def test_a_refused_password_says_where_to_give_it() -> None:
    error = asyncpg.InvalidPasswordError('password authentication failed for user "posgate"')
    fault = connect_fault("postgresql://posgate:s3cret@db.example/posgate", error)
    assert isinstance(fault, ConfigurationError)
    assert "db.example:5432" in fault.message
    assert "PGPASSWORD or ~/.pgpass" in fault.message
    assert "s3cret" not in fault.message


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///data/posgate.db", "sqlite:///data/posgate.db"),
        ("postgresql://u@h:5432/d", "postgresql://u@h:5432/d"),
        ("postgresql://h:5432/d", "postgresql://h:5432/d"),
        ("postgresql://u:p@w:x@h:5432/d", "postgresql://u:***@h:5432/d"),
        ("postgresql://h/d?user=u&password=p&x=1", "postgresql://h/d?user=u&password=***&x=1"),
        ("redis://:pw@h:6379/0", "redis://:***@h:6379/0"),
        ("memory", "memory"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown
