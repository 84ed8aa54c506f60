"""The processes of a benchmark: started, waited for, measured, ended.

CPU time is the scheduler's own count of ns on a core (``/proc/PID/task/*/schedstat``).
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson

ROOT: Final = Path(__file__).resolve().parent.parent
_START_TIMEOUT_S: Final = 60.0
_STOP_TIMEOUT_S: Final = 20.0
_LINE_LIMIT_BYTES: Final = 1 << 20


class BenchmarkError(Exception):
    """A benchmark that cannot go on; the text says what broke."""


def own_cpu_ns(pid: int) -> int:
    """CPU time of a process's threads so far, ns; 0 once it is gone."""
    total = 0
    for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):
            total += int(thread.read_text().split()[0])
    return total


def used_us(pids: set[int]) -> float:
    """CPU time of all threads of these processes so far, µs."""
    return sum(map(own_cpu_ns, pids)) / 1000


def machine_cpu_us() -> float:
    """CPU time of the whole machine so far, µs: everybody's, and what the host withheld."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, fields[:8])
    ticks = user + nice + system + irq + softirq + steal
    return ticks * 1e6 / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> set[int]:
    """A process and all its descendants."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            text = stat.read_text()
            parents[int(text.split(" ", 1)[0])] = int(text.rpartition(")")[2].split()[1])
    members, added = {pid}, {pid}
    while added:
        added = {child for child, parent in parents.items() if parent in added} - members
        members |= added
    return members


class Child:
    """A process of ours; what it prints goes to a log file."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.process = process
        self._log = log

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @classmethod
    async def start(
        cls, name: str, module: str, arguments: Sequence[str], folder: Path, *, piped: bool = False
    ) -> "Child":
        """Run a module of this project; ``piped``: commands go in, answers come out."""
        log = folder / f"{name}.log"
        pipe = asyncio.subprocess.PIPE
        with log.open("ab") as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                *arguments,
                cwd=ROOT,
                stdin=pipe if piped else asyncio.subprocess.DEVNULL,
                stdout=pipe if piped else file,
                stderr=file,
                limit=_LINE_LIMIT_BYTES,
            )
        return cls(name, process, log)

    async def ready(self, file: Path) -> dict[str, Any]:
        """The content of its ready file, once it is there."""
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                while not file.exists():
                    if self.process.returncode is not None:
                        raise self.broken("did not start")
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise self.broken("was not ready in time") from None
        data: dict[str, Any] = orjson.loads(file.read_bytes())
        return data

    async def ask(self, command: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """Send one command and wait for its answer."""
        if self.process.stdin is None:
            raise self.broken("takes no commands")
        self.process.stdin.write(orjson.dumps(command) + b"\n")
        return await self.hear(timeout_s)

    async def hear(self, timeout_s: float) -> dict[str, Any]:
        """The next thing it says."""
        if self.process.stdout is None:
            raise self.broken("says nothing")
        try:
            async with asyncio.timeout(timeout_s):
                line = await self.process.stdout.readline()
        except TimeoutError:
            raise self.broken(f"did not answer in {timeout_s:.0f} s") from None
        if not line:
            raise self.broken("ended")
        answer: dict[str, Any] = orjson.loads(line)
        return answer

    def broken(self, what: str) -> BenchmarkError:
        """The error, with the end of the log."""
        tail = self._log.read_text(errors="replace")[-3000:]
        return BenchmarkError(f"{self.name} {what}:\n{tail}")

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL."""
        if self.process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
