"""The worker that brings notices to merchants: at once, then on a schedule, then to the dead list.

Rules:

* At least once: a notice is sent, then booked; a crash between the two sends it again,
  the same bytes with the same event id. Any 2xx acknowledges; a redirect does not.
* A lane is an endpoint, one merchant at one host. Lanes do not wait for each other: each
  begins with one attempt at once and wins another with each success, a failing one is
  paused (``gateway/endpoints.py``), and all that run take turns for what is free. A paused
  lane's notices stay due and lose no attempt; when it was away and is back they all become
  due. What is attempted before its time is not dead before the schedule would have ended.
* A URL or address that is refused (``gateway/outbound.py``) ends on the dead list at once.
* A notice is leased only when it is about to be sent. Its step on the schedule is the
  number of attempts that were booked, so that a worker that died with it cost it none.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from channels.port import AnswerLost, NotSent
from domain.clock import Clock
from domain.errors import ConfigurationError, Unavailable
from gateway.directory import SigningKey
from gateway.endpoints import Endpoints
from gateway.logs import Log
from gateway.metrics import Metrics
from gateway.outbound import OutboundPolicy, Refused, refusal
from gateway.store.port import Job, JobKind, JobStore, Notice, NoticeStore, StoredNotice
from signing.merchant import answer_string, sign

SCHEDULE_S: Final = (
    *(15, 15, 30, 180, 600, 1200),
    *(1800,) * 3,
    3600,
    *(10_800,) * 3,
    *(21_600,) * 2,
)
"""Seconds from each failed attempt to the next: 16 attempts in 24 hours."""

_PAGE: Final = 256
_SPACING_S: Final = 0.02
"""Between two looks at the store, however often something is committed."""
_LEASE_MARGIN_S: Final = 20.0
_AWAY: Final = frozenset((429, 502, 503, 504))
"""What is said in the place of an endpoint that is not there, or has too much to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One attempt, signed and ready for the network; a URL may hold a merchant's token."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


Deliver = Callable[[Delivery], Awaitable[int]]
"""Sends once and returns the status; raises ``NotSent``, ``AnswerLost`` or ``Refused``."""


class Outbox(JobStore, NoticeStore, Protocol):
    """What the worker needs of the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifierBounds:
    """From the configuration's section ``notifications``."""

    interval_s: float = 1.0
    timeout_s: float = 10.0
    max_at_once: int = 256
    max_per_merchant: int = 32
    max_per_endpoint: int = 4


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of an attempt: ``error`` empty when it was acknowledged.

    ``is_away`` of the endpoint's faults: it was not the endpoint that answered.
    """

    error: str = ""
    is_refused: bool = False
    is_endpoints_fault: bool = False
    is_away: bool = False


@dataclass(slots=True)
class _Lane:
    """An endpoint that is being worked on: ``width`` is how many attempts it may have."""

    endpoint: str
    merchant_no: str
    width: int = 1
    running: int = 0
    is_wanted_again: bool = False


def signed_headers(
    key: SigningKey, body: bytes, *, now_ms: int, random_bytes: Callable[[int], bytes]
) -> Mapping[str, str]:
    """The headers of one attempt; time and nonce are its own, the body is always the same."""
    timestamp, nonce = str(now_ms // 1000), random_bytes(12).hex()
    return {
        "Content-Type": "application/json",
        "User-Agent": "Posgate",
        "Posgate-Key-Id": key.key_id,
        "Posgate-Timestamp": timestamp,
        "Posgate-Nonce": nonce,
        "Posgate-Signature": sign(key.secret, answer_string(timestamp, nonce, body)),
    }


class Notifier:
    """One background loop per process."""

    def __init__(
        self,
        *,
        store: Outbox,
        signing_key: Callable[[str], Awaitable[SigningKey | None]],
        deliver: Deliver,
        policy: OutboundPolicy,
        endpoints: Endpoints,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        metrics: Metrics,
        log: Log,
        bounds: NotifierBounds,
        schedule_s: tuple[int, ...] = SCHEDULE_S,
    ) -> None:
        self._store = store
        self._signing_key = signing_key
        self._deliver = deliver
        self._policy = policy
        self._endpoints = endpoints
        self._clock = clock
        self._random_bytes = random_bytes
        self._metrics = metrics
        self._log = log
        self._bounds = bounds
        self._schedule_s = schedule_s
        self._lease_ms = int((bounds.timeout_s + _LEASE_MARGIN_S) * 1000)
        self._nudged = asyncio.Event()
        self._free = asyncio.Semaphore(bounds.max_at_once)
        self._lanes: dict[str, _Lane] = {}
        self._of_merchant: dict[str, int] = {}
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._after = ""
        self._is_crowded = False
        self._is_draining = False

    def nudge(self) -> None:
        """Something was committed: look at once."""
        self._nudged.set()

    def working(self) -> int:
        """Attempts that run or wait for their turn."""
        return len(self._tasks)

    def failing(self) -> int:
        """Endpoints whose last attempt failed."""
        return self._endpoints.failing()

    async def drain(self, patience_s: float) -> None:
        """Begin nothing new and wait for what is on its way."""
        self._is_draining = True
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=patience_s)

    async def run(self) -> None:
        """Send what is due until cancelled; what is in flight then is sent again later."""
        try:
            while True:
                self._nudged.clear()
                goes_on = False
                try:
                    goes_on = not self._is_draining and await self._round()
                except Unavailable as error:
                    self._log.warning("notifications wait for the store", reason=error.message)
                except Exception:
                    # one row that cannot be read must not end notifications for all others
                    self._log.exception("notifications fault")
                await asyncio.sleep(_SPACING_S)
                if not goes_on:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._nudged.wait(), self._bounds.interval_s)
        finally:
            tasks = tuple(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _round(self) -> bool:
        """Set a page of due lanes to work; whether the next page can be taken at once."""
        lanes = await self._store.due_lanes(
            JobKind.NOTIFY, self._clock.now_ms(), self._after, _PAGE
        )
        began_after, last = self._after, ""
        self._is_crowded = False
        for endpoint in lanes:
            if not self._begin(endpoint):
                self._is_crowded = True
                self._after = last or self._after
                return False
            last = endpoint
        is_over = len(lanes) < _PAGE
        self._after = "" if is_over else last
        return not is_over or bool(began_after)

    def _begin(self, endpoint: str) -> bool:
        """Work on a lane; ``False`` when all places are taken, and others should give way."""
        lane = self._lanes.get(endpoint)
        if lane is not None:
            lane.is_wanted_again = True
            return True
        if len(self._lanes) >= self._bounds.max_at_once:
            return False
        merchant_no = endpoint.partition(":")[0]
        if self._endpoints.is_paused(endpoint) or self._is_full(merchant_no):
            return True
        lane = self._lanes[endpoint] = _Lane(endpoint, merchant_no)
        self._add(lane)
        return True

    def _is_full(self, merchant_no: str) -> bool:
        return self._of_merchant.get(merchant_no, 0) >= self._bounds.max_per_merchant

    def _add(self, lane: _Lane) -> None:
        lane.running += 1
        self._of_merchant[lane.merchant_no] = self._of_merchant.get(lane.merchant_no, 0) + 1
        task = asyncio.get_running_loop().create_task(self._work(lane))
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)

    def _leave(self, lane: _Lane) -> None:
        lane.running -= 1
        if not lane.running:
            del self._lanes[lane.endpoint]
        left = self._of_merchant[lane.merchant_no] - 1
        if left:
            self._of_merchant[lane.merchant_no] = left
        else:
            del self._of_merchant[lane.merchant_no]
        if self._is_crowded:
            self.nudge()

    async def _work(self, lane: _Lane) -> None:
        """One attempt after the other at one endpoint, until nothing is due or others wait."""
        try:
            while self._may_go_on(lane):
                async with self._free:
                    lane.is_wanted_again = False
                    found = await self._next(lane)
                if not found and not lane.is_wanted_again:
                    return
                if self._is_crowded:
                    return
        except Unavailable as error:
            self._log.warning("notifications wait for the store", reason=error.message)
        except Exception:
            self._log.exception("notifications fault")
        finally:
            self._leave(lane)

    def _may_go_on(self, lane: _Lane) -> bool:
        if self._is_draining or self._endpoints.is_paused(lane.endpoint):
            return False
        return lane.running <= lane.width

    async def _next(self, lane: _Lane) -> bool:
        """Lease one notice and attempt it; ``False`` when none is due."""
        now_ms = self._clock.now_ms()
        jobs = await self._store.lease(
            JobKind.NOTIFY, lane.endpoint, now_ms, now_ms + self._lease_ms, 1
        )
        for job in jobs:
            if lane.running < lane.width and not self._is_full(lane.merchant_no):
                self._add(lane)
            await self._attempt(lane, job)
        return bool(jobs)

    async def _attempt(self, lane: _Lane, job: Job) -> None:
        stored = await self._store.notice(job.subject)
        if stored is None:
            self._log.error("notice missing", event_id=job.subject)
            return
        notice = stored.notice
        log = self._log.bind(
            event_id=notice.event_id, endpoint=lane.endpoint, payment_id=notice.payment_id
        )
        outcome = await self._send(notice, log)
        attempt = stored.attempts + 1
        if outcome.error:
            await self._book_failure(lane, job, stored, outcome, log)
            return
        lane.width = min(lane.width + 1, self._bounds.max_per_endpoint)
        self._metrics.notices.labels("delivered").inc()
        is_booked = await self._store.notice_delivered(job, self._clock.now_ms())
        log.info("notice delivered", attempt=attempt, booked=is_booked)
        if self._endpoints.succeeded(lane.endpoint):
            waiting = await self._store.hasten(JobKind.NOTIFY, lane.endpoint, self._clock.now_ms())
            log.info("endpoint is back", hastened=waiting)

    async def _send(self, notice: Notice, log: Log) -> _Outcome:
        reason = refusal(notice.url, self._policy)
        if reason:
            return _Outcome(f"refused: {reason}", is_refused=True)
        try:
            key = await self._signing_key(notice.merchant_no)
        except ConfigurationError as error:
            return _Outcome(error.message)
        if key is None:
            return _Outcome("the merchant has no API key to sign with")
        headers = signed_headers(
            key, notice.body, now_ms=self._clock.now_ms(), random_bytes=self._random_bytes
        )
        try:
            status = await self._deliver(
                Delivery(url=notice.url, headers=headers, body=notice.body)
            )
        except Refused as fault:
            return _Outcome(f"refused: {fault}", is_refused=True)
        except (NotSent, AnswerLost) as fault:
            return _Outcome(str(fault), is_endpoints_fault=True, is_away=True)
        except Exception:
            log.exception("notifications fault")
            return _Outcome("a fault of ours", is_endpoints_fault=True)
        if 200 <= status <= 299:
            return _Outcome()
        return _Outcome(f"HTTP {status}", is_endpoints_fault=True, is_away=status in _AWAY)

    async def _book_failure(
        self, lane: _Lane, job: Job, stored: StoredNotice, outcome: _Outcome, log: Log
    ) -> None:
        lane.width = 1
        if outcome.is_endpoints_fault:
            pause_s = self._endpoints.failed(lane.endpoint, is_away=outcome.is_away)
            if pause_s:
                log.info("endpoint paused", pause_s=pause_s, error=outcome.error)
        now_ms, attempt = self._clock.now_ms(), stored.attempts + 1
        due_at_ms = None if outcome.is_refused else self._due_next(job, stored, now_ms)
        is_booked = await self._store.notice_failed(job, outcome.error, due_at_ms, now_ms)
        if due_at_ms is None:
            self._metrics.notices.labels("dead").inc()
            log.warning("notice dead", error=outcome.error, attempt=attempt, booked=is_booked)
        else:
            self._metrics.notices.labels("failed").inc()
            log.info("notice failed", error=outcome.error, attempt=attempt, booked=is_booked)

    def _due_next(self, job: Job, stored: StoredNotice, now_ms: int) -> int | None:
        """When a notice that just failed is due again; ``None`` when the schedule is over."""
        if stored.attempts < len(self._schedule_s):
            return now_ms + self._schedule_s[stored.attempts] * 1000
        # some attempts may have been hastened: the last one is made when it was meant to be.
        # A replay's fence began at its time, and went up by one with each lease.
        began_ms = max(stored.notice.created_at_ms, job.fence - job.tries)
        end_ms = began_ms + sum(self._schedule_s) * 1000
        return end_ms if now_ms < end_ms else None
