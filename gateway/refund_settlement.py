"""From a channel's answers about a refund to its end: sent, asked about, sent again.

Rules:

* Live refunds and recovered ones take the same path.
* One channel number serves every repeat. What may have been sent is asked about before
  it is sent again, and its answer is believed by the rules of ``refund_answers.py``.
* What is over is never sent again, whoever ended it.
* Every move is compare-and-set, on the refund and on its payment; one that lost is
  computed again from what the store holds. That ends: it lost to a move that somebody
  committed, and a refund and the other refunds of its payment have few.
* Nothing ends by time: a refund that the channel does not settle within ``patience_s``
  is parked for a person, whatever kept it open, its amount still reserved.
"""

import asyncio
from dataclasses import dataclass, replace
from typing import Final, assert_never

from channels.port import Advice, Channel, RefundAnswer, RefundRequest, Verdict, refunds_of
from channels.port import Refunds as RefundAbility
from domain.clock import Clock
from domain.decline import Decline, DeclineReason
from domain.errors import Unavailable
from domain.payment import Payment
from domain.refund import (
    REFUND_FINAL,
    Refund,
    RefundEvent,
    RefundHappened,
    RefundStep,
    parked_refund,
    refund_step,
)
from gateway.booking import LEASE_MARGIN_S
from gateway.channel_requests import reference
from gateway.logs import Log
from gateway.metrics import Metrics
from gateway.notices import NoticeWriter
from gateway.refund_answers import believed, contradiction
from gateway.routes import Routes
from gateway.settlement import GONE_ACCOUNT_S, pause_for_age
from gateway.store.port import Job, JobKind, RefundAdvance, Store

_STEPS_IN_A_ROW: Final = 4
_LIVE_FENCE: Final = 0


@dataclass(slots=True)
class RefundWork:
    """A refund in work here; ``may_be_sent`` once a request may have left, ever."""

    refund: Refund
    channel: Channel
    ability: RefundAbility
    request: RefundRequest
    fence: int
    may_be_sent: bool


def is_refund_over(refund: Refund) -> bool:
    """Whether nothing more happens by itself: final, or parked for a person."""
    return refund.standing.status in REFUND_FINAL or bool(refund.standing.parked_reason)


class RefundSettlement:
    """Finishes refunds, whoever began them."""

    def __init__(
        self,
        *,
        store: Store,
        routes: Routes,
        notices: NoticeWriter,
        clock: Clock,
        metrics: Metrics,
        log: Log,
        patience_s: float,
    ) -> None:
        self._store = store
        self._routes = routes
        self._notices = notices
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._patience_s = patience_s

    @staticmethod
    def first(
        refund: Refund, payment: Payment, channel: Channel, ability: RefundAbility
    ) -> RefundWork:
        """A refund just claimed here: nothing of it was ever sent."""
        request = _request(refund, payment)
        return RefundWork(refund, channel, ability, request, _LIVE_FENCE, may_be_sent=False)

    async def run(self, work: RefundWork) -> None:
        """Bring a refund of this process to its end, or leave it to recovery."""
        refund_id = work.refund.order.id
        try:
            await self._bring_to_end(work)
        except Unavailable as error:
            self._log.warning("refund left to recovery", refund_id=refund_id, reason=error.message)
        except Exception:
            self._log.exception("refund fault", refund_id=refund_id)

    async def finish(self, job: Job) -> None:
        """Bring a leased refund to its end, or give it back until later.

        Raises:
            Unavailable: the store is down; the lease runs out by itself.
        """
        refund = await self._store.refund(job.subject)
        payment = None if refund is None else await self._store.payment(refund.order.payment_id)
        if refund is None or payment is None:
            self._log.error("a job without its refund", refund_id=job.subject)
            return
        if is_refund_over(refund):
            return
        channel = self._routes.channel(refund.order.account_id)
        ability = refunds_of(channel)
        if channel is None or ability is None:
            self._log.error("account gone", account_id=refund.order.account_id)
            if self._is_old(refund):
                await self._park(refund, "account_gone")
                return
            later_ms = self._clock.now_ms() + int(GONE_ACCOUNT_S * 1000)
            await self._store.renew(
                JobKind.REFUND, job.subject, later_ms, job.fence, given_back=True
            )
            return
        self._metrics.recovered.inc()
        request = _request(refund, payment)
        await self._bring_to_end(
            RefundWork(refund, channel, ability, request, job.fence, may_be_sent=True)
        )

    async def hear(
        self,
        refund: Refund,
        payment: Payment,
        channel: Channel,
        answer: RefundAnswer | None,
        order_no: str,
    ) -> Refund | None:
        """Book what the channel said unasked of a refund of ``order_no``; as it stands then.

        Without an ``answer`` the channel is asked for one; ``None`` when it gave none.
        """
        ability = refunds_of(channel)
        if ability is None:
            return None
        work = RefundWork(
            refund, channel, ability, _request(refund, payment), _LIVE_FENCE, may_be_sent=True
        )
        is_asked = answer is None
        if answer is None:
            answer = await self._call(work, "query_refund")
        if answer.verdict in (Verdict.UNKNOWN, Verdict.NOT_SENT):
            return None if is_asked else refund
        if answer.verdict is Verdict.SUCCEEDED and order_no != payment.order.channel_order_no:
            return await self._park(refund, "refund_order_mismatch")
        await self._apply(work, answer)
        return work.refund

    async def _bring_to_end(self, work: RefundWork) -> None:
        """Send or ask, a few times in a row; then give the job back until it is due."""
        pauses = work.channel.schedule.refund_retry_s
        for pause_s in pauses[:_STEPS_IN_A_ROW]:
            if self._routes.holds_back(work.refund.order.account_id):
                break
            answer = await self._ask(work) if work.may_be_sent else await self._send(work)
            await self._apply(work, answer)
            if is_refund_over(work.refund):
                return
            if not await self._keep(work, pause_s):
                return
            await asyncio.sleep(pause_s)
            if not work.may_be_sent and await self._has_ended(work):
                return
        if self._is_old(work.refund):
            work.refund = await self._park(work.refund, "refund_not_answered")
            return
        await self._give_back(work)

    def _waited_s(self, refund: Refund) -> int:
        return (self._clock.now_ms() - refund.order.created_at_ms) // 1000

    def _is_old(self, refund: Refund) -> bool:
        return self._waited_s(refund) > self._patience_s

    async def _give_back(self, work: RefundWork) -> None:
        """Leave it alone until later: the longer, the older it is."""
        later_s = pause_for_age(work.channel.schedule.refund_retry_s, self._waited_s(work.refund))
        await self._store.renew(
            JobKind.REFUND,
            work.refund.order.id,
            self._clock.now_ms() + int(later_s * 1000),
            work.fence,
            given_back=True,
        )

    async def _keep(self, work: RefundWork, pause_s: float) -> bool:
        due_at_ms = self.lease_until_ms(work.channel, pause_s)
        return await self._store.renew(
            JobKind.REFUND, work.refund.order.id, due_at_ms, work.fence, given_back=False
        )

    async def _send(self, work: RefundWork) -> RefundAnswer:
        """Send it, or send it again under its number."""
        before, work.may_be_sent = work.may_be_sent, True
        work.request = replace(work.request, repeated=before)
        answer = await self._call(work, "refund")
        if answer.verdict is Verdict.NOT_SENT:
            work.may_be_sent = before
        return await believed(answer, lambda: self._call(work, "query_refund"))

    async def _ask(self, work: RefundWork) -> RefundAnswer:
        """Ask what became of it; what the channel does not know is sent again."""
        answer = await self._call(work, "query_refund")
        if not answer.not_found or await self._has_ended(work):
            return answer
        return await self._send(work)

    async def _has_ended(self, work: RefundWork) -> bool:
        """Whether another worker or a person ended it while this one waited."""
        stored = await self._store.refund(work.refund.order.id)
        if stored is None or not is_refund_over(stored):
            return False
        work.refund = stored
        return True

    async def _call(self, work: RefundWork, operation: str) -> RefundAnswer:
        started_s = self._clock.monotonic_s()
        call = work.ability.refund if operation == "refund" else work.ability.query_refund
        try:
            answer = await call(work.request)
        except Exception:
            self._log.exception("adapter fault", refund_id=work.refund.order.id, call=operation)
            answer = RefundAnswer(verdict=Verdict.UNKNOWN)
        elapsed_s = self._clock.monotonic_s() - started_s
        self._metrics.call(work.refund.order.channel, operation, answer.verdict.value, elapsed_s)
        return answer

    async def _apply(self, work: RefundWork, answer: RefundAnswer) -> None:
        """Book an answer on the refund and its payment, whatever moved meanwhile."""
        if answer.verdict is Verdict.UNKNOWN or answer.advice is Advice.CONFIGURATION:
            self._log.warning(
                "channel answer needs eyes",
                refund_id=work.refund.order.id,
                channel=work.refund.order.channel,
                verdict=answer.verdict.value,
                code=answer.channel_code,
                detail=answer.channel_message,
                advice=answer.advice.value if answer.advice is not None else None,
            )
        if wrong := contradiction(work.request, answer):
            work.refund = await self._park(work.refund, wrong)
            return
        happened = RefundHappened(
            event=_event(answer.verdict),
            at_ms=self._clock.now_ms(),
            decline=_decline(answer) if answer.verdict is Verdict.DECLINED else None,
        )
        while True:
            payment = await self._store.payment(work.refund.order.payment_id)
            if payment is None:
                raise Unavailable("the store no longer shows a payment that it acknowledged")
            move = refund_step(payment, work.refund, happened)
            if move is None:
                return
            if await self._persist(work, payment, move, happened):
                return

    async def _park(self, refund: Refund, reason: str) -> Refund:
        """Set it aside for a person, unless it is over by now; as it stands afterwards."""
        while not is_refund_over(refund):
            move = parked_refund(refund, reason)
            change = RefundAdvance(
                refund=refund.order,
                previous=refund.standing.status,
                event=RefundEvent.ANSWER_LOST,
                standing=move.standing,
                at_ms=self._clock.now_ms(),
                due_at_ms=None,
            )
            if await self._store.advance_refund(change):
                refund = Refund(refund.order, move.standing)
                self._count(refund)
            else:
                refund = await self._reload(refund)
        return refund

    async def _persist(
        self, work: RefundWork, payment: Payment, move: RefundStep, happened: RefundHappened
    ) -> bool:
        """Commit a move; where it lost, the refund is read again."""
        before, after = work.refund, Refund(work.refund.order, move.standing)
        notice = None
        if move.notice and move.payment is not None:
            told = Payment(payment.order, move.payment)
            notice = self._notices.of_refund(told, after, move.notice, happened.at_ms)
        change = RefundAdvance(
            refund=before.order,
            previous=before.standing.status,
            event=happened.event,
            standing=move.standing,
            at_ms=happened.at_ms,
            due_at_ms=None if is_refund_over(after) else self.lease_until_ms(work.channel),
            payment=move.payment,
            postings=move.postings,
            notice=notice,
        )
        if await self._store.advance_refund(change):
            work.refund = after
            self._count(after)
            if notice is not None:
                self._notices.committed()
            return True
        work.refund = await self._reload(before)
        return False

    async def _reload(self, refund: Refund) -> Refund:
        stored = await self._store.refund(refund.order.id)
        if stored is None:
            raise Unavailable("the store no longer shows a refund that it acknowledged")
        return stored

    def _count(self, refund: Refund) -> None:
        standing = refund.standing
        if standing.parked_reason:
            self._metrics.parked.inc()
            self._log.error(
                "refund parked", refund_id=refund.order.id, reason=standing.parked_reason
            )
        elif standing.status in REFUND_FINAL:
            self._log.info("refund done", refund_id=refund.order.id, status=standing.status.value)

    def lease_until_ms(self, channel: Channel, pause_s: float = 0.0) -> int:
        """When another worker may take over: after one pause, a call and a query."""
        lease_s = pause_s + 2 * channel.timeout_s + LEASE_MARGIN_S
        return self._clock.now_ms() + int(lease_s * 1000)


def _request(refund: Refund, payment: Payment) -> RefundRequest:
    order = refund.order
    return RefundRequest(
        refund_no=order.channel_refund_no,
        payment=reference(payment),
        amount_fen=order.amount_fen,
        currency=order.currency,
        reason=order.reason,
        created_at_ms=order.created_at_ms,
    )


def _event(verdict: Verdict) -> RefundEvent:
    match verdict:
        case Verdict.SUCCEEDED:
            return RefundEvent.RETURNED
        case Verdict.DECLINED:
            return RefundEvent.DECLINE
        case Verdict.PENDING:
            return RefundEvent.ACCEPTED
        case Verdict.NOT_SENT:
            return RefundEvent.NOT_SENT
        case Verdict.UNKNOWN:
            return RefundEvent.ANSWER_LOST
        case _:
            assert_never(verdict)


def _decline(answer: RefundAnswer) -> Decline:
    return Decline(answer.reason or DeclineReason.DECLINED, answer.channel_code)
