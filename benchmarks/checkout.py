"""The metric ``checkout``: the payer's page, and the way from the wallet to the order.

Rules: one gateway process, TLS, PostgreSQL, the log at level info, as in production; only the
page's rate limits are put out of the way, since one machine is every payer. Renders are the
form of a printed code for wallets that are logged in: the code is read from the store each
time, the form sealed anew. A payer counts from his wallet's return to the parameters of its
bridge: the exchange at the (simulated) wallet, the form, the press, three commits and the
order at the channel.
"""

import statistics
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from benchmarks.postgres import PostgresServer
from benchmarks.processes import Child, family, used_us
from benchmarks.scene import Scene
from benchmarks.windows import Load, Plan, Series, run_window

RENDER_RATE: Final = 300.0
ORDER_RATE: Final = 50.0
_PAYERS: Final = 64
_PATIENCE_S: Final = 120.0
_WIDE: Final = 90_000
_SETTINGS: Final[Mapping[str, Mapping[str, object]]] = MappingProxyType(
    {
        "http": {"public_url": "https://pay.example.com"},
        "pages": {
            "code_per_s": float(_WIDE),
            "code_burst": _WIDE,
            "address_per_s": float(_WIDE),
            "address_burst": _WIDE,
            "code_presses_per_s": float(_WIDE),
            "code_presses_burst": _WIDE,
            "address_presses_per_s": float(_WIDE),
            "address_presses_burst": _WIDE,
        },
    }
)


async def checkout(postgres: PostgresServer, plan: Plan, notes: list[str]) -> dict[str, float]:
    """Renders at saturation and at 300/s; orders at 50/s."""
    full, steady = Series(), Series()
    walks: list[dict[str, Any]] = []
    async with Scene(postgres, "checkout", _PAYERS, settings=_SETTINGS) as scene:
        code_id = await scene.print_code()
        walkers = await scene.page_walkers(code_id, _PAYERS)
        cookies = (await walkers.ask({"sessions": {}}, _PATIENCE_S))["cookies"]
        side = await scene.page_side(code_id, cookies)
        for _ in range(plan.windows):
            await run_window(scene, [(Load(side), full)], plan)
            await run_window(scene, [(Load(side, RENDER_RATE), steady)], plan)
            walks.append(await _walk(scene, walkers, plan.seconds))
    for series in (full, steady):
        notes += [f"page refused: {why} ({count} ×)" for why, count in series.reasons.items()]
    notes += [f"walk: {why}" for walk in walks for why in walk["reasons"]]
    return {
        "renders_per_s": full.median("payments_per_s"),
        "p99_ms": full.median("p99_ms"),
        "p99_at_300_ms": steady.median("p99_ms"),
        "scan_to_order_p99_ms": _median(walks, "p99_ms"),
        "errors": full.errors + steady.errors + sum(walk["errors"] for walk in walks),
        "scan_to_order_p50_ms": _median(walks, "p50_ms"),
        "gateway_cpu_us_per_order": _median(walks, "cpu_us"),
        "sandbox_cpu_us_per_order": _median(walks, "sandbox_cpu_us"),
        "postgres_cpu_us_per_order": _median(walks, "postgres_cpu_us"),
        "p50_at_300_ms": steady.median("p50_ms"),
        "gateway_cpu_us_per_render": full.median("cpu_us"),
        "postgres_cpu_us_per_render": full.median("postgres_cpu_us"),
        "load_cpu_us_per_render": full.median("load_cpu_us"),
        "foreign_cpu_percent": full.median("foreign_cpu_percent"),
    }


async def _walk(scene: Scene, walkers: Child, seconds: float) -> dict[str, Any]:
    """The walkers' figures, and the CPU that each order took, µs."""
    watched = {
        "cpu_us": family(scene.gateway.pid),
        "sandbox_cpu_us": family(scene.sandbox.pid),
        "postgres_cpu_us": family(scene.postgres.pid),
    }
    before_us = {name: used_us(pids) for name, pids in watched.items()}
    walk = {"rate": ORDER_RATE, "seconds": seconds}
    figures = await walkers.ask({"walk": walk}, seconds + _PATIENCE_S)
    orders = max(1, figures["orders"])
    used = {name: (used_us(watched[name]) - was) / orders for name, was in before_us.items()}
    return {**figures, **used}


def _median(walks: list[dict[str, Any]], name: str) -> float:
    return round(statistics.median(float(walk[name]) for walk in walks), 2)
