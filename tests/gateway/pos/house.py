"""A whole shop on this machine: simulated channels, a gateway on SQLite, terminals.

Rules: everything runs in the test's own event loop on free ports; the sandbox is the
real one on real sockets; a gateway can be stopped and started again on its database.
Terminals and their master keys are planted here, so that a test can look for them.
"""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

import orjson
import yaml
from aiohttp import ClientSession
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.payment import FINAL, Payment, Status
from gateway.bootstrap import Bound, Gateway, Seams
from gateway.cli.installation import MERCHANT_NO, Installation, InstalledKey
from gateway.cli.sandbox import addresses_of, sandbox_config
from gateway.cli.session import Session, session
from gateway.cli.tuning import Tuning
from gateway.config import LoadedConfig, load
from gateway.directory import master_context
from gateway.sources import SystemClock
from gateway.store.migrate import migrate
from gateway.store.port import Store, Terminal
from sandbox.config import BoundPorts, SandboxConfig
from sandbox.server import serve
from signing.pos import CipherKey
from tests.gateway.pos.foreign_terminal import ForeignTerminal, Identity
from tests.support.gateway import only

__all__ = ["House", "Plan", "make_template", "open_house", "until"]

TILL_WAIT_S = 10.0
_PAID = Status.SUCCEEDED
SETTLED_WITHIN_S = 20


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a test's shop is made with."""

    wallets: tuple[str, ...] = ("alipay",)
    till_wait_s: float = TILL_WAIT_S
    card_timeout_s: str = "1"
    alipay_timeout_s: str = "1"
    alipay_query_after_s: str = "0.1,0.2,0.2,0.3,0.3,0.5,0.5,0.5,1,1,1,1,1,1"
    user_paying_after_s: int = 1
    pos: dict[str, object] = field(default_factory=dict)
    http: dict[str, object] = field(default_factory=dict)
    store_url: str = ""
    wrap_store: Callable[[Store], Store] = lambda store: store


class ShiftedClock(SystemClock):
    """The machine's clock, put forward by a test."""

    def __init__(self) -> None:
        self.ahead_s = 0

    def now_ms(self) -> int:
        return super().now_ms() + 1000 * self.ahead_s

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.ahead_s


async def until(holds: Callable[[], bool], within_s: float = SETTLED_WITHIN_S) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(within_s):
        while True:
            if holds():
                return
            await asyncio.sleep(0.01)


async def make_template(folder: Path) -> Path:
    """Keys, certificates and an empty migrated database, to be copied for each test."""
    place = Installation(folder, Tuning(tls=False, log_level="debug"))
    place.write()
    await migrate(load(place.config_file).store_url())
    return folder


class House:
    """The running shop; its own gateway may be restarted."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan = folder, plan
        self.clock = ShiftedClock()
        self.ports = BoundPorts()
        self._loaded: LoadedConfig
        self._gateway: Gateway | None = None
        self._bound: Bound | None = None
        self._sandbox: asyncio.Task[None] | None = None
        self._log_files: list[Path] = []
        self._log_stream: TextIO | None = None
        self._terminals: list[ForeignTerminal] = []

    async def prepare(self) -> InstalledKey:
        """Configure and provision; no gateway runs yet. The merchant's API key."""
        self._configure()
        await self.start_sandbox()
        tuning = Tuning(
            alipay_timeout_s=self.plan.alipay_timeout_s,
            alipay_query_after_s=self.plan.alipay_query_after_s,
            card_timeout_s=self.plan.card_timeout_s,
            unionpay_qr_timeout_s="1",
        )
        async with self.session() as opened:
            key, _ = await Installation(self.folder, tuning).provision(
                opened,
                channels=only(addresses_of(self._sandbox_config(), self.ports), self.plan.wallets),
                terminals=0,
            )
        return key

    def _configure(self) -> None:
        file = self.folder / "config.yaml"
        data = yaml.safe_load(file.read_text())
        data["pos"] = {"port": 0, **self.plan.pos}
        data["http"] = {"port": 0, **self.plan.http}
        if self.plan.store_url:
            data["store"] = {"url": self.plan.store_url}
        data["sandbox"]["wechat"]["reverse_after_s"] = 0
        data["payments"] = {"till_wait_s": self.plan.till_wait_s}
        data["recovery"] = {"interval_s": 0.1}
        file.write_text(yaml.safe_dump(data))
        self._loaded = load(file)

    def session(self) -> contextlib.AbstractAsyncContextManager[Session]:
        """The installation opened beside the gateway, as the command line does."""
        return session(self.folder / "config.yaml")

    def _sandbox_config(self) -> SandboxConfig:
        section = self._loaded.config.sandbox
        assert section is not None
        return sandbox_config(self._loaded, section)

    async def start_sandbox(self) -> None:
        """Start the simulated channels, on the ports they had before."""
        config = replace(
            self._sandbox_config(),
            user_paying_after_s=self.plan.user_paying_after_s,
            alipay_port=self.ports.alipay,
            card_port=self.ports.card,
            control_port=self.ports.control,
        )
        ready: asyncio.Future[BoundPorts] = asyncio.get_running_loop().create_future()
        self._sandbox = asyncio.create_task(serve(config, ready.set_result))
        waiting: set[asyncio.Future[Any]] = {self._sandbox, ready}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        self.ports = ready.result()

    async def stop_sandbox(self) -> None:
        """Take the simulated channels away; their books are lost."""
        if self._sandbox is not None:
            self._sandbox.cancel()
            await asyncio.wait({self._sandbox})
            self._sandbox = None

    async def start_gateway(self) -> None:
        """Start a gateway on this database; its log is kept."""
        file = self.folder.with_name(f"gateway-{len(self._log_files)}.log")
        self._log_files.append(file)
        self._log_stream = file.open("a")
        with contextlib.redirect_stderr(self._log_stream):
            self._gateway = Gateway(
                self._loaded, Seams(clock=self.clock, wrap_store=self.plan.wrap_store)
            )
        self._bound = await self._gateway.start()
        await until(self.card_link_is_up)

    def card_link_is_up(self) -> bool:
        """Whether the gateway is signed on at the card host."""
        routes = self.gateway._routes
        return routes is not None and routes.health()["card-1"].ready

    async def stop_gateway(self) -> None:
        """Stop it as SIGTERM would."""
        if self._gateway is not None:
            gateway, self._gateway = self._gateway, None
            await gateway.stop()
        if self._log_stream is not None:
            self._log_stream.close()
            self._log_stream = None

    async def restart_gateway(self) -> None:
        """Stop it and start another on the same database; terminals must connect anew."""
        await self.stop_gateway()
        await self.start_gateway()
        for terminal in self._terminals:
            terminal.hang_up()
            terminal.port = self.pos_port

    async def close(self) -> None:
        for terminal in self._terminals:
            terminal.hang_up()
        await self.stop_gateway()
        await self.stop_sandbox()

    @property
    def gateway(self) -> Gateway:
        assert self._gateway is not None
        return self._gateway

    @property
    def pos_port(self) -> int:
        """Where the gateway listens; before its start, where it is told to."""
        return self._bound.pos_port if self._bound is not None else self._loaded.config.pos.port

    @property
    def log(self) -> bytes:
        """Everything that was ever logged."""
        return b"".join(file.read_bytes() for file in self._log_files)

    def events(self, event: str) -> list[dict[str, Any]]:
        """The log lines of one event."""
        lines = [orjson.loads(line) for line in self.log.splitlines()]
        return [line for line in lines if line["event"] == event]

    async def provision(
        self,
        terminal_id: str = "99100001",
        *,
        weak_pin: bool = False,
        options_json: str = "{}",
        **options: str,
    ) -> Identity:
        """A terminal with a master key made from its number; ``options``: scheme and mac."""
        tmk = AESGCM(terminal_id.encode() * 2).encrypt(bytes(12), b"", b"")[:16]
        who = Identity(terminal_id, tmk, **options)
        async with self.session() as opened:
            context = master_context(MERCHANT_NO, terminal_id)
            await opened.store.add_terminal(
                Terminal(
                    merchant_no=MERCHANT_NO,
                    terminal_id=terminal_id,
                    key_scheme=who.scheme,
                    mac=who.mac,
                    allow_weak_pin=weak_pin,
                    tmk_sealed=opened.sealer.seal(tmk, context),
                    tmk_kcv=CipherKey(tmk).kcv().hex().upper(),
                    created_at_ms=1,
                    options_json=options_json,
                )
            )
        return who

    def terminal(self, who: Identity) -> ForeignTerminal:
        """A terminal that has not connected yet."""
        terminal = ForeignTerminal(who, self.pos_port)
        self._terminals.append(terminal)
        return terminal

    async def signed_in(
        self, terminal_id: str = "99100001", *, weak_pin: bool = False, **options: str
    ) -> ForeignTerminal:
        """A provisioned terminal with working keys."""
        terminal = self.terminal(await self.provision(terminal_id, weak_pin=weak_pin, **options))
        await terminal.sign_in()
        return terminal

    async def charges(self) -> list[dict[str, Any]]:
        """What the channels believe."""
        url = f"http://127.0.0.1:{self.ports.control}/charges"
        async with ClientSession() as http, http.get(url) as answer:
            found: list[dict[str, Any]] = orjson.loads(await answer.read())
            return found

    async def charged_and_returned(self) -> tuple[list[int], list[int]]:
        """What was ever charged, one figure for each order, and what went back."""
        charges = await self.charges()
        return [c["charged_fen"] for c in charges], [c["returned_fen"] for c in charges]

    async def faults(self, channel: str, *rules: dict[str, object]) -> None:
        """Replace a channel's faults."""
        url = f"http://127.0.0.1:{self.ports.control}/faults"
        body = orjson.dumps({"channel": channel, "rules": rules})
        async with ClientSession() as http, http.post(url, data=body) as answer:
            assert answer.status == 200

    async def payment(self, terminal: ForeignTerminal, trace: str) -> Payment | None:
        """What the gateway's store holds of a sale."""
        key = f"{terminal.who.terminal_id}-{terminal.batch}-{trace}"
        return await self.gateway.store.payment_by_order(MERCHANT_NO, "pos", key)

    async def begun(self, terminal: ForeignTerminal, trace: str) -> Payment:
        """Wait until a sale is in the store."""
        async with asyncio.timeout(SETTLED_WITHIN_S):
            while True:
                payment = await self.payment(terminal, trace)
                if payment is not None:
                    return payment
                await asyncio.sleep(0.005)

    async def ended(self, terminal: ForeignTerminal, trace: str) -> str:
        """Wait until a sale is final; its status, once the books agree with it."""
        payment = await self.begun(terminal, trace)
        return await self.settled(payment.order.id)

    async def settled(self, payment_id: str) -> str:
        """Wait until a payment is final; its status, once the books agree with it."""
        async with asyncio.timeout(SETTLED_WITHIN_S):
            while True:
                payment = await self.gateway.store.payment(payment_id)
                assert payment is not None
                if payment.standing.status in FINAL:
                    break
                await asyncio.sleep(0.01)
        await self._agrees(payment)
        return payment.standing.status.value

    async def _agrees(self, payment: Payment) -> None:
        """The ledger sums to zero and holds exactly the money that the channel kept."""
        postings = await self.gateway.store.postings(payment.order.id)
        assert sum(posting.amount_fen for posting in postings) == 0
        owed = sum(p.amount_fen for p in postings if p.account.startswith("channel:"))
        kept = sum(
            charge["charged_fen"] - charge["returned_fen"]
            for charge in await self.charges()
            if charge["order_no"] == payment.order.channel_order_no
        )
        assert owed == kept
        assert kept == (payment.order.amount_fen if payment.standing.status is _PAID else 0)
        assert payment.standing.captured_fen - payment.standing.returned_fen == kept


@contextlib.asynccontextmanager
async def open_house(template: Path, folder: Path, plan: Plan) -> AsyncIterator[House]:
    """A shop in a copy of the template, closed at the end."""
    shutil.copytree(template, folder)
    house = House(folder, plan)
    try:
        await house.prepare()
        await house.start_gateway()
        yield house
    finally:
        await house.close()
