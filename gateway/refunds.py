"""Giving money back: a part or all of a payment, one or several times.

Rules:

* Reserve, then send, then book. The reservation on the payment is a compare-and-set
  in the commit that makes the refund: refunds that run at once can never exceed the
  capture, whichever process they run in.
* Same number, same content: the same refund, one effect. Other content: ``Conflict``.
* The sending outlives the request (``refund_settlement.py``): counted, bounded, and
  waited for when the process drains.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, assert_never

from channels.port import Channel, refunds_of
from channels.port import Refunds as RefundAbility
from domain.checkout import is_checkout, shown_id
from domain.clock import Clock
from domain.decline import Decline, DeclineReason
from domain.errors import Conflict, NotFound, Unavailable, Unprocessable
from domain.ids import IdSource, is_merchant_number
from domain.payment import Payment
from domain.refund import (
    Refund,
    RefundOrder,
    RefundStanding,
    RefundStatus,
    refundable_fen,
    reserve,
)
from gateway.refund_settlement import RefundSettlement, is_refund_over
from gateway.routes import Routes
from gateway.store.port import RefundClaim, RefundClaimed, Store

_CLAIM_TRIES: Final = 250
_PEEK_S: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundAsk:
    """A refund as a door understood it."""

    merchant_refund_no: str
    amount_fen: int
    reason: str
    fingerprint: bytes


class Refunds:
    """The use cases around a refund."""

    def __init__(
        self,
        *,
        store: Store,
        settlement: RefundSettlement,
        routes: Routes,
        clock: Clock,
        ids: IdSource,
        max_in_flight: int,
    ) -> None:
        self._store = store
        self._settlement = settlement
        self._routes = routes
        self._clock = clock
        self._ids = ids
        self._max_in_flight = max_in_flight
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._accepting = True

    def in_flight(self) -> int:
        """Refunds that this process is working on."""
        return len(self._tasks)

    async def create(
        self, merchant_no: str, payment_id: str, ask: RefundAsk
    ) -> tuple[Refund, bool]:
        """Reserve a new refund durably and begin it, or find the one that this repeats.

        Raises:
            NotFound: no such payment of this merchant.
            Conflict: the number exists with other content, or the payment's state
                allows no refund.
            Unprocessable: more than is left, or the channel cannot refund.
            Unavailable: draining, over the bound, or the store is down.
        """
        known = await self._store.refund_by_number(merchant_no, ask.merchant_refund_no)
        if known is not None:
            return _same(known, payment_id, ask), True
        payment = await self._payment(merchant_no, payment_id)
        channel = self._routes.channel(payment.order.account_id)
        ability = refunds_of(channel)
        if is_checkout(payment.order):
            raise _refusal(payment)  # nobody has begun to pay it
        if channel is None or ability is None:
            raise Unprocessable("refund_not_supported", "this channel cannot refund a payment")
        if not self._accepting or len(self._tasks) >= self._max_in_flight:
            raise Unavailable("no refund can be begun now: send it again")
        for _ in range(_CLAIM_TRIES):
            refund, claimed = await self._claim(payment, channel, ability=ability, ask=ask)
            match claimed:
                case RefundClaimed.WON:
                    self._begin(refund, payment, channel, ability)
                    return refund, False
                case RefundClaimed.EXISTS:
                    known = await self._store.refund_by_number(merchant_no, ask.merchant_refund_no)
                    if known is None:
                        raise Unavailable("the store refused a number that it does not show")
                    return _same(known, payment_id, ask), True
                case RefundClaimed.MOVED:
                    payment = await self._payment(merchant_no, payment_id)
                case _:
                    assert_never(claimed)
        raise Unavailable("the payment is being changed too fast: send the refund again")

    async def _payment(self, merchant_no: str, payment_id: str) -> Payment:
        payment = None
        if is_merchant_number(payment_id):
            payment = await self._store.payment(payment_id)
        if payment is None or payment.order.merchant_no != merchant_no:
            raise NotFound("payment_not_found", "no such payment")
        return await self._with_money(payment)

    async def _with_money(self, payment: Payment) -> Payment:
        """The payment whose money it is: of a checkout, its current attempt if there is one."""
        checkout = None
        if is_checkout(payment.order):
            checkout = await self._store.checkout(payment.order.id)
        if checkout is None or not checkout.attempts:
            return payment
        return await self._store.payment(checkout.current_id) or payment

    async def _claim(
        self, payment: Payment, channel: Channel, *, ability: RefundAbility, ask: RefundAsk
    ) -> tuple[Refund, RefundClaimed]:
        reserved = reserve(payment, ask.amount_fen)
        if reserved is None:
            # what is left may be reserved by this very message, at another process or connection
            number = ask.merchant_refund_no
            known = await self._store.refund_by_number(payment.order.merchant_no, number)
            if known is None:
                raise _refusal(payment)
            return known, RefundClaimed.EXISTS
        order = self._order(payment, ask, ability.new_refund_no())
        refund = Refund(order, RefundStanding(status=RefundStatus.SUBMITTED, version=1))
        after = Payment(payment.order, reserved)
        due_at_ms = self._settlement.lease_until_ms(channel)
        return refund, await self._store.claim_refund(
            RefundClaim(refund=refund, payment=after, due_at_ms=due_at_ms)
        )

    async def refuse_beforehand(self, payment: Payment, ask: RefundAsk) -> bool:
        """Take the number of a refund that must not come any more: one that is born failed.

        It reserves nothing and nothing is sent. ``False`` when the number or the payment
        moved meanwhile: look again.
        """
        order = self._order(payment, ask, self._ids.new())
        standing = RefundStanding(
            status=RefundStatus.FAILED,
            version=1,
            done_at_ms=order.created_at_ms,
            decline=Decline(DeclineReason.CANCELLED),
        )
        seen = replace(payment.standing, version=payment.standing.version + 1)
        claim = RefundClaim(
            refund=Refund(order, standing), payment=Payment(payment.order, seen), due_at_ms=None
        )
        return await self._store.claim_refund(claim) is RefundClaimed.WON

    def _order(self, payment: Payment, ask: RefundAsk, channel_refund_no: str) -> RefundOrder:
        return RefundOrder(
            id=self._ids.new("ref_"),
            payment_id=payment.order.id,
            merchant_no=payment.order.merchant_no,
            merchant_refund_no=ask.merchant_refund_no,
            fingerprint=ask.fingerprint,
            amount_fen=ask.amount_fen,
            currency=payment.order.currency,
            reason=ask.reason,
            channel=payment.order.channel,
            account_id=payment.order.account_id,
            channel_refund_no=channel_refund_no,
            created_at_ms=self._clock.now_ms(),
        )

    def _begin(
        self, refund: Refund, payment: Payment, channel: Channel, ability: RefundAbility
    ) -> None:
        work = self._settlement.first(refund, payment, channel, ability)
        task = asyncio.get_running_loop().create_task(self._settlement.run(work))
        self._tasks[refund.order.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(refund.order.id, None))

    async def find(self, merchant_no: str, refund_id: str) -> Refund:
        """A merchant's refund by our id.

        Raises:
            NotFound: no such refund of this merchant.
        """
        refund = await self._store.refund(refund_id) if is_merchant_number(refund_id) else None
        if refund is None or refund.order.merchant_no != merchant_no:
            raise NotFound("refund_not_found", "no such refund")
        return refund

    async def of_payment(self, merchant_no: str, payment_id: str) -> Sequence[Refund]:
        """The refunds of a merchant's payment, oldest first.

        Raises:
            NotFound: no such payment of this merchant.
        """
        payment = await self._payment(merchant_no, payment_id)
        return await self._store.refunds(payment.order.id)

    async def wait(self, refund: Refund, timeout_s: float) -> Refund:
        """The refund once it is over, or as it stands after ``timeout_s``."""
        refund_id, until_s = refund.order.id, self._clock.monotonic_s() + timeout_s
        task = self._tasks.get(refund_id)
        while not is_refund_over(refund) and (left_s := until_s - self._clock.monotonic_s()) > 0:
            if task is not None and not task.done():
                # it moves the store step by step; whoever waits needs its end, or the time
                await asyncio.wait({task}, timeout=min(left_s, 10 * _PEEK_S))
            else:
                await asyncio.sleep(min(left_s, _PEEK_S))
            refund = await self._store.refund(refund_id) or refund
        return refund

    async def drain(self, timeout_s: float) -> None:
        """Begin nothing new; finish what is in flight or leave it to recovery."""
        self._accepting = False
        tasks = set(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _same(refund: Refund, payment_id: str, ask: RefundAsk) -> Refund:
    order = refund.order
    is_its_own = payment_id in (order.payment_id, shown_id(order.payment_id))
    if not is_its_own or order.fingerprint != ask.fingerprint:
        raise Conflict("refund_conflict", "this number was used with other content")
    return refund


def _refusal(payment: Payment) -> Conflict | Unprocessable:
    """Why no such refund can be made of the payment as it stands."""
    status = "unknown" if payment.standing.parked_reason else payment.standing.status.value
    if status != "succeeded":
        return Conflict(
            "payment_not_refundable",
            f"only a succeeded payment can be refunded; this one is {status}",
        )
    rest_fen = refundable_fen(payment.standing)
    return Unprocessable(
        "refund_exceeds_capture", f"amount: at most {rest_fen} fen are left", field="amount"
    )
