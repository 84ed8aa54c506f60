"""A checkout ends unpaid or undone: the merchant cancels it, or its time is over.

Rules:

* An attempt that may be paid is undone first, and the checkout ends in that attempt's own
  commits. Where there is none, or its undo has begun, the checkout is moved alone.
* The time of a checkout ends nothing that may still be paid: its attempt is asked about and
  given up by its own job, at the same time.
* Whoever works here never waits for a channel, so one lane serves all.
"""

import asyncio
from typing import Final

from domain.checkout import OPEN, CheckoutStatus
from domain.clock import Clock
from domain.decline import Decline, DeclineReason
from domain.errors import Unavailable
from domain.payment import UNDECIDED, Event, Payment, Status
from gateway.checkout.bounds import CheckoutBounds
from gateway.checkout.desk import Desk
from gateway.checkout.following import Found, closing_move
from gateway.logs import Log
from gateway.notices import NoticeWriter
from gateway.payments import Payments
from gateway.store.checkouts import CHECKOUT_LANE
from gateway.store.port import Job, JobKind, Store

_TRIES: Final = 10
_LEASE_MS: Final = 30_000
_LOOK_AGAIN_MS: Final = 5_000
_PARKED_MS: Final = 300_000
_CANCELLED: Final = Decline(DeclineReason.CANCELLED)
_NOT_IN_TIME: Final = Decline(DeclineReason.NOT_PAID_IN_TIME)


class Closing:
    """How checkouts end; :meth:`run` is one background loop per process."""

    def __init__(
        self,
        *,
        store: Store,
        desk: Desk,
        payments: Payments,
        notices: NoticeWriter,
        clock: Clock,
        log: Log,
        bounds: CheckoutBounds,
    ) -> None:
        self._store = store
        self._desk = desk
        self._payments = payments
        self._notices = notices
        self._clock = clock
        self._log = log
        self._bounds = bounds

    async def cancel(self, base: Payment) -> Payment:
        """Undo a checkout whatever its state; persisted as begun when this returns.

        Raises:
            Conflict: ``payment_has_refunds``.
            Unavailable: the store is down, or it moves too fast.
        """
        for _ in range(_TRIES):
            found = await self._desk.found(base.order.id)
            checkout, attempt = found.checkout, found.attempt
            if checkout.status not in OPEN and checkout.status is not CheckoutStatus.PAID:
                return found.base
            if attempt is not None and _is_undoable(attempt):
                await self._payments.cancel(attempt)
            else:
                await self._close(found, Event.UNDO, _CANCELLED)
        raise Unavailable("the payment is being changed too fast: send the cancel again")

    async def _close(self, found: Found, cause: Event, why: Decline) -> bool:
        """Move the checkout alone; ``False`` when it moved meanwhile."""
        move = closing_move(
            self._notices,
            found.base,
            found.checkout,
            found.attempt,
            cause=cause,
            decline=why,
            at_ms=self._clock.now_ms(),
        )
        if move is None:
            return True
        moved = await self._store.move_checkout(move)
        if moved:
            self._notices.committed()
        return moved

    async def run(self) -> None:
        """End what is due until cancelled."""
        while True:
            try:
                while await self._round():
                    pass
            except Unavailable as error:
                self._log.warning("checkouts wait for the store", reason=error.message)
            except Exception:
                self._log.exception("checkout fault")
            await asyncio.sleep(self._bounds.interval_s)

    async def _round(self) -> bool:
        """Take a share of what is due; whether there may be more."""
        now_ms, most = self._clock.now_ms(), self._bounds.max_at_once
        if not await self._store.due_lanes(JobKind.CHECKOUT, now_ms, "", 1):
            return False  # a look costs no write
        jobs = await self._store.lease(
            JobKind.CHECKOUT, CHECKOUT_LANE, now_ms, now_ms + _LEASE_MS, most
        )
        for job in jobs:
            try:
                await self.expire(job)
            except Unavailable:
                raise
            except Exception:  # one that cannot be read must not keep the others open
                self._log.exception("checkout fault", payment_id=job.subject)
        return len(jobs) == most

    async def expire(self, job: Job) -> None:
        """End one checkout whose time is over, or leave it for later."""
        found = await self._desk.found(job.subject)
        checkout, attempt = found.checkout, found.attempt
        if checkout.status not in OPEN:
            return
        due_at_ms = checkout.expires_at_ms
        if self._clock.now_ms() >= due_at_ms:
            if attempt is None or attempt.standing.status not in UNDECIDED:
                if await self._close(found, Event.GIVE_UP, _NOT_IN_TIME):
                    return
                due_at_ms = self._clock.now_ms()
            else:
                wait_ms = _PARKED_MS if attempt.standing.parked_reason else _LOOK_AGAIN_MS
                due_at_ms = self._clock.now_ms() + wait_ms
        await self._store.renew(
            JobKind.CHECKOUT, job.subject, due_at_ms, job.fence, given_back=True
        )


def _is_undoable(attempt: Payment) -> bool:
    return attempt.standing.status in UNDECIDED or attempt.standing.status is Status.SUCCEEDED
