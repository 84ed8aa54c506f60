"""``make fuzz``: many chunks over every core; one line of figures, a true exit status.

Replay a finding: ``python -m tests.fuzz --seed S --chunk C --input N``.
"""

import argparse
import multiprocessing
import os
import sys
import time
from typing import Final

from tests.fuzz.chunk import CHUNK_INPUTS, Tally, run_chunk
from tests.fuzz.work import Job, work

_PROGRESS_S: Final = 10.0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description="Feeds the protocol room changed messages; example: --inputs 1000000 --seed 7",
    )
    parser.add_argument("--inputs", type=int, default=20_000_000, help="how many in all")
    parser.add_argument("--seed", type=int, default=None, help="the same inputs again")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--chunk", type=int, default=None, help="only this chunk")
    parser.add_argument("--input", type=int, default=None, help="only this input, and its error")
    arguments = parser.parse_args()
    if arguments.inputs < 1 or arguments.workers < 1:
        parser.error("--inputs and --workers are at least 1")
    if arguments.seed is None:
        arguments.seed = int(time.time())
    return arguments


def _jobs(seed: int, inputs: int) -> list[Job]:
    chunks = -(-inputs // CHUNK_INPUTS)
    return [
        (seed, chunk, min(CHUNK_INPUTS, inputs - chunk * CHUNK_INPUTS)) for chunk in range(chunks)
    ]


def main() -> int:
    """Run; the exit status."""
    arguments = _arguments()
    if arguments.chunk is not None:
        tally = run_chunk(arguments.seed, arguments.chunk, only=arguments.input)
        return _report(arguments, tally, 0.0)
    total, started_s, told_s = Tally(), time.monotonic(), time.monotonic()
    jobs = _jobs(arguments.seed, arguments.inputs)
    with multiprocessing.get_context("spawn").Pool(arguments.workers) as pool:
        for tally in pool.imap_unordered(work, jobs, chunksize=4):
            total.add(tally)
            if time.monotonic() - told_s > _PROGRESS_S:
                told_s = time.monotonic()
                sys.stderr.write(f"fuzz: {total.inputs:,} inputs, {total.crashes} crashes\n")
    return _report(arguments, total, time.monotonic() - started_s)


def _report(arguments: argparse.Namespace, tally: Tally, took_s: float) -> int:
    for finding in tally.findings:
        sys.stdout.write(f"{finding}\n")
    rate = f", {tally.inputs / took_s:,.0f}/s, {took_s:,.0f} s" if took_s else ""
    turns = " ".join(f"{name}={count}" for name, count in sorted(tally.by_target.items()))
    sys.stdout.write(
        f"fuzz: inputs={tally.inputs} crashes={tally.crashes} hangs={tally.hangs} "
        f"money_moved={tally.moved} slow_once={tally.slow_once} "
        f"slowest_ms={tally.slowest_s * 1000:.0f} "
        f"seed={arguments.seed} workers={arguments.workers} ({turns}{rate})\n"
    )
    return 1 if tally.crashes or tally.hangs else 0


if __name__ == "__main__":
    sys.exit(main())
