"""The simulation in small: 500 seeds, exact replays, and the fence around a dead gateway."""

import sqlite3

import pytest

from tests.simulation.mutants import unplantable
from tests.simulation.plan import draw
from tests.simulation.planted import MUTANTS
from tests.simulation.run import Simulation, run_seed

CHUNKS, EACH = 10, 50


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_invariant_breaks_in_500_seeds(chunk: int) -> None:
    broken = []
    for seed in range(chunk * EACH, (chunk + 1) * EACH):
        outcome = run_seed(seed)
        broken += [f"make simulate SEED={seed}: {found}" for found in outcome.violations]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("seed", [3, 11])
def test_a_seed_replays_exactly(seed: int) -> None:
    first, second = run_seed(seed), run_seed(seed, keep_trace=True)
    assert first.digest == second.digest
    assert first.steps == second.steps
    assert second.lines


def test_another_seed_is_another_history() -> None:
    assert run_seed(1).digest != run_seed(2).digest


def test_what_falls_with_a_dead_gateway_changes_nothing() -> None:
    seed = next(seed for seed in range(100) if draw(seed).crash_steps == 150)
    simulation = Simulation(draw(seed))
    simulation.play()
    before = _everything(simulation.connection)
    charges = simulation.scene.world.charges(simulation.scene.now_ms())
    simulation.loop.close()  # every ``finally`` of every incarnation runs here
    assert sum(node.crashes for node in simulation.nodes) > 0
    assert _everything(simulation.connection) == before
    assert simulation.scene.world.charges(simulation.scene.now_ms()) == charges
    simulation.close()


def _everything(connection: sqlite3.Connection) -> list[str]:
    return list(connection.iterdump())


def test_every_bug_can_be_planted() -> None:
    assert len(MUTANTS) >= 25
    assert unplantable(MUTANTS) == []
