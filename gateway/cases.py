"""What was parked for a person: seen, understood and settled, with a reason.

Rules:

* A decision moves its payment or refund in the commit that records who made it and why.
  The case must be open and its subject as it was read, or nothing happens at all.
* What a decision would do is computed by the very function that will do it, so that a
  person is never offered what would be refused, and sees the books' lines beforehand.
* What a person writes is kept with card numbers masked, whoever pastes one.
* Nothing is asked of the channel here; "retry" makes the subject's job due now.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from domain.clock import Clock
from domain.errors import Conflict, InvalidRequest, NotFound, Unavailable
from domain.ledger import Posting
from domain.payment import Deed, Payment
from domain.refund import Refund, RefundEvent, RefundStep, decided_refund
from domain.settle import DECIDED, Decision, Step, decided, meant
from gateway.checkout.following import followed
from gateway.logs import mask_text
from gateway.notices import NoticeWriter
from gateway.store.port import (
    Advance,
    Case,
    CaseDecision,
    Notice,
    PaymentEvent,
    RefundAdvance,
    Store,
)

_TRIES: Final = 5
_PAGE: Final = 200
_MAX_BY: Final = 64
_MAX_WHY: Final = 500
_REFUND_EVENTS: Final = {
    Decision.RETURNED: RefundEvent.RETURNED,
    Decision.NOT_PAID: RefundEvent.DECLINE,
    Decision.RETRY: RefundEvent.NOT_SENT,
}
"""What a decision stands for in a refund's history."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A decision that is possible now, and what it would do.

    ``status`` is the subject's afterwards, ``notice`` the type of what its merchant
    would be sent (``""``: nothing).
    """

    decision: Decision
    status: str
    postings: Sequence[Posting]
    notice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseView:
    """A case with all that a person needs to decide it; ``refund`` if it is about one."""

    case: Case
    payment: Payment
    refund: Refund | None
    history: Sequence[PaymentEvent]
    decisions: Sequence[CaseDecision]
    choices: Sequence[Choice]


@dataclass(frozen=True, slots=True)
class _Subject:
    """What a case is about, as it stands."""

    case: Case
    decisions: Sequence[CaseDecision]
    payment: Payment
    refund: Refund | None


class Cases:
    """The use cases around what waits for a person."""

    def __init__(self, *, store: Store, clock: Clock, notices: NoticeWriter) -> None:
        self._store = store
        self._clock = clock
        self._notices = notices

    async def listed(self, *, is_open: bool, merchant_no: str = "") -> AsyncIterator[Case]:
        """Open (or settled) cases in order of their id, page by page."""
        after = ""
        while page := await self._store.cases(is_open=is_open, after=after, limit=_PAGE):
            for case in page:
                if merchant_no in ("", case.merchant_no):
                    yield case
            after = page[-1].case_id

    async def show(self, case_id: str) -> CaseView:
        """A case, what it is about, and what may be decided.

        Raises:
            NotFound: no such case.
        """
        found = await self._subject(case_id)
        choices = self._choices(found) if found.case.is_open else ()
        return CaseView(
            case=found.case,
            payment=found.payment,
            refund=found.refund,
            history=await self._store.events(found.payment.order.id),
            decisions=found.decisions,
            choices=choices,
        )

    async def resolve(self, case_id: str, decision: Decision, *, by: str, why: str) -> CaseView:
        """Settle a case; shows it as it stands afterwards.

        Raises:
            InvalidRequest: ``by`` or ``why`` is empty, too long or not plain text.
            NotFound: no such case.
            Conflict: it is not open, the decision is not possible for it, or its
                subject keeps moving.
        """
        require_text("by", by, _MAX_BY)
        require_text("why", why, _MAX_WHY)
        for _ in range(_TRIES):
            found = await self._subject(case_id)
            if not found.case.is_open:
                raise Conflict("case_not_open", f"{case_id} is settled already")
            if await self._commit(found, decision, by, why):
                return await self.show(case_id)
        raise Conflict("case_moved", f"{case_id} is being moved by others: look at it again")

    async def _subject(self, case_id: str) -> _Subject:
        known = await self._store.case(case_id)
        if known is None:
            raise NotFound("case_not_found", f"no case {case_id}")
        case, decisions = known
        refund = await self._store.refund(case.subject)
        payment_id = case.subject if refund is None else refund.order.payment_id
        payment = await self._store.payment(payment_id)
        if payment is None:
            raise Unavailable(f"the store does not show {payment_id}, which {case_id} is about")
        return _Subject(case, decisions, payment, refund)

    def _choices(self, found: _Subject) -> Sequence[Choice]:
        now_ms = self._clock.now_ms()
        steps = [(decision, _decided(found, decision, now_ms)) for decision in Decision]
        return [
            Choice(decision, step.standing.status.value, step.postings, step.notice)
            for decision, step in steps
            if step is not None
        ]

    async def _commit(self, found: _Subject, decision: Decision, by: str, why: str) -> bool:
        now_ms = self._clock.now_ms()
        taken = CaseDecision(
            case_id=found.case.case_id,
            number=len(found.decisions) + 1,
            decision=decision.value,
            by=mask_text(by),
            why=mask_text(why),
            at_ms=now_ms,
        )
        payment, refund = found.payment, found.refund
        if refund is None:
            step = decided(payment, decision, now_ms)
            if step is None:
                raise self._impossible(found, decision)
            change = await self._advance(payment, step, decision, now_ms)
            return await self._store.decide_payment(taken, change)
        move = decided_refund(payment, refund, decision, now_ms)
        if move is None:
            raise self._impossible(found, decision)
        moved = self._refund_advance(payment, refund, move, decision, now_ms)
        return await self._store.decide_refund(taken, moved)

    def _impossible(self, found: _Subject, decision: Decision) -> Conflict:
        possible = ", ".join(choice.decision.value for choice in self._choices(found))
        return Conflict(
            "decision_not_possible",
            f"{found.case.case_id} cannot be settled as {decision.value}; "
            f"possible: {possible or 'nothing yet'}",
        )

    async def _advance(
        self, before: Payment, step: Step, decision: Decision, now_ms: int
    ) -> Advance:
        again = decision is Decision.RETRY
        event = None if again else meant(before.order, DECIDED[decision])
        moves = None
        if event is not None:
            step, moves = await followed(self._store, self._notices, before, step, event, now_ms)
        after = Payment(before.order, step.standing)
        notice = self._notices.of_payment(after, step.notice, now_ms) if step.notice else None
        return Advance(
            payment_id=before.order.id,
            merchant_no=before.order.merchant_no,
            previous=before.standing.status,
            event=event or Deed.RETRY,
            standing=step.standing,
            at_ms=now_ms,
            due_at_ms=now_ms if again else None,
            account_id=before.order.account_id,
            postings=step.postings,
            notice=notice,
            moves=moves,
        )

    def _refund_advance(
        self, payment: Payment, before: Refund, step: RefundStep, decision: Decision, now_ms: int
    ) -> RefundAdvance:
        return RefundAdvance(
            refund=before.order,
            previous=before.standing.status,
            event=_REFUND_EVENTS[decision],
            standing=step.standing,
            at_ms=now_ms,
            due_at_ms=now_ms if decision is Decision.RETRY else None,
            payment=step.payment,
            postings=step.postings,
            notice=self._refund_notice(payment, before, step, now_ms),
        )

    def _refund_notice(
        self, payment: Payment, before: Refund, step: RefundStep, now_ms: int
    ) -> Notice | None:
        if not step.notice or step.payment is None:
            return None
        told = Payment(payment.order, step.payment)
        after = Refund(before.order, step.standing)
        return self._notices.of_refund(told, after, step.notice, now_ms)


def _decided(found: _Subject, decision: Decision, at_ms: int) -> Step | RefundStep | None:
    if found.refund is None:
        return decided(found.payment, decision, at_ms)
    return decided_refund(found.payment, found.refund, decision, at_ms)


def require_text(name: str, text: str, longest: int) -> None:
    """A name or a reason is kept for ever and shown to people: one line of plain text.

    Raises:
        InvalidRequest: it is not.
    """
    if not text.strip() or len(text) > longest or not text.isprintable():
        message = f"{name}: say it in one line of 1 to {longest} characters"
        raise InvalidRequest("invalid_text", message, field=name)
