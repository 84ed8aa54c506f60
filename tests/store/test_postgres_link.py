"""The hot path's connections to PostgreSQL: what they hold, and when they let go."""

import asyncio
import contextlib

import asyncpg
import pytest

from domain.errors import Unavailable
from gateway.store.postgres_link import PostgresLink
from tests.store.conftest import OpenStore
from tests.support.payments import sample_claim


async def test_who_has_nothing_to_do_holds_no_lock(
    postgres_url: str, open_store: OpenStore
) -> None:
    """Three connections have prepared their statements and wait: in no transaction."""
    await open_store(postgres_url)
    connection = await asyncpg.connect(postgres_url)
    try:
        beside = "datname = current_database() AND pid <> pg_backend_pid()"
        held = await connection.fetch(
            f"SELECT state, xact_start IS NOT NULL, query FROM pg_stat_activity WHERE {beside} "
            "AND backend_type = 'client backend' AND (state <> 'idle' OR xact_start IS NOT NULL)"
        )
        links = await connection.fetchval(
            f"SELECT count(*) FROM pg_stat_activity WHERE application_name = 'posgate' AND {beside}"
        )
    finally:
        await connection.close()
    assert held == []
    assert links == 4


async def test_a_server_that_lets_nobody_prepare_is_not_waited_for(
    postgres_url: str, open_store: OpenStore
) -> None:
    """Connected, and then silence: the change fails in its time, and the next one tries again."""
    store = await open_store(postgres_url, commit_timeout_s=0.5)
    link: PostgresLink = store._plain._applier._link  # type: ignore[attr-defined]
    in_the_way = await asyncpg.connect(postgres_url)
    try:
        await in_the_way.execute("BEGIN; LOCK TABLE payments IN ACCESS EXCLUSIVE MODE")
        link._connection.terminate()
        async with asyncio.timeout(5):
            with pytest.raises(Unavailable):
                await store.claim(sample_claim(1))
    finally:
        await in_the_way.close()
    async with asyncio.timeout(5):
        while True:
            with contextlib.suppress(Unavailable):
                assert await store.claim(sample_claim(2))
                break
            await asyncio.sleep(0.05)


REFUSING = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{sqlstate}'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON payments FOR EACH ROW EXECUTE FUNCTION refuse()
"""


@pytest.mark.parametrize(
    ("sqlstate", "is_known"),
    [("40001", True), ("40P01", True), ("40003", False), ("40000", False), ("57P01", False)],
)
async def test_only_a_code_that_says_so_means_that_nothing_was_written(
    postgres_url: str, open_store: OpenStore, sqlstate: str, is_known: bool
) -> None:
    """40003 is "statement completion unknown": its class, 40, is no promise of a rollback."""
    store = await open_store(postgres_url)
    link: PostgresLink = store._plain._applier._link  # type: ignore[attr-defined]
    before = link._connection
    beside = await asyncpg.connect(postgres_url)
    try:
        await beside.execute(REFUSING.format(sqlstate=sqlstate))
        with pytest.raises(Unavailable) as refused:
            await store.claim(sample_claim(1))
        assert ("nothing was written" in refused.value.message) is is_known
        assert (link._connection is before) is is_known
        await beside.execute("DROP TRIGGER refuse ON payments")
    finally:
        await beside.close()
