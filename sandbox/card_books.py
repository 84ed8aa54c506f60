"""The simulated card host's own orders and returns.

Rules: a number is link terminal + batch (60.2) + trace (F11), 20 characters, and belongs
to one order or one return. An order is charged at most once and never gives back more;
a hold charges nothing and is taken by one completion at a time; a reversal that arrives
before its original is remembered and refuses it. Amounts are fen.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field

Fingerprint = tuple[object, ...]
"""What tells a repeat from another message under the same number."""


class BooksFull(Exception):
    """The bound is reached: the host cannot take another order now."""


class OrderKind(enum.Enum):
    """What an order did with its card."""

    SALE = "sale"
    HOLD = "hold"
    COMPLETION = "completion"
    OFFLINE = "offline"
    ADDITION = "addition"


@dataclass(slots=True)
class CardOrder:
    """A sale, hold, completion or advice and what the host answered.

    ``silent`` never answers, not even a repeat; ``undone`` was reversed. ``held_fen`` is
    what a hold still holds: 0 once it was taken or released; ``added_to`` says that a sale
    has its tip or adjustment.
    """

    order_no: str
    fingerprint: Fingerprint = field(repr=False)
    amount_fen: int
    response_code: str
    reference: str
    auth_code: str
    kind: OrderKind = OrderKind.SALE
    pan: str = field(default="", repr=False)
    at_ms: int = 0
    charged_fen: int = 0
    returned_fen: int = 0
    held_fen: int = 0
    hold_no: str = ""
    added_to: bool = False
    silent: bool = False
    undone: bool = False


@dataclass(slots=True)
class CardReturn:
    """A void or refund of the order ``original_no`` and what the host answered."""

    return_no: str
    fingerprint: Fingerprint = field(repr=False)
    amount_fen: int
    response_code: str
    reference: str
    original_no: str
    is_void: bool
    at_ms: int = 0
    undone: bool = False


@dataclass(slots=True)
class CardAdjustment:
    """Money that went back to the card of ``order`` without a request of the link's."""

    order: CardOrder
    amount_fen: int
    at_ms: int


class CardBooks:
    """Every order, return and number refused for ever, at most ``max_orders`` of all."""

    def __init__(self, max_orders: int) -> None:
        self._max_orders = max_orders
        self._orders: dict[str, CardOrder] = {}
        self._returns: dict[str, CardReturn] = {}
        self._refused: set[str] = set()
        self.adjustments: list[CardAdjustment] = []

    def __iter__(self) -> Iterator[CardOrder]:
        return iter(self._orders.values())

    def returns(self) -> Iterator[CardReturn]:
        """Every void and refund."""
        return iter(self._returns.values())

    def find(self, order_no: str) -> CardOrder | None:
        """The order of this number, if one was taken."""
        return self._orders.get(order_no)

    def find_return(self, return_no: str) -> CardReturn | None:
        """The void or refund of this number, if one was taken."""
        return self._returns.get(return_no)

    def is_refused(self, number: str) -> bool:
        """Whether a reversal came before anything else of this number."""
        return number in self._refused

    def refuse(self, number: str) -> None:
        """Remember a reversal without its original; raises :class:`BooksFull`."""
        if number not in self._refused:
            self.make_room()
            self._refused.add(number)

    def add(self, order: CardOrder) -> None:
        """Take a new order; ``ValueError`` if the number is known already."""
        self._check_new(order.order_no)
        self._orders[order.order_no] = order

    def add_return(self, one: CardReturn) -> None:
        """Take a new return; ``ValueError`` if the number is known already."""
        self._check_new(one.return_no)
        self._returns[one.return_no] = one

    def _check_new(self, number: str) -> None:
        if number in self._orders or number in self._returns:
            raise ValueError("an order number is used once")

    def adjust(self, order: CardOrder, amount_fen: int, at_ms: int) -> None:
        """Give back without a request.

        Raises:
            BooksFull: nothing more can be remembered.
            ValueError: the order has not so much left.
        """
        if order.undone or not 0 < amount_fen <= order.charged_fen - order.returned_fen:
            raise ValueError("the order has not so much left")
        self.make_room()
        order.returned_fen += amount_fen
        self.adjustments.append(CardAdjustment(order, amount_fen, at_ms))

    def make_room(self) -> None:
        """Raise :class:`BooksFull` if nothing more can be remembered."""
        known = len(self._orders) + len(self._returns) + len(self._refused)
        if known + len(self.adjustments) >= self._max_orders:
            raise BooksFull
