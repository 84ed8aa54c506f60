"""Installations, stores and a Redis of the tests' own."""

import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.cli.free_ports import free_port
from gateway.store.engine import StoreOptions, store_for
from gateway.store.port import Store
from tests.support.gateway import installation_template

__all__ = ["installation_template"]


@pytest.fixture
def sqlite_url(installation_template: Path, tmp_path: Path) -> str:
    """A fresh, migrated SQLite file."""
    shutil.copy(installation_template / "posgate.db", tmp_path / "store.db")
    return f"sqlite://{tmp_path / 'store.db'}"


@pytest.fixture
async def store(sqlite_url: str) -> AsyncIterator[Store]:
    """An open store."""
    opened = store_for(sqlite_url, options=StoreOptions())
    await opened.open()
    yield opened
    await opened.close()


class RedisServer:
    """A real ``redis-server`` on a free port, without a file."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        program = shutil.which("redis-server")
        assert program is not None, "redis-server is missing; tests/provide.sh installs it"
        self._process = subprocess.Popen(
            [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
             "--appendonly", "no"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for _ in range(500):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.01)
        raise RuntimeError("redis-server does not answer")

    def kill(self) -> None:
        """``kill -9``."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture(scope="module")
def shared_redis() -> Iterator[RedisServer]:
    """One server for a module's tests; they use keys of their own."""
    server = RedisServer()
    server.start()
    yield server
    server.kill()


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server that a test may kill."""
    server = RedisServer()
    server.start()
    yield server
    server.kill()
