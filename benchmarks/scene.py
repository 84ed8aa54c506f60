"""One scene: sandbox, gateway and floors on fresh databases, each a process of its own.

Rules: a metric gets a scene of its own, so that its figures do not depend on which
metrics ran before it; the gateway is started as in production (``posgate serve``, log
level info to a file, TLS, PostgreSQL).
"""

import asyncio
import secrets
import shutil
import ssl
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import orjson
import yaml

from benchmarks.books import Heard, disagreements, floor_disagreements
from benchmarks.postgres import PostgresServer
from benchmarks.processes import Child
from domain.qr_code import qr_code_id
from gateway.cli.installation import MERCHANT_NO, Installation, InstalledKey, InstalledTerminal
from gateway.cli.installed_channels import APP_ID, LINK_MERCHANT_ID, LINK_TERMINAL_ID
from gateway.cli.session import session
from gateway.cli.tuning import Tuning
from gateway.store.migrate import migrate
from gateway.store.shop_records import QrCode
from signing.pos import CipherKey, KeyScheme, WorkingKeys, wrap_working_keys

Door = Literal["card", "barcode", "page"]
_CONNECT_TIMEOUT_S: Final = 60.0
_ASK_TIMEOUT_S: Final = 30.0
_MODULES: Final = {"card": "benchmarks.floor_card", "barcode": "benchmarks.floor_barcode"}


@dataclass(slots=True)
class Side:
    """A server under load and the load generator that goes with it."""

    door: Door
    is_floor: bool
    server_pid: int
    load: Child
    heard: Heard = field(default_factory=Heard)
    expected_per_s: float = 0.0


class Scene:
    """See the module; an asynchronous context manager."""

    def __init__(
        self,
        postgres: PostgresServer,
        name: str,
        callers: int,
        tuning: Tuning | None = None,
        settings: Mapping[str, Mapping[str, object]] | None = None,
    ) -> None:
        """``settings`` are keys of the gateway's configuration, by section."""
        self.postgres = postgres
        self._tuning = tuning or Tuning()
        self._settings = settings or {}
        self._name = name
        self._callers = callers
        self.folder = Path(tempfile.mkdtemp(prefix=f"posgate-bench-{name}-"))
        self._children: list[Child] = []
        self._channels: dict[str, Any] = {}
        self._addresses: dict[str, Any] = {}
        self._dsn = ""
        self._floor_dsns: dict[Door, str] = {}
        self._installation: Installation
        self._key: InstalledKey
        self._terminals: list[InstalledTerminal] = []
        self.sandbox: Child
        self.gateway: Child
        self.sides: list[Side] = []

    async def __aenter__(self) -> "Scene":
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def _start(self) -> None:
        self._dsn = await self.postgres.new_database(f"gateway_{self._name}")
        tuning = replace(self._tuning, store_url=self._dsn)
        self._installation = place = Installation(self.folder, tuning)
        place.write()
        self._configure(place.config_file)
        self.sandbox, self._channels = await self._posgate("sandbox")
        await migrate(self._dsn)
        async with session(place.config_file) as opened:
            self._key, self._terminals = await place.provision(
                opened,
                channels=self._channels,
                terminals=self._callers,
            )
        self.gateway, self._addresses = await self._posgate("serve")

    def _configure(self, file: Path) -> None:
        config = yaml.safe_load(file.read_text())
        for section, keys in self._settings.items():
            config.setdefault(section, {}).update(keys)
        file.write_text(yaml.safe_dump(config, sort_keys=False))

    @property
    def dsn(self) -> str:
        """The gateway's database."""
        return self._dsn

    async def ask_sandbox(self, path: str, body: object = None) -> Any:
        """The answer of the sandbox's control server; a ``body`` is posted."""
        return await _ask(f"{self._channels['control_url']}{path}", body)

    async def ask_gateway(self, path: str) -> Any:
        """The answer of one of the gateway's unsigned routes, whatever its status."""
        tls = ssl.create_default_context(cafile=str(self._installation.ca_file))
        return await _ask(f"{self._addresses['api']['base_url']}{path}", None, tls)

    async def _posgate(self, command: str) -> tuple[Child, dict[str, Any]]:
        ready = self.folder / f"{command}.json"
        config = str(self._installation.config_file)
        arguments = [command, "-c", config, "--ready-file", str(ready)]
        child = await Child.start(command, "gateway.cli.main", arguments, self.folder)
        self._children.append(child)
        return child, await child.ready(ready)

    async def gateway_side(
        self, door: Door, *, callers: int = 0, wait_s: int | None = None, orders: int = 0
    ) -> Side:
        """A load generator for one of the gateway's doors, of fewer ``callers`` if given.

        ``wait_s`` (how long a payment's answer may wait) and ``orders`` (each sends so many again
        and again) are for codes.
        """
        callers = callers or self._callers
        if door == "card":
            spec = self._terminals_spec(self._terminals[:callers])
        else:
            port = urlsplit(self._addresses["api"]["base_url"]).port
            spec = {**self._barcode_spec(port or 0), "wait_s": wait_s, "orders": orders}
            spec["callers"] = callers
        return await self._side(door, spec, self.gateway.pid, is_floor=False)

    async def crowd(self, first: int) -> Child:
        """The terminals from number ``first`` on, which only sign in: ``benchmarks.crowd``."""
        file = self._write("crowd", self._terminals_spec(self._terminals[first:]))
        crowd = await Child.start("crowd", "benchmarks.crowd", [file], self.folder, piped=True)
        self._children.append(crowd)
        await crowd.hear(_CONNECT_TIMEOUT_S)
        return crowd

    async def audience(self, streams: int) -> Child:
        """Readers of that many event streams, and their shop: ``benchmarks.audience``."""
        spec = {
            "base_url": self._addresses["api"]["base_url"],
            "ca_file": str(self._installation.ca_file),
            "key_id": self._key.key_id,
            "secret": self._key.secret,
            "streams": streams,
        }
        file = self._write("audience", spec)
        child = await Child.start(
            "audience", "benchmarks.audience", [file], self.folder, piped=True
        )
        self._children.append(child)
        await child.hear(_CONNECT_TIMEOUT_S)
        return child

    async def print_code(self) -> str:
        """A printed code of the merchant's, without an amount; its number."""
        async with session(self._installation.config_file) as opened:
            code = QrCode(
                code_id=qr_code_id(secrets.token_bytes(16)),
                merchant_no=MERCHANT_NO,
                store_id="",
                terminal_id="",
                name="Benchmark Shop 基准测试",
                amount_fen=0,
                created_at_ms=opened.clock.now_ms(),
            )
            await opened.store.add_qr_code(code)
        return code.code_id

    async def page_side(self, code_id: str, cookies: Sequence[str]) -> Side:
        """A load generator that asks for a code's page, a caller for each cookie."""
        spec = {**self._api_place(), "path": f"/q/{code_id}", "cookies": list(cookies)}
        return await self._side("page", spec, self.gateway.pid, is_floor=False)

    async def page_walkers(self, code_id: str, payers: int) -> Child:
        """Payers who walk from their wallet to an order: ``benchmarks.page_walks``."""
        wallet = urlsplit(self._channels["alipay"])
        spec = {
            **self._api_place(),
            "path": f"/q/{code_id}",
            "payers": payers,
            "wallet_host": wallet.hostname,
            "wallet_port": wallet.port,
        }
        file = self._write("walks", spec)
        walks = await Child.start("walks", "benchmarks.page_walks", [file], self.folder, piped=True)
        self._children.append(walks)
        await walks.hear(_CONNECT_TIMEOUT_S)
        return walks

    def _api_place(self) -> dict[str, Any]:
        port = urlsplit(self._addresses["api"]["base_url"]).port
        ca_file = str(self._installation.ca_file)
        return {"host": "127.0.0.1", "port": port, "ca_file": ca_file}

    def _terminals_spec(self, terminals: Sequence[InstalledTerminal]) -> dict[str, Any]:
        keys = [
            {"terminal_id": terminal.terminal_id, "tmk": terminal.tmk} for terminal in terminals
        ]
        return {**self._addresses["pos"], "terminals": keys}

    async def floor_side(self, door: Door) -> Side:
        """A floor program and a load generator for it."""
        dsn = await self.postgres.new_database(f"floor_{self._name}_{door}")
        self._floor_dsns[door] = dsn
        spec = {"dsn": dsn, "callers": self._callers, **self._secrets()}
        keys = []
        if door == "card":
            keys = [_with_working_keys(terminal) for terminal in self._terminals]
            spec["terminals"] = keys
        child, ready = await self._program(f"floor-{door}", _MODULES[door], spec)
        port = int(ready["port"])
        load = self._barcode_spec(port)
        if door == "card":
            load = {"host": "127.0.0.1", "port": port, "terminals": keys}
        return await self._side(door, load, child.pid, is_floor=True)

    def _secrets(self) -> dict[str, Any]:
        folder, channels = self.folder, self._channels
        return {
            "card_host": channels["card_host"],
            "card_port": channels["card_port"],
            "link_merchant_id": LINK_MERCHANT_ID,
            "link_terminal_id": LINK_TERMINAL_ID,
            "link_tmk": (folder / "link-tmk.key").read_text(),
            "gateway_url": channels["alipay"],
            "app_id": APP_ID,
            "app_private_key_file": str(folder / "app-private.pem"),
            "alipay_public_key_file": str(folder / "alipay-public.pem"),
            "certificate_file": str(folder / "server.pem"),
            "key_file": str(folder / "server-key.pem"),
            "secret": self._key.secret,
        }

    def _barcode_spec(self, port: int) -> dict[str, Any]:
        return {
            "host": "127.0.0.1",
            "port": port,
            "ca_file": str(self._installation.ca_file),
            "key_id": self._key.key_id,
            "secret": self._key.secret,
            "callers": self._callers,
            "run": secrets.token_hex(4),
        }

    async def _program(
        self, name: str, module: str, spec: dict[str, Any]
    ) -> tuple[Child, dict[str, Any]]:
        ready = self.folder / f"{name}.ready"
        file = self._write(name, {**spec, "ready_file": str(ready)})
        child = await Child.start(name, module, [file], self.folder)
        self._children.append(child)
        return child, await child.ready(ready)

    async def _side(
        self, door: Door, spec: dict[str, Any], server_pid: int, *, is_floor: bool
    ) -> Side:
        name = f"load-{door}{'-floor' if is_floor else ''}-{len(self.sides)}"
        file = self._write(name, {**spec, "door": door})
        load = await Child.start(name, "benchmarks.load", [file], self.folder, piped=True)
        self._children.append(load)
        await load.hear(_CONNECT_TIMEOUT_S)
        side = Side(door, is_floor, server_pid, load)
        self.sides.append(side)
        return side

    def _write(self, name: str, spec: dict[str, Any]) -> str:
        file = self.folder / f"{name}.spec.json"
        file.touch(mode=0o600)
        file.write_bytes(orjson.dumps(spec))
        return str(file)

    async def disagreements(self) -> dict[str, int]:
        """What callers, books and channels disagree on, the floors' included."""
        control = self._channels["control_url"]
        heard: dict[str, Heard] = {}
        for side in self.sides:
            if not side.is_floor:
                heard[side.door] = heard.get(side.door, Heard()) + side.heard
        found = await disagreements(control, self._dsn, heard)
        for side in self.sides:
            if side.is_floor:
                dsn = self._floor_dsns[side.door]
                found |= await floor_disagreements(control, dsn, side.door, side.heard)
        return found

    async def _stop(self) -> None:
        """The load first, then the servers, the sandbox last; the next scene finds nothing left."""
        for child in reversed(self._children):
            await child.stop()
        await asyncio.sleep(0)
        shutil.rmtree(self.folder, ignore_errors=True)
        for dsn in filter(None, (self._dsn, *self._floor_dsns.values())):
            await self.postgres.drop_database(urlsplit(dsn).path.lstrip("/"))


async def _ask(url: str, body: object, tls: ssl.SSLContext | None = None) -> Any:
    data = None if body is None else orjson.dumps(body)

    def ask() -> Any:
        try:
            with urllib.request.urlopen(url, data, timeout=_ASK_TIMEOUT_S, context=tls) as answer:
                return orjson.loads(answer.read())
        except urllib.error.HTTPError as refusal:
            return orjson.loads(refusal.read())

    return await asyncio.get_running_loop().run_in_executor(None, ask)


def _with_working_keys(terminal: InstalledTerminal) -> dict[str, str]:
    """A terminal as it is after a sign-in: the floor has none."""
    keys = WorkingKeys(pin=secrets.token_bytes(16), mac=secrets.token_bytes(8))
    master = CipherKey(bytes.fromhex(terminal.tmk))
    wrapped = wrap_working_keys(KeyScheme.TDES, master, keys)
    return {
        "terminal_id": terminal.terminal_id,
        "tmk": terminal.tmk,
        "wrapped": wrapped.hex(),
    }
