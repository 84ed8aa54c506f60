"""``kill -9`` under load, a few of each: ``make crash`` does it by the hundred.

The real thing in processes of its own. Terminals, cashiers and a merchant's endpoint note
what they see; afterwards that, the books and the channels' charges must agree.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.crash.campaign import Toll, kill_databases, kill_gateways, trouble_redis
from tests.crash.servers import MortalPostgres, MortalRedis
from tests.crash.site import Plan, Site

GATEWAY_KILLS = 10
"""On each of the two databases."""
DATABASE_KILLS = 3
ILL_FOR_S = 5
"""Refused notices are sent again after 15 s: early enough not to be waited for."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def _plan(store_url: str = "", workers: int = 1, nonces: str = "memory") -> Plan:
    small = Plan(tills=4, cashiers=2, ill_for_s=ILL_FOR_S, workers=workers, nonces=nonces)
    return replace(small, store_url=store_url) if store_url else small


@pytest.fixture
def server() -> Iterator[MortalPostgres]:
    """A PostgreSQL that may be killed; without fsync, for only processes die here."""
    made = MortalPostgres(fsync=False)
    try:
        made.create()
        yield made
    finally:
        made.destroy()


@pytest.fixture
def redis() -> Iterator[MortalRedis]:
    """A Redis that may be killed."""
    made = MortalRedis()
    made.start()
    yield made
    made.kill()


async def test_a_gateway_killed_at_random_moments_on_sqlite(tmp_path: Path) -> None:
    """Nothing that anybody saw is lost, and nobody is charged twice."""
    async with Site("sqlite", tmp_path, _plan()) as site:
        toll = Toll()
        await site.open()
        await kill_gateways(site, toll, GATEWAY_KILLS)
        assert await site.close_day() == []
    assert toll.gateway_kills == GATEWAY_KILLS
    assert site.meter.approvals > GATEWAY_KILLS


async def test_a_gateway_killed_at_random_moments_on_postgresql(
    tmp_path: Path, server: MortalPostgres
) -> None:
    """The same with the server's own transactions."""
    async with Site("postgresql", tmp_path, _plan(store_url=server.new_database())) as site:
        toll = Toll()
        await site.open()
        await kill_gateways(site, toll, GATEWAY_KILLS)
        assert await site.close_day() == []
    assert toll.gateway_kills == GATEWAY_KILLS
    assert site.meter.approvals > GATEWAY_KILLS


async def test_a_database_killed_under_a_living_gateway(
    tmp_path: Path, server: MortalPostgres
) -> None:
    """What was acknowledged is there, what was not is found out, and payments go on."""
    async with Site("databases", tmp_path, _plan(store_url=server.new_database())) as site:
        toll = Toll()
        await site.open()
        await kill_databases(site, toll, server, DATABASE_KILLS)
        assert await site.close_day() == []
    assert len(toll.database_waits_s) == DATABASE_KILLS


async def test_redis_flushed_killed_and_paused_under_two_workers(
    tmp_path: Path, server: MortalPostgres, redis: MortalRedis
) -> None:
    """Losing it costs answers for a moment, never money; a worker is killed as well."""
    plan = _plan(store_url=server.new_database(), workers=2, nonces=redis.url)
    async with Site("workers", tmp_path, plan) as site:
        toll = Toll()
        await site.open()
        await trouble_redis(site, toll, redis, 1)
        assert await site.close_day() == []
    assert (toll.redis_flushes, toll.redis_kills, toll.redis_pauses) == (1, 1, 1)
