"""What the figures were measured on."""

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Final

from benchmarks.postgres import PostgresServer

_SYNCS: Final = 200


async def describe(postgres: PostgresServer) -> dict[str, str | int | float]:
    """Processor, cores, versions, and how long a durable write takes here."""
    facts = await postgres.facts()
    return {
        "cpu_model": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "uvloop": version("uvloop"),
        "cryptography": version("cryptography"),
        "asyncpg": version("asyncpg"),
        "postgres": facts["server_version"],
        "fsync": facts["fsync"],
        "synchronous_commit": facts["synchronous_commit"],
        "shared_buffers": facts["shared_buffers"],
        "fdatasync_us": _fdatasync_us(postgres.folder),
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _fdatasync_us(folder: Path) -> float:
    """The median of one 8 KiB write made durable, in the database's file system."""
    path, times = folder / "sync-probe", []
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        for number in range(_SYNCS):
            os.pwrite(descriptor, bytes([number % 256]) * 8192, number * 8192)
            started = time.perf_counter()
            os.fdatasync(descriptor)
            times.append(time.perf_counter() - started)
    finally:
        os.close(descriptor)
        path.unlink()
    return round(sorted(times)[len(times) // 2] * 1e6, 1)
