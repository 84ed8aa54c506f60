"""The metric ``reconcile``: a night of millions of lines, from raw files to finished exports.

Rules: every step is a process of its own, so that its peak memory is its own; the floor
joins the same data already in Parquet, pandas merges the same raw files. What the night
finds must be exactly what was planted. ``growth_exponent`` is how the time grows from a tenth
of the lines: 1 is linear.
"""

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.postgres import PostgresServer
from benchmarks.reconcile_files import Planted, write_day
from benchmarks.windows import Plan

_SMALLER: Final = 10


async def reconcile(_postgres: PostgresServer, plan: Plan, notes: list[str]) -> dict[str, float]:
    """A tenth first, then the whole, the floor and pandas beside it."""
    lines = plan.reconcile_lines
    with tempfile.TemporaryDirectory(prefix="posgate-reconcile-") as name:
        small, whole = Path(name, "small"), Path(name, "whole")
        short = _night(small, lines // _SMALLER, notes)
        long = _night(whole, lines, notes)
        _step("parquet", whole)
        floor, pandas = _step("floor", whole), _step("pandas", whole)
    return {
        "lines": lines,
        "total_s": round(long["seconds"], 2),
        "cpu_s": round(long["cpu_s"], 2),
        "peak_mb": round(long["peak_mb"]),
        "floor_s": round(floor["seconds"], 2),
        "ratio_to_floor": round(floor["seconds"] / long["seconds"], 3),
        "pandas_s": round(pandas["seconds"], 2),
        "pandas_peak_mb": round(pandas["peak_mb"]),
        "tenth_s": round(short["seconds"], 2),
        "growth_exponent": round(math.log(long["seconds"] / short["seconds"], _SMALLER), 3),
        "errors": len(notes),
    }


def _night(folder: Path, lines: int, notes: list[str]) -> dict[str, Any]:
    folder.mkdir()
    planted = write_day(folder, lines)
    found = _step("night", folder)
    notes.extend(_wrong(planted, found))
    return found


def _wrong(planted: Planted, found: dict[str, Any]) -> list[str]:
    wrong = []
    if found["state"] != "done":
        wrong.append(f"reconcile: the night is {found['state']}: {found['error']}")
    if found["kinds"] != dict(planted.kinds):
        wrong.append(f"reconcile: planted {dict(planted.kinds)}, found {found['kinds']}")
    return wrong


def _step(step: str, folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.reconcile_run", step, str(folder)],
        check=True,
        stdout=subprocess.PIPE,
    )
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures
