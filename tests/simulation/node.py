"""A machine that runs the real gateway, one incarnation after another.

Rules: an incarnation is an :class:`Owner`: everything it does happens in its context.
A crash stops all of it between two steps, wherever that is; connections break, calls
under way are never answered, what it had sent is still under way. The next incarnation
starts on the same database.
"""

import asyncio
import contextvars
import sqlite3
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar, cast

import channels.alipay.plugin as alipay_plugin
import channels.unionpay.plugin as unionpay_plugin
from channels.port import ChannelPlugin
from domain.errors import PosgateError
from domain.ids import RANDOM_BYTES, number
from gateway.bootstrap import Gateway, Seams
from gateway.http.call import ApiRequest, ApiResponse
from gateway.logs import Log
from tests.simulation.channel_net import AlipayNet, CardNet
from tests.simulation.clock_loop import Owner
from tests.simulation.installation import loaded_config
from tests.simulation.merchant_net import MerchantNet
from tests.simulation.pos_net import PosPipe
from tests.simulation.scene import Scene
from tests.simulation.store_faults import faulty_store

T = TypeVar("T")


def _plugins() -> Mapping[str, ChannelPlugin]:
    return {"alipay": alipay_plugin.PLUGIN, "unionpay_card": unionpay_plugin.CARD_PLUGIN}


class NodeClock:
    """A machine's clocks: the wall clock may be wrong, the monotonic one is not."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.ahead_ms = 0

    def now_ms(self) -> int:
        """See the protocol."""
        return self._scene.now_ms() + self.ahead_ms

    def monotonic_s(self) -> float:
        """See the protocol."""
        return self._scene.loop.time()


class _Ids:
    def __init__(self, clock: NodeClock, scene: Scene, name: str) -> None:
        self._clock = clock
        self._rng = scene.source(f"ids {name}")

    def new(self, prefix: str = "") -> str:
        return prefix + number(self._clock.now_ms(), self._rng.randbytes(RANDOM_BYTES))


class FaultLog:
    """Keeps what only a defect of ours can say; everything else is said to nobody."""

    def __init__(self, scene: Scene, owner: Owner) -> None:
        self._scene = scene
        self._owner = owner

    def bind(self, **_: object) -> "FaultLog":
        return self

    def info(self, event: str, **fields: object) -> None:
        if self._scene.trace.lines is not None and self._owner.alive:
            self._scene.trace.lines.append(f"{self._scene.loop.time():.6f}   log {event} {fields}")

    debug = warning = warn = error = info

    def exception(self, event: str, **fields: object) -> None:
        if self._owner.alive:
            fault = sys.exc_info()[1]
            where = "".join(traceback.format_exception(fault)[-6:]) if fault else ""
            self._scene.defects.append(f"{event}: {fault!r} {fields}\n{where}")


class Node:
    """One machine."""

    def __init__(
        self,
        number: int,
        scene: Scene,
        connection: sqlite3.Connection,
        alipay: AlipayNet,
        card: CardNet,
        merchant: MerchantNet,
    ) -> None:
        self.name = f"node{number}"
        self._scene = scene
        self._connection = connection
        self._alipay = alipay
        self._card = card
        self._merchant = merchant
        self._rng = scene.source(self.name)
        self._ids_rng = scene.source(f"bytes {self.name}")
        self.clock = NodeClock(scene)
        self._ids = _Ids(self.clock, scene, self.name)
        self.owner = Owner(self.name)
        self.owner.alive = False
        self._context = contextvars.Context()
        self._gateway: Gateway | None = None
        self._ready = False
        self._incarnations = 0
        self.crashes = 0
        self._pipes: dict[PosPipe, None] = {}
        self._calls: dict[asyncio.Future[Any], None] = {}
        self.buried: list[object] = []
        """What dead incarnations were: kept, so that no finaliser runs while others live."""

    @property
    def up(self) -> bool:
        """Whether its doors are open."""
        return self._ready and self.owner.alive

    def boot(self) -> None:
        """Start an incarnation."""
        self._incarnations += 1
        scene, plan, owner = (
            self._scene,
            self._scene.plan,
            Owner(f"{self.name}.{self._incarnations}"),
        )
        self.owner, self._ready = owner, False
        self._context = owner.context()
        if plan.crash_steps and self.crashes < plan.max_crashes and scene.faulty:
            owner.crash_after(int(self._rng.expovariate(1 / plan.crash_steps)), self.crash)
        scene.trace.line("boot", owner.name)
        task = scene.loop.create_task(self._start(owner), context=self._context)
        self.buried.append(task)

    async def _start(self, owner: Owner) -> None:
        scene = self._scene
        log = cast("Log", FaultLog(scene, owner))
        seams = Seams(
            clock=self.clock,
            ids=self._ids,
            random_bytes=self._ids_rng.randbytes,
            nonce_bytes=self._ids_rng.randbytes,
            plugins=_plugins,
            store=faulty_store(scene, owner, self._connection, log),
            send=self._alipay.sender(owner),
            connect=self._card.connector(owner),
            deliver=self._merchant.deliverer(owner),
            log=log,
        )
        gateway = Gateway(loaded_config(scene.plan.till_wait_s), seams)
        self._gateway = gateway
        self.buried.append(gateway)
        try:
            await gateway.start_core()
        except PosgateError as error:
            scene.trace.line("no start", owner.name, error.message)
            scene.loop.call_soon(self.crash, context=scene.outside)
            return
        self._ready = True
        scene.trace.line("ready", owner.name)

    def crash(self) -> None:
        """Stop here and now; start again after a while."""
        if not self.owner.alive:
            return
        scene = self._scene
        scene.trace.line("crash", self.owner.name, self.owner.steps)
        self.crashes += 1
        self.owner.alive = False
        self._ready = False
        pipes, self._pipes = self._pipes, {}
        for pipe in pipes:
            scene.loop.call_later(self._rng.random(), pipe.broken, context=scene.outside)
        calls, self._calls = self._calls, {}
        for call in calls:
            scene.loop.call_later(self._rng.random(), _reset, call, context=scene.outside)
        delay_s = 0.2 + self._rng.random() * self._rng.choice((1.0, 20.0))
        scene.loop.call_later(delay_s, self.boot, context=scene.outside)

    def spare(self) -> None:
        """No crash any more: the time of faults is over."""
        self.owner.steps_left = -1

    def accept(self, pipe: PosPipe) -> None:
        """A terminal connects."""
        assert self._gateway is not None
        self._pipes[pipe] = None
        pipe.serve(self._gateway.pos_listener, self.owner, self._context)

    def forget(self, pipe: PosPipe) -> None:
        """Its connection is gone."""
        self._pipes.pop(pipe, None)

    def call(self, request: ApiRequest) -> "asyncio.Future[ApiResponse]":
        """An API request arrives; the future fails when the machine does."""
        scene, gateway = self._scene, self._gateway
        answer: asyncio.Future[ApiResponse] = scene.loop.create_future()
        if gateway is None or not self.up:
            answer.set_exception(ConnectionError("connection refused"))
            return answer
        self._calls[answer] = None
        door = gateway.api_door

        async def serve() -> None:
            response = await door.handle(request)
            self._calls.pop(answer, None)
            if not answer.done():
                answer.set_result(response)

        self.buried.append(scene.loop.create_task(serve(), context=self._context))
        return answer

    def within(self, work: Callable[[Gateway], Awaitable[T]]) -> "asyncio.Future[T]":
        """Do something as its own door would; the future fails when the machine does."""
        scene, gateway = self._scene, self._gateway
        answer: asyncio.Future[T] = scene.loop.create_future()
        if gateway is None or not self.up:
            answer.set_exception(ConnectionError("connection refused"))
            return answer
        self._calls[answer] = None

        async def serve() -> None:
            try:
                said = await work(gateway)
            except Exception as fault:
                self._calls.pop(answer, None)
                if not isinstance(fault, PosgateError):
                    scene.defects.append(f"page fault: {fault!r}")
                if not answer.done():
                    answer.set_exception(fault)
                return
            self._calls.pop(answer, None)
            if not answer.done():
                answer.set_result(said)

        self.buried.append(scene.loop.create_task(serve(), context=self._context))
        return answer

    def stop(self) -> None:
        """The end of the seed."""
        self.owner.alive = False


def _reset(call: "asyncio.Future[Any]") -> None:
    if not call.done():
        call.set_exception(ConnectionError("connection reset"))
