"""The store on PostgreSQL.

Rules:

* Claims (with lone replies) and advances have a connection and a committer each, so an
  advance never waits for a claim's commit; each of their batches is one autocommit
  statement.
* A small pool serves reads and cold changes; they are planned afresh each time.
* A commit is on the server's disk (``synchronous_commit``) before a caller is woken.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final

import asyncpg

from domain.errors import ConfigurationError, Unavailable
from gateway.logs import Log
from gateway.store.cold import ColdStore
from gateway.store.database import (
    Change,
    Duplicate,
    Refused,
    Step,
    Torn,
    Value,
    not_storable,
    refusal,
)
from gateway.store.lane import Lane
from gateway.store.options import StoreOptions
from gateway.store.port import Advance, Claim, TerminalReply
from gateway.store.postgres_checkouts import ADVANCE_ALL, BEGIN_ATTEMPT, OPEN_CHECKOUT
from gateway.store.postgres_link import UNREACHABLE, PostgresLink
from gateway.store.postgres_plain import (
    PLAIN_ADVANCE,
    PLAIN_CLAIM,
    is_plain_advance,
    is_plain_claim,
)
from gateway.store.postgres_rows import (
    ADVANCES,
    CHECKOUTS,
    CLAIMS,
    NOTICES,
    POSTINGS,
    REPLIES,
    RowType,
    advance_rows,
    checkout_advance_rows,
    checkout_claim_rows,
    claim_rows,
    reply_rows,
)
from gateway.store.postgres_statements import ADVANCE, CLAIM, COLD, SAVE_REPLY
from gateway.store.rows import Row
from gateway.store.schema import APPLIED_SQL, check_schema

_NOT_OURS: Final = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ClientConfigurationError,
)
"""Wrong user, password, database or DSN: the operator's."""


class _PostgresDatabase:
    """Cold statements through a pool; implements ``Database``."""

    skip_locked = "FOR UPDATE SKIP LOCKED"

    def __init__(self, dsn: str, options: StoreOptions) -> None:
        self._dsn = dsn
        self._options = options
        self._pool: Any = None
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

    def _open_pool(self) -> Any:
        if self._pool is None:
            raise Unavailable("the store is not open")
        return self._pool

    def _dollars(self, sql: str) -> str:
        """``?`` → ``$1``, ``$2``, …; the statements are constants, so the cache is bounded."""
        numbered = self._numbered.get(sql)
        if numbered is None:
            first, *others = sql.split("?")
            numbered = first + "".join(f"${n}{text}" for n, text in enumerate(others, start=1))
            self._numbered[sql] = numbered
        return numbered


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


def _claim_kind(change: Change) -> str:
    """The statement of a claim; of a lone reply its own."""
    if not isinstance(change, Claim):
        return SAVE_REPLY
    if change.moves is None:
        return CLAIM
    return OPEN_CHECKOUT if change.moves.checkout.version == 1 else BEGIN_ATTEMPT


class _Claims:
    """The applier of claims and of replies that go with no transition."""

    def __init__(self, link: PostgresLink) -> None:
        self._link = link

    async def apply(self, changes: Sequence[Change]) -> Sequence[bool]:
        """One kind per call: whatever the first change is."""
        claims = [change for change in changes if isinstance(change, Claim)]
        if claims:
            return await self._claim(claims)
        replies = [change for change in changes if isinstance(change, TerminalReply)]
        rows = await self._link.fetch(SAVE_REPLY, reply_rows(replies))
        kept = {tuple(row) for row in rows}
        return [(reply.merchant_no, reply.key) in kept for reply in replies]

    async def _claim(self, claims: Sequence[Claim]) -> Sequence[bool]:
        statement = _claim_kind(claims[0])
        if statement is CLAIM and await self._claim_plainly(claims):
            return [True] * len(claims)
        rows_of = claim_rows if statement is CLAIM else checkout_claim_rows
        won = {row[0] for row in await self._link.fetch(statement, rows_of(claims))}
        return [claim.order.id in won for claim in claims]

    async def _claim_plainly(self, claims: Sequence[Claim]) -> bool:
        """Whether they are all plain, and have all won."""
        if not all(map(is_plain_claim, claims)):
            return False
        try:
            await self._link.fetch(PLAIN_CLAIM, (claims,))
        except Refused:  # nothing was written: the whole statement tells who was first
            return False
        return True


_CLAIMING: Final[Mapping[str, Sequence[RowType]]] = MappingProxyType(
    {
        PLAIN_CLAIM: (CLAIMS,),
        CLAIM: (CLAIMS, REPLIES),
        OPEN_CHECKOUT: (CLAIMS, CHECKOUTS),
        BEGIN_ATTEMPT: (CLAIMS, CHECKOUTS),
        SAVE_REPLY: (REPLIES,),
    }
)
"""The claims' statements, with the rows that each takes."""
_ADVANCING: Final[Mapping[str, Sequence[RowType]]] = MappingProxyType(
    {
        PLAIN_ADVANCE: (ADVANCES,),
        ADVANCE: (ADVANCES, POSTINGS, NOTICES),
        ADVANCE_ALL: (ADVANCES, POSTINGS, NOTICES, CHECKOUTS),
    }
)
"""The same of the advances."""


def _advance_kind(change: Change) -> str:
    """The statement of an advance."""
    return ADVANCE if isinstance(change, Advance) and change.moves is None else ADVANCE_ALL


class _Advances:
    """The applier of advances."""

    def __init__(self, link: PostgresLink) -> None:
        self._link = link

    async def apply(self, changes: Sequence[Change]) -> Sequence[bool]:
        """One kind per call; a move with a checkout is whole or lost."""
        advances = [change for change in changes if isinstance(change, Advance)]
        try:
            if _advance_kind(advances[0]) is ADVANCE:
                rows = await self._advance(advances)
            else:
                rows = await self._link.fetch(ADVANCE_ALL, checkout_advance_rows(advances))
        except Torn:
            if len(advances) == 1:
                return [False]
            raise
        moved = {row[0] for row in rows}
        return [change.payment_id in moved for change in advances]

    async def _advance(self, advances: Sequence[Advance]) -> Sequence[Any]:
        if all(map(is_plain_advance, advances)):
            try:
                return await self._link.fetch(PLAIN_ADVANCE, (advances,))
            except Torn:  # tills are told of one: nothing was written
                pass
        return await self._link.fetch(ADVANCE, advance_rows(advances))


class PostgresStore(ColdStore):
    """``Store`` on PostgreSQL; usable once, from ``open`` to ``close``."""

    def __init__(self, dsn: str, options: StoreOptions, log: Log) -> None:
        self._database: _PostgresDatabase = _PostgresDatabase(dsn, options)
        self._links = (
            PostgresLink(dsn, _CLAIMING, options, log),
            PostgresLink(dsn, _ADVANCING, options, log),
        )
        self._claims, self._advances = (
            Lane(
                applier,
                max_batch=options.max_batch,
                max_queued=options.max_queued,
                interval_s=options.commit_interval_s,
                log=log,
                kind_of=kind_of,
            )
            for applier, kind_of in (
                (_Claims(self._links[0]), _claim_kind),
                (_Advances(self._links[1]), _advance_kind),
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
        except _NOT_OURS as error:
            await self._disconnect()
            raise ConfigurationError(
                f"the database refuses us ({type(error).__name__}): check the store URL"
            ) from error
        except UNREACHABLE as error:
            await self._disconnect()
            raise Unavailable(f"the database cannot be reached: {type(error).__name__}") from error
        except BaseException:
            await self._disconnect()
            raise
        self._claims.start()
        self._advances.start()

    async def close(self) -> None:
        """Commit what waits, then disconnect."""
        await self._claims.close()
        await self._advances.close()
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
        return self._claims.queued() + self._advances.queued()

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
        return await self._claims.submit(change)

    async def advance(self, change: Advance) -> bool:
        """Commit an advance; ``False`` when a version moved, or the hold is taken.

        Raises as :meth:`claim`.
        """
        if change.takes is not None:
            return await self._advance_taking(change, change.takes)
        return await self._advances.submit(change)

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
