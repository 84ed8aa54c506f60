"""The metric ``terminals``: ten thousand of them, signed in, on open connections.

Rules: a round is a window of one selling terminal alone, the arrival of all the others,
one message with a MAC of each (so that the gateway has every terminal and its keys at hand), and
a window of the same terminal beside them; then they are cut off and come again in the
next round, all at once. Memory is the resident set of the gateway's processes, the
most of all rounds over what it was after the first window alone; ``sign_in_all_s`` is
the slowest arrival, from the first connection opened to the last answer; ``p99_ratio``
is the median of the rounds' own ratios, since a round's two windows see the same machine.
"""

import asyncio
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.postgres import PostgresServer
from benchmarks.processes import BenchmarkError, Child, family, used_us
from benchmarks.scene import Scene
from benchmarks.windows import Load, Plan, Series, run_window

_PATIENCE_S: Final = 200.0
_SETTLE_S: Final = 1.0
_GUESS_PER_S: Final = 400.0


async def terminals(postgres: PostgresServer, plan: Plan, notes: list[str]) -> dict[str, float]:
    """Memory, time to sign in and a neighbour's latency."""
    alone, beside, added_mb, before_mb = Series(), Series(), 0.0, 0.0
    arrivals: list[dict[str, Any]] = []
    spoken: list[dict[str, Any]] = []
    async with Scene(postgres, "terminals", plan.terminals + 1) as scene:
        side = await scene.gateway_side("card", callers=1)
        side.expected_per_s = _GUESS_PER_S
        crowd = await scene.crowd(1)
        for _ in range(plan.windows):
            await run_window(scene, [(Load(side), alone)], plan)
            before_mb = before_mb or resident_mb(scene.gateway.pid)
            arrivals.append(await _arrive(scene, crowd))
            spoken.append(await crowd.ask({"speak": {}}, _PATIENCE_S))
            await asyncio.sleep(_SETTLE_S)
            added_mb = max(added_mb, resident_mb(scene.gateway.pid) - before_mb)
            await run_window(scene, [(Load(side), beside)], plan)
            await crowd.ask({"leave": {}}, _PATIENCE_S)
            await asyncio.sleep(_SETTLE_S)
        found = await scene.disagreements()
    notes += [f"{what}: {count}" for what, count in found.items()]
    crowds = [*arrivals, *spoken]
    notes += [f"terminals: {why}" for each in crowds for why in each["reasons"]]
    errors = alone.errors + beside.errors + sum(found.values())
    pairs = zip(alone.values("p99_ms"), beside.values("p99_ms"), strict=True)
    ratios = [after / before for before, after in pairs]
    return {
        "connected": min(each["approved"] for each in arrivals),
        "rss_added_mb": round(added_mb, 1),
        "sign_in_all_s": max(each["took_s"] for each in arrivals),
        "p99_ratio": round(statistics.median(ratios), 2),
        "errors": errors + sum(each["errors"] for each in crowds),
        "rss_before_mb": round(before_mb, 1),
        "sign_in_all_s_median": _median(arrivals, "took_s"),
        "gateway_cpu_us_per_sign_in": _median(arrivals, "cpu_us"),
        "postgres_cpu_us_per_sign_in": _median(arrivals, "postgres_cpu_us"),
        "crowd_cpu_us_per_sign_in": _median(arrivals, "crowd_cpu_us"),
        "alone_p50_ms": alone.median("p50_ms"),
        "alone_p99_ms": alone.median("p99_ms"),
        "beside_p50_ms": beside.median("p50_ms"),
        "beside_p99_ms": beside.median("p99_ms"),
        "foreign_cpu_percent": beside.median("foreign_cpu_percent"),
    }


async def _arrive(scene: Scene, crowd: Child) -> dict[str, Any]:
    """The crowd's figures, and the CPU that each sign-in took, µs."""
    watched = {
        "cpu_us": family(scene.gateway.pid),
        "postgres_cpu_us": family(scene.postgres.pid),
        "crowd_cpu_us": {crowd.pid},
    }
    before_us = {name: used_us(pids) for name, pids in watched.items()}
    figures = await crowd.ask({"arrive": {}}, _PATIENCE_S)
    signed_in = max(1, figures["approved"])
    used = {name: (used_us(watched[name]) - was) / signed_in for name, was in before_us.items()}
    return {**figures, **used}


def _median(arrivals: Sequence[Mapping[str, Any]], name: str) -> float:
    return round(float(statistics.median(each[name] for each in arrivals)), 2)


def resident_mb(pid: int) -> float:
    """The resident memory of a process and its descendants, MB."""
    total_kb = 0
    for member in family(pid):
        try:
            status = Path(f"/proc/{member}/status").read_text()
        except OSError as gone:
            raise BenchmarkError(f"process {member} is gone") from gone
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        total_kb += int(line.split()[1])
    return total_kb / 1024
