"""The metric ``events``: two thousand open event streams, and how soon they hear.

Rules: half of the readers follow a store each, half a payment each, in plain, as behind a proxy
that speaks TLS (a gateway that does so itself keeps some 24 KB more for each: ``…_tls_…``). Memory
is the resident set of the gateway's processes, the most of all windows over what it was once the
followed payments were made and refunds had been tried. ``delivery_p99_ms`` is from the time that
the move has in the payment's history, taken just before its commit, to the moment the reader has
read the event: so it counts the commit, the wait for the next look, and the way. Every state that a
follower must end up with was heard, or it is an error.
"""

import asyncio
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import asyncpg

from benchmarks.postgres import PostgresServer
from benchmarks.processes import BenchmarkError, family, own_cpu_ns
from benchmarks.scene import Scene
from benchmarks.terminals import resident_mb
from benchmarks.windows import Plan

_PATIENCE_S: Final = 300.0
_SETTLE_S: Final = 1.0
_MOVES_PER_S: Final = 20.0
_IDLE_S: Final = 3.0


async def events(postgres: PostgresServer, plan: Plan, notes: list[str]) -> dict[str, float]:
    """Memory of open streams, and how long a move takes to its reader."""
    plain = await _measured(postgres, plan, notes, {"http": {"tls": None}})
    under_tls = await _measured(postgres, replace(plan, windows=1), notes, {})
    return {
        **plain,
        "errors": plain["errors"] + under_tls["errors"],
        "rss_added_tls_mb": under_tls["rss_added_mb"],
        "delivery_p99_tls_ms": under_tls["delivery_p99_ms"],
    }


async def _measured(
    postgres: PostgresServer,
    plan: Plan,
    notes: list[str],
    settings: Mapping[str, Mapping[str, object]],
) -> dict[str, float]:
    """One scene of readers."""
    bounds = {"events": {"max_streams_per_merchant": plan.streams + 16}}
    waits_ms: list[float] = []
    added_mb, answers = 0.0, list[dict[str, Any]]()
    name = "events" if settings else "events_tls"
    async with Scene(postgres, name, 1, settings={**settings, **bounds}) as scene:
        audience = await scene.audience(plan.streams)
        answers.append(await audience.ask({"sell": {}}, _PATIENCE_S))
        await audience.ask({"drive": {"seconds": 1.0, "per_s": _MOVES_PER_S}}, _PATIENCE_S)
        before_mb = resident_mb(scene.gateway.pid)
        opened = await audience.ask({"listen": {}}, _PATIENCE_S)
        answers.append(opened)
        await asyncio.sleep(_SETTLE_S)
        idle_percent = await _busy_percent(scene)
        for _ in range(plan.windows):
            command = {"drive": {"seconds": plan.seconds, "per_s": _MOVES_PER_S}}
            driven = await audience.ask(command, plan.seconds + _PATIENCE_S)
            answers.append(driven)
            added_mb = max(added_mb, resident_mb(scene.gateway.pid) - before_mb)
            waits_ms += await _waits_ms(scene.dsn, driven, notes)
    if len(waits_ms) < 2:
        raise BenchmarkError("events: nothing was heard")
    notes += [f"events: {why}" for answer in answers for why in answer["reasons"]]
    ordered = sorted(waits_ms)
    return {
        "streams": opened["opened"],
        "rss_added_mb": round(added_mb, 1),
        "delivery_p99_ms": round(ordered[int(len(ordered) * 0.99)], 1),
        "errors": sum(answer["errors"] for answer in answers),
        "delivery_p50_ms": round(statistics.median(ordered), 1),
        "delivery_max_ms": round(ordered[-1], 1),
        "heard": len(ordered),
        "rss_before_mb": round(before_mb, 1),
        "open_all_s": opened["took_s"],
        "idle_cpu_percent": round(idle_percent, 1),
    }


async def _busy_percent(scene: Scene) -> float:
    """What the gateway takes of a core while all its readers wait."""
    pids = family(scene.gateway.pid)
    before_ns = sum(map(own_cpu_ns, pids))
    await asyncio.sleep(_IDLE_S)
    return (sum(map(own_cpu_ns, pids)) - before_ns) / _IDLE_S / 1e7


async def _waits_ms(dsn: str, driven: Mapping[str, Any], notes: list[str]) -> Sequence[float]:
    """From each state's time in its payment's history to its reader's."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            "SELECT payment_id, sequence, at_ms FROM payment_events WHERE payment_id = ANY ($1)",
            driven["moved"],
        )
    finally:
        await connection.close()
    times = {(row[0], row[1]): row[2] for row in rows}
    newest: dict[str, int] = {}
    for payment_id, sequence in times:
        newest[payment_id] = max(sequence, newest.get(payment_id, 0))
    heard = {(payment_id, version): at for payment_id, version, at in driven["heard"]}
    missed = sum(state not in heard for state in newest.items())
    if missed:
        notes.append(f"events: {missed} payments whose last state was not heard")
    return [at - times[state] for state, at in heard.items() if state in times]
