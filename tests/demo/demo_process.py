"""``posgate demo`` as a shell sees it: a process, its output, its files and its children."""

import asyncio
import contextlib
import hashlib
import hmac
import os
import secrets
import signal
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
from aiohttp import ClientSession, TCPConnector

POSGATE = str(Path(sys.executable).with_name("posgate"))
STARTED_WITHIN_S = 110
ENDED_WITHIN_S = 60
AGAIN_WITHIN_S = 60


async def posgate(*arguments: str, cwd: Path) -> tuple[int, Any, str]:
    """Run a command to its end: exit status, its JSON (or ``None``), what it said besides."""
    process = await asyncio.create_subprocess_exec(
        POSGATE,
        *arguments,
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(STARTED_WITHIN_S):
        out, err = await process.communicate()
    assert process.returncode is not None
    return (
        process.returncode,
        orjson.loads(out) if out.startswith((b"[", b"{")) else None,
        err.decode(),
    )


def processes_of(folder: Path) -> dict[int, str]:
    """Every process whose command line names ``folder``."""
    found = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
            if any(str(folder).encode() in word for word in words):
                found[int(entry.name)] = b" ".join(words).decode()
    found.pop(os.getpid(), None)
    return found


async def until(holds: Callable[[], Awaitable[bool]], within_s: float = AGAIN_WITHIN_S) -> None:
    """Ask until something is so."""
    async with asyncio.timeout(within_s):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.1)


class Demo:
    """A running demo with its ``--info`` file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data, self.info_file = folder / "data", folder / "info.json"
        self.output = b""
        self.process: asyncio.subprocess.Process

    async def start(self) -> None:
        """Start it and wait for the file."""
        self.process = await asyncio.create_subprocess_exec(
            POSGATE,
            *("demo", "--json", "--info", str(self.info_file), "--data", str(self.data)),
            cwd=self.folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=(self.folder / "out").open("wb"),
            stderr=(self.folder / "err").open("wb"),
        )

    async def ready(self) -> None:
        """Wait for the ``--info`` file."""

        async def is_there() -> bool:
            assert self.process.returncode is None, (self.folder / "err").read_text()
            return self.info_file.exists()

        await until(is_there, STARTED_WITHIN_S)

    @property
    def info(self) -> Any:
        """The file as it is now."""
        return orjson.loads(self.info_file.read_bytes())

    @property
    def rows(self) -> Any:
        """The table that it printed."""
        return orjson.loads((self.folder / "out").read_bytes())

    def printed(self, words: str) -> str:
        """What follows ``words`` on the line that the demo printed for a person."""
        said = (self.folder / "err").read_text()
        [line] = [line for line in said.splitlines() if words in line]
        return line.partition(words)[2].strip()

    async def end(self, number: int = signal.SIGINT) -> int:
        """Send a signal; the exit status."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(ENDED_WITHIN_S):
            return await self.process.wait()

    def kill_everything(self) -> None:
        """For a test that failed half-way."""
        for pid in (self.process.pid, *processes_of(self.data)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def charges(self) -> Any:
        """What the simulated channels believe."""
        url = self.info["sandbox"]["control_url"] + "/charges"
        async with ClientSession() as http, http.get(url) as answer:
            return orjson.loads(await answer.read())

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """One HTTPS call, signed as the contract says, by nothing of the product's."""
        api = self.info["api"]
        raw = b"" if body is None else orjson.dumps(body)
        stamp, nonce = str(int(time.time())), secrets.token_hex(16)
        text = f"{method}\n{path}\n{stamp}\n{nonce}\n{hashlib.sha256(raw).hexdigest()}\n"
        signature = hmac.new(api["secret"].encode(), text.encode(), "sha256").hexdigest()
        headers = {
            "Authorization": f'POSGATE-HMAC-SHA256 key_id="{api["key_id"]}",timestamp="{stamp}",'
            f'nonce="{nonce}",signature="{signature}"',
            "Content-Type": "application/json",
        }
        trust = TCPConnector(ssl=ssl.create_default_context(cafile=api["ca_file"]))
        url = api["base_url"] + path
        async with (
            ClientSession(connector=trust) as http,
            http.request(method, url, data=raw, headers=headers) as answer,
        ):
            data = await answer.read()
            is_json = "json" in answer.headers.get("Content-Type", "")
            return answer.status, orjson.loads(data) if is_json else data
