"""A house of notifications: a worker on a store, a clock that is moved by hand, a fake network."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import structlog
from structlog.testing import LogCapture

from domain.payment import Event
from gateway.directory import SigningKey
from gateway.endpoints import Endpoints
from gateway.metrics import Metrics
from gateway.notices import endpoint
from gateway.notifications import Delivery, Notifier, NotifierBounds
from gateway.outbound import OutboundPolicy
from gateway.store.port import Advance, Notice, NoticeState, Store, StoredNotice
from signing.merchant import answer_string, verify
from tests.support.payments import sample_advance, sample_claim
from tests.support.waiting import eventually

START_MS = 1_700_000_000_000
KEY = SigningKey("key_1", b"the merchant's secret")
BOUNDS = NotifierBounds(interval_s=0.005, max_at_once=8, max_per_merchant=6, max_per_endpoint=4)
Answer = Callable[[Delivery], Awaitable[int]]


class HandClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.ms = START_MS

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.ms / 1000

    def move(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


class Network:
    """Answers by host; keeps what it was sent and how many it was sending at once."""

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock
        self.answers: dict[str, int | Exception | Answer] = {}
        self.sent: list[tuple[int, Delivery]] = []
        self.now: dict[str, int] = {}
        self.most: dict[str, int] = {}

    def to(self, host: str) -> list[Delivery]:
        """What a host was sent."""
        return [one for _, one in self.sent if urlsplit(one.url).hostname == host]

    def times_s(self) -> list[int]:
        """When, in seconds since the start."""
        return [(at_ms - START_MS) // 1000 for at_ms, _ in self.sent]

    async def deliver(self, delivery: Delivery) -> int:
        host = urlsplit(delivery.url).hostname or ""
        self.sent.append((self._clock.ms, delivery))
        for name in (host, ""):
            self.now[name] = self.now.get(name, 0) + 1
            self.most[name] = max(self.most.get(name, 0), self.now[name])
        try:
            await asyncio.sleep(0)
            answer = self.answers.get(host, 200)
            if isinstance(answer, Exception):
                raise answer
            return answer if isinstance(answer, int) else await answer(delivery)
        finally:
            for name in (host, ""):
                self.now[name] -= 1


class Outbox:
    """A store with notices in it, and a worker that a test runs."""

    def __init__(self, store: Store) -> None:
        self.store: Any = store
        self.clock = HandClock()
        self.network = Network(self.clock)
        self.metrics = Metrics()
        self.key: SigningKey | None = KEY
        self.policy = OutboundPolicy()
        self._capture = LogCapture()
        self._number = 0

    def said(self, event: str) -> Sequence[Any]:
        """The log lines of one event."""
        return [entry for entry in self._capture.entries if entry["event"] == event]

    def notifier(self, bounds: NotifierBounds = BOUNDS, **changes: Any) -> Notifier:
        """A worker; the caller runs it."""
        values: dict[str, Any] = {
            "store": self.store,
            "signing_key": self._signing_key,
            "deliver": self.network.deliver,
            "policy": self.policy,
            "endpoints": self.endpoints(),
            "clock": self.clock,
            "random_bytes": lambda count: b"\x07" * count,
            "metrics": self.metrics,
            "log": structlog.wrap_logger(None, processors=[self._capture]),
            "bounds": bounds,
        }
        return Notifier(**(values | changes))

    def endpoints(self, *, pause_after: int = 5) -> Endpoints:
        return Endpoints(
            clock=self.clock, pause_after=pause_after, max_pause_s=60, max_endpoints=100
        )

    async def _signing_key(self, _merchant_no: str) -> SigningKey | None:
        return self.key

    @contextlib.asynccontextmanager
    async def working(
        self, bounds: NotifierBounds = BOUNDS, **changes: Any
    ) -> AsyncIterator[Notifier]:
        """A worker that runs."""
        notifier = self.notifier(bounds, **changes)
        task = asyncio.create_task(notifier.run())
        try:
            yield notifier
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def put(self, url: str = "https://shop.example/paid", merchant_no: str = "m1") -> Notice:
        """A payment that succeeds, and its notice in the same commit."""
        self._number += 1
        number = self._number
        notice = Notice(
            event_id=f"evt_{number:06d}",
            merchant_no=merchant_no,
            payment_id=f"PAY{number:029d}",
            sequence=1,
            type="payment.succeeded",
            url=url,
            endpoint=endpoint(merchant_no, url),
            body=b'{"event_id":"evt_%06d","sequence":1}' % number,
            created_at_ms=self.clock.now_ms(),
        )
        claim = sample_claim(number, due_at_ms=None, merchant_no=merchant_no, notify_url=url)
        assert await self.store.claim(claim)
        paid = sample_advance(number)
        change = Advance(
            payment_id=paid.payment_id,
            merchant_no=merchant_no,
            previous=paid.previous,
            event=Event.PAID,
            standing=paid.standing,
            at_ms=notice.created_at_ms,
            due_at_ms=None,
            postings=paid.postings,
            notice=notice,
        )
        assert await self.store.advance(change)
        return notice

    async def put_all(self, places: Sequence[tuple[str, str]]) -> list[Notice]:
        """One for each URL and merchant, at once."""
        return list(await asyncio.gather(*(self.put(*place) for place in places)))

    async def now(self, notice: Notice) -> StoredNotice:
        """As the store holds it."""
        found: StoredNotice | None = await self.store.notice(notice.event_id)
        assert found is not None
        return found

    async def until(self, notice: Notice, state: NoticeState) -> StoredNotice:
        """Wait for a state."""

        async def reached() -> bool:
            return (await self.now(notice)).state is state

        await eventually(reached)
        return await self.now(notice)

    async def has_failed(self, count: int) -> None:
        """Wait until so many failures are booked, and no more were sent."""
        await eventually(lambda: len(self.said("notice failed")) >= count)
        assert len(self.network.sent) == count

    async def attempts(self, notice: Notice, count: int) -> StoredNotice:
        """Wait until so many attempts are booked."""

        async def reached() -> bool:
            return (await self.now(notice)).attempts >= count

        await eventually(reached)
        return await self.now(notice)


def is_signed(delivery: Delivery, secret: bytes = KEY.secret) -> bool:
    """Whether the headers sign the body, as a merchant would look."""
    said = delivery.headers
    message = answer_string(said["Posgate-Timestamp"], said["Posgate-Nonce"], delivery.body)
    return verify(secret, message, said["Posgate-Signature"])
