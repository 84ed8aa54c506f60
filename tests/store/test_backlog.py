"""A hundred thousand jobs of one lane cost the others nothing: the plans say so."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from gateway.store.jobs import DUE_LANES, LEASE
from gateway.store.postgres_statements import COLD
from gateway.store.rows import JOB_COLUMNS

MANY = 5_000
LANES = [("m1 dead.example", MANY), ("m2 quick.example", 3), ("m3 quick.example", 1)]
JOBS = [
    (f"notify:{lane}{n}", "notify", lane, f"{lane}{n}", 1_000, 0, 0, False)
    for lane, count in LANES
    for n in range(count)
]


def _rows_read(plan: dict[str, Any]) -> int:
    """The rows that the scans of a plan handed on, all loops together."""
    own = plan["Actual Rows"] * plan["Actual Loops"] if "Relation Name" in plan else 0
    return int(own) + sum(_rows_read(child) for child in plan.get("Plans", ()))


@pytest.mark.parametrize("analyzed", [False, True])
@pytest.mark.parametrize(
    ("sql", "values", "most"),
    [
        (DUE_LANES, ("notify", "", "notify", "notify", 5_000, 50), 10),
        (LEASE, ("notify", "m1 dead.example", 5_000, 10, 9_000), 40),
        (LEASE, ("notify", "m3 quick.example", 5_000, 10, 9_000), 10),
    ],
    ids=["lanes", "lease of the backlog", "lease beside it"],
)
async def test_postgres_reads_what_it_takes_and_no_more(
    postgres_url: str, analyzed: bool, sql: str, values: Sequence[Any], most: int
) -> None:
    """Counted by the server, with and without statistics."""
    connection = await asyncpg.connect(postgres_url, server_settings=dict(COLD))
    try:
        await connection.copy_records_to_table("jobs", records=JOBS, columns=JOB_COLUMNS)
        if analyzed:
            await connection.execute("ANALYZE jobs")
        first, *rest = sql.format(skip_locked="FOR UPDATE SKIP LOCKED").split("?")
        numbered = first + "".join(f"${n}{text}" for n, text in enumerate(rest, start=1))
        plan = await connection.fetchval(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {numbered}",
            *values,
        )
    finally:
        await connection.close()
    assert _rows_read(json.loads(plan)[0]["Plan"]) <= most


@pytest.mark.parametrize("sql", [DUE_LANES, LEASE], ids=["lanes", "lease"])
def test_sqlite_looks_into_the_index_only(sqlite_url: str, sql: str) -> None:
    """No step of the plan scans the jobs."""
    with sqlite3.connect(sqlite_url.removeprefix("sqlite://")) as file:
        marks = ", ".join("?" * len(JOB_COLUMNS))
        file.executemany(f"INSERT INTO jobs ({', '.join(JOB_COLUMNS)}) VALUES ({marks})", JOBS)
        file.execute("ANALYZE")
        asked = "EXPLAIN QUERY PLAN " + sql.format(skip_locked="")
        steps = [row[3] for row in file.execute(asked, [None] * sql.count("?"))]
    file.close()
    looks = [step for step in steps if step.startswith("SEARCH") and "INDEX" in step]
    assert len(looks) == (3 if sql == DUE_LANES else 2), steps
    assert not {"SCAN jobs", "SCAN j", "SCAN d"} & {step.partition(" USING")[0] for step in steps}
