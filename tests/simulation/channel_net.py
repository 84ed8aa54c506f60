"""The networks between a gateway and its channels: HTTP to Alipay, a stream to the card host.

Rules: the channel's side happens in nobody's context, so that what a dead gateway had
sent still arrives, perhaps late, perhaps twice; an answer runs in the context of the
gateway that asked, and is lost with it. A dead gateway sends nothing.
"""

import asyncio
import binascii
import contextvars
import random
import re
from collections.abc import Callable

import orjson

from channels.port import (
    AnswerLost,
    ByteLink,
    Connect,
    HttpRequest,
    HttpResponse,
    LinkReceiver,
    NotSent,
    Send,
)
from domain.money import format_yuan
from pos_protocol.codec import Message, decode, encode
from pos_protocol.framing import FrameReader, frame
from sandbox import alipay, unionpay_host
from sandbox.effects import Effect
from sandbox.form import parse_form
from signing.rsa import sign_sha256
from tests.simulation.clock_loop import Owner
from tests.simulation.plan import Line
from tests.simulation.scene import Scene

_REMEMBERED = 12
_METHOD = re.compile(rb"(?:^|&)method=([a-z.]+)")
_NUMBER = re.compile(rb"out_trade_no%22%3A%22([A-Za-z0-9]+)")
_KINDS = {
    "alipay.trade.pay": "pay",
    "alipay.trade.query": "query",
    "alipay.trade.cancel": "cancel",
}
_CARD_KINDS = {"0200": "pay", "0400": "cancel"}
_SALE = "000000"


class AlipayNet:
    """Requests to ``/gateway.do`` and their answers."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._rng = scene.source("alipay")
        self._earlier: dict[str, list[bytes]] = {}
        """Answers of each method, to be told again about something else."""
        self.moved: Callable[[str], None] = lambda _number: None
        """Called with a channel order number whenever the channel has dealt with it: what a
        channel tells by itself (its notifications) hangs here."""

    def sender(self, owner: Owner) -> Send:
        """``send`` as one gateway has it."""

        async def send(request: HttpRequest) -> HttpResponse:
            return await self._send(owner, request)

        return send

    async def _send(self, owner: Owner, request: HttpRequest) -> HttpResponse:
        if not owner.alive:
            raise NotSent("a dead gateway sends nothing")
        scene, rng = self._scene, self._rng
        line = scene.line("alipay")
        method, number = _named(request.body)
        kind = _KINDS.get(method)
        if kind is not None:
            scene.called(kind, number)
        if rng.random() < line.refused:
            raise NotSent("connection refused")
        answer: asyncio.Future[HttpResponse] = scene.loop.create_future()
        copies = 2 if rng.random() < line.duplicate else 1
        for _ in range(copies):
            if rng.random() >= line.loss:
                delay_s = scene.delay_s(rng, line)
                self._later(delay_s, lambda: self._arrive(request, answer))
        if rng.random() < line.reset:
            self._later(rng.random() * 2, lambda: _lose(answer, "connection reset"))
        try:
            async with asyncio.timeout(request.timeout_s):
                return await answer
        except TimeoutError:
            raise AnswerLost("no answer in time") from None

    def _later(self, delay_s: float, do: Callable[[], None]) -> None:
        self._scene.loop.call_later(delay_s, do, context=self._scene.outside)

    def _arrive(self, request: HttpRequest, answer: "asyncio.Future[HttpResponse]") -> None:
        scene, rng = self._scene, self._rng
        method, number = _named(request.body)
        is_new = scene.world.alipay_state.books.find(number, "", 0) is None
        effect = scene.world.alipay(b"", request.body, scene.now_ms())
        if is_new and method == "alipay.trade.pay" and rng.random() < scene.line("alipay").lies:
            effect = self._overcharge(effect, number)
        scene.trace.line("alipay", method, number, effect.answer[:200])
        self.moved(number)
        if effect.close:
            self._later(scene.line("alipay").latency_s, lambda: _lose(answer, "hung up"))
            return
        if not effect.answer:
            return
        line = scene.line("alipay")
        if rng.random() < line.loss:
            return
        response = self._answer(effect.answer, method, request.body, line)
        delay_s = scene.delay_s(rng, line) + effect.delay_ms / 1000
        self._later(delay_s, lambda: _give(answer, response))

    def _answer(self, body: bytes, method: str, asked: bytes, line: Line) -> HttpResponse:
        """The answer as it arrives: right, broken, forged, or an earlier one."""
        rng = self._rng
        earlier = self._earlier.setdefault(method, [])
        dice = rng.random()
        told = body
        status = 200
        if dice < line.garbled:
            status, told = rng.choice(
                ((502, b"<html>bad gateway</html>"), (200, body[: len(body) // 2]), (200, b""))
            )
        elif dice < line.garbled + line.forged:
            told = _forged(rng, body, asked)
        elif dice < line.garbled + line.forged + line.stale and earlier:
            told = rng.choice(earlier)
        elif b'"out_trade_no"' in body:  # nothing tells whose answer the others are
            earlier.append(body)
            del earlier[:-_REMEMBERED]
        if told is not body:
            self._scene.trace.line("alipay.spoilt", method, told[:200])
        return HttpResponse(status, {}, told)

    def _overcharge(self, effect: Effect, number: str) -> Effect:
        """The channel takes another amount than it was told, and says so, truly signed."""
        scene = self._scene
        trade = scene.world.alipay_state.books.find(number, "", 0)
        if trade is None:
            return effect
        trade.total_fen += 1 + self._rng.randrange(100)
        scene.histories.lies.setdefault(number, []).append("amount")
        if not effect.answer:
            return effect
        name, node = next(iter(orjson.loads(effect.answer).items()))
        node["total_amount"] = format_yuan(trade.total_fen)
        raw = orjson.dumps(node).replace(b"/", b"\\/")
        key = scene.world.alipay_state.own_key
        signature = binascii.b2a_base64(sign_sha256(key, raw), newline=False)
        body = b'{"%b":%b,"sign":"%b"}' % (name.encode(), raw, signature)
        return Effect(body, effect.close, effect.delay_ms, effect.copies)


def _named(body: bytes) -> tuple[str, str]:
    """Method and order number of a request, read without unpacking all of it."""
    method, number = _METHOD.search(body), _NUMBER.search(body)
    return method[1].decode() if method else "", number[1].decode() if number else ""


def _forged(rng: random.Random, body: bytes, asked: bytes) -> bytes:
    """The contrary of the true answer, under a signature that is not its own."""
    kind = rng.randrange(4)
    if kind == 0:
        return alipay.spoil(body)
    if kind == 1:
        return b'{"error_response":{"code":"40004","msg":"Business Failed"}}'
    envelope = orjson.loads(body)
    name, node = next(iter(envelope.items()))
    if node.get("code") == "10000" and node.get("trade_status") != "WAIT_BUYER_PAY":
        node = {"code": "40004", "msg": "No", "sub_code": "ACQ.BUYER_BALANCE_NOT_ENOUGH"}
    else:
        biz = orjson.loads(parse_form(asked)["biz_content"])
        said = ("out_trade_no", "total_amount", "refund_amount", "out_request_no")
        node = {"code": "10000", "msg": "Success", "trade_no": "1", "action": "close"}
        node |= {key: biz[key] for key in said if key in biz}
        node |= {"trade_status": "TRADE_SUCCESS"} if "query" in name else {}
    if kind == 2:
        return orjson.dumps({name: node})
    return orjson.dumps({name: node, "sign": envelope.get("sign", "")})


def _forged_card(rng: random.Random, answer: bytes) -> bytes:
    """The contrary of the true answer, under its MAC."""
    message = decode(answer)
    if rng.random() < 0.3 or 64 not in message.fields:
        return unionpay_host.spoil(answer)
    fields = dict(message.fields)
    fields[39] = "51" if fields[39] == "00" else "00"
    return encode(Message(message.tpdu, message.header, message.mti, fields))


def _lose(answer: "asyncio.Future[HttpResponse]", why: str) -> None:
    if not answer.done():
        answer.set_exception(AnswerLost(why))


def _give(answer: "asyncio.Future[HttpResponse]", response: HttpResponse) -> None:
    if not answer.done():
        answer.set_result(response)


class CardNet:
    """Streams to the card host; whole messages are lost, doubled or overtaken in it."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.rng = scene.source("card")
        self.earlier: list[bytes] = []

    def connector(self, owner: Owner) -> Connect:
        """``connect`` as one gateway has it."""

        async def connect(_host: str, _port: int, receiver: LinkReceiver) -> ByteLink:
            line = self.scene.line("card")
            await asyncio.sleep(line.latency_s)
            if not owner.alive or self.rng.random() < line.refused:
                raise NotSent("connection refused")
            return CardPipe(self, owner, receiver)

        return connect


class CardPipe:
    """One connection, as the gateway holds it."""

    def __init__(self, net: CardNet, owner: Owner, receiver: LinkReceiver) -> None:
        self._net = net
        self._owner = owner
        self._receiver = receiver
        self._context = contextvars.copy_context()
        self._reader = FrameReader()
        self._closed = False

    def write(self, data: bytes) -> None:
        """See the port."""
        if self._closed or not self._owner.alive:
            raise NotSent("the link is closed")
        scene, rng = self._net.scene, self._net.rng
        line = scene.line("card")
        for payload in self._reader.feed(data):
            self._note(payload)
            copies = 2 if rng.random() < line.duplicate else 1
            for _ in range(copies):
                if rng.random() >= line.loss:
                    self._outside(scene.delay_s(rng, line), self._arrive, payload)
        if rng.random() < line.reset:
            self._outside(rng.random(), self._reset)

    def _note(self, payload: bytes) -> None:
        message = decode(payload)
        kind = _CARD_KINDS.get(message.mti)
        if kind is not None and message.text(3) == _SALE:
            number = message.text(41) + message.text(60)[2:8] + message.text(11)
            self._net.scene.called(kind, number)

    def close(self) -> None:
        """See the port."""
        if not self._closed:
            self._closed = True
            self._net.scene.loop.call_soon(self._receiver.lost, context=self._context)

    def _outside(self, delay_s: float, do: Callable[..., None], *values: bytes) -> None:
        scene = self._net.scene
        scene.loop.call_later(delay_s, do, *values, context=scene.outside)

    def _reset(self) -> None:
        if not self._closed:
            self._net.scene.trace.line("card.reset")
            self.close()

    def _arrive(self, payload: bytes) -> None:
        scene, rng = self._net.scene, self._net.rng
        effect: Effect = scene.world.card(payload, scene.now_ms())
        scene.trace.line("card", payload.hex()[22:26], len(payload), effect.answer.hex()[22:90])
        line = scene.line("card")
        for _ in range(effect.copies if effect.answer else 0):
            copies = 2 if rng.random() < line.duplicate else 1
            for _ in range(copies):
                if rng.random() >= line.loss:
                    delay_s = scene.delay_s(rng, line) + effect.delay_ms / 1000
                    data = self._spoilt(effect.answer, line)
                    scene.loop.call_later(delay_s, self._deliver, data, context=self._context)
        if effect.close:
            self._outside(line.latency_s, self._reset)

    def _spoilt(self, answer: bytes, line: Line) -> bytes:
        """The framed answer as it arrives: right, broken, forged, or an earlier one."""
        rng, earlier = self._net.rng, self._net.earlier
        dice = rng.random()
        if dice < line.garbled:
            return rng.choice((b"\x00\x00", frame(answer[: len(answer) // 2]), b"\xff\xff\xff"))
        if dice < line.garbled + line.forged:
            return frame(_forged_card(rng, answer))
        if dice < line.garbled + line.forged + line.stale and earlier:
            return frame(rng.choice(earlier))
        earlier.append(answer)
        del earlier[:-_REMEMBERED]
        return frame(answer)

    def _deliver(self, data: bytes) -> None:
        if not self._closed:
            self._receiver.received(data)
