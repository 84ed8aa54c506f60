"""The bulk match: DuckDB sets aside what plainly agrees, the pure rules decide the rest.

Rules:

* A key is *plain* when one line of today's bill names it, our entry is done, of the same
  day, amount, currency and fee, and neither the pool nor another line of the same order
  touches it. Such a key is a pair without a difference by ``match.py`` too; everything
  else of its order goes to ``match.py``, some thousand orders at a time, so that memory
  does not grow with what differs.
* The database lives in a file of the night's folder, its memory and its spill are bounded,
  and nothing in it outlives the night.
* The same input makes the same rows in the same order, whatever the number of threads.
* Bill and books are loaded at once (:meth:`Engine.load_both`): reading either is the work of
  one core, and what is wrong with the bill is told first.

Only this file imports duckdb.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from channels.bill_rows import BILL_SCHEMA
from channels.bills import BillKind
from reconciliation.differences import Difference
from reconciliation.entries import Key, Ours, OurState, Pool, Side, Theirs, Waiting
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
    WHERE o.state = 'done' AND o.day = $day)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineBounds:
    """What the engine may take of the machine."""

    memory_mb: int = 2048
    spill_mb: int = 20_480
    threads: int = 2


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

    def match(
        self, day: date, pool: Pool, rules: Rules, rate: ChannelRate | None = None
    ) -> Matched:
        """Match what was loaded; equal to ``match.match`` over the same rows."""
        self._load_pool(pool)
        fee_agrees = _FEE_AGREES.format(**_fee_terms(rate, rules)) if rate else "true"
        self._db.execute(_PLAIN.format(fee_agrees=fee_agrees), {"day": day})
        self._db.execute(_ODD, {"day": day})
        plain = self._number("SELECT count(*) FROM judged ANTI JOIN odd USING (order_no)")
        differences: list[Difference] = []
        kept_ours: set[Waiting] = set()
        kept_theirs: set[Theirs] = set()
        pairs = plain
        for first in range(1, self._number("SELECT count(*) FROM odd") + 1, _ORDERS_AT_ONCE):
            part = self._match_part(first, day, rules, rate)
            differences.extend(part.differences)
            kept_ours |= part.pool.ours
            kept_theirs |= part.pool.theirs
            pairs += part.pairs
        differences.sort(key=lambda one: (one.kind.value, one.order_no, one.refund_no, one.number))
        kept = Pool(ours=frozenset(kept_ours), theirs=frozenset(kept_theirs))
        return Matched(differences=differences, pool=kept, pairs=pairs)

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
            ours=frozenset(map(_waiting, self._rows(_PART_WAITING_OURS, where))),
            theirs=frozenset(map(_theirs, self._rows(_PART_WAITING_THEIRS, where))),
        )
        ours = (_ours(row, rate) for row in self._rows(_PART_OURS, where))
        bill = (_theirs(row) for row in self._rows(_PART_BILL, {**where, "day": day}))
        return match(day, ours, bill, pool, rules)

    def _rows(self, query: str, values: Mapping[str, object]) -> Iterator[tuple[Any, ...]]:
        cursor = self._db.cursor().execute(query, values)
        while rows := cursor.fetchmany(10_000):
            yield from rows

    def _number(self, query: str) -> int:
        row = self._db.execute(query).fetchone()
        return int(row[0]) if row else 0

    def _load_pool(self, pool: Pool) -> None:
        ours = [
            (one.side.value, one.key.kind.value, one.key.order_no, one.key.refund_no, one.first_day)
            for one in pool.ours
        ]
        theirs = [
            (
                one.key.kind.value,
                one.key.order_no,
                one.key.refund_no,
                one.trade_no,
                one.amount_fen,
                one.fee_mfen,
                one.currency,
                one.day,
                one.line,
            )
            for one in pool.theirs
        ]
        self._load_rows("waiting_ours", pa.schema(_WAITING_OURS), ours)
        self._load_rows("waiting_theirs", pa.schema(_WAITING_THEIRS), theirs)

    def _load_rows(self, table: str, schema: pa.Schema, rows: list[tuple[Any, ...]]) -> None:
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema.names)
        named = dict(zip(schema.names, map(list, columns), strict=True))
        self._load(table, schema, [pa.RecordBatch.from_pydict(named, schema=schema)])


_WAITING_OURS: "Final[list[tuple[str, pa.DataType]]]" = [
    ("side", pa.string()),
    ("kind", pa.string()),
    ("order_no", pa.string()),
    ("refund_no", pa.string()),
    ("first_day", pa.date32()),
]
_WAITING_THEIRS: "Final[list[tuple[str, pa.DataType]]]" = [
    ("kind", pa.string()),
    ("order_no", pa.string()),
    ("refund_no", pa.string()),
    ("trade_no", pa.string()),
    ("amount_fen", pa.int64()),
    ("fee_mfen", pa.int64()),
    ("currency", pa.string()),
    ("day", pa.date32()),
    ("line", pa.int64()),
]

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
_UNKNOWN: Final = (
    "SELECT DISTINCT order_no FROM bill ANTI JOIN "
    "(SELECT order_no FROM ours WHERE kind = 'payment') USING (order_no) "
    "WHERE order_no <> '' AND NOT contains(order_no, '?') ORDER BY order_no"
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


def _key(kind: str, order_no: str, refund_no: str) -> Key:
    return Key(BillKind(kind), order_no, refund_no)


def _theirs(row: tuple[Any, ...]) -> Theirs:
    kind, order_no, refund_no, trade_no, amount_fen, fee_mfen, currency, day, line = row
    return Theirs(
        key=_key(kind, order_no, refund_no),
        trade_no=trade_no,
        amount_fen=amount_fen,
        fee_mfen=fee_mfen,
        currency=currency,
        day=day,
        line=line,
    )


def _waiting(row: tuple[Any, ...]) -> Waiting:
    side, kind, order_no, refund_no, first_day = row
    return Waiting(side=Side(side), key=_key(kind, order_no, refund_no), first_day=first_day)


def _ours(row: tuple[Any, ...], rate: ChannelRate | None) -> Ours:
    kind, order_no, refund_no, state, amount_fen, currency, day, subject = row
    return Ours(
        key=_key(kind, order_no, refund_no),
        state=OurState(state),
        amount_fen=amount_fen,
        currency=currency,
        day=day,
        subject=subject,
        fee_mfen=rate.fee_mfen(amount_fen) if rate is not None else None,
    )
