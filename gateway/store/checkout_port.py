"""Checkouts as the gateway sees them in the store; see ``gateway/store/port.py``."""

from typing import Protocol

from domain.checkout import Checkout
from gateway.store.records import CheckoutMove


class CheckoutStore(Protocol):
    """Made by a claim, moved by their attempts' changes, or alone."""

    async def checkout(self, checkout_id: str) -> Checkout | None:
        """A checkout by the id of its payment."""
        ...

    async def move_checkout(self, move: CheckoutMove) -> bool:
        """Commit a checkout's move; ``False`` when it or its payment moved meanwhile."""
        ...
