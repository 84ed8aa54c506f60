"""Several scripted card hosts on a clock of the test's own, and an account between them.

Rules: time is the loop's (``ClockLoop``): a test says how many seconds pass, and nothing
waits. A host can be silent, cut off or refusing; what an account sent and heard is kept.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from channels.own_line import LateWord
from channels.port import Answer, ByteLink, ChannelAccount, LinkReceiver, NotSent, PayRequest
from channels.unionpay.card_adapter import CardChannel
from channels.unionpay.plugin import CARD_PLUGIN
from domain.clock import Clock
from tests.channels.rigs import (
    MASTER,
    MERCHANT,
    TERMINAL,
    CardHost,
    CardRig,
    HostLink,
    Sequences,
    services,
)
from tests.simulation.clock_loop import ClockLoop

PORTS = (1, 2)


class LoopClock(Clock):
    """The loop's time, as both clocks."""

    def now_ms(self) -> int:
        return 1_795_331_737_042 + int(asyncio.get_running_loop().time() * 1000)

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()


class FlakyHost(CardHost):
    """A host whose cable can be pulled: ``silent`` answers nothing, not even an echo."""

    def __init__(self) -> None:
        super().__init__()
        self.silent = False

    def handle(self, message: Any) -> bytes | None:
        answer = super().handle(message)
        return None if self.silent else answer

    def cut(self) -> None:
        """Every connection breaks, and none comes."""
        self.refusing = True
        for link in self.connected:
            if link.open:
                link.drop()

    @property
    def open(self) -> list[HostLink]:
        return [link for link in self.connected if link.open]


class TwoHosts:
    """An account with a first and a second host; ``turns`` is what its line told."""

    def __init__(self, **settings: str) -> None:
        self.first, self.second = FlakyHost(), FlakyHost()
        self.hosts = dict(zip(PORTS, (self.first, self.second), strict=True))
        self.sequences = Sequences()
        account = ChannelAccount(
            account_id="card1",
            channel="unionpay_card",
            settings={
                "host": "first",
                "port": str(PORTS[0]),
                "backup_host": "second",
                "backup_port": str(PORTS[1]),
                "merchant_id": MERCHANT,
                "terminal_id": TERMINAL,
                **settings,
            },
            secrets={"tmk": MASTER.hex().encode()},
        )
        built = CARD_PLUGIN.build(
            account,
            services(clock=LoopClock(), connect=self._connect, take_sequence=self.sequences.take),
        )
        assert isinstance(built, CardChannel)
        self.channel = built
        self.turns: list[tuple[float, bool]] = []
        self.words: list[LateWord] = []
        built.when_line_turns(self._turned)
        built.when_late(self.words.append)
        self._payer = CardRig()

    async def _connect(self, host: str, port: int, receiver: LinkReceiver) -> ByteLink:
        return await self.hosts[port].connect(host, port, receiver)

    def _turned(self, is_up: bool) -> None:
        self.turns.append((asyncio.get_running_loop().time(), is_up))

    @property
    def statistics(self) -> list[dict[str, int]]:
        return [dict(line) for line in self.channel.line_statistics()]

    def request(self) -> PayRequest:
        return self._payer.request(self.channel.new_order_no())

    async def pay(self) -> Answer:
        return await self.channel.pay(self.request())


def play(work: Coroutine[Any, Any, None], limit_s: float = 1e6) -> None:
    """Run a test's coroutine on virtual time; a fault in any task is the test's."""
    loop = ClockLoop()  # type: ignore[abstract]  # what no test needs is not there
    try:
        loop.run(work, limit_s)
    finally:
        loop.close()
    assert loop.faults == []


__all__ = ["FlakyHost", "NotSent", "TwoHosts", "play"]
