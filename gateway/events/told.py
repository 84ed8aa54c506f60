"""What a follower is told of a payment: how it stands now, in the API's own words.

Rules: a message is the payment as it stands when the message is made, never a step on the
way, so that the last one heard is always true and nothing needs to be put together. Who
missed some has missed nothing once the newest has come.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import orjson

from domain.payment import Payment, Status
from gateway.live import is_over
from gateway.notices import RenderPayment
from gateway.store.port import EventStore, PaymentStore

Seen = Callable[[Payment], Awaitable[Payment]]
"""A payment as its merchant sees it."""


@dataclass(frozen=True, slots=True)
class Told:
    """A payment as it stands; ``status`` is the word that ``body`` has."""

    payment: Payment
    status: str
    body: bytes

    @property
    def version(self) -> int:
        """Which of the payment's states this is."""
        return self.payment.standing.version

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens by itself."""
        return is_over(self.payment)

    def __repr__(self) -> str:
        return f"Told({self.payment.order.id!r}, {self.version}, {self.status})"


class Followed(Protocol):
    """The payments that somebody follows."""

    async def versions(self, payment_ids: Sequence[str]) -> Mapping[str, int]:
        """Where they stand."""
        ...

    async def told(self, payment_ids: Sequence[str]) -> Mapping[str, Told]:
        """What is to be said of them."""
        ...


class _Reads(EventStore, PaymentStore, Protocol):
    """What is needed of the store."""


class FollowedPayments:
    """Payments of the store, as their merchants see them."""

    def __init__(self, store: _Reads, *, seen: Seen, render: RenderPayment) -> None:
        self._store = store
        self._seen = seen
        self._render = render

    async def versions(self, payment_ids: Sequence[str]) -> Mapping[str, int]:
        """Where they stand."""
        return await self._store.payment_versions(payment_ids)

    async def told(self, payment_ids: Sequence[str]) -> Mapping[str, Told]:
        """What is to be said of them."""
        found: dict[str, Told] = {}
        for payment in await self._store.payments(payment_ids):
            found[payment.order.id] = self._told(await self._seen(payment))
        return found

    def _told(self, payment: Payment) -> Told:
        standing = payment.standing
        status = Status.UNKNOWN if standing.parked_reason else standing.status
        return Told(payment, status.value, orjson.dumps(self._render(payment)))


async def as_it_is(payment: Payment) -> Payment:
    """A payment that its merchant sees as the store has it."""
    return payment
