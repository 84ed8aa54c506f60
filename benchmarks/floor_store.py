"""Two durable grouped commits per payment, and nothing else: the floor's database.

One small table. A lane is a connection with one prepared statement; it takes every row
that waits, runs one autocommit statement, and calls the rows back after the commit.
Left out against the product: outcome per row, duplicates, halving of a refused batch,
reconnection, events, ledger, replies, leases.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import asyncpg

_PINNED: Final = {
    "synchronous_commit": "on",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_bitmapscan": "off",
    "jit": "off",
}
_SCHEMA: Final = """
CREATE TABLE floor_orders (
  order_no text PRIMARY KEY, amount_fen bigint NOT NULL, paid boolean NOT NULL,
  reference text NOT NULL
) WITH (fillfactor = 70)
"""
_INSERT: Final = """
INSERT INTO floor_orders SELECT i.order_no, i.amount_fen, false, ''
FROM unnest($1::text::text[], $2::text::bigint[]) AS i(order_no, amount_fen)
"""
_UPDATE: Final = """
UPDATE floor_orders o SET paid = true, reference = i.reference
FROM unnest($1::text::text[], $2::text::text[]) AS i(order_no, reference)
WHERE o.order_no = ANY (ARRAY[i.order_no])
"""
_MOST: Final = 512
Row = tuple[str, str]
Done = Callable[[], None]


class _Lane:
    """Rows of two columns that need no escaping, and whom to call after their commit."""

    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._waiting: list[tuple[str, str, Done]] = []
        self._wake = asyncio.Event()

    def add(self, first: str, second: str, done: Done) -> None:
        self._waiting.append((first, second, done))
        self._wake.set()

    async def run(self, dsn: str) -> None:
        connection: Any = await asyncpg.connect(dsn, server_settings=_PINNED)
        execute = (await connection.prepare(self._sql)).fetch
        while True:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            firsts, seconds, callers = zip(*batch, strict=True)
            await execute(_literal(firsts), _literal(seconds))
            for done in callers:
                done()


def _literal(values: Sequence[str]) -> str:
    return f"{{{','.join(values)}}}"


class FloorStore:
    """The two lanes."""

    def __init__(self) -> None:
        self._inserts, self._updates = _Lane(_INSERT), _Lane(_UPDATE)
        self._tasks: list[asyncio.Task[None]] = []
        self.insert = self._inserts.add
        """``insert(order_no, amount_fen, done)``."""
        self.update = self._updates.add
        """``update(order_no, reference, done)``."""

    async def open(self, dsn: str) -> None:
        """Make the table and start both committers."""
        connection: Any = await asyncpg.connect(dsn)
        await connection.execute(_SCHEMA)
        await connection.close()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(lane.run(dsn)) for lane in (self._inserts, self._updates)]
