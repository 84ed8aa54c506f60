"""Mortal gateways as a test sees them: born with a point to die at, watched until they do."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from gateway.cli.free_ports import free_port

BORN_WITHIN_S = 30
DIES_WITHIN_S = 30


@contextlib.contextmanager
def kept_port() -> Iterator[int]:
    """A free port that nobody else is given, not even between the lives of its gateway.

    Gateways share a port with whoever asks to (``SO_REUSEPORT``), so two of them on one
    port by chance would both live, and take each other's terminals. A socket that is
    bound and never listens takes no connection, and keeps the port from ``free_port``.
    """
    with socket.socket() as keeper:
        while True:
            port = free_port()
            with contextlib.suppress(OSError):
                keeper.bind(("127.0.0.1", port))
                keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                break
        yield keeper.getsockname()[1]


class Mortal:
    """One gateway process; ``died`` tells when it is gone."""

    def __init__(self, pid: int, points: Path, *, is_doomed: bool) -> None:
        self.pid = pid
        self.is_doomed = is_doomed
        self._points = points
        self._descriptor = os.pidfd_open(pid)
        self._loop = asyncio.get_running_loop()
        self.died: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(self._descriptor, self._gone)

    def _gone(self) -> None:
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self.died.set_result(None)

    async def dead(self) -> None:
        """Wait until it has died at its point."""
        async with asyncio.timeout(DIES_WITHIN_S):
            await asyncio.shield(self.died)

    async def kill(self) -> None:
        """End it, if it still lives."""
        if not self.died.done():
            os.kill(self.pid, signal.SIGKILL)
        await self.dead()

    def points(self) -> list[str]:
        """What it passed, in order."""
        return self._points.read_text().splitlines() if self._points.exists() else []


class Mortals:
    """The forking program."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._count = 0
        self._pids: list[int] = []

    async def born(self, folder: Path, *, die_at: int, ahead_s: int = 0) -> Mortal:
        """A gateway of the installation in ``folder``, listening, or dead at its point already."""
        self._count += 1
        here = folder.parent
        ready, points = here / f"ready-{self._count}", here / f"points-{self._count}"
        order = {
            "config": str(folder / "config.yaml"),
            "ready": str(ready),
            "log": str(here / f"gateway-{self._count}.txt"),
            "points": str(points),
            "die_at": die_at,
            "ahead_s": ahead_s,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        pid = int(self._process.stdout.readline())
        self._pids.append(pid)
        mortal = Mortal(pid, points, is_doomed=die_at > 0)
        async with asyncio.timeout(BORN_WITHIN_S):
            while not ready.exists() and not (mortal.died.done() and mortal.points()):
                assert not mortal.died.done(), Path(str(order["log"])).read_text()[-2000:]
                await asyncio.sleep(0.01)
        return mortal

    def close(self) -> None:
        """End the program; every gateway of a finished test is dead by then."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
