"""Plants one bug after another into a copy of the code and lets the simulation find it.

``make mutants`` prints the table; a bug that is not found within the seeds, or that can
no longer be planted, makes it fail.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.planted import MUTANTS, Mutant

CHECKOUT = Path(__file__).resolve().parents[2]
ROOMS = ("domain", "signing", "pos_protocol", "channels", "reconciliation", "gateway", "sandbox")
MOST_SEEDS = 1000


class NotPlanted(Exception):
    """The text that a mutant changes is not there exactly once."""


@dataclass(frozen=True)
class Found:
    """What became of a mutant; ``seeds`` is how many it took."""

    mutant: Mutant
    invariant: str
    text: str
    seed: int
    seeds: int
    elapsed_s: float


def plant(mutant: Mutant, tree: Path) -> None:
    """Change the copy.

    Raises:
        NotPlanted: a text is missing, or there more than once.
    """
    for edit in mutant.edits:
        file = tree / edit.file
        source = file.read_text()
        if source.count(edit.old) != 1:
            count = source.count(edit.old)
            raise NotPlanted(f"{mutant.name}: {edit.file} has its text {count} times")
        file.write_text(source.replace(edit.old, edit.new))


def copy_tree(folder: Path) -> Path:
    """The rooms and the simulation, to plant into."""
    ignored = shutil.ignore_patterns("__pycache__")
    for room in ROOMS:
        shutil.copytree(CHECKOUT / room, folder / room, ignore=ignored)
    shutil.copytree(CHECKOUT / "tests/simulation", folder / "tests/simulation", ignore=ignored)
    return folder


def hunt(mutant: Mutant, most_seeds: int) -> Found:
    """Plant it and play seeds until one finds it."""
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="posgate-mutant-") as name:
        tree = copy_tree(Path(name))
        plant(mutant, tree)
        command = [sys.executable, "-m", "tests.simulation.run", "--until-found"]
        command += ["--seeds", str(most_seeds), "--workers", "1"]
        environment = {**os.environ, "PYTHONPATH": name, "PYTHONDONTWRITEBYTECODE": "1"}
        ended = subprocess.run(
            command, cwd=name, env=environment, capture_output=True, text=True, check=False
        )
    try:
        said = json.loads(ended.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise NotPlanted(f"{mutant.name}: no verdict: {ended.stderr[-2000:]}") from None
    elapsed_s = time.monotonic() - started_s
    return Found(mutant, said["invariant"], said["text"], said["seed"], said["seeds"], elapsed_s)


def main(arguments: Sequence[str]) -> int:
    """Hunt all of them, or those that ``--only`` names a part of."""
    parser = argparse.ArgumentParser(prog="mutants")
    parser.add_argument("--only", default="")
    parser.add_argument("--seeds", type=int, default=MOST_SEEDS)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--check", action="store_true", help="only see that each can be planted")
    asked = parser.parse_args(arguments)
    chosen = [mutant for mutant in MUTANTS if asked.only in mutant.name]
    faults = unplantable(chosen)
    for fault in faults:
        print(fault)
    if asked.check or faults:
        print(f"mutants: {len(chosen)} to plant, {len(faults)} cannot be planted")
        return 1 if faults else 0
    started_s = time.monotonic()
    caught = most = 0
    with ThreadPoolExecutor(asked.workers) as pool:
        hunts = [pool.submit(hunt, mutant, asked.seeds) for mutant in chosen]
        for ended in as_completed(hunts):
            found = ended.result()
            where = f"{found.invariant:7} seed {found.seed:4}" if found.invariant else "NOT CAUGHT"
            print(f"{found.mutant.name:62} {where:17}  {found.text[:90]}", flush=True)
            caught += bool(found.invariant)
            most = max(most, found.seeds)
    elapsed_s = time.monotonic() - started_s
    print(
        f"mutants: {caught} of {len(chosen)} caught, each within {most} seeds, in {elapsed_s:.0f} s"
    )
    return 0 if caught == len(chosen) else 1


def unplantable(mutants: Sequence[Mutant]) -> list[str]:
    """Which cannot be planted into the code as it is, and why."""
    faults = []
    for mutant in mutants:
        for edit in mutant.edits:
            count = (CHECKOUT / edit.file).read_text().count(edit.old)
            if count != 1:
                faults.append(f"{mutant.name}: {edit.file} has its text {count} times")
    return faults


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
