"""A channel is away for minutes while thousands of payments are in flight; then it is back.

Rules:

* Everything is real: a gateway process, PostgreSQL, and the sandbox, which hangs up on
  every call during the outage. Every second payment of the crowd was charged before it
  hung up, the others never arrived. The outage stands for as long as ``outage_s`` says:
  nobody's clock is moved.
* The account has a budget of 300 requests a second. What came is counted at the
  sandbox, second by second.
* The breaker is told to bear more failures than the payments and their queries make: with its
  default it would let a few hundred begin and refuse the rest, and there would be nothing to
  measure. Once it is open it works as always.
* New payments come at a steady rate before the outage and from the moment that the
  channel takes payments again, on the same account. "Final" counts from the moment
  that the sandbox answers again.
* After it, the books are compared with ``GET /charges``, number by number.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import asyncpg

from benchmarks.books import Heard
from benchmarks.postgres import PostgresServer
from benchmarks.processes import BenchmarkError, own_cpu_ns
from benchmarks.scene import Scene, Side
from benchmarks.windows import Load, Plan, Series, run_window
from domain.payment import UNSETTLED
from gateway.cli.tuning import Tuning

CALLS_PER_S: Final = 300
_STEADY_PER_S: Final = 100.0
_CROWD_PER_S: Final = 250.0
_CROWD_CALLERS: Final = 512
_SPARE: Final = 1.02
_PATIENCE_S: Final = 600.0
_PEEK_S: Final = 0.2
_SECOND_S: Final = 1.0
_LONGEST_WINDOW_S: Final = 20.0
_HANGS_UP: Final[list[dict[str, object]]] = [
    {"kind": "close", "match": "alipay.trade.pay", "stage": "before", "every": 2},
    {"kind": "close", "match": "alipay.trade.pay", "stage": "after"},
    {"kind": "close", "stage": "before"},
]


@dataclass(frozen=True, slots=True)
class Span:
    """The payments made from ``from_ms`` until ``until_ms``: those of the outage."""

    dsn: str
    from_ms: int
    until_ms: int


class Returned:
    """What was seen after the channel was back."""

    def __init__(self) -> None:
        self.final_after_s = 0.0
        self.calls: list[float] = []
        self.left = 0
        self.cpu_percent = 0.0
        """Of one core, the gateway's."""

    def mean_calls_per_s(self) -> float:
        """Over all whole seconds until everything was final."""
        return round(sum(self.calls) / max(1, len(self.calls)), 1)


async def outage(postgres: PostgresServer, plan: Plan, notes: list[str]) -> dict[str, float]:
    """See the module."""
    tuning = Tuning(alipay_calls_per_s=str(CALLS_PER_S))
    settings = {
        "channels": {"breaker_failures": 20 * plan.outage_payments},
        "payments": {"max_in_flight": 2 * plan.outage_payments + 1000},
    }
    async with Scene(postgres, "outage", plan.callers, tuning, settings) as scene:
        crowd = await scene.gateway_side("barcode", callers=_CROWD_CALLERS, wait_s=1)
        before, during = Series(), Series()
        window = replace(plan, seconds=_window_s(plan))
        await run_window(scene, [(await _steady(scene), before)], window)
        began_s, began_ms = time.monotonic(), int(time.time() * 1000)
        await _faults(scene, _HANGS_UP)
        await _crowd(crowd, plan.outage_payments)
        await asyncio.sleep(began_s + plan.outage_s - time.monotonic())
        steady = await _steady(scene)  # the first one's connections were idle for too long
        span = Span(scene.dsn, began_ms, int(time.time() * 1000))
        unknown = await _count_open(span)
        await _faults(scene, [])
        watching = asyncio.create_task(_watch(scene, span))
        await _taking_payments(scene)
        await run_window(scene, [(steady, during)], window)
        seen = await watching
        ends = await _ends(span)
        found = await scene.disagreements()
    notes += [f"{what}: {count}" for what, count in found.items()]
    for series in (before, during):
        notes += [f"answer refused: {why} ({count} ×)" for why, count in series.reasons.items()]
    p99_before, p99_while = before.median("p99_ms"), during.median("p99_ms")
    return {
        "unknown": unknown,
        "outage_s": plan.outage_s,
        "final_after_s": seen.final_after_s,
        "channel_calls_per_s": seen.mean_calls_per_s(),
        "channel_calls_per_s_highest": max(seen.calls, default=0.0),
        "p99_ms_before": p99_before,
        "p99_ms_while": p99_while,
        "p99_ratio": round(p99_while / max(0.001, p99_before), 2),
        "p50_ms_before": before.median("p50_ms"),
        "p50_ms_while": during.median("p50_ms"),
        "gateway_cpu_percent": seen.cpu_percent,
        "foreign_cpu_percent_before": before.median("foreign_cpu_percent"),
        "foreign_cpu_percent_while": during.median("foreign_cpu_percent"),
        "still_open": seen.left,
        **{f"ended_{status}": count for status, count in ends.items()},
        "errors": before.errors + during.errors + seen.left + sum(found.values()),
    }


async def _steady(scene: Scene) -> Load:
    return Load(await scene.gateway_side("barcode"), _STEADY_PER_S)


def _window_s(plan: Plan) -> float:
    """Shorter than recovery is sure to take: a call for each, with what payments leave over."""
    recovering_s = plan.outage_payments / (CALLS_PER_S - _STEADY_PER_S)
    return min(_LONGEST_WINDOW_S, max(1.0, recovering_s - plan.warm_s))


async def _crowd(side: Side, count: int) -> None:
    """So many payments, none of which can be told anything."""
    seconds = count * _SPARE / _CROWD_PER_S
    await side.load.ask({"prepare": int(count * _SPARE)}, _PATIENCE_S)
    begin_s = time.monotonic() + 0.3
    window = {"begin_s": begin_s, "measure_s": begin_s, "end_s": begin_s + seconds}
    figures = await side.load.ask(
        {"window": {**window, "rate": _CROWD_PER_S}}, seconds + _PATIENCE_S
    )
    side.heard = Heard(figures["approved"], figures["in_flight"])


async def _watch(scene: Scene, span: Span) -> Returned:
    """Requests at the channel in each second, until nothing of the outage is open."""
    seen, start_s = Returned(), time.monotonic()
    cpu_ns = own_cpu_ns(scene.gateway.pid)
    calls, since_s = await _calls(scene), start_s
    while True:
        await asyncio.sleep(_PEEK_S)
        now_s = time.monotonic()
        seen.left = await _count_open(span)
        seen.final_after_s = round(now_s - start_s, 1)
        if now_s - since_s >= _SECOND_S:
            total = await _calls(scene)
            seen.calls.append(round((total - calls) / (now_s - since_s), 1))
            calls, since_s = total, now_s
        if not seen.left or now_s - start_s > _PATIENCE_S:
            used_s = (own_cpu_ns(scene.gateway.pid) - cpu_ns) / 1e9
            seen.cpu_percent = round(100 * used_s / (now_s - start_s), 1)
            return seen


async def _taking_payments(scene: Scene) -> None:
    """Wait until the gateway says that the account's channel is ready."""
    until_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until_s:
        answer = await scene.ask_gateway("/readyz")
        if answer["channels"]["alipay-1"]["ready"]:
            return
        await asyncio.sleep(_PEEK_S)
    raise BenchmarkError("the channel is back and the gateway does not take payments")


async def _count_open(span: Span) -> int:
    rows = await _query(
        span.dsn,
        "SELECT count(*) FROM payments WHERE created_at_ms BETWEEN $1 AND $2 AND status = ANY ($3)",
        span.from_ms,
        span.until_ms,
        [status.value for status in UNSETTLED],
    )
    return int(rows[0][0])


async def _ends(span: Span) -> dict[str, int]:
    rows = await _query(
        span.dsn,
        "SELECT status, count(*) FROM payments WHERE created_at_ms BETWEEN $1 AND $2 "
        "GROUP BY status ORDER BY status",
        span.from_ms,
        span.until_ms,
    )
    return {str(status): int(count) for status, count in rows}


async def _query(dsn: str, sql: str, *values: object) -> list[Any]:
    connection: Any = await asyncpg.connect(dsn)
    try:
        return list(await connection.fetch(sql, *values))
    finally:
        await connection.close()


async def _calls(scene: Scene) -> int:
    return int((await scene.ask_sandbox("/calls"))["alipay"])


async def _faults(scene: Scene, rules: Sequence[Mapping[str, object]]) -> None:
    await scene.ask_sandbox("/faults", {"channel": "alipay", "rules": list(rules)})
