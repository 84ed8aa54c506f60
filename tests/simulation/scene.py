"""What every part of one simulated seed shares: time, faults, trace, histories."""

import asyncio
import contextvars
import random

from sandbox.world import World
from tests.simulation.clock_loop import ClockLoop
from tests.simulation.histories import Call, Histories
from tests.simulation.plan import CLEAN, Line, Plan, StoreFaults, source
from tests.simulation.trace import Trace

SOUND = StoreFaults()
SMALL_JUMP_S = 3.0
"""What leases must bear without a thought."""
START_MS = 1_795_000_000_000
"""The wall time at which every seed begins (2026-11-18)."""


class Scene:
    """One seed's stage."""

    def __init__(self, plan: Plan, loop: ClockLoop, world: World, *, keep_trace: bool) -> None:
        self.plan = plan
        self.loop = loop
        self.world = world
        self.trace = Trace(loop.time, keep=keep_trace)
        self.histories = Histories()
        self.outside = contextvars.Context()
        """Where the steps of the world run: no crash of a gateway stops them."""
        self.at_rest = False
        """Faults are over for good."""
        self._workers: dict[asyncio.Task[object], int] = {}
        self.histories.clocks_agree = plan.clock_jump_s <= SMALL_JUMP_S
        self._out = self._outages()
        self.pos_rng = self.source("pos")
        self.defects: list[str] = []
        """What the gateway itself called a fault of its own."""

    def called(self, kind: str, number: str) -> None:
        """Somebody is about to ask a channel something about a payment."""
        task = asyncio.current_task()
        if task is not None:
            worker = self._workers.setdefault(task, len(self._workers))
            self.histories.calls.append(Call(self.loop.time(), worker, kind, number))

    def source(self, name: str) -> random.Random:
        """The random source of a part."""
        return source(self.plan.seed, name)

    def now_ms(self) -> int:
        """The true wall time; a gateway's own clock may differ."""
        return START_MS + int(self.loop.time() * 1000)

    @property
    def faulty(self) -> bool:
        """Whether anything may still go wrong."""
        return not self.at_rest and self.loop.time() < self.plan.faults_until_s

    def line(self, name: str) -> Line:
        """The path as it is now."""
        path: Line = getattr(self.plan, name)
        return path if self.faulty else CLEAN

    def store_faults(self) -> StoreFaults:
        """What the store does now."""
        return self.plan.store if self.faulty else SOUND

    def _outages(self) -> list[tuple[float, float]]:
        """When the whole store is away, from its source, in order."""
        rng, faults = self.source("outages"), self.plan.store
        found, now_s = [], 0.0
        while faults.outage_every_s and now_s < self.plan.faults_until_s:
            now_s += rng.expovariate(1 / faults.outage_every_s)
            found.append((now_s, now_s + faults.outage_s * rng.random()))
            now_s = found[-1][1]
        return found

    def store_is_out(self) -> bool:
        """Whether the store is away just now."""
        now_s = self.loop.time()
        while self._out and self._out[0][1] <= now_s:
            self._out.pop(0)
        return bool(self._out) and self.faulty and self._out[0][0] <= now_s

    def delay_s(self, rng: random.Random, line: Line) -> float:
        """How long one message is under way on a path."""
        delay_s = line.latency_s * (0.5 + rng.random())
        if line.slow and rng.random() < line.slow:
            delay_s += rng.random() * line.slow_s
        return delay_s
