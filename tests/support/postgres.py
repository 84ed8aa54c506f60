"""A real PostgreSQL server for tests: the machine's own, or the one that PyPI carries.

Rules: one server per test session and xdist worker, on a free port of 127.0.0.1; a test
gets a database of its own, copied from a migrated template (``postgres_url``), or, where
that is enough, a shared one emptied for it (``emptied_postgres_url``). PostgreSQL
refuses to run as root, so under root the server runs as ``postgres`` or ``nobody``.

A conftest imports the fixtures it wants from here, with ``postgres_server`` among them.
"""

import asyncio
import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from benchmarks.postgres import server_binaries
from gateway.cli.free_ports import free_port
from gateway.store.migrate import migrate

__all__ = [
    "PostgresServer",
    "emptied_postgres_url",
    "in_a_thread",
    "postgres_server",
    "postgres_url",
    "shared_postgres_url",
]


def in_a_thread(work: Callable[[], Awaitable[Any]]) -> Any:
    """Run a coroutine in a loop of its own, so that a sync fixture disturbs no other loop."""

    async def run() -> Any:
        return await work()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(run())).result()


class PostgresServer:
    """A server with its own data folder; survives ``kill`` and ``stop`` like a real one."""

    def program(self, name: str) -> str:
        """One of the server's own programs, ``pg_dump`` say: of its version."""
        return str(self._binaries / name)

    def __init__(self, *, fsync: bool = True) -> None:
        self._fsync = "on" if fsync else "off"
        self._binaries = server_binaries()
        self._folder = Path(tempfile.mkdtemp(prefix="posgate-pg-"))
        self._data = self._folder / "data"
        self._account: int | None = None
        self._group: int | None = None
        if os.geteuid() == 0:
            names = {entry.pw_name for entry in pwd.getpwall()}
            entry = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
            os.chown(self._folder, entry.pw_uid, entry.pw_gid)
            self._account, self._group = entry.pw_uid, entry.pw_gid
        self.port = free_port()
        self._names = itertools.count()

    def url(self, database: str) -> str:
        """The store URL of a database."""
        return f"postgresql://posgate:posgate@127.0.0.1:{self.port}/{database}"

    def create(self) -> None:
        """Make the data folder, start, and prepare the migrated template."""
        self._run("initdb", "-D", self._data, "-U", "posgate", "-A", "trust", "-E", "UTF8",
                  "--no-locale", "--no-sync")  # fmt: skip
        self.start()
        self.execute("CREATE DATABASE migrated")
        in_a_thread(lambda: migrate(self.url("migrated")))

    def start(self) -> None:
        """Start on the same port and wait until it answers."""
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= "
            f"-c fsync={self._fsync}"
        )
        for _ in range(20):
            with contextlib.suppress(subprocess.CalledProcessError):
                self._run("pg_ctl", "-D", self._data, "-w", "-l", self._folder / "log",
                          "-o", options, "start")  # fmt: skip
                return
            time.sleep(0.2)  # after a kill the old children may still hold the memory
        raise RuntimeError((self._folder / "log").read_text())

    def stop(self) -> None:
        """Stop at once, as in a power cut: nothing is flushed, recovery runs at the start."""
        self._run("pg_ctl", "-D", self._data, "-w", "-m", "immediate", "stop")

    def kill(self) -> None:
        """``kill -9`` of the postmaster; its children follow by themselves."""
        pid = int((self._data / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGKILL)

    def destroy(self) -> None:
        """Stop for good and delete everything."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def execute(self, sql: str) -> None:
        """Run one statement as administrator."""

        async def run() -> None:
            connection = await asyncpg.connect(self.url("postgres"))
            try:
                await connection.execute(sql)
            finally:
                await connection.close()

        in_a_thread(run)

    def new_database(self, *, migrated: bool = True) -> str:
        """The URL of a fresh database, migrated or bare."""
        name = f"t{next(self._names)}"
        template = "migrated" if migrated else "template1"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def empty_database(self, url: str) -> None:
        """Delete every row of a database, past the triggers that guard the history."""

        async def run() -> None:
            connection = await asyncpg.connect(url)
            try:
                tables = await connection.fetch(
                    "SELECT relname FROM pg_stat_user_tables WHERE relname <> 'tortoise_migrations'"
                )
                deletes = "; ".join(f"DELETE FROM {row[0]}" for row in tables)
                await connection.execute(f"SET session_replication_role = replica; {deletes}")
            finally:
                await connection.close()

        in_a_thread(run)

    def drop_database(self, url: str) -> None:
        """Delete a database of :meth:`new_database`."""
        self.execute(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    def _run(self, program: str, *arguments: str | Path) -> None:
        account: dict[str, Any] = {}
        if self._account is not None:
            account = {"user": self._account, "group": self._group, "extra_groups": []}
        subprocess.run(
            [self._binaries / program, *arguments],
            check=True,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **account,
        )


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One running server for the session; without fsync, for only processes die in tests."""
    server = PostgresServer(fsync=False)
    try:
        server.create()
        yield server
    finally:
        server.destroy()


@pytest.fixture(scope="session")
def shared_postgres_url(postgres_server: PostgresServer) -> str:
    """One migrated database for every test that can use an emptied one."""
    return postgres_server.new_database()


@pytest.fixture
def emptied_postgres_url(postgres_server: PostgresServer, shared_postgres_url: str) -> str:
    """The shared database without a row: ten times faster to have than a fresh one."""
    postgres_server.empty_database(shared_postgres_url)
    return shared_postgres_url


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a fresh, migrated database."""
    url = postgres_server.new_database()
    yield url
    postgres_server.drop_database(url)
