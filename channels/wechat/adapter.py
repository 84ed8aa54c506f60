"""WeChat Pay behind the channel port: the wires joined to a ``send``.

Rules: no state of an order; faults as ``channels/one_call.py`` says.

The till's codes go over APIv2 (or over APIv3's codepay, by a setting), a payer's own orders
over APIv3; which of the two a payment was is told by its ``method``. An undo asks first, since
a reversal does not say whether money had been taken: a code is reversed, an order closed while
unpaid and refunded whole once paid (``channels/whole_refund.py``).
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Final

from channels.inbound import InboundReply, InboundRequest, Word
from channels.one_call import call_once, longest_s, what
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
from channels.wechat import notices, v2_refund_wire, v2_wire, v3_refund_wire, v3_wire
from channels.wechat.bill_fetch import BillFetch
from channels.wechat.calls import Calls
from channels.wechat.payer import PayerOrders
from channels.wechat.v2_wire import FACE_METHOD, is_face
from channels.whole_refund import undone_by, whole_refund

PAYER_METHODS: Final = frozenset({"qr", "jsapi", "h5", "app"})


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Ways:
    """Which interfaces an account uses where WeChat Pay has two."""

    codepay: bool
    refunds_by_v2: bool
    bills_by_v2: bool
    oauth_page: str
    oauth_api: str
    app_secret: bytes


class WechatChannel(PayerOrders, BillFetch):
    """One account at WeChat Pay."""

    def __init__(self, calls: Calls, ways: Ways, schedule: PollSchedule) -> None:
        PayerOrders.__init__(self, calls, ways.oauth_page, ways.oauth_api, ways.app_secret)
        BillFetch.__init__(self, calls, by_v2=ways.bills_by_v2)
        self._calls = calls
        self._account = calls.account
        self._keys = calls.keys
        self._ways = ways
        self._schedule = schedule

    @property
    def schedule(self) -> PollSchedule:
        """How to poll and undo."""
        return self._schedule

    @property
    def timeout_s(self) -> float:
        """An undo asks before it acts, a refund after; more calls share this time."""
        return longest_s(self._account.timeout_s)

    def new_order_no(self) -> str:
        """32 letters."""
        return self._calls.services.ids.new()

    def new_refund_no(self) -> str:
        """32 letters."""
        return self._calls.services.ids.new()

    def health(self) -> ChannelHealth:
        """Ready, unless answers of APIv3 cannot be verified at all yet; tells failed fetches."""
        trouble = self._calls.trouble
        if self._keys.known or not self._ways.codepay:
            return ChannelHealth(ready=True, detail=trouble)
        return ChannelHealth(ready=False, detail=trouble or "no platform certificate yet")

    async def start(self) -> None:
        """Begin to keep the platform certificates fresh; returns at once."""
        self._calls.start()

    async def close(self) -> None:
        """Stop that; the HTTP client is shared."""
        await self._calls.close()

    def pay(self, request: PayRequest) -> Coroutine[None, None, Answer]:
        """Micropay, facepay or codepay, once."""
        calls, account, keys = self._calls, self._account, self._keys
        if self._ways.codepay and not is_face(request.auth_code):
            return call_once(
                Answer,
                lambda: v3_wire.build_codepay(request, account, keys, calls.stamped()),
                calls.send_v3,
                lambda heard: v3_wire.read_codepay(
                    heard, account, keys, request.order_no, calls.now_ms()
                ),
            )
        return call_once(
            Answer,
            lambda: v2_wire.build_pay(request, account, calls.stamped().nonce),
            calls.send,
            lambda heard: v2_wire.read_pay(heard, account, request.order_no),
        )

    async def query(self, ref: PaymentRef) -> Answer:
        """By our number (by WeChat Pay's without it), over the version it was made with."""
        try:
            return await self._query(ref)
        except Exception as fault:
            return Answer(verdict=Verdict.UNKNOWN, channel_message=what(fault))

    async def _query(self, ref: PaymentRef) -> Answer:
        stamped = self._calls.stamped()
        if not self._is_by_v3(ref):
            built = v2_wire.build_query(ref, self._account, stamped.nonce)
            answer = await self._calls.send(built)
            return v2_wire.read_query(answer, self._account, ref.order_no, ref.trade_no)
        built = v3_wire.build_query(ref, self._account, self._keys, stamped)
        answer = await self._calls.send_v3(built)
        now_ms = self._calls.now_ms()
        return v3_wire.read_query(
            answer, self._account, self._keys, ref.order_no, now_ms, ref.trade_no
        )

    async def cancel(self, ref: PaymentRef) -> UndoAnswer:
        """Ask, then reverse, close or refund; cut short, it goes on at the next call."""
        try:
            async with asyncio.timeout(self.timeout_s):
                found = await self.query(ref)
                match found.channel_code if found.order_no == ref.order_no else "":
                    case "CLOSED" as state:
                        return _undone(state, was_paid=False)
                    case "REVOKED" as state:
                        return _undone(state, was_paid=None)
                    case "REFUND":  # by an earlier try of this undo, or by somebody else
                        return await self._refund_whole(ref, found)
                if ref.method in PAYER_METHODS:
                    return await self._end_order(ref, found)
                return await self._reverse(ref, found)
        except Exception as fault:
            return UndoAnswer(verdict=Verdict.UNKNOWN, channel_message=what(fault))

    async def _reverse(self, ref: PaymentRef, found: Answer) -> UndoAnswer:
        """A code's reversal; what was seen paid before it went back, whoever saw it."""
        stamped = self._calls.stamped()
        if self._is_by_v3(ref):
            built = v3_wire.build_reverse(ref, self._account, self._keys, stamped)
            answer = v3_wire.read_reverse(
                await self._calls.send_v3(built),
                self._account,
                self._keys,
                ref.order_no,
                self._calls.now_ms(),
            )
        else:
            built = v2_wire.build_reverse(ref, self._account, stamped.nonce)
            answer = v2_wire.read_reverse(
                await self._calls.send(built), self._account, ref.order_no
            )
        if found.verdict is not Verdict.SUCCEEDED:
            return answer
        if answer.verdict is Verdict.SUCCEEDED:
            return replace(answer, was_paid=True)
        if answer.verdict is Verdict.DECLINED:  # too old to be reversed
            return await self._refund_whole(ref, found)
        return answer

    async def _end_order(self, ref: PaymentRef, found: Answer) -> UndoAnswer:
        """A payer's order: refunded once it is paid, else closed so that nobody can pay it."""
        if found.verdict is Verdict.SUCCEEDED:
            return await self._refund_whole(ref, found)
        stamped = self._calls.stamped()
        built = v3_wire.build_close(ref, self._account, self._keys, stamped)
        answer = v3_wire.read_close(
            await self._calls.send_v3(built), self._keys, self._calls.now_ms()
        )
        if answer.channel_code == v3_wire.NO_SUCH_ORDER and found.not_found:
            # it was never made, so nobody was ever shown what to pay it with
            return _undone(answer.channel_code, was_paid=False)
        return answer

    async def _refund_whole(self, ref: PaymentRef, found: Answer) -> UndoAnswer:
        paid = replace(ref, amount_fen=found.amount_fen or ref.amount_fen)
        return undone_by(await self.refund(whole_refund(paid)), paid.amount_fen)

    async def refund(self, request: RefundRequest) -> RefundAnswer:
        """Send a refund; a refusal is believed once WeChat Pay knows no such refund."""
        answer = await self._refund(request)
        if answer.verdict is not Verdict.DECLINED or answer.refund_no:
            return answer
        found = await self.query_refund(request)
        return answer if found.not_found else found

    def _refund(self, request: RefundRequest) -> Coroutine[None, None, RefundAnswer]:
        calls, account, keys = self._calls, self._account, self._keys
        if self._ways.refunds_by_v2:
            return call_once(
                RefundAnswer,
                lambda: v2_refund_wire.build_refund(
                    request, account, calls.stamped().nonce, account.notify_url
                ),
                calls.send,
                lambda heard: v2_refund_wire.read_refund(heard, account, request),
            )
        return call_once(
            RefundAnswer,
            lambda: v3_refund_wire.build_refund(
                request, account, keys, calls.stamped(), account.notify_url
            ),
            calls.send_v3,
            lambda heard: v3_refund_wire.read_refund(heard, keys, request, calls.now_ms()),
        )

    async def query_refund(self, request: RefundRequest) -> RefundAnswer:
        """By our refund's number."""
        stamped = self._calls.stamped()
        try:
            if self._ways.refunds_by_v2:
                built = v2_refund_wire.build_refund_query(request, self._account, stamped.nonce)
                heard = await self._calls.send(built)
                return v2_refund_wire.read_refund_query(heard, self._account, request)
            built = v3_refund_wire.build_refund_query(request, self._account, self._keys, stamped)
            heard = await self._calls.send_v3(built)
            return v3_refund_wire.read_refund_query(
                heard, self._keys, request, self._calls.now_ms()
            )
        except Exception as fault:
            return RefundAnswer(verdict=Verdict.UNKNOWN, channel_message=what(fault))

    def read_notice(self, request: InboundRequest) -> Word:
        """A notification of a payment or a refund; an unknown serial asks for certificates."""
        try:
            return notices.read_notice(request, self._account, self._keys, self._calls.now_ms())
        except notices.UnknownSerial:
            self._calls.want_certificates()
            raise

    def taken(self) -> InboundReply:
        """What says: it is booked."""
        return notices.taken(v2_too=bool(self._account.api_v2_key))

    def not_taken(self) -> InboundReply:
        """What says: not now."""
        return notices.not_taken()

    def _is_by_v3(self, ref: PaymentRef) -> bool:
        if ref.method in PAYER_METHODS:
            return True
        return self._ways.codepay and ref.method != FACE_METHOD


def _undone(code: str, *, was_paid: bool | None) -> UndoAnswer:
    return UndoAnswer(
        verdict=Verdict.SUCCEEDED, was_paid=was_paid, channel_code=code, answered=True
    )
