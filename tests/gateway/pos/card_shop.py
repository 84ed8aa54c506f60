"""A whole gateway and the simulated card host on virtual time, with faults on every message.

Rules: adapter, link, recovery and books are the product; the host is the sandbox's own,
carried by a line without sockets that does what an effect says. Nothing waits, so every
point at which a line can break is walked through in a second.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from channels.card import CardData
from channels.port import (
    ByteLink,
    Channel,
    ChannelAccount,
    ChannelPlugin,
    ChannelServices,
    LinkReceiver,
    NotSent,
)
from channels.unionpay.plugin import CARD_PLUGIN
from domain.payment import UNSETTLED, Payment
from gateway.draft import Draft
from pos_protocol.codec import Message, encode
from pos_protocol.framing import FrameReader, frame
from sandbox import unionpay_host
from sandbox.card_books import CardBooks
from sandbox.card_state import CardState
from sandbox.config import CardHostConfig, CardLink
from sandbox.effects import Effect
from sandbox.faults import FaultRule, Faults, strike
from tests.gateway.pos.corner_shop import MERCHANT_NO, START_MS, CornerShop, Template

LINK = CardLink(merchant_id="898000000000001", terminal_id="77000001", tmk=bytes(range(1, 17)))
LATENCY_S = 0.005
TIMEOUT_S = 2.0


class _Line:
    """One connection to the host."""

    def __init__(self, host: "VirtualHost", receiver: LinkReceiver) -> None:
        self._host = host
        self._receiver = receiver
        self._reader = FrameReader()
        self._loop = asyncio.get_running_loop()
        self._open = True

    def write(self, data: bytes) -> None:
        if not self._open:
            raise NotSent("the line is closed")
        for payload in self._reader.feed(data):
            self._loop.call_later(LATENCY_S, self._arrived, payload)

    def _arrived(self, payload: bytes) -> None:
        effect = self._host.answer(payload)
        delay_s = LATENCY_S + effect.delay_ms / 1000
        for _ in range(effect.copies if effect.answer else 0):
            self._loop.call_later(delay_s, self._say, effect.answer)
        if effect.close:
            self._loop.call_later(delay_s, self.close)

    def _say(self, answer: bytes) -> None:
        if self._open:
            self._receiver.received(frame(answer))

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.call_soon(self._receiver.lost)


class VirtualHost:
    """The sandbox's card host with its faults."""

    def __init__(self) -> None:
        config = CardHostConfig(links=(LINK,))
        self.state = CardState(
            config, max_orders=10_000, random_bytes=random.Random("host").randbytes
        )
        self.faults = Faults(random.Random("faults").random)
        self.sent: list[str] = []
        """The MTI of everything that came."""
        self.says_of_reversals = ""
        self.arrives: Callable[[str], None] = lambda _mti: None
        """Called with an MTI before anything is done about it."""

    async def connect(self, host: str, port: int, receiver: LinkReceiver) -> ByteLink:
        await asyncio.sleep(LATENCY_S)
        return _Line(self, receiver)

    def answer(self, payload: bytes) -> Effect:
        message = unionpay_host.read_request(payload)
        assert message is not None
        self.sent.append(message.mti)
        self.arrives(message.mti)
        now_ms = START_MS + int(asyncio.get_running_loop().time() * 1000)
        if message.mti == "0400" and self.says_of_reversals:
            return Effect(self._refusal(message))
        act = partial(unionpay_host.handle, payload, message, self.state, now_ms)
        return strike(self.faults.draw(message.mti), act, unionpay_host.spoil)

    def _refusal(self, message: Message) -> bytes:
        """A 0410 with the code that was ordered, unsigned as refusals may be."""
        kept = {n: message.fields[n] for n in (3, 4, 11, 25, 41, 42, 49, 60)}
        fields = kept | {39: self.says_of_reversals}
        return encode(Message(message.tpdu, message.header, "0410", fields))

    def hide_books(self) -> CardBooks:
        """Let the host know nothing of what it has done; what it knew is returned."""
        hidden, self.state.books = self.state.books, CardBooks(10_000)
        return hidden

    def kept_fen(self) -> int:
        """What the host has taken and not given back."""
        return sum(order.charged_fen - order.returned_fen for order in self.state.books)


class CardShop(CornerShop):
    """One gateway before the simulated card host."""

    def __init__(self, template: Template, **settings: str) -> None:
        self.host = VirtualHost()
        self.channel: Channel
        self._settings = settings
        self._sold = 0
        super().__init__(template)

    def _plugins(self) -> dict[str, ChannelPlugin]:
        plugins = dict(super()._plugins())
        plugins["unionpay_card"] = ChannelPlugin("unionpay_card", (), self._build)
        return plugins

    def _build(self, account: ChannelAccount, services: ChannelServices) -> Channel:
        settings = {
            "host": "host",
            "port": "1",
            "merchant_id": LINK.merchant_id,
            "terminal_id": LINK.terminal_id,
            "timeout_s": str(TIMEOUT_S),
            **self._settings,
        }
        mine = ChannelAccount(
            account_id=account.account_id,
            channel=account.channel,
            settings=settings,
            secrets={"tmk": LINK.tmk.hex().encode()},
        )
        self.channel = CARD_PLUGIN.build(mine, replace(services, connect=self.host.connect))
        return self.channel

    async def ready(self) -> None:
        """Wait until the line is up."""
        for _ in range(1000):
            if self.channel.health().ready:
                return
            await asyncio.sleep(0.1)
        raise AssertionError("the line never came up")

    async def sell(self, pan: str) -> Payment:
        """One sale, as far as its till waits: told, and perhaps not over yet."""
        self._sold += 1
        draft = Draft(
            merchant_no=MERCHANT_NO,
            door="pos",
            order_key=f"99100001-000001-{self._sold:06}",
            fingerprint=b"f" * 16,
            amount_fen=1990,
            currency="CNY",
            subject="",
            method="card",
            channel="unionpay_card",
            card=CardData(pan=pan, entry_mode="022", expiry="3012", track2=f"{pan}=30121010000"),
            terminal_id="99100001",
        )
        payments = self.gateway.core.payments
        begun = await payments.begin(draft)
        assert begun.live is not None
        await payments.run(begun.live)
        return begun.live.payment

    async def at_rest(self, payment: Payment) -> Payment:
        """The sale once it is over."""
        while True:
            stored = await self.gateway.store.payment(payment.order.id)
            assert stored is not None
            if stored.standing.status not in UNSETTLED or stored.standing.parked_reason:
                return stored
            await asyncio.sleep(0.5)


@dataclass(frozen=True)
class Point:
    """Where the line fails: at a sale, at its undo, at the sign-on between them."""

    sale: FaultRule
    undo: FaultRule | None
    sign_on: FaultRule | None

    def rules(self) -> list[FaultRule]:
        return [rule for rule in (self.sale, self.undo, self.sign_on) if rule is not None]
