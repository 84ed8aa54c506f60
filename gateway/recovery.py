"""The worker that finishes what was left open: by a crash, a restart, or a channel.

Rules:

* It takes what is due under a lease and sends it down the same path as what is live;
  nothing is closed or failed here by time alone.
* Lanes do not wait for each other. A lane is what is due at one channel account; each
  has a bound of its own inside the one for all, and rounds go from lane to lane where
  the last one stopped, so that ten thousand payments of a dead account delay nobody.
* A channel that is away is left alone but for one piece of work at a time, the probe;
  when it is back, everything that was given back there is due at once.
* It does not poll busily: it looks at every interval, five times as often while it finds
  something (what comes in all the time is then begun little by little), and at once only
  where a lane had more due than its bound and half of that is done.
* It begins one after the other, ``starts_per_s`` at most: each costs a millisecond or two, and
  whoever pays meanwhile waits for one of them, not for a round of them.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Final

from domain.clock import Clock
from domain.errors import Unavailable
from domain.payment import Payment
from gateway.channel_requests import bare_request
from gateway.live import Live
from gateway.logs import Log
from gateway.metrics import Metrics
from gateway.routes import Routes
from gateway.settlement import Settlement
from gateway.store.port import Job, JobKind, Store

_LANES_PER_LOOK: Final = 100
_LOOKS_WHILE_BUSY: Final = 5
_LEASE_MARGIN_S: Final = 5.0
_KINDS: Final = (JobKind.SETTLE, JobKind.REFUND)
Lane = tuple[JobKind, str]


class Recovery:
    """One background loop per process."""

    def __init__(
        self,
        *,
        store: Store,
        settlement: Settlement,
        finish_refund: Callable[[Job], Awaitable[None]],
        routes: Routes,
        clock: Clock,
        metrics: Metrics,
        log: Log,
        interval_s: float,
        lease_s: float,
        max_at_once: int,
        max_at_once_per_account: int,
        starts_per_s: int,
    ) -> None:
        self._store = store
        self._settlement = settlement
        self._finish_refund = finish_refund
        self._routes = routes
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._interval_s = interval_s
        self._lease_s = lease_s
        self._max_at_once = max_at_once
        self._max_per_lane = max_at_once_per_account
        self._breath_s = 1 / starts_per_s
        self._working: dict[asyncio.Task[None], Lane] = {}
        self._busy: dict[Lane, int] = {}
        self._hungry: set[Lane] = set()
        self._after: dict[JobKind, str] = dict.fromkeys(_KINDS, "")
        self._kinds = deque(_KINDS)
        self._back: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._was_busy = False
        routes.when_back(self._channel_back)

    def working(self) -> int:
        """Payments and refunds being recovered now."""
        return len(self._working)

    def pause_s(self) -> float:
        """Until the next look: sooner while there is something, so that little is begun at once."""
        return self._interval_s / (_LOOKS_WHILE_BUSY if self._was_busy else 1)

    async def run(self) -> None:
        """Look for what is due until cancelled."""
        try:
            while True:
                self._wake.clear()
                await self._round()
                try:
                    async with asyncio.timeout(self.pause_s()):
                        await self._wake.wait()
                except TimeoutError:
                    pass
        finally:
            tasks = tuple(self._working)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _channel_back(self, account_id: str) -> None:
        self._back[account_id] = None
        self._wake.set()

    async def _hasten(self) -> None:
        """Make due what was given back at channels that are back."""
        for account_id in tuple(self._back):
            for kind in _KINDS:
                await self._store.hasten(kind, account_id, self._clock.now_ms())
            del self._back[account_id]

    async def _round(self) -> None:
        self._was_busy = False
        self._kinds.rotate()  # neither kind always takes the last free place
        for kind in tuple(self._kinds):
            try:
                await self._hasten()
                await self._look(kind)
            except Unavailable as error:
                self._log.warning("recovery waits for the store", reason=error.message)
            except Exception:
                # one row that cannot be read must not end recovery for all others
                self._log.exception("recovery fault")

    async def _look(self, kind: JobKind) -> None:
        """Once around the lanes with something due, from where the last look stopped."""
        start, now_ms = self._after[kind], self._clock.now_ms()
        lanes = await self._store.due_lanes(kind, now_ms, start, _LANES_PER_LOOK)
        if start and len(lanes) < _LANES_PER_LOOK:
            begin = await self._store.due_lanes(kind, now_ms, "", _LANES_PER_LOOK)
            lanes = (*lanes, *(lane for lane in begin if lane <= start))[:_LANES_PER_LOOK]
        for lane in lanes:
            if self._max_at_once <= len(self._working):
                self._hungry.add((kind, lane))
                return
            self._after[kind] = lane
            await self._serve((kind, lane))
        if len(lanes) < _LANES_PER_LOOK:
            self._after[kind] = ""

    async def _serve(self, lane: Lane) -> None:
        """Take what is due of one lane, as much as its bound and the bound of all leave."""
        kind, account_id = lane
        self._hungry.discard(lane)
        most = self._routes.at_once(account_id, self._max_per_lane)
        if most == 0:
            return
        busy = 0 if self._routes.is_down(account_id) else self._busy.get(lane, 0)
        free = min(most - busy, self._max_at_once - len(self._working))
        if free <= 0:
            self._hungry.add(lane)
            return
        now_ms = self._clock.now_ms()
        until_ms = now_ms + int(self._lease_of(account_id) * 1000)
        jobs = await self._store.lease(kind, account_id, now_ms, until_ms, free)
        if len(jobs) == free:
            self._hungry.add(lane)
        if kind is JobKind.REFUND:
            for job in jobs:
                await self._start(lane, self._refund(job))
            return
        payments = await self._payments(jobs)
        for job in jobs:
            payment = payments.get(job.subject)
            if payment is None:
                self._log.error("a job without its payment", payment_id=job.subject)
            else:
                await self._start(lane, self._payment(payment, job))

    def _lease_of(self, account_id: str) -> float:
        """Longer than a call and what may come with it: a lease outlives its work."""
        channel = self._routes.channel(account_id)
        calls_s = 0.0 if channel is None else 2 * channel.timeout_s + _LEASE_MARGIN_S
        return max(self._lease_s, calls_s)

    async def _payments(self, jobs: Sequence[Job]) -> dict[str, Payment]:
        """The payments of ``jobs``; one that cannot be read leaves only itself out."""
        subjects = [job.subject for job in jobs]
        try:
            found = await self._store.payments(subjects) if subjects else ()
        except Unavailable:
            raise
        except Exception:
            self._log.exception("recovery fault")
            found = [payment for each in subjects if (payment := await self._one(each))]
        return {payment.order.id: payment for payment in found}

    async def _one(self, payment_id: str) -> Payment | None:
        try:
            return await self._store.payment(payment_id)
        except Unavailable:
            raise
        except Exception:
            self._log.exception("recovery fault", payment_id=payment_id)
            return None

    async def _start(self, lane: Lane, work: Coroutine[None, None, None]) -> None:
        """Start it and let others have their turns."""
        self._was_busy = True
        task = asyncio.get_running_loop().create_task(work)
        self._working[task] = lane
        self._busy[lane] = self._busy.get(lane, 0) + 1
        task.add_done_callback(self._ended)
        await asyncio.sleep(self._breath_s)

    def _ended(self, task: asyncio.Task[None]) -> None:
        lane = self._working.pop(task)
        left = self._busy.pop(lane) - 1
        if left:
            self._busy[lane] = left
        if self._hungry:
            most = self._routes.at_once(lane[1], self._max_per_lane)
            if left * 2 <= most or len(self._working) * 2 <= self._max_at_once:
                self._wake.set()

    async def _payment(self, payment: Payment, job: Job) -> None:
        order = payment.order
        self._metrics.recovered.inc()
        log = self._log.bind(payment_id=order.id, channel=order.channel)
        log.info("recovery takes over", status=payment.standing.status.value)
        live = Live(payment, bare_request(order), fence=job.fence, leased_until_ms=job.due_at_ms)
        try:
            await self._settlement.settle(live, at_once=True)
        except Unavailable as error:
            log.warning("recovery gives way", reason=error.message)
            return
        except Exception:
            log.exception("recovery fault")
            return
        log.info("recovery done", status=live.payment.standing.status.value)

    async def _refund(self, job: Job) -> None:
        try:
            await self._finish_refund(job)
        except Unavailable as error:
            self._log.warning("recovery gives way", refund_id=job.subject, reason=error.message)
        except Exception:
            self._log.exception("recovery fault", refund_id=job.subject)
