"""The store on one SQLite file: the embedded default.

Rules:

* One connection in one thread does everything, so a write never waits for a lock
  that this process holds; other processes on the same file are waited for up to
  ``busy_timeout_s``.
* WAL with ``synchronous=FULL``: a commit is on the disk before a caller is woken
  (``OFF`` is for tests).
* A batch is one ``BEGIN IMMEDIATE`` transaction.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

from domain.errors import Unavailable
from gateway.logs import Log
from gateway.store.cold import ColdStore
from gateway.store.database import (
    Change,
    Duplicate,
    Refused,
    Step,
    Value,
    not_storable,
    refusal,
)
from gateway.store.lane import Lane
from gateway.store.location import file_fault
from gateway.store.options import StoreOptions
from gateway.store.port import Advance, Claim, TerminalReply
from gateway.store.rows import Row
from gateway.store.schema import APPLIED_SQL, check_schema
from gateway.store.sqlite_changes import apply_changes

_T = TypeVar("_T")

_UNIQUE: Final = (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
_NOT_STORABLE: Final = (OverflowError, UnicodeError, sqlite3.DataError, sqlite3.InterfaceError)


class _SqliteDatabase:
    """The connection and its thread; implements ``Database`` and ``Applier``."""

    skip_locked = ""  # one writer at a time: there is nobody to wait for

    def __init__(self, path: Path, options: StoreOptions) -> None:
        self._path = path
        self._options = options
        self._thread = None if options.inline else ThreadPoolExecutor(1, "store-sqlite")
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        await self._run(self._connect)

    async def close(self) -> None:
        if self._connection is not None:
            await self._run(self._connection.close)
            self._connection = None
        if self._thread is not None:
            self._thread.shutdown(wait=False)

    async def rows(self, sql: str, *values: Value) -> Sequence[Row]:
        """One statement in its own transaction."""
        connection = self._open_connection()
        return await self._run(lambda: _rows(connection, sql, values))

    async def write(self, steps: Sequence[Step], *, guards: int) -> int | None:
        """Guarded statements in one transaction."""
        connection = self._open_connection()
        return await self._run(lambda: _write(connection, steps, guards))

    async def apply(self, changes: Sequence[Change]) -> Sequence[bool]:
        """One batch in one transaction."""
        connection = self._open_connection()
        return await self._run(lambda: _commit(connection, changes))

    async def can_write(self) -> bool:
        """Whether the write lock can be had."""
        try:
            connection = self._open_connection()
            await self._run(lambda: connection.executescript("BEGIN IMMEDIATE; ROLLBACK"))
        except (Unavailable, sqlite3.Error):
            return False
        return True

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise Unavailable("the store is not open")
        return self._connection

    async def _run(self, work: Callable[[], _T]) -> _T:
        if self._thread is None:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _connect(self) -> None:
        if not self._path.is_file():
            check_schema(frozenset())
        try:
            connection = sqlite3.connect(
                self._path,
                timeout=self._options.busy_timeout_s,
                isolation_level=None,
                check_same_thread=False,
            )
            synchronous = f"synchronous = {self._options.synchronous}"
            for pragma in ("journal_mode = WAL", synchronous, "foreign_keys = ON"):
                connection.execute(f"PRAGMA {pragma}").fetchall()
        except sqlite3.Error as error:
            raise file_fault(self._path, error) from error
        applied: frozenset[str] = frozenset()
        with suppress(sqlite3.OperationalError):  # no such table: nothing was ever applied
            applied = frozenset(name for (name,) in connection.execute(APPLIED_SQL))
        try:
            check_schema(applied)
        except BaseException:
            connection.close()
            raise
        self._connection = connection


def _rows(connection: sqlite3.Connection, sql: str, values: tuple[Value, ...]) -> Sequence[Row]:
    with _cold_errors():
        try:
            return connection.execute(sql, values).fetchall()
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode in _UNIQUE:
                raise Duplicate from error
            raise


def _write(connection: sqlite3.Connection, steps: Sequence[Step], guards: int) -> int | None:
    with _cold_errors():
        try:
            connection.execute("BEGIN IMMEDIATE")
            for number, (sql, values) in enumerate(steps):
                changed = connection.execute(sql, values).rowcount
                if number < guards and changed != 1:
                    connection.rollback()
                    return number
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.rollback()
            raise
    return None


@contextmanager
def _cold_errors() -> Iterator[None]:
    """What SQLite raises, as a ``Database`` may raise it."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        if error.sqlite_errorcode in _UNIQUE:
            raise refusal(_table(error)) from error
        raise Unavailable(f"the database refused a statement: {error}") from error
    except _NOT_STORABLE as error:
        raise not_storable() from error
    except sqlite3.Error as error:
        raise Unavailable(f"the database failed: {error}") from error


def _commit(connection: sqlite3.Connection, changes: Sequence[Change]) -> list[bool]:
    try:
        connection.execute("BEGIN IMMEDIATE")
        outcomes = apply_changes(connection, changes)
        connection.execute("COMMIT")
    except sqlite3.IntegrityError as error:
        connection.rollback()
        raise Refused(refusal(_table(error))) from error
    except _NOT_STORABLE as error:
        connection.rollback()
        raise Refused(not_storable()) from error
    except sqlite3.Error as error:
        with suppress(sqlite3.Error):
            connection.rollback()
        raise Unavailable(f"the database failed: {error}") from error
    except BaseException:
        connection.rollback()
        raise
    return outcomes


def _table(error: sqlite3.IntegrityError) -> str:
    """The table of ``UNIQUE constraint failed: attempts.channel, attempts.…``."""
    return str(error).rpartition("failed: ")[2].partition(".")[0]


class SqliteStore(ColdStore):
    """``Store`` on one file; usable once, from ``open`` to ``close``."""

    def __init__(self, path: Path, options: StoreOptions, log: Log) -> None:
        self._database: _SqliteDatabase = _SqliteDatabase(path, options)
        self._lane = Lane(
            self._database,
            max_batch=options.max_batch,
            max_queued=options.max_queued,
            interval_s=options.commit_interval_s,
            log=log,
        )

    async def open(self) -> None:
        """Open the file and check its schema.

        Raises:
            domain.errors.ConfigurationError: not migrated.
            domain.errors.Unavailable: the file cannot be opened.
        """
        await self._database.open()
        self._lane.start()

    async def close(self) -> None:
        """Commit what waits, then close the file."""
        await self._lane.close()
        await self._database.close()

    async def ready(self) -> bool:
        """Whether the file's write lock can be had."""
        return await self._database.can_write()

    def queued(self) -> int:
        """Changes that wait for the committer."""
        return self._lane.queued()

    async def claim(self, change: Claim) -> bool:
        """Commit a claim; ``False`` when its key, hold, checkout or a day's sum refuses it.

        Raises:
            domain.errors.Conflict: its id, channel order number or reply key was used
                before; nothing was written.
            domain.errors.Unprocessable: a value cannot be stored; nothing was written.
            domain.errors.Unavailable: overloaded, or it may or may not be written.
        """
        if change.takes is not None:
            return await self._claim_taking(change, change.takes)
        if change.moves is not None:
            return await self._claim_moving(change, change.moves)
        if change.spends:
            return await self._claim_spending(change)
        return await self._lane.submit(change)

    async def advance(self, change: Advance) -> bool:
        """Commit an advance; ``False`` when a version moved, or the hold is taken.

        Raises as :meth:`claim`.
        """
        if change.takes is not None:
            return await self._advance_taking(change, change.takes)
        if change.moves is not None:
            return await self._advance_moving(change, change.moves)
        return await self._lane.submit(change)

    async def save_reply(self, reply: TerminalReply) -> bool:
        """Keep a reply; ``False`` when one exists. Raises as :meth:`claim`."""
        return await self._lane.submit(reply)
