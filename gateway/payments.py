"""Taking a payment, looking it up, undoing it: what both doors share.

Rules:

* Persist, then send, then persist. The claim (order, attempt, event, idempotency
  key) is durable before a byte leaves.
* Same key, same body: the same payment, one effect, whether the first is in flight
  here, in flight elsewhere, or long done. Same key, other body: ``Conflict``.
* An undo is persisted as begun before anybody hears of it.
* Work that outlives the request runs in tasks that are counted, bounded and waited
  for when the process drains; what does not finish is recovery's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final

from channels.card import CardAction
from channels.card_abilities import takes_action
from channels.port import Answer, Channel, Verdict
from domain.checkout import is_attempt
from domain.clock import Clock
from domain.decline import Decline, DeclineReason
from domain.doors import API_DOOR, PAGE_DOOR, POS_DOOR, SCREEN_DOOR
from domain.errors import Conflict, NotFound, OverLimit, Unavailable, Unprocessable
from domain.ids import IdSource, is_merchant_number
from domain.limits import LimitRule, over_limit
from domain.payment import Event, Order, Payment, Standing, Status, apply
from domain.record import brief
from domain.settle import has_refunds
from gateway.advices import believed, is_advice
from gateway.channel_requests import bare_request
from gateway.draft import Draft, claim_of, order_of, request_of
from gateway.holds import hold_is_taken
from gateway.limits import FREE, Judge, Judged, NoLimits, asked_of
from gateway.live import Live, ReplyFor, is_over
from gateway.logs import Log
from gateway.metrics import Metrics
from gateway.routes import Route, Routes
from gateway.settlement import Settlement
from gateway.store.port import Claim, PaymentStore, TerminalReply

_SALE: Final = CardAction.SALE
_SUBMITTED: Final = Status.SUBMITTED
"""Looked up with every payment: a global is, a member of an enumeration is not, cheap."""
_PEEK_S: Final = 0.1
_DRAIN_PEEK_S: Final = 0.02
_CANCELLED: Final = Decline(DeclineReason.CANCELLED)


@brief
class Begun:
    """A claimed or found payment; ``live`` while this process works on it."""

    payment: Payment
    live: Live | None
    replayed: bool


class Payments:
    """The use cases around one payment."""

    def __init__(
        self,
        *,
        store: PaymentStore,
        settlement: Settlement,
        routes: Routes,
        clock: Clock,
        ids: IdSource,
        metrics: Metrics,
        log: Log,
        till_wait_s: float,
        max_in_flight: int,
        limits: Judge | None = None,
    ) -> None:
        self._store = store
        self._settlement = settlement
        self._routes = routes
        self._clock = clock
        self._ids = ids
        self._metrics = metrics
        self._log = log
        self.till_wait_s = till_wait_s
        self._max_in_flight = max_in_flight
        self._limits: Judge = limits or NoLimits()
        self._live: dict[tuple[str, str, str], Live] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting = True

    def in_flight(self) -> int:
        """Payments that this process is working on."""
        return len(self._live)

    def accepting(self) -> bool:
        """Whether new payments are taken."""
        return self._accepting

    async def begin(self, draft: Draft, reply_for: ReplyFor | None = None) -> Begun:
        """Claim a new payment durably, or find the one that this repeats.

        The caller of a payment that is not ``replayed`` must :meth:`run` its ``live``.

        Raises:
            Conflict: the key exists with other content, or ``hold_is_taken``.
            Unprocessable: no account for the channel, or none that does this.
            OverLimit: the merchant's limits stop it.
            Unavailable: draining, over the bound, or the store is down. Nothing was sent.
            ChannelDown: the channel does not answer now. Nothing was begun.
        """
        key = (draft.merchant_no, draft.door, draft.order_key)
        judged = FREE
        if self._limits.concern(draft.merchant_no) and key not in self._live:
            judged = await self._judged(draft)
        first = self._live.get(key)  # nothing is awaited from here to where it is put there
        if first is not None:
            if await first.is_claimed():
                return Begun(_same(first.payment, draft), first, True)
            return Begun(_same(await self._stored(draft), draft), None, True)
        try:
            if judged.refusal is not None:
                raise judged.refusal
            route, order = self._admit(draft)
        except (Unavailable, Unprocessable, OverLimit) as refusal:
            return await self._refused(draft, refusal)
        payment = Payment(order, Standing(status=_SUBMITTED, version=1))
        live = Live(payment, request_of(order, draft), reply_for)
        self._live[key] = live
        claimed = False
        try:
            due_at_ms = self._settlement.lease_until_ms(route.channel)
            live.leased_until_ms = due_at_ms
            claimed = await self._store.claim(claim_of(payment, draft, judged.spends, due_at_ms))
        finally:
            if not claimed:
                del self._live[key]
                live.ended()
            live.claim_ended(claimed=claimed)
        if claimed and self._clock.now_ms() > due_at_ms - int(route.channel.timeout_s * 1000):
            # recovery may take it before the channel could answer: send nothing, leave it to it
            del self._live[key]
            live.ended()
            raise Unavailable("the claim took too long; nothing was sent")
        if claimed:
            return Begun(live.payment, live, False)
        return Begun(_same(await self._stored(draft), draft), None, True)

    async def _refused(
        self, draft: Draft, refusal: Unavailable | Unprocessable | OverLimit
    ) -> Begun:
        """A repeat is answered whatever keeps new payments out; a new one is refused."""
        known = await self._store.payment_by_order(draft.merchant_no, draft.door, draft.order_key)
        if known is not None:
            return Begun(_same(known, draft), None, True)
        if isinstance(refusal, OverLimit):
            self._limits.stopped(draft.merchant_no, refusal)
        if isinstance(refusal, Unavailable):
            refusal.nothing_begun = True
        raise refusal

    async def _judged(self, draft: Draft) -> Judged:
        asked, key = asked_of(draft), (draft.merchant_no, draft.door, draft.order_key)
        if asked is None or (asked.operator_pin and await self._store.payment_by_order(*key)):
            return FREE  # nothing to judge, or a repeat: its PIN costs no try, and forgets none
        return await self._limits.judge(asked)

    def _admit(self, draft: Draft) -> tuple[Route, Order]:
        """The account and order of a new payment, or why there can be none now."""
        if not self._accepting:
            raise Unavailable("shutting down: send the payment again")
        if len(self._live) >= self._max_in_flight:
            raise Unavailable("too many payments in flight: send the payment again")
        route = self._route(draft)
        if route.guard is not None:
            route.guard.admit()
        return route, order_of(
            draft,
            order_id=self._ids.new("pay_"),
            account_id=route.account_id,
            channel_order_no=route.channel.new_order_no(),
            now_ms=self._clock.now_ms(),
            patience_s=min(self.till_wait_s, draft.expires_in_s or self.till_wait_s),
        )

    def _route(self, draft: Draft) -> Route:
        if draft.account_id:
            route = self._routes.of_account(draft.account_id)
        else:
            route = self._routes.choose(draft.merchant_no, draft.channel)
        if draft.action is not _SALE and not takes_action(route.channel, draft.action):
            raise Unprocessable("action_not_supported", f"no {draft.action.value} at this account")
        return route

    async def _stored(self, draft: Draft) -> Payment:
        """The payment whose key kept this one out, or what else did."""
        payment = await self._store.payment_by_order(draft.merchant_no, draft.door, draft.order_key)
        if payment is None and draft.takes is not None:
            raise hold_is_taken()
        if payment is None and draft.moves is not None:
            raise Conflict("checkout_moved", "somebody else moved this checkout: look again")
        if payment is None and self._limits.concern(draft.merchant_no):
            # others took the last of the day meanwhile
            raise self._limits.stopped(draft.merchant_no, over_limit(LimitRule.DAILY))
        if payment is None:
            raise Unavailable("the store refused a key that it does not show")
        return payment

    async def run(self, live: Live, pay: Callable[[], Awaitable[Answer]] | None = None) -> None:
        """Call the channel (or ``pay``) once and book its answer; polling goes on by itself.

        Raises:
            Unavailable: the answer could not be made durable: tell nobody anything.
        """
        order = live.payment.order
        channel = self._routes.channel(order.account_id)
        if channel is None:
            raise Unavailable("account gone")
        try:
            answer = await self._pay(live, channel, pay)
            await self._settlement.apply_answer(live, answer, channel)
        except BaseException as error:
            if isinstance(error, Unavailable):
                live.fault = error
            self._forget(live)
            raise
        if is_over(live.payment):
            self._forget(live)
        else:
            self.spawn(self._follow(live))

    async def _pay(
        self, live: Live, channel: Channel, pay: Callable[[], Awaitable[Answer]] | None
    ) -> Answer:
        started_s, live.sent_ms = self._clock.monotonic_s(), self._clock.now_ms()
        try:
            answer = await (channel.pay(live.request) if pay is None else pay())
        except Exception:
            self._log.exception("adapter fault", payment_id=live.payment.order.id, call="pay")
            answer = Answer(verdict=Verdict.UNKNOWN)
        self._metrics.call(
            live.payment.order.channel,
            "pay",
            answer.verdict._value_,
            self._clock.monotonic_s() - started_s,
        )
        return believed(live.payment.order, answer)

    async def _follow(self, live: Live) -> None:
        try:
            await self._settlement.settle(live, at_once=False)
        except Unavailable as error:
            payment_id = live.payment.order.id
            self._log.warning("left to recovery", payment_id=payment_id, reason=error.message)
        finally:
            self._forget(live)

    def _forget(self, live: Live) -> None:
        order = live.payment.order
        if self._first(order) is live:
            del self._live[order.merchant_no, order.door, order.order_key]
        live.ended()

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run something that outlives its request, counted and waited for."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Unavailable):
            self._log.warning("left to recovery", reason=error.message)
        elif error is not None:
            self._log.error("background work failed", error=repr(error))

    async def find(self, merchant_no: str, payment_id: str) -> Payment:
        """A merchant's payment by our id.

        Raises:
            NotFound: no such payment of this merchant.
        """
        payment = None
        if is_merchant_number(payment_id):  # what is no number of ours never reaches the store
            payment = await self._store.payment(payment_id)
        if payment is None or payment.order.merchant_no != merchant_no:
            raise NotFound("payment_not_found", "no such payment")
        if is_attempt(payment.order):  # its merchant knows the checkout
            raise NotFound("payment_not_found", "no such payment")
        return payment

    async def find_by_order(self, merchant_no: str, number: str) -> Payment:
        """A merchant's payment by its own number; a terminal's is terminal-batch-trace.

        Raises:
            NotFound: no such payment of this merchant.
        """
        for door in (API_DOOR, POS_DOOR, PAGE_DOOR, SCREEN_DOOR):
            payment = await self._store.payment_by_order(merchant_no, door, number)
            if payment is not None:
                return payment
        raise NotFound("payment_not_found", "no payment with this merchant_order_no")

    async def cancel(self, payment: Payment, reply_for: ReplyFor | None = None) -> Live:
        """Undo a payment whatever its state; persisted as begun when this returns.

        A payment that needs no undo comes back as it is. The undo itself goes on in
        the background; wait for it on the returned ``live``.

        Raises:
            Conflict: ``payment_has_refunds``, what is left of it is refunded, not undone;
                ``payment_is_an_advice``, so is this;
                ``hold_is_taken``, its completion is undone, not the hold.
            Unavailable: the store is down; nothing was begun.
        """
        order = payment.order
        live = Live(payment, bare_request(order), reply_for)
        live.sent_ms = (self._first(order) or live).sent_ms
        _refuse_refunded(payment)
        if is_advice(order):
            raise Conflict("payment_is_an_advice", "what a terminal sold offline is refunded")
        if apply(payment.standing.status, Event.UNDO) is payment.standing.status:
            return live
        channel = self._routes.channel(order.account_id)
        if channel is None:
            raise Unavailable("account gone")
        asked = payment.standing
        begun = await self._settlement.begin_undo(live, channel, Event.UNDO, _CANCELLED)
        # by what was moved, not by what was read: it may have been answered since, and moved twice
        skipped = live.payment.standing.version > asked.version + 1
        is_answered = asked.status is not Status.SUBMITTED or skipped
        _refuse_refunded(live.payment)
        self.tell_first(live.payment)
        if live.payment.standing.status is Status.REVERSING:
            # Who did not begin it leaves it to who did. While the payment itself may still be
            # on its way, "not found" would prove nothing: whoever sent it undoes it once it is
            # answered, or recovery once it can no longer be.
            if begun and is_answered:
                self.spawn(self._follow(live))
        else:
            live.ended()
        return live

    def tell_first(self, payment: Payment) -> None:
        """Let the request that is still in flight here see what else moved its payment."""
        if (first := self._first(payment.order)) is not None:
            first.moved(payment)

    def _first(self, order: Order) -> Live | None:
        return self._live.get((order.merchant_no, order.door, order.order_key))

    async def watch(
        self, payment: Payment, timeout_s: float, done: Callable[[Payment], bool]
    ) -> Payment:
        """Wait until ``done`` for a payment that other work moves, at most ``timeout_s``."""
        until_s = self._clock.monotonic_s() + timeout_s
        while not done(payment) and self._clock.monotonic_s() < until_s:
            await asyncio.sleep(_PEEK_S)
            payment = await self._store.payment(payment.order.id) or payment
        return payment

    async def refuse_beforehand(self, order: Order, reply: TerminalReply | None = None) -> bool:
        """Take the key of a sale that must not come any more: it is closed from the start.

        ``False`` when the sale got there first.
        """
        standing = Standing(status=Status.CLOSED, version=1, decline=_CANCELLED)
        return await self._store.claim(
            Claim(order=order, standing=standing, event=Event.UNDO, due_at_ms=None, reply=reply)
        )

    async def drain(self, timeout_s: float) -> None:
        """Take nothing new; finish what is in flight or leave it to recovery."""
        self._accepting = False
        for _ in range(int(timeout_s / _DRAIN_PEEK_S)):
            if not self._live and not self._tasks:
                break
            await asyncio.sleep(_DRAIN_PEEK_S)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _same(payment: Payment, draft: Draft) -> Payment:
    if payment.order.fingerprint != draft.fingerprint:
        raise Conflict("order_conflict", "this number was used with other content")
    return payment


def _refuse_refunded(payment: Payment) -> None:
    if has_refunds(payment.standing):
        raise Conflict(
            "payment_has_refunds", "a part of it was refunded: refund what is left instead"
        )
