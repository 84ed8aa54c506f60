"""Orders in bulk for reconciliation, past the hot path and the ORM.

Rules: a source has a connection of its own and reads; PostgreSQL copies to a temporary file
(no row passes through Python), SQLite walks a cursor. Payments and refunds are found by
their ids, which sort by the time that they were made, so that no index is kept for it; what
moved long after it was made is found by its ledger lines.
"""

import asyncio
import csv
import sqlite3
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import asyncpg
import pyarrow as pa
import pyarrow.csv as arrow_csv

from domain.errors import Unavailable
from domain.ids import number
from domain.ledger import merchant_payable
from gateway.store.location import sqlite_path
from gateway.store.sql_text import numbered
from reconciliation.orders import STORED_SCHEMA

_BATCH_ROWS: Final = 65_536
_NAMES_AT_ONCE: Final = 500
_CASHIER: Final = (
    "CASE WHEN p.metadata_json LIKE '%\"cashier\":%' THEN coalesce({cashier}, '') ELSE '' END"
)
"""Only where the merchant's own ``metadata`` names one is it read as JSON."""
_SQLITE_CASHIER: Final = _CASHIER.format(
    cashier="substr(json_extract(p.metadata_json, '$.cashier'), 1, 64)"
)
_POSTGRES_CASHIER: Final = _CASHIER.replace(
    "THEN", r"AND p.metadata_json NOT LIKE '%\\u0000%' THEN"
).format(cashier="left(p.metadata_json::json ->> 'cashier', 64)")
_COLUMNS: Final = (
    "'payment', channel_order_no, '', status, amount_fen, captured_fen, currency, id, merchant_no, "
    "store_id, terminal_id, method, created_at_ms, paid_at_ms, {cashier} FROM payments p"
)
_REFUND_COLUMNS: Final = (
    "'refund', p.channel_order_no, r.channel_refund_no, r.status, r.amount_fen, 0, r.currency, "
    "r.id, r.merchant_no, p.store_id, p.terminal_id, p.method, r.created_at_ms, r.done_at_ms, {cashier} "
    "FROM refunds r JOIN payments p ON p.id = r.payment_id"
)
_SURPLUS_COLUMNS: Final = (
    "'refund', p.channel_order_no, s.channel_refund_no, s.state, s.amount_fen, 0, s.currency, "
    "s.id, p.merchant_no, p.store_id, p.terminal_id, p.method, s.created_at_ms, s.done_at_ms, {cashier} "
    "FROM surplus_refunds s JOIN payments p ON p.id = s.payment_id"
)
"""What went back of a surplus, which a later bill names like any refund."""
_PAYMENTS: Final = (
    f"SELECT {_COLUMNS} WHERE account_id = ? AND id >= ? AND id < ? AND channel_order_no <> ''"
)
_REFUNDS: Final = f"SELECT {_REFUND_COLUMNS} WHERE r.account_id = ? AND r.id >= ? AND r.id < ?"
_SURPLUS: Final = (
    f"SELECT {_SURPLUS_COLUMNS} WHERE s.account_id = ? AND s.created_at_ms >= ? "
    "AND s.created_at_ms < ?"
)
_OF_NAMES: Final = (
    "SELECT a.payment_id FROM attempts a WHERE a.account_id = ? AND a.channel_order_no IN ({names})"
)
_NAMED: Final = f"SELECT {_COLUMNS} WHERE account_id = ? AND id IN ({_OF_NAMES})"
_NAMED_REFUNDS: Final = (
    f"SELECT {_REFUND_COLUMNS} WHERE r.account_id = ? AND r.payment_id IN ({_OF_NAMES})"
)
_NAMED_SURPLUS: Final = (
    f"SELECT {_SURPLUS_COLUMNS} WHERE s.account_id = ? AND s.payment_id IN ({_OF_NAMES})"
)
# What older payments' entries of an interval say of them; a refund's stands under its payment.
_BOOKED: Final = (
    "SELECT b.payment_id FROM postings b WHERE b.at_ms >= ? AND b.at_ms < ? AND b.payment_id < ? "
    "AND b.entry IN ('capture', 'refund')"
)
_BOOKED_PAYMENTS: Final = (
    f"SELECT {_COLUMNS} WHERE account_id = ? AND channel_order_no <> '' AND id IN ({_BOOKED})"
)
_BOOKED_REFUNDS: Final = (
    f"SELECT {_REFUND_COLUMNS} WHERE r.account_id = ? AND r.payment_id IN ({_BOOKED})"
)
_DONE_SURPLUS: Final = (
    f"SELECT {_SURPLUS_COLUMNS} WHERE s.account_id = ? AND s.done_at_ms >= ? AND s.done_at_ms < ? "
    "AND s.created_at_ms < ?"
)
_EVERY_NAMED: Final = (_NAMED, _NAMED_REFUNDS, _NAMED_SURPLUS)


_POSTED_ITEMS: Final = """
WITH day AS (
  SELECT payment_id, sequence, line, entry, account, amount_fen, currency FROM postings
  WHERE at_ms >= ? AND at_ms < ? AND account LIKE 'merchant:%' AND (? = '' OR account = ?)
    AND entry IN ('capture', 'refund', 'reversal'))
SELECT p.merchant_no AS merchant_no, d.currency AS currency, p.channel AS channel,
  p.method AS method, CASE WHEN d.entry = 'capture' THEN 'payment' ELSE 'refund' END AS kind,
  abs(d.amount_fen) AS amount_fen,
  CASE WHEN p.paid_at_ms > 0 THEN p.paid_at_ms ELSE p.created_at_ms END AS paid_at_ms,
  p.captured_fen AS paid_fen,
  CAST(coalesce((SELECT sum(e.amount_fen) FROM postings e
    WHERE d.entry <> 'capture' AND e.payment_id = d.payment_id AND e.account = d.account
      AND e.entry IN ('refund', 'reversal') AND (e.sequence, e.line) < (d.sequence, d.line)), 0)
    AS BIGINT) AS returned_before_fen
FROM day d JOIN payments p ON p.id = d.payment_id
ORDER BY 1, 2, d.payment_id, d.sequence, d.line
"""
_POSTED_DAYS: Final = """
SELECT substr(account, 10), currency, (at_ms + 28800000) / 86400000,
  sum(CASE WHEN entry = 'capture' THEN 1 ELSE 0 END),
  sum(CASE WHEN entry = 'capture' THEN 0 ELSE 1 END)
FROM postings WHERE at_ms >= ? AND at_ms < ? AND account LIKE 'merchant:%'
  AND entry IN ('capture', 'refund', 'reversal')
GROUP BY 1, 2, 3 ORDER BY 3, 1, 2
"""
"""By merchant, currency and Beijing day (of those since 1970), how much was posted."""
_SELLERS: Final = """
SELECT DISTINCT p.merchant_no, p.account_id FROM postings d JOIN payments p ON p.id = d.payment_id
WHERE d.at_ms >= ? AND d.at_ms < ? AND d.account LIKE 'merchant:%'
  AND d.entry IN ('capture', 'refund', 'reversal') ORDER BY 1, 2
"""
ITEM_COLUMNS: Final = (
    "merchant_no", "currency", "channel", "method", "kind", "amount_fen", "paid_at_ms",
    "paid_fen", "returned_before_fen",
)  # fmt: skip


def id_bounds(prefix: str, from_ms: int, until_ms: int) -> tuple[str, str]:
    """The first id that could be made at ``from_ms``, and the first at ``until_ms``."""
    nothing = bytes(10)
    return prefix + number(from_ms, nothing), prefix + number(until_ms, nothing)


def _made_between(from_ms: int, until_ms: int) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Each query of what was made then, with its bounds."""
    yield _PAYMENTS, id_bounds("pay_", from_ms, until_ms)
    yield _REFUNDS, id_bounds("ref_", from_ms, until_ms)
    yield _SURPLUS, (from_ms, until_ms)


def _booked_between(
    from_ms: int, until_ms: int, made_before_ms: int
) -> Iterator[tuple[str, tuple[Any, Any, Any]]]:
    """Each query of what was booked then and made before, with its bounds."""
    before, _ = id_bounds("pay_", made_before_ms, made_before_ms)
    yield _BOOKED_PAYMENTS, (from_ms, until_ms, before)
    yield _BOOKED_REFUNDS, (from_ms, until_ms, before)
    yield _DONE_SURPLUS, (from_ms, until_ms, made_before_ms)


def order_source(url: str) -> "SqliteOrders | PostgresOrders":
    """The source for a store's URL."""
    path = sqlite_path(url)
    return PostgresOrders(url) if path is None else SqliteOrders(path)


class PostedDay(NamedTuple):
    """How much a merchant's account was posted on a day in Beijing."""

    merchant_no: str
    currency: str
    day: date
    payments: int
    refunds: int


class PostedOrders(ABC):
    """What merchants' accounts were posted, on either engine."""

    @abstractmethod
    def posted_rows(self, sql: str, values: Sequence[Any]) -> Iterator[Sequence[Any]]:
        """What a query of this file's answers."""

    def posted_items(
        self, from_ms: int, until_ms: int, merchant_no: str = ""
    ) -> Iterator[dict[str, Any]]:
        """What was posted in [from, until), by merchant and currency; of one merchant or of all."""
        account = merchant_payable(merchant_no) if merchant_no else ""
        for row in self.posted_rows(_POSTED_ITEMS, (from_ms, until_ms, account, account)):
            named: dict[str, Any] = dict(zip(ITEM_COLUMNS, row, strict=True))
            yield named | {name: int(named[name]) for name in ITEM_COLUMNS[5:]}

    def posted_days(self, from_ms: int, until_ms: int) -> Iterator[PostedDay]:
        """How much was posted in [from, until) by day, merchant and currency."""
        rows = self.posted_rows(_POSTED_DAYS, (from_ms, until_ms))
        for merchant_no, currency, day, payments, refunds in rows:
            on = date(1970, 1, 1) + timedelta(days=int(day))
            yield PostedDay(merchant_no, currency, on, int(payments), int(refunds))

    def sellers(self, from_ms: int, until_ms: int) -> Iterator[tuple[str, str]]:
        """Who had anything posted in [from, until), and at which channel accounts."""
        rows = self.posted_rows(_SELLERS, (from_ms, until_ms))
        return ((merchant_no, account_id) for merchant_no, account_id in rows)


class SqliteOrders(PostedOrders):
    """``OrderSource`` on the embedded file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def made_between(
        self, account_id: str, from_ms: int, until_ms: int
    ) -> Iterator[Iterator[pa.RecordBatch]]:
        """Everything made in [from, until)."""
        with self._opened() as file:
            file.execute("BEGIN")
            yield self._walk(file, account_id, from_ms, until_ms)

    def _walk(
        self, file: sqlite3.Connection, account_id: str, from_ms: int, until_ms: int
    ) -> Iterator[pa.RecordBatch]:
        for sql, bounds in _made_between(from_ms, until_ms):
            asked = sql.format(cashier=_SQLITE_CASHIER)
            yield from _batches(file, asked, (account_id, *bounds))

    def booked_between(
        self, account_id: str, from_ms: int, until_ms: int, *, made_before_ms: int
    ) -> Iterator[pa.RecordBatch]:
        """Older payments that the ledger took, or gave back of, in [from, until), with refunds."""
        with self._opened() as file:
            for sql, bounds in _booked_between(from_ms, until_ms, made_before_ms):
                asked = sql.format(cashier=_SQLITE_CASHIER)
                yield from _batches(file, asked, (account_id, *bounds))

    def named(self, account_id: str, order_nos: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The payments under these channel order numbers, and all of their refunds."""
        with self._opened() as file:
            for part in _parts(order_nos):
                for sql in _EVERY_NAMED:
                    names = ", ".join("?" * len(part))
                    asked = sql.format(names=names, cashier=_SQLITE_CASHIER)
                    yield from _batches(file, asked, (account_id, account_id, *part))

    def posted_rows(self, sql: str, values: Sequence[Any]) -> Iterator[Sequence[Any]]:
        """What a query of this file's answers."""
        with self._opened() as file:
            cursor = file.execute(sql, values)
            while rows := cursor.fetchmany(_BATCH_ROWS):
                yield from rows

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            place = quote("/" + str(self._path.absolute()).lstrip("/"))
            # The match pulls batches from threads of its own, one at a time.
            opened = sqlite3.connect(f"file:{place}?mode=ro", uri=True, check_same_thread=False)
            with closing(opened) as file:
                yield file
        except sqlite3.Error as error:
            raise Unavailable(f"the database cannot be read: {error}") from error


def _batches(file: sqlite3.Connection, sql: str, values: Sequence[Any]) -> Iterator[pa.RecordBatch]:
    cursor = file.execute(sql, values)
    while rows := cursor.fetchmany(_BATCH_ROWS):
        columns = map(list, zip(*rows, strict=True))
        named = dict(zip(STORED_SCHEMA.names, columns, strict=True))
        yield pa.RecordBatch.from_pydict(named, schema=STORED_SCHEMA)


def _parts(order_nos: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(order_nos), _NAMES_AT_ONCE):
        yield order_nos[start : start + _NAMES_AT_ONCE]


class PostgresOrders(PostedOrders):
    """``OrderSource`` on PostgreSQL."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    @contextmanager
    def made_between(
        self, account_id: str, from_ms: int, until_ms: int
    ) -> Iterator[Iterator[pa.RecordBatch]]:
        """Everything made in [from, until), copied first, then read from the copy."""
        asked = [
            (sql.format(cashier=_POSTGRES_CASHIER), (account_id, *bounds))
            for sql, bounds in _made_between(from_ms, until_ms)
        ]
        with tempfile.TemporaryDirectory(prefix="posgate-orders-") as folder:
            copies = asyncio.run(self._copy(asked, Path(folder)))
            yield (batch for copy in copies for batch in read_copy(copy))

    def booked_between(
        self, account_id: str, from_ms: int, until_ms: int, *, made_before_ms: int
    ) -> Iterator[pa.RecordBatch]:
        """Older payments that the ledger took, or gave back of, in [from, until), with refunds."""
        asked = [
            (sql.format(cashier=_POSTGRES_CASHIER), (account_id, *bounds))
            for sql, bounds in _booked_between(from_ms, until_ms, made_before_ms)
        ]
        yield from self._read(asked)

    def named(self, account_id: str, order_nos: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The payments under these channel order numbers, and all of their refunds."""
        asked = [
            (
                sql.format(names=", ".join("?" * len(part)), cashier=_POSTGRES_CASHIER),
                (account_id, account_id, *part),
            )
            for part in _parts(order_nos)
            for sql in _EVERY_NAMED
        ]
        if asked:
            yield from self._read(asked)

    def _read(self, asked: Sequence[tuple[str, Sequence[Any]]]) -> Iterator[pa.RecordBatch]:
        with tempfile.TemporaryDirectory(prefix="posgate-orders-") as folder:
            for copy in asyncio.run(self._copy(asked, Path(folder))):
                yield from read_copy(copy)

    def posted_rows(self, sql: str, values: Sequence[Any]) -> Iterator[Sequence[Any]]:
        """What a query of this file's answers, numbers as text."""
        with tempfile.TemporaryDirectory(prefix="posgate-items-") as folder:
            (copy,) = asyncio.run(self._copy([(sql, values)], Path(folder)))
            with copy.open(encoding="utf-8", newline="") as file:
                yield from csv.reader(file)

    async def _copy(
        self, asked: Sequence[tuple[str, Sequence[Any]]], folder: Path
    ) -> Sequence[Path]:
        """Each query's rows in a file of its own, all of one snapshot."""
        copies = [folder / f"{place}.csv" for place in range(len(asked))]
        try:
            connection = await asyncpg.connect(self._dsn)
            try:
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    for copy, (sql, values) in zip(copies, asked, strict=True):
                        await connection.copy_from_query(
                            numbered(sql), *values, output=copy, format="csv", force_quote=True
                        )
            finally:
                await connection.close()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise Unavailable(f"the database cannot be read: {type(error).__name__}") from error
        return copies


def read_copy(file: Path) -> Iterator[pa.RecordBatch]:
    """What COPY left, as ``STORED_SCHEMA``."""
    if file.stat().st_size == 0:
        return
    with arrow_csv.open_csv(
        file,
        read_options=arrow_csv.ReadOptions(
            column_names=STORED_SCHEMA.names, block_size=16 * 1024 * 1024
        ),
        parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            column_types=STORED_SCHEMA, strings_can_be_null=False
        ),
    ) as reader:
        yield from reader
