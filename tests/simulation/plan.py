"""What goes wrong in one seed, and how often: drawn once, before anything runs.

Rules: every fault is drawn from a source of its own, so that a change in one part of
the simulation does not shuffle the others; a seed leaves whole kinds of faults out
(some defects show only when little else goes wrong); after ``safe_until_s`` nothing
goes wrong any more.
"""

import random
from dataclasses import dataclass


def source(seed: int, name: str) -> random.Random:
    """The random source of one part of one seed."""
    return random.Random(f"{seed}:{name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A network path: chances per message, times in seconds."""

    loss: float = 0.0
    duplicate: float = 0.0
    reset: float = 0.0
    refused: float = 0.0
    slow: float = 0.0
    slow_s: float = 0.0
    garbled: float = 0.0
    forged: float = 0.0
    lies: float = 0.0
    stale: float = 0.0
    latency_s: float = 0.02


CLEAN = Line()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFaults:
    """Chances per statement or commit."""

    fail_before: float = 0.0
    fail_after: float = 0.0
    hang: float = 0.0
    hang_s: float = 0.0
    latency_s: float = 0.002
    outage_every_s: float = 0.0
    """Mean time between two outages of the whole store; 0: none."""
    outage_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One seed."""

    seed: int
    nodes: int
    terminals: int
    sales_each: int
    cashiers: int
    orders_each: int
    faults_until_s: float
    alipay: Line
    card: Line
    pos: Line
    api: Line
    merchant: Line
    store: StoreFaults
    crash_steps: int
    """Mean steps of a gateway between two crashes; 0: it never crashes."""
    max_crashes: int
    clock_jump_s: float
    """The largest jump of a gateway's wall clock; 0: none."""
    till_wait_s: float
    repeats: int
    """How often a terminal sends the same bytes at most."""
    live_orders: int = 0
    """Orders whose code is shown, for any wallet to pay."""
    daily_limit_fen: int = 0
    """What their store may take in a day; 0: no limit."""


def _line(rng: random.Random, *, trouble: float) -> Line:
    """A path with some of the troubles that paths have, the worst at ``trouble`` 1."""

    def some(chance: float, most: float) -> float:
        return round(rng.random() * most * trouble, 3) if rng.random() < chance else 0.0

    return Line(
        loss=some(0.7, 0.3),
        duplicate=some(0.5, 0.15),
        reset=some(0.5, 0.05),
        refused=some(0.4, 0.1),
        slow=some(0.6, 0.2),
        slow_s=round(rng.uniform(1.0, 40.0), 1),
        garbled=some(0.4, 0.06),
        forged=some(0.4, 0.1),
        lies=some(0.5, 0.06),
        stale=some(0.3, 0.05),
        latency_s=round(rng.choice((0.002, 0.02, 0.2)), 3),
    )


def _store(rng: random.Random) -> StoreFaults:
    def some(chance: float, most: float) -> float:
        return round(rng.random() * most, 4) if rng.random() < chance else 0.0

    return StoreFaults(
        fail_before=some(0.4, 0.03),
        fail_after=some(0.4, 0.03),
        hang=0.06 if rng.random() < 0.1 else some(0.5, 0.02),
        hang_s=round(rng.uniform(2.0, 60.0), 1),
        latency_s=rng.choice((0.0005, 0.002, 0.02)),
        outage_every_s=rng.choice((0.0, 0.0, 20.0, 60.0)),
        outage_s=round(rng.uniform(0.5, 12.0), 1),
    )


def draw(seed: int) -> Plan:
    """The plan of a seed."""
    rng = source(seed, "plan")
    trouble = rng.choice((0.2, 0.6, 1.0))
    is_calm = rng.random() < 0.05
    paths = [CLEAN if is_calm else _line(rng, trouble=trouble) for _ in range(5)]
    terminals = rng.randint(3, 5)
    cashiers = rng.randint(3, 5)
    flood = rng.random()
    return Plan(
        seed=seed,
        nodes=2 if rng.random() < 0.5 else 1,
        terminals=terminals,
        sales_each=50 // terminals,
        cashiers=cashiers,
        orders_each=50 // cashiers,
        faults_until_s=rng.uniform(40.0, 240.0),
        alipay=paths[0],
        card=paths[1],
        pos=paths[2],
        api=paths[3],
        merchant=paths[4],
        store=StoreFaults() if is_calm or rng.random() < 0.3 else _store(rng),
        crash_steps=0 if is_calm or rng.random() < 0.25 else rng.choice((150, 500, 1500, 4000)),
        max_crashes=rng.randint(1, 15),
        clock_jump_s=0.0 if is_calm or rng.random() < 0.6 else rng.choice((3.0, 60.0, 3700.0)),
        till_wait_s=rng.choice((20.0, 45.0, 45.0)),
        repeats=1000 if flood < 0.01 else 20 if flood < 0.08 else rng.choice((1, 2, 4)),
        live_orders=rng.choice((0, 0, 6, 10)),
        daily_limit_fen=rng.choice((0, 6000, 12_000)),
    )
