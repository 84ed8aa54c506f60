"""The simulated WeChat Pay's own orders and refunds.

Rules: an order is charged at most once and never returns more than it was charged; a
number whose reversal came before its pay is remembered and refuses that pay; what
happens by the passing of time (a payer who types a password, a prompt that closes, an
order that expires, a refund on its way) is settled when the order is looked at. A number
is unique within one merchant (``sub_mchid``), as the vendor has it. Amounts are fen,
times UTC ms; no clock in here.
"""

import enum
import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from domain.clock import beijing

NEVER: Final = -1
"""``pays_at_ms`` of a payer who never pays."""
REVERSE_WINDOW_MS: Final = 7 * 24 * 3600 * 1000
REFUND_WINDOW_MS: Final = 365 * 24 * 3600 * 1000
MAX_REFUNDS: Final = 50


class TradeType(enum.Enum):
    """How the order is paid, in the vendor's words."""

    MICROPAY = "MICROPAY"
    FACEPAY = "FACEPAY"
    NATIVE = "NATIVE"
    JSAPI = "JSAPI"
    APP = "APP"
    MWEB = "MWEB"


class TradeState(enum.Enum):
    """The vendor's words; ACCEPT (deductions by contract) is not simulated."""

    SUCCESS = "SUCCESS"
    REFUND = "REFUND"
    NOTPAY = "NOTPAY"
    CLOSED = "CLOSED"
    REVOKED = "REVOKED"
    USERPAYING = "USERPAYING"
    PAYERROR = "PAYERROR"


class BooksFull(Exception):
    """The bound is reached: the channel cannot take another number now."""


@dataclass(slots=True)
class Refund:
    """One refund; it is accepted at once and done at ``done_at_ms``."""

    out_refund_no: str
    refund_id: str
    amount_fen: int
    created_at_ms: int
    done_at_ms: int
    notify_url: str = ""
    is_abnormal: bool = False
    is_national: bool = False

    def is_done(self, now_ms: int) -> bool:
        """Whether the payer has the money."""
        return not self.is_abnormal and self.done_at_ms <= now_ms


@dataclass(slots=True)
class Order:
    """One order. ``fingerprint`` is everything that a repeat must say again.

    ``is_national``: asked for by the national scheme, and told by it too (a refund's alike).
    """

    out_trade_no: str
    sub_mchid: str
    sub_appid: str
    transaction_id: str
    trade_type: TradeType
    total_fen: int
    description: str
    attach: str
    openid: str = field(repr=False)
    created_at_ms: int
    pays_at_ms: int
    gives_up_at_ms: int
    fingerprint: tuple[str, ...] = field(repr=False)
    notify_url: str = ""
    device: str = ""
    is_national: bool = False
    decline: tuple[str, str] | None = None
    paid_at_ms: int = 0
    is_closed: bool = False
    revoked_at_ms: int = 0
    refunds: dict[str, Refund] = field(default_factory=dict)

    @property
    def charged_fen(self) -> int:
        """What was ever taken from the payer."""
        return self.total_fen if self.paid_at_ms else 0

    @property
    def promised_fen(self) -> int:
        """What refunds return, done or on their way; a reversal returns everything."""
        if self.revoked_at_ms:
            return self.charged_fen
        return sum(refund.amount_fen for refund in self.refunds.values())

    def returned_fen(self, now_ms: int) -> int:
        """What the payer has back."""
        if self.revoked_at_ms:
            return self.charged_fen
        return sum(r.amount_fen for r in self.refunds.values() if r.is_done(now_ms))

    @property
    def state(self) -> TradeState:
        """As of the last :meth:`settle`."""
        if self.revoked_at_ms:
            return TradeState.REVOKED
        if self.paid_at_ms:
            return TradeState.REFUND if self.refunds else TradeState.SUCCESS
        if self.is_closed:
            return TradeState.CLOSED
        if self.decline is not None:
            return TradeState.PAYERROR
        if self.trade_type in (TradeType.MICROPAY, TradeType.FACEPAY):
            return TradeState.USERPAYING
        return TradeState.NOTPAY

    def settle(self, now_ms: int) -> None:
        """What time has done: the payer paid, or the prompt or the order ran out."""
        if self.paid_at_ms or self.is_closed or self.revoked_at_ms or self.decline is not None:
            return
        if self.pays_at_ms != NEVER and self.pays_at_ms <= min(now_ms, self.gives_up_at_ms):
            self.paid_at_ms = max(self.pays_at_ms, self.created_at_ms)
        elif self.gives_up_at_ms <= now_ms:
            if self.trade_type in (TradeType.MICROPAY, TradeType.FACEPAY):
                self.decline = ("TRADE_ERROR", "用户没有输入支付密码")
            else:
                self.is_closed = True

    def pay(self, openid: str, now_ms: int) -> bool:
        """The payer pays now; whether that was possible."""
        if self.state not in (TradeState.NOTPAY, TradeState.USERPAYING):
            return False
        self.openid = openid or self.openid
        self.paid_at_ms = now_ms
        return True

    def reopen(self) -> None:
        """The payer's money was on its way when it was closed unpaid."""
        self.is_closed = False

    def give_back(self, refund: Refund) -> None:
        """Return money once under its number."""
        if self.promised_fen + refund.amount_fen > self.charged_fen:
            raise ValueError("more would return than was charged")
        self.refunds[refund.out_refund_no] = refund

    def revoke(self, now_ms: int) -> None:
        """Undo it: unpaid it closes, paid the money returns."""
        self.revoked_at_ms = self.revoked_at_ms or now_ms


@dataclass(frozen=True, slots=True)
class Happened:
    """What a merchant is to be told: a payment, or this refund of it."""

    order: Order
    refund: Refund | None = None


class WeChatBooks:
    """Every order and every number refused for ever, at most ``max_orders`` of both.

    ``happened`` is what nobody was told yet of orders and refunds that have a ``notify_url``.
    """

    def __init__(self, max_orders: int) -> None:
        self._max_orders = max_orders
        self._orders: dict[tuple[str, str], Order] = {}
        self._by_transaction: dict[str, Order] = {}
        self._refunds: dict[tuple[str, str], tuple[Order, Refund]] = {}
        self._refund_ids: dict[str, tuple[Order, Refund]] = {}
        self._refused: set[tuple[str, str]] = set()
        self._later: list[tuple[int, int, Happened]] = []
        self.happened: list[Happened] = []

    def look_again(self, at_ms: int, what: Happened) -> None:
        """Have :meth:`tick` see whether it has happened by then, to tell the merchant."""
        if (what.order if what.refund is None else what.refund).notify_url:
            heapq.heappush(self._later, (at_ms, id(what), what))

    def tick(self, now_ms: int) -> None:
        """Settle what is due, and note what happened."""
        while self._later and self._later[0][0] <= now_ms:
            what = heapq.heappop(self._later)[2]
            what.order.settle(now_ms)
            if what.refund is not None or what.order.paid_at_ms:
                self.happened.append(what)

    def __iter__(self) -> Iterator[Order]:
        return iter(self._orders.values())

    def find(self, sub_mchid: str, out_trade_no: str, now_ms: int) -> Order | None:
        """The merchant's order of this number, settled."""
        return _settled(self._orders.get((sub_mchid, out_trade_no)), now_ms)

    def by_transaction(self, sub_mchid: str, transaction_id: str, now_ms: int) -> Order | None:
        """The merchant's order of WeChat's number, settled; another merchant's is not found."""
        order = self._by_transaction.get(transaction_id)
        if order is not None and order.sub_mchid != sub_mchid:
            return None
        return _settled(order, now_ms)

    def is_refused(self, sub_mchid: str, out_trade_no: str) -> bool:
        """Whether the number was reversed before any order existed."""
        return (sub_mchid, out_trade_no) in self._refused

    def refuse(self, sub_mchid: str, out_trade_no: str) -> None:
        """Remember a reversed number that no order has; raises :class:`BooksFull`."""
        key = (sub_mchid, out_trade_no)
        if key not in self._refused:
            self._make_room()
            self._refused.add(key)

    def open(self, order: Order, now_ms: int) -> Order:
        """Enter a new order under WeChat's next number; raises :class:`BooksFull`."""
        self._make_room()
        serial = len(self._orders) + 1
        order.transaction_id = f"4200{serial:06d}{beijing(now_ms):%Y%m%d}{serial:010d}"
        order.settle(now_ms)
        self._orders[order.sub_mchid, order.out_trade_no] = order
        self._by_transaction[order.transaction_id] = order
        return order

    def refund(self, sub_mchid: str, out_refund_no: str) -> tuple[Order, Refund] | None:
        """The merchant's refund of this number, with its order."""
        return self._refunds.get((sub_mchid, out_refund_no))

    def by_refund_id(self, sub_mchid: str, refund_id: str) -> tuple[Order, Refund] | None:
        """The merchant's refund of WeChat's number."""
        found = self._refund_ids.get(refund_id)
        return found if found is not None and found[0].sub_mchid == sub_mchid else None

    def give_back(
        self, order: Order, out_refund_no: str, amount_fen: int, done_at_ms: int, now_ms: int
    ) -> Refund:
        """A new refund of ``order``; raises :class:`ValueError` for too much."""
        serial = len(self._refunds) + 1
        refund = Refund(
            out_refund_no,
            f"5030{serial:06d}{beijing(now_ms):%Y%m%d}{serial:011d}",
            amount_fen,
            now_ms,
            done_at_ms,
        )
        order.give_back(refund)
        self._refunds[order.sub_mchid, out_refund_no] = order, refund
        self._refund_ids[refund.refund_id] = order, refund
        return refund

    def _make_room(self) -> None:
        if len(self._orders) + len(self._refused) >= self._max_orders:
            raise BooksFull


def _settled(order: Order | None, now_ms: int) -> Order | None:
    if order is not None:
        order.settle(now_ms)
    return order
