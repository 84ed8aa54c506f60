"""The sandbox as real servers on real sockets.

Rule: this and what it starts (``notifying``, ``wallet_site``) are the sandbox's only shell. Here
alone a clock is read and a socket opened; what is answered is decided in
:class:`sandbox.world.World`.
"""

import asyncio
import os
import ssl
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from sandbox import alipay_site, alipay_v3, card_files_site, control, unionpay_qr_site
from sandbox.config import BoundPorts, SandboxConfig, ServerTls
from sandbox.connection import CardConnection, Connections, HttpAnswer, HttpConnection
from sandbox.effects import Effect
from sandbox.http_wire import HttpRequest
from sandbox.notifying import deliver_notices
from sandbox.unionpay_qr import PATHS, UnionPayQrState
from sandbox.unionpay_qr_site import TEXT
from sandbox.wallet_site import WalletSite
from sandbox.world import World

GATEWAY_PATH: Final = "/gateway.do"


def wall_clock_ms() -> int:
    """UTC now, in ms."""
    return time.time_ns() // 1_000_000


async def serve(
    config: SandboxConfig,
    on_ready: Callable[[BoundPorts], None],
    *,
    now_ms: Callable[[], int] = wall_clock_ms,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> None:
    """Serve until cancelled, then flush, close every connection and return by raising.

    ``on_ready`` is called once, when every port listens.

    Raises:
        asyncio.CancelledError: the caller's cancellation, after the shutdown.
        OSError: a port is taken.
        ValueError: a key of the configuration cannot be read.
    """
    world = World(config, random_bytes)
    connections = Connections(config.max_connections)
    servers: dict[str, asyncio.Server] = {}
    notifying: asyncio.Task[None] | None = None
    wallets = _wallets(config, world, now_ms, random_bytes)
    try:
        loop = asyncio.get_running_loop()
        listeners = _listeners(config, world, connections, now_ms)
        if wallets is not None and config.wallets_port is not None:
            await wallets.runner.setup()
            listeners["wallets"] = wallets.protocol, config.wallets_port, None
        for name, (factory, port, tls) in listeners.items():
            servers[name] = await loop.create_server(
                factory, config.host, port, backlog=1024, ssl=tls
            )
        world.alipay_state.bills.site = f"http://{config.host}:{_port(servers['alipay'])}"
        if wallets is not None:
            wallets.listens_on(_port(servers["wallets"]))
        notifying = loop.create_task(deliver_notices(world, now_ms, config.notify_ca_file))
        on_ready(BoundPorts(**{name: _port(server) for name, server in servers.items()}))
        await notifying  # for ever
    finally:
        if notifying is not None:
            notifying.cancel()
            await asyncio.gather(notifying, return_exceptions=True)
        for server in servers.values():
            server.close()
        if wallets is not None:
            await wallets.close()
        await connections.close_all()
        for server in servers.values():
            await server.wait_closed()


def _wallets(
    config: SandboxConfig,
    world: World,
    now_ms: Callable[[], int],
    random_bytes: Callable[[int], bytes],
) -> WalletSite | None:
    """The payers' apps, if they are served."""
    if config.wallets_port is None:
        return None
    return WalletSite(
        world,
        now_ms,
        random_bytes,
        ca_file=config.notify_ca_file,
        sites=config.wallet_sites,
        hosts=(config.host,),
    )


def _port(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


Listener = tuple[Callable[[], asyncio.Protocol], int, ssl.SSLContext | None]
"""Protocol factory, wanted port, TLS."""


def _listeners(
    config: SandboxConfig, world: World, connections: Connections, now_ms: Callable[[], int]
) -> dict[str, Listener]:
    """Everything that listens, by its name in :class:`BoundPorts`."""

    def alipay(request: HttpRequest) -> HttpAnswer:
        if request.path == GATEWAY_PATH:
            return HttpAnswer(world.alipay(request.query, request.body, now_ms()))
        if request.path.startswith(alipay_v3.PREFIX):
            return world.alipay_rest(request, now_ms())
        return alipay_site.handle(request, world.alipay_state, now_ms())

    def card(payload: bytes) -> Effect:
        return world.card(payload, now_ms())

    def ask(request: HttpRequest) -> HttpAnswer:
        return control.handle(request, world, now_ms())

    def wechat(request: HttpRequest) -> HttpAnswer:
        return HttpAnswer(world.wechat(request, now_ms()), is_whole=True)

    def unionpay_qr(state: UnionPayQrState, request: HttpRequest) -> HttpAnswer:
        if request.method == "POST" and request.path in PATHS:
            return HttpAnswer(world.unionpay_qr(state, request.body, now_ms()), content_type=TEXT)
        if request.path.startswith(card_files_site.PREFIX):
            return card_files_site.handle(request, world.card_state)
        return unionpay_qr_site.handle(request)

    http = partial(HttpConnection, connections=connections, max_body_bytes=config.max_body_bytes)
    frames = config.card.max_frame_bytes
    listeners: dict[str, Listener] = {
        "alipay": (partial(http, alipay), config.alipay_port, None),
        "card": (partial(CardConnection, card, connections, frames), config.card_port, None),
        "control": (partial(http, ask), config.control_port, None),
    }
    if config.wechat is not None:
        tls = _context(config.wechat.tls) if config.wechat.tls else None
        listeners["wechat"] = partial(http, wechat), config.wechat_port, tls
    if world.unionpay_qr_state is not None:
        answer = partial(unionpay_qr, world.unionpay_qr_state)
        listeners["unionpay_qr"] = partial(http, answer), config.unionpay_qr_port, None
    return listeners


def _context(tls: ServerTls) -> ssl.SSLContext:
    """TLS 1.2 or newer; a client's certificate is asked for and verified, not demanded."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.certificate_file, tls.key_file)
    if tls.client_ca_file:
        context.load_verify_locations(cafile=tls.client_ca_file)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context
