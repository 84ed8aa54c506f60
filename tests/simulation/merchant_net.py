"""The merchants' endpoints that notifications go to, and the network before them.

Rules: an endpoint keeps what arrives, whether it acknowledges it or not; it checks the
signature as a merchant would. It is down for a while now and then, slow, or wrong; an
acknowledgement may be lost on its way back.
"""

import asyncio
from collections.abc import Callable

import orjson

from channels.port import AnswerLost, NotSent
from gateway.notifications import Deliver, Delivery
from signing.merchant import answer_string, verify
from tests.simulation.clock_loop import Owner
from tests.simulation.histories import Notification
from tests.simulation.installation import API_SECRET
from tests.simulation.scene import Scene

_TIMEOUT_S = 10.0
_OUTAGE_S = 60.0
"""A down endpoint stays down about so long."""


class MerchantNet:
    """Every endpoint of the scene's merchants."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._rng = scene.source("merchant")
        self._down_until_s: dict[str, float] = {}

    def deliverer(self, owner: Owner) -> Deliver:
        """``deliver`` as one gateway has it."""

        async def deliver(delivery: Delivery) -> int:
            return await self._deliver(owner, delivery)

        return deliver

    async def _deliver(self, owner: Owner, delivery: Delivery) -> int:
        if not owner.alive:
            raise NotSent("a dead gateway sends nothing")
        scene, rng = self._scene, self._rng
        line = scene.line("merchant")
        if rng.random() < line.refused:
            raise NotSent("connection refused")
        answer: asyncio.Future[int] = scene.loop.create_future()
        for _ in range(2 if rng.random() < line.duplicate else 1):
            if rng.random() >= line.loss:
                delay_s = scene.delay_s(rng, line)
                self._later(delay_s, lambda: self._arrive(delivery, answer))
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                return await answer
        except TimeoutError:
            raise AnswerLost("no answer in time") from None

    def _later(self, delay_s: float, do: Callable[[], None]) -> None:
        self._scene.loop.call_later(delay_s, do, context=self._scene.outside)

    def _arrive(self, delivery: Delivery, answer: "asyncio.Future[int]") -> None:
        scene, rng = self._scene, self._rng
        line, now_s = scene.line("merchant"), scene.loop.time()
        status = self._status(delivery.url, line.garbled + line.forged)
        scene.trace.line("notified", delivery.url, status, delivery.body)
        headers = delivery.headers
        message = answer_string(
            headers["Posgate-Timestamp"], headers["Posgate-Nonce"], delivery.body
        )
        scene.histories.notifications.append(
            Notification(
                now_s,
                delivery.url,
                verify(API_SECRET.encode(), message, headers["Posgate-Signature"]),
                orjson.loads(delivery.body),
                acknowledged=200 <= status < 300,
            )
        )
        if rng.random() >= line.loss:
            self._later(scene.delay_s(rng, line), lambda: _give(answer, status))

    def _status(self, url: str, trouble: float) -> int:
        """What the endpoint answers: it may be down, and stays so for a while."""
        scene, rng = self._scene, self._rng
        now_s = scene.loop.time()
        if scene.faulty and rng.random() < trouble:
            self._down_until_s[url] = now_s + rng.expovariate(1 / _OUTAGE_S)
        if scene.faulty and self._down_until_s.get(url, 0.0) > now_s:
            return rng.choice((500, 503, 302, 404))
        return rng.choice((200, 204))


def _give(answer: "asyncio.Future[int]", status: int) -> None:
    if not answer.done():
        answer.set_result(status)
