"""A POS terminal under load, behaving as real ones do.

Rules: one message at a time on one connection, hung up when it stays silent; what could
not be sent is sent later; what was sent and not answered is repeated, byte for byte, or
reversed, and the reversal is repeated until it is answered; only then comes the next sale.
It knows the gateway's door and nothing else.
"""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Final

from gateway.cli.terminal_client import SCHEMES, TerminalPlace, TerminalSecurity
from pos_protocol.card import magnetic_card
from pos_protocol.framing import frame
from pos_protocol.terminal import Outcome, Request, Terminal, TerminalIdentity
from sandbox.scenarios import ALIPAY_CODES, CARDS, Scenario
from tests.crash.history import History, Sale
from tests.crash.meter import Meter

_PATIENCES_S: Final = (1.0, 2.0, 4.0)
_REVERSAL_PATIENCE_S: Final = 3.0
_RECONNECT_S: Final = 0.05
_RETRY_S: Final = 0.15
_KEPT_REPLIES: Final = frozenset(("00", "51", "55", "98"))
"""Answers of a payment that was begun: their repeats are the same bytes."""
_SIGN_IN_AGAIN: Final = frozenset(("77", "97", "A0"))
_CARD_MIX: Final = (
    (Scenario.APPROVED, 70),
    (Scenario.INSUFFICIENT_FUNDS, 8),
    (Scenario.WRONG_PIN, 5),
    (Scenario.LOST_RESPONSE_CHARGED, 8),
    (Scenario.LOST_RESPONSE_NOT_CHARGED, 5),
)
_CODE_MIX: Final = (
    (Scenario.APPROVED, 70),
    (Scenario.DECLINED, 8),
    (Scenario.USER_PAYING, 6),
    (Scenario.LOST_RESPONSE_CHARGED, 6),
    (Scenario.LOST_RESPONSE_NOT_CHARGED, 4),
    (Scenario.NEVER_PAYS, 2),
)


def drawn(rng: random.Random, mix: tuple[tuple[Scenario, int], ...]) -> Scenario:
    """A scenario by its weight."""
    return rng.choices([scenario for scenario, _ in mix], [weight for _, weight in mix])[0]


def code_scenario(rng: random.Random) -> Scenario:
    """What a payer's code plays."""
    return drawn(rng, _CODE_MIX)


class Till:
    """See the module."""

    def __init__(
        self, place: TerminalPlace, rng: random.Random, history: History, meter: Meter
    ) -> None:
        self._place = place
        self._rng = rng
        self._history = history
        self._meter = meter
        identity = TerminalIdentity(
            terminal_id=place.terminal_id,
            merchant_id=place.merchant_id,
            scheme=SCHEMES[place.key_scheme],
        )
        self._terminal = Terminal(identity, TerminalSecurity(place))
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, selling: Callable[[], bool]) -> None:
        """Sell while ``selling``; ends with no sale left unanswered."""
        try:
            await self._sign_in()
            while selling():
                await self._sell()
                await asyncio.sleep(self._rng.uniform(0.02, 0.25))
        finally:
            self._hang_up()

    async def _sign_in(self) -> None:
        while not self._terminal.signed_in:
            request = self._terminal.sign_in()
            payload = await self._send(request.payload, _REVERSAL_PATIENCE_S)
            if payload is not None:
                self._read(request, payload)
            if not self._terminal.signed_in:
                await asyncio.sleep(_RETRY_S)

    def _request(self, amount_fen: int) -> Request:
        rng, terminal = self._rng, self._terminal
        if rng.random() < 0.6:
            scenario = drawn(rng, _CARD_MIX)
            card = CARDS[scenario]
            with_pin = scenario is Scenario.WRONG_PIN or rng.random() < 0.5
            swipe = magnetic_card(card.pan, "3012")
            return terminal.sale(swipe, amount_fen, card.pin if with_pin else "")
        return terminal.qr_sale(ALIPAY_CODES[code_scenario(rng)], amount_fen)

    async def _sell(self) -> None:
        rng = self._rng
        amount_fen = rng.randint(1, 99_999)
        request = self._request(amount_fen)
        own = self._place.terminal_id
        sale = self._history.sale(f"{own}-{self._terminal.batch}-{request.trace}", amount_fen)
        await self._connect()
        sent_s = time.monotonic()
        payload = await self._answered(request)
        outcome = None if payload is None else self._read(request, payload)
        if payload is None or outcome is None:
            self._history.counts["silent sales"] += 1
            await self._reverse(sale, request)
            return
        sale.response_code = code = outcome.response_code
        self._history.counts[f"F39 {code}"] += 1
        if outcome.approved:
            self._meter.approved(sent_s, "pos")
        if code in _SIGN_IN_AGAIN:
            self._history.fault(f"sale {sale.key}: {code} to a terminal that is signed in")
            self._terminal.signed_in = False
            await self._sign_in()
        if code in _KEPT_REPLIES and rng.random() < 0.1:
            await self._repeat(sale, request, payload)
        if outcome.approved and rng.random() < 0.12:
            await self._reverse(sale, request)

    async def _answered(self, request: Request) -> bytes | None:
        """The answer to a sale, which is repeated a few times if this terminal does so."""
        repeats = 0 if self._rng.random() < 0.6 else self._rng.randint(1, 3)
        patience_s = self._rng.choice(_PATIENCES_S)
        for _ in range(1 + repeats):
            payload = await self._send(request.payload, patience_s)
            if payload is not None:
                return payload
        return None

    async def _repeat(self, sale: Sale, request: Request, first: bytes) -> None:
        """The identical message again: the identical answer, or silence."""
        again = await self._send(request.payload, _REVERSAL_PATIENCE_S)
        if again is not None:
            self._history.counts["repeats answered"] += 1
            if again != first:
                self._history.fault(f"sale {sale.key}: its repeat got another answer")

    async def _reverse(self, sale: Sale, request: Request) -> None:
        """0400 until it is answered."""
        reversal = self._terminal.reversal(request)
        sale.is_reversing = True
        while True:
            payload = await self._send(reversal.payload, _REVERSAL_PATIENCE_S)
            outcome = None if payload is None else self._read(reversal, payload)
            if outcome is not None and outcome.is_reversal_done:
                break
            if outcome is not None and outcome.response_code != "96":
                code = outcome.response_code
                self._history.fault(f"sale {sale.key}: its reversal was answered {code}")
                return
            await asyncio.sleep(_RETRY_S)
        sale.is_reversed = True
        self._history.counts["reversals done"] += 1
        if payload is not None and self._rng.random() < 0.1:
            await self._repeat(sale, reversal, payload)

    def _read(self, request: Request, payload: bytes) -> Outcome | None:
        """The outcome if it can be believed; what cannot is a fault of the gateway's."""
        outcome = self._terminal.read(request, payload)
        if outcome.fault is None:
            return outcome
        what = f"{request.message.mti} {request.trace} of {self._place.terminal_id}"
        self._history.fault(f"{what}: an answer that is {outcome.fault.value} {outcome.detail}")
        return None

    async def _send(self, payload: bytes, patience_s: float) -> bytes | None:
        """Send as soon as somebody listens; the answer, or ``None`` for silence."""
        reader, writer = await self._connect()
        try:
            async with asyncio.timeout(patience_s):
                writer.write(frame(payload))
                await writer.drain()
                size = int.from_bytes(await reader.readexactly(2))
                return await reader.readexactly(size)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            self._hang_up()
            return None

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The connection, made anew until somebody listens."""
        while self._streams is None or self._streams[0].at_eof():
            self._hang_up()
            try:
                async with asyncio.timeout(_REVERSAL_PATIENCE_S):
                    self._streams = await asyncio.open_connection(
                        self._place.host, self._place.port
                    )
            except (OSError, TimeoutError):
                await asyncio.sleep(_RECONNECT_S)
        return self._streams

    def _hang_up(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None
