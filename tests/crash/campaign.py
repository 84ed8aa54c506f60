"""The kills themselves: at random moments, and how long each kept payments waiting."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.crash.checker import Violation
from tests.crash.servers import MortalPostgres, MortalRedis
from tests.crash.site import Site

_WHILE_STARTING: Final = 0.15
"""How many of the kills strike before the restarted gateway has taken a payment."""
_STARTING_S: Final = 1.5
_SERVING_S: Final = 0.8
_DEAD_S: Final = 0.2
_PAUSE_S: Final = 2.0


@dataclass(slots=True)
class Toll:
    """What was killed, and the waits for the first payment after each restart, s."""

    gateway_kills: int = 0
    while_starting: int = 0
    worker_kills: int = 0
    keeper_kills: int = 0
    database_kills: int = 0
    redis_flushes: int = 0
    redis_kills: int = 0
    redis_pauses: int = 0
    gateway_waits_s: list[float] = field(default_factory=list)
    keeper_waits_s: list[float] = field(default_factory=list)
    """While the workers that lost their keeper drain, beside the new ones."""
    database_waits_s: list[float] = field(default_factory=list)
    database_starts_s: list[float] = field(default_factory=list)
    """How much of a wait was PostgreSQL's own start and recovery."""
    redis_waits_s: list[float] = field(default_factory=list)


async def kill_gateways(site: Site, toll: Toll, kills: int) -> None:
    """Kill the gateway ``kills`` times; ends with one that takes payments."""
    rng, started_s = site.rng, 0.0
    for _ in range(kills):
        if started_s and rng.random() < _WHILE_STARTING:
            toll.while_starting += 1
            await asyncio.sleep(rng.uniform(0, _STARTING_S))
        else:
            if started_s:
                toll.gateway_waits_s.append(await site.first_payment(started_s))
            await asyncio.sleep(rng.uniform(0, _SERVING_S))
        await site.kill_gateway()
        toll.gateway_kills += 1
        await asyncio.sleep(rng.uniform(0, _DEAD_S))
        started_s = await site.start_gateway()
    if started_s:
        toll.gateway_waits_s.append(await site.first_payment(started_s))


async def kill_databases(site: Site, toll: Toll, server: MortalPostgres, kills: int) -> None:
    """Kill PostgreSQL under the living gateway ``kills`` times."""
    rng = site.rng
    for _ in range(kills):
        await asyncio.sleep(rng.uniform(0.1, 2 * _SERVING_S))
        await asyncio.to_thread(server.kill)
        toll.database_kills += 1
        await asyncio.sleep(rng.uniform(0, 2 * _DEAD_S))
        started_s = time.monotonic()
        await asyncio.to_thread(server.start)
        toll.database_starts_s.append(time.monotonic() - started_s)
        toll.database_waits_s.append(await site.first_payment(started_s))


async def trouble_redis(site: Site, toll: Toll, server: MortalRedis, rounds: int) -> None:
    """Flush, kill and pause Redis in turn, kill a worker and their keeper, ``rounds`` times."""
    for _ in range(rounds):
        for strike in (_flush, _kill, _pause):
            await asyncio.sleep(site.rng.uniform(0.1, _SERVING_S))
            over_s = await strike(site, toll, server)
            toll.redis_waits_s.append(await site.first_payment(over_s, "api"))
        site.kill_worker()
        toll.worker_kills += 1
        await asyncio.sleep(site.rng.uniform(0.1, _SERVING_S))
        await site.kill_gateway()
        toll.keeper_kills += 1
        started_s = await site.start_gateway()
        toll.keeper_waits_s.append(await site.first_payment(started_s))


async def _flush(site: Site, toll: Toll, server: MortalRedis) -> float:
    toll.redis_flushes += 1
    site.forgotten += 1
    await asyncio.to_thread(server.flush)
    site.forgotten += 1  # whoever sent a nonce before the flush and looks after it is warned
    return time.monotonic()


async def _kill(site: Site, toll: Toll, server: MortalRedis) -> float:
    toll.redis_kills += 1
    site.forgotten += 1
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(site.rng.uniform(0, _DEAD_S))
    await asyncio.to_thread(server.start)
    return time.monotonic()


async def _pause(site: Site, toll: Toll, server: MortalRedis) -> float:
    toll.redis_pauses += 1
    server.pause()
    await asyncio.sleep(_PAUSE_S)
    server.go_on()
    return time.monotonic()


def report(site: Site, toll: Toll, found: Sequence[Violation]) -> dict[str, Any]:
    """The figures of one installation."""
    history = site.history
    return {
        "gateway_kills": toll.gateway_kills,
        "of_them_while_starting": toll.while_starting,
        "worker_kills": toll.worker_kills,
        "keeper_kills": toll.keeper_kills,
        "database_kills": toll.database_kills,
        "redis": {
            "flushes": toll.redis_flushes,
            "kills": toll.redis_kills,
            "pauses": toll.redis_pauses,
        },
        "first_payment_s": {
            "after_gateway": _summary(toll.gateway_waits_s),
            "after_keeper": _summary(toll.keeper_waits_s),
            "after_database": _summary(toll.database_waits_s),
            "of_it_database_start": _summary(toll.database_starts_s),
            "after_redis": _summary(toll.redis_waits_s),
        },
        "terminal_sales": len(history.sales),
        "merchant_payments": len(history.bills),
        "refunds": sum(1 for _ in history.refunds()),
        "notices_heard": len(history.notices),
        "approvals": site.meter.approvals,
        "counts": dict(sorted(history.counts.items())),
        "violations": [str(violation) for violation in found],
    }


def _summary(waits_s: Sequence[float]) -> dict[str, float]:
    if not waits_s:
        return {}
    ordered = sorted(waits_s)
    return {
        "count": len(ordered),
        "median": round(statistics.median(ordered), 3),
        "p95": round(ordered[int(0.95 * (len(ordered) - 1))], 3),
        "max": round(ordered[-1], 3),
    }
