"""The one composition root: every part is made here, once, and handed what it needs.

Rules: nothing below reads a clock, randomness, the environment or the network by
itself; a test or a simulation replaces any of the :class:`Seams`.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from channels.http import HttpClient
from channels.port import ChannelServices, Connect, Send
from channels.registry import plugins
from channels.tcp import connect as tcp_connect
from domain.clock import Clock
from domain.errors import ConfigurationError
from domain.ids import IdSource
from gateway.accounts import build_routes
from gateway.config import LoadedConfig
from gateway.directory import Directory
from gateway.http.auth import Authenticator
from gateway.http.nonces import Nonces, make_nonces
from gateway.http.operations import Operations
from gateway.http.server import ApiServer
from gateway.keys import open_sealer
from gateway.logs import Log, make_log
from gateway.metrics import Metrics
from gateway.payments import Payments
from gateway.pos.door import PosDoor
from gateway.pos.listener import PosListener
from gateway.recovery import Recovery
from gateway.routes import Routes
from gateway.settlement import Settlement
from gateway.sources import RandomIds, RandomPool, SystemClock, random_bytes
from gateway.store.engine import StoreOptions, store_for
from gateway.store.port import Store
from signing.keywrap import Sealer

_DRAIN_MARGIN_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Seams:
    """What a test or a simulation may replace; the defaults are the real things."""

    clock: Clock = field(default_factory=SystemClock)
    ids: IdSource = field(default_factory=RandomIds)
    random_bytes: Callable[[int], bytes] = random_bytes
    nonce_bytes: Callable[[int], bytes] = field(default_factory=lambda: RandomPool().take)
    wrap_store: Callable[[Store], Store] = lambda store: store
    wrap_send: Callable[[Send], Send] = lambda send: send
    wrap_connect: Callable[[Connect], Connect] = lambda connect: connect


@dataclass(frozen=True, slots=True)
class Bound:
    """The addresses that the gateway really listens on."""

    pos_host: str
    pos_port: int
    api_host: str
    api_port: int
    api_tls: bool


class Gateway:
    """A whole gateway process."""

    def __init__(self, loaded: LoadedConfig, seams: Seams | None = None) -> None:
        self._loaded = loaded
        self._seams = seams or Seams()
        config = loaded.config
        self.log: Log = make_log(config.logs.level, config.logs.format)
        self.metrics = Metrics()
        self._sealer: Sealer = open_sealer(
            config.keys.master_key, loaded.folder, self._seams.nonce_bytes
        )
        options = StoreOptions(max_batch=config.store.max_batch, max_queued=config.store.max_queued)
        self.store = self._seams.wrap_store(
            store_for(loaded.store_url(), options=options, log=self.log)
        )
        self._http_client = HttpClient(
            max_concurrent_per_channel=config.channels.max_concurrent_per_channel,
            connect_timeout_s=config.channels.connect_timeout_s,
            ca_file=str(loaded.path(config.channels.ca_file)) if config.channels.ca_file else None,
        )
        self._nonces: Nonces = make_nonces(
            config.http.nonces, self._seams.clock, config.http.max_nonces
        )
        self._routes: Routes | None = None
        self._payments: Payments | None = None
        self._listener: PosListener | None = None
        self._api: ApiServer | None = None
        self._recovery: asyncio.Task[None] | None = None

    async def start(self) -> Bound:
        """Open the store, the channels, recovery, then the doors.

        Raises:
            ConfigurationError: not migrated, an account that cannot be built, a port taken.
        """
        await self.store.open()
        await self._http_client.start()
        services = ChannelServices(
            clock=self._seams.clock,
            ids=self._seams.ids,
            send=self._seams.wrap_send(self._http_client.send),
            connect=self._seams.wrap_connect(tcp_connect),
            take_sequence=self.store.take_sequence,
        )
        accounts = await self.store.accounts()
        till_wait_s = self._loaded.config.payments.till_wait_s
        self._routes = build_routes(accounts, plugins(), services, self._sealer, till_wait_s)
        await self._routes.start()
        settlement = Settlement(
            store=self.store,
            routes=self._routes,
            clock=self._seams.clock,
            metrics=self.metrics,
            log=self.log,
        )
        self._start_recovery(settlement)
        self._payments = self._make_payments(settlement, self._routes)
        bound = await self._open_doors(self._payments, self._routes)
        self._watch()
        if not bound.api_tls and bound.api_host not in ("127.0.0.1", "::1", "localhost"):
            self.log.warning("api without tls", host=bound.api_host)
        self.log.info("gateway ready", pos_port=bound.pos_port, api_port=bound.api_port)
        return bound

    def _start_recovery(self, settlement: Settlement) -> None:
        section = self._loaded.config.recovery
        recovery = Recovery(
            store=self.store,
            settlement=settlement,
            clock=self._seams.clock,
            metrics=self.metrics,
            log=self.log,
            interval_s=section.interval_s,
            lease_s=section.lease_s,
            max_at_once=section.max_at_once,
        )
        self.metrics.watch("posgate_recovering", "Payments being recovered", recovery.working)
        self._recovery = asyncio.get_running_loop().create_task(recovery.run())

    def _make_payments(self, settlement: Settlement, routes: Routes) -> Payments:
        section = self._loaded.config.payments
        return Payments(
            store=self.store,
            settlement=settlement,
            routes=routes,
            clock=self._seams.clock,
            ids=self._seams.ids,
            metrics=self.metrics,
            log=self.log,
            till_wait_s=section.till_wait_s,
            max_in_flight=section.max_in_flight,
        )

    async def _open_doors(self, payments: Payments, routes: Routes) -> Bound:
        config = self._loaded.config
        directory = Directory(
            store=self.store,
            sealer=self._sealer,
            clock=self._seams.clock,
            max_entries=config.directory.max_entries,
            fresh_s=config.directory.fresh_s,
        )
        self.metrics.watch("posgate_directory_entries", "Cached callers", directory.cached)
        self._listener = self._make_listener(payments, directory)
        self._api = self._make_api(payments, routes, directory)
        pos, http = config.pos, config.http
        try:
            pos_port = await self._listener.start(pos.host, pos.port)
            api_port = await self._api.start(http.host, http.port, self._tls())
        except OSError as error:
            raise ConfigurationError(f"cannot listen: {error.strerror or error}") from None
        return Bound(pos.host, pos_port, http.host, api_port, http.tls is not None)

    def _make_listener(self, payments: Payments, directory: Directory) -> PosListener:
        section = self._loaded.config.pos
        door = PosDoor(
            store=self.store,
            payments=payments,
            directory=directory,
            sealer=self._sealer,
            clock=self._seams.clock,
            ids=self._seams.ids,
            random_bytes=self._seams.random_bytes,
            metrics=self.metrics,
            log=self.log,
            working_key_hours=section.working_key_hours,
        )
        return PosListener(
            handle=door.handle,
            clock=self._seams.clock,
            metrics=self.metrics,
            log=self.log,
            max_frame_bytes=section.max_frame_bytes,
            max_connections=section.max_connections,
            max_in_flight=section.max_in_flight_per_connection,
            idle_timeout_s=section.idle_timeout_s,
        )

    def _make_api(self, payments: Payments, routes: Routes, directory: Directory) -> ApiServer:
        section = self._loaded.config.http
        authenticator = Authenticator(
            directory=directory,
            nonces=self._nonces,
            clock=self._seams.clock,
            random_bytes=self._seams.nonce_bytes,
            window_s=section.signature_window_s,
        )
        operations = Operations(
            metrics=self.metrics,
            store_ready=self.store.ready,
            accepting=payments.accepting,
            channels=routes.health,
        )
        return ApiServer(
            payments=payments,
            authenticator=authenticator,
            operations=operations,
            sealer=self._sealer,
            clock=self._seams.clock,
            ids=self._seams.ids,
            metrics=self.metrics,
            log=self.log,
            max_body_bytes=section.max_body_bytes,
            max_in_flight=section.max_in_flight,
        )

    def _tls(self) -> ssl.SSLContext | None:
        section = self._loaded.config.http.tls
        if section is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        files = self._loaded.path(section.certificate_file), self._loaded.path(section.key_file)
        try:
            context.load_cert_chain(*files)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"http.tls: cannot load {files[0]}: {error}") from None
        return context

    def _watch(self) -> None:
        """Everything bounded shows how full it is."""
        watch = self.metrics.watch
        watch("posgate_store_queued", "Changes waiting for a commit", self.store.queued)
        watch("posgate_nonces", "Nonces remembered", self._nonces.kept)
        if self._payments is not None:
            watch("posgate_payments_in_flight", "Payments in flight", self._payments.in_flight)
        if self._listener is not None:
            watch("posgate_pos_connections", "Open POS connections", self._listener.connections)
        if self._api is not None:
            watch("posgate_api_in_flight", "Requests in flight", self._api.in_flight)

    async def stop(self, drain_s: float | None = None) -> None:
        """Take nothing new, finish what is in flight, close in the order of the flow."""
        patience_s = self._loaded.config.payments.till_wait_s + _DRAIN_MARGIN_S
        if self._listener is not None:
            self._listener.stop_listening()
        if self._payments is not None:
            await self._payments.drain(patience_s if drain_s is None else drain_s)
        if self._listener is not None:
            await self._listener.close()
        if self._api is not None:
            await self._api.close()
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.gather(self._recovery, return_exceptions=True)
        if self._routes is not None:
            await self._routes.close()
        await self._http_client.close()
        await self._nonces.close()
        await self.store.close()
        self.log.info("gateway stopped")
