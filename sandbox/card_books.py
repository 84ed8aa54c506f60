"""The simulated card host's own orders.

Rules: an order is link terminal + batch (60.2) + trace (F11), 20 characters; it is
charged at most once and returned at most once; a reversal that arrives before its
sale is remembered and refuses the sale. Amounts are fen.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

Fingerprint = tuple[str, ...]
"""The fields that tell a repeat of a sale from another sale under the same trace."""


class BooksFull(Exception):
    """The bound is reached: the host cannot take another order now."""


@dataclass(slots=True)
class CardOrder:
    """One sale and what the host answered; ``silent`` never answers, not even a repeat."""

    order_no: str
    fingerprint: Fingerprint = field(repr=False)
    amount_fen: int
    response_code: str
    reference: str
    auth_code: str
    charged_fen: int = 0
    returned_fen: int = 0
    silent: bool = False


class CardBooks:
    """Every order and every number refused for ever, at most ``max_orders`` of both."""

    def __init__(self, max_orders: int) -> None:
        self._max_orders = max_orders
        self._orders: dict[str, CardOrder] = {}
        self._refused: set[str] = set()

    def __iter__(self) -> Iterator[CardOrder]:
        return iter(self._orders.values())

    def find(self, order_no: str) -> CardOrder | None:
        """The sale of this number, if one was taken."""
        return self._orders.get(order_no)

    def is_refused(self, order_no: str) -> bool:
        """Whether a reversal came before any sale of this number."""
        return order_no in self._refused

    def refuse(self, order_no: str) -> None:
        """Remember a reversal without a sale; raises :class:`BooksFull`."""
        if order_no not in self._refused:
            self.make_room()
            self._refused.add(order_no)

    def add(self, order: CardOrder) -> None:
        """Take a new sale; ``ValueError`` if the number is known already."""
        if order.order_no in self._orders:
            raise ValueError("an order number is used once")
        self._orders[order.order_no] = order

    def make_room(self) -> None:
        """Raise :class:`BooksFull` if nothing more can be remembered."""
        if len(self._orders) + len(self._refused) >= self._max_orders:
            raise BooksFull
