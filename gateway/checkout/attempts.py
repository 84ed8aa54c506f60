"""Attempts: a wallet begins, goes on, gives up, or takes over from another.

Rules:

* Begun by :meth:`gateway.payments.Payments.begin`, as every payment: durable before a byte
  leaves, bounded, refused while its channel is away. The claim moves the checkout by
  compare-and-set, so that of two wallets one begins.
* Going on makes the same order again under the same number at the same account, which is
  safe; what has ended or is being undone is not made again, nor is anything twice in a second:
  looking at a page is no call of a channel's (``repeats.py``). Then only a "yes" is booked: an
  order that stood before is not unmade by a "no" to its repeat, it is asked about.
* An order is handed to its payer only where its attempt is the current one and still waits
  once the channel has answered: it may have been paid, undone or taken over meanwhile.
* Another payer takes over only from an attempt that is old enough, has been asked about, and is
  verifiably closed. A payer who waits for that is told "elsewhere" meanwhile.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final

from channels.payer_orders import OrderAnswer, OrderRequest
from channels.port import Answer, Verdict
from domain.checkout import (
    CODE_ATTEMPT,
    OPEN,
    PAGE_ATTEMPT,
    Checkout,
    CheckoutEvent,
    CheckoutStatus,
    apply,
    attempt_id,
    attempt_key,
)
from domain.clock import Clock
from domain.decline import Decline, DeclineReason
from domain.doors import ATTEMPT_DOOR
from domain.errors import ChannelDown, Conflict, NotFound
from domain.payment import UNDECIDED, Order, Payment, Status
from gateway.booking import LEASE_MARGIN_S
from gateway.channel_requests import bare_request
from gateway.checkout.bounds import CheckoutBounds
from gateway.checkout.desk import Desk
from gateway.checkout.following import Found
from gateway.checkout.payer_settlement import PayerSettlement
from gateway.checkout.port import Begun, CheckoutView, Payer, Start
from gateway.checkout.repeats import NOT_MADE, Repeats
from gateway.draft import Draft
from gateway.live import Live
from gateway.payments import Payments
from gateway.routes import Route
from gateway.store.port import CheckoutMove, Store

_TRIES: Final = 5
_TAKE_OVER_WAIT_S: Final = 3.0
_ASK_EVERY_S: Final = 2.0
_ASKED_AT_MOST: Final = 10_000
"""Attempts whose last asking is remembered."""
_GAVE_UP: Final = Decline(DeclineReason.PAYER_CANCELLED)
_NOT_PAID: Final = Decline(DeclineReason.NOT_PAID_IN_TIME)


@dataclass(frozen=True, slots=True)
class Made:
    """What making an order at a channel came to.

    ``found`` is the checkout with an order that stands, as it was just committed; ``None``:
    whatever else came of it may have moved the checkout, which has to be looked up.
    """

    attempt: Payment
    answer: OrderAnswer
    found: Found | None = None


class Attempts:
    """The use cases of a payer."""

    def __init__(
        self,
        *,
        store: Store,
        desk: Desk,
        payments: Payments,
        settlement: PayerSettlement,
        clock: Clock,
        bounds: CheckoutBounds,
    ) -> None:
        self._store = store
        self._desk = desk
        self._payments = payments
        self._settlement = settlement
        self._clock = clock
        self._bounds = bounds
        self._asked_s: OrderedDict[str, float] = OrderedDict()
        self._repeats = Repeats(clock)

    def remembered(self) -> int:
        """Attempts whose last asking, or making, is remembered."""
        return len(self._asked_s) + len(self._repeats)

    # --- a payer begins

    async def begin(self, checkout_id: str, payer: Payer) -> Begun:
        """See :class:`gateway.checkout.port.CheckoutPages`."""
        for _ in range(_TRIES):
            found = await self._found(checkout_id)
            start = self._refusal(found, payer)
            route = self._desk.page_route(found.base.order.merchant_no, payer.wallet)
            if start is not None or route is None:
                return self._told(start or Start.AWAY, found, payer)
            if found.is_under_way():
                if self._desk.is_of(found.attempt, payer):
                    return await self._go_on(found, payer)
                if not await self._take_over(found):
                    break
                continue
            if found.checkout.status is CheckoutStatus.PAYING:
                continue  # it ended between two reads
            try:
                made = await self._make_new(found, payer, route, PAGE_ATTEMPT)
            except Conflict:  # somebody else was first
                continue
            except ChannelDown:
                return self._told(Start.AWAY, found, payer)
            return await self._made(checkout_id, made, payer)
        found = await self._found(checkout_id)  # paid, as it turned out, or ended meanwhile
        return self._told(self._refusal(found, payer) or Start.ELSEWHERE, found, payer)

    async def _found(self, checkout_id: str) -> Found:
        found = await self._desk.look(checkout_id)
        if found is None:
            raise NotFound("payment_not_found", "no such payment")
        return found

    def _refusal(self, found: Found, payer: Payer) -> Start | None:
        """Why nobody can begin, whoever it is."""
        checkout = found.checkout
        if checkout.status is CheckoutStatus.PAID:
            return Start.PAID
        if checkout.status not in OPEN or self._clock.now_ms() >= checkout.expires_at_ms:
            return Start.OVER
        if checkout.is_single or payer.wallet not in self._desk.view_of(found).wallets:
            return Start.AWAY
        return None

    def _told(self, start: Start, found: Found, payer: Payer) -> Begun:
        return Begun(start=start, view=self._desk.view_of(found, payer))

    async def _made(self, checkout_id: str, made: Made, payer: Payer) -> Begun:
        """What the payer is told once the order was made, by where its attempt stands now."""
        found, answer = made.found or await self._found(checkout_id), made.answer
        attempt, view = found.attempt, self._desk.view_of(found, payer)
        if attempt is None or attempt.order.id != made.attempt.order.id:  # another's by now
            return Begun(start=self._refusal(found, payer) or Start.UNKNOWN, view=view)
        match attempt.standing.status:
            case Status.PENDING if answer.verdict is Verdict.SUCCEEDED:
                return Begun(
                    start=Start.READY,
                    view=view,
                    parameters=answer.parameters,
                    page_url=answer.page_url,
                )
            case Status.SUCCEEDED:
                return Begun(start=Start.PAID, view=view)
            case Status.FAILED:
                return Begun(start=Start.REFUSED, view=view)
            case Status.REVERSING | Status.REVERSED | Status.CLOSED:
                return Begun(start=Start.OVER, view=view)
            case _:
                return Begun(start=Start.UNKNOWN, view=view)

    # --- the order at the channel

    async def begin_code(self, found: Found, wallet: str) -> OrderAnswer | None:
        """Make, or make again, the one code of a wallet; ``None``: somebody else is at it."""
        route = self._desk.route(found.base.order.merchant_no, wallet)
        if route is None or route.codes is None:
            return None
        payer = Payer(wallet=wallet, payer_id="")
        if found.attempt is None:
            try:
                return (await self._make_new(found, payer, route, CODE_ATTEMPT)).answer
            except Conflict:
                return None
        return (await self._again(found.attempt, payer)).answer

    async def _make_new(self, found: Found, payer: Payer, route: Route, method: str) -> Made:
        """Claim the next attempt and make its order.

        Raises:
            Conflict: the checkout moved, or another attempt of this number was first.
            ChannelDown, Unavailable: nothing was begun.
        """
        begun = await self._payments.begin(self._draft(found, payer, method))
        if begun.live is None or begun.replayed:
            return await self._again(begun.payment, payer)
        live, heard = begun.live, OrderAnswer(verdict=Verdict.UNKNOWN)

        async def make() -> Answer:
            nonlocal heard
            heard = await self._order(live.payment.order, payer, route)
            answer = _as_answer(heard)
            if answer.verdict is Verdict.DECLINED:
                # this call made none; one that a repeat made meanwhile, elsewhere, stands
                reason = answer.reason or DeclineReason.DECLINED
                return replace(answer, verdict=Verdict.NOT_SENT, reason=reason)
            return answer

        await self._payments.run(live, make)
        attempt, now = live.payment, None
        if heard.verdict is Verdict.SUCCEEDED and attempt.standing.status is Status.PENDING:
            now = replace(found, checkout=_begun(found.checkout), attempt=attempt)
        return Made(attempt, heard, now)

    async def _go_on(self, found: Found, payer: Payer) -> Begun:
        """The same payer again: the same order, made again."""
        attempt = found.attempt
        if attempt is None or attempt.standing.status is Status.REVERSING:
            return self._told(Start.UNKNOWN, found, payer)
        return await self._made(found.base.order.id, await self._again(attempt, payer), payer)

    async def _again(self, attempt: Payment, payer: Payer) -> Made:
        """Make an order again that may still be paid, where it was made."""
        route = self._desk.account(attempt.order.account_id)
        if route is None or attempt.standing.status not in UNDECIDED:
            return Made(attempt, NOT_MADE)

        async def make() -> OrderAnswer:
            answer = await self._order(attempt.order, payer, route)
            live = Live(attempt, bare_request(attempt.order))
            if answer.verdict is Verdict.SUCCEEDED:
                await self._settlement.apply_answer(live, _as_answer(answer), route.channel)
            else:
                await self._settlement.ask_once(live, route.channel)
            return answer

        return Made(attempt, await self._repeats.once(attempt.order.id, make))

    async def _order(self, order: Order, payer: Payer, route: Route) -> OrderAnswer:
        """Its order at its channel; an account that no longer makes such ones is not asked."""
        request, made = self._request(order, payer, route), None
        if order.method == CODE_ATTEMPT:
            made = None if route.codes is None else await route.codes.create_code(request)
        elif route.pages is not None:
            made = await route.pages.create_page_order(request)
        return made or NOT_MADE

    def _request(self, order: Order, payer: Payer, route: Route) -> OrderRequest:
        public_url = self._bounds.public_url
        place = f"/notify/{route.channel_name}/{route.account_id}"
        return OrderRequest(
            order_no=order.channel_order_no,
            amount_fen=order.amount_fen,
            currency=order.currency,
            subject=order.subject,
            created_at_ms=order.created_at_ms,
            expires_at_ms=order.till_deadline_ms,
            notify_url=public_url + place if public_url else "",
            payer_id=payer.payer_id,
            payer_ip=payer.payer_ip,
            return_url=payer.return_url,
            store_id=order.store_id,
            terminal_id=order.terminal_id,
        )

    def _draft(self, found: Found, payer: Payer, method: str) -> Draft:
        base, checkout = found.base.order, found.checkout
        number = checkout.attempts + 1
        token = self._desk.payer_token(payer)
        return Draft(
            merchant_no=base.merchant_no,
            door=ATTEMPT_DOOR,
            order_key=attempt_key(base, number),
            fingerprint=token,
            amount_fen=base.amount_fen,
            currency=base.currency,
            subject=base.subject,
            method=method,
            channel=payer.wallet,
            terminal_id=base.terminal_id,
            store_id=base.store_id,
            notify_url=base.notify_url,
            metadata_json=base.metadata_json,
            pan_token=token,
            order_id=attempt_id(base.id, number),
            deadline_ms=checkout.expires_at_ms,
            moves=CheckoutMove(checkout=_begun(checkout), due_at_ms=checkout.expires_at_ms),
        )

    # --- a payer gives up, another takes over

    async def release(self, checkout_id: str, payer: Payer) -> CheckoutView:
        """See :class:`gateway.checkout.port.CheckoutPages`."""
        found = await self._found(checkout_id)
        if found.is_under_way() and self._desk.is_of(found.attempt, payer):
            await self._end(found, _GAVE_UP)
            found = await self._found(checkout_id)
        return self._desk.view_of(found, payer)

    async def _take_over(self, found: Found) -> bool:
        """End an attempt that another payer left alone; whether it has ended."""
        attempt = found.attempt
        if attempt is None or attempt.standing.parked_reason:
            return False
        age_s = (self._clock.now_ms() - attempt.order.created_at_ms) / 1000
        if age_s < self._bounds.take_over_after_s:
            return False
        return await self._end(found, _NOT_PAID)

    async def _end(self, found: Found, why: Decline) -> bool:
        """Ask, undo, and wait a little; whether the attempt has ended unpaid."""
        attempt = found.attempt
        route = None
        if attempt is not None:
            route = self._desk.account(attempt.order.account_id)
        if attempt is None or route is None:
            return False
        status, now_ms = attempt.standing.status, self._clock.now_ms()
        answered_by_ms = attempt.order.created_at_ms + int(
            (route.channel.timeout_s + LEASE_MARGIN_S) * 1000
        )
        if status is Status.REVERSING:
            return False  # whoever began it, or recovery, ends it: pressing on adds no call
        if status is Status.SUBMITTED and now_ms < answered_by_ms:
            return False  # its order may still be on the way: "not found" would prove nothing
        live = Live(attempt, bare_request(attempt.order))
        self._payments.spawn(self._give_up(live, route, why))
        await live.final(_TAKE_OVER_WAIT_S)
        return live.payment.standing.status in (Status.CLOSED, Status.FAILED, Status.REVERSED)

    async def _give_up(self, live: Live, route: Route, why: Decline) -> None:
        try:
            await self._settlement.give_up(live, route.channel, why)
        finally:
            live.ended()

    # --- is it paid?

    async def ask(self, checkout_id: str, payer: Payer | None = None) -> CheckoutView | None:
        """See :class:`gateway.checkout.port.CheckoutPages`."""
        found = await self._desk.look(checkout_id)
        if found is None:
            return None
        attempt = found.attempt
        if attempt is None or not found.is_under_way() or not self._may_ask(attempt.order.id):
            return await self._desk.shown(found, payer)
        route = self._desk.account(attempt.order.account_id)
        if route is not None and attempt.standing.status is not Status.REVERSING:
            await self._settlement.ask_once(
                Live(attempt, bare_request(attempt.order)), route.channel
            )
        return await self._desk.shown(await self._found(checkout_id), payer)

    def _may_ask(self, attempt_id_: str) -> bool:
        now_s, asked = self._clock.monotonic_s(), self._asked_s
        last_s = asked.get(attempt_id_)
        if last_s is not None and now_s - last_s < _ASK_EVERY_S:
            return False
        asked[attempt_id_] = now_s
        asked.move_to_end(attempt_id_)
        while len(asked) > _ASKED_AT_MOST:
            asked.popitem(last=False)
        return True


def _begun(checkout: Checkout) -> Checkout:
    return replace(
        checkout,
        status=apply(checkout.status, CheckoutEvent.BEGIN),
        version=checkout.version + 1,
        attempts=checkout.attempts + 1,
    )


def _as_answer(answer: OrderAnswer) -> Answer:
    """An order that stands waits for its payer; every other word is that of a payment."""
    stands = answer.verdict is Verdict.SUCCEEDED
    return Answer(
        verdict=Verdict.PENDING if stands else answer.verdict,
        trade_no=answer.trade_no,
        reason=answer.reason,
        channel_code=answer.channel_code,
        channel_message=answer.channel_message,
        advice=answer.advice,
        answered=answer.answered,
        unwritable=answer.unwritable,
    )
