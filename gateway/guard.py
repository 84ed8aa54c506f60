"""What stands between the gateway and an account's channel: its breaker and its budget.

Rules:

* :class:`GuardedChannel` is the channel to everybody else. What it does not let through
  it answers itself: a question is unknown, an undo or a refund was not sent; both come
  again. A payment is refused before it is claimed (:meth:`Guard.admit`), never after.
* What a call came to is told to the breaker here, once; a fault of an adapter and a
  call that was cancelled tell nothing.
* A code that no table of the adapter knows is counted and logged here, once.
* A breaker that turns is counted, shown and logged, and whoever asked to hear of a
  channel that is back (recovery) hears of it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from channels.card import CardAction, CardData
from channels.card_abilities import BalanceAnswer, Balances, balance_of, takes_action
from channels.own_line import own_line_of
from channels.payer_orders import PayerAnswer
from channels.port import (
    Answer,
    Channel,
    ChannelHealth,
    PaymentRef,
    PayRequest,
    PollSchedule,
    RefundAnswer,
    RefundRequest,
    Refunds,
    UndoAnswer,
    Verdict,
    refunds_of,
)
from domain.clock import Clock
from domain.errors import ChannelDown
from gateway.breaker import CLOSED, OPEN, Breaker, is_failure, says_nothing
from gateway.budget import BudgetedSend
from gateway.logs import Log
from gateway.metrics import Metrics

_AWAY: Final = "held back: the channel does not answer"
_NOT_ASKED: Final = Answer(verdict=Verdict.UNKNOWN, channel_message=_AWAY)
_NOT_UNDONE: Final = UndoAnswer(verdict=Verdict.NOT_SENT, channel_message=_AWAY)
_NOT_REFUNDED: Final = RefundAnswer(verdict=Verdict.NOT_SENT, channel_message=_AWAY)
_REFUND_NOT_ASKED: Final = RefundAnswer(verdict=Verdict.UNKNOWN, channel_message=_AWAY)
_BALANCE_NOT_ASKED: Final = BalanceAnswer(verdict=Verdict.NOT_SENT, channel_message=_AWAY)
_R = TypeVar("_R")
_A = TypeVar("_A", Answer, UndoAnswer, RefundAnswer, BalanceAnswer)
_Coded = Answer | UndoAnswer | RefundAnswer | BalanceAnswer | PayerAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """What every guard is made with; ``failures`` in a row open it for ``open_s``."""

    failures: int
    open_s: float
    clock: Clock
    metrics: Metrics
    log: Log

    def guard(self, account_id: str, budget: BudgetedSend | None) -> "Guard":
        """The guard of one account."""
        breaker = Breaker(failures=self.failures, open_s=self.open_s)
        self.metrics.breaker_turned(account_id, CLOSED.value)
        return Guard(account_id, breaker, budget, self)


class Guard:
    """One account's breaker and budget."""

    __slots__ = (
        "_account_id",
        "_line_is_back",
        "_log",
        "_metrics",
        "_now_s",
        "back",
        "breaker",
        "budget",
    )

    def __init__(
        self,
        account_id: str,
        breaker: Breaker,
        budget: BudgetedSend | None,
        protection: Protection,
    ) -> None:
        self._account_id = account_id
        self.breaker = breaker
        self.budget = budget
        self._now_s = protection.clock.monotonic_s
        self._metrics = protection.metrics
        self._log = protection.log
        self._line_is_back = False
        """The channel's own line was lost and is there again; nothing was sent on it yet."""
        self.back: Callable[[str], None] | None = None
        """Called with the account when its channel is back."""

    def admit(self) -> None:
        """Let a new payment begin, as the probe where the breaker is half open.

        Raises:
            ChannelDown: the channel does not answer, or the budget is overdrawn.
        """
        if self.budget is not None and self.budget.is_overdrawn():
            raise ChannelDown("too many calls to this channel: send the payment again")
        if self.breaker.state is not CLOSED and not self._admits():
            raise ChannelDown("the channel does not answer now: pay another way, or later")

    def passes(self) -> bool:
        """Let a call of the background through, as the probe where it is half open."""
        if self.budget is not None and self.budget.is_crowded():
            return False
        return self.breaker.state is CLOSED or self._admits()

    def _admits(self) -> bool:
        before = self.breaker.state
        admitted = self.breaker.admit(self._now_s())
        if self.breaker.state is not before:
            self._turned()
        return admitted

    def is_down(self) -> bool:
        """Whether the channel is taken to be away; a probe may be due."""
        return self.breaker.state is not CLOSED

    def holds_back(self) -> bool:
        """Whether a call of the background would not go through now."""
        if self.budget is not None and self.budget.is_crowded():
            return True
        return not self.probe_is_due()

    def probe_is_due(self) -> bool:
        """Whether a call would go through, be it as a probe."""
        return self.breaker.lets_through(self._now_s())

    def heard(self, answer: Answer | UndoAnswer | RefundAnswer | BalanceAnswer, mark: int) -> None:
        """What a call came to; ``mark`` is what :attr:`breaker` showed when it began."""
        if answer.unlisted:
            self.unlisted(answer)
        if says_nothing(answer):
            return
        breaker = self.breaker
        before = breaker.state
        if is_failure(answer):
            breaker.failed(mark, self._now_s())
        else:
            breaker.answered()
        if breaker.state is not before:
            self._turned()

    def unlisted(self, answer: _Coded) -> None:
        """An answer with a code that no table of the adapter knows."""
        self._metrics.unlisted(self._account_id)
        self._log.warning(
            "unlisted code",
            account_id=self._account_id,
            code=answer.channel_code,
            detail=answer.channel_message,
        )

    def _turned(self) -> None:
        state = self.breaker.state
        self._metrics.breaker_turned(self._account_id, state.value)
        tell = self._log.warning if state is OPEN else self._log.info
        tell("breaker turned", account_id=self._account_id, state=state.value)
        if state is CLOSED and self.back is not None:
            self.back(self._account_id)

    def line_turned(self, is_up: bool) -> None:
        """The channel's own line is gone, or back."""
        breaker, before = self.breaker, self.breaker.state
        self._line_is_back = is_up
        if is_up:
            breaker.line_back(self._now_s())
        else:
            breaker.line_lost(self._now_s())
        if breaker.state is not before:
            self._turned()

    def health(self, health: ChannelHealth) -> ChannelHealth:
        """The channel's own word, unless the breaker knows better."""
        if not self.is_down() or (self._line_is_back and self.probe_is_due()):
            return health
        said = f": {health.detail}" if health.detail and not health.ready else ""
        return ChannelHealth(ready=False, detail=f"breaker {self.breaker.state.value}{said}")


class GuardedChannel:
    """A channel behind its guard."""

    def __init__(self, channel: Channel, guard: Guard) -> None:
        self._channel = channel
        self._guard = guard
        self.schedule: PollSchedule = channel.schedule
        self.timeout_s: float = channel.timeout_s
        self.new_order_no: Callable[[], str] = channel.new_order_no

    def takes(self, action: CardAction) -> bool:
        """What the channel takes; a sale, where it does not say."""
        return takes_action(self._channel, action)

    def health(self) -> ChannelHealth:
        """Not ready while the breaker is not closed."""
        return self._guard.health(self._channel.health())

    async def start(self) -> None:
        """Open what needs opening."""
        await self._channel.start()

    async def close(self) -> None:
        """Close it."""
        await self._channel.close()

    async def pay(self, request: PayRequest) -> Answer:
        """Pay; it was admitted before it was claimed, and it never waits for the budget."""
        guard = self._guard
        mark = guard.breaker.mark
        if guard.budget is None:
            answer = await self._channel.pay(request)
        else:
            answer = await guard.budget.urgently(self._channel.pay(request))
        guard.heard(answer, mark)
        return answer

    async def query(self, ref: PaymentRef) -> Answer:
        """Query, or ``UNKNOWN`` while the channel is away."""
        return await self._through(self._channel.query, ref, _NOT_ASKED)

    async def cancel(self, ref: PaymentRef) -> UndoAnswer:
        """Cancel, or ``NOT_SENT`` while the channel is away."""
        return await self._through(self._channel.cancel, ref, _NOT_UNDONE)

    async def _through(self, call: Callable[[_R], Awaitable[_A]], asked: _R, away: _A) -> _A:
        """Make a call of the background, or answer ``away`` in the channel's place."""
        guard = self._guard
        if not guard.passes():
            return away
        mark = guard.breaker.mark
        answer = await call(asked)
        guard.heard(answer, mark)
        return answer


class GuardedRefunds(GuardedChannel):
    """A channel that can refund, behind its guard."""

    def __init__(self, channel: Channel, refunds: Refunds, guard: Guard) -> None:
        super().__init__(channel, guard)
        self._refunds = refunds
        self.new_refund_no: Callable[[], str] = refunds.new_refund_no

    async def refund(self, request: RefundRequest) -> RefundAnswer:
        """Refund, or ``NOT_SENT`` while the channel is away."""
        return await self._through(self._refunds.refund, request, _NOT_REFUNDED)

    async def query_refund(self, request: RefundRequest) -> RefundAnswer:
        """Ask about a refund, or ``UNKNOWN`` while the channel is away."""
        if not self.schedule.query_after_s:
            # It cannot be asked: the adapter answers in its place, which tells nothing of it.
            return await self._refunds.query_refund(request)
        return await self._through(self._refunds.query_refund, request, _REFUND_NOT_ASKED)


class GuardedBalances(GuardedChannel):
    """A channel that tells balances, behind its guard."""

    def __init__(self, channel: Channel, balances: Balances, guard: Guard) -> None:
        super().__init__(channel, guard)
        self._balances = balances

    async def balance(self, card: CardData) -> BalanceAnswer:
        """Ask, or ``NOT_SENT`` while the channel is away."""
        return await self._through(self._balances.balance, card, _BALANCE_NOT_ASKED)


class GuardedCards(GuardedRefunds):
    """A channel that can refund and tell balances, behind its guard."""

    def __init__(
        self, channel: Channel, refunds: Refunds, balances: Balances, guard: Guard
    ) -> None:
        super().__init__(channel, refunds, guard)
        self._balances = balances

    async def balance(self, card: CardData) -> BalanceAnswer:
        """As :meth:`GuardedBalances.balance`."""
        return await self._through(self._balances.balance, card, _BALANCE_NOT_ASKED)


def guarded(channel: Channel, guard: Guard) -> Channel:
    """``channel`` behind ``guard``, with the abilities that it has."""
    line = own_line_of(channel)
    if line is not None:
        line.when_line_turns(guard.line_turned)
    refunds, balances = refunds_of(channel), balance_of(channel)
    if refunds is not None and balances is not None:
        return GuardedCards(channel, refunds, balances, guard)
    if refunds is not None:
        return GuardedRefunds(channel, refunds, guard)
    if balances is not None:
        return GuardedBalances(channel, balances, guard)
    return GuardedChannel(channel, guard)
