"""The metric ``repeats``: card sales beside a merchant's program that sends its payments again.

Rules: a round is a window of card sales alone, and one beside sixteen callers who send the same
few payments by code again and again, signed anew each time. The ratio is the median of the rounds'
own, since a round's two windows see the same machine. Each repeat must be answered as its payment
was, and be charged once.
"""

import statistics
from typing import Final

from benchmarks.books import Heard
from benchmarks.postgres import PostgresServer
from benchmarks.scene import Scene
from benchmarks.windows import Load, Plan, Series, run_window

_CARD_RATE: Final = 1_200.0
_REPEAT_RATE: Final = 300.0
_CALLERS: Final = 16
_ORDERS: Final = 3


async def repeats(postgres: PostgresServer, plan: Plan, notes: list[str]) -> dict[str, float]:
    """What one who repeats costs the others."""
    alone, beside, repeated = Series(), Series(), Series()
    callers = min(_CALLERS, plan.callers)
    async with Scene(postgres, "repeats", plan.callers) as scene:
        card = Load(await scene.gateway_side("card"), _CARD_RATE)
        side = await scene.gateway_side("barcode", callers=callers, orders=_ORDERS)
        for _ in range(plan.windows):
            await run_window(scene, [(card, alone)], plan)
            await run_window(scene, [(card, beside), (Load(side, _REPEAT_RATE), repeated)], plan)
        side.heard = Heard(approved=callers * _ORDERS)  # however often each was heard
        found = await scene.disagreements()
    notes += [f"{what}: {count}" for what, count in found.items()]
    all_series = (alone, beside, repeated)
    for series in all_series:
        notes += [f"answer refused: {why} ({count} ×)" for why, count in series.reasons.items()]
    pairs = zip(alone.values("p50_ms"), beside.values("p50_ms"), strict=True)
    return {
        "repeats_per_s": repeated.median("payments_per_s"),
        "p50_ratio": round(statistics.median(after / before for before, after in pairs), 2),
        "errors": sum(series.errors for series in all_series) + sum(found.values()),
        "alone_p50_ms": alone.median("p50_ms"),
        "alone_p99_ms": alone.median("p99_ms"),
        "beside_p50_ms": beside.median("p50_ms"),
        "beside_p99_ms": beside.median("p99_ms"),
        "foreign_cpu_percent": beside.median("foreign_cpu_percent"),
    }
