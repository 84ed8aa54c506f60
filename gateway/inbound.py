"""What channels tell us unasked: verified, found, booked like an answer, and only then taken.

Rules:

* A notification is believed as far as its adapter believes it (``channels/inbound.py``), and
  booked by the path of every other answer: compare-and-set, contradictions parked, money
  that comes after the end given back. Repeated, late or reordered it changes nothing twice.
* A channel is told "taken" after the commit, or when there was nothing to change. Where
  the store is away, slow (``answer_within_s``) or full it is told "not taken", and sends
  it again; work that has begun goes on meanwhile, for a repeat finds it done.
* Orders are persisted before anything of them is sent, so a notification overtakes none: an
  order that the store does not know is not ours, or the store lost it. What tells of money
  is therefore never taken (it comes again for as long as the channel's own schedule lasts,
  about a day, in which a restored store may know it), and said loudly. The rest is taken.
* A refund that the store does not know was made elsewhere, at the channel's own desk:
  said loudly, and taken; reconciliation finds it.
"""

import asyncio
import enum
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, assert_never

from channels.inbound import (
    InboundReply,
    InboundRequest,
    NoticeRefused,
    OtherNotice,
    PaymentWord,
    RefundWord,
    Word,
)
from channels.port import Answer, RefundAnswer, Verdict
from domain.clock import Clock
from domain.errors import Unavailable
from domain.payment import Payment, Status
from domain.refund import RefundStatus
from gateway.channel_requests import bare_request
from gateway.live import Live
from gateway.logs import Log
from gateway.metrics import Metrics
from gateway.refund_settlement import RefundSettlement
from gateway.routes import Route, Routes
from gateway.settlement import Settlement
from gateway.store.port import Store


class Outcome(enum.Enum):
    """What became of a notification, for the log and the counters."""

    BOOKED = "booked"
    KNOWN = "known"
    """It changed nothing: a repeat, or late."""
    OTHER = "other"
    """The channel's, and nothing that moves a payment or a refund."""
    UNKNOWN_ORDER = "unknown_order"
    LOST_ORDER = "lost_order"
    """Money for an order that the store does not know."""
    UNKNOWN_REFUND = "unknown_refund"
    REFUSED = "refused"
    """Not believed: forged, altered, or not for this account."""
    UNASKED = "unasked"
    """The channel was to be asked first, and did not answer."""
    LATE = "late"
    FULL = "full"
    STORE_AWAY = "store_away"
    FAULT = "fault"


_TAKEN: Final = frozenset(
    {
        Outcome.BOOKED,
        Outcome.KNOWN,
        Outcome.OTHER,
        Outcome.UNKNOWN_ORDER,
        Outcome.UNKNOWN_REFUND,
    }
)
_SETTLED: Final = frozenset({Status.SUCCEEDED, Status.REVERSED})
"""What no word moves any further: nobody is asked, or a replay would make us call the channel."""
_LOUD: Final = frozenset({Outcome.LOST_ORDER, Outcome.UNKNOWN_REFUND, Outcome.FAULT})
_NOBODY: Final = "-"
_NOT_SAID: Final = Answer(verdict=Verdict.UNKNOWN)
_REFUND_NOT_SAID: Final = RefundAnswer(verdict=Verdict.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundBounds:
    """See ``gateway.config.InboundSection``."""

    answer_within_s: float
    max_in_flight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """What became of one, with what the log names."""

    outcome: Outcome
    payment_id: str | None = None
    refund_id: str | None = None
    detail: str | None = None


class Inbound:
    """The door of notifications, whatever carried them here."""

    def __init__(
        self,
        *,
        store: Store,
        routes: Routes,
        settlement: Settlement,
        refund_settlement: RefundSettlement,
        tell: Callable[[Payment], None],
        clock: Clock,
        metrics: Metrics,
        log: Log,
        bounds: InboundBounds,
    ) -> None:
        """``tell`` hears of a payment that moved, for the till that waits here."""
        self._store = store
        self._routes = routes
        self._settlement = settlement
        self._refund_settlement = refund_settlement
        self._tell = tell
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._bounds = bounds
        self._working: dict[tuple[str, bytes], asyncio.Task[Booked]] = {}

    def in_flight(self) -> int:
        """Notifications being booked."""
        return len(self._working)

    async def receive(
        self, channel: str, account_id: str, request: InboundRequest
    ) -> InboundReply | None:
        """Answer one notification; ``None`` where no account of that name takes any.

        Never raises but when it is cancelled; what it had begun to book is booked then, too.
        """
        route = self._routes.told(channel, account_id)
        if route is None or route.notices is None:
            self._metrics.inbound(_NOBODY, "no_account")
            return None
        started_s = self._clock.monotonic_s()
        reply: InboundReply | None = None
        try:
            word = route.notices.read_notice(request)
            done = await self._in_time(route, word, request.body)
        except NoticeRefused as refused:
            done, reply = Booked(outcome=Outcome.REFUSED, detail=refused.why), refused.reply
        except Exception:
            self._log.exception("adapter fault", account_id=account_id, call="read_notice")
            done = Booked(outcome=Outcome.FAULT)
        self._line(route, request, done, started_s)
        if reply is not None:
            return reply
        is_taken = done.outcome in _TAKEN
        return route.notices.taken() if is_taken else route.notices.not_taken()

    async def ask(self, channel: str, account_id: str, order_no: str, refund_no: str) -> bool:
        """Ask the channel about a payment, or a refund of it, and book what it says.

        For who doubts what the books say of an order that has ended. ``False``: the channel
        did not answer, the store is away, or nobody here knows the order.
        """
        route = self._routes.find(channel, account_id)
        if route is None:
            return False
        word: Word = PaymentWord(order_no=order_no, answer=_NOT_SAID, ask_first=True)
        if refund_no:
            word = RefundWord(
                order_no=order_no, refund_no=refund_no, answer=_REFUND_NOT_SAID, ask_first=True
            )
        return (await self.book(route, word)).outcome in (Outcome.BOOKED, Outcome.KNOWN)

    async def _in_time(self, route: Route, word: Word, body: bytes) -> Booked:
        """Book it, or say that it took too long; then it goes on by itself.

        Copies that come while it is being booked wait for the first.
        """
        key = (route.account_id, body)
        task = self._working.get(key)
        is_copy = task is not None
        if task is None:
            if len(self._working) >= self._bounds.max_in_flight:
                return Booked(outcome=Outcome.FULL)
            task = asyncio.get_running_loop().create_task(self.book(route, word))
            self._working[key] = task
            task.add_done_callback(lambda _: self._working.pop(key))
        await asyncio.wait((task,), timeout=self._bounds.answer_within_s)
        if not task.done() or task.cancelled():
            return Booked(outcome=Outcome.LATE, detail=_about(word))
        done = task.result()
        if is_copy and done.outcome is Outcome.BOOKED:
            return replace(done, outcome=Outcome.KNOWN)
        return done

    async def book(self, route: Route, word: Word) -> Booked:
        """What the word came to; raises nothing but cancellation."""
        try:
            match word:
                case PaymentWord():
                    return await self._payment(route, word)
                case RefundWord():
                    return await self._refund(route, word)
                case OtherNotice():
                    return Booked(outcome=Outcome.OTHER, detail=word.about)
                case _:
                    assert_never(word)
        except Unavailable as error:
            return Booked(outcome=Outcome.STORE_AWAY, detail=error.message)
        except Exception:
            self._log.exception("inbound fault", account_id=route.account_id)
            return Booked(outcome=Outcome.FAULT, detail=_about(word))

    async def _payment(self, route: Route, word: PaymentWord) -> Booked:
        payment = await self._store.payment_by_channel_order(route.account_id, word.order_no)
        answer = word.answer
        if payment is None:
            has_money = word.ask_first or answer.verdict is Verdict.SUCCEEDED
            outcome = Outcome.LOST_ORDER if has_money else Outcome.UNKNOWN_ORDER
            trade = f" (trade {answer.trade_no})" if answer.trade_no else ""
            return Booked(outcome=outcome, detail=_about(word) + trade)
        payment_id = payment.order.id
        if word.ask_first and payment.standing.status in _SETTLED:
            return Booked(outcome=Outcome.KNOWN, payment_id=payment_id)
        if word.ask_first:
            answer = await self._settlement.timed_query(route.channel, payment)
        if answer.verdict in (Verdict.UNKNOWN, Verdict.NOT_SENT):
            outcome = Outcome.UNASKED if word.ask_first else Outcome.KNOWN
            return Booked(outcome=outcome, payment_id=payment_id, detail=answer.channel_code)
        live = Live(payment, bare_request(payment.order))
        await self._settlement.apply_answer(live, answer, route.channel)
        if live.payment.standing.version == payment.standing.version:
            return Booked(outcome=Outcome.KNOWN, payment_id=payment_id)
        self._tell(live.payment)
        return Booked(outcome=Outcome.BOOKED, payment_id=payment_id)

    async def _refund(self, route: Route, word: RefundWord) -> Booked:
        refund = await self._store.refund_by_channel_number(route.account_id, word.refund_no)
        payment = None if refund is None else await self._store.payment(refund.order.payment_id)
        if refund is None or payment is None:
            return Booked(outcome=Outcome.UNKNOWN_REFUND, detail=_about(word))
        ids = {"refund_id": refund.order.id, "payment_id": payment.order.id}
        if word.ask_first and refund.standing.status is RefundStatus.SUCCEEDED:
            return Booked(outcome=Outcome.KNOWN, **ids)
        answer = None if word.ask_first else word.answer
        now = await self._refund_settlement.hear(
            refund, payment, route.channel, answer, word.order_no
        )
        if now is None:
            return Booked(outcome=Outcome.UNASKED, **ids)
        moved = now.standing.version != refund.standing.version
        return Booked(outcome=Outcome.BOOKED if moved else Outcome.KNOWN, **ids)

    def _line(self, route: Route, request: InboundRequest, done: Booked, started_s: float) -> None:
        """The one line of a notification; nothing of its body is in it but verified numbers."""
        outcome = done.outcome
        self._metrics.inbound(route.channel_name, outcome.value)
        tell = self._log.info if outcome in _TAKEN else self._log.warning
        tell = self._log.error if outcome in _LOUD else tell
        fields: dict[str, object] = {
            "channel": route.channel_name,
            "account_id": route.account_id,
            "outcome": outcome.value,
            "bytes": len(request.body),
            "ms": round((self._clock.monotonic_s() - started_s) * 1000, 1),
            "payment_id": done.payment_id,
            "refund_id": done.refund_id,
            "detail": done.detail,
        }
        tell("channel notice", **{name: value for name, value in fields.items() if value})

    async def drain(self, timeout_s: float) -> None:
        """Finish what is being booked; what does not finish comes again."""
        if self._working:
            await asyncio.wait(tuple(self._working.values()), timeout=timeout_s)
        left = tuple(self._working.values())
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def _about(word: Word) -> str:
    """A verified word by its numbers."""
    match word:
        case PaymentWord():
            return f"order {word.order_no}"
        case RefundWord():
            return f"refund {word.refund_no} of order {word.order_no}"
        case OtherNotice():
            return word.about
