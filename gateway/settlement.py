"""From a channel's answers to a final state: asked on a schedule, then undone.

Rules:

* Live payments and recovered ones take the same path (:meth:`Settlement.settle`).
* Every move is compare-and-set: a move that lost is computed again from what the
  store holds, so a late answer meets the state it really finds.
* Nothing is failed or closed by time: when the schedule or the till's patience
  ends, an undo *begins* (persisted first), and only the channel's answer ends it.
* No transaction is open during a call; the lease outlives every call and pause.
"""

import asyncio
import dataclasses
from typing import Final, assert_never

import orjson

from channels.port import Advice, Answer, Channel, PaymentRef, UndoAnswer, Verdict
from domain.clock import Clock
from domain.decline import Decline, DeclineReason
from domain.errors import Conflict, Unavailable
from domain.payment import UNSETTLED, Event, Order, Payment, Status
from domain.settle import Happened, Step, contradiction, parked, step
from gateway.live import Live, is_settled, is_tellable
from gateway.logs import Log
from gateway.metrics import Metrics
from gateway.routes import Routes
from gateway.store.port import Advance, PaymentStore

_STORE_RETRY_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0)
_UNDO_TRIES_IN_A_ROW: Final = 3
_UNDO_PATIENCE_S: Final = 24 * 3600
_LEASE_MARGIN_S: Final = 5.0
_MONEY_CAME: Final = frozenset((Event.PAID, Event.AUTHORIZE))
_NOT_IN_TIME: Final = Decline(DeclineReason.NOT_PAID_IN_TIME)


def details(entry_mode: str) -> str:
    """What an undo needs after a restart, as the text that an order keeps."""
    return f'{{"entry_mode":"{entry_mode}"}}' if entry_mode else ""


def entry_mode(order: Order) -> str:
    """F22 of a card sale, ``""`` for everything else."""
    if not order.details_json:
        return ""
    return str(orjson.loads(order.details_json).get("entry_mode", ""))


def reference(payment: Payment) -> PaymentRef:
    """The payment as its channel knows it."""
    order, standing = payment.order, payment.standing
    return PaymentRef(
        order_no=order.channel_order_no,
        amount_fen=order.amount_fen,
        currency=order.currency,
        created_at_ms=order.created_at_ms,
        trade_no=standing.channel_trade_no,
        entry_mode=entry_mode(order),
        reference=standing.channel_reference,
    )


class Settlement:
    """Applies answers and finishes what is open, whoever began it."""

    def __init__(
        self,
        *,
        store: PaymentStore,
        routes: Routes,
        clock: Clock,
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._store = store
        self._routes = routes
        self._clock = clock
        self._metrics = metrics
        self._log = log

    def lease_until_ms(self, channel: Channel, pause_s: float = 0.0) -> int:
        """When another worker may take over: after one pause and one whole call."""
        lease_s = pause_s + channel.timeout_s + _LEASE_MARGIN_S
        return self._clock.now_ms() + int(lease_s * 1000)

    async def apply_answer(self, live: Live, answer: Answer, channel: Channel) -> None:
        """Book what pay or query came to."""
        live.answer = answer
        if answer.verdict is Verdict.UNKNOWN or answer.advice is Advice.CONFIGURATION:
            self._log.warning(
                "channel answer needs eyes",
                payment_id=live.payment.order.id,
                channel=live.payment.order.channel,
                verdict=answer.verdict.value,
                code=answer.channel_code,
                detail=answer.channel_message,
                advice=answer.advice.value if answer.advice is not None else None,
            )
        happened = self._happened(answer)
        wrong = ""
        if answer.verdict is Verdict.SUCCEEDED:
            wrong = contradiction(
                live.payment.order,
                amount_fen=answer.amount_fen,
                currency=answer.currency,
                order_no=answer.order_no,
            )
        await self.apply(live, happened, channel, wrong)

    def _happened(self, answer: Answer) -> Happened:
        match answer.verdict:
            case Verdict.SUCCEEDED:
                event, decline = Event.PAID, None
            case Verdict.DECLINED:
                reason = answer.reason or DeclineReason.DECLINED
                event, decline = Event.DECLINE, Decline(reason, answer.channel_code)
            case Verdict.PENDING:
                event, decline = Event.PAYER_ACTING, None
            case Verdict.NOT_SENT:
                event = Event.NOT_SENT
                decline = Decline(DeclineReason.CHANNEL_UNAVAILABLE, answer.channel_code)
            case Verdict.UNKNOWN:
                event, decline = Event.ANSWER_LOST, None
            case _:
                assert_never(answer.verdict)
        now_ms = self._clock.now_ms()
        paid_at_ms = answer.paid_at_ms or now_ms if event is Event.PAID else 0
        return Happened(
            event=event,
            at_ms=now_ms,
            trade_no=answer.trade_no,
            reference=answer.reference,
            paid_at_ms=paid_at_ms,
            decline=decline,
        )

    async def apply(
        self, live: Live, happened: Happened, channel: Channel, wrong: str = ""
    ) -> bool:
        """Make one move durable, whatever moved meanwhile; ``False`` when nothing was left to do.

        Raises:
            Unavailable: the store stayed away; nothing may be told to anybody.
        """
        payment, is_fresh = live.payment, False
        while True:
            move = step(payment, happened)
            if move is None and happened.event in _MONEY_CAME and not is_fresh:
                # What we remember may be behind: closed meanwhile, it must be reopened.
                payment, is_fresh = await self._reload(payment), True
                continue
            if move is None:
                live.moved(payment)
                return False
            if wrong:
                move = parked(payment, wrong)
            after = Payment(payment.order, move.standing)
            if await self._persist(live, payment, after, move, happened, channel):
                self._count(after)
                live.moved(after)
                return True
            payment, is_fresh = await self._reload(payment), True

    async def _persist(
        self,
        live: Live,
        before: Payment,
        after: Payment,
        move: Step,
        happened: Happened,
        channel: Channel,
    ) -> bool:
        tellable = is_tellable(after)
        open_ = after.standing.status in UNSETTLED and not after.standing.parked_reason
        reply = None
        if tellable and live.reply is None and live.reply_for is not None:
            reply = live.reply_for(after, live.answer)
        change = Advance(
            payment_id=before.order.id,
            merchant_no=before.order.merchant_no,
            previous=before.standing.status,
            event=happened.event,
            standing=move.standing,
            at_ms=happened.at_ms,
            due_at_ms=self.lease_until_ms(channel) if open_ else None,
            postings=move.postings,
            reply=reply,
        )
        try:
            moved = await self._advance(change)
        except Conflict:
            if reply is None:
                raise
            # the terminal was answered elsewhere meanwhile: that reply stands, the move goes on
            reply = None
            moved = await self._advance(dataclasses.replace(change, reply=None))
        if moved and reply is not None:
            live.reply = reply
        return moved

    async def _advance(self, change: Advance) -> bool:
        for pause_s in _STORE_RETRY_S:
            try:
                return await self._store.advance(change)
            except Unavailable:
                await asyncio.sleep(pause_s)
        return await self._store.advance(change)

    async def _reload(self, payment: Payment) -> Payment:
        stored = await self._store.payment(payment.order.id)
        if stored is None:
            raise Unavailable("the store no longer shows a payment that it acknowledged")
        return stored

    def _count(self, payment: Payment) -> None:
        order, standing = payment.order, payment.standing
        if standing.parked_reason:
            self._metrics.parked.inc()
            self._log.error("payment parked", payment_id=order.id, reason=standing.parked_reason)
        self._metrics.payment(order.door, order.channel, standing.status.value)

    async def settle(self, live: Live, *, at_once: bool) -> None:
        """Ask, then undo, until the payment is final, parked, or due again later.

        ``at_once``: ask before the first pause (recovery), not after it (a live one).
        """
        channel = self._routes.channel(live.payment.order.account_id)
        if channel is None:
            self._log.error("account gone", account_id=live.payment.order.account_id)
            return
        if live.payment.standing.status is not Status.REVERSING:
            await self._ask(live, channel, at_once=at_once)
        standing = live.payment.standing
        if standing.status in UNSETTLED and not standing.parked_reason:
            await self._undo(live, channel)

    async def _ask(self, live: Live, channel: Channel, *, at_once: bool) -> None:
        """Query on the channel's schedule; ends settled or with the undo begun."""
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
                return
            answer = await self._query_in_time(channel, live.payment)
            missing = missing + 1 if answer.not_found else 0
            await self.apply_answer(live, answer, channel)
            if self._settled(live):
                return
            if missing >= schedule.undo_after_not_found:
                break
        await self.begin_undo(live, channel, Event.GIVE_UP, _NOT_IN_TIME)

    async def begin_undo(self, live: Live, channel: Channel, event: Event, why: Decline) -> bool:
        """Persist that the payment is being undone; from here it ends closed or reversed.

        ``False`` when somebody else had begun, or nothing needs it. ``event`` is ``GIVE_UP`` (leaves alone what is paid by now) or ``UNDO``.
        """
        happened = Happened(event=event, at_ms=self._clock.now_ms(), decline=why)
        return await self.apply(live, happened, channel)

    async def _undo(self, live: Live, channel: Channel) -> None:
        """Cancel a few times in a row, then leave it to recovery, due later."""
        pauses = channel.schedule.undo_retry_s
        for pause_s in pauses[:_UNDO_TRIES_IN_A_ROW]:
            answer = await self.timed_cancel(channel, live.payment)
            if await self._apply_undo(live, answer, channel):
                return
            await self._pause(live, channel, pause_s)
            if self._settled(live) and live.payment.standing.status is not Status.REVERSING:
                return
        waited_s = (self._clock.now_ms() - live.payment.order.created_at_ms) // 1000
        if waited_s > _UNDO_PATIENCE_S:
            given_up = Happened(event=Event.UNDONE_UNPAID, at_ms=self._clock.now_ms())
            await self.apply(live, given_up, channel, "undo_not_answered")
            return
        later_s = min((s for s in pauses if s * 4 >= waited_s), default=pauses[-1])
        due_at_ms = self._clock.now_ms() + int(later_s * 1000)
        await self._store.renew_lease(live.payment.order.id, due_at_ms)

    async def _apply_undo(self, live: Live, answer: UndoAnswer, channel: Channel) -> bool:
        now_ms = self._clock.now_ms()
        match answer.verdict:
            case Verdict.SUCCEEDED:
                captured = live.payment.standing.captured_fen > 0
                paid = captured if answer.was_paid is None else answer.was_paid
                event = Event.UNDONE_PAID if paid else Event.UNDONE_UNPAID
                await self.apply(live, Happened(event=event, at_ms=now_ms), channel)
                return True
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
        due_at_ms = self.lease_until_ms(channel, pause_s)
        try:
            await self._store.renew_lease(live.payment.order.id, due_at_ms)
        except Unavailable:
            self._log.warning("lease not renewed", payment_id=live.payment.order.id)
        await asyncio.sleep(pause_s)

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
        """Query; a fault of the adapter is an unknown answer."""
        started_s = self._clock.monotonic_s()
        try:
            answer = await channel.query(reference(payment))
        except Exception:
            self._log.exception("adapter fault", payment_id=payment.order.id, call="query")
            answer = Answer(verdict=Verdict.UNKNOWN)
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
