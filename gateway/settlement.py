"""From a channel's answers to a final state: asked on a schedule, then undone.

Rules:

* Live payments and recovered ones take the same path (:meth:`Settlement.settle`).
* Nothing is failed or closed by time: when the schedule or the till's patience
  ends, an undo *begins* (persisted first), and only the channel's answer ends it.
* No transaction is open during a call; the lease outlives every call and pause.
* Whoever lost its lease stops: another has it, and brings the payment to its end. A
  till that waits here is told by watching the store.
* While a channel is held back (``gateway/guard.py``) nobody is asked: a payment keeps to its
  till's time and begins its undo, and is given back until the channel is back or its
  next time comes.
* An advice is told again until it is answered, under the same number, and never undone
  (``advices.py``).
* Every end is visible: what was not settled ``patience_s`` after its undo began (or
  whose account is gone so long) is parked for a person, whatever kept it open.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, assert_never

from channels.port import Answer, Channel, PayRequest, UndoAnswer, Verdict
from domain.clock import Clock
from domain.decline import Decline, DeclineReason
from domain.errors import Unavailable
from domain.payment import (
    UNSETTLED,
    Deed,
    Event,
    Order,
    Payment,
    Standing,
    Status,
)
from domain.settle import Happened, meant
from gateway.advices import believed, is_advice
from gateway.booking import LEASE_MARGIN_S, Booking
from gateway.channel_requests import reference
from gateway.live import Live, is_over, is_settled
from gateway.logs import Log
from gateway.metrics import Metrics
from gateway.notices import NoticeWriter
from gateway.routes import Routes
from gateway.store.port import JobKind, Store

_UNDO_TRIES_IN_A_ROW: Final = 3
GONE_ACCOUNT_S: Final = 300.0
_WATCH_S: Final = 0.25
_REVERSING: Final = Status.REVERSING
_NOT_IN_TIME: Final = Decline(DeclineReason.NOT_PAID_IN_TIME)


def pause_for_age(pauses: Sequence[float], waited_s: float) -> float:
    """The pause of a schedule that suits work of this age: a quarter of it, or the longest."""
    return min((s for s in pauses if s * 4 >= waited_s), default=pauses[-1])


class _LeaseLost(Exception):
    """Another worker has the payment, or its job has ended."""


class Settlement(Booking):
    """Finishes what is open, whoever began it."""

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
        advice_again: Callable[[Order], PayRequest],
    ) -> None:
        super().__init__(store=store, notices=notices, clock=clock, metrics=metrics, log=log)
        self._advice_again = advice_again
        self._routes = routes
        self._patience_s = patience_s

    async def settle(self, live: Live, *, at_once: bool) -> None:
        """Ask, then undo, until the payment is final, parked, or due again later.

        ``at_once``: ask before the first pause (recovery), not after it (a live one).
        """
        channel = self._routes.channel(live.payment.order.account_id)
        if is_over(live.payment):
            return
        try:
            if channel is None:
                self._log.error("account gone", account_id=live.payment.order.account_id)
                if not await self._park_if_old(live, "account_gone"):
                    await self._give_back(live, GONE_ACCOUNT_S)
                return
            if is_advice(live.payment.order) and live.payment.standing.status is not _REVERSING:
                await self._tell_again(live, channel, at_once=at_once)
                return
            if live.payment.standing.status is not Status.REVERSING and not await self._ask(
                live, channel, at_once=at_once
            ):
                return
            standing = live.payment.standing
            if standing.status in UNSETTLED and not standing.parked_reason:
                await self._undo(live, channel)
        except _LeaseLost:
            await self._watch(live)

    async def _ask(self, live: Live, channel: Channel, *, at_once: bool) -> bool:
        """Query on the channel's schedule; ends settled or with the undo begun.

        ``False`` when it was given back, because the channel is away.
        """
        order, missing = live.payment.order, 0
        schedule = channel.schedule
        pauses = (0.0, *schedule.query_after_s) if at_once else schedule.query_after_s
        if not schedule.query_after_s:
            pauses = ()
        for number, pause_s in enumerate(pauses):
            left_s = (order.till_deadline_ms - self._clock.now_ms()) / 1000
            if left_s <= 0 and not (at_once and number == 0):
                break
            await self._pause(live, channel, max(0.0, min(pause_s, left_s)))
            if self._settled(live):
                return True
            if self._held_back(live):
                if not at_once:
                    continue
                if left_s <= 0:
                    break
                await self._give_back(live, self._later_s(live, channel))
                return False
            answer = await self._query_in_time(channel, live.payment)
            missing = missing + 1 if answer.not_found else 0
            await self.apply_answer(live, answer, channel)
            if self._settled(live):
                return True
            if answer.hopeless or missing >= schedule.undo_after_not_found:
                break
        await self.begin_undo(live, channel, Event.GIVE_UP, _NOT_IN_TIME)
        return True

    async def _tell_again(self, live: Live, channel: Channel, *, at_once: bool) -> None:
        """Send an advice a few times in a row, then leave it to recovery, due later."""
        pauses = channel.schedule.refund_retry_s
        for number, pause_s in enumerate(pauses[:_UNDO_TRIES_IN_A_ROW]):
            await self._pause(live, channel, 0.0 if at_once and number == 0 else pause_s)
            if self._settled(live):
                return
            if self._held_back(live):
                break
            answer = await self._timed_advice(channel, live.payment)
            await self.apply_answer(live, answer, channel)
            if self._settled(live):
                return
        if not await self._park_if_old(live, "advice_not_answered"):
            await self._give_back(live, pause_for_age(pauses, self._waited_s(live)))

    async def _timed_advice(self, channel: Channel, payment: Payment) -> Answer:
        """Tell it once more; a fault of the adapter, or of what was kept, is an unknown answer."""
        started_s = self._clock.monotonic_s()
        try:
            answer = await channel.pay(self._advice_again(payment.order))
        except Exception:
            self._log.exception("adapter fault", payment_id=payment.order.id, call="pay")
            answer = Answer(verdict=Verdict.UNKNOWN)
        answer = believed(payment.order, answer)
        self._observe(payment, "pay", answer.verdict, started_s)
        return answer

    async def begin_undo(self, live: Live, channel: Channel, event: Event, why: Decline) -> bool:
        """Persist that the payment is being undone; from here it ends closed or reversed.

        ``False`` when somebody else had begun, or nothing needs it. ``event`` is
        ``GIVE_UP`` (leaves alone what is paid by now) or ``UNDO``.
        """
        happened = Happened(event=event, at_ms=self._clock.now_ms(), decline=why)
        return await self.apply(live, happened, channel)

    async def _undo(self, live: Live, channel: Channel) -> None:
        """Cancel a few times in a row, then leave it to recovery, due later."""
        pauses = channel.schedule.undo_retry_s
        await self._pause(live, channel, self._too_young_s(live, channel))
        for pause_s in pauses[:_UNDO_TRIES_IN_A_ROW]:
            if not self._held_back(live):
                asked = live.payment.standing
                answer = await self.timed_cancel(channel, live.payment)
                if await self._apply_undo(live, asked, answer, channel):
                    return
            if self._held_back(live):
                break
            await self._pause(live, channel, pause_s)
            if self._settled(live) and live.payment.standing.status is not Status.REVERSING:
                return
        if not await self._park_if_old(live, "undo_not_answered"):
            await self._give_back(live, self._later_s(live, channel))

    async def _park_if_old(self, live: Live, reason: str) -> bool:
        """Park what nobody could settle within the patience, counted from when its undo began."""
        now_ms = self._clock.now_ms()
        order = live.payment.order
        if now_ms - order.created_at_ms <= self._patience_s * 1000:
            return False
        begun_ms = order.created_at_ms
        for line in await self._store.events(order.id):
            began = line.status is Status.REVERSING and line.previous is not Status.REVERSING
            if began or line.event is Deed.RETRY:
                begun_ms = line.at_ms
        if now_ms - begun_ms <= self._patience_s * 1000:
            return False
        given_up = Happened(event=Event.UNDONE_UNPAID, at_ms=now_ms)
        await self.apply(live, given_up, None, reason)
        return True

    def _held_back(self, live: Live) -> bool:
        """Whether a call would not go through: the channel is away, or its budget used up."""
        return self._routes.holds_back(live.payment.order.account_id)

    def _waited_s(self, live: Live) -> int:
        return (self._clock.now_ms() - live.payment.order.created_at_ms) // 1000

    def _too_young_s(self, live: Live, channel: Channel) -> float:
        """How long it still is before the channel lets a payment of this age be undone."""
        age_s = (self._clock.now_ms() - live.sent_ms) / 1000
        return min(channel.schedule.undo_not_before_s - age_s, channel.schedule.undo_not_before_s)

    def _later_s(self, live: Live, channel: Channel) -> float:
        """How long to leave it alone: the longer, the older it is."""
        return pause_for_age(channel.schedule.undo_retry_s, self._waited_s(live))

    async def _apply_undo(
        self, live: Live, asked: Standing, answer: UndoAnswer, channel: Channel
    ) -> bool:
        """Book what an undo came to; ``False`` when it must be asked for again.

        ``asked`` is where the payment stood when the channel was asked.
        """
        now_ms = self._clock.now_ms()
        match answer.verdict:
            case Verdict.SUCCEEDED:
                paid = answer.was_paid
                if paid is None:  # it does not tell: what was known when it was asked decides
                    paid = asked.captured_fen > 0 or asked.paid_at_ms > 0
                undone = Event.UNDONE_PAID if paid else Event.UNDONE_UNPAID
                happened = Happened(
                    event=meant(live.payment.order, undone),
                    at_ms=now_ms,
                    asked_version=0 if answer.was_paid else asked.version,
                )
                await self.apply(live, happened, channel)
                return live.payment.standing.status is not _REVERSING or is_over(live.payment)
            case Verdict.DECLINED:
                happened = Happened(event=Event.UNDONE_UNPAID, at_ms=now_ms)
                await self.apply(live, happened, channel, "undo_refused")
                return True
            case Verdict.PENDING | Verdict.NOT_SENT | Verdict.UNKNOWN:
                return False
            case _:
                assert_never(answer.verdict)

    async def _pause(self, live: Live, channel: Channel, pause_s: float) -> None:
        if pause_s <= 0:
            return
        payment_id = live.payment.order.id
        due_at_ms = self.lease_until_ms(channel, pause_s)
        try:
            kept = await self._store.renew(JobKind.SETTLE, payment_id, due_at_ms, live.fence)
        except Unavailable:
            # as long as it lasts nobody else can have it; longer would be a guess
            if self._clock.now_ms() + int(pause_s * 1000) >= live.leased_until_ms:
                raise
            self._log.warning("lease not renewed", payment_id=payment_id)
        else:
            if not kept:
                raise _LeaseLost
            live.leased_until_ms = due_at_ms
        await asyncio.sleep(pause_s)

    async def _give_back(self, live: Live, later_s: float) -> None:
        """Leave the payment to whoever comes first once it is due again."""
        payment_id, due_at_ms = live.payment.order.id, self._clock.now_ms() + int(later_s * 1000)
        await self._store.renew(JobKind.SETTLE, payment_id, due_at_ms, live.fence, given_back=True)

    async def _watch(self, live: Live) -> None:
        """Another worker moves it: whoever waits here hears of what the store shows.

        Recovery has nobody who waits; a live one watches until its till's time is over.
        """
        order = live.payment.order
        self._log.info("left to another worker", payment_id=order.id, fence=live.fence)
        live.moved(await self.reload(live.payment))
        left_s = (order.till_deadline_ms - self._clock.now_ms()) / 1000 + LEASE_MARGIN_S
        until_s = self._clock.monotonic_s() + left_s
        while live.fence == 0 and not is_over(live.payment):
            if self._clock.monotonic_s() >= until_s:
                return
            await asyncio.sleep(_WATCH_S)
            live.moved(await self.reload(live.payment))

    @staticmethod
    def _settled(live: Live) -> bool:
        return is_settled(live.payment)

    async def _query_in_time(self, channel: Channel, payment: Payment) -> Answer:
        """Query, but not past the till's deadline; recovery has the call's own time."""
        left_s = (payment.order.till_deadline_ms - self._clock.now_ms()) / 1000
        try:
            async with asyncio.timeout(left_s if left_s > 0 else channel.timeout_s):
                return await self.timed_query(channel, payment)
        except TimeoutError:
            return Answer(verdict=Verdict.UNKNOWN)

    async def timed_query(self, channel: Channel, payment: Payment) -> Answer:
        """Query; a fault of the adapter is an unknown answer.

        So is "not sent": it is the question that was not, and says nothing of the payment.
        """
        started_s = self._clock.monotonic_s()
        try:
            answer = await channel.query(reference(payment))
        except Exception:
            self._log.exception("adapter fault", payment_id=payment.order.id, call="query")
            answer = Answer(verdict=Verdict.UNKNOWN)
        if answer.verdict is Verdict.NOT_SENT:
            answer = Answer(verdict=Verdict.UNKNOWN, channel_message=answer.channel_message)
        self._observe(payment, "query", answer.verdict, started_s)
        return answer

    async def timed_cancel(self, channel: Channel, payment: Payment) -> UndoAnswer:
        """Cancel; a fault of the adapter is an unknown answer."""
        started_s = self._clock.monotonic_s()
        try:
            answer = await channel.cancel(reference(payment))
        except Exception:
            self._log.exception("adapter fault", payment_id=payment.order.id, call="cancel")
            answer = UndoAnswer(verdict=Verdict.UNKNOWN)
        self._observe(payment, "cancel", answer.verdict, started_s)
        return answer

    def _observe(
        self, payment: Payment, operation: str, verdict: Verdict, started_s: float
    ) -> None:
        elapsed_s = self._clock.monotonic_s() - started_s
        self._metrics.call(payment.order.channel, operation, verdict.value, elapsed_s)
