"""What only one engine, or only the schema, can show."""

import asyncio
import json
import threading
from multiprocessing import get_context
from typing import Any

import asyncpg
import pytest
from tortoise.context import TortoiseContext
from tortoise.migrations.autodetector import MigrationAutodetector

from domain.errors import ConfigurationError, Unavailable
from gateway.store.engine import StoreOptions, store_for
from gateway.store.migrate import MODELS
from gateway.store.port import Advance, RefundClaimed, Store
from gateway.store.postgres_checkouts import ADVANCE_ALL, BEGIN_ATTEMPT, OPEN_CHECKOUT
from gateway.store.postgres_plain import (
    DECIDED_BOTH,
    DECIDED_CLAIM,
    PLAIN_ADVANCE,
    PLAIN_BOTH,
    PLAIN_CLAIM,
)
from gateway.store.postgres_plain_rows import PLAIN_ADVANCES, PLAIN_CLAIMS
from gateway.store.postgres_rows import (
    ADVANCES,
    CHECKOUTS,
    CLAIMS,
    NOTICES,
    POSTINGS,
    REPLIES,
    claim_rows,
    make_row_types,
)
from gateway.store.postgres_statements import ADVANCE, CLAIM, PINNED
from tests.store.conftest import OpenStore, lease_settle
from tests.support.payments import sample_advance, sample_claim, sample_order
from tests.support.postgres import PostgresServer
from tests.support.refunds import sample_refund_claim

HOT_TABLES = (
    "payments",
    "attempts",
    "jobs",
    "payment_events",
    "postings",
    "terminal_replies",
    "notices",
    "cases",
)
ROW_TYPES = (
    CLAIMS, CHECKOUTS, ADVANCES, POSTINGS, REPLIES, NOTICES, PLAIN_CLAIMS, PLAIN_ADVANCES,
)  # fmt: skip


async def test_the_migrations_say_what_the_models_say() -> None:
    """Whoever changes a model must generate its migration."""
    config = {name: dict(part) for name, part in MODELS.items()}
    async with TortoiseContext() as context:
        await context.init(config=config)
        assert context.apps is not None
        assert await MigrationAutodetector(context.apps, config["apps"]).changes() == []


def _plan_nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", ()) for node in _plan_nodes(child))]


async def _generic_plan(connection: Any, sql: str) -> list[dict[str, Any]]:
    count = max(n for n in range(1, 60) if f"${n}::" in sql)
    await connection.execute(f"PREPARE hot AS {sql}")
    nulls = ", ".join(["NULL"] * count)
    found = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE hot({nulls})")
    await connection.execute("DEALLOCATE hot")
    return _plan_nodes(json.loads(found)[0]["Plan"])


@pytest.mark.parametrize("rows", [0, 1, 3, 40])
@pytest.mark.parametrize("analyzed", [False, True])
@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (CLAIM, (2, 0)),
        (PLAIN_CLAIM, (0, 0)),
        (ADVANCE, (2, 3)),
        (PLAIN_ADVANCE, (0, 2)),
        (PLAIN_BOTH, (0, 2)),
        (DECIDED_CLAIM, (1, 0)),
        (DECIDED_BOTH, (1, 2)),
        (OPEN_CHECKOUT, (3, 0)),
        (BEGIN_ATTEMPT, (2, 1)),
        (ADVANCE_ALL, (3, 5)),
    ],
    ids=[
        "claim",
        "plain claim",
        "advance",
        "plain advance",
        "plain claim and advance",
        "decided claim",
        "decided claim and advance",
        "checkout",
        "attempt",
        "advance with its checkout",
    ],
)
async def test_the_planner_probes_by_key_however_small_the_tables_are(
    postgres_url: str, rows: int, analyzed: bool, sql: str, expected: tuple[int, int]
) -> None:
    """A plan made on tiny tables lives on while they grow: it must not read them whole."""
    connection = await asyncpg.connect(postgres_url, server_settings=dict(PINNED))
    try:
        await make_row_types(connection, ROW_TYPES)
        if rows:
            await connection.fetch(CLAIM, *claim_rows([sample_claim(n) for n in range(rows)]))
        if analyzed:
            await connection.execute("ANALYZE")
        nodes = await _generic_plan(connection, sql)
    finally:
        await connection.close()
    kinds = {node["Node Type"] for node in nodes}
    assert not kinds & {"Seq Scan", "Hash Join", "Merge Join", "Bitmap Heap Scan"}
    probes = {
        node["Index Name"]: node["Index Cond"]
        for node in nodes
        if node["Node Type"] == "Index Scan"
    }
    if sql in (ADVANCE, ADVANCE_ALL, PLAIN_ADVANCE, PLAIN_BOTH, DECIDED_BOTH):
        beside = {ADVANCE: {"cases_pkey"}, ADVANCE_ALL: {"cases_pkey", "checkouts_pkey"}}
        assert set(probes) == {"payments_pkey", "jobs_pkey"} | beside.get(sql, set())
        assert "ARRAY[i.id]" in probes["payments_pkey"]
        jobs = [node for node in nodes if node.get("Index Name") == "jobs_pkey"]
        assert any("ARRAY[('settle:'::text || (moved" in node["Index Cond"] for node in jobs)
        if "cases_pkey" in probes:
            assert "ARRAY[('case_'::text || substr((moved" in probes["cases_pkey"]
    elif sql == BEGIN_ATTEMPT:
        assert set(probes) == {"checkouts_pkey"}
        assert "ARRAY[w.id]" in probes["checkouts_pkey"]
    else:
        assert not probes
    filters = [str(node.get("Filter", "")) for node in nodes]
    hashed = [text for text in filters if "hashed SubPlan" in text]
    joins = [node for node in nodes if node["Node Type"] == "Nested Loop"]
    assert (len(hashed), len(joins)) == expected


async def six_hundred_payments(store: Store) -> None:
    """A load in groups of a hundred, which end while the next begin, half of them plainly; closes
    the store.
    """
    ending: list[Advance] = []
    for start in range(0, 700, 100):
        numbers = range(start, min(start + 100, 600))
        beginning = [store.claim(sample_claim(number)) for number in numbers]
        assert all(await asyncio.gather(*beginning, *map(store.advance, ending)))
        ending = [sample_advance(number, is_told=number % 2 > 0) for number in numbers]
    await store.close()


async def test_the_hot_path_never_scans_a_table(postgres_url: str, open_store: OpenStore) -> None:
    """The server's own counters, after a load on tables that were empty at prepare."""
    store = await open_store(postgres_url)
    await six_hundred_payments(store)
    connection = await asyncpg.connect(postgres_url)
    try:
        scans = await connection.fetch(
            "SELECT relname, seq_scan FROM pg_stat_user_tables WHERE seq_scan > 0 "
            "AND relname = ANY ($1)",
            [*HOT_TABLES],
        )
    finally:
        await connection.close()
    assert scans == []


async def test_a_payment_moves_in_place_and_each_row_is_indexed_once(
    postgres_url: str, open_store: OpenStore
) -> None:
    """Every update is HOT; no generated id and no index of it; keys are compared bytewise."""
    store = await open_store(postgres_url)
    await six_hundred_payments(store)
    connection = await asyncpg.connect(postgres_url)
    try:
        moved = await connection.fetchrow(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'payments'"
        )
        numbered = await connection.fetch(
            "SELECT tablename FROM pg_tables JOIN pg_sequences "
            "ON starts_with(sequencename, tablename) WHERE tablename = ANY ($1)",
            [*HOT_TABLES],
        )
        keys = await connection.fetch(
            "SELECT t.relname, i.indisunique, array_agg(a.attname::text ORDER BY k.place), "
            "array_agg(DISTINCT c.collname::text) FILTER (WHERE a.attcollation <> 0) "
            "FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid, "
            "unnest(i.indkey) WITH ORDINALITY k(attnum, place) "
            "JOIN pg_attribute a ON a.attnum = k.attnum "
            "LEFT JOIN pg_collation c ON c.oid = a.attcollation "
            "WHERE a.attrelid = t.oid AND t.relname = ANY ($1) GROUP BY i.indexrelid, 1, 2",
            [*HOT_TABLES],
        )
    finally:
        await connection.close()
    assert tuple(moved) == (600, 600)
    assert numbered == []
    assert {tuple(collations) for *_, collations in keys if collations} == {("C",)}
    assert sorted((table, unique, *columns) for table, unique, columns, _ in keys) == [
        ("attempts", True, "channel_order_no", "channel", "account_id"),
        ("cases", False, "case_id"),
        ("cases", True, "case_id"),
        ("jobs", False, "kind", "lane", "due_at_ms"),
        ("jobs", True, "id"),
        ("notices", False, "event_id"),
        ("notices", True, "event_id"),
        ("notices", True, "payment_id", "sequence"),
        ("payment_events", True, "payment_id", "sequence"),
        ("payments", True, "id"),
        ("payments", True, "merchant_no", "door", "order_key"),
        ("postings", False, "at_ms"),
        ("postings", True, "payment_id", "sequence", "line"),
        ("terminal_replies", True, "merchant_no", "key"),
    ]


async def test_rows_carry_every_awkward_text(postgres_url: str, open_store: OpenStore) -> None:
    """Quotes, backslashes, braces, commas, NULL, empty, newlines and large values survive."""
    awkward = [
        "",
        "NULL",
        "(",
        ")",
        "\x1f",
        '"',
        "\\",
        '\\"',
        "{}",
        "a,b",
        "\n\t",
        "奶茶🧋",
        "x" * 5000,
        "'",
        "$1",
    ]
    store = await open_store(postgres_url)
    claims = [sample_claim(n, subject=text) for n, text in enumerate(awkward)]
    assert all(await asyncio.gather(*map(store.claim, claims)))
    for claim in claims:
        payment = await store.payment(claim.order.id)
        assert payment is not None
        assert payment.order == claim.order


async def test_a_nul_in_a_text_fails_alone_on_postgres(
    postgres_url: str, open_store: OpenStore
) -> None:
    """PostgreSQL cannot hold it; its neighbours are not harmed."""
    store = await open_store(postgres_url)
    claims = [sample_claim(n, subject="a\x00b" if n == 2 else "ok") for n in range(5)]
    outcomes = await asyncio.gather(*map(store.claim, claims), return_exceptions=True)
    assert [outcome is True for outcome in outcomes] == [True, True, False, True, True]


@pytest.mark.parametrize("crash", ["stop", "kill"])
async def test_a_crash_of_postgres_loses_nothing_acknowledged_and_the_store_recovers(
    postgres_server: PostgresServer, postgres_url: str, open_store: OpenStore, crash: str
) -> None:
    """Under load the server dies twice; the same store works again without a restart."""
    store = await open_store(postgres_url, reconnect_max_s=0.1)
    acknowledged: list[int] = []
    refused, paid, stopping = asyncio.Event(), asyncio.Event(), asyncio.Event()
    numbers = iter(range(10**6))

    async def till() -> None:
        while not stopping.is_set():
            number = next(numbers)
            try:
                assert await store.claim(sample_claim(number))
                assert await store.advance(sample_advance(number, is_told=number % 2 > 0))
            except Unavailable:
                refused.set()
                await asyncio.sleep(0.01)
            else:
                acknowledged.append(number)
                paid.set()

    async def progress() -> None:
        for _ in range(10):
            paid.clear()
            await paid.wait()

    tills = [asyncio.create_task(till()) for _ in range(32)]
    for _ in range(2):
        await progress()
        await asyncio.to_thread(getattr(postgres_server, crash))
        refused.clear()
        await refused.wait()
        assert not await store.ready()
        await asyncio.to_thread(postgres_server.start)
    await progress()
    stopping.set()
    await asyncio.gather(*tills)
    assert await store.ready()
    connection = await asyncpg.connect(postgres_url)
    try:
        whole = await connection.fetch(
            "SELECT id, version, (SELECT count(*) FROM payment_events WHERE payment_id = p.id), "
            "(SELECT count(*) FROM postings WHERE payment_id = p.id), "
            "(SELECT coalesce(sum(amount_fen), 0) FROM postings WHERE payment_id = p.id) "
            "FROM payments p"
        )
    finally:
        await connection.close()
    histories = {tuple(row[1:]) for row in whole}
    assert histories <= {(1, 1, 0, 0), (2, 2, 2, 0)}, "a change was applied in part"
    paid_ids = {row[0] for row in whole if row[1] == 2}
    assert paid_ids >= {sample_order(number).id for number in acknowledged}


async def test_a_server_that_is_down_or_refuses_is_told_apart(
    postgres_server: PostgresServer,
) -> None:
    """Not there: unavailable. There, but no such database: the operator's."""
    options = StoreOptions(commit_timeout_s=1.0)
    with pytest.raises(Unavailable):
        await store_for("postgresql://posgate@127.0.0.1:1/x", options=options).open()
    with pytest.raises(ConfigurationError):
        await store_for(postgres_server.url("no_such_database"), options=options).open()


def _claim_many(url: str, start: int, results: Any) -> None:
    async def run() -> int:
        store = store_for(url)
        await store.open()
        won = 0
        for begin in range(start, start + 200, 20):
            claims = (store.claim(sample_claim(n)) for n in range(begin, begin + 20))
            won += sum(await asyncio.gather(*claims))
        await store.close()
        return won

    results.put(asyncio.run(run()))


async def test_several_processes_share_one_sqlite_file(
    sqlite_url: str, open_store: OpenStore
) -> None:
    """Three writers over overlapping orders: each order is won once, none is lost."""
    context = get_context("spawn")
    results: Any = context.Queue()
    writers = [
        context.Process(target=_claim_many, args=(sqlite_url, start, results))
        for start in (0, 100, 200)
    ]
    for writer in writers:
        writer.start()
    won = [await asyncio.to_thread(results.get, True, 60) for _ in writers]
    for writer in writers:
        await asyncio.to_thread(writer.join)
    assert sum(won) == 400
    store = await open_store(sqlite_url)
    assert len(await lease_settle(store, 10**12, 1, 1000)) == 400


async def test_sqlite_in_the_loops_own_thread_keeps_the_contract(
    sqlite_url: str, open_store: OpenStore
) -> None:
    """The simulation's variant, without a thread; refunds race as anywhere."""
    threads = threading.active_count()
    store = await open_store(sqlite_url, inline=True, synchronous="OFF")
    claims = [sample_claim(n // 2) for n in range(20)]
    outcomes = await asyncio.gather(*map(store.claim, claims))
    assert outcomes == [True, False] * 10
    assert await store.advance(sample_advance(1))
    paid = await store.payment(sample_order(1).id)
    assert paid is not None
    refunds = [sample_refund_claim(n, paid, 1_500) for n in range(3)]
    results = await asyncio.gather(*map(store.claim_refund, refunds))
    assert results == [RefundClaimed.WON, RefundClaimed.MOVED, RefundClaimed.MOVED]
    assert threading.active_count() == threads


async def test_a_server_that_dies_in_a_cold_change_leaves_nothing_of_it(
    postgres_server: PostgresServer, postgres_url: str, open_store: OpenStore
) -> None:
    """The change is unavailable; afterwards it can be made, once."""
    store = await open_store(postgres_url)
    await store.claim(sample_claim(1))
    await store.advance(sample_advance(1))
    paid = await store.payment(sample_order(1).id)
    assert paid is not None
    await asyncio.to_thread(postgres_server.stop)
    with pytest.raises(Unavailable):
        await store.claim_refund(sample_refund_claim(1, paid))
    await asyncio.to_thread(postgres_server.start)
    outcomes = [await store.claim_refund(sample_refund_claim(1, paid)) for _ in range(2)]
    assert outcomes == [RefundClaimed.WON, RefundClaimed.EXISTS]
