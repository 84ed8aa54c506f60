"""A terminal that gives money back: voids of a whole sale, refunds of a part of one.

Rules: a refund is repeated under its number until it is answered. A void that was not
answered is reversed; 00 means that the sale stands, 22 that it does not, and since a
refusal has no MAC the terminal asks how the sale stands before it believes it.
"""

import asyncio
import dataclasses
import random
from collections.abc import Awaitable, Callable
from typing import Final

from pos_protocol import asks
from pos_protocol.card import magnetic_card
from pos_protocol.fields.original import Original
from pos_protocol.fields.payment_status import PaymentState, parse_payment_status
from pos_protocol.outcome import Outcome, Request
from pos_protocol.terminal import Ask, Terminal
from pos_protocol.transactions import batch_of
from tests.simulation.histories import GivenBack, Sale
from tests.simulation.scene import Scene

_MAX_TRIES: Final = 60
_NOT_ALLOWED: Final = "22"
Exchange = Callable[[Request, float], Awaitable[Outcome | None]]


class Giving:
    """One sale being given back."""

    def __init__(self, ask: Exchange, scene: Scene, rng: random.Random) -> None:
        self._ask = ask
        self._scene = scene
        self._rng = rng

    async def give_back(
        self, terminal: Terminal, sale: Sale, request: Request, outcome: Outcome | None
    ) -> None:
        """Void it or refund a part, until the terminal knows what came of it."""
        if outcome is None or outcome.message is None:
            return
        is_void = self._rng.random() < 0.6
        amount_fen = sale.amount_fen if is_void else self._rng.randint(1, sale.amount_fen)
        original = Original(batch_of(request.message), request.trace, outcome.message.text(13))
        ask = self._return(request, original, amount_fen, outcome.reference, is_void=is_void)
        first = terminal.ask(ask)
        key = f"{terminal.identity.terminal_id}-{terminal.batch}-{first.trace}"
        given = sale.given_back = GivenBack(key, amount_fen, is_void)
        self._scene.trace.line("gives back", key, amount_fen)
        again = dataclasses.replace(ask, trace=first.trace)
        if is_void:
            given.accepted = await self._void(terminal, again, original)
        else:
            given.accepted = await self._refund(terminal, again)
        if given.accepted and amount_fen == sale.amount_fen:
            sale.approved = False
        self._scene.trace.line("gave back", key, given.accepted)

    def _return(
        self,
        request: Request,
        original: Original,
        amount_fen: int,
        reference: str,
        *,
        is_void: bool,
    ) -> Ask:
        message = request.message
        if message.text(22).startswith("03"):
            build = asks.qr_void if is_void else asks.qr_refund
            return build(amount_fen, original)
        pan = message.text(2) or message.text(35).partition("=")[0]
        card = magnetic_card(pan, "3012")
        if is_void:
            return asks.void(card, amount_fen, original, reference)
        return asks.refund(card, amount_fen, original, reference)

    async def _refund(self, terminal: Terminal, ask: Ask) -> bool | None:
        for _ in range(_MAX_TRIES):
            outcome = await self._ask(terminal.ask(ask), self._patience_s())
            if outcome is not None and outcome.approved:
                return True
            await asyncio.sleep(self._rng.random() * 5)
        return None

    async def _void(self, terminal: Terminal, ask: Ask, original: Original) -> bool | None:
        """Send it once or twice; what was not approved is reversed."""
        void = terminal.ask(ask)
        for _ in range(self._rng.choice((1, 1, 2))):
            outcome = await self._ask(void, self._patience_s())
            if outcome is not None and outcome.approved:
                return True
            if outcome is not None:
                break
        for _ in range(_MAX_TRIES):
            outcome = await self._ask(terminal.reversal(void), 20)
            if outcome is not None and outcome.is_reversal_done:
                return False
            if outcome is not None and outcome.response_code == _NOT_ALLOWED:
                state = await self._asked(terminal, original)
                if state is PaymentState.NOT_PAID:
                    return True
            await asyncio.sleep(self._rng.random() * 5)
        return None

    async def _asked(self, terminal: Terminal, original: Original) -> PaymentState | None:
        """How the sale stands, by a signed answer."""
        inquiry = terminal.ask(asks.status_inquiry(original))
        outcome = await self._ask(inquiry, 20)
        if outcome is None or not outcome.approved or outcome.message is None:
            return None
        return parse_payment_status(outcome.message.data(62)).state

    def _patience_s(self) -> float:
        is_hasty = self._rng.random() < 0.2
        return self._rng.random() * 4 if is_hasty else self._scene.plan.till_wait_s + 15
