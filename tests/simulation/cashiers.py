"""Simulated cashier software: it takes payments by code, repeats, contradicts, cancels, refunds.

Rules: every request is signed anew, with a fresh nonce; an answer counts only if its
signature is right. Whoever hears nothing asks again with the very same body.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from gateway.http.call import ApiRequest, ApiResponse
from sandbox.scenarios import ALIPAY_CODES, Scenario
from signing.merchant import answer_string, authorization, request_string, sign, verify
from tests.simulation.histories import Order, RefundAsked, Seen
from tests.simulation.installation import API_SECRET, KEY_ID
from tests.simulation.node import Node
from tests.simulation.scene import Scene
from tests.simulation.tills import OnApproval

_SCENARIOS = (
    *(Scenario.APPROVED,) * 7,
    *(Scenario.USER_PAYING,) * 3,
    Scenario.DECLINED,
    Scenario.LOST_RESPONSE_CHARGED,
    Scenario.LOST_RESPONSE_NOT_CHARGED,
    Scenario.NEVER_PAYS,
)
_FINAL = ("succeeded", "failed", "closed", "reversed")
_ANSWER_S = 40.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A believed answer."""

    asked_at_s: float
    status: int
    body: dict[str, Any]
    replayed: bool


class ApiNet:
    """HTTPS between a cashier and the gateways."""

    def __init__(self, scene: Scene, nodes: Sequence[Node], name: str) -> None:
        self._scene = scene
        self._nodes = nodes
        self._rng = scene.source(f"api {name}")

    async def call(self, method: str, path: str, body: bytes = b"") -> Answer | None:
        """One signed call; ``None`` when nothing, or nothing believable, came back."""
        scene, rng = self._scene, self._rng
        asked_at_s = scene.loop.time()
        request = self._signed(method, path, body)
        line = scene.line("api")
        answer: asyncio.Future[ApiResponse] = scene.loop.create_future()
        for _ in range(2 if rng.random() < line.duplicate else 1):
            if rng.random() >= line.loss:
                node = rng.choice(self._nodes)
                delay_s = scene.delay_s(rng, line)
                scene.loop.call_later(delay_s, self._arrive, node, request, answer)
        if rng.random() < line.reset:
            scene.loop.call_later(rng.random() * 5, _fail, answer)
        try:
            async with asyncio.timeout(_ANSWER_S):
                response = await answer
        except (TimeoutError, ConnectionError):
            return None
        return self._believed(response, asked_at_s)

    def _signed(self, method: str, path: str, body: bytes) -> ApiRequest:
        timestamp = str(self._scene.now_ms() // 1000)
        nonce = self._rng.randbytes(12).hex()
        message = request_string(method, path, timestamp, nonce, body)
        signature = sign(API_SECRET.encode(), message)
        headers = {"Authorization": authorization(KEY_ID, timestamp, nonce, signature)}
        if body:
            headers["Content-Type"] = "application/json"
        return ApiRequest(method=method, raw_path=path, headers=headers, body=body)

    def _arrive(
        self, node: Node, request: ApiRequest, answer: "asyncio.Future[ApiResponse]"
    ) -> None:
        served = node.call(request)

        def done(_: object) -> None:
            if served.exception() is not None:
                _fail(answer)
                return
            line = self._scene.line("api")
            if self._rng.random() >= line.loss:
                delay_s = self._scene.delay_s(self._rng, line)
                self._scene.loop.call_later(delay_s, _give, answer, served.result())

        served.add_done_callback(done)

    def _believed(self, response: ApiResponse, asked_at_s: float) -> Answer | None:
        headers, body = response.headers, response.body
        self._scene.trace.line("api.answer", response.status, body)
        if "Posgate-Signature" not in headers:
            return None
        message = answer_string(headers["Posgate-Timestamp"], headers["Posgate-Nonce"], body)
        if not verify(API_SECRET.encode(), message, headers["Posgate-Signature"]):
            self._scene.histories.early.append("I11: an answer's signature is wrong")
            return None
        replayed = headers.get("Idempotent-Replayed") == "true"
        return Answer(asked_at_s, response.status, orjson.loads(body), replayed)


def _fail(answer: "asyncio.Future[ApiResponse]") -> None:
    if not answer.done():
        answer.set_exception(ConnectionError("the connection broke"))


def _give(answer: "asyncio.Future[ApiResponse]", response: ApiResponse) -> None:
    if not answer.done():
        answer.set_result(response)


class Cashier:
    """One cashier program with several orders under way."""

    def __init__(
        self,
        scene: Scene,
        number: int,
        nodes: Sequence[Node],
        on_approval: OnApproval,
    ) -> None:
        self._scene = scene
        self._number = number
        self._on_approval = on_approval
        self._rng: random.Random = scene.source(f"cashier {number}")
        self._net = ApiNet(scene, nodes, str(number))

    async def run(self) -> None:
        """A day's orders."""
        lanes = self._rng.randint(1, 3)
        each = self._scene.plan.orders_each
        numbers = [f"c{self._number}-{index}" for index in range(each)]
        await asyncio.gather(*(self._lane(numbers[lane::lanes]) for lane in range(lanes)))

    async def _lane(self, numbers: Sequence[str]) -> None:
        for number in numbers:
            await asyncio.sleep(self._rng.expovariate(1 / 4))
            await self._sell(number)

    async def _sell(self, number: str) -> None:
        rng, scene = self._rng, self._scene
        scenario = rng.choice(_SCENARIOS)
        amount_fen = rng.randint(1, 50_000)
        notify_url = ""
        if rng.random() < 0.7:
            notify_url = f"https://shop{rng.randrange(3)}.example/notify"
        order = Order(
            number, self._number, amount_fen, scenario.value, notify_url, scene.loop.time()
        )
        scene.histories.orders.append(order)
        body = self._body(order, ALIPAY_CODES[scenario])
        scene.trace.line("order", number, amount_fen, scenario.value)
        beside: list[Awaitable[None]] = [self._create(order, body)]
        if rng.random() < 0.2:
            beside.append(self._later(lambda: self._create(order, body, tries=1)))
        if rng.random() < 0.12:
            beside.append(self._later(lambda: self._contradict(order)))
        if rng.random() < 0.2:
            beside.append(self._later(lambda: self._cancel(order)))
        if rng.random() < 0.05:
            beside.append(self._later(lambda: self._cancel(order)))
        await asyncio.gather(*beside)
        await self._follow(order)
        if _last(order).get("status") == "succeeded" and rng.random() < 0.5:
            await self._refund(order)

    def _body(self, order: Order, code: str) -> bytes:
        body: dict[str, object] = {
            "merchant_order_no": order.number,
            "amount": order.amount_fen,
            "currency": "CNY",
            "subject": "奶茶",
            "method": {"type": "auth_code", "auth_code": code},
            "wait_s": self._rng.choice((0, 1, 5, 12)),
        }
        if order.notify_url:
            body["notify_url"] = order.notify_url
        return orjson.dumps(body)

    async def _later(self, do: Callable[[], Awaitable[None]]) -> None:
        rng = self._rng
        await asyncio.sleep(rng.random() * rng.choice((0.05, 1.0, 15.0)))
        await do()

    async def _create(self, order: Order, body: bytes, tries: int = 1_000_000) -> None:
        """POST until there is an answer about the payment."""
        for _ in range(tries):
            answer = await self._net.call("POST", "/v1/payments", body)
            if answer is not None and self._saw(order, answer, "create"):
                return
            if answer is not None and answer.status == 409:
                return  # another body came first: this one has no effect
            await asyncio.sleep(self._rng.random() * 4)

    def _saw(self, order: Order, answer: Answer, how: str) -> bool:
        """Keep what an answer shows of the payment; ``False`` when it shows none."""
        if answer.status not in (200, 201):
            return False
        if how == "create":
            how = "replayed" if answer.replayed else "created"
        order.seen.append(Seen(answer.asked_at_s, self._scene.loop.time(), answer.body, how))
        if answer.body["status"] == "succeeded":
            self._on_approval("api", order.number, int(answer.body["amount"]))
        return True

    async def _contradict(self, order: Order) -> None:
        """Another amount under the same number."""
        order.conflict_amount_fen = order.amount_fen + 1 + self._rng.randrange(1000)
        wrong = replace(order, amount_fen=order.conflict_amount_fen)
        answer = await self._net.call(
            "POST", "/v1/payments", self._body(wrong, ALIPAY_CODES[Scenario.APPROVED])
        )
        if answer is not None and answer.status in (200, 201):
            order.conflicts_accepted += 1
            seen = Seen(answer.asked_at_s, self._scene.loop.time(), answer.body, "conflict")
            order.seen.append(seen)

    async def _cancel(self, order: Order) -> None:
        payment_id = _last(order).get("id")
        if payment_id is None:
            found = await self.look(order)
            payment_id = None if found is None else found.get("id")
        if payment_id is None:
            return
        order.cancels += 1
        answer = await self._net.call("POST", f"/v1/payments/{payment_id}/cancel")
        if answer is not None:
            self._saw(order, answer, "cancel")

    async def look(self, order: Order) -> dict[str, Any] | None:
        """GET by the merchant's number."""
        answer = await self._net.call("GET", f"/v1/payments?merchant_order_no={order.number}")
        if answer is None or not self._saw(order, answer, "get"):
            return None
        return answer.body

    async def _follow(self, order: Order) -> None:
        """Look until it is final, for a while."""
        for _ in range(8):
            if _last(order).get("status") in _FINAL:
                return
            await asyncio.sleep(self._rng.random() * 12)
            await self.look(order)

    async def _refund(self, order: Order) -> None:
        """A few refunds at once, together perhaps more than there is."""
        rng = self._rng
        count = rng.choice((1, 1, 2, 3, 5))
        payment_id = _last(order)["id"]
        work = []
        for index in range(count):
            amount_fen = rng.choice(
                (order.amount_fen, max(1, order.amount_fen // 2), rng.randint(1, order.amount_fen))
            )
            asked = RefundAsked(f"{order.number}-r{index}", amount_fen)
            order.refunds.append(asked)
            work.append(self._refund_one(asked, payment_id, amount_fen))
            if rng.random() < 0.3:
                work.append(self._refund_one(asked, payment_id, amount_fen, tries=2))
            if rng.random() < 0.15:
                work.append(self._contradict_refund(asked, payment_id))
        await asyncio.gather(*work)

    async def _refund_one(
        self, asked: RefundAsked, payment_id: str, amount_fen: int, tries: int = 1_000_000
    ) -> None:
        body = orjson.dumps({"merchant_refund_no": asked.number, "amount": amount_fen})
        await asyncio.sleep(self._rng.random() * self._rng.choice((0.0, 0.1, 3.0)))
        for _ in range(tries):
            answer = await self._net.call("POST", f"/v1/payments/{payment_id}/refunds", body)
            if answer is not None:
                if answer.status in (200, 201):
                    now_s = self._scene.loop.time()
                    how = "replayed" if answer.replayed else "created"
                    asked.seen.append(Seen(answer.asked_at_s, now_s, answer.body, how))
                    return
                if answer.status in (404, 409, 422):
                    asked.refused.append(str(answer.body["error"]["code"]))
                    return
            await asyncio.sleep(self._rng.random() * 4)

    async def _contradict_refund(self, asked: RefundAsked, payment_id: str) -> None:
        """Another amount under the number of a refund that was taken."""
        for _ in range(8):
            if asked.seen:
                break
            await asyncio.sleep(1.0)
        if not asked.seen:
            return
        body = orjson.dumps({"merchant_refund_no": asked.number, "amount": asked.amount_fen + 1})
        answer = await self._net.call("POST", f"/v1/payments/{payment_id}/refunds", body)
        if answer is not None and answer.status in (200, 201):
            asked.conflict_accepted = True

    async def look_at_refund(self, asked: RefundAsked) -> None:
        """GET by our id."""
        if not asked.seen:
            return
        refund_id = asked.seen[-1].body["id"]
        answer = await self._net.call("GET", f"/v1/refunds/{refund_id}")
        if answer is not None and answer.status == 200:
            now_s = self._scene.loop.time()
            asked.seen.append(Seen(answer.asked_at_s, now_s, answer.body, "get"))


def _last(order: Order) -> dict[str, Any]:
    return order.seen[-1].body if order.seen else {}
