"""One installation of the real thing: sandbox and gateway as processes, and who uses them.

Rules: the gateway is started as in production (``posgate serve``), on ports that stay the
same and that the system gives to nobody else while it is dead; the waits of channels and
tills are cut down, the product's own code and guarantees are not.
"""

import asyncio
import contextlib
import math
import os
import random
import signal
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import aiohttp
import orjson
import yaml

from benchmarks.processes import Child, family
from gateway.cli.installation import POS_MERCHANT_ID, Installation, InstalledTerminal
from gateway.cli.session import session
from gateway.cli.terminal_client import TerminalPlace
from gateway.cli.tuning import Tuning
from gateway.config import Config, load
from gateway.store.migrate import migrate
from tests.crash.books import read, unfinished
from tests.crash.cashier import Cashier, Door
from tests.crash.checker import Charges, Violation, violations
from tests.crash.history import History
from tests.crash.inbox import Inbox
from tests.crash.meter import Meter
from tests.crash.till import Till
from tests.gateway.crash.mortals import kept_port

_FIRST_WITHIN_S: Final = 30.0
_QUIET_WITHIN_S: Final = 90.0
_DRAINED_WITHIN_S: Final = 20.0
_PEEK_S: Final = 0.2
_FAULTS: Final[Mapping[str, list[dict[str, object]]]] = {
    "alipay": [
        {"kind": "delay", "per_mille": 100, "delay_ms": 200},
        {"kind": "drop", "per_mille": 10},
        {"kind": "drop", "per_mille": 10, "stage": "before"},
        {"kind": "close", "per_mille": 10},
        {"kind": "corrupt", "per_mille": 10},
        {"kind": "duplicate", "per_mille": 10},
    ],
    "unionpay_card": [
        {"kind": "delay", "per_mille": 100, "delay_ms": 150},
        {"kind": "drop", "per_mille": 10},
        {"kind": "drop", "per_mille": 10, "stage": "before"},
        {"kind": "corrupt", "per_mille": 5},
        {"kind": "duplicate", "per_mille": 10},
    ],
}
"""A bad day at the channels, all the time."""
_TUNING: Final = {
    "till_wait_s": 6,
    "user_paying_after_s": 1,
    "recovery_interval_s": 0.1,
    "alipay_timeout_s": "0.5",
    "alipay_query_after_s": "0.2,0.3,0.5,0.5,0.5,0.5",
    "card_timeout_s": "0.5",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an installation is made of."""

    store_url: str = "sqlite:///posgate.db"
    workers: int = 1
    nonces: str = "memory"
    tills: int = 8
    cashiers: int = 4
    seed: int = 0
    ill_for_s: float = math.inf
    """How long the merchant's endpoint refuses some notices; the rest of the run it is well."""


class Site:
    """See the module; an asynchronous context manager that starts everything but the load."""

    def __init__(self, name: str, folder: Path, plan: Plan) -> None:
        self.name = name
        self.plan = plan
        self.history = History()
        self.meter = Meter()
        self.rng = random.Random(f"{name} {plan.seed}")
        self.gateway_log = folder / f"{name}-gateway.log"
        self._folder = folder
        values: dict[str, Any] = {"store_url": plan.store_url, **_TUNING}
        self._installation = Installation(folder / name, Tuning(**values))
        self._stack = AsyncExitStack()
        self._inbox = Inbox(self.history, self.rng, plan.ill_for_s)
        self._terminals: list[InstalledTerminal] = []
        self._ports = {door: self._stack.enter_context(kept_port()) for door in ("pos", "http")}
        self._store_url = ""
        self._control_url = ""
        self._gateway: Child | None = None
        self._orphans: set[int] = set()
        self._door: Door
        self._load: list[asyncio.Task[None]] = []
        self._is_selling = False
        self.forgotten = 0
        """How often the used nonces were, or may have been, forgotten."""

    async def __aenter__(self) -> "Site":
        try:
            await self._prepare()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def _prepare(self) -> None:
        place = self._installation
        place.write()
        self._configure()
        await self._stack.enter_async_context(self._inbox)
        ready = place.folder / "sandbox.json"
        config = ["-c", str(place.config_file), "--ready-file", str(ready)]
        name = f"{self.name}-sandbox"
        sandbox = await Child.start(name, "gateway.cli.main", ["sandbox", *config], self._folder)
        self._stack.push_async_callback(sandbox.stop)
        self._store_url = load(place.config_file).store_url()
        await migrate(self._store_url)
        channels = await sandbox.ready(ready)
        self._control_url = channels["control_url"]
        async with session(place.config_file) as opened:
            key, self._terminals = await place.provision(
                opened,
                # the campaign pays by Alipay and card: its deadlines are too short for more
                channels={
                    name: at
                    for name, at in channels.items()
                    if name not in ("wechat", "unionpay_qr")
                },
                terminals=self.plan.tills,
            )
        self._inbox.secret = key.secret.encode()
        trust = ssl.create_default_context(cafile=str(place.ca_file))
        http = await self._stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust, limit=64))
        )
        self._door = Door(
            http=http,
            base_url=f"https://127.0.0.1:{self._ports['http']}",
            key_id=key.key_id,
            secret=key.secret.encode(),
            notify_url=self._inbox.url,
            memory=lambda: self.forgotten,
        )
        self._stack.push_async_callback(self._end_gateway)
        self._stack.push_async_callback(self._end_load)

    def _configure(self) -> None:
        file = self._installation.config_file
        data = yaml.safe_load(file.read_text())
        data["pos"]["port"] = self._ports["pos"]
        data["http"] |= {"port": self._ports["http"], "nonces": self.plan.nonces}
        data["recovery"]["lease_s"] = 3
        if "notifications" in Config.model_fields:
            data["notifications"] = {
                "interval_s": 0.2,
                "timeout_s": 2,
                "connect_timeout_s": 1,
                "allow_http": True,
                "allow": ["127.0.0.1"],
            }
        file.write_text(yaml.safe_dump(data))

    async def start_gateway(self) -> float:
        """Start it and return the moment (monotonic s) of its ``exec``."""
        arguments = ["serve", "-c", str(self._installation.config_file)]
        if self.plan.workers > 1:
            arguments += ["--workers", str(self.plan.workers)]
        started_s = time.monotonic()
        self._gateway = await Child.start(
            self.gateway_log.stem, "gateway.cli.main", arguments, self._folder
        )
        return started_s

    async def kill_gateway(self) -> None:
        """``kill -9``, at once."""
        if self._gateway is not None:
            self.forgotten += self.plan.nonces == "memory"
            self._orphans |= family(self._gateway.pid) - {self._gateway.pid}
            self._gateway.process.kill()
            await self._gateway.process.wait()

    def kill_worker(self) -> None:
        """``kill -9`` of one of several workers; their keeper starts another."""
        if self._gateway is not None:
            workers = sorted(family(self._gateway.pid) - {self._gateway.pid})
            if workers:
                os.kill(self.rng.choice(workers), signal.SIGKILL)

    async def first_payment(self, since_s: float, door: str = "") -> float:
        """How long after ``since_s`` the first payment begun since then succeeded, s.

        ``door`` is ``pos`` or ``api``, ``""`` for either.

        Raises:
            benchmarks.processes.BenchmarkError: the gateway ended, or nothing succeeds.
        """
        if self._gateway is None:
            raise RuntimeError("no gateway was started")
        paid = asyncio.ensure_future(self.meter.first_after(since_s, _FIRST_WITHIN_S, door))
        ended = asyncio.ensure_future(self._gateway.process.wait())
        await asyncio.wait((paid, ended), return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if not paid.done():
            paid.cancel()
            raise self._gateway.broken("ended by itself")
        try:
            return await paid
        except TimeoutError:
            raise self._gateway.broken(f"took no payment in {_FIRST_WITHIN_S:.0f} s") from None

    async def open(self) -> None:
        """Start the gateway and the load; return once payments succeed."""
        started_s = await self.start_gateway()
        for channel, rules in _FAULTS.items():
            await self._control("POST", "/faults", {"channel": channel, "rules": rules})
        self._is_selling = True
        for till in self._tills():
            self._load.append(asyncio.create_task(till.run(self._selling)))
        for number in range(self.plan.cashiers):
            cashier = Cashier(f"C{number}", self._door, self._fork(), self.history, self.meter)
            self._load.append(asyncio.create_task(cashier.run(self._selling)))
        await self.first_payment(started_s)

    def _fork(self) -> random.Random:
        return random.Random(self.rng.random())

    def _selling(self) -> bool:
        return self._is_selling

    def _tills(self) -> list[Till]:
        return [
            Till(
                TerminalPlace(
                    host="127.0.0.1",
                    port=self._ports["pos"],
                    merchant_id=POS_MERCHANT_ID,
                    terminal_id=terminal.terminal_id,
                    tmk=bytes.fromhex(terminal.tmk),
                ),
                self._fork(),
                self.history,
                self.meter,
            )
            for terminal in self._terminals
        ]

    async def close_day(self) -> list[Violation]:
        """End the faults and the load, wait until all is final, then check everything."""
        for channel in _FAULTS:
            await self._control("POST", "/faults", {"channel": channel, "rules": []})
        self._inbox.ill_until_s = 0.0
        self._is_selling = False
        found = await self._loads_end()
        for _ in range(int(_QUIET_WITHIN_S / _PEEK_S)):
            if not await unfinished(self._store_url):
                break
            await asyncio.sleep(_PEEK_S)
        books = await read(self._store_url)
        found += violations(self.history, books, await self._charges())
        found += [Violation("log", "", fault) for fault in self._faults_told()]
        found += [
            Violation("orphan", str(pid), "outlives its keeper") for pid in await self._orphaned()
        ]
        counts = self.history.counts
        counts["payments in the books"] = len(books.payments)
        counts["refunds in the books"] = len(books.refunds)
        counts["open cases"] = sum(bool(case["is_open"]) for case in books.cases)
        return found

    async def _orphaned(self) -> list[int]:
        """Workers that serve on although their keeper was killed; they get time to drain."""
        left: list[int] = []
        for _ in range(int(_DRAINED_WITHIN_S / _PEEK_S)):
            left = [pid for pid in sorted(self._orphans) if self._is_ours(pid)]
            if not left:
                break
            await asyncio.sleep(_PEEK_S)
        return left

    def _is_ours(self, pid: int) -> bool:
        """Whether a process lives and runs on our configuration."""
        own = str(self._installation.config_file).encode()
        with contextlib.suppress(OSError):
            return own in Path(f"/proc/{pid}/cmdline").read_bytes()
        return False

    def _faults_told(self) -> Iterator[str]:
        """The gateway's own word on defects of its own: what it logged with a traceback."""
        for line in self.gateway_log.read_bytes().splitlines():
            with contextlib.suppress(orjson.JSONDecodeError):
                told = orjson.loads(line)
                if isinstance(told, dict) and "exception" in told:
                    yield f"{told['event']}: {str(told['exception'])[-300:]}"

    async def _loads_end(self) -> list[Violation]:
        """Wait for the load to finish what it began; who cannot is a violation, too."""
        done, late = await asyncio.wait(self._load, timeout=_QUIET_WITHIN_S)
        found = [Violation("load", "", "still waits for an answer") for _ in late]
        for task in done:
            error = task.exception()
            if error is not None:
                found.append(Violation("load", "", f"stopped: {error!r}"))
        await self._end_load()
        return found

    async def _charges(self) -> Charges:
        listed = await self._control("GET", "/charges", None)
        return {
            (row["channel"], row["order_no"]): (row["charged_fen"], row["returned_fen"])
            for row in listed
        }

    async def _control(self, method: str, path: str, body: object) -> Any:
        data = None if body is None else orjson.dumps(body)
        async with (
            aiohttp.ClientSession() as http,
            http.request(method, self._control_url + path, data=data) as answer,
        ):
            answer.raise_for_status()
            return orjson.loads(await answer.read())

    async def _end_load(self) -> None:
        for task in self._load:
            task.cancel()
        await asyncio.gather(*self._load, return_exceptions=True)
        self._load.clear()

    async def _end_gateway(self) -> None:
        """Ask it to go; workers that outlive their keeper are killed."""
        if self._gateway is None:
            return
        members = family(self._gateway.pid) | self._orphans
        await self._gateway.stop()
        for pid in members:
            if self._is_ours(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
