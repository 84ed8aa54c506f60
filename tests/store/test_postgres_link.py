"""The hot path's connections to PostgreSQL: what they hold, and when they let go."""

import asyncio
import contextlib

import asyncpg
import pytest

from domain.errors import Unavailable
from gateway.store.database import Refused
from gateway.store.postgres_link import PostgresLink
from gateway.store.postgres_rows import advance_rows, claim_rows
from gateway.store.postgres_statements import ADVANCE, CLAIM
from tests.store.conftest import OpenStore
from tests.store.test_plain import paid
from tests.support.payments import sample_claim, sample_order, sample_reply


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


async def test_a_refused_transaction_leaves_the_connection_sound(
    postgres_url: str, open_store: OpenStore
) -> None:
    """It is taken back at once, not when something else is asked: nobody waits for its locks."""
    store, other = await open_store(postgres_url), await open_store(postgres_url)
    assert await store.claim(sample_claim(1))
    assert await store.save_reply(sample_reply("k1"))
    link: PostgresLink = store._plain._applier._link  # type: ignore[attr-defined]
    pid = link._connection.get_server_pid()
    with pytest.raises(Refused):
        await link.fetch_all(
            ((CLAIM, claim_rows([sample_claim(3)])), (ADVANCE, advance_rows([paid(1)])))
        )
    async with asyncio.timeout(5):
        assert await other.claim(sample_claim(3))
        assert await other.advance(paid(1, reply=None))
    assert await store.claim(sample_claim(4))
    assert link._connection.get_server_pid() == pid
    assert await other.payment_versions([sample_order(n).id for n in (1, 3, 4)]) == {
        sample_order(1).id: 2,
        sample_order(3).id: 1,
        sample_order(4).id: 1,
    }


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
