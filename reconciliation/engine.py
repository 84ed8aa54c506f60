"""The bulk match: DuckDB sets aside what plainly agrees, the pure rules decide the rest.

Rules:

* A key is *plain* when one line of today's bill names it, our entry is done, of the same
  day, amount, currency and fee, and neither the pool nor another line of the same order
  touches it. Such a key is a pair without a difference by ``match.py`` too; everything
  else of its order goes to ``match.py``, some thousand orders at a time. What that finds
  and what waits lies in the database and is read page by page: memory grows neither with
  what differs nor with what waits.
* The database lives in a file of the night's folder, its memory and its spill are bounded,
  and nothing in it outlives the night.
* The same input makes the same rows in the same order, whatever the number of threads.
* Bill and books are loaded at once (:meth:`Engine.load_both`): reading either is the work of
  one core, and what is wrong with the bill is told first.

Only this file imports duckdb.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from channels.bill_rows import BILL_SCHEMA
from reconciliation.differences import Difference
from reconciliation.engine_rows import (
    PAGE,
    SCHEMAS,
    Row,
    T,
    difference_row,
    pages,
    read_difference,
    read_ours,
    read_theirs,
    read_waiting,
    theirs_row,
    waiting_row,
)
from reconciliation.entries import Pool
from reconciliation.line_queries import FEES, LINES, OUTCOMES, REPORT
from reconciliation.match import Matched, Rules, match
from reconciliation.partial_numbers import (
    FIND_PAYMENTS,
    FIND_REFUNDS,
    MASK,
    MAX_SHAPES,
    NAME_PAYMENTS,
    NAME_PAYMENTS_OF_REFUNDS,
    NAME_REFUNDS,
    NEAR_MS,
    SHAPES,
)
from reconciliation.rates import ChannelRate
from reconciliation.rows import OURS_SCHEMA

_ORDERS_AT_ONCE: Final = 20_000

_TABLES: Final = """
CREATE TABLE bill (
  kind VARCHAR, order_no VARCHAR, refund_no VARCHAR, trade_no VARCHAR, status VARCHAR,
  amount_fen BIGINT, fee_mfen BIGINT, currency VARCHAR, at_ms BIGINT, line BIGINT);
CREATE TABLE ours (
  kind VARCHAR, order_no VARCHAR, refund_no VARCHAR, state VARCHAR, amount_fen BIGINT,
  currency VARCHAR, day DATE, subject VARCHAR, merchant_no VARCHAR, store_id VARCHAR,
  terminal_id VARCHAR, method VARCHAR, at_ms BIGINT, cashier VARCHAR);
CREATE TABLE waiting_ours (
  side VARCHAR, kind VARCHAR, order_no VARCHAR, refund_no VARCHAR, first_day DATE);
CREATE TABLE waiting_theirs (
  kind VARCHAR, order_no VARCHAR, refund_no VARCHAR, trade_no VARCHAR, amount_fen BIGINT,
  fee_mfen BIGINT, currency VARCHAR, day DATE, line BIGINT);
CREATE TABLE kept_ours AS SELECT * FROM waiting_ours;
CREATE TABLE kept_theirs AS SELECT * FROM waiting_theirs;
CREATE TABLE found (
  kind VARCHAR, day DATE, order_no VARCHAR, refund_no VARCHAR, number BIGINT, ours_fen BIGINT,
  theirs_fen BIGINT, subject VARCHAR, trade_no VARCHAR);
"""

# A line is plain when its own entry agrees with it; orders of anything else are odd.
_PLAIN: Final = """
CREATE TEMP TABLE judged AS
SELECT b.order_no AS order_no, coalesce(
    o.state = 'done' AND o.day = $day AND o.amount_fen = b.amount_fen
    AND o.currency = b.currency AND ({fee_agrees} OR b.kind = 'refund'), false) AS plain
FROM bill b LEFT JOIN ours o USING (kind, order_no, refund_no)
"""

_ODD: Final = """
CREATE TABLE odd AS
SELECT order_no, row_number() OVER (ORDER BY order_no) AS place FROM (
  SELECT order_no FROM judged WHERE NOT plain
  UNION SELECT order_no FROM (
    SELECT order_no FROM bill GROUP BY kind, order_no, refund_no HAVING count(*) > 1)
  UNION SELECT order_no FROM waiting_ours
  UNION SELECT order_no FROM waiting_theirs
  UNION SELECT o.order_no FROM ours o ANTI JOIN bill b USING (kind, order_no, refund_no)
    WHERE o.state IN ('done', 'open') AND o.day = $day)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineBounds:
    """What the engine may take of the machine."""

    memory_mb: int = 2048
    spill_mb: int = 20_480
    threads: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a night came to, in numbers: see ``match.Matched``; ``kinds`` counts differences."""

    pairs: int
    waiting: int
    kinds: Mapping[str, int]


class Engine:
    """One night of one account, loaded and matched in a database file of its own."""

    def __init__(self, file: Path, bounds: EngineBounds) -> None:
        """Start anew: a file that a night left behind is overwritten."""
        file.unlink(missing_ok=True)
        self._db = duckdb.connect(
            str(file),
            config={
                "memory_limit": f"{bounds.memory_mb}MB",
                "max_temp_directory_size": f"{bounds.spill_mb}MB",
                "temp_directory": str(file.with_suffix(".spill")),
                "threads": bounds.threads,
                "preserve_insertion_order": False,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )
        self._db.execute(_TABLES)

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def load_both(self, bill: Callable[[], None], ours: Callable[[], None]) -> None:
        """Run ``bill`` here and ``ours`` beside it; raises what ``bill`` raises, then ``ours``."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ours") as beside:
            loading = beside.submit(ours)
            bill()
            loading.result()

    def load_bill(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Rows of ``channels.bill_rows.BILL_SCHEMA``; what the iterator raises passes through."""
        self._load("bill", BILL_SCHEMA, batches)

    def load_ours(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Rows of ``reconciliation.rows.OURS_SCHEMA``, each key once."""
        self._load("ours", OURS_SCHEMA, batches)

    def add_ours(self, batches: Iterable[pa.RecordBatch]) -> None:
        """More rows of ours; a key that is loaded stays as it is."""
        self._load("ours", OURS_SCHEMA, batches, _NEW_KEYS)

    def _load(
        self,
        table: str,
        schema: pa.Schema,
        batches: Iterable[pa.RecordBatch],
        only: str = "",
    ) -> None:
        columns = ", ".join(schema.names)
        faults: list[Exception] = []
        reader = pa.RecordBatchReader.from_batches(schema, _watched(batches, faults))
        query = f"INSERT INTO {table} ({columns}) SELECT {columns} FROM incoming {only}"  # noqa: S608 constants
        cursor = self._db.cursor()  # a connection of its own: two loads may run at once
        cursor.register("incoming", reader)
        try:
            cursor.execute(query)
        except duckdb.Error:
            if faults:
                raise faults[0] from None
            raise
        finally:
            cursor.close()

    def complete_numbers(self) -> None:
        """Give lines that name an order in part, or a refund's payment not at all, its number."""
        self._db.execute(MASK)
        for start, gap, whole in list(self._rows(SHAPES, {}))[:MAX_SHAPES]:
            where = {"start": start, "gap": gap, "whole": whole, "near": NEAR_MS}
            self._db.execute(FIND_PAYMENTS, where)
            self._db.execute(NAME_PAYMENTS)
            self._db.execute(FIND_REFUNDS, where)
            self._db.execute(NAME_REFUNDS)
        self._db.execute(NAME_PAYMENTS_OF_REFUNDS)

    def load_waiting(self, pool: Pool) -> None:
        """A page of what the night before left; called for each page, before :meth:`settle`."""
        self._insert("waiting_ours", pool.ours, waiting_row)
        self._insert("waiting_theirs", pool.theirs, theirs_row)

    def settle(self, day: date, rules: Rules, rate: ChannelRate | None = None) -> Found:
        """Match what was loaded; what it came to stays here and is read page by page."""
        fee_agrees = _FEE_AGREES.format(**_fee_terms(rate, rules)) if rate else "true"
        self._db.execute(_PLAIN.format(fee_agrees=fee_agrees), {"day": day})
        self._db.execute(_ODD, {"day": day})
        pairs = self._number("SELECT count(*) FROM judged ANTI JOIN odd USING (order_no)")
        for first in range(1, self._number("SELECT count(*) FROM odd") + 1, _ORDERS_AT_ONCE):
            part = self._match_part(first, day, rules, rate)
            self._insert("found", part.differences, difference_row)
            self._insert("kept_ours", part.pool.ours, waiting_row)
            self._insert("kept_theirs", part.pool.theirs, theirs_row)
            pairs += part.pairs
        return Found(
            pairs=pairs,
            waiting=self._number(_COUNT_KEPT),
            kinds=dict(self._rows(_COUNT_KINDS, {})),
        )

    def differences(self) -> Iterator[Difference]:
        """What :meth:`settle` found, by kind, number and place."""
        yield from map(read_difference, self._rows(_FOUND, {}))

    def kept(self) -> Iterator[Pool]:
        """What waits for the next night, in pages of bounded size."""
        for ours in pages(map(read_waiting, self._rows(_KEPT_OURS, {}))):
            yield Pool(ours=ours)
        for theirs in pages(map(read_theirs, self._rows(_KEPT_THEIRS, {}))):
            yield Pool(theirs=theirs)

    def waiting_orders(self) -> list[str]:
        """The orders that wait and nothing loaded from our books has."""
        return [order_no for (order_no,) in self._rows(_WAITING, {})]

    def unknown_orders(self) -> list[str]:
        """The orders that the bill names and nothing loaded from our books has."""
        return [order_no for (order_no,) in self._rows(_UNKNOWN, {})]

    def merchant_fees(self) -> list[tuple[str, str, int]]:
        """Merchant (``""``: nobody's), currency, and the channel's fee of it in mfen."""
        return [(no, currency, int(mfen)) for no, currency, mfen in self._rows(FEES, {})]

    def write_report(self, file: Path) -> None:
        """The bill's volume by merchant, store, terminal, method and hour, as Parquet."""
        self._copy(REPORT, file)

    def write_outcomes(self, file: Path, day: date) -> None:
        """What became of our own payments of ``day``, by hour, method and state, as Parquet."""
        self._copy(OUTCOMES.format(day=day.isoformat()), file)

    def write_lines(self, file: Path) -> None:
        """Every line of the bill with what we know of it, as Parquet."""
        self._copy(LINES, file)

    def _copy(self, query: str, file: Path) -> None:
        target = str(file).replace("'", "''")
        how = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1"
        self._db.execute(f"COPY ({query}) TO '{target}' ({how})")

    def _match_part(self, first: int, day: date, rules: Rules, rate: ChannelRate | None) -> Matched:
        where = {"first": first, "last": first + _ORDERS_AT_ONCE - 1}
        pool = Pool(
            ours=frozenset(map(read_waiting, self._rows(_PART_WAITING_OURS, where))),
            theirs=frozenset(map(read_theirs, self._rows(_PART_WAITING_THEIRS, where))),
        )
        ours = (read_ours(row, rate) for row in self._rows(_PART_OURS, where))
        bill = (read_theirs(row) for row in self._rows(_PART_BILL, {**where, "day": day}))
        return match(day, ours, bill, pool, rules)

    def _rows(self, query: str, values: Mapping[str, object]) -> Iterator[tuple[Any, ...]]:
        cursor = self._db.cursor().execute(query, values)
        while rows := cursor.fetchmany(PAGE):
            yield from rows

    def _number(self, query: str) -> int:
        row = self._db.execute(query).fetchone()
        return int(row[0]) if row else 0

    def _insert(self, table: str, values: Collection[T], row: Callable[[T], Row]) -> None:
        if values:
            columns = [list(column) for column in zip(*map(row, values), strict=True)]
            schema = SCHEMAS[table]
            named = dict(zip(schema.names, columns, strict=True))
            self._load(table, schema, [pa.RecordBatch.from_pydict(named, schema=schema)])


# The same integers as ChannelRate.fee_mfen, in SQL.
_FEE_AGREES: Final = (
    "abs(b.fee_mfen - ((2 * b.amount_fen * {rate_ppm} + {step}) // (2 * {step}) * {unit_mfen}))"
    " <= {tolerance_mfen}"
)
_THEIRS_COLUMNS: Final = (
    "kind, order_no, refund_no, trade_no, amount_fen, fee_mfen, currency, {day}, line"
)
_OF_PART: Final = (
    "WHERE order_no IN (SELECT order_no FROM odd WHERE place BETWEEN $first AND $last)"
)
_PART_BILL: Final = f"SELECT {_THEIRS_COLUMNS.format(day='$day')} FROM bill {_OF_PART}"  # noqa: S608 constants
_PART_WAITING_THEIRS: Final = (
    f"SELECT {_THEIRS_COLUMNS.format(day='day')} FROM waiting_theirs {_OF_PART}"  # noqa: S608 constants
)
_PART_WAITING_OURS: Final = (
    f"SELECT side, kind, order_no, refund_no, first_day FROM waiting_ours {_OF_PART}"  # noqa: S608 constants
)
_OURS_COLUMNS: Final = "kind, order_no, refund_no, state, amount_fen, currency, day, subject"
_PART_OURS: Final = f"SELECT {_OURS_COLUMNS} FROM ours {_OF_PART}"  # noqa: S608 constants


_NEW_KEYS: Final = "ANTI JOIN ours USING (kind, order_no, refund_no)"
_NOT_LOADED: Final = (
    "SELECT DISTINCT order_no FROM {named} ANTI JOIN "
    "(SELECT order_no FROM ours WHERE kind = 'payment') USING (order_no) "
    "WHERE order_no <> '' AND NOT contains(order_no, '?') ORDER BY order_no"
)
_UNKNOWN: Final = _NOT_LOADED.format(named="bill")
# What was told already matters only to a bill that names it: by its number, or by a part of it.
_WAITING: Final = _NOT_LOADED.format(
    named="(SELECT order_no FROM waiting_theirs UNION ALL SELECT order_no FROM waiting_ours "
    "WHERE side <> 'reported' OR EXISTS (SELECT 1 FROM bill "
    "WHERE contains(order_no, '?') OR contains(refund_no, '?')))"
)


_KEPT_OURS: Final = "SELECT side, kind, order_no, refund_no, first_day FROM kept_ours"
_KEPT_THEIRS: Final = f"SELECT {_THEIRS_COLUMNS.format(day='day')} FROM kept_theirs"  # noqa: S608 constants
_COUNT_KEPT: Final = "SELECT (SELECT count(*) FROM kept_ours) + (SELECT count(*) FROM kept_theirs)"
_COUNT_KINDS: Final = "SELECT kind, count(*) FROM found GROUP BY kind"
_FOUND: Final = (
    "SELECT kind, day, order_no, refund_no, number, ours_fen, theirs_fen, subject, trade_no "
    "FROM found ORDER BY kind, order_no, refund_no, number"
)


def _watched(
    batches: Iterable[pa.RecordBatch], faults: list[Exception]
) -> Iterator[pa.RecordBatch]:
    """The batches; what reading them raises is kept, since the database tells only its text."""
    try:
        yield from batches
    except Exception as fault:
        faults.append(fault)
        raise


def _fee_terms(rate: ChannelRate, rules: Rules) -> dict[str, int]:
    return {
        "rate_ppm": rate.rate_ppm,
        "step": rate.step,
        "unit_mfen": rate.unit_mfen,
        "tolerance_mfen": rules.fee_tolerance_mfen,
    }
