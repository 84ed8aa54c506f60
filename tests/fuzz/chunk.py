"""One chunk of a fuzzing run: some thousands of inputs from one seed and number.

Rules: seed, chunk and input number give the input back, so a finding is replayed by
them. A hang is an input that takes more than :data:`HANG_S` of this process's own time, or
waits as long for something, each time that it is tried; what a busy machine takes away does
not count. What was slow only the first time is counted beside it.
"""

import contextlib
import resource
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
from tests.fuzz.server import the_server
from tests.fuzz.targets import TARGETS, WEIGHTS, Moved, Target

CHUNK_INPUTS: Final = 10_000
HANG_S: Final = 0.1
_TRIES: Final = 3
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
    """Broken rules; the changes of money are among them."""
    moved: int = 0
    """Changes of what is money."""
    hangs: int = 0
    slow_once: int = 0
    slowest_s: float = 0.0
    """The most of this process's own time that an input took when it was first tried."""
    findings: list[Finding] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Put another chunk's figures to these."""
        self.inputs += other.inputs
        self.crashes += other.crashes
        self.moved += other.moved
        self.hangs += other.hangs
        self.slow_once += other.slow_once
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
    the_server()  # its own making is no input's time
    rng = Random(f"{seed}/{chunk}")
    dialect = grammar.dialect(rng)
    corpus = [encode(grammar.message(rng, dialect), dialect) for _ in range(_MESSAGES)]
    tally = Tally()
    clock, own = time.perf_counter, time.thread_time
    for number in range(inputs):
        payload = mutated(rng, corpus[number % _MESSAGES], corpus)
        name = WEIGHTS[number & 31]
        chance = rng.getrandbits(32)
        if only is not None and number != only:
            continue
        target = targets[name]
        tally.inputs += 1
        tally.by_target[name] = tally.by_target.get(name, 0) + 1
        started_s, own_s = clock(), own()
        try:
            target(payload, dialect, chance)
        except Exception as error:
            if only is not None:
                raise
            tally.crashes += 1
            tally.moved += isinstance(error, Moved)
            tally.findings.append(_crash(name, seed, chunk, number, error))
        except Stuck:
            tally.hangs += 1
            tally.findings.append(Finding("hang", name, seed, chunk, number, "it does not end"))
            return tally
        took_s = own() - own_s
        tally.slowest_s = max(tally.slowest_s, took_s)
        if clock() - started_s > HANG_S:
            again = _slow_again(target, (payload, dialect, chance))
            if again:
                tally.hangs += 1
                tally.findings.append(Finding("hang", name, seed, chunk, number, again))
            tally.slow_once += took_s > HANG_S and not again
    return tally


def _crash(name: str, seed: int, chunk: int, number: int, error: Exception) -> Finding:
    where = traceback.extract_tb(error.__traceback__)[-1]
    detail = f"{type(error).__name__} at {where.filename.rpartition('/')[2]}:{where.lineno}"
    return Finding("crash", name, seed, chunk, number, detail)


def _slow_again(target: Target, arguments: tuple[bytes, Dialect, int]) -> str:
    """What a slow input did whenever it was tried again; ``""`` if once it was fast.

    Who is kept from running by others gives the processor up involuntarily; only who waits
    for something does so by itself.
    """
    what = ""
    for _ in range(_TRIES):
        waits, wall_s, own_s = _waits(), time.perf_counter(), time.thread_time()
        with contextlib.suppress(Exception):  # counted the first time
            target(*arguments)
        wall_s, own_s = time.perf_counter() - wall_s, time.thread_time() - own_s
        if own_s > HANG_S:
            what = f"{own_s * 1000:.0f} ms of its own"
        elif wall_s > HANG_S and _waits() > waits:
            what = f"waits {wall_s * 1000:.0f} ms"
        else:
            return ""
    return what


def _waits() -> int:
    """How often this thread gave up the processor by itself."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
