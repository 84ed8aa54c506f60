"""What a merchant is told about a payment or a refund, written with what it tells.

Rules: pure but for the event's id, which is handed in; the body is rendered once, at
the transition, and every attempt sends these very bytes; ``sequence`` is dense per
payment, its refunds included, so that a merchant sees a gap. What happens to the money of a
checkout's attempt is told of the checkout.
"""

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import orjson

from domain.checkout import shown_id
from domain.clock import iso_utc
from domain.ids import IdSource
from domain.payment import Payment
from domain.refund import Refund
from gateway.store.port import Notice

RenderPayment = Callable[[Payment], Mapping[str, object]]
"""A payment as the API shows it."""
RenderRefund = Callable[[Refund], Mapping[str, object]]
"""A refund as the API shows it."""


class NoticeWriter:
    """Makes the notices that transitions carry into the store."""

    def __init__(
        self,
        *,
        ids: IdSource,
        render_payment: RenderPayment,
        render_refund: RenderRefund,
        committed: Callable[[], None] = lambda: None,
    ) -> None:
        """``committed`` is called by whoever made a notice durable: it need not wait."""
        self._ids = ids
        self._render_payment = render_payment
        self._render_refund = render_refund
        self.committed = committed

    def of_payment(self, payment: Payment, type_: str, at_ms: int) -> Notice:
        """The notice of a payment that has just come to where it stands."""
        return self._notice(payment, type_, at_ms, "payment", self._render_payment(payment))

    def of_refund(self, payment: Payment, refund: Refund, type_: str, at_ms: int) -> Notice:
        """The notice of a refund that has just ended; ``payment`` as it stands after it."""
        return self._notice(payment, type_, at_ms, "refund", self._render_refund(refund))

    def _notice(
        self, payment: Payment, type_: str, at_ms: int, what: str, shown: Mapping[str, object]
    ) -> Notice:
        order, sequence = payment.order, payment.standing.notices
        event_id = self._ids.new("evt_")
        body = {
            "event_id": event_id,
            "type": type_,
            "sequence": sequence,
            "created_at": iso_utc(at_ms),
            what: shown,
        }
        return Notice(
            event_id=event_id,
            merchant_no=order.merchant_no,
            payment_id=shown_id(order.id),
            sequence=sequence,
            type=type_,
            url=order.notify_url,
            endpoint=endpoint(order.merchant_no, order.notify_url),
            body=orjson.dumps(body),
            created_at_ms=at_ms,
        )


def endpoint(merchant_no: str, url: str) -> str:
    """The lane of a URL: one merchant at one host; what is no URL waits in a lane of its own."""
    try:
        host = urlsplit(url).netloc.lower()
    except ValueError:
        host = ""
    return f"{merchant_no}:{host or '-'}"
