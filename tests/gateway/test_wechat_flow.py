"""The in-store flow of WeChat Pay through the gateway: asked, reversed, and told in time.

The reference's seconds made short: a query every 50 ms, no reversal before 1.5 s, a till that
waits 400 ms.
"""

import asyncio
import random
from typing import Any

import pytest

from channels.inbound import InboundRequest
from channels.port import AnswerLost, HttpResponse
from domain.decline import DeclineReason
from domain.payment import Payment, Status
from gateway.inbound import Inbound, InboundBounds
from gateway.store.port import Store
from tests.channels.test_wechat_notices import envelope
from tests.channels.wechat_rigs import (
    WechatRig,
    v2_answer,
    v2_paid,
    v2_refused,
    v3_paid,
    v3_stamp,
)
from tests.gateway.fakes import House

UNDO_S, TILL_S = 1.5, 0.4


class Peer:
    """A WeChat Pay whose payer does what a test says, and that notes when it is asked."""

    def __init__(self, store: Store) -> None:
        self.rig = WechatRig(
            query_after_s=",".join(["0.05"] * 9),
            undo_not_before_s=str(UNDO_S),
            undo_retry_s="0.03",
        )
        channel: Any = self.rig.channel
        self.house = House(store, channel, till_wait_s=TILL_S)
        self.pay = v2_refused("USERPAYING")
        self.state = "USERPAYING"
        self.reversals: list[bytes | None] = []
        self.asked_s: dict[str, list[float]] = {}
        self.rig.respond = self._respond

    def _respond(self, path: str, fields: Any) -> HttpResponse:
        call = path.rsplit("/", 1)[-1]
        self.asked_s.setdefault(call, []).append(self.house.clock.now_ms() / 1000)
        body: bytes | None = self.pay
        if call == "orderquery":
            number = fields["out_trade_no"]
            told = v2_answer({"out_trade_no": number, "trade_state": self.state})
            body = v2_paid(number, trade_state="SUCCESS") if self.state == "SUCCESS" else told
        elif call == "reverse":
            body = self.reversals.pop(0) if len(self.reversals) > 1 else self.reversals[0]
            if body is not None and b"<recall><![CDATA[N]]" in body:
                self.state = "REVOKED"
        if body is None:
            raise AnswerLost("timed out")
        return HttpResponse(200, {}, body)

    async def ended(self, payment: Payment, *statuses: str) -> Payment:
        worker = asyncio.create_task(self.house.recovery().run())
        try:
            return await self.house.until(payment, *statuses)
        finally:
            worker.cancel()


@pytest.fixture
def peer(store: Store) -> Peer:
    return Peer(store)


@pytest.mark.parametrize("first", ["USERPAYING", "SYSTEMERROR", "BANKERROR"])
async def test_a_payer_who_enters_the_password_in_time(peer: Peer, first: str) -> None:
    peer.pay = v2_refused(first)
    live = await peer.house.begun()
    running = asyncio.create_task(peer.house.payments.run(live))
    await asyncio.sleep(0.12)
    peer.state = "SUCCESS"
    payment = await peer.house.until(live.payment, "succeeded")
    await running
    assert payment.standing.captured_fen == 1990
    assert "reverse" not in peer.asked_s


@pytest.mark.parametrize("first", ["USERPAYING", "SYSTEMERROR", "BANKERROR"])
async def test_one_who_does_not_is_reversed_and_the_till_told_before(
    peer: Peer, first: str
) -> None:
    """Asked every 5 s, told at ``till_wait_s``, reversed from 15 s on until recall=N."""
    peer.pay = v2_refused(first)
    peer.reversals = [
        v2_refused("USERPAYING", recall="Y"),
        None,
        v2_answer({"recall": "Y"}),
        v2_answer({"recall": "N"}),
    ]
    live = await peer.house.begun()
    begun_s = live.payment.order.created_at_ms / 1000
    running = asyncio.create_task(peer.house.payments.run(live))
    told = await peer.house.until(live.payment, "reversing")
    told_s = peer.house.clock.now_ms() / 1000 - begun_s
    assert TILL_S - 0.05 <= told_s < UNDO_S
    assert told.standing.decline is not None
    assert told.standing.decline.reason is DeclineReason.NOT_PAID_IN_TIME
    payment = await peer.ended(live.payment, "closed")
    await running
    assert payment.standing.status is Status.CLOSED
    asked = [at - begun_s for at in peer.asked_s["orderquery"] if at - begun_s < told_s]
    assert len(asked) >= 2
    reversed_s = [at - begun_s for at in peer.asked_s["reverse"]]
    assert reversed_s[0] >= UNDO_S
    assert len(reversed_s) == 4
    assert len(peer.asked_s["micropay"]) == 1
    assert await peer.house.held(payment) == 0


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_the_fifteen_seconds_begin_with_the_pay_request(
    peer: Peer, is_cancelled: bool
) -> None:
    """Not with the order: a slow store may have stood between the two."""
    peer.reversals = [v2_answer({"recall": "N"})]
    live = await peer.house.begun()
    await asyncio.sleep(0.2)
    running = asyncio.create_task(peer.house.payments.run(live))
    if is_cancelled:
        await peer.house.payments.cancel(await peer.house.until(live.payment, "pending"))
    await peer.house.until(live.payment, "closed")
    await running
    (sent_s,) = peer.asked_s["micropay"]
    assert min(peer.asked_s["reverse"]) - sent_s >= UNDO_S


async def test_one_who_pays_while_it_is_undone_gets_the_money_back(peer: Peer) -> None:
    """Hole 11, and the late success: seen paid, so the end is "reversed", not "closed"."""
    peer.reversals = [v2_refused("USERPAYING", recall="Y"), v2_answer({"recall": "N"})]
    live = await peer.house.begun()
    running = asyncio.create_task(peer.house.payments.run(live))
    await peer.house.until(live.payment, "reversing")
    peer.state = "SUCCESS"
    payment = await peer.ended(live.payment, "reversed")
    await running
    assert (payment.standing.captured_fen, payment.standing.returned_fen) == (1990, 1990)
    assert await peer.house.held(payment) == 0


async def test_a_payment_that_the_bank_refused_is_reversed_without_more_asking(
    peer: Peer,
) -> None:
    """PAYERROR: the vendor wants a reversal; asking again would change nothing."""
    peer.state = "PAYERROR"
    peer.reversals = [v2_answer({"recall": "N"})]
    live = await peer.house.begun()
    running = asyncio.create_task(peer.house.payments.run(live))
    await peer.house.until(live.payment, "reversing")
    assert len(peer.asked_s["orderquery"]) == 1
    await peer.ended(live.payment, "closed")
    await running


async def test_a_refusal_ends_it_at_once_with_a_text_for_the_cashier(peer: Peer) -> None:
    peer.pay = v2_refused("AUTHCODEEXPIRE")
    payment = await peer.house.paid()
    assert payment.standing.status is Status.FAILED
    assert payment.standing.decline is not None
    assert payment.standing.decline.channel_code == "AUTHCODEEXPIRE"
    assert list(peer.asked_s) == ["micropay"]


class Door:
    """Where notifications come in, before the same house."""

    def __init__(self, peer: Peer, *, within_s: float = 2) -> None:
        house = peer.house
        self.inbound = Inbound(
            store=house.store,
            routes=house.routes,
            settlement=house.settlement,
            refund_settlement=house.refund_settlement,
            tell=house.payments.tell_first,
            clock=house.clock,
            metrics=house.metrics,
            log=house.log,
            bounds=InboundBounds(answer_within_s=within_s, max_in_flight=100),
        )

    async def hears(self, body: bytes, headers: dict[str, str] | None = None) -> int:
        request = InboundRequest(
            method="POST",
            headers=v3_stamp(body) if headers is None else headers,
            body=body,
        )
        reply = await self.inbound.receive("alipay", "a1", request)
        assert reply is not None
        return reply.status


async def unanswered(peer: Peer) -> Payment:
    """A payment whose answer was lost, with nobody working on it."""
    peer.state, peer.pay = "NOTPAY", v2_refused("SYSTEMERROR")
    live = await peer.house.begun()
    answer = await peer.rig.channel.pay(peer.rig.request(live.payment.order.channel_order_no))
    await peer.house.settlement.apply_answer(live, answer, peer.rig.channel)
    return await peer.house.now(live.payment)


async def test_notices_replayed_and_reordered_are_booked_once(peer: Peer) -> None:
    """Holes 2 and 3: a hundred deliveries in any order, forgeries between them, one effect."""
    payment = await unanswered(peer)
    number, door = payment.order.channel_order_no, Door(peer)
    good = envelope(v3_paid(number))
    late = envelope(v3_paid(number, trade_state="NOTPAY"))
    deliveries = [(good, None)] * 60 + [(late, None)] * 20 + [(good, v3_stamp(b"x"))] * 20
    random.Random(7).shuffle(deliveries)
    for body, headers in deliveries:
        assert await door.hears(body, headers) == (200 if headers is None else 401)
    payment = await peer.house.now(payment)
    assert payment.standing.status is Status.SUCCEEDED
    assert await peer.house.held(payment) == 1990


async def test_a_notice_is_answered_in_time_whatever_the_store_does(peer: Peer) -> None:
    """WeChat Pay waits five seconds: told "not now" before, it comes again and is booked."""
    payment = await unanswered(peer)
    body, door = envelope(v3_paid(payment.order.channel_order_no)), Door(peer, within_s=0.05)
    gate = asyncio.Event()

    async def hang(_: Any) -> None:
        await gate.wait()

    peer.house.flaky.before["advance"] = hang
    async with asyncio.timeout(2):
        assert await door.hears(body) == 503
    gate.set()
    await peer.house.until(payment, "succeeded")
    assert await door.hears(body) == 200
    assert await peer.house.held(payment) == 1990


@pytest.mark.parametrize(
    "change",
    [{"amount": {"total": 1, "currency": "CNY"}}, {"amount": {"total": 1990, "currency": "USD"}}],
)
async def test_a_genuine_notice_of_another_amount_is_parked(
    peer: Peer, change: dict[str, object]
) -> None:
    """Never paid, never dropped: a person looks."""
    payment = await unanswered(peer)
    await Door(peer).hears(envelope(v3_paid(payment.order.channel_order_no, **change)))
    payment = await peer.house.now(payment)
    assert payment.standing.status is Status.UNKNOWN
    assert payment.standing.parked_reason
    assert await peer.house.held(payment) == 0
