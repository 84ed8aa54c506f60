"""A whole gateway in this process, with the real sandbox beside it, for tests of the doors.

Rules: nothing is shared between tests but an installation template (keys and a
migrated file, made once per process); every port is the system's choice; the log of a
run is kept so that a test can look for what must not be in it.

A conftest uses it by ``from tests.support.gateway import installation_template, running``.
"""

import asyncio
import contextlib
import secrets
import shutil
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import yaml
from yarl import URL

from gateway.bootstrap import Bound, Gateway, Seams
from gateway.cli.installation import (
    Installation,
    InstalledKey,
    InstalledTerminal,
)
from gateway.cli.sandbox import addresses_of, sandbox_config
from gateway.cli.session import Session, session
from gateway.cli.terminal_client import TerminalPlace
from gateway.cli.tuning import Tuning
from gateway.config import load
from gateway.directory import api_key_context
from gateway.store.migrate import migrate
from gateway.store.port import ApiKey, Merchant
from sandbox.config import BoundPorts
from sandbox.server import serve
from signing.merchant import answer_string, authorization, request_string, sign, verify
from tests.support.postgres import in_a_thread
from tests.support.waiting import eventually

__all__ = [
    "FAST",
    "OTHER_MERCHANT_NO",
    "Caller",
    "Place",
    "Reply",
    "Running",
    "installation_template",
    "opened",
    "place",
    "running",
    "scanned",
]

OTHER_MERCHANT_NO = "M0002"
_FINAL = ("succeeded", "failed", "closed", "reversed")
FAST = Tuning(
    till_wait_s=12,
    user_paying_after_s=1,
    recovery_interval_s=0.05,
    alipay_timeout_s="3",
    alipay_query_after_s="0.2,0.2,0.2,0.2,0.2,0.2,0.2,0.2,0.2,0.2",
    alipay_refund_retry_s="0.2,0.2,0.2,0.2,0.5",
    card_timeout_s="3",
    unionpay_qr_timeout_s="2",
    unionpay_qr_query_after_s="0.2,0.3,0.5,1,1,1,1,1,1,1",
    unionpay_qr_refund_retry_s="0.2,0.4,0.5,0.5,1",
)
"""The demo's installation with its waits cut down."""


@dataclass(frozen=True)
class Reply:
    """An answer of the API."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return orjson.loads(self.raw)

    @property
    def code(self) -> str:
        """The stable code of an error."""
        return str(self.json["error"]["code"])

    @property
    def field(self) -> str:
        """The field that an error names."""
        return str(self.json["error"].get("field", ""))


class Caller:
    """Cashier software of one merchant; every answer's signature is checked."""

    def __init__(self, http: aiohttp.ClientSession, base_url: str, key: InstalledKey) -> None:
        self._http = http
        self.base_url = base_url
        self.key = key

    def authorization(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        at_s: int | None = None,
        nonce: str | None = None,
        key_id: str | None = None,
        secret: str | None = None,
    ) -> str:
        """A header that signs a request, right unless told otherwise."""
        timestamp = str(int(time.time()) if at_s is None else at_s)
        nonce = secrets.token_hex(12) if nonce is None else nonce
        message = request_string(method, path, timestamp, nonce, body)
        signature = sign((self.key.secret if secret is None else secret).encode(), message)
        return authorization(key_id or self.key.key_id, timestamp, nonce, signature)

    async def send(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send as it stands, unsigned unless ``headers`` sign it."""
        async with self._http.request(
            method,
            URL(self.base_url + path, encoded=True),
            data=body or None,
            headers=dict(headers or {}),
        ) as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    async def call(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        """One signed call; ``body`` bytes go as they are, anything else as JSON."""
        raw = b"" if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
        sent = {"Authorization": self.authorization(method, path, raw)}
        if raw:
            sent["Content-Type"] = "application/json"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        reply = await self.send(method, path, raw, sent)
        if "Posgate-Signature" in reply.headers:
            assert self.signed(reply), "the answer's signature does not verify"
        return reply

    def signed(self, reply: Reply) -> bool:
        """Whether an answer carries the merchant's own signature over its bytes."""
        said = reply.headers
        message = answer_string(said["Posgate-Timestamp"], said["Posgate-Nonce"], reply.raw)
        return verify(self.key.secret.encode(), message, said["Posgate-Signature"])

    async def pay(self, code: str, number: str = "", **changes: object) -> Reply:
        """``POST /v1/payments``; a change of ``None`` leaves a field out."""
        return await self.call("POST", "/v1/payments", scanned(code, number, **changes))

    async def get(self, payment_id: str) -> Reply:
        """A payment by its id."""
        return await self.call("GET", f"/v1/payments/{payment_id}")

    async def find(self, number: str) -> Reply:
        """A payment by the merchant's number."""
        return await self.call("GET", f"/v1/payments?merchant_order_no={number}")

    async def cancel(self, payment_id: str) -> Reply:
        """Undo a payment."""
        return await self.call("POST", f"/v1/payments/{payment_id}/cancel")

    async def refund(self, payment_id: str, amount: int, number: str = "", **more: object) -> Reply:
        """Give ``amount`` fen of a payment back."""
        body = {"merchant_refund_no": number or secrets.token_hex(8), "amount": amount, **more}
        return await self.call("POST", f"/v1/payments/{payment_id}/refunds", body)

    async def get_refund(self, refund_id: str) -> Reply:
        """A refund by its id."""
        return await self.call("GET", f"/v1/refunds/{refund_id}")

    async def refunds(self, payment_id: str) -> Reply:
        """The refunds of a payment."""
        return await self.call("GET", f"/v1/payments/{payment_id}/refunds")

    async def final_refund(self, refund_id: str) -> Any:
        """Ask until the refund is final or parked."""
        refund: Any = {}

        async def is_over() -> bool:
            nonlocal refund
            refund = (await self.get_refund(refund_id)).json
            return bool(refund["case_id"]) or refund["status"] in ("succeeded", "failed")

        await eventually(is_over)
        return refund

    async def final(self, payment_id: str) -> Any:
        """Ask until the payment is final or parked."""
        payment: Any = {}

        async def is_over() -> bool:
            nonlocal payment
            payment = (await self.get(payment_id)).json
            return bool(payment["case_id"]) or payment["status"] in _FINAL

        await eventually(is_over)
        return payment


def scanned(code: str, number: str = "", **changes: object) -> dict[str, object]:
    """The body of a payment by scanned code."""
    body: dict[str, object] = {
        "merchant_order_no": number or secrets.token_hex(8),
        "amount": 1990,
        "currency": "CNY",
        "subject": "奶茶",
        "method": {"type": "auth_code", "auth_code": code},
        "wait_s": 30,
    }
    body |= changes
    return {name: value for name, value in body.items() if value is not None}


@dataclass
class Place:
    """An installation with its sandbox running, before any gateway."""

    installation: Installation
    ports: BoundPorts
    key: InstalledKey
    other_key: InstalledKey
    terminals: list[InstalledTerminal]
    seams: Seams = field(default_factory=Seams)

    @property
    def folder(self) -> Path:
        """Where keys, configuration and an SQLite file lie."""
        return self.installation.folder

    def configure(self, **sections: Mapping[str, object]) -> None:
        """Change keys of ``config.yaml``."""
        file = self.installation.config_file
        data = yaml.safe_load(file.read_text())
        for name, keys in sections.items():
            data.setdefault(name, {}).update(keys)
        file.write_text(yaml.safe_dump(data))

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """The installation as a command opens it."""
        async with session(self.installation.config_file) as it:
            yield it

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """The sandbox's control server."""
        url = f"http://127.0.0.1:{self.ports.control}{path}"
        data = None if body is None else orjson.dumps(body)
        async with aiohttp.ClientSession() as http, http.request(method, url, data=data) as answer:
            assert answer.status == 200, await answer.text()
            return orjson.loads(await answer.read())

    async def charges(self) -> list[dict[str, Any]]:
        """What the simulated channels believe."""
        found: list[dict[str, Any]] = await self.ask("GET", "/charges")
        return found

    async def charge(self, payment: Mapping[str, Any]) -> tuple[int, int]:
        """Charged and returned fen of one payment at its channel."""
        for charge in await self.charges():
            if charge["order_no"] == payment["channel_order_no"]:
                return charge["charged_fen"], charge["returned_fen"]
        return 0, 0

    async def faults(self, channel: str, *rules: Mapping[str, object]) -> None:
        """Replace a channel's faults."""
        await self.ask("POST", "/faults", {"channel": channel, "rules": list(rules)})

    @contextlib.asynccontextmanager
    async def gateway(self, *, drain_s: float | None = 5) -> AsyncIterator["Running"]:
        """One gateway process's worth, from start to stop."""
        log_file = self.folder / f"gateway-{secrets.token_hex(4)}.log"
        stderr = log_file.open("w")
        with contextlib.redirect_stderr(stderr):
            gateway = Gateway(load(self.installation.config_file), self.seams)
        trust = ssl.create_default_context(cafile=str(self.installation.ca_file))
        connector = aiohttp.TCPConnector(ssl=trust, limit=256)
        async with aiohttp.ClientSession(connector=connector) as http:
            try:
                bound = await gateway.start()
                base_url = f"https://127.0.0.1:{bound.api_port}"
                yield Running(
                    place=self,
                    gateway=gateway,
                    bound=bound,
                    api=Caller(http, base_url, self.key),
                    other=Caller(http, base_url, self.other_key),
                    log_file=log_file,
                )
            finally:
                await http.close()
                await gateway.stop(drain_s)
                stderr.close()


@dataclass
class Running:
    """A gateway that serves, and who may call it."""

    place: Place
    gateway: Gateway
    bound: Bound
    api: Caller
    other: Caller
    log_file: Path

    def lines(self) -> list[dict[str, Any]]:
        """The log so far, one JSON object a line."""
        return [orjson.loads(line) for line in self.log_file.read_bytes().splitlines()]

    def terminal(self, number: int = 0) -> TerminalPlace:
        """What a POS terminal needs to know."""
        terminal = self.place.terminals[number]
        return TerminalPlace(
            host="127.0.0.1",
            port=self.bound.pos_port,
            merchant_id="990000000000001",
            terminal_id=terminal.terminal_id,
            tmk=bytes.fromhex(terminal.tmk),
        )


async def _second_merchant(opened: Session) -> InstalledKey:
    """Another merchant with an API key of its own."""
    now_ms = opened.clock.now_ms()
    await opened.store.add_merchant(
        Merchant(
            merchant_no=OTHER_MERCHANT_NO,
            name="Other Shop",
            pos_merchant_id="990000000000002",
            created_at_ms=now_ms,
        )
    )
    key = InstalledKey(opened.ids.new("key_"), secrets.token_hex(32))
    await opened.store.add_api_key(
        ApiKey(
            key_id=key.key_id,
            merchant_no=OTHER_MERCHANT_NO,
            secret_sealed=opened.sealer.seal(key.secret.encode(), api_key_context(key.key_id)),
            created_at_ms=now_ms,
        )
    )
    return key


@contextlib.asynccontextmanager
async def opened(
    template: Path,
    folder: Path,
    tuning: Tuning = FAST,
    terminals: int = 1,
    wallets: Sequence[str] = ("alipay",),
) -> AsyncIterator[Place]:
    """A provisioned installation in ``folder`` with its sandbox running.

    Of the wallets only ``wallets`` get accounts: tests open others with channels of their own.
    """
    shutil.copytree(template, folder)
    installation = Installation(folder, tuning)
    written = installation._config()
    http = {**_mapping(written["http"]), "port": 0}
    del http["public_url"]  # where that will be is not known yet
    written["pos"], written["http"] = {"port": 0}, http
    installation.config_file.write_text(yaml.safe_dump(written))
    loaded = load(installation.config_file)
    assert loaded.config.sandbox is not None
    ready: asyncio.Future[BoundPorts] = asyncio.get_running_loop().create_future()
    settings = sandbox_config(loaded, loaded.config.sandbox)
    task = asyncio.create_task(serve(settings, ready.set_result))
    try:
        ports = await ready
        async with session(installation.config_file) as it:
            key, made = await installation.provision(
                it,
                channels=only(addresses_of(settings, ports), wallets),
                terminals=terminals,
            )
            other_key = await _second_merchant(it)
        yield Place(installation, ports, key, other_key, made)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def only(addresses: Mapping[str, object], wallets: Sequence[str]) -> dict[str, object]:
    """The addresses without the wallets that are not wanted."""
    left_out = {"alipay", "wechat", "unionpay_qr"} - set(wallets)
    return {name: value for name, value in addresses.items() if name not in left_out}


def _mapping(value: object) -> dict[str, object]:
    assert isinstance(value, dict)
    return value


@pytest.fixture(scope="session")
def installation_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys, certificates and a migrated SQLite file, to copy."""
    folder = tmp_path_factory.mktemp("installation") / "template"
    installation = Installation(folder)
    installation.write()
    in_a_thread(lambda: migrate(load(installation.config_file).store_url()))
    return folder


@pytest.fixture
async def place(installation_template: Path, tmp_path: Path) -> AsyncIterator[Place]:
    """A provisioned installation and its sandbox; the test starts gateways on it."""
    async with opened(installation_template, tmp_path / "place") as it:
        yield it


@pytest.fixture
async def running(place: Place) -> AsyncIterator[Running]:
    """A gateway on SQLite with two merchants, a terminal and the real sandbox."""
    async with place.gateway() as it:
        yield it


def with_seams(place: Place, **seams: Callable[..., Any]) -> Place:
    """The same place for a gateway whose seams are replaced."""
    return replace(place, seams=replace(place.seams, **seams))  # type: ignore[arg-type]
