"""Measured stretches of time.

Rules: a window begins with a warm-up that is not measured; every process of the scene
is counted by its CPU time over exactly the measured part; several windows are run and
the median told; where there is a floor, its windows lie between the gateway's, so that
both see the same machine.
"""

import asyncio
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.books import Heard
from benchmarks.processes import family, machine_cpu_us, used_us
from benchmarks.scene import Scene, Side

_HEAD_START_S: Final = 0.3
_ANSWER_MARGIN_S: Final = 60.0
_SPARE: Final = 1.15
_FIRST_GUESS_PER_S: Final = {"card": 12_000.0, "barcode": 3_000.0, "page": 3_000.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long and with how many callers to measure."""

    seconds: float = 5.0
    windows: int = 3
    warm_s: float = 1.5
    callers: int = 128
    outage_payments: int = 10_000
    outage_s: float = 600.0
    terminals: int = 10_000
    streams: int = 2_000
    reconcile_lines: int = 5_000_000


@dataclass(frozen=True, slots=True)
class Load:
    """A side and its rate per second, 0 for saturation."""

    side: Side
    rate: float = 0.0


class Series:
    """The windows of one load, and what is told of them."""

    def __init__(self) -> None:
        self._windows: list[dict[str, float]] = []
        self.errors = 0
        self.reasons: dict[str, int] = {}

    def add(self, figures: dict[str, Any], cpu_us: dict[str, float], foreign: float) -> None:
        """Take one window's figures; ``foreign`` is the CPU share of everybody else."""
        self.errors += figures["errors"]
        for reason, count in figures["reasons"].items():
            self.reasons[reason] = self.reasons.get(reason, 0) + count
        payments = max(1, figures["payments"])
        numbers = {name: figures[name] for name in ("payments_per_s", "p50_ms", "p99_ms")}
        cpu = {name: used / payments for name, used in cpu_us.items()}
        self._windows.append({**numbers, **cpu, "foreign_cpu_percent": foreign})

    def median(self, name: str) -> float:
        """The median over the windows."""
        return round(statistics.median(window[name] for window in self._windows), 2)

    def values(self, name: str) -> list[float]:
        """Each window's own, in order."""
        return [window[name] for window in self._windows]

    def span(self, name: str) -> tuple[float, float]:
        """The lowest and the highest of the windows."""
        values = self.values(name)
        return min(values), max(values)


async def run_window(scene: Scene, loads: Sequence[tuple[Load, Series]], plan: Plan) -> None:
    """One window of all ``loads`` at once; each one's figures go to its series."""
    for load, _ in loads:
        side = load.side
        per_s = load.rate or side.expected_per_s or _FIRST_GUESS_PER_S[side.door]
        count = int(per_s * (plan.warm_s + plan.seconds) * _SPARE)
        await side.load.ask({"prepare": count}, _ANSWER_MARGIN_S)
    begin_s = time.monotonic() + _HEAD_START_S
    measure_s = begin_s + plan.warm_s
    end_s = measure_s + plan.seconds
    times = {"begin_s": begin_s, "measure_s": measure_s, "end_s": end_s}
    watched = {
        "cpu_us": set().union(*(family(load.side.server_pid) for load, _ in loads)),
        "sandbox_cpu_us": family(scene.sandbox.pid),
        "postgres_cpu_us": family(scene.postgres.pid),
        "load_cpu_us": {load.side.load.pid for load, _ in loads},
    }
    patience_s = plan.warm_s + plan.seconds + _ANSWER_MARGIN_S
    all_ours = {*family(os.getpid()), *watched["postgres_cpu_us"]}
    (cpu_us, foreign), *answers = await asyncio.gather(
        _cpu_between(watched, all_ours, measure_s, end_s),
        *(
            load.side.load.ask({"window": {**times, "rate": load.rate}}, patience_s)
            for load, _ in loads
        ),
    )
    for (load, series), figures in zip(loads, answers, strict=True):
        approved = load.side.heard.approved + figures["approved"]
        load.side.heard = Heard(approved, figures["in_flight"])
        load.side.expected_per_s = figures["payments_per_s"]
        series.add(figures, cpu_us, foreign)


async def _cpu_between(
    watched: dict[str, set[int]], all_ours: set[int], from_s: float, until_s: float
) -> tuple[dict[str, float], float]:
    """CPU time, µs, of each group between two moments, and everybody else's share, %."""
    await asyncio.sleep(from_s - time.monotonic())
    before = {name: used_us(pids) for name, pids in watched.items()}
    others_before_us = machine_cpu_us() - used_us(all_ours)
    await asyncio.sleep(until_s - time.monotonic())
    used = {name: used_us(pids) - before[name] for name, pids in watched.items()}
    others_us = machine_cpu_us() - used_us(all_ours) - others_before_us
    capacity_us = (until_s - from_s) * 1e6 * (os.cpu_count() or 1)
    return used, max(0.0, 100 * others_us / capacity_us)
