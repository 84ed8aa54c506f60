"""UnionPay's ACP behind the channel port: the wire joined to a ``send``.

Rules:

* No state of an order; faults as ``channels/one_call.py`` says.
* A sale, a void and a refund are accepted at once and done later: ``PENDING`` until a
  query, on the schedule, says what became of them.
* Within its clearing day (23:00 to 23:00) a payment is undone by a reversal under its
  own number, whatever its state. Later UnionPay takes none: what was paid is refunded
  whole, under one number per payment; and a payment can be returned whole only once, so
  even a repeat under a later time moves nothing.
* "Nothing to reverse" ends an undo only if the query knows no such order either, and
  nothing of it can still be on its way.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from datetime import date
from pathlib import Path

from channels.bills import FetchedBill
from channels.card import CardAction
from channels.inbound import InboundReply, InboundRequest, Word
from channels.one_call import QUEUEING_S, call_once, longest_s, what
from channels.payer_orders import OrderAnswer, OrderRequest, PayerAnswer
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
from channels.unionpay import qr_bills, qr_notices
from channels.unionpay.qr_codes import REVERSED_BEFORE, UNDONE_BEFORE
from channels.unionpay.qr_envelope import AcpAccount
from channels.unionpay.qr_numbers import undo_number
from channels.unionpay.qr_orders_wire import (
    authorise_url,
    build_code,
    build_page_order,
    build_who_pays,
    read_code,
    read_page_order,
    read_who_pays,
)
from channels.unionpay.qr_refund_wire import (
    build_refund,
    read_refund,
    read_refund_query,
    whole_of,
)
from channels.unionpay.qr_times import is_same_clearing_day
from channels.unionpay.qr_wire import (
    NOTHING_FOUND,
    PAYMENTS,
    build_pay,
    build_query,
    build_reversal,
    read_pay,
    read_query,
    read_reversal,
)


class UnionPayQrChannel:
    """One merchant at UnionPay's ACP."""

    def __init__(
        self, account: AcpAccount, schedule: PollSchedule, services: ChannelServices
    ) -> None:
        self._account = account
        self._schedule = schedule
        self._send = services.send
        self._download = services.download
        self._now_ms = services.clock.now_ms
        self._new_number = services.ids.new

    @property
    def schedule(self) -> PollSchedule:
        """How to poll and undo."""
        return self._schedule

    @property
    def timeout_s(self) -> float:
        """An undo may take a query after it; more calls share this time."""
        return longest_s(self._account.timeout_s)

    def new_order_no(self) -> str:
        """32 letters."""
        return self._new_number()

    def new_refund_no(self) -> str:
        """32 letters."""
        return self._new_number()

    def takes(self, action: CardAction) -> bool:
        """Sales, holds and completions."""
        return action in PAYMENTS

    def health(self) -> ChannelHealth:
        """Always ready: there is no connection to keep, and each call tells."""
        return ChannelHealth(ready=True)

    async def start(self) -> None:
        """Nothing to open: the HTTP client is shared."""

    async def close(self) -> None:
        """Nothing to close."""

    def pay(self, request: PayRequest) -> Coroutine[None, None, Answer]:
        """A scanned code, once; at best it is accepted."""
        return call_once(
            Answer,
            lambda: build_pay(request, self._account),
            self._send,
            lambda heard: read_pay(heard, self._account, request, self._now_ms()),
        )

    async def query(self, ref: PaymentRef) -> Answer:
        """00/00."""
        try:
            built = build_query(ref.order_no, ref.created_at_ms, self._account)
            return read_query(await self._send(built), self._account, ref, self._now_ms())
        except Exception as fault:
            return Answer(verdict=Verdict.UNKNOWN, channel_message=what(fault))

    async def cancel(self, ref: PaymentRef) -> UndoAnswer:
        """A reversal, or once its day is over a refund of the whole; cut short, it goes on."""
        try:
            async with asyncio.timeout(self.timeout_s):
                if is_same_clearing_day(ref.created_at_ms, self._now_ms()):
                    return await self._reverse(ref)
                return await self._undo_later(ref)
        except Exception as fault:
            return UndoAnswer(verdict=Verdict.UNKNOWN, channel_message=what(fault))

    async def _reverse(self, ref: PaymentRef) -> UndoAnswer:
        built = build_reversal(ref, self._account)
        answer = read_reversal(await self._send(built), self._account, ref, self._now_ms())
        if answer.verdict is Verdict.SUCCEEDED or answer.channel_code not in NOTHING_FOUND:
            return answer
        found = await self.query(ref)
        if found.not_found and not self._may_be_on_its_way(ref):
            return UndoAnswer(
                verdict=Verdict.SUCCEEDED, was_paid=False, channel_code=found.channel_code
            )
        return _ended_by_itself(found) or answer

    async def _undo_later(self, ref: PaymentRef) -> UndoAnswer:
        """There is no reversal any more: what was paid goes back by a refund."""
        found = await self.query(ref)
        if found.verdict is not Verdict.SUCCEEDED or not found.amount_fen:
            return _ended_by_itself(found) or UndoAnswer(
                verdict=Verdict.UNKNOWN,
                channel_code=found.channel_code,
                channel_message="its clearing day is over, and no result is known",
                answered=found.answered,
            )
        paid = replace(ref, amount_fen=found.amount_fen, trade_no=found.trade_no)
        request = whole_of(paid, undo_number(ref.order_no), self._now_ms())
        refund = await self.refund(request)
        if refund.verdict is Verdict.PENDING:
            refund = await self.query_refund(request)
        is_back = refund.verdict is Verdict.SUCCEEDED and refund.amount_fen == found.amount_fen
        if is_back or refund.channel_code == UNDONE_BEFORE:
            return UndoAnswer(
                verdict=Verdict.SUCCEEDED, was_paid=True, channel_code=refund.channel_code
            )
        return UndoAnswer(
            verdict=Verdict.UNKNOWN,
            channel_code=refund.channel_code,
            channel_message=refund.channel_message,
            answered=refund.answered,
        )

    def _may_be_on_its_way(self, ref: PaymentRef) -> bool:
        age_s = (self._now_ms() - ref.created_at_ms) / 1000
        return age_s < self._account.timeout_s + QUEUEING_S

    async def refund(self, request: RefundRequest) -> RefundAnswer:
        """A void or a refund under its own number; at best it is accepted."""
        return await call_once(
            RefundAnswer,
            lambda: build_refund(request, self._account),
            self._send,
            lambda heard: read_refund(heard, self._account, request, self._now_ms()),
        )

    async def query_refund(self, request: RefundRequest) -> RefundAnswer:
        """00/00 about the return itself."""
        try:
            built = build_query(request.refund_no, request.created_at_ms, self._account)
            return read_refund_query(
                await self._send(built), self._account, request, self._now_ms()
            )
        except Exception as fault:
            return RefundAnswer(verdict=Verdict.UNKNOWN, channel_message=what(fault))

    async def create_code(self, request: OrderRequest) -> OrderAnswer:
        """01/07: a code that the payer scans."""
        return await call_once(
            OrderAnswer,
            lambda: build_code(request, self._account),
            self._send,
            lambda heard: read_code(heard, self._account, request, self._now_ms()),
        )

    def authorise_url(self, return_url: str, state: str) -> str:
        """Where UnionPay's wallet is sent to say who pays."""
        return authorise_url(self._account, return_url, state)

    async def payer_of(self, code: str, mark: str = "") -> PayerAnswer:
        """00/10: the payer behind a ``userAuthCode``, once; ``mark``: which bank's app it is."""
        number, asked_ms, account = self._new_number(), self._now_ms(), self._account
        try:
            built = build_who_pays(code, number, account, asked_ms, mark)
            response = await self._send(built)
            return read_who_pays(response, account, number, asked_ms, self._now_ms())
        except Exception as fault:
            return PayerAnswer(verdict=Verdict.UNKNOWN, channel_message=what(fault))

    async def create_page_order(self, request: OrderRequest) -> OrderAnswer:
        """01/01: the page where this payer pays."""
        return await call_once(
            OrderAnswer,
            lambda: build_page_order(request, self._account),
            self._send,
            lambda heard: read_page_order(heard, self._account, request, self._now_ms()),
        )

    def read_notice(self, request: InboundRequest) -> Word:
        """A notification, verified; every one is asked about before it is believed."""
        return qr_notices.read_notice(request, self._account, self._now_ms())

    def taken(self) -> InboundReply:
        """200."""
        return qr_notices.TAKEN

    def not_taken(self) -> InboundReply:
        """500: UnionPay sends it again."""
        return qr_notices.NOT_TAKEN

    @property
    def bill_kinds(self) -> tuple[str, ...]:
        """The day's file of our merchant."""
        return (qr_bills.KIND,)

    def bill_due_ms(self, day: date) -> int:
        """From the morning after."""
        return qr_bills.due_ms(day)

    async def fetch_bill(self, kind: str, day: date, folder: Path) -> FetchedBill:
        """76/01; raises as ``channels.bills.Bills`` says."""
        fetch = qr_bills.BillFetch(self._account, self._download, self._now_ms)
        return await fetch.fetch(kind, day, folder)


def _ended_by_itself(found: Answer) -> UndoAnswer | None:
    """What a query says that needs no undo: refused, undone before; ``None`` otherwise."""
    code = found.channel_code
    if found.verdict is Verdict.DECLINED:
        return UndoAnswer(verdict=Verdict.SUCCEEDED, was_paid=False, channel_code=code)
    if found.answered and code in (UNDONE_BEFORE, REVERSED_BEFORE):
        was_paid = True if code == UNDONE_BEFORE else None
        return UndoAnswer(verdict=Verdict.SUCCEEDED, was_paid=was_paid, channel_code=code)
    return None
