"""A channel with books of its own and moods that are decided beforehand.

Rules: it is exactly as idempotent as the port demands: one charge per order number, one
return per refund number, nothing is taken for a number that was cancelled. What it
*says* may be lost or late; what it *does* is in its books.
"""

import asyncio
import enum
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from channels.card import ADVICES, CardAction
from channels.port import (
    Answer,
    PaymentRef,
    PayRequest,
    PollSchedule,
    RefundAnswer,
    RefundRequest,
    UndoAnswer,
    Verdict,
)
from domain.decline import DeclineReason
from tests.gateway.fakes import RefundingChannel


class Mood(enum.Enum):
    """How one call goes."""

    WELL = "well"
    UNSURE = "unsure"
    """The payer acts first; what is no payment goes well."""
    NO = "no"
    """To what can be refused; a question is answered."""
    UNHEARD = "unheard"
    """It is done, and the answer lost."""
    UNDONE = "undone"
    """It is not done, and nobody hears of it."""
    NOT_SENT = "not sent"
    SLOW = "slow"
    """It goes well, after a long while."""


_ANSWERED = (Mood.WELL, Mood.UNSURE, Mood.NO)
"""The moods in which a question is answered."""
_CALL_S = 0.2
_SLOW_S = 14.0


@dataclass(slots=True)
class Charge:
    """What the channel has of one order number."""

    amount_fen: int
    paid: bool = False
    acting: bool = False
    closed: bool = False
    undone: bool = False
    returns: dict[str, int] = field(default_factory=dict)

    @property
    def kept_fen(self) -> int:
        """The payer's money that is here now."""
        taken = self.amount_fen if self.paid and not self.undone else 0
        return taken - sum(self.returns.values())


class MoodyChannel(RefundingChannel):
    """An account; ``is_card`` cannot be asked, and undoes without a word of what was."""

    def __init__(self, letter: str, *, is_card: bool) -> None:
        asking = () if is_card else (2.0, 3.0, 5.0, 8.0, 10.0, 15.0)
        super().__init__(PollSchedule(asking, (2.0, 5.0, 15.0), (2.0, 5.0, 15.0)))
        self.timeout_s = 15.0
        self._letter = letter
        self._is_card = is_card
        self._numbers = 0
        self._moods: deque[Mood] = deque()
        self._then = Mood.WELL
        self.charges: dict[str, Charge] = {}

    def decide(self, moods: Sequence[Mood] = (), then: Mood = Mood.WELL) -> None:
        """How the next calls go, and all ``then``; the old decisions are void."""
        self._moods, self._then = deque(moods), then

    def new_order_no(self) -> str:
        self._numbers += 1
        return f"{self._letter}{self._numbers:011d}"

    new_refund_no = new_order_no

    def takes(self, _action: CardAction) -> bool:
        """What a card host does: everything."""
        return self._is_card

    async def _mood(self, call: str) -> Mood:
        self.calls.append(call)
        mood = self._moods.popleft() if self._moods else self._then
        await asyncio.sleep(_SLOW_S if mood is Mood.SLOW else _CALL_S)
        return Mood.WELL if mood is Mood.SLOW else mood

    async def pay(self, request: PayRequest) -> Answer:
        charge = self.charges.setdefault(request.order_no, Charge(request.amount_fen))
        assert charge.amount_fen == request.amount_fen
        mood = await self._mood("pay")
        if mood is Mood.NOT_SENT:
            return Answer(verdict=Verdict.NOT_SENT)
        if mood is Mood.UNDONE:
            return Answer(verdict=Verdict.UNKNOWN)
        if (mood is Mood.NO and not (request.repeated and charge.paid)) or charge.closed:
            return Answer(
                verdict=Verdict.DECLINED,
                reason=DeclineReason.INSUFFICIENT_FUNDS,
                channel_code="51",
            )
        if mood is Mood.UNSURE and not self._is_card:
            charge.acting = True
            return Answer(verdict=Verdict.PENDING)
        charge.paid = True
        if mood is Mood.UNHEARD:
            return Answer(verdict=Verdict.UNKNOWN)
        return self._success(request.order_no, charge)

    async def query(self, ref: PaymentRef) -> Answer:
        mood = await self._mood("query")
        charge = self.charges.get(ref.order_no)
        if mood not in _ANSWERED or charge is None or charge.closed:
            return Answer(verdict=Verdict.UNKNOWN)
        if charge.acting:
            if mood is Mood.UNSURE:
                return Answer(verdict=Verdict.PENDING)
            charge.acting, charge.paid = False, True
        if charge.paid:
            return self._success(ref.order_no, charge)
        return Answer(verdict=Verdict.UNKNOWN, not_found=True)

    async def cancel(self, ref: PaymentRef) -> UndoAnswer:
        assert ref.action not in ADVICES, "what a terminal sold offline is never undone"
        mood = await self._mood("cancel")
        if mood is Mood.NOT_SENT:
            return UndoAnswer(verdict=Verdict.NOT_SENT)
        if mood in (Mood.UNDONE, Mood.NO):
            return UndoAnswer(verdict=Verdict.UNKNOWN)
        charge = self.charges.setdefault(ref.order_no, Charge(ref.amount_fen))
        assert not charge.returns, "cancelled although a part was refunded"
        charge.closed, charge.acting = True, False
        charge.undone = charge.paid
        if mood is Mood.UNHEARD:
            return UndoAnswer(verdict=Verdict.UNKNOWN)
        was_paid = None if self._is_card else charge.undone
        return UndoAnswer(verdict=Verdict.SUCCEEDED, was_paid=was_paid)

    async def refund(self, request: RefundRequest) -> RefundAnswer:
        mood = await self._mood("refund")
        charge = self.charges[request.payment.order_no]
        known = request.refund_no in charge.returns
        if mood is Mood.NOT_SENT:
            return RefundAnswer(verdict=Verdict.NOT_SENT)
        if mood is Mood.UNDONE:
            return RefundAnswer(verdict=Verdict.UNKNOWN)
        if mood is Mood.NO and not known:
            return RefundAnswer(verdict=Verdict.DECLINED, reason=DeclineReason.NOT_PERMITTED)
        assert known or charge.kept_fen >= request.amount_fen, "refunded more than there is"
        charge.returns[request.refund_no] = request.amount_fen
        if mood is Mood.UNHEARD:
            return RefundAnswer(verdict=Verdict.UNKNOWN)
        return RefundAnswer(verdict=Verdict.SUCCEEDED, amount_fen=request.amount_fen)

    async def query_refund(self, request: RefundRequest) -> RefundAnswer:
        mood = await self._mood("query_refund")
        if mood not in _ANSWERED:
            return RefundAnswer(verdict=Verdict.UNKNOWN)
        if request.refund_no in self.charges[request.payment.order_no].returns:
            return RefundAnswer(verdict=Verdict.SUCCEEDED, amount_fen=request.amount_fen)
        return RefundAnswer(verdict=Verdict.UNKNOWN, not_found=True)

    def _success(self, order_no: str, charge: Charge) -> Answer:
        return Answer(
            verdict=Verdict.SUCCEEDED,
            amount_fen=charge.amount_fen,
            currency="CNY",
            order_no=order_no,
            trade_no=f"T{order_no}",
            reference=order_no if self._is_card else "",
            auth_code="123456" if self._is_card else "",
        )
