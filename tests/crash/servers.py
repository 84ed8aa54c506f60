"""PostgreSQL and Redis as processes that die by ``kill -9`` and come back on their port."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from typing import Final

from benchmarks.processes import family
from gateway.cli.free_ports import free_port
from tests.support.postgres import PostgresServer

_READY_WITHIN_S: Final = 30.0
_PEEK_S: Final = 0.01


class MortalPostgres(PostgresServer):
    """A server that is our child, so that it is gone for good once it is killed.

    One that ``pg_ctl`` has let go is somebody else's to bury, and until that is done the
    next one takes its lock file for a living server's.
    """

    def __init__(self, *, fsync: bool) -> None:
        super().__init__(fsync=fsync)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start on the same port and wait until it says that it is ready.

        Raises:
            RuntimeError: it does not; with its log.
        """
        for _ in range(int(_READY_WITHIN_S / _PEEK_S)):
            if self._process is None or self._process.poll() is not None:
                self._process = self._launch()
            if self._is_ready(self._process.pid):
                return
            time.sleep(_PEEK_S)
        raise RuntimeError((self._folder / "log").read_text()[-3000:])

    def _launch(self) -> "subprocess.Popen[bytes]":
        settings = (
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            f"fsync={self._fsync}",
        )
        options = [part for setting in settings for part in ("-c", setting)]
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [self._binaries / "postgres", "-D", self._data, "-p", str(self.port), *options],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._account,
                group=self._group,
                extra_groups=None if self._account is None else [],
            )

    def _is_ready(self, pid: int) -> bool:
        """Whether the lock file says so: its first line is whose it is, its eighth the state."""
        with contextlib.suppress(OSError):
            lines = (self._data / "postmaster.pid").read_text().splitlines()
            return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"
        return False

    def kill(self) -> None:
        """``kill -9`` of the postmaster and of all its children, as one moment."""
        if self._process is None:
            return
        os.kill(self._process.pid, signal.SIGSTOP)  # so that it brings nothing to life meanwhile
        for pid in sorted(family(self._process.pid), reverse=True):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        """Stop at once."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
            self._process = None


class MortalRedis:
    """A ``redis-server`` without a file: killed, it forgets everything."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            RuntimeError: not installed, or it does not answer.
        """
        program = shutil.which("redis-server")
        if program is None:
            raise RuntimeError("redis-server is missing; tests/provide.sh installs it")
        self._process = subprocess.Popen(
            [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
             "--appendonly", "no"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for _ in range(int(_READY_WITHIN_S / _PEEK_S)):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(_PEEK_S)
        raise RuntimeError("redis-server does not answer")

    def flush(self) -> None:
        """``FLUSHALL``."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=_READY_WITHIN_S) as link:
            link.sendall(b"*1\r\n$8\r\nFLUSHALL\r\n")
            if link.recv(16) != b"+OK\r\n":
                raise RuntimeError("redis-server did not flush")

    def pause(self) -> None:
        """Stop it where it is."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End a pause."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self._process is not None:
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        """``kill -9``."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
