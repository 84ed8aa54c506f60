"""The composition root: opens what a gateway stands on, has it built, starts and stops it.

Rules: the parts are made once, by ``core.py`` and the assemblies that it calls, and are
handed what they need. No decision below reads a clock, randomness or the network by itself;
a test or a simulation replaces any of the :class:`Seams`. Outside them are the stamp of a log
line, the pauses and time-outs of the event loop (a simulation has a loop of its own), secrets
that the configuration names by the environment, and the password of a moment in
``channels/tls.py``. A simulation starts the core alone (:meth:`Gateway.start_core`) and speaks to
the doors directly: no socket, no thread and no HTTP client is there then.
"""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from channels.http import HttpClient
from channels.port import ChannelServices, Download, NotSent, Send, no_download
from gateway.accounts import build_routes
from gateway.config import LoadedConfig, PosSection
from gateway.config_ports import named
from gateway.core import Core, build_core
from gateway.delivery import MerchantNetwork
from gateway.ground import Ground
from gateway.guard import Protection
from gateway.http.door import ApiDoor
from gateway.http.event_streams import EventStreams
from gateway.http.nonces import Nonces, make_nonces
from gateway.http.operations import Operations
from gateway.http.pos_carrier import CarrierBounds, PosCarrier
from gateway.http.server import ApiServer
from gateway.keys import check_sealer, open_sealer
from gateway.line_metrics import LineMetrics
from gateway.logs import Log, make_log
from gateway.metrics import Metrics
from gateway.notifications import Deliver, Delivery
from gateway.pos.catalogue import read_catalogue
from gateway.pos.door import PosDoor
from gateway.pos.listener import PosListener
from gateway.routes import Routes
from gateway.seams import Seams
from gateway.store.engine import StoreOptions, store_for
from gateway.store.port import Store
from gateway.surplus_refunds import SurplusRefunds
from gateway.tls import server_context
from signing.keywrap import Sealer

if TYPE_CHECKING:
    from gateway.http.pages.server import PageServer

__all__ = ["Bound", "Gateway", "Seams"]

_DRAIN_MARGIN_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Bound:
    """The addresses that the gateway really listens on; a POS port of 0 is closed."""

    pos_host: str
    pos_port: int
    api_host: str
    api_port: int
    api_tls: bool
    pos_tls_port: int = 0
    pos_https_port: int = 0


class Gateway:
    """A whole gateway process."""

    def __init__(self, loaded: LoadedConfig, seams: Seams | None = None) -> None:
        self._loaded = loaded
        self._seams = seams or Seams()
        config = loaded.config
        self.log: Log = self._seams.log or make_log(config.logs.level, config.logs.format)
        self.metrics = Metrics()
        self._sealer: Sealer = open_sealer(
            config.keys.master_key, loaded.folder, self._seams.nonce_bytes
        )
        self.store = self._seams.wrap_store(self._seams.store or self._make_store())
        self._http_client, self._send = self._network()
        self._merchants = MerchantNetwork(loaded) if self._http_client is not None else None
        self._nonces: Nonces = self._seams.nonces or make_nonces(
            config.http.nonces, self._seams.clock, config.http.max_nonces, self.log
        )
        self._routes: Routes | None = None
        self._core: Core | None = None
        self._api: ApiServer | None = None
        self._carrier: PosCarrier | None = None
        self._recovery: asyncio.Task[None] | None = None
        self._notifier: asyncio.Task[None] | None = None
        self._feed: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    def _make_store(self) -> Store:
        section = self._loaded.config.store
        options = StoreOptions(
            max_batch=section.max_batch,
            max_queued=section.max_queued,
            commit_interval_s=section.commit_interval_ms / 1000,
        )
        return store_for(self._loaded.store_url(), options=options, log=self.log)

    def _network(self) -> tuple[HttpClient | None, Send]:
        """What sends to channels, and the HTTP client unless a ``send`` was handed in."""
        if self._seams.send is not None:
            return None, self._seams.send
        section = self._loaded.config.channels
        client = HttpClient(
            max_concurrent_per_channel=section.max_concurrent_per_channel,
            connect_timeout_s=section.connect_timeout_s,
            ca_file=str(self._loaded.path(section.ca_file)) if section.ca_file else None,
        )
        return client, client.send

    @property
    def core(self) -> Core:
        """The parts, once :meth:`start_core` has made them."""
        if self._core is None:
            raise RuntimeError("the gateway is not started")
        return self._core

    @property
    def runs_nights(self) -> bool:
        """Whether the configuration lets this installation run its nights by itself."""
        return self._loaded.config.reconciliation.enabled

    @property
    def pos_door(self) -> PosDoor:
        """What answers a POS message."""
        return self.core.pos_door

    @property
    def pos_listener(self) -> PosListener:
        """What serves a POS connection; ``connection()`` makes one for any transport."""
        return self.core.pos_listener

    @property
    def api_door(self) -> ApiDoor:
        """What answers an API request."""
        return self.core.api_door

    async def start(self) -> Bound:
        """Open the store, the channels, recovery, then the doors.

        Raises:
            ConfigurationError: not migrated, an account that cannot be built, a port taken.
        """
        await self.start_core()
        await self._nonces.ready()  # warns where they are away
        bound = await self._open_doors()
        if not bound.api_tls and bound.api_host not in ("127.0.0.1", "::1", "localhost"):
            self.log.warning("api without tls", host=bound.api_host)
        self.log.info("gateway ready", pos_port=bound.pos_port, api_port=bound.api_port)
        return bound

    def surplus_refunds(self) -> SurplusRefunds:
        """What carries approved refunds of surpluses out, once the core is started."""
        routes, clock = self.core.routes, self._seams.clock
        return SurplusRefunds(store=self.store, routes=routes, clock=clock, log=self.log)

    async def start_core(self) -> Core:
        """Everything but what listens: store, channels, use cases, recovery.

        Raises:
            ConfigurationError: not migrated, an account that cannot be built.
        """
        await self.store.open()
        if self._http_client is not None:
            await self._http_client.start()
        services = ChannelServices(
            clock=self._seams.clock,
            ids=self._seams.ids,
            send=self._seams.wrap_send(self._send),
            connect=self._seams.wrap_connect(self._seams.connect),
            take_sequence=self.store.take_sequence,
            download=self._downloader(),
            key_keeper=self.store,
        )
        config = self._loaded.config
        plugins = self._seams.plugins()
        accounts = await self.store.accounts()
        await check_sealer(self._sealer, self.store, accounts)
        self._routes = build_routes(
            accounts,
            plugins,
            services,
            self._sealer,
            config.payments.till_wait_s,
            self._protection(),
        )
        await self._routes.start()
        self._core = build_core(
            Ground(
                config=config,
                seams=self._seams,
                store=self.store,
                routes=self._routes,
                sealer=self._sealer,
                nonces=self._nonces,
                deliver=await self._deliverer(),
                catalogue=read_catalogue(config.pos.downloads, self._loaded.path),
                texts={name: plugin.texts for name, plugin in plugins.items()},
                metrics=self.metrics,
                log=self.log,
            )
        )
        self._watch(self._core)
        self.metrics.registry.register(LineMetrics(self._routes))
        loop = asyncio.get_running_loop()
        self._recovery = loop.create_task(self._core.recovery.run())
        self._notifier = loop.create_task(self._core.notifier.run())
        self._feed = loop.create_task(self._core.feed.run())
        self._closing = loop.create_task(self._core.closing.run())
        return self._core

    def _protection(self) -> Protection:
        section = self._loaded.config.channels
        return Protection(
            failures=section.breaker_failures,
            open_s=section.breaker_open_s,
            clock=self._seams.clock,
            metrics=self.metrics,
            log=self.log,
        )

    def _downloader(self) -> Download:
        if self._seams.download is not None:
            return self._seams.download
        return self._http_client.download if self._http_client is not None else no_download

    async def _deliverer(self) -> Deliver:
        if self._seams.deliver is not None:
            return self._seams.deliver
        if self._merchants is None:
            return _nowhere
        await self._merchants.start()
        return self._merchants.deliver

    async def _open_doors(self) -> Bound:
        pos, http = self._loaded.config.pos, self._loaded.config.http
        api_tls = None
        if http.tls is not None:
            files = http.tls.certificate_file, http.tls.key_file
            api_tls = server_context("http.tls", *map(self._loaded.path, files))
        self._api = self._make_api(http.max_body_bytes)
        pos_port = 0
        if pos.plain:
            with named("pos.port", pos.host, pos.port):
                pos_port = await self.pos_listener.start(pos.host, pos.port)
        tls_port, https_port = await self._open_pos_tls(pos)
        with named("http.port", http.host, http.port):
            api_port = await self._api.start(http.host, http.port, api_tls)
        return Bound(
            pos.host, pos_port, http.host, api_port, http.tls is not None, tls_port, https_port
        )

    async def _open_pos_tls(self, pos: PosSection) -> tuple[int, int]:
        """The POS door's ports under TLS, 0 for one that stays closed."""
        if pos.tls is None:
            return 0, 0
        path, client_ca = self._loaded.path, pos.tls.client_ca_file
        context = server_context(
            "pos.tls",
            path(pos.tls.certificate_file),
            path(pos.tls.key_file),
            path(client_ca) if client_ca is not None else None,
        )
        tls_port = https_port = 0
        if pos.tls_port is not None:
            with named("pos.tls_port", pos.host, pos.tls_port):
                tls_port = await self.pos_listener.start_tls(pos.host, pos.tls_port, context)
        if pos.https_port is not None:
            self._carrier = self._make_carrier(pos)
            with named("pos.https_port", pos.host, pos.https_port):
                https_port = await self._carrier.start(pos.host, pos.https_port, context)
        return tls_port, https_port

    def _make_carrier(self, pos: PosSection) -> PosCarrier:
        carrier = PosCarrier(
            handle=self.pos_door.handle,
            metrics=self.metrics,
            log=self.log,
            bounds=CarrierBounds(
                max_frame_bytes=pos.max_frame_bytes,
                max_connections=pos.max_connections,
                max_in_flight=pos.https_max_in_flight,
                idle_timeout_s=pos.idle_timeout_s,
                frame_timeout_s=pos.frame_timeout_s,
                keepalive_s=pos.keepalive_s,
                handshake_timeout_s=pos.handshake_timeout_s,
                max_handshakes=pos.max_handshakes,
            ),
        )
        watch = self.metrics.watch
        watch("posgate_carrier_connections", "Open HTTPS POS connections", carrier.connections)
        watch("posgate_carrier_handshakes", "Their TLS handshakes", carrier.handshakes)
        watch("posgate_carrier_in_flight", "HTTPS POS messages in flight", carrier.in_flight)
        return carrier

    def _make_api(self, max_body_bytes: int) -> ApiServer:
        operations = Operations(
            metrics=self.metrics,
            store_ready=self.store.ready,
            nonces_ready=self._nonces.ready,
            accepting=self.core.payments.accepting,
            channels=self.core.routes.health,
        )
        return ApiServer(
            door=self.api_door,
            inbound=self.core.inbound,
            operations=operations,
            streams=EventStreams(
                feed=self.core.feed, write_timeout_s=self._loaded.config.events.write_timeout_s
            ),
            clock=self._seams.clock,
            max_body_bytes=max_body_bytes,
            pages=self._make_pages(),
        )

    def _make_pages(self) -> "PageServer | None":
        door = self.core.page_door
        if door is None:
            return None
        from gateway.http.pages.assembly import page_server  # noqa: PLC0415 (who has pages pays)

        return page_server(door, self._loaded.config.pages)

    def _watch(self, core: Core) -> None:
        """Everything bounded shows how full it is."""
        watch = self.metrics.watch
        watch("posgate_store_queued", "Changes waiting for a commit", self.store.queued)
        watch("posgate_nonces", "Nonces remembered", self._nonces.kept)
        watch("posgate_directory_entries", "Cached callers", core.directory.cached)
        watch("posgate_limited_merchants", "Merchants with limits", core.limits.known)
        watch("posgate_pin_checks", "Operators' PINs looked at or waiting", core.pins.waiting)
        watch("posgate_recovering", "Payments being recovered", core.recovery.working)
        watch("posgate_notifying", "Notices being sent", core.notifier.working)
        watch("posgate_inbound_in_flight", "Channels' notices in flight", core.inbound.in_flight)
        watch("posgate_late_in_flight", "Late answers in work", core.late_answers.in_flight)
        watch("posgate_failing_endpoints", "Endpoints that fail", core.notifier.failing)
        watch("posgate_event_streams", "Streams and waits that are open", core.feed.following)
        watch("posgate_payments_in_flight", "Payments in flight", core.payments.in_flight)
        watch("posgate_attempts_asked", "Attempts lately asked about", core.checkouts.remembered)
        watch("posgate_refunds_in_flight", "Refunds in flight", core.refunds.in_flight)
        watch("posgate_pos_connections", "Open POS connections", core.pos_listener.connections)
        watch("posgate_pos_handshakes", "POS TLS handshakes", core.pos_listener.handshakes)
        watch("posgate_pos_in_flight", "POS messages in flight", core.pos_listener.in_flight)
        watch("posgate_pos_reachable", "Terminals a push reaches", core.pos_listener.reachable)
        watch("posgate_api_in_flight", "Requests in flight", core.api_door.in_flight)
        if core.page_door is not None:
            pages = core.page_door
            watch("posgate_pages_in_flight", "Requests of payers in flight", pages.in_flight)
            watch("posgate_page_rates", "Codes and addresses with a rate", pages.remembered)

    async def stop(self, drain_s: float | None = None) -> None:
        """Take nothing new, finish what is in flight, close in the order of the flow."""
        if self._core is not None:
            await self._drain(self._core, drain_s)
        if self._carrier is not None:
            await self._carrier.close()
        if self._api is not None:
            await self._api.close()
        for worker in (self._recovery, self._notifier, self._closing, self._feed):
            if worker is not None:
                worker.cancel()
                await asyncio.gather(worker, return_exceptions=True)
        if self._routes is not None:
            await self._routes.close()
        if self._http_client is not None:
            await self._http_client.close()
        if self._merchants is not None:
            await self._merchants.close()
        await self._nonces.close()
        await self.store.close()
        self.log.info("gateway stopped")

    async def _drain(self, core: Core, drain_s: float | None) -> None:
        patience_s = self._loaded.config.payments.till_wait_s + _DRAIN_MARGIN_S
        patience_s = patience_s if drain_s is None else drain_s
        core.pos_listener.hang_up()
        core.feed.hang_up()
        if self._carrier is not None:
            self._carrier.hang_up()
        if self._api is not None:
            await self._api.hang_up()
        until_s = self._seams.clock.monotonic_s() + patience_s
        await asyncio.gather(core.payments.drain(patience_s), core.refunds.drain(patience_s))
        await core.inbound.drain(max(0.0, until_s - self._seams.clock.monotonic_s()))
        await core.late_answers.drain(max(0.0, until_s - self._seams.clock.monotonic_s()))
        await core.pos_listener.close()
        # what is not delivered by then is delivered by whoever comes next
        await core.notifier.drain(max(0.0, until_s - self._seams.clock.monotonic_s()))


async def _nowhere(_: Delivery) -> int:
    """Where a replaced network leads that says nothing of merchants."""
    raise NotSent("there is no network towards merchants")
