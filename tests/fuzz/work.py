"""What one process of a fuzzing run does, and the watchdog over it.

A module of its own, because a process is told its work by the name of a module.
"""

import gc
import signal
from functools import cache
from types import FrameType
from typing import Final

from tests.fuzz.chunk import Stuck, Tally, run_chunk
from tests.fuzz.server import the_server

OWN_S: Final = 60.0
"""For a whole chunk, half a second of a processor: what computes this long never ends."""
WATCHDOG_S: Final = 900.0
"""The same by the clock on the wall, for what waits: a busy machine may give a chunk little."""
Job = tuple[int, int, int]
"""Seed, chunk and number of inputs."""


def _stuck(_signal: int, _frame: FrameType | None) -> None:
    raise Stuck


@cache
def _settled_heap() -> None:
    """Keep the collector off what stays: its full rounds would be some input's time."""
    the_server()
    gc.collect()
    gc.freeze()


def work(job: Job) -> Tally:
    """Run one chunk; an input that does not end is a hang."""
    seed, chunk, inputs = job
    _settled_heap()
    signal.signal(signal.SIGALRM, _stuck)
    signal.signal(signal.SIGPROF, _stuck)
    signal.setitimer(signal.ITIMER_REAL, WATCHDOG_S)
    signal.setitimer(signal.ITIMER_PROF, OWN_S)
    try:
        return run_chunk(seed, chunk, inputs)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
