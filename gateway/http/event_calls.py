"""The calls that follow: the events of a payment, and those of a store.

Rules: who may read the payment may follow it; a store is whatever the merchant's own payments
name so, and nobody hears of another merchant's. A stream goes on after ``Last-Event-ID`` (or
``after``): of a payment that is its ``version``, of a store a number that only this
installation understands.
"""

from typing import Final

from domain.errors import NotFound
from gateway.events.feed import FROM_NOW, Feed
from gateway.http.bodies import MAX_STORE_ID, query_number, whole_number
from gateway.http.call import Call, Result, Routes
from gateway.payments import Payments

_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}


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
        follower = self._feed.follow_store(call.merchant_no, call.identity, _after(call))
        return Result(b"", headers=_HEADERS, stream=follower)


def _after(call: Call) -> int:
    """Where the caller's stream goes on: the header of a reconnect first, then the query."""
    if call.last_event_id:
        return whole_number(call.last_event_id, "Last-Event-ID")
    return query_number(call.query, "after", FROM_NOW)
