"""The metric ``bills``: a channel's file of a day to typed rows, lines per second of one core.

Rules: from the file as delivered (zip, GBK) to the last batch and the compared sums; the time
is this process's own CPU, so that what else the machine does counts little; the median of
several readings. ``…_rss_added_mb`` is what reading a file five times as long adds to the
process's peak: it stays flat if nothing is kept.
"""

import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.bill_files import MAKERS
from benchmarks.postgres import PostgresServer
from benchmarks.windows import Plan
from channels.bill_formats import bill_format

_LINES: Final = 500_000
_SHORT_LINES: Final = 100_000
_READINGS: Final = 5


async def bills(_postgres: PostgresServer, _plan: Plan, notes: list[str]) -> dict[str, float]:
    """Every channel's reader in turn."""
    figures: dict[str, float] = {}
    for channel, (kind, make) in MAKERS.items():
        with tempfile.TemporaryDirectory() as folder:
            short, long = Path(folder, "short"), Path(folder, "long")
            make(short, _SHORT_LINES)
            make(long, _LINES)
            _read(channel, kind, short)
            peak_mb = _peak_mb()
            rates = []
            for _ in range(_READINGS):
                seconds, lines = _read(channel, kind, long)
                rates.append(lines / seconds)
                if lines != _LINES:
                    notes.append(f"bills: {channel} read {lines} of {_LINES} lines")
        figures[f"{channel}_lines_per_s"] = round(statistics.median(rates))
        figures[f"{channel}_rss_added_mb"] = round(_peak_mb() - peak_mb, 1)
    figures["lines"] = _LINES
    figures["errors"] = len(notes)
    return figures


def _read(channel: str, kind: str, path: Path) -> tuple[float, int]:
    """Seconds of CPU, and the lines that were read."""
    begun = time.process_time()
    reader = bill_format(channel).open(kind, path)
    lines = sum(batch.num_rows for batch in reader)
    reader.totals()
    return time.process_time() - begun, lines


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
