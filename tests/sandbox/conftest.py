"""A running sandbox with a clock that stands still until it is told, and its keys."""

import asyncio
import contextlib
import http.client
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession
from alipay.aop.api.AlipayClientConfig import AlipayClientConfig
from alipay.aop.api.DefaultAlipayClient import DefaultAlipayClient
from alipay.aop.api.util import WebUtils
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from sandbox.config import (
    AlipaySandboxConfig,
    BoundPorts,
    CardHostConfig,
    CardLink,
    SandboxConfig,
)
from sandbox.server import serve
from sandbox.world import World
from tests.sandbox.foreign_link import ForeignLink

NOON_MS = 1_795_320_000_000
"""2026-11-22 12:00:00 in Beijing."""


@dataclass
class StandingClock:
    """Time that moves only when a test says so."""

    ms: int = NOON_MS

    def now_ms(self) -> int:
        return self.ms


@dataclass(frozen=True)
class AppKeys:
    """One party's RSA pair."""

    pair: rsa.RSAPrivateKey

    @property
    def pkcs1(self) -> str:
        return self.pair.private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
        ).decode()

    @property
    def public(self) -> str:
        return (
            self.pair.public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )


@dataclass(frozen=True)
class RunningSandbox:
    """Where a sandbox listens, and its clock."""

    ports: BoundPorts
    clock: StandingClock

    async def control(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        url = f"http://127.0.0.1:{self.ports.control}{path}"
        data = None if body is None else orjson.dumps(body)
        async with ClientSession() as http, http.request(method, url, data=data) as answer:
            return answer.status, orjson.loads(await answer.read())

    async def charges(self) -> Any:
        status, body = await self.control("GET", "/charges")
        assert status == 200
        return body


@pytest.fixture(scope="session")
def app_keys() -> AppKeys:
    return AppKeys(rsa.generate_private_key(65537, 2048))


@pytest.fixture(scope="session")
def alipay_keys() -> AppKeys:
    return AppKeys(rsa.generate_private_key(65537, 2048))


@pytest.fixture
def config(app_keys: AppKeys, alipay_keys: AppKeys) -> SandboxConfig:
    return SandboxConfig(
        alipay=AlipaySandboxConfig(
            app_id="2021000000000001",
            app_public_key_pem=app_keys.public.encode(),
            alipay_private_key_pem=alipay_keys.pkcs1.encode(),
        ),
        card=CardHostConfig(
            links=(
                CardLink(
                    merchant_id="999000000000001",
                    terminal_id="99000001",
                    tmk=bytes.fromhex("0123456789ABCDEFFEDCBA9876543210"),
                ),
            )
        ),
    )


def counting_bytes() -> Callable[[int], bytes]:
    """A stand-in for randomness: every call differs, every run is the same."""
    calls = iter(range(1, 256))
    return lambda size: bytes((next(calls) * 7 + i * 31) % 256 for i in range(size))


@pytest.fixture
def world(config: SandboxConfig) -> World:
    return World(config, counting_bytes())


@pytest.fixture
def change(config: SandboxConfig) -> Callable[..., SandboxConfig]:
    """The test's configuration with something changed in its card host or itself."""

    def changed(card: dict[str, Any] | None = None, **top: Any) -> SandboxConfig:
        return replace(config, card=replace(config.card, **(card or {})), **top)

    return changed


@contextlib.asynccontextmanager
async def running(config: SandboxConfig) -> AsyncIterator[RunningSandbox]:
    clock = StandingClock()
    ready: asyncio.Future[BoundPorts] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(config, ready.set_result, now_ms=clock.now_ms))
    waiting: set[asyncio.Future[Any]] = {task, ready}
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
    try:
        yield RunningSandbox(ready.result(), clock)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def run() -> Callable[[SandboxConfig], contextlib.AbstractAsyncContextManager[RunningSandbox]]:
    """For tests that need a sandbox of another configuration."""
    return running


@pytest.fixture
async def sandbox(config: SandboxConfig) -> AsyncIterator[RunningSandbox]:
    async with running(config) as it:
        yield it


@pytest.fixture
async def connect(sandbox: Any) -> AsyncIterator[Callable[[], Any]]:
    links: list[ForeignLink] = []

    async def open_link() -> ForeignLink:
        links.append(ForeignLink(*await asyncio.open_connection("127.0.0.1", sandbox.ports.card)))
        return links[-1]

    yield open_link
    for link in links:
        link.close()


@pytest.fixture
async def link(connect: Callable[[], Any]) -> ForeignLink:
    opened: ForeignLink = await connect()
    await opened.sign_in()
    return opened


@pytest.fixture
def sdk(
    sandbox: Any, app_keys: Any, alipay_keys: Any, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """``await sdk(RequestClass, biz…)`` → the response node, its signature verified by the SDK.

    The SDK can only reach port 80 (it drops a URL's port), so the one thing replaced is
    where its connection goes; request, signature and verification are all its own.
    """

    def connect(host: str, port: int, timeout: float) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(host, sandbox.ports.alipay, timeout=timeout)

    monkeypatch.setattr(WebUtils, "httplib", SimpleNamespace(HTTPConnection=connect))
    settings = AlipayClientConfig()
    settings.server_url = "http://127.0.0.1/gateway.do"
    settings.app_id = "2021000000000001"
    settings.app_private_key = app_keys.pkcs1
    settings.alipay_public_key = alipay_keys.public
    settings.timeout = 5
    client = DefaultAlipayClient(settings)

    async def call(request_class: type, *, notify_url: str = "", **biz: Any) -> Any:
        request = request_class()
        if hasattr(request, "biz_content"):
            request.biz_content = biz
        else:
            for name, value in biz.items():
                setattr(request, name, value)
        if notify_url:
            request.notify_url = notify_url
        return json.loads(await asyncio.to_thread(client.execute, request))

    return call
