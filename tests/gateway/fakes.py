"""Fakes for what stands around a payment: a scripted channel, a store that fails on demand."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog
from structlog.testing import LogCapture

from channels.inbound import InboundReply, InboundRequest, NoticeRefused, Word, notices_of
from channels.port import (
    Answer,
    ChannelHealth,
    PaymentRef,
    PayRequest,
    PollSchedule,
    RefundAnswer,
    RefundRequest,
    UndoAnswer,
    Verdict,
)
from domain.errors import Unavailable
from domain.payment import Payment
from domain.refund import Refund
from gateway.advices import AdviceMemory
from gateway.draft import Draft
from gateway.guard import Protection, guarded
from gateway.limits import Judge
from gateway.live import Live
from gateway.metrics import Metrics
from gateway.notices import NoticeWriter
from gateway.payments import Payments
from gateway.recovery import Recovery
from gateway.refund_settlement import RefundSettlement
from gateway.refunds import RefundAsk, Refunds
from gateway.routes import Route, Routes
from gateway.settlement import Settlement
from gateway.sources import RandomIds, SystemClock
from gateway.store.port import Job, JobKind, Store
from signing.keywrap import Sealer
from tests.support.waiting import eventually

Scripted = Answer | UndoAnswer | RefundAnswer | Exception | Callable[[], Awaitable[Any]]
FAST = PollSchedule(
    query_after_s=(0.01,) * 20,
    undo_retry_s=(0.01, 0.01, 0.02),
    refund_retry_s=(0.01, 0.01, 0.02),
)
DAY_S = 24 * 3600


class FakeChannel:
    """Answers each call with the next of its script, the last one for ever."""

    def __init__(self, schedule: PollSchedule = FAST) -> None:
        self.schedule = schedule
        self.timeout_s = 0.5
        self.pays: list[Scripted] = [Answer(verdict=Verdict.SUCCEEDED, trade_no="T1")]
        self.queries: list[Scripted] = [Answer(verdict=Verdict.UNKNOWN)]
        self.cancels: list[Scripted] = [UndoAnswer(verdict=Verdict.SUCCEEDED, was_paid=False)]
        self.calls: list[str] = []
        self.paid: list[PayRequest] = []
        self.refs: list[PaymentRef] = []
        self._ids = RandomIds()

    def new_order_no(self) -> str:
        return self._ids.new()

    def health(self) -> ChannelHealth:
        return ChannelHealth(ready=True)

    async def start(self) -> None:
        self.calls.append("start")

    async def close(self) -> None:
        self.calls.append("close")

    async def pay(self, request: PayRequest) -> Answer:
        self.paid.append(request)
        answer: Answer = await self._next("pay", self.pays)
        return answer

    async def query(self, ref: PaymentRef) -> Answer:
        self.refs.append(ref)
        answer: Answer = await self._next("query", self.queries)
        return answer

    async def cancel(self, ref: PaymentRef) -> UndoAnswer:
        self.refs.append(ref)
        answer: UndoAnswer = await self._next("cancel", self.cancels)
        return answer

    async def _next(self, call: str, script: list[Scripted]) -> Any:
        self.calls.append(call)
        said = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(said, Exception):
            raise said
        if isinstance(said, Answer | UndoAnswer | RefundAnswer):
            return said
        return await said()


class RefundingChannel(FakeChannel):
    """A fake that can also refund."""

    def __init__(self, schedule: PollSchedule = FAST) -> None:
        super().__init__(schedule)
        self.refunds: list[Scripted] = [RefundAnswer(verdict=Verdict.SUCCEEDED)]
        self.refund_queries: list[Scripted] = [RefundAnswer(verdict=Verdict.UNKNOWN)]
        self.refund_requests: list[RefundRequest] = []

    def new_refund_no(self) -> str:
        return self._ids.new()

    async def refund(self, request: RefundRequest) -> RefundAnswer:
        self.refund_requests.append(request)
        answer: RefundAnswer = await self._next("refund", self.refunds)
        return answer

    async def query_refund(self, request: RefundRequest) -> RefundAnswer:
        answer: RefundAnswer = await self._next("query_refund", self.refund_queries)
        return answer


class TellingChannel(RefundingChannel):
    """A fake that also tells: the body of a notification names the word that it stands for."""

    def __init__(self, schedule: PollSchedule = FAST) -> None:
        super().__init__(schedule)
        self.words: dict[bytes, Word | Exception] = {}

    def read_notice(self, request: InboundRequest) -> Word:
        word = self.words.get(request.body) or NoticeRefused("forged", InboundReply(status=401))
        if isinstance(word, Exception):
            raise word
        return word

    def taken(self) -> InboundReply:
        return InboundReply(status=200, body=b"success")

    def not_taken(self) -> InboundReply:
        return InboundReply(status=500, body=b"failure")


class SteppedClock(SystemClock):
    """The machine's, of which a test may skip some: of what elapses, or of the days."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped_s = 0.0
        self.later_s = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.later_s * 1000

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.skipped_s


class FlakyStore:
    """A real store whose calls can be made to fail, to wait, or to be overtaken."""

    def __init__(self, real: Store) -> None:
        self._real = real
        self.down: dict[str, int] = {}
        """How often each named call still fails."""
        self.before: dict[str, Callable[[Any], Awaitable[None]]] = {}
        """What happens first, once."""
        self.after: dict[str, Callable[[Any], Awaitable[None]]] = {}
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        if not asyncio.iscoroutinefunction(real):
            return real

        async def call(*values: Any, **named: Any) -> Any:
            self.calls.append(name)
            before = self.before.pop(name, None)
            if before is not None:
                await before(*values)
            if self.down.get(name, 0) > 0:
                self.down[name] -= 1
                raise Unavailable(f"{name} is down")
            result = await real(*values, **named)
            after = self.after.pop(name, None)
            if after is not None:
                await after(*values)
            return result

        return call


class House:
    """A gateway's middle: payments, settlement and recovery on one store and one channel."""

    def __init__(
        self,
        store: Any,
        channel: FakeChannel | None = None,
        *,
        till_wait_s: float = 5,
        others: Mapping[str, FakeChannel] | None = None,
        breaker: tuple[int, float] | None = None,
        patience_s: float = DAY_S,
        limits: Callable[["House"], Judge] | None = None,
    ) -> None:
        """``others``: further accounts, each of the merchant of its name; ``breaker``: a guard
        for every account, with so many failures and seconds open; ``patience_s``: when what
        nobody settles is parked; ``limits`` makes who judges payments.
        """
        self.flaky = FlakyStore(store)
        self.store: Any = self.flaky
        self.channel = channel or FakeChannel()
        self.clock = SteppedClock()
        self.metrics = Metrics()
        self._capture = LogCapture()
        self.log: Any = structlog.wrap_logger(None, processors=[self._capture])
        channels = {"a1": self.channel, **(others or {})}
        self.routes = Routes([self._route(*one, breaker) for one in channels.items()])
        self.notices = NoticeWriter(
            ids=RandomIds(), render_payment=_shown, render_refund=lambda refund: {}
        )
        self.settlement = Settlement(
            store=self.store,
            routes=self.routes,
            notices=self.notices,
            clock=self.clock,
            metrics=self.metrics,
            log=self.log,
            patience_s=patience_s,
            advice_again=AdviceMemory(Sealer(bytes(32), bytes)).request,
        )
        self._open_business(patience_s, till_wait_s, None if limits is None else limits(self))

    def _open_business(
        self, patience_s: float = DAY_S, till_wait_s: float = 5, limits: Judge | None = None
    ) -> None:
        """All that stands on the routes, the notices and the settlement."""
        self.refund_settlement = RefundSettlement(
            store=self.store,
            routes=self.routes,
            notices=self.notices,
            clock=self.clock,
            metrics=self.metrics,
            log=self.log,
            patience_s=patience_s,
        )
        self.refunds = Refunds(
            store=self.store,
            settlement=self.refund_settlement,
            routes=self.routes,
            clock=self.clock,
            ids=RandomIds(),
            max_in_flight=8,
        )
        self.payments = Payments(
            store=self.store,
            settlement=self.settlement,
            routes=self.routes,
            clock=self.clock,
            ids=RandomIds(),
            metrics=self.metrics,
            log=self.log,
            till_wait_s=till_wait_s,
            max_in_flight=8,
            limits=limits,
        )

    def _route(
        self, account_id: str, channel: FakeChannel, breaker: tuple[int, float] | None
    ) -> Route:
        guard = None
        if breaker is not None:
            protection = Protection(
                failures=breaker[0],
                open_s=breaker[1],
                clock=self.clock,
                metrics=self.metrics,
                log=self.log,
            )
            guard = protection.guard(account_id, None)
        return Route(
            account_id=account_id,
            channel_name="alipay",
            merchant_no="" if account_id == "a1" else account_id,
            enabled=True,
            channel=channel if guard is None else guarded(channel, guard),
            guard=guard,
            notices=notices_of(channel),
        )

    def recovery(
        self,
        *,
        max_at_once: int = 8,
        per_account: int = 8,
        lease_s: float = 5,
        interval_s: float = 0.01,
        starts_per_s: int = 1000,
    ) -> Recovery:
        """A worker; the caller runs it."""
        return Recovery(
            store=self.store,
            settlement=self.settlement,
            finish_refund=self.finish_refund,
            routes=self.routes,
            clock=self.clock,
            metrics=self.metrics,
            log=self.log,
            interval_s=interval_s,
            lease_s=lease_s,
            max_at_once=max_at_once,
            max_at_once_per_account=per_account,
            starts_per_s=starts_per_s,
        )

    async def finish_refund(self, job: Job) -> None:
        """What recovery does about a leased refund."""
        await self.refund_settlement.finish(job)

    def said(self, event: str) -> Sequence[Any]:
        """The log lines of one event."""
        return [entry for entry in self._capture.entries if entry["event"] == event]

    async def begun(self, key: str = "k1", **changes: Any) -> Live:
        """A claimed payment, not yet run."""
        begun = await self.payments.begin(draft(key, **changes))
        assert begun.live is not None
        assert not begun.replayed
        return begun.live

    async def paid(self, key: str = "k1", **changes: Any) -> Payment:
        """Run a payment to the end of what this process does about it."""
        live = await self.begun(key, **changes)
        await self.payments.run(live)
        await eventually(lambda: not self.payments.in_flight())
        return await self.now(live.payment)

    async def refunding(
        self, payment: Payment, number: str = "r1", amount_fen: int = 500
    ) -> Refund:
        """A refund just begun; its sending goes on by itself."""
        ask = RefundAsk(
            merchant_refund_no=number, amount_fen=amount_fen, reason="", fingerprint=b"f"
        )
        refund, _ = await self.refunds.create(payment.order.merchant_no, payment.order.id, ask)
        return refund

    async def refunded(self, payment: Payment, number: str = "r1", amount_fen: int = 500) -> Refund:
        """Run a refund to the end of what this process does about it."""
        refund = await self.refunding(payment, number, amount_fen)
        await eventually(lambda: not self.refunds.in_flight())
        return await self.refund_now(refund)

    async def refund_now(self, refund: Refund) -> Refund:
        """As the store holds it."""
        found: Refund | None = await self.store.refund(refund.order.id)
        assert found is not None
        return found

    async def leased(self, kind: JobKind) -> Job:
        """The one open job, taken by another worker whatever its time."""
        (job,) = await self.store.lease(kind, "a1", 2**53, 2**53, 9)
        taken: Job = job
        return taken

    def fall_silent(self) -> None:
        """The channel is away: its breaker is open."""
        guard = self.routes._guard("a1")
        assert guard is not None
        while not guard.is_down():
            guard.breaker.failed(guard.breaker.mark, self.clock.monotonic_s())
            self.clock.skipped_s += 1

    async def now(self, payment: Payment) -> Payment:
        """As the store holds it."""
        found: Payment | None = await self.store.payment(payment.order.id)
        assert found is not None
        return found

    async def open_jobs(self) -> list[str]:
        """The payments that still have work to be done."""
        jobs = await self.store.jobs(JobKind.SETTLE, "", 100)
        return [job.subject for job in jobs]

    async def make_due(self, payment: Payment) -> None:
        """As if whoever works on it had been dead for long."""
        assert await self.store.renew(JobKind.SETTLE, payment.order.id, 0, 0)

    async def make_some_due(self, payments: Sequence[Payment]) -> None:
        """Make due whatever of ``payments`` is open, whoever has had it."""
        known = {payment.order.id for payment in payments}
        for job in await self.store.jobs(JobKind.SETTLE, "", 100):
            if job.subject in known:
                await self.store.renew(JobKind.SETTLE, job.subject, 0, job.fence, given_back=True)

    async def until(self, payment: Payment, *statuses: str) -> Payment:
        """Wait for a state."""

        async def reached() -> bool:
            return (await self.now(payment)).standing.status.value in statuses

        await eventually(reached)
        return await self.now(payment)

    async def held(self, payment: Payment) -> int:
        """What the ledger holds at the channel."""
        lines = await self.store.postings(payment.order.id)
        assert sum(line.amount_fen for line in lines) == 0
        return sum(line.amount_fen for line in lines if line.account == "channel:alipay:a1")


def _shown(payment: Payment) -> Mapping[str, object]:
    return {"id": payment.order.id, "status": payment.standing.status.value}


def draft(key: str = "k1", **changes: Any) -> Draft:
    """A payment as a door understood it."""
    values: dict[str, Any] = {
        "merchant_no": "M1",
        "door": "api",
        "order_key": key,
        "fingerprint": b"f" * 16,
        "amount_fen": 1990,
        "currency": "CNY",
        "subject": "奶茶",
        "method": "auth_code",
        "channel": "alipay",
        "auth_code": "280000000000000001",
    }
    return Draft(**(values | changes))
