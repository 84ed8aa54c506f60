"""A counter with live codes, the payers who scan them, and what Alipay tells by itself of it.

Rules: a payer acts as the page does for it, at whatever machine answers; who hears nothing tries
again or goes away. Money may be on its way when an order is closed (``crossed``): the
channel tells of it later, as often as its own schedule has it, and it has to come back.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import orjson

from channels.inbound import InboundRequest
from domain.errors import PosgateError
from gateway.checkout.checkouts import Checkouts
from gateway.checkout.port import Begun, CheckoutView, Payer, Start
from sandbox.notifier import Delivery
from sandbox.scenarios import Scenario
from sandbox.wallet import Payer as Wallet
from tests.simulation.cashiers import Answer, ApiNet
from tests.simulation.histories import LiveOrder, Seen
from tests.simulation.node import Node
from tests.simulation.scene import Scene

STORE_ID = "S1"
"""The store of every live code, whose day is limited."""
_ACTS = (
    *(Scenario.APPROVED,) * 4,
    *(Scenario.CROSSED,) * 4,
    Scenario.USER_PAYING,
    Scenario.DECLINED,
    Scenario.NEVER_PAYS,
)
_FINAL = ("succeeded", "failed", "closed", "reversed")
T = TypeVar("T")


class Counter:
    """A till that shows codes, with everybody who stands before it."""

    def __init__(self, scene: Scene, nodes: Sequence[Node]) -> None:
        self._scene = scene
        self._nodes = nodes
        self._rng: random.Random = scene.source("counter")
        self._net = ApiNet(scene, nodes, "counter")

    async def run(self) -> None:
        """A day's codes."""
        await asyncio.gather(*(self._sell(one) for one in range(self._scene.plan.live_orders)))

    async def _sell(self, number: int) -> None:
        rng, scene = self._rng, self._scene
        await asyncio.sleep(rng.random() * 90)
        url = "https://shop0.example/notify" if rng.random() < 0.7 else ""
        order = LiveOrder(f"q-{number}", rng.randint(100, 5000), url)
        scene.histories.live.append(order)
        shown = await self._shown(order)
        if shown is None:
            return
        code, payers = shown["method"]["code"], rng.choice((1, 2, 2, 2, 3))
        beside = [self._payer(code, f"20880000000001{one:02d}") for one in range(payers)]
        if rng.random() < 0.2:
            beside.append(self._cancel(order, shown["id"]))
        await asyncio.gather(*beside)
        for _ in range(20):
            await asyncio.sleep(rng.random() * 20)
            await self.look(order)
            if order.seen and order.seen[-1].body["status"] in _FINAL:
                return

    async def _shown(self, order: LiveOrder) -> dict[str, Any] | None:
        """The payment with its code; ``None``: a limit stopped it, or it is over already."""
        body: dict[str, object] = {
            "merchant_order_no": order.number,
            "amount": order.amount_fen,
            "currency": "CNY",
            "subject": "奶茶",
            "method": {"type": "qr"},
            "store_id": STORE_ID,
            "expires_in_s": 120,
        }
        if order.notify_url:
            body["notify_url"] = order.notify_url
        raw = orjson.dumps(body)
        while True:
            answer = await self._net.call("POST", "/v1/payments", raw)
            if answer is not None and answer.status == 403:
                return None
            if answer is not None and self._saw(order, answer):
                return answer.body if "code" in answer.body["method"] else None
            await asyncio.sleep(self._rng.random() * 4)

    def _saw(self, order: LiveOrder, answer: Answer) -> bool:
        if answer.status not in (200, 201):
            return False
        order.seen.append(Seen(answer.asked_at_s, self._scene.loop.time(), answer.body, "seen"))
        return True

    async def look(self, order: LiveOrder) -> None:
        """GET by the merchant's number."""
        answer = await self._net.call("GET", f"/v1/payments?merchant_order_no={order.number}")
        if answer is not None:
            self._saw(order, answer)

    async def _cancel(self, order: LiveOrder, payment_id: str) -> None:
        await asyncio.sleep(self._rng.random() * self._rng.choice((1.0, 60.0)))
        order.cancels += 1
        answer = await self._net.call("POST", f"/v1/payments/{payment_id}/cancel")
        if answer is not None:
            self._saw(order, answer)

    # --- a payer

    async def _payer(self, code: str, payer_id: str) -> None:
        rng = self._rng
        await asyncio.sleep(rng.random() * rng.choice((1.0, 15.0, 60.0)))
        token, payer = code.rpartition("/")[2], Payer(wallet="alipay", payer_id=payer_id)
        scanned: CheckoutView | None = await self._page(lambda pages: pages.scanned(token))
        if scanned is None:
            return
        order_id = scanned.checkout_id
        for _ in range(rng.randint(1, 5)):
            begun: Begun | None = await self._page(lambda pages: pages.begin(order_id, payer))
            if begun is not None and begun.start is Start.READY:
                await self._pay(begun.parameters["tradeNO"], order_id, payer)
            elif begun is not None and begun.start in (Start.PAID, Start.OVER):
                return
            await asyncio.sleep(rng.random() * 30)

    async def _pay(self, order: str, order_id: str, payer: Payer) -> None:
        """In the wallet's own window: pay, dawdle or leave; then the page asks, or gives up."""
        rng, scene = self._rng, self._scene
        act = rng.choice(_ACTS)
        leaves_first = rng.random() < 0.3
        if leaves_first:
            await self._page(lambda pages: pages.release(order_id, payer))
        await asyncio.sleep(rng.random() * rng.choice((2.0, 30.0, 90.0)))
        said = scene.world.pay(Wallet(order=order, act=act), scene.now_ms())
        scene.trace.line("payer", order, act.value, "" if said is None else said.why)
        if rng.random() < 0.5:
            await self._page(lambda pages: pages.ask(order_id))

    async def _page(self, work: Callable[[Checkouts], Awaitable[T]]) -> T | None:
        """One request of a page; ``None`` when nobody answered, or only that it cannot be now."""
        node = self._rng.choice(self._nodes)
        try:
            async with asyncio.timeout(30):
                return await node.within(lambda gateway: work(gateway.core.checkouts))
        except (ConnectionError, TimeoutError, PosgateError) as why:
            self._scene.trace.line("page", type(why).__name__)
            return None


class ChannelNotices:
    """Lets time pass at the channel, and carries what it tells to the gateways."""

    def __init__(self, scene: Scene, nodes: Sequence[Node]) -> None:
        self._scene = scene
        self._nodes = nodes
        self._rng = scene.source("channel notices")

    async def run(self) -> None:
        """Until cancelled."""
        world = self._scene.world
        while True:
            await asyncio.sleep(1.0)
            world.tick(self._scene.now_ms())
            for delivery in world.notifier.due(self._scene.now_ms()):
                await self._deliver(delivery)

    def waits(self) -> bool:
        """Whether something is still to be told."""
        return self._scene.world.notifier.next_due_ms() is not None

    async def _deliver(self, delivery: Delivery) -> None:
        scene, line = self._scene, self._scene.line("alipay")
        request = InboundRequest(
            method="POST",
            headers=dict(delivery.request.headers),
            body=delivery.request.body,
        )
        status, body = 0, b""
        if self._rng.random() >= line.loss:
            node = self._rng.choice(self._nodes)
            try:
                async with asyncio.timeout(10):
                    reply = await node.within(
                        lambda gateway: gateway.core.inbound.receive("alipay", "alipay-1", request)
                    )
                if reply is not None and self._rng.random() >= line.loss:
                    status, body = reply.status, reply.body
            except (ConnectionError, TimeoutError):
                status = 0
        scene.trace.line("told", delivery.told.notice.order_no, status, body)
        scene.world.notifier.answered(delivery, status, body, scene.now_ms())
