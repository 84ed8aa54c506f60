"""Alipay behind the channel port: the wire joined to a ``send``.

Rules: no state of an order; faults as ``channels/one_call.py`` says.

A trade that Alipay no longer cancels is undone another way: closed while unpaid,
refunded whole once paid (``channels/whole_refund.py``). Only what Alipay then says of it
ends the undo.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace

from channels.alipay.account import AlipayAccount
from channels.alipay.bill_fetch import AlipayBillFetch
from channels.alipay.notice import NOT_TAKEN, TAKEN, read_notice
from channels.alipay.orders import AlipayOrders
from channels.alipay.refund_wire import (
    NO_CHANGE,
    build_refund,
    build_refund_query,
    read_refund,
    read_refund_query,
)
from channels.alipay.royalty import AlipayRoyalties
from channels.alipay.wire import (
    TRADE_CLOSED,
    build_cancel,
    build_close,
    build_pay,
    build_query,
    read_cancel,
    read_close,
    read_pay,
    read_query,
)
from channels.inbound import InboundReply, InboundRequest, Word
from channels.one_call import call_once, longest_s, what
from channels.port import (
    Answer,
    ChannelHealth,
    ChannelServices,
    PaymentRef,
    PayRequest,
    PollSchedule,
    RefundAnswer,
    RefundRequest,
    UndoAnswer,
    Verdict,
)
from channels.whole_refund import undone_by, whole_refund


class AlipayChannel(AlipayOrders, AlipayRoyalties, AlipayBillFetch):
    """One Alipay application, with every ability that it has."""

    def __init__(
        self, account: AlipayAccount, schedule: PollSchedule, services: ChannelServices
    ) -> None:
        super().__init__(account, services)
        self._schedule = schedule

    @property
    def schedule(self) -> PollSchedule:
        """How to poll and undo."""
        return self._schedule

    @property
    def timeout_s(self) -> float:
        """A cancel or a refund may take a query after it; more calls share this time."""
        return longest_s(self._account.timeout_s)

    def new_order_no(self) -> str:
        """32 letters."""
        return self._new_number()

    def new_refund_no(self) -> str:
        """32 letters."""
        return self._new_number()

    def health(self) -> ChannelHealth:
        """Always ready: there is no connection to keep, and each call tells."""
        return ChannelHealth(ready=True)

    async def start(self) -> None:
        """Nothing to open: the HTTP client is shared."""

    async def close(self) -> None:
        """Nothing to close."""

    def pay(self, request: PayRequest) -> Coroutine[None, None, Answer]:
        """``alipay.trade.pay``, once."""
        return call_once(
            Answer,
            lambda: build_pay(request, self._account, *self._moment()),
            self._send,
            lambda heard: read_pay(heard, self._account, request.order_no),
        )

    async def query(self, ref: PaymentRef) -> Answer:
        """``alipay.trade.query``."""
        try:
            built = build_query(ref, self._account, *self._moment())
            return read_query(await self._send(built), self._account, ref.order_no)
        except Exception as fault:
            return Answer(verdict=Verdict.UNKNOWN, channel_message=what(fault))

    async def cancel(self, ref: PaymentRef) -> UndoAnswer:
        """``alipay.trade.cancel``; where it names no action, a query confirms it.

        Cancelling a number that Alipay never saw also answers success. What cannot be
        cancelled any more is closed or refunded; cut short, it goes on at the next call.
        """
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._cancel(ref)
        except Exception as fault:
            return UndoAnswer(verdict=Verdict.UNKNOWN, channel_message=what(fault))

    async def _cancel(self, ref: PaymentRef) -> UndoAnswer:
        built = build_cancel(ref, self._account, *self._moment())
        answer = read_cancel(await self._send(built), self._account, ref.order_no)
        if answer.verdict is Verdict.DECLINED:
            return await self._undo_without_cancel(ref, answer)
        if answer.verdict is not Verdict.SUCCEEDED or answer.was_paid is not None:
            return answer
        after = await self.query(ref)
        if after.channel_code == TRADE_CLOSED:  # with a time of payment: it went back
            return replace(answer, was_paid=True) if after.paid_at_ms else answer
        if after.not_found:  # whoever knows that it was paid must not believe this
            return UndoAnswer(
                verdict=Verdict.SUCCEEDED, was_paid=False, channel_code=after.channel_code
            )
        return UndoAnswer(
            verdict=Verdict.UNKNOWN,
            channel_code=after.channel_code,
            channel_message="cancelled, but the trade is not seen closed",
            answered=_is_heard(after),
        )

    async def _undo_without_cancel(self, ref: PaymentRef, refused: UndoAnswer) -> UndoAnswer:
        """Close or refund a trade that Alipay refuses to cancel, whatever its state is now."""
        found = await self.query(ref)
        match found.verdict:
            case Verdict.SUCCEEDED if found.amount_fen:
                paid = replace(ref, amount_fen=found.amount_fen)
                return undone_by(await self.refund(whole_refund(paid)), found.amount_fen)
            case Verdict.PENDING:
                built = build_close(ref, self._account, *self._moment())
                return read_close(await self._send(built), self._account, ref.order_no)
        if found.channel_code == TRADE_CLOSED and found.order_no == ref.order_no:
            # closed once paid means refunded in full, by us or by somebody at Alipay
            was_paid = True if found.paid_at_ms else None
            return UndoAnswer(
                verdict=Verdict.SUCCEEDED, was_paid=was_paid, channel_code=TRADE_CLOSED
            )
        if found.not_found:
            return refused
        return UndoAnswer(
            verdict=Verdict.UNKNOWN, channel_code=found.channel_code, answered=_is_heard(found)
        )

    async def refund(self, request: RefundRequest) -> RefundAnswer:
        """``alipay.trade.refund``; where it moved no money, a query tells why."""
        answer = await call_once(
            RefundAnswer,
            lambda: build_refund(request, self._account, *self._moment()),
            self._send,
            lambda heard: read_refund(heard, self._account, request),
        )
        return await self.query_refund(request) if answer.channel_code == NO_CHANGE else answer

    async def query_refund(self, request: RefundRequest) -> RefundAnswer:
        """``alipay.trade.fastpay.refund.query``."""
        try:
            built = build_refund_query(request, self._account, *self._moment())
            return read_refund_query(await self._send(built), self._account, request)
        except Exception as fault:
            return RefundAnswer(verdict=Verdict.UNKNOWN, channel_message=what(fault))

    def read_notice(self, request: InboundRequest) -> Word:
        """What a notification of Alipay's says."""
        return read_notice(request, self._account)

    def taken(self) -> InboundReply:
        """``success``, exactly."""
        return TAKEN

    def not_taken(self) -> InboundReply:
        """Anything else."""
        return NOT_TAKEN


def _is_heard(found: Answer) -> bool:
    """Whether Alipay itself said what a query found, be it of no use here."""
    return found.answered or found.verdict in (Verdict.SUCCEEDED, Verdict.PENDING)
