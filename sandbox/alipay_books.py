"""The simulated Alipay's own trades.

Rules: a trade is charged at most once and never returns more than it was charged;
a number that was cancelled before its pay arrived is remembered and refuses that
pay; what happens by the passing of time (a payer who types a password) is settled
when the trade is looked at. Amounts are fen, times UTC ms; no clock in here.
"""

import enum
import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from domain.clock import beijing

NEVER: Final = -1
"""``pays_at_ms`` of a payer who never pays."""
CANCEL_WINDOW_MS: Final = 24 * 3600 * 1000
CANCEL_REFUND: Final = "*"
"""The refund that a cancel makes: it has no number of the merchant's."""


_DAY_GRAIN_MS: Final = 3600 * 1000
"""A day begins at a whole hour, in Beijing as in UTC."""


@lru_cache(maxsize=64)
def _day(hour: int) -> str:
    return f"{beijing(hour * _DAY_GRAIN_MS):%Y%m%d}"


class TradeStatus(enum.Enum):
    """The vendor's words; TRADE_FINISHED (no refund any more) is not simulated."""

    WAIT_BUYER_PAY = "WAIT_BUYER_PAY"
    TRADE_SUCCESS = "TRADE_SUCCESS"
    TRADE_CLOSED = "TRADE_CLOSED"


class BooksFull(Exception):
    """The bound is reached: the channel cannot take another number now."""


@dataclass(frozen=True, slots=True)
class Refund:
    """Money that went back once."""

    amount_fen: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that a merchant is told: ``paid`` or ``refunded``."""

    trade: "Trade"
    event: str
    refund_no: str
    at_ms: int


@dataclass(slots=True)
class Trade:
    """One trade; ``refunds`` is by out_request_no."""

    out_trade_no: str
    trade_no: str
    total_fen: int
    subject: str
    buyer: int
    created_at_ms: int
    pays_at_ms: int
    auth_code: str = field(repr=False)
    notify_url: str = ""
    payer_id: str = field(default="", repr=False)
    expires_at_ms: int = NEVER
    store_id: str = ""
    terminal_id: str = ""
    paid_at_ms: int = 0
    closed: bool = False
    returned_fen: int = 0
    cancel_action: str = ""
    refunds: dict[str, Refund] = field(default_factory=dict)
    shares: dict[str, int] = field(default_factory=dict)
    happened: list[Happening] = field(default_factory=list, repr=False)

    @property
    def status(self) -> TradeStatus:
        """As of the last :meth:`settle`."""
        if self.closed:
            return TradeStatus.TRADE_CLOSED
        return TradeStatus.TRADE_SUCCESS if self.paid_at_ms else TradeStatus.WAIT_BUYER_PAY

    @property
    def charged_fen(self) -> int:
        """What was ever taken from the payer."""
        return self.total_fen if self.paid_at_ms else 0

    @property
    def buyer_id(self) -> str:
        """The payer's id at Alipay."""
        return self.payer_id or f"208810000000{self.buyer:04d}"

    @property
    def buyer_logon_id(self) -> str:
        """The payer's account, masked as the vendor does."""
        return f"139******{self.buyer % 100:02d}"

    def settle(self, now_ms: int) -> None:
        """Let a payer who was still acting pay, or the time run out, if it has come."""
        if self.closed or self.paid_at_ms:
            return
        if 0 <= self.pays_at_ms <= now_ms and not 0 <= self.expires_at_ms <= self.pays_at_ms:
            self.paid_at_ms = max(self.pays_at_ms, self.created_at_ms)
            self._tell("paid", "", now_ms)
        elif 0 <= self.expires_at_ms <= now_ms:
            self.closed = True

    def _tell(self, event: str, refund_no: str, now_ms: int) -> None:
        if self.notify_url:
            self.happened.append(Happening(self, event, refund_no, now_ms))

    def number_of(self, refund: str) -> str:
        """The number of a refund as bills and notices write it."""
        return self.out_trade_no if refund == CANCEL_REFUND else refund

    def give_back(self, out_request_no: str, amount_fen: int, now_ms: int) -> None:
        """Return money once under ``out_request_no``; a fully returned trade closes."""
        if self.returned_fen + amount_fen > self.charged_fen:
            raise ValueError("more would return than was charged")
        self.refunds[out_request_no] = Refund(amount_fen, now_ms)
        self.returned_fen += amount_fen
        if self.returned_fen == self.charged_fen:
            self.closed = True
        self._tell("refunded", self.number_of(out_request_no), now_ms)

    def reopen(self) -> None:
        """The payer's money was on its way when it was closed unpaid."""
        if not self.paid_at_ms:
            self.closed, self.expires_at_ms, self.cancel_action = False, NEVER, ""

    def cancel(self, now_ms: int) -> str:
        """Undo it whatever its state; the action taken, the same one on every repeat."""
        if not self.cancel_action:
            self.cancel_action = "refund" if self.paid_at_ms else "close"
            self.closed = True
            left_fen = self.charged_fen - self.returned_fen
            if left_fen:
                self.give_back(CANCEL_REFUND, left_fen, now_ms)
        return self.cancel_action


class AlipayBooks:
    """Every trade and every number refused for ever, at most ``max_orders`` of both."""

    def __init__(self, max_orders: int) -> None:
        self._max_orders = max_orders
        self._trades: dict[str, Trade] = {}
        self._by_trade_no: dict[str, Trade] = {}
        self._refused: set[str] = set()
        self._later: list[tuple[int, int, Trade]] = []
        self.happened: list[Happening] = []
        """What merchants are to be told, oldest first; whoever tells it takes it out."""

    def __iter__(self) -> Iterator[Trade]:
        return iter(self._trades.values())

    def find(self, out_trade_no: str, trade_no: str, now_ms: int) -> Trade | None:
        """The trade of either number, settled; ``trade_no`` leads when both are given."""
        trade = self._by_trade_no.get(trade_no) if trade_no else self._trades.get(out_trade_no)
        if trade is not None:
            trade.settle(now_ms)
        return trade

    def is_refused(self, out_trade_no: str) -> bool:
        """Whether the number was cancelled before any trade existed."""
        return out_trade_no in self._refused

    def refuse(self, out_trade_no: str) -> None:
        """Remember a cancelled number that no trade has; raises :class:`BooksFull`."""
        if out_trade_no not in self._refused:
            self._make_room()
            self._refused.add(out_trade_no)

    def open(
        self,
        out_trade_no: str,
        total_fen: int,
        subject: str,
        auth_code: str,
        pays_at_ms: int,
        now_ms: int,
        *,
        notify_url: str = "",
        payer_id: str = "",
        expires_at_ms: int = NEVER,
        store_id: str = "",
        terminal_id: str = "",
    ) -> Trade:
        """A new trade, paid at once if ``pays_at_ms`` is ``now_ms``; raises :class:`BooksFull`."""
        self._make_room()
        serial = len(self._trades) + 1
        trade = Trade(
            out_trade_no,
            f"{_day(now_ms // _DAY_GRAIN_MS)}2200{1_400_000_000_000_000 + serial}",
            total_fen,
            subject,
            serial % 10_000,
            now_ms,
            pays_at_ms,
            auth_code,
            notify_url,
            payer_id,
            expires_at_ms,
            store_id,
            terminal_id,
            happened=self.happened,
        )
        trade.settle(now_ms)
        self.look_again(trade)
        self._trades[out_trade_no] = trade
        self._by_trade_no[trade.trade_no] = trade
        return trade

    def look_again(self, trade: Trade) -> None:
        """Have :meth:`tick` settle a trade whose payer pays later."""
        if not trade.paid_at_ms and trade.pays_at_ms >= 0:
            heapq.heappush(self._later, (trade.pays_at_ms, id(trade), trade))

    def tick(self, now_ms: int) -> None:
        """Settle every trade whose payer's time has come."""
        while self._later and self._later[0][0] <= now_ms:
            heapq.heappop(self._later)[2].settle(now_ms)

    def _make_room(self) -> None:
        if len(self._trades) + len(self._refused) >= self._max_orders:
            raise BooksFull
