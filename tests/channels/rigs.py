"""Adapters with a scripted peer: what the contract suite and each room's tests share.

A rig is a real channel, built by its plugin, whose ``send`` or ``connect`` leads to a
fake peer that speaks the real wire format. The test scripts what the peer does next.
"""

import asyncio
import base64
from collections.abc import Callable, Mapping
from functools import cache
from typing import Protocol
from urllib.parse import parse_qsl

import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from channels.alipay.account import AlipayAccount
from channels.alipay.plugin import PLUGIN
from channels.alipay.wire import read_pay
from channels.card import CardAction, CardData, HoldRef, TerminalPin
from channels.port import (
    Answer,
    AnswerLost,
    ByteLink,
    Channel,
    ChannelAccount,
    ChannelServices,
    HttpRequest,
    HttpResponse,
    LinkReceiver,
    NotSent,
    PaymentRef,
    PayRequest,
)
from channels.unionpay.card_messages import PAYMENTS
from channels.unionpay.card_wire import CardAccount, Reply, ZoneKeys, read_sale
from channels.unionpay.plugin import CARD_PLUGIN
from pos_protocol.codec import Message, decode, encode, encode_with_mac
from pos_protocol.framing import FrameReader, frame
from signing.alipay_certificates import one_key
from signing.pos import (
    CipherKey,
    KeyScheme,
    WorkingKeys,
    encrypt_pin_block,
    mac_cup_ecb,
    wrap_working_keys,
)
from signing.rsa import sign_sha256

PAN = "9912345678901239"
AUTH_CODE = "280000000000000001"
Mutate = Callable[[bytes], bytes]


class FixedClock:
    """A clock that shows what it is told; elapsed time is the loop's."""

    def __init__(self, now_ms: int = 1_795_331_737_042) -> None:
        self.ms = now_ms

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()


class CountedIds:
    """Numbers that can be told apart."""

    def __init__(self) -> None:
        self.count = 0

    def new(self, prefix: str = "") -> str:
        self.count += 1
        return f"{prefix}NUMBER{self.count:026}"


class Sequences:
    """A store's sequences in memory."""

    def __init__(self) -> None:
        self.next: dict[str, int] = {}

    async def take(self, name: str, count: int) -> int:
        first = self.next.get(name, 0)
        self.next[name] = first + count
        return first


class Rig(Protocol):
    """What the contract suite asks of an adapter and its peer."""

    channel: Channel
    numbers: list[str]

    async def start(self) -> None: ...
    async def close(self) -> None: ...
    def request(self, order_no: str = ...) -> PayRequest: ...
    def will_approve(self) -> None: ...
    def will_decline(self) -> None: ...
    def will_hang(self) -> None: ...
    def will_be_unreachable(self) -> None: ...
    def faults(self) -> Mapping[str, Callable[[], None]]: ...
    def approved_bytes(self, request: PayRequest) -> bytes: ...
    def read(self, raw: bytes, request: PayRequest) -> Answer: ...


def ref_of(request: PayRequest) -> PaymentRef:
    return PaymentRef(
        order_no=request.order_no,
        amount_fen=request.amount_fen,
        currency=request.currency,
        created_at_ms=request.created_at_ms,
        entry_mode=request.card.entry_mode if request.card else "",
        action=request.action,
        original_no=request.original.order_no if request.original else "",
    )


def services(**replaced: object) -> ChannelServices:
    parts: dict[str, object] = {
        "clock": FixedClock(),
        "ids": CountedIds(),
        "send": None,
        "connect": None,
        "take_sequence": Sequences().take,
    }
    return ChannelServices(**(parts | replaced))  # type: ignore[arg-type]  # test wiring


@cache
def rsa_key(name: str) -> RSAPrivateKey:
    """A key made on the spot; one per name and session."""
    return generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(key: RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(key: RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def alipay_answer(
    method: str, content: Mapping[str, object] | bytes, *, signer: str = "alipay", key: str = ""
) -> bytes:
    """A body as Alipay's gateway answers it, signed."""
    raw = content if isinstance(content, bytes) else orjson.dumps(content)
    sign = base64.b64encode(sign_sha256(rsa_key(signer), raw))
    name = key or f"alipay_trade_{method}_response"
    return b'{"%s":%s,"sign":"%s"}' % (name.encode(), raw, sign)


def paid(order_no: str, amount: str, **more: object) -> dict[str, object]:
    return {
        "code": "10000",
        "msg": "Success",
        "out_trade_no": order_no,
        "trade_no": "2026112222001404120000000001",
        "total_amount": amount,
        "gmt_payment": "2026-11-22 15:15:38",
        **more,
    }


Respond = Callable[[str, Mapping[str, str]], HttpResponse]


class AlipayRig:
    """An Alipay channel before a scripted gateway."""

    def __init__(self, **settings: str) -> None:
        self.numbers: list[str] = []
        self.requests: list[Mapping[str, str]] = []
        self.respond: Respond = self._approve
        account = ChannelAccount(
            account_id="ali1",
            channel="alipay",
            settings={"gateway_url": "http://127.0.0.1:1/gateway.do", "app_id": "app1", **settings},
            secrets={
                "app_private_key": private_pem(rsa_key("app")),
                "alipay_public_key": public_pem(rsa_key("alipay")),
            },
        )
        self.channel: Channel = PLUGIN.build(account, services(send=self.send))
        self.account = AlipayAccount(
            gateway_url="http://127.0.0.1:1/gateway.do",
            app_id="app1",
            seller_id=settings.get("seller_id", ""),
            timeout_s=10,
            private_key=rsa_key("app"),
            alipay_keys=one_key(rsa_key("alipay").public_key()),
        )

    async def start(self) -> None:
        await self.channel.start()

    async def close(self) -> None:
        await self.channel.close()

    async def send(self, request: HttpRequest) -> HttpResponse:
        await asyncio.sleep(0)
        form = dict(parse_qsl(request.body.decode("ascii")))
        content = orjson.loads(form["biz_content"])
        self.requests.append(form)
        self.numbers.append(content["out_trade_no"])
        method = form["method"].removeprefix("alipay.trade.")
        if self.respond == self._hang:
            await asyncio.Event().wait()
        return self.respond(method, content)

    def request(self, order_no: str = "") -> PayRequest:
        return PayRequest(
            order_no=order_no or self.channel.new_order_no(),
            amount_fen=1990,
            currency="CNY",
            subject="Tea",
            created_at_ms=1_795_331_737_042,
            auth_code=AUTH_CODE,
        )

    def answers(self, *bodies: bytes, status: int = 200) -> None:
        """Script the next answers; the last one repeats."""
        left = list(bodies)
        self.respond = lambda method, content: HttpResponse(
            status, {}, left.pop(0) if len(left) > 1 else left[0]
        )

    def _approve(self, method: str, content: Mapping[str, str]) -> HttpResponse:
        more = {"trade_status": "TRADE_SUCCESS"} if method == "query" else {}
        fields = paid(content["out_trade_no"], "19.90", **more)
        if method == "cancel":
            fields = {"code": "10000", "out_trade_no": content["out_trade_no"], "action": "refund"}
        return HttpResponse(200, {}, alipay_answer(method, fields))

    def _hang(self, method: str, content: Mapping[str, str]) -> HttpResponse:
        raise AssertionError("a hanging peer does not answer")

    def _raise(self, fault: Exception) -> None:
        def respond(method: str, content: Mapping[str, str]) -> HttpResponse:
            raise fault

        self.respond = respond

    def will_approve(self) -> None:
        self.respond = self._approve

    def will_decline(self) -> None:
        refused = {"code": "40004", "sub_code": "ACQ.BUYER_BALANCE_NOT_ENOUGH", "sub_msg": "余额"}
        self.answers(alipay_answer("pay", refused))

    def will_hang(self) -> None:
        self.respond = self._hang

    def will_be_unreachable(self) -> None:
        self._raise(NotSent("refused"))

    def faults(self) -> Mapping[str, Callable[[], None]]:
        refusal = {"code": "40004", "sub_code": "ACQ.PAYMENT_FAIL"}
        raw = orjson.dumps(refusal)
        good = alipay_answer("pay", refusal)
        bodies = {
            "empty": b"",
            "not JSON": b"<html>502</html>",
            "cut": good[:-20],
            "no sign": b'{"alipay_trade_pay_response":%s}' % raw,
            "empty sign": b'{"alipay_trade_pay_response":%s,"sign":""}' % raw,
            "sign of another": alipay_answer("pay", refusal, signer="somebody"),
            "answer to another call": alipay_answer("precreate", refusal),
            "unlisted code": alipay_answer("pay", {"code": "49999"}),
            "unlisted sub code": alipay_answer("pay", {"code": "40004", "sub_code": "ACQ.NEW"}),
            "system error": alipay_answer("pay", {"code": "20000", "sub_code": "isp.unknow-error"}),
            "busy": alipay_answer("pay", {"code": "40004", "sub_code": "ACQ.SYSTEM_ERROR"}),
            "has success": alipay_answer(
                "pay", {"code": "40004", "sub_code": "ACQ.TRADE_HAS_SUCCESS"}
            ),
            "another order": alipay_answer("pay", paid("ANOTHERORDER", "19.90")),
            "no order": alipay_answer("pay", {"code": "10000", "total_amount": "19.90"}),
            "not an object": alipay_answer("pay", b'"10000"'),
        }
        faults: dict[str, Callable[[], None]] = {
            name: lambda body=body: self.answers(body)  # type: ignore[misc]  # bound now
            for name, body in bodies.items()
        }
        faults["answer lost"] = lambda: self._raise(AnswerLost("timed out"))
        faults["HTTP 502"] = lambda: self.answers(good, status=502)
        faults["HTTP 302"] = lambda: self.answers(good, status=302)
        faults["defect"] = lambda: self._raise(RuntimeError("a defect"))
        return faults

    def approved_bytes(self, request: PayRequest) -> bytes:
        return alipay_answer("pay", paid(request.order_no, "19.90"))

    def read(self, raw: bytes, request: PayRequest) -> Answer:
        return read_pay(HttpResponse(200, {}, raw), self.account, request.order_no)


MERCHANT, TERMINAL = "898000000000001", "77000001"
MASTER = bytes.fromhex("11223344556677881122334455667799")
TERMINAL_PIK = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
HostAnswer = Callable[[Message], "Message | bytes | None"]


class CardHost:
    """The far end of a card link: signs on, then does what it is told."""

    def __init__(self) -> None:
        self.working = WorkingKeys(bytes(range(16)), bytes(range(40, 48)))
        self.connected: list[HostLink] = []
        self.refusing = False
        self.sign_on_code = "00"
        self.sign_ons = 0
        self.echoes = 0
        self.answers_echo = True
        self.requests: list[Message] = []
        self.numbers: list[str] = []
        self.answer: HostAnswer = approve

    async def connect(self, host: str, port: int, receiver: LinkReceiver) -> ByteLink:
        await asyncio.sleep(0)
        if self.refusing:
            raise NotSent("cannot connect: ConnectionRefusedError")
        link = HostLink(self, receiver)
        self.connected.append(link)
        return link

    def mac(self, data: bytes) -> bytes:
        return mac_cup_ecb(CipherKey(self.working.mac), data)

    def reply(self, message: Message, fields: Mapping[int, str | bytes]) -> Message:
        mti = f"{message.mti[:2]}{int(message.mti[2:]) + 10:02}"
        return Message(message.tpdu, message.header, mti, dict(fields))

    def handle(self, message: Message) -> bytes | None:
        echoed = echo_of(message)
        if message.mti == "0800":
            self.sign_ons += 1
            keys = wrap_working_keys(KeyScheme.TDES, CipherKey(MASTER), self.working)
            return encode(self.reply(message, {**echoed, 39: self.sign_on_code, 62: keys}))
        if message.mti == "0820":
            self.echoes += 1
            echo = encode(self.reply(message, {**echoed, 39: "00"}))
            return echo if self.answers_echo else None
        self.requests.append(message)
        self.numbers.append(TERMINAL + message.text(60)[2:8] + message.text(11))
        answer = self.answer(message)
        if isinstance(answer, Message):
            return encode_with_mac(answer, self.mac)
        return answer


class HostLink:
    """One connection; answers in the next turn of the loop."""

    def __init__(self, host: CardHost, receiver: LinkReceiver) -> None:
        self.host = host
        self.receiver = receiver
        self.reader = FrameReader()
        self.open = True
        self.stuck = False

    def write(self, data: bytes) -> None:
        if not self.open or self.stuck:
            raise NotSent("the link is closed")
        for payload in self.reader.feed(data):
            answer = self.host.handle(decode(payload))
            if answer is not None:
                self.deliver(frame(answer))

    def deliver(self, data: bytes) -> None:
        asyncio.get_running_loop().call_soon(self.receiver.received, data)

    def drop(self) -> None:
        self.open = False
        self.receiver.lost()

    def close(self) -> None:
        if self.open:
            self.open = False
            asyncio.get_running_loop().call_soon(self.receiver.lost)


def echo_of(message: Message) -> dict[int, str | bytes]:
    numbers: tuple[int, ...] = (11, 41, 42, 60)
    return {n: message.fields[n] for n in numbers if n in message.fields}


def sale_fields(message: Message, code: str, **replaced: str) -> dict[int, str | bytes]:
    numbers: tuple[int, ...] = (3, 4, 11, 25, 41, 42, 49, 60)
    fields = {n: message.fields[n] for n in numbers if n in message.fields}
    fields |= {12: "151538", 13: "1122", 37: "326151538001", 39: code}
    return fields | {int(name[1:]): value for name, value in replaced.items()}


def host_reply(message: Message, fields: Mapping[int, str | bytes]) -> Message:
    mti = {"0100": "0110", "0200": "0210", "0220": "0230", "0400": "0410"}[message.mti]
    return Message(message.tpdu, message.header, mti, dict(fields))


def approve(message: Message) -> Message:
    return host_reply(message, sale_fields(message, "00", f38="A12345"))


def answering(code: str, **replaced: str) -> HostAnswer:
    return lambda message: host_reply(message, sale_fields(message, code, **replaced))


def unsigned(code: str) -> HostAnswer:
    return lambda message: encode(host_reply(message, sale_fields(message, code)))


def with_wrong_mac(code: str) -> HostAnswer:
    def answer(message: Message) -> bytes:
        reply = host_reply(message, sale_fields(message, code))
        return encode_with_mac(reply, lambda data: b"00000000")

    return answer


def with_mti(mti: str) -> HostAnswer:
    def answer(message: Message) -> Message:
        return Message(message.tpdu, message.header, mti, sale_fields(message, "00"))

    return answer


HELD = HoldRef(
    order_no=TERMINAL + "000001" + "000777", held_at_ms=1_795_331_700_000, auth_code="H12345"
)


class CardRig:
    """A card channel before a scripted host; ``action`` is what its payments do."""

    action = CardAction.SALE

    def __init__(self, **settings: str) -> None:
        self.host = CardHost()
        self.numbers = self.host.numbers
        account = ChannelAccount(
            account_id="card1",
            channel="unionpay_card",
            settings={
                "host": "127.0.0.1",
                "port": "1",
                "merchant_id": MERCHANT,
                "terminal_id": TERMINAL,
                "timeout_s": "0.2",
                **settings,
            },
            secrets={"tmk": MASTER.hex().encode()},
        )
        self.sequences = Sequences()
        self.channel: Channel = CARD_PLUGIN.build(
            account, services(connect=self.host.connect, take_sequence=self.sequences.take)
        )
        self.account = CardAccount(
            merchant_id=MERCHANT,
            terminal_id=TERMINAL,
            tpdu=bytes.fromhex("6000030000"),
            header=bytes.fromhex("602200000000"),
            master=CipherKey(MASTER),
            mac=mac_cup_ecb,
        )
        self.keys = ZoneKeys(
            CipherKey(self.host.working.pin), CipherKey(self.host.working.mac), mac_cup_ecb
        )

    async def start(self) -> None:
        await self.channel.start()

    async def close(self) -> None:
        await self.channel.close()

    def request(self, order_no: str = "", pin: str = "123456") -> PayRequest:
        key = CipherKey(TERMINAL_PIK)
        block = encrypt_pin_block(pin, PAN, key)
        return PayRequest(
            order_no=order_no or self.channel.new_order_no(),
            amount_fen=1990,
            currency="CNY",
            subject="Tea",
            created_at_ms=1_795_331_737_042,
            card=CardData(
                pan=PAN,
                entry_mode="021",
                expiry="3012",
                track2=f"{PAN}=30121010000000000",
                pin=TerminalPin(block, key, with_pan=True),
            ),
            action=self.action,
            original=HELD if self.action is CardAction.COMPLETE else None,
        )

    def will_approve(self) -> None:
        self.host.answer = approve

    def will_decline(self) -> None:
        self.host.answer = answering("51")

    def will_hang(self) -> None:
        self.host.answer = lambda message: None

    def will_be_unreachable(self) -> None:
        for link in self.host.connected:
            link.stuck = True

    def faults(self) -> Mapping[str, Callable[[], None]]:
        answers: dict[str, HostAnswer] = {
            "silence": lambda message: None,
            "garbage": lambda message: b"\x60" * 40,
            "cut": lambda message: encode(approve(message))[:-3],
            "approved without MAC": unsigned("00"),
            "approved with a wrong MAC": with_wrong_mac("00"),
            "declined with a wrong MAC": with_wrong_mac("51"),
            "unlisted code": answering("ZZ"),
            "issuer timed out": answering("98"),
            "switch down": answering("96"),
            "duplicate": answering("94"),
            "our MAC refused": answering("A0"),
            "another amount": answering("00", f4="000000000001"),
            "another processing code": answering("00", f3="200000"),
            "another merchant": answering("00", f42="898000000000002"),
            "another merchant declines": answering("51", f42="898000000000002"),
            "another terminal": answering("00", f41="77000002"),
            "another trace": answering("00", f11="999999"),
            "another batch": answering("00", f60="22999999000"),
            "another message type": with_mti("0230"),
            "another currency": answering("00", f49="840"),
            "link lost": self._lose_link,
        }
        return {
            name: lambda answer=answer: setattr(self.host, "answer", answer)  # type: ignore[misc]
            for name, answer in answers.items()
        }

    def _lose_link(self, message: Message) -> None:
        self.host.refusing = True
        asyncio.get_running_loop().call_soon(self.host.connected[-1].drop)

    def approved_bytes(self, request: PayRequest) -> bytes:
        row = PAYMENTS[self.action]
        asked = Message(
            self.account.tpdu,
            self.account.header,
            row.mti,
            {
                3: row.processing,
                4: f"{request.amount_fen:012}",
                11: request.order_no[14:],
                25: row.condition,
                41: TERMINAL,
                42: MERCHANT,
                49: "156",
                60: row.type_code + request.order_no[8:14] + "000",
            },
        )
        return encode_with_mac(approve(asked), self.host.mac)

    def read(self, raw: bytes, request: PayRequest) -> Answer:
        return read_sale(Reply(raw, decode(raw)), request, self.account, (self.keys,))


class HoldRig(CardRig):
    """Payments that hold."""

    action = CardAction.AUTHORISE


class CompletionRig(CardRig):
    """Payments that take what is held."""

    action = CardAction.COMPLETE
