"""Checkouts as the gateway sees them in the store; see ``gateway/store/port.py``."""

from typing import Protocol

from domain.checkout import Checkout
from domain.payment import Payment
from gateway.store.records import CheckoutMove


class CheckoutStore(Protocol):
    """Made by a claim, moved by their attempts' changes, or alone."""

    async def checkout(self, checkout_id: str) -> Checkout | None:
        """A checkout by the id of its payment."""
        ...

    async def checkout_with_payments(
        self, checkout_id: str
    ) -> tuple[Checkout, Payment, Payment | None] | None:
        """A checkout, its payment and its current attempt, as they stood at one moment.

        By the id of its payment; ``None``: no such checkout.
        """
        ...

    async def move_checkout(self, move: CheckoutMove) -> bool:
        """Commit a checkout's move; ``False`` when it or its payment moved meanwhile."""
        ...
