"""The calls that follow: the events of a payment, and those of a store.

Rules: who may read the payment may follow it; a store is whatever the merchant's own payments
name so, and nobody hears of another merchant's. A stream goes on after ``Last-Event-ID`` (or
``after``): of a payment that is its ``version``, of a store a number that only this
installation understands. Where streams do not pass, a store is asked for what came after a number,
and the answer waits for it (``wait_s``; 0: not at all).
"""

from typing import Final

import orjson

from domain.errors import NotFound
from gateway.events.feed import FROM_NOW, Feed
from gateway.http.bodies import MAX_STORE_ID, MAX_WAIT_S, query_number, whole_number
from gateway.http.call import Call, Result, Routes
from gateway.payments import Payments

_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}
_NO_POLL: Final = -1


class EventCalls:
    """What a merchant may follow."""

    def __init__(self, *, payments: Payments, feed: Feed) -> None:
        self._payments = payments
        self._feed = feed

    def routes(self) -> Routes:
        """Every call by path and method."""
        return {
            "/v1/payments/{id}/events": {"GET": ("payment_events", self._of_payment)},
            "/v1/stores/{id}/events": {"GET": ("store_events", self._of_store)},
        }

    async def _of_payment(self, call: Call) -> Result:
        after = _after(call)
        payment = await self._payments.find(call.merchant_no, call.identity)
        follower = self._feed.follow_payment(call.merchant_no, payment.order.id, after)
        return Result(b"", payment=payment, headers=_HEADERS, stream=follower)

    async def _of_store(self, call: Call) -> Result:
        if len(call.identity) > MAX_STORE_ID or not call.identity.isprintable():
            raise NotFound("store_not_found", "no such store")
        wait_s = query_number(call.query, "wait_s", _NO_POLL, MAX_WAIT_S)
        if wait_s != _NO_POLL:
            return await self._awaited(call, wait_s)
        follower = self._feed.follow_store(call.merchant_no, call.identity, _after(call))
        return Result(b"", headers=_HEADERS, stream=follower)

    async def _awaited(self, call: Call, wait_s: int) -> Result:
        """What a long poll of a store hears."""
        after = _after(call)
        heard, place = await self._feed.newer_of_store(
            call.merchant_no, call.identity, after=after, wait_s=wait_s
        )
        events = [
            {
                "id": message.number,
                "event": f"payment.{message.told.status}",
                "payment": orjson.Fragment(message.told.body),
            }
            for message in heard
            if message.told is not None
        ]
        last = None if place == FROM_NOW else place
        return Result(orjson.dumps({"events": events, "last_event_id": last}))


def _after(call: Call) -> int:
    """Where the caller's stream goes on: the header of a reconnect first, then the query."""
    if call.last_event_id:
        return whole_number(call.last_event_id, "Last-Event-ID")
    return query_number(call.query, "after", FROM_NOW)
