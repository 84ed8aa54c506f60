"""Alipay behind the channel port: the wire joined to a ``send``.

Rules: no state of an order; ``NOT_SENT`` only when the client is certain; a fault
after sending is ``UNKNOWN`` whoever's fault it is. Only cancellation passes through.
"""

from channels.alipay.wire import (
    TRADE_CLOSED,
    AlipayAccount,
    build_cancel,
    build_pay,
    build_query,
    read_cancel,
    read_pay,
    read_query,
)
from channels.port import (
    Answer,
    AnswerLost,
    ChannelHealth,
    ChannelServices,
    NotSent,
    PaymentRef,
    PayRequest,
    PollSchedule,
    UndoAnswer,
    Verdict,
)

_CALLS_PER_CANCEL = 2
_QUEUEING_S = 2.0


class AlipayChannel:
    """One Alipay application."""

    def __init__(
        self, account: AlipayAccount, schedule: PollSchedule, services: ChannelServices
    ) -> None:
        self._account = account
        self._schedule = schedule
        self._send = services.send
        self._now_ms = services.clock.now_ms
        self._new_number = services.ids.new

    @property
    def schedule(self) -> PollSchedule:
        """How to poll and undo."""
        return self._schedule

    @property
    def timeout_s(self) -> float:
        """A cancel may take a query after it."""
        return _CALLS_PER_CANCEL * (self._account.timeout_s + _QUEUEING_S)

    def new_order_no(self) -> str:
        """32 letters."""
        return self._new_number()

    def health(self) -> ChannelHealth:
        """Always ready: there is no connection to keep, and each call tells."""
        return ChannelHealth(ready=True)

    async def start(self) -> None:
        """Nothing to open: the HTTP client is shared."""

    async def close(self) -> None:
        """Nothing to close."""

    async def pay(self, request: PayRequest) -> Answer:
        """``alipay.trade.pay``, once."""
        if not request.auth_code:
            return Answer(verdict=Verdict.NOT_SENT, channel_message="no payment code")
        try:
            built = build_pay(request, self._account, self._now_ms())
        except Exception as fault:  # an amount or a text that cannot be written
            return Answer(verdict=Verdict.NOT_SENT, channel_message=type(fault).__name__)
        try:
            return read_pay(await self._send(built), self._account, request.order_no)
        except NotSent as fault:
            return Answer(verdict=Verdict.NOT_SENT, channel_message=str(fault))
        except Exception as fault:
            return Answer(verdict=Verdict.UNKNOWN, channel_message=_what(fault))

    async def query(self, ref: PaymentRef) -> Answer:
        """``alipay.trade.query``."""
        try:
            built = build_query(ref, self._account, self._now_ms())
            return read_query(await self._send(built), self._account, ref.order_no)
        except Exception as fault:
            return Answer(verdict=Verdict.UNKNOWN, channel_message=_what(fault))

    async def cancel(self, ref: PaymentRef) -> UndoAnswer:
        """``alipay.trade.cancel``; where it names no action, a query confirms it.

        Cancelling a number that Alipay never saw also answers success.
        """
        try:
            built = build_cancel(ref, self._account, self._now_ms())
            answer = read_cancel(await self._send(built), self._account, ref.order_no)
        except Exception as fault:
            return UndoAnswer(verdict=Verdict.UNKNOWN, channel_message=_what(fault))
        if answer.verdict is not Verdict.SUCCEEDED or answer.was_paid is not None:
            return answer
        after = await self.query(ref)
        if after.channel_code == TRADE_CLOSED:
            return answer
        if after.not_found:  # whoever knows that it was paid must not believe this
            return UndoAnswer(
                verdict=Verdict.SUCCEEDED, was_paid=False, channel_code=after.channel_code
            )
        return UndoAnswer(
            verdict=Verdict.UNKNOWN,
            channel_code=after.channel_code,
            channel_message="cancelled, but the trade is not seen closed",
        )


def _what(fault: Exception) -> str:
    """A text for the log; a defect of ours shows its type alone."""
    return str(fault) if isinstance(fault, NotSent | AnswerLost) else type(fault).__name__
