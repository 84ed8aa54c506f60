"""The metric ``card_link``: one account's link to the simulated card host, and nothing else.

Rules: two processes, the link's and the host's, on sockets; answers come out of order. The
host is Python as well, so it can be what limits the rate: the CPU time of each side for a
pair tells what one core of each would carry alone. Each window has numbers of its own, so
that every pair is a sale of its own; whatever is not approved is told by its code and fails
the metric.
"""

import statistics
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.postgres import PostgresServer
from benchmarks.processes import Child, own_cpu_ns
from benchmarks.windows import Plan

_CONNECTIONS: Final = 1
_MARGIN_S: Final = 60.0
_NUMBERS: Final = 10**6
"""Of each window: more than a link can use in it; a day has numbers for 26 of them."""
_F39: Final = 2
"""How long the host's own codes are."""


async def card_link(postgres: PostgresServer, plan: Plan, notes: list[str]) -> dict[str, float]:
    """Request and reply pairs through the adapter, answers out of order."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ready = folder / "host.json"
        host = await Child.start("host", "benchmarks.card_link_host", [str(ready)], folder)
        try:
            port = int((await host.ready(ready))["port"])
            plain = [
                await _window(host, port, plan, folder, "plain", place)
                for place in range(plan.windows)
            ]
            with_pin = await _window(host, port, plan, folder, "pin", plan.windows)
        finally:
            await host.stop()
    cpu_us = statistics.median(one["cpu_us"] for one in plain)
    host_us = statistics.median(one["host_us"] for one in plain)
    rates = [one["pairs_per_s"] for one in plain]
    declined, lost = refusals((*plain, with_pin), notes)
    return {
        "pairs_per_s": round(statistics.median(rates), 1),
        "pairs_per_s_lowest": round(min(rates), 1),
        "pairs_per_s_highest": round(max(rates), 1),
        "link_cpu_us_per_pair": round(cpu_us, 2),
        "pairs_per_s_of_a_core": round(1e6 / cpu_us, 1),
        "host_cpu_us_per_pair": round(host_us, 2),
        "link_cpu_us_per_pair_with_pin": round(with_pin["cpu_us"], 2),
        "connections": _CONNECTIONS,
        "in_flight": plan.callers,
        "declined": declined,
        "errors": declined + lost,
    }


def refusals(windows: Sequence[dict[str, Any]], notes: list[str]) -> tuple[int, int]:
    """How many pairs the host refused, and how many came to nothing; ``notes`` names them."""
    found: Counter[str] = Counter()
    for window in windows:
        found.update(window["refused"])
    if found:
        told = ", ".join(f"{count} × {code}" for code, count in found.most_common())
        notes.append(f"card_link: not every pair was an approval: {told}")
    declined = sum(count for code, count in found.items() if len(code) == _F39)
    return declined, found.total() - declined


async def _window(
    host: Child, port: int, plan: Plan, folder: Path, kind: str, place: int
) -> dict[str, Any]:
    first = str(place * _NUMBERS)
    arguments = [str(port), str(_CONNECTIONS), str(plan.callers), str(plan.seconds), kind, first]
    before_ns = own_cpu_ns(host.pid)
    caller = await Child.start(
        "caller", "benchmarks.card_link_caller", arguments, folder, piped=True
    )
    try:
        figures = await caller.hear(plan.seconds * 2 + _MARGIN_S)
    finally:
        await caller.stop()
    # the warm-up and the last answers are the host's, too: a quarter more than was measured
    pairs = figures["pairs_per_s"] * plan.seconds * 1.25
    return {**figures, "host_us": (own_cpu_ns(host.pid) - before_ns) / 1000 / max(1.0, pairs)}
