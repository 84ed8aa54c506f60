"""One chunk of a fuzzing run: some thousands of inputs from one seed and number.

Rules: seed, chunk and input number give the input back, so a finding is replayed by
them. A hang is an input that takes more than :data:`HANG_S` of this process's own time
when it is tried again; what a busy machine takes away does not count.
"""

import contextlib
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Final

from pos_protocol.codec import encode
from pos_protocol.dialect import Dialect
from tests.fuzz import grammar
from tests.fuzz.mutation import mutated
from tests.fuzz.targets import TARGETS, WEIGHTS, Target

CHUNK_INPUTS: Final = 10_000
HANG_S: Final = 0.1
_MESSAGES: Final = 48
_FINDINGS_MAX: Final = 5


class Stuck(BaseException):
    """This input does not end; no ``except Exception`` may swallow it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One input that broke a rule; ``what`` is ``crash`` or ``hang``."""

    what: str
    target: str
    seed: int
    chunk: int
    number: int
    detail: str

    def __str__(self) -> str:
        place = f"--seed {self.seed} --chunk {self.chunk} --input {self.number}"
        return f"{self.what} in {self.target}: {self.detail} (again: {place})"


@dataclass(slots=True)
class Tally:
    """What a chunk came to."""

    inputs: int = 0
    by_target: dict[str, int] = field(default_factory=dict)
    crashes: int = 0
    hangs: int = 0
    slowest_s: float = 0.0
    findings: list[Finding] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Put another chunk's figures to these."""
        self.inputs += other.inputs
        self.crashes += other.crashes
        self.hangs += other.hangs
        self.slowest_s = max(self.slowest_s, other.slowest_s)
        for target, count in other.by_target.items():
            self.by_target[target] = self.by_target.get(target, 0) + count
        self.findings += other.findings[: _FINDINGS_MAX - len(self.findings)]


def run_chunk(
    seed: int,
    chunk: int,
    inputs: int = CHUNK_INPUTS,
    *,
    only: int | None = None,
    targets: Mapping[str, Target] = TARGETS,
) -> Tally:
    """Feed the inputs of a chunk, or only the one numbered ``only`` and let it raise."""
    rng = Random(f"{seed}/{chunk}")
    dialect = grammar.dialect(rng)
    corpus = [encode(grammar.message(rng, dialect), dialect) for _ in range(_MESSAGES)]
    tally = Tally()
    clock = time.perf_counter
    for number in range(inputs):
        payload = mutated(rng, corpus[number % _MESSAGES], corpus)
        name = WEIGHTS[number & 31]
        chance = rng.getrandbits(32)
        if only is not None and number != only:
            continue
        target = targets[name]
        tally.inputs += 1
        tally.by_target[name] = tally.by_target.get(name, 0) + 1
        started_s = clock()
        try:
            target(payload, dialect, chance)
        except Exception as error:
            if only is not None:
                raise
            tally.crashes += 1
            tally.findings.append(_crash(name, seed, chunk, number, error))
        except Stuck:
            tally.hangs += 1
            tally.findings.append(Finding("hang", name, seed, chunk, number, "it does not end"))
            return tally
        if clock() - started_s > HANG_S:
            _time_again(tally, target, (payload, dialect, chance), (name, seed, chunk, number))
    return tally


def _crash(name: str, seed: int, chunk: int, number: int, error: Exception) -> Finding:
    where = traceback.extract_tb(error.__traceback__)[-1]
    detail = f"{type(error).__name__} at {where.filename.rpartition('/')[2]}:{where.lineno}"
    return Finding("crash", name, seed, chunk, number, detail)


def _time_again(
    tally: Tally,
    target: Target,
    arguments: tuple[bytes, Dialect, int],
    place: tuple[str, int, int, int],
) -> None:
    started_s = time.thread_time()
    with contextlib.suppress(Exception):  # counted the first time
        target(*arguments)
    took_s = time.thread_time() - started_s
    tally.slowest_s = max(tally.slowest_s, took_s)
    if took_s > HANG_S:
        tally.hangs += 1
        tally.findings.append(Finding("hang", *place, detail=f"{took_s * 1000:.0f} ms"))
