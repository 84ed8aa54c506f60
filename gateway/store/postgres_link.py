"""A PostgreSQL connection of the hot path, replaced when it breaks.

Rules:

* The statements are prepared once per connection, under the pinned planner.
* A server that refuses a statement for its content (integrity, data, deadlock) has
  rolled it back: ``Refused``, and the connection stays. Whatever else goes wrong
  (a closed socket, a time-out, a shutdown, a server that became read-only) leaves
  the outcome unknown: ``Unavailable``, and the connection goes.
* The next change after a break connects again. While the server cannot be reached,
  changes fail at once, and connecting is tried at growing, bounded intervals; a
  caller never waits for a dead database.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg

from domain.errors import Unavailable
from gateway.logs import Log
from gateway.store.database import Refused, Torn, not_storable, refusal
from gateway.store.options import StoreOptions
from gateway.store.postgres_rows import Parameters, RowType, make_row_types
from gateway.store.postgres_statements import PINNED

UNREACHABLE: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresError,
    asyncpg.InternalClientError,
)
"""What a driver raises when it cannot do what it is asked."""


class PostgresLink:
    """One connection with its prepared statements; used by one task at a time.

    ``statements`` are the SQL texts, each with the row types of its parameters.
    """

    def __init__(
        self,
        dsn: str,
        statements: Mapping[str, Sequence[RowType]],
        options: StoreOptions,
        log: Log,
    ) -> None:
        self._dsn = dsn
        self._statements = statements
        self._options = options
        self._log = log
        self._connection: Any = None
        self._prepared: Mapping[str, Any] = {}
        self._backoff_s = options.reconnect_min_s
        self._retry_at = 0.0

    async def open(self) -> None:
        """Connect now; raises what the driver raises."""
        connection = await asyncpg.connect(
            self._dsn, server_settings=dict(PINNED), timeout=self._options.commit_timeout_s
        )
        try:
            async with asyncio.timeout(self._options.commit_timeout_s):
                self._prepared = await self._prepare(connection)
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection

    async def _prepare(self, connection: asyncpg.Connection) -> Mapping[str, Any]:
        """The connection's own types, then its statements."""
        types = {kind.name: kind for kinds in self._statements.values() for kind in kinds}
        await make_row_types(connection, tuple(types.values()))
        prepared = {sql: await connection.prepare(sql) for sql in self._statements}
        # preparing leaves a transaction open, with its locks: a lane that nobody needs would
        # keep them for ever, from a migration for one
        await connection.execute("SELECT 1")
        return prepared

    async def close(self) -> None:
        """Say goodbye, or just hang up if the server does not answer."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close(timeout=self._options.commit_timeout_s)
            except UNREACHABLE:
                connection.terminate()

    def retry_now(self) -> None:
        """Forget the pause: somebody saw the server answer."""
        self._retry_at = 0.0

    async def fetch(self, sql: str, parameters: Parameters) -> Sequence[Any]:
        """Run a prepared statement in a transaction of its own.

        Raises:
            Refused: nothing was written, because of what was asked (``Torn``: see there).
            domain.errors.Unavailable: not connected, or the outcome is not known.
        """
        if self._connection is None or self._connection.is_closed():
            await self._reconnect()
        try:
            rows: Sequence[Any] = await self._prepared[sql].fetch(
                *parameters, timeout=self._options.commit_timeout_s
            )
        except asyncpg.UniqueViolationError as error:
            raise Refused(refusal(error.table_name or "")) from error
        except asyncpg.DivisionByZeroError as error:
            raise Torn from error
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
            raise Refused(not_storable()) from error
        except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError) as error:
            message = "the database gave another process the right of way; nothing was written"
            raise Refused(Unavailable(message)) from error
        except UNREACHABLE as error:
            self._drop(error)
            message = "the connection to the database broke; the change may or may not be written"
            raise Unavailable(message) from error
        except BaseException:
            self._drop(None)
            raise
        return rows

    def _drop(self, error: Exception | None) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
        if error is not None:
            self._log.warning("store_connection_lost", error=type(error).__name__)

    async def _reconnect(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s < self._retry_at:
            raise Unavailable("the database cannot be reached; nothing was written")
        try:
            await self.open()
        except UNREACHABLE as error:
            self._retry_at = asyncio.get_running_loop().time() + self._backoff_s
            self._backoff_s = min(self._backoff_s * 2, self._options.reconnect_max_s)
            raise Unavailable("the database cannot be reached; nothing was written") from error
        self._backoff_s = self._options.reconnect_min_s
        self._retry_at = 0.0
        self._log.info("store_connected")
