"""The store on PostgreSQL.

Rules:

* What is plain (``postgres_plain_rows.py``), and that is most, shares a connection and a
  committer; the other claims (with lone replies) and the other advances have one each
  (``postgres_appliers.py``). Two changes of one payment, or of one order key, may meet on
  different ways, as they may in different processes: the guards decide.
* A small pool serves reads and cold changes; they are planned afresh each time.
* A commit is on the server's disk (``synchronous_commit``) before a caller is woken.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import asyncpg

from domain.errors import Unavailable
from gateway.logs import Log
from gateway.store.cold import ColdStore
from gateway.store.database import Duplicate, Step, Value, not_storable, refusal
from gateway.store.lane import Lane, one_kind
from gateway.store.options import StoreOptions
from gateway.store.port import Advance, Claim, TerminalReply
from gateway.store.postgres_appliers import (
    ADVANCING,
    CLAIMING,
    PLAIN,
    AdvanceApplier,
    ClaimApplier,
    PlainApplier,
    advance_kind,
    claim_kind,
)
from gateway.store.postgres_faults import connect_fault
from gateway.store.postgres_link import UNREACHABLE, PostgresLink
from gateway.store.postgres_plain_rows import is_plain_advance, is_plain_claim
from gateway.store.postgres_statements import COLD
from gateway.store.rows import Row
from gateway.store.schema import APPLIED_SQL, check_schema
from gateway.store.sql_text import numbered


class _PostgresDatabase:
    """Cold statements through a pool; implements ``Database``."""

    skip_locked = "FOR UPDATE SKIP LOCKED"

    def __init__(self, dsn: str, options: StoreOptions) -> None:
        self._dsn = dsn
        self._options = options
        self._pool: asyncpg.Pool | None = None
        self._numbered: dict[str, str] = {}

    async def open(self) -> None:
        self._pool = await asyncpg.create_pool(
            self._dsn,
            min_size=1,
            max_size=self._options.pool_size,
            command_timeout=self._options.commit_timeout_s,
            timeout=self._options.commit_timeout_s,
            server_settings=dict(COLD),
            reset=_keep,
        )

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                await pool.close()
            except UNREACHABLE:
                pool.terminate()

    async def rows(self, sql: str, *values: Value) -> Sequence[Row]:
        """One statement in its own transaction."""
        with _cold_errors():
            try:
                rows: Sequence[Row] = await self._open_pool().fetch(self._dollars(sql), *values)
            except asyncpg.UniqueViolationError as error:
                raise Duplicate from error
        return rows

    async def write(self, steps: Sequence[Step], *, guards: int) -> int | None:
        """Guarded statements in one transaction."""
        with _cold_errors():
            try:
                async with self._open_pool().acquire() as connection, connection.transaction():
                    for number, (sql, values) in enumerate(steps):
                        status = await connection.execute(self._dollars(sql), *values)
                        if number < guards and not _changed_one(status):
                            raise _GuardLost(number)
            except _GuardLost as lost:
                return lost.number
        return None

    def _open_pool(self) -> asyncpg.Pool:
        if self._pool is None:
            raise Unavailable("the store is not open")
        return self._pool

    def _dollars(self, sql: str) -> str:
        """``sql``, numbered; the statements are constants, so the cache is bounded."""
        known = self._numbered.get(sql)
        if known is None:
            known = self._numbered[sql] = numbered(sql)
        return known


async def _keep(_connection: object) -> None:
    """Between two users of a connection: nothing here changes its state, so spare a round trip.

    A transaction that was left open is rolled back by the pool all the same.
    """


class _GuardLost(Exception):
    """Takes a transaction back because the guard ``number`` changed no row."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _changed_one(status: str) -> bool:
    """Whether ``INSERT 0 1``, ``UPDATE 1`` or ``DELETE 1``."""
    return status.endswith(" 1")


@contextmanager
def _cold_errors() -> Iterator[None]:
    """What the driver raises, as a ``Database`` may raise it."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise refusal(error.table_name or "") from error
    except asyncpg.DataError as error:
        raise not_storable() from error
    except UNREACHABLE as error:
        raise Unavailable(f"the database failed: {type(error).__name__}") from error


class PostgresStore(ColdStore):
    """``Store`` on PostgreSQL; usable once, from ``open`` to ``close``."""

    def __init__(self, dsn: str, options: StoreOptions, log: Log) -> None:
        self._dsn = dsn
        self._database: _PostgresDatabase = _PostgresDatabase(dsn, options)
        self._links = tuple(
            PostgresLink(dsn, statements, options, log)
            for statements in (PLAIN, CLAIMING, ADVANCING)
        )
        plain, claims, advances = self._links
        self._plain, self._claims, self._advances = self._lanes = tuple(
            Lane(
                applier,
                max_batch=options.max_batch,
                max_queued=options.max_queued,
                interval_s=options.commit_interval_s,
                log=log,
                kind_of=kind_of,
            )
            for applier, kind_of in (
                (PlainApplier(plain), one_kind),
                (ClaimApplier(claims), claim_kind),
                (AdvanceApplier(advances), advance_kind),
            )
        )

    async def open(self) -> None:
        """Connect and check the schema.

        Raises:
            domain.errors.ConfigurationError: not migrated, or the server refuses the
                user, the password or the database.
            domain.errors.Unavailable: the server cannot be reached.
        """
        try:
            await self._database.open()
            check_schema(await self._applied())
            for link in self._links:
                await link.open()
        except UNREACHABLE as error:
            await self._disconnect()
            raise connect_fault(self._dsn, error) from error
        except BaseException:
            await self._disconnect()
            raise
        for lane in self._lanes:
            lane.start()

    async def close(self) -> None:
        """Commit what waits, then disconnect."""
        for lane in self._lanes:
            await lane.close()
        await self._disconnect()

    async def ready(self) -> bool:
        """Whether the server takes writes now."""
        try:
            rows = await self._database.rows("SELECT current_setting('transaction_read_only')")
        except Unavailable:
            return False
        writable = bool(rows[0][0] == "off")
        if writable:
            for link in self._links:
                link.retry_now()
        return writable

    def queued(self) -> int:
        """Changes that wait for a committer."""
        return sum(lane.queued() for lane in self._lanes)

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
        if change.spends and change.moves is not None:
            return await self._claim_moving(change, change.moves)
        if change.spends:
            return await self._claim_spending(change)
        return await (self._plain if is_plain_claim(change) else self._claims).submit(change)

    async def advance(self, change: Advance) -> bool:
        """Commit an advance; ``False`` when a version moved, or the hold is taken.

        Raises as :meth:`claim`.
        """
        if change.takes is not None:
            return await self._advance_taking(change, change.takes)
        return await (self._plain if is_plain_advance(change) else self._advances).submit(change)

    async def save_reply(self, reply: TerminalReply) -> bool:
        """Keep a reply; ``False`` when one exists. Raises as :meth:`claim`."""
        return await self._claims.submit(reply)

    async def _applied(self) -> frozenset[str]:
        known = await self._database.rows("SELECT to_regclass('tortoise_migrations') IS NOT NULL")
        if not known[0][0]:
            return frozenset()
        return frozenset(row[0] for row in await self._database.rows(APPLIED_SQL))

    async def _disconnect(self) -> None:
        for link in self._links:
            await link.close()
        await self._database.close()
