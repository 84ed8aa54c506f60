"""Simulated POS terminals: they sell, repeat, contradict themselves, and reverse.

Rules: a terminal believes only what its own protocol code believes (a MAC on every
approval). Silence ends in a repeat or a reversal; a reversal is repeated until it is
answered. A refusal without a MAC is final for a terminal on a well-behaved line whose
message went out once; in every other case it proves nothing, and the terminal reverses.
Some approved sales are given back (``till_returns.py``).
"""

import asyncio
import random
from collections.abc import Callable, Sequence

from gateway.cli.terminal_client import TerminalPlace, TerminalSecurity
from pos_protocol.card import chip_card, magnetic_card
from pos_protocol.codec import CodecError, decode
from pos_protocol.terminal import (
    AnswerFault,
    Outcome,
    Request,
    Terminal,
    TerminalIdentity,
)
from sandbox.scenarios import ALIPAY_CODES, CARDS, Scenario
from tests.simulation.histories import Reply, Sale
from tests.simulation.installation import POS_MERCHANT_ID, tmk
from tests.simulation.node import Node
from tests.simulation.pos_net import PosPipe
from tests.simulation.scene import Scene
from tests.simulation.till_returns import Giving

_CARD_SCENARIOS = (
    *(Scenario.APPROVED,) * 8,
    Scenario.INSUFFICIENT_FUNDS,
    Scenario.WRONG_PIN,
    Scenario.LOST_RESPONSE_CHARGED,
    Scenario.LOST_RESPONSE_NOT_CHARGED,
)
_CODE_SCENARIOS = (
    *(Scenario.APPROVED,) * 6,
    *(Scenario.USER_PAYING,) * 2,
    Scenario.DECLINED,
    Scenario.LOST_RESPONSE_CHARGED,
    Scenario.LOST_RESPONSE_NOT_CHARGED,
    Scenario.NEVER_PAYS,
)
_CHIP_DATA = bytes.fromhex("9F2608112233445566778895050000000000")
OnApproval = Callable[[str, str, int], None]


class Till:
    """One terminal and the person at it."""

    def __init__(
        self, scene: Scene, terminal_id: str, nodes: Sequence[Node], on_approval: OnApproval
    ) -> None:
        self._scene = scene
        self._nodes = nodes
        self._on_approval = on_approval
        self._rng: random.Random = scene.source(f"till {terminal_id}")
        self._can_duplicate = self._rng.random() < 0.6
        """Its line may double and delay messages; a terminal there trusts no refusal."""
        place = TerminalPlace(
            host="", port=0, merchant_id=POS_MERCHANT_ID, terminal_id=terminal_id,
            tmk=tmk(terminal_id),
        )  # fmt: skip
        self._terminal = Terminal(
            TerminalIdentity(terminal_id=terminal_id, merchant_id=POS_MERCHANT_ID),
            TerminalSecurity(place),
        )
        self._pipe: PosPipe | None = None
        self._request: Request | None = None
        self._answer: asyncio.Future[tuple[Outcome, bytes] | None] | None = None
        self._inbox: list[bytes] = []

    async def run(self) -> None:
        """A day at the till."""
        rng = self._rng
        await asyncio.sleep(rng.random() * 3)
        for _ in range(self._scene.plan.sales_each):
            await asyncio.sleep(rng.expovariate(1 / 3))
            if not self._terminal.signed_in or rng.random() < 0.03:
                await self._sign_in()
            await self._sell()
        self._hang_up()

    async def _sign_in(self) -> None:
        while True:
            outcome = await self._exchange(self._terminal.sign_in(), 10)
            if outcome is not None and outcome[0].approved:
                return
            await asyncio.sleep(1)

    async def _sell(self) -> None:
        rng, scene = self._rng, self._scene
        amount_fen = rng.randint(1, 30_000)
        request = self._new_sale(amount_fen)
        own = self._terminal
        key = f"{own.identity.terminal_id}-{own.batch}-{request.trace}"
        sale = Sale(own.identity.terminal_id, key, amount_fen, scene.loop.time())
        scene.histories.sales.append(sale)
        scene.trace.line("sale", key, amount_fen)
        on_its_way = False
        if rng.random() < 0.03:
            sale.reversal_first = True
            on_its_way = not await self._reverse(sale, request, once=True)
        outcome = await self._try(sale, request)
        if outcome is not None and outcome.approved:
            sale.approved = True
        if sale.replies and sale.replies[-1].signed and rng.random() < 0.1:
            await self._contradict(sale, request)
        if sale.approved and (on_its_way or rng.random() < 0.05):
            # the printer jammed, or a reversal is still on its way: what was approved goes back
            sale.approved = False
            await self._reverse(sale, request)
        elif outcome is None or (not sale.approved and not self._believes(sale, outcome)):
            await self._reverse(sale, request)
        elif sale.approved and rng.random() < 0.15:
            await Giving(self.ask, scene, rng).give_back(self._terminal, sale, request, outcome)
        sale.over = True
        scene.trace.line("sale over", key, sale.approved)

    def _new_sale(self, amount_fen: int) -> Request:
        rng, terminal = self._rng, self._terminal
        if rng.random() < 0.35:
            return terminal.qr_sale(ALIPAY_CODES[rng.choice(_CODE_SCENARIOS)], amount_fen)
        card = CARDS[rng.choice(_CARD_SCENARIOS)]
        if rng.random() < 0.5:
            return terminal.sale(magnetic_card(card.pan, "3012"), amount_fen, card.pin)
        return terminal.sale(chip_card(card.pan, "3012", _CHIP_DATA), amount_fen, card.pin)

    def _believes(self, sale: Sale, outcome: Outcome) -> bool:
        """Whether a "no" ends it: signed, or refused where nothing can be under way."""
        if outcome.reversal_reason:
            return False
        return sale.replies[-1].signed or (sale.sends == 1 and not self._can_duplicate)

    async def _try(self, sale: Sale, request: Request) -> Outcome | None:
        """Send it, perhaps again and again; the outcome, or ``None`` for silence."""
        rng = self._rng
        is_hasty = rng.random() < 0.08
        for _ in range(rng.choice((1, 1, 2, 3))):
            burst = rng.randint(1, self._scene.plan.repeats) if rng.random() < 0.15 else 1
            patience_s = rng.random() * 4 if is_hasty else self._scene.plan.till_wait_s + 15
            found = await self._exchange(request, patience_s, burst=burst, sale=sale)
            if found is not None:
                return found[0]
            if is_hasty and rng.random() < 0.5:
                break
        return None

    async def _contradict(self, sale: Sale, request: Request) -> None:
        """Another amount under the same number: must be refused and have no effect."""
        sale.conflict_amount_fen = sale.amount_fen + 1 + self._rng.randrange(1000)
        terminal, trace = self._terminal, self._terminal.trace
        terminal.trace = int(request.trace)
        wrong = self._new_sale(sale.conflict_amount_fen)
        terminal.trace = trace
        found = await self._exchange(wrong, 20)
        if found is not None:
            sale.conflict_replies.append(self._reply(*found))

    async def _reverse(self, sale: Sale, request: Request, *, once: bool = False) -> bool:
        """0400 until it is answered (``once``: or not); whether it was."""
        while True:
            if not self._terminal.signed_in:
                await self._sign_in()
            sale.reversals += 1
            reversal = self._terminal.reversal(request)
            found = await self._exchange(reversal, 20, burst=self._rng.choice((1, 1, 1, 3)))
            if found is not None:
                sale.reversal_replies.append(self._reply(*found))
                if found[0].is_reversal_done:
                    return True
            if once:
                return False
            await asyncio.sleep(self._rng.random() * 5)
            if self._rng.random() < 0.05:
                await self._sign_in()  # switched off and on: its keys are others now

    async def ask(self, request: Request, timeout_s: float) -> Outcome | None:
        """Sign in where that is needed, send and wait; ``None`` for silence."""
        if not self._terminal.signed_in:
            await self._sign_in()
        burst = self._rng.choice((1, 1, 1, 3))
        found = await self._exchange(request, timeout_s, burst=burst)
        return None if found is None else found[0]

    async def _exchange(
        self, request: Request, timeout_s: float, *, burst: int = 1, sale: Sale | None = None
    ) -> tuple[Outcome, bytes] | None:
        """Send and wait for the answer that belongs to it; ``None`` for silence."""
        pipe = await self._connected()
        answer: asyncio.Future[tuple[Outcome, bytes] | None] = self._scene.loop.create_future()
        self._request, self._answer = request, answer
        for _ in range(burst):
            if sale is not None:
                sale.sends += 1
            pipe.send(request.payload)
        try:
            async with asyncio.timeout(timeout_s):
                found = await answer
        except TimeoutError:
            found = None
        if found is not None and sale is not None:
            reply = self._reply(*found)
            sale.replies.append(reply)
            if found[0].approved:
                self._on_approval("pos", sale.order_key, sale.amount_fen)
        if self._rng.random() < 0.02:
            self._hang_up()
        self._sale_in_flight = sale
        return found

    _sale_in_flight: Sale | None = None

    def _received(self, payload: bytes) -> None:
        """Something came in: the answer that is waited for, a late one, or a repeat of one."""
        request, answer = self._request, self._answer
        if request is None or answer is None:
            return
        if answer.done():
            self._late(request, payload)
            return
        outcome = self._terminal.read(request, payload)
        if outcome.fault in (AnswerFault.MISMATCH, AnswerFault.UNREADABLE):
            return
        self._scene.trace.line("pos.answer", request.trace, outcome.response_code, payload.hex())
        answer.set_result((outcome, payload))

    def _late(self, request: Request, payload: bytes) -> None:
        """A further reply to the sale that was answered: kept for comparison."""
        sale = self._sale_in_flight
        if sale is None or request.message.mti != "0200":
            return
        outcome = self._terminal.read(request, payload)
        if outcome.fault is None:
            sale.replies.insert(0, self._reply(outcome, payload))

    def _reply(self, outcome: Outcome, payload: bytes) -> Reply:
        try:
            signed = outcome.fault is None and 64 in decode(payload).fields
        except CodecError:
            signed = False
        return Reply(
            self._scene.loop.time(), payload, outcome.response_code, signed, outcome.amount_fen
        )

    async def _connected(self) -> PosPipe:
        while self._pipe is None:
            node = self._rng.choice(self._nodes)
            if node.up and self._rng.random() >= self._scene.line("pos").refused:
                self._pipe = PosPipe(
                    self._scene, self._received, self._lost, node.forget,
                    can_duplicate=self._can_duplicate,
                )  # fmt: skip
                node.accept(self._pipe)
                break
            await asyncio.sleep(0.3)
        return self._pipe

    def _lost(self) -> None:
        self._pipe = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)

    def _hang_up(self) -> None:
        if self._pipe is not None:
            pipe, self._pipe = self._pipe, None
            pipe.hang_up()
