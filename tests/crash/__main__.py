"""``make crash``: kill -9 of gateways, databases and Redis under load, then compare.

Three installations, one after the other, so that what is measured is not the others'
work: SQLite with half of the gateway kills; PostgreSQL with the other half, which then
loses its server as well; two workers with their nonces in Redis, which is flushed, killed
and paused. Ends with one line of figures; the exit status is 0 only if nothing was
violated and no restart took longer than promised.
"""

import argparse
import asyncio
import os
import platform
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

import orjson

from benchmarks.processes import BenchmarkError
from tests.crash.campaign import (
    Toll,
    kill_databases,
    kill_gateways,
    report,
    trouble_redis,
)
from tests.crash.checker import Violation
from tests.crash.servers import MortalPostgres, MortalRedis
from tests.crash.site import Plan, Site

FIRST_PAYMENT_S: Final = 3.0
"""The promise: how long a restarted gateway or database keeps payments waiting at most."""
_SHOWN: Final = 40
_TELL_S: Final = 30.0


async def run(kills: int, database_kills: int, redis_rounds: int, seed: int) -> dict[str, Any]:
    """All three installations; their reports by name."""
    folder = Path(tempfile.mkdtemp(prefix="posgate-crash-"))
    server = MortalPostgres(fsync=True)
    reports: dict[str, Any] = {}
    try:
        await asyncio.to_thread(server.create)
        reports["sqlite"] = await _on_sqlite(folder, kills - kills // 2, seed)
        reports["postgresql"] = await _on_postgres(folder, server, kills // 2, database_kills, seed)
        if redis_rounds:
            reports["two workers"] = await _with_redis(folder, server, redis_rounds, seed)
    finally:
        await asyncio.to_thread(server.destroy)
        if all(not report["violations"] for report in reports.values()) and reports:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"logs are kept in {folder}", file=sys.stderr)  # noqa: T201
    return reports


async def _on_sqlite(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    async with Site("sqlite", folder, Plan(seed=seed)) as site:
        toll = Toll()
        return await _endured(site, toll, kill_gateways(site, toll, kills))


async def _on_postgres(
    folder: Path, server: MortalPostgres, kills: int, database_kills: int, seed: int
) -> dict[str, Any]:
    url = await asyncio.to_thread(server.new_database)
    async with Site("postgresql", folder, Plan(store_url=url, seed=seed)) as site:
        toll = Toll()

        async def strikes() -> None:
            await kill_gateways(site, toll, kills)
            await kill_databases(site, toll, server, database_kills)

        return await _endured(site, toll, strikes())


async def _with_redis(
    folder: Path, server: MortalPostgres, rounds: int, seed: int
) -> dict[str, Any]:
    redis = MortalRedis()
    await asyncio.to_thread(redis.start)
    try:
        url = await asyncio.to_thread(server.new_database)
        plan = Plan(store_url=url, workers=2, nonces=redis.url, seed=seed)
        async with Site("two-workers", folder, plan) as site:
            toll = Toll()
            return await _endured(site, toll, trouble_redis(site, toll, redis, rounds))
    finally:
        await asyncio.to_thread(redis.kill)


async def _endured(site: Site, toll: Toll, strikes: Coroutine[Any, Any, None]) -> dict[str, Any]:
    """Open, strike, close, check; a gateway that does not come back is a violation, too."""
    telling = asyncio.create_task(_tell(site, toll))
    try:
        await site.open()
        await strikes
        found = await site.close_day()
    except BenchmarkError as error:
        found = [Violation("restart", site.name, str(error))]
    finally:
        strikes.close()
        telling.cancel()
    return report(site, toll, found)


async def _tell(site: Site, toll: Toll) -> None:
    """A line now and then for who watches."""
    while True:
        await asyncio.sleep(_TELL_S)
        redis = toll.redis_flushes + toll.redis_kills + toll.redis_pauses
        print(  # noqa: T201
            f"{site.name}: {toll.gateway_kills} gateway kills, {toll.database_kills} database "
            f"kills, {redis} Redis faults, {site.meter.approvals} approvals, "
            f"{len(site.history.faults)} faults seen",
            file=sys.stderr,
        )


def _line(reports: dict[str, Any], took_s: float) -> tuple[str, bool]:
    """The one line, and whether the promises were kept."""

    def total(name: str) -> int:
        return sum(int(report[name]) for report in reports.values())

    waits = [
        report["first_payment_s"][kind]
        for report in reports.values()
        for kind in ("after_gateway", "after_database")
        if report["first_payment_s"][kind]
    ]
    slowest_s = max((wait["max"] for wait in waits), default=0.0)
    found = sum(len(report["violations"]) for report in reports.values())
    redis = sum(sum(report["redis"].values()) for report in reports.values())
    workers = total("worker_kills") + total("keeper_kills")
    line = (
        f"crash: {total('gateway_kills')} gateway kills, {total('database_kills')} database "
        f"kills, {redis} Redis faults and {workers} kills of workers and keepers in {took_s:.0f} s; "
        f"{total('terminal_sales')} sales, {total('merchant_payments')} payments, "
        f"{total('refunds')} refunds, {total('notices_heard')} notices; first payment after a "
        f"restart: median {max((wait['median'] for wait in waits), default=0.0):.2f} s, "
        f"max {slowest_s:.2f} s (promised {FIRST_PAYMENT_S:.0f} s); {found} violations"
    )
    return line, not found and slowest_s <= FIRST_PAYMENT_S


def _machine() -> dict[str, Any]:
    return {
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def main() -> int:
    """Read the options, run, print and write the figures."""
    parser = argparse.ArgumentParser(prog="make crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--database-kills", type=int, default=50)
    parser.add_argument("--redis-rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--output", type=Path, default=Path("crash.json"))
    asked = parser.parse_args()
    machine, started_s = _machine(), time.monotonic()
    reports = asyncio.run(run(asked.kills, asked.database_kills, asked.redis_rounds, asked.seed))
    took_s = time.monotonic() - started_s
    line, is_kept = _line(reports, took_s)
    figures = {"machine": machine, "seed": asked.seed, "took_s": round(took_s, 1)}
    asked.output.write_bytes(
        orjson.dumps({**figures, "runs": reports}, option=orjson.OPT_INDENT_2) + b"\n"
    )
    for name, told in reports.items():
        for violation in told["violations"][:_SHOWN]:
            print(f"{name}: {violation}")  # noqa: T201
    print(line)  # noqa: T201
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
