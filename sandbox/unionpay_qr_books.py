"""The simulated UnionPay's own transactions.

Rules: an order is charged at most once and never returns more than it was charged; what
happens by the passing of time (a payer who types, a bank that works) is settled when the
order is looked at. A void or a refund is a transaction of its own, accepted at once and
done ``RETURN_AFTER_MS`` later. Amounts are fen, times UTC ms; no clock in here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

from domain.clock import beijing

NEVER: Final = -1
"""``pays_at_ms`` of a payer who never pays."""
RETURN_AFTER_MS: Final = 500
"""How long a void or a refund is only accepted."""
_CLEARING_SHIFT: Final = timedelta(hours=1)


class BooksFull(Exception):
    """The bound is reached: the channel cannot take another number now."""


def clearing_day(time_ms: int) -> date:
    """From 23:00 on it is the next day's."""
    return (beijing(time_ms) + _CLEARING_SHIFT).date()


@dataclass(slots=True)
class Order:
    """One transaction; ``kind`` is its txnType, ``original`` what a return gives back of."""

    order_id: str
    txn_time: str
    kind: str
    sub_type: str
    amount_fen: int
    query_id: str
    created_at_ms: int
    done_at_ms: int
    back_url: str = ""
    reserved: str = ""
    refused_code: str = ""
    original: "Order | None" = None
    done: bool = False
    reversed: bool = False
    notified: bool = False
    returned_fen: int = 0
    promised_fen: int = 0
    code: str = field(default="", repr=False)
    payer_id: str = field(default="", repr=False)
    expires_at_ms: int = 0
    front_url: str = field(default="", repr=False)
    subject: str = ""

    @property
    def charged_fen(self) -> int:
        """What was ever taken from the payer by it."""
        return self.amount_fen if self.done and self.kind in ("01", "03") else 0

    def settle(self, now_ms: int) -> None:
        """Let what was to happen by now happen."""
        if self.done or self.reversed or self.refused_code:
            return
        if not 0 <= self.done_at_ms <= now_ms:
            return
        self.done = True
        if self.original is not None and self.kind != "03":
            self.original.returned_fen += self.amount_fen

    def reverse(self) -> None:
        """As if it had never been: what was taken goes back."""
        if self.done and not self.reversed:
            self.returned_fen = self.charged_fen
            self.promised_fen = self.charged_fen
        self.reversed = True

    @property
    def result(self) -> str:
        """``origRespCode`` of a query about it."""
        if self.refused_code:
            return self.refused_code
        if self.reversed:
            return "46"
        return "00" if self.done else "05"


class UnionPayBooks:
    """Every transaction by (orderId, txnTime), at most ``max_orders``."""

    def __init__(self, max_orders: int) -> None:
        self._max = max_orders
        self._orders: dict[tuple[str, str], Order] = {}
        self._ids: set[str] = set()
        self._by_query_id: dict[str, Order] = {}
        self._by_code: dict[str, Order] = {}
        self._waiting: set[tuple[str, str]] = set()
        self._told: list[Order] = []

    def __iter__(self) -> Iterator[Order]:
        return iter(self._orders.values())

    def find(self, order_id: str, txn_time: str, now_ms: int) -> Order | None:
        """By our caller's number and time."""
        return self._settled(self._orders.get((order_id, txn_time)), now_ms)

    def by_query_id(self, query_id: str, now_ms: int) -> Order | None:
        """By our own number."""
        return self._settled(self._by_query_id.get(query_id), now_ms)

    def by_code(self, code: str, now_ms: int) -> Order | None:
        """By the code or page that the payer is shown."""
        return self._settled(self._by_code.get(code), now_ms)

    def is_used(self, order_id: str) -> bool:
        """Whether any transaction has this orderId."""
        return order_id in self._ids

    def add(self, order: Order) -> None:
        """Keep it; raises :class:`BooksFull`."""
        if len(self._orders) >= self._max:
            raise BooksFull
        key = (order.order_id, order.txn_time)
        self._orders[key] = order
        self._ids.add(order.order_id)
        self._by_query_id[order.query_id] = order
        if order.code:
            self._by_code[order.code] = order
        self._waiting.add(key)

    def reopen(self, order: Order) -> None:
        """The payer's money was on its way when it was reversed unpaid."""
        if not order.done:
            order.reversed = False
            self._waiting.add((order.order_id, order.txn_time))

    def new_query_id(self, now_ms: int) -> str:
        """21 digits."""
        return f"{beijing(now_ms):%Y%m%d%H%M%S}{len(self._orders) + 1:06}8"

    def tick(self, now_ms: int) -> None:
        """Settle what waits, and remember what is done, to be told."""
        for key in tuple(self._waiting):
            order = self._orders[key]
            order.settle(now_ms)
            if order.done or order.reversed or order.refused_code:
                self._waiting.discard(key)
            if order.done and not order.notified:
                order.notified = True
                self._told.append(order)

    def take_done(self) -> list[Order]:
        """What was done since the last call: UnionPay tells nothing of what failed."""
        told, self._told = self._told, []
        return told

    def _settled(self, order: Order | None, now_ms: int) -> Order | None:
        if order is not None:
            order.settle(now_ms)
        return order
