"""Making a channel's answer durable, whatever moved meanwhile.

Rules:

* Every move is compare-and-set: a move that lost is computed again from what the
  store holds, so a late answer meets the state it really finds.
* Standing, event, ledger lines, notice and the terminal's reply are one commit, and
  nobody is told anything before it.
* Releasing a hold takes it, as completing it does: one of them has it, never both.
* An attempt's checkout moves in the attempt's commit (``checkout/following.py``).
* A store that stumbles is tried again a few times; one that stays away is a fault, and
  recovery books the answer later.
"""

import asyncio
import dataclasses
from typing import Final, assert_never

from channels.port import Advice, Answer, Channel, Verdict
from domain.checkout import is_attempt
from domain.clock import Clock
from domain.decline import Decline, DeclineReason
from domain.errors import Conflict, Unavailable
from domain.payment import UNSETTLED, Event, Order, Payment, Status
from domain.settle import Happened, Step, contradiction, meant, parked, step
from gateway.checkout.following import followed
from gateway.holds import next_taking
from gateway.live import Live, is_tellable
from gateway.logs import Log
from gateway.metrics import Metrics
from gateway.notices import NoticeWriter
from gateway.store.port import Advance, CheckoutMove, Store, TakenHold
from gateway.store.told import is_told

STORE_RETRY_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0)
LEASE_MARGIN_S: Final = 5.0
_SAME_ORDER: Final = frozenset(("amount_mismatch", "currency_mismatch"))
_SUCCEEDED: Final = Verdict.SUCCEEDED
_UNKNOWN: Final = Verdict.UNKNOWN
_CONFIGURATION: Final = Advice.CONFIGURATION
_PAID: Final = Event.PAID
_AUTHORIZED: Final = Status.AUTHORIZED
"""Looked up with every answer: a global is, a member of an enumeration is not, cheap."""
_MONEY_CAME: Final = frozenset((Event.PAID, Event.AUTHORIZE))


class Booking:
    """Moves of payments, made durable."""

    def __init__(
        self,
        *,
        store: Store,
        notices: NoticeWriter,
        clock: Clock,
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._store = store
        self._notices = notices
        self._clock = clock
        self._metrics = metrics
        self._log = log

    def lease_until_ms(self, channel: Channel | None, pause_s: float = 0.0) -> int:
        """When another worker may take over: after one pause and one whole call."""
        call_s = 0.0 if channel is None else channel.timeout_s
        lease_s = pause_s + call_s + LEASE_MARGIN_S
        return self._clock.now_ms() + int(lease_s * 1000)

    def due_at_ms(self, after: Payment, channel: Channel | None) -> int:
        """When an open payment that came to where it stands is anybody's; here its lease ends."""
        return self.lease_until_ms(channel)

    async def apply_answer(self, live: Live, answer: Answer, channel: Channel) -> None:
        """Book what pay or query came to."""
        live.answer = answer
        wrong = ""
        if answer.verdict is _SUCCEEDED:
            wrong = contradiction(
                live.payment.order,
                amount_fen=answer.amount_fen,
                currency=answer.currency,
                order_no=answer.order_no,
            )
        if wrong or answer.verdict is _UNKNOWN or answer.advice is _CONFIGURATION:
            said = f"{wrong}: it says {answer.amount_fen} {answer.currency}".rstrip()
            tell = self._log.error if wrong else self._log.warning
            tell(
                "channel answer needs eyes",
                payment_id=live.payment.order.id,
                channel=live.payment.order.channel,
                verdict=answer.verdict.value,
                code=answer.channel_code,
                detail=said if wrong else answer.channel_message,
                trade_no=answer.trade_no or None,
                advice=answer.advice.value if answer.advice is not None else None,
            )
        await self.apply(live, self._happened(live.payment.order, answer), channel, wrong)

    def _happened(self, order: Order, answer: Answer) -> Happened:
        match answer.verdict:
            case Verdict.SUCCEEDED:
                event, decline = meant(order, _PAID), None
            case Verdict.DECLINED:
                reason = answer.reason or DeclineReason.DECLINED
                event, decline = Event.DECLINE, Decline(reason, answer.channel_code)
            case Verdict.PENDING:
                event, decline = Event.PAYER_ACTING, None
            case Verdict.NOT_SENT:
                event = Event.NOT_SENT
                reason = answer.reason or DeclineReason.CHANNEL_UNAVAILABLE
                decline = Decline(reason, answer.channel_code)
            case Verdict.UNKNOWN:
                event, decline = Event.ANSWER_LOST, None
            case _:
                assert_never(answer.verdict)
        now_ms = self._clock.now_ms()
        paid_at_ms = answer.paid_at_ms or now_ms if event is _PAID else 0
        return Happened(
            event=event,
            at_ms=now_ms,
            trade_no=answer.trade_no,
            reference=answer.reference,
            paid_at_ms=paid_at_ms,
            decline=decline,
            card_organisation=answer.card_organisation,
        )

    async def apply(
        self, live: Live, happened: Happened, channel: Channel | None, wrong: str = ""
    ) -> bool:
        """Make one move durable, whatever moved meanwhile; ``False`` when nothing was left to do.

        It ends: a round is lost only to a move that somebody committed, and a payment has few.

        Raises:
            Unavailable: the store stayed away; nothing may be told to anybody.
            Conflict: ``hold_is_taken``; a completion has the hold that was to be released.
        """
        payment, is_fresh = live.payment, False
        while True:
            move = step(payment, happened)
            if move is None and happened.event in _MONEY_CAME and not is_fresh:
                # What we remember may be behind: closed meanwhile, it must be reopened.
                payment, is_fresh = await self.reload(payment), True
                continue
            if move is None:
                live.moved(payment)
                return False
            if wrong:
                move = parked(payment, wrong, happened if wrong in _SAME_ORDER else None)
            moves = None
            if is_attempt(payment.order):
                cause, at_ms = happened.event, happened.at_ms
                move, moves = await followed(
                    self._store, self._notices, payment, move, cause, at_ms
                )
            after = Payment(payment.order, move.standing)
            try:
                is_done = await self._persist(live, payment, after, move, happened, channel, moves)
            except Conflict:
                if not await self._has_moved(payment):
                    raise
                is_done = False  # the release that has the hold may be this one, by another hand
            if is_done:
                self._count(after)
                live.moved(after)
                return True
            payment, is_fresh = await self.reload(payment), True

    async def _persist(
        self,
        live: Live,
        before: Payment,
        after: Payment,
        move: Step,
        happened: Happened,
        channel: Channel | None,
        moves: CheckoutMove | None,
    ) -> bool:
        tellable = is_tellable(after)
        open_ = after.standing.status in UNSETTLED and not after.standing.parked_reason
        reply = None
        if tellable and live.reply is None and live.reply_for is not None:
            reply = live.reply_for(after, live.answer)
        notice = None
        if move.notice:
            notice = self._notices.of_payment(after, move.notice, happened.at_ms)
        is_held = before.standing.status is _AUTHORIZED
        change = Advance(
            payment_id=before.order.id,
            merchant_no=before.order.merchant_no,
            previous=before.standing.status,
            event=happened.event,
            standing=move.standing,
            at_ms=happened.at_ms,
            due_at_ms=self.due_at_ms(after, channel) if open_ else None,
            account_id=before.order.account_id,
            postings=move.postings,
            reply=reply,
            notice=notice,
            takes=await self._release(after) if is_held else None,
            moves=moves,
            is_told=is_told(before.order),
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
        if moved and change.due_at_ms is not None:
            live.leased_until_ms = change.due_at_ms
        if moved and (notice is not None or moves is not None):
            self._notices.committed()
        return moved

    async def _release(self, after: Payment) -> TakenHold | None:
        """What a hold that moves takes: itself, when it begins to be released."""
        if after.standing.status is Status.REVERSING:
            return await next_taking(self._store, after.order.id)
        return None

    async def _advance(self, change: Advance) -> bool:
        for pause_s in STORE_RETRY_S:
            try:
                return await self._store.advance(change)
            except Unavailable:
                await asyncio.sleep(pause_s)
        return await self._store.advance(change)

    async def _has_moved(self, payment: Payment) -> bool:
        return (await self.reload(payment)).standing.version != payment.standing.version

    async def reload(self, payment: Payment) -> Payment:
        """The payment as the store holds it.

        Raises:
            Unavailable: the store is away, or does not show it.
        """
        stored = await self._store.payment(payment.order.id)
        if stored is None:
            raise Unavailable("the store no longer shows a payment that it acknowledged")
        return stored

    def _count(self, payment: Payment) -> None:
        order, standing = payment.order, payment.standing
        if standing.parked_reason:
            self._metrics.parked.inc()
            self._log.error("payment parked", payment_id=order.id, reason=standing.parked_reason)
        self._metrics.payment(order.door, order.channel, standing.status._value_)
