"""What one process of a fuzzing run does, and the watchdog over it.

A module of its own, because a process is told its work by the name of a module.
"""

import signal
from types import FrameType
from typing import Final

from tests.fuzz.chunk import Stuck, Tally, run_chunk

WATCHDOG_S: Final = 120.0
"""For a whole chunk, which takes a second: what stands still this long never ends."""
Job = tuple[int, int, int]
"""Seed, chunk and number of inputs."""


def _stuck(_signal: int, _frame: FrameType | None) -> None:
    raise Stuck


def work(job: Job) -> Tally:
    """Run one chunk; an input that does not end is a hang."""
    seed, chunk, inputs = job
    signal.signal(signal.SIGALRM, _stuck)
    signal.setitimer(signal.ITIMER_REAL, WATCHDOG_S)
    try:
        return run_chunk(seed, chunk, inputs)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
