"""One seed from its plan to its verdict; ``python -m tests.simulation.run`` runs many.

A failure prints its seed, and ``make simulate SEED=n`` replays it exactly.
"""

import argparse
import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice

from sandbox.world import World
from tests.simulation.books import at_rest, captures, ledger_lines
from tests.simulation.cashiers import Cashier
from tests.simulation.channel_net import AlipayNet, CardNet
from tests.simulation.checker import Checker, Violation
from tests.simulation.clock_loop import ClockLoop, Stuck
from tests.simulation.installation import installation, limit_store
from tests.simulation.merchant_net import MerchantNet
from tests.simulation.node import Node
from tests.simulation.payers import STORE_ID, ChannelNotices, Counter
from tests.simulation.plan import Plan, draw, source
from tests.simulation.scene import Scene
from tests.simulation.tills import Till

LIMIT_S = 4 * 3600.0
"""Virtual seconds after which a seed counts as stuck."""
REST_S = 9000.0
"""How long everything may take to come to rest once nothing goes wrong any more: longer than
the largest jump of a clock that stamped a due time, and the longest pause of a schedule."""
_PEEK_S = 10.0
_SNAPSHOT_S = 30.0


@dataclass(slots=True)
class Outcome:
    """What became of a seed."""

    seed: int
    violations: list[Violation]
    digest: str
    payments: int
    crashes: int
    steps: int
    virtual_s: float
    lines: list[str] | None = field(default=None, repr=False)


class Simulation:
    """One seed."""

    def __init__(self, plan: Plan, *, keep_trace: bool = False) -> None:
        place = installation()
        # what the loop leaves abstract (sockets, signals, processes) is never called
        self.loop = ClockLoop()  # type: ignore[abstract]
        self.connection = place.fresh_database()
        world = World(place.sandbox, source(plan.seed, "world").randbytes)
        self.scene = Scene(plan, self.loop, world, keep_trace=keep_trace)
        nets = AlipayNet(self.scene), CardNet(self.scene), MerchantNet(self.scene)
        self.nodes = [
            Node(number, self.scene, self.connection, *nets) for number in range(1, plan.nodes + 1)
        ]
        self._tills = [
            Till(self.scene, terminal_id, self.nodes, self._approved)
            for terminal_id in place.terminals[: plan.terminals]
        ]
        self._cashiers = [
            Cashier(self.scene, number, self.nodes, self._approved)
            for number in range(plan.cashiers)
        ]
        self._counter = Counter(self.scene, self.nodes)
        self._channel_notices = ChannelNotices(self.scene, self.nodes)
        if plan.live_orders and plan.daily_limit_fen:
            self.scene.histories.daily_limit_fen = plan.daily_limit_fen
            limit_store(self.connection, STORE_ID, plan.daily_limit_fen)

    def _approved(self, door: str, order_key: str, amount_fen: int) -> None:
        """Somebody outside saw an approval: the ledger must have it by now."""
        found = captures(self.connection, door, order_key)
        if found != [amount_fen]:
            self.scene.histories.early.append(
                f"I1: {order_key}: approved {amount_fen}, the ledger had {found} then"
            )

    def run(self) -> Outcome:
        """Play it, judge it, and let everything fall."""
        self.play()
        outcome = self.judge()
        self.close()
        return outcome

    def play(self) -> None:
        """Live through it; afterwards every gateway is dead."""
        scene = self.scene
        try:
            self.loop.run(self._play(), LIMIT_S)
        except Stuck as error:
            scene.histories.early.append(f"I3: stuck: {error}")
        for node in self.nodes:
            node.stop()
        scene.histories.charges = scene.world.charges(scene.now_ms())

    def judge(self) -> Outcome:
        """What the checker says."""
        scene = self.scene
        violations = Checker(scene.histories, self.connection).run()
        violations += [Violation("defect", text) for text in scene.defects]
        violations += [Violation("defect", f"{fault}") for fault in self.loop.faults]
        payments = self.connection.execute("SELECT count(*) FROM payments").fetchone()[0]
        return Outcome(
            seed=scene.plan.seed,
            violations=violations,
            digest=scene.trace.digest(),
            payments=payments,
            crashes=sum(node.crashes for node in self.nodes),
            steps=self.loop.steps,
            virtual_s=self.loop.time(),
            lines=scene.trace.lines,
        )

    def close(self) -> None:
        """Run every ``finally`` of the dead, then let go of the database."""
        self.loop.close()
        self.connection.close()

    async def _play(self) -> None:
        scene = self.scene
        for node in self.nodes:
            scene.loop.call_soon(node.boot, context=scene.outside)
            scene.loop.call_at(scene.plan.faults_until_s, node.spare, context=scene.outside)
        watching = [
            scene.loop.create_task(work, context=scene.outside.copy())
            for work in (self._jump_clocks(), self._snapshots())
        ]
        if scene.plan.live_orders:
            telling = self._channel_notices.run()
            watching.append(scene.loop.create_task(telling, context=scene.outside.copy()))
        days = [till.run() for till in self._tills] + [one.run() for one in self._cashiers]
        days.append(self._counter.run())
        actors = [scene.loop.create_task(day, context=scene.outside.copy()) for day in days]
        await asyncio.gather(*actors)
        scene.at_rest = True
        for node in self.nodes:
            node.clock.ahead_ms = 0
            node.spare()
        await self._rest()
        for task in watching:
            task.cancel()
        await self._look_once_more()

    async def _rest(self) -> None:
        """Wait until nothing is open, at most ``REST_S``; then note it."""
        scene = self.scene
        until_s = scene.loop.time() + REST_S
        while scene.loop.time() < until_s:
            is_told = not self._channel_notices.waits()
            if is_told and at_rest(self.connection) and all(node.up for node in self.nodes):
                scene.histories.quiet = True
                break
            await asyncio.sleep(_PEEK_S)
        scene.trace.line("rest", scene.histories.quiet)

    async def _look_once_more(self) -> None:
        """Every merchant looks at every order of its, now that nothing moves."""
        scene = self.scene
        scene.histories.final_at_s = scene.loop.time()
        for live in scene.histories.live:
            await self._counter.look(live)
        for order in scene.histories.orders:
            cashier = self._cashiers[order.cashier]
            await cashier.look(order)
            for asked in order.refunds:
                await cashier.look_at_refund(asked)

    async def _jump_clocks(self) -> None:
        scene, rng = self.scene, self.scene.source("clocks")
        jump_s = scene.plan.clock_jump_s
        while jump_s and scene.faulty:
            await asyncio.sleep(rng.expovariate(1 / 40))
            node = rng.choice(self.nodes)
            node.clock.ahead_ms = int(rng.uniform(-jump_s, jump_s) * 1000) if scene.faulty else 0
            scene.trace.line("clock", node.name, node.clock.ahead_ms)

    async def _snapshots(self) -> None:
        while True:
            await asyncio.sleep(_SNAPSHOT_S)
            self.scene.histories.snapshots.append(ledger_lines(self.connection))


def run_seed(seed: int, *, keep_trace: bool = False) -> Outcome:
    """Play one seed."""
    if installation.cache_info().currsize == 0:
        installation()
        gc.freeze()
    gc.collect()
    gc.disable()  # no finaliser in the middle of a seed, and half the time of a collection
    try:
        return Simulation(draw(seed), keep_trace=keep_trace).run()
    finally:
        gc.enable()


def run_seeds(seeds: Sequence[int], workers: int) -> Iterable[Outcome]:
    """Play many, over several processes, in no particular order."""
    if workers == 1:
        yield from map(run_seed, seeds)
        return
    with ProcessPoolExecutor(workers) as pool:
        waiting = {pool.submit(run_seed, seed) for seed in islice(seeds, 4 * workers)}
        rest = iter(seeds[4 * workers :])
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            waiting |= {pool.submit(run_seed, seed) for seed in islice(rest, len(done))}
            for future in done:
                yield future.result()


def _one(seed: int, lines: int) -> int:
    outcome = run_seed(seed, keep_trace=True)
    for line in (outcome.lines or [])[-lines:] if lines else ():
        print(line)
    for violation in outcome.violations:
        print(f"seed {seed}: {violation}")
    print(
        f"seed {seed}: {outcome.payments} payments, {outcome.crashes} crashes, "
        f"{outcome.virtual_s:.0f} virtual s, trace {outcome.digest}, "
        f"{len(outcome.violations)} violations"
    )
    return 1 if outcome.violations else 0


def _many(first: int, count: int, workers: int) -> int:
    started_s = time.monotonic()
    failed: list[int] = []
    payments = crashes = violations = 0
    for outcome in run_seeds(range(first, first + count), workers):
        payments += outcome.payments
        crashes += outcome.crashes
        if outcome.violations:
            failed.append(outcome.seed)
            violations += len(outcome.violations)
            print(f"seed {outcome.seed}: {outcome.violations[0]}", flush=True)
            print(f"  replay: make simulate SEED={outcome.seed}", flush=True)
    elapsed_s = time.monotonic() - started_s
    print(
        f"simulate: {count} seeds, {payments} payments, {crashes} crashes, "
        f"{len(failed)} seeds with {violations} violations, "
        f"{count / elapsed_s:.1f} seeds/s on {workers} cores"
    )
    return 1 if failed else 0


def _until_found(first: int, count: int) -> int:
    """Play until a seed breaks something; one line of JSON says which and what."""
    found, played = {"invariant": "", "text": "", "seed": -1}, 0
    for seed in range(first, first + count):
        played += 1
        violations = run_seed(seed).violations
        if violations:
            worst = next((one for one in violations if one.invariant != "defect"), violations[0])
            found = {"invariant": worst.invariant, "text": worst.text, "seed": seed}
            break
    print(json.dumps({**found, "seeds": played}))
    return 0


def main(arguments: Sequence[str]) -> int:
    """``--seed N`` replays one with its trace; ``--seeds N`` plays many."""
    parser = argparse.ArgumentParser(prog="simulate")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--until-found", action="store_true", help="stop at the first violation")
    parser.add_argument("--lines", type=int, default=0, help="of the trace, the last ones")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args(arguments)
    if asked.seed is not None:
        return _one(asked.seed, asked.lines)
    if asked.until_found:
        return _until_found(asked.first, asked.seeds)
    return _many(asked.first, asked.seeds, asked.workers)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
