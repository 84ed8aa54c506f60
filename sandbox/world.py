"""The simulated channels with their faults, in one value without sockets.

Rule: everything that decides is reached through here, with the time as an argument;
the servers and a deterministic simulation use the same methods.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final

from sandbox import (
    alipay,
    alipay_notices,
    alipay_v3,
    unionpay_host,
    unionpay_qr,
    unionpay_qr_envelope,
    unionpay_qr_notices,
    wechat,
    wechat_notices,
)
from sandbox.alipay import AlipayState
from sandbox.card_state import CardState
from sandbox.config import SandboxConfig
from sandbox.connection import HttpAnswer
from sandbox.effects import Effect
from sandbox.faults import Faults, strike
from sandbox.http_wire import HttpRequest
from sandbox.notifier import Notice, Notifier
from sandbox.unionpay_qr import UnionPayQrState
from sandbox.wallet import Payer, Wallet, WalletAnswer
from sandbox.wechat_state import WeChatState

ALIPAY: Final = "alipay"
UNIONPAY_CARD: Final = "unionpay_card"
WECHAT: Final = "wechat"
UNIONPAY_QR: Final = "unionpay_qr"
NOTICES: Final = ".notify"
"""After a channel's name: the plan of faults of its notices."""
Charge = dict[str, Any]
OrderMoney = tuple[str, int, int]
"""An order's number, what was charged, what was returned."""


class World:
    """The channels of one sandbox. ``random_bytes`` makes the card host's working keys."""

    def __init__(self, config: SandboxConfig, random_bytes: Callable[[int], bytes]) -> None:
        self.alipay_state = AlipayState(
            config.alipay,
            user_paying_after_ms=config.user_paying_after_s * 1000,
            max_orders=config.max_orders,
        )
        self.card_state = CardState(
            config.card, max_orders=config.max_orders, random_bytes=random_bytes
        )
        # Faults are a test's tool and must repeat from a seed.
        self._random = random.Random(config.fault_seed).random  # noqa: S311
        self._reorder_ms = config.card.reorder_window_ms
        self._charges: dict[str, Callable[[int], Iterable[OrderMoney]]] = {
            ALIPAY: self._alipay_charges,
            UNIONPAY_CARD: self._card_charges,
        }
        """The money of each channel's orders, by channel; a channel is served if it is in here."""
        self.wechat_state: WeChatState | None = None
        if config.wechat is not None:
            self.wechat_state = WeChatState(
                config.wechat,
                user_paying_after_ms=config.user_paying_after_s * 1000,
                max_orders=config.max_orders,
                random_bytes=random_bytes,
            )
            self._charges[WECHAT] = partial(_wechat_charges, self.wechat_state)
        self.unionpay_qr_state: UnionPayQrState | None = None
        if config.unionpay_qr is not None:
            self.unionpay_qr_state = UnionPayQrState(
                config.unionpay_qr,
                user_paying_after_ms=config.user_paying_after_s * 1000,
                max_orders=config.max_orders,
            )
            self._charges[UNIONPAY_QR] = self.unionpay_qr_state.charges
        self.user_paying_after_ms = config.user_paying_after_s * 1000
        self.calls = dict.fromkeys(self._charges, 0)
        """Requests that came, whatever became of them."""
        self.faults = {channel: Faults(self._random) for channel in self._charges}
        self.notifier = Notifier(config.notify_factor)
        self._notices: list[Callable[[], Iterable[Notice]]] = []
        self._ticks: list[Callable[[int], None]] = []
        self._wallets: dict[str, Wallet] = {}
        if self.wechat_state is not None:
            tell = partial(wechat_notices.notices, self.wechat_state)
            self._tell(WECHAT, wechat_notices.SCHEDULE_S, tell)
            self._ticks.append(self.wechat_state.books.tick)
            self._wallets[WECHAT] = self.wechat_state.orders.pay
        self._tell(ALIPAY, alipay_notices.SCHEDULE_S, self.alipay_state.notices)
        self._ticks.append(self.alipay_state.books.tick)
        self._wallets[ALIPAY] = self.alipay_state.orders.pay
        if self.unionpay_qr_state is not None:
            self._open_unionpay_qr(self.unionpay_qr_state)

    def _open_unionpay_qr(self, state: UnionPayQrState) -> None:
        self._tell(UNIONPAY_QR, unionpay_qr_notices.SCHEDULE_S, state.notices)
        self._ticks.append(state.books.tick)
        self._wallets[UNIONPAY_QR] = state.pay

    def _tell(
        self, channel: str, schedule_s: Sequence[int], notices: Callable[[], Iterable[Notice]]
    ) -> None:
        """Have a channel's notices delivered, with a plan of faults of their own."""
        plan = self.faults[f"{channel}{NOTICES}"] = Faults(self._random)
        self.notifier.serve(channel, schedule_s, plan)
        self._notices.append(notices)

    def tick(self, now_ms: int) -> None:
        """Let what the passing of time does happen, and hand in what there is to tell."""
        for tick in self._ticks:
            tick(now_ms)
        for notices in self._notices:
            for notice in notices():
                self.notifier.add(notice, now_ms)

    def pay(self, payer: Payer, now_ms: int, channel: str = "") -> WalletAnswer | None:
        """A payer with a phone; ``None`` if no channel (or not this one) knows what is shown."""
        for name, wallet in self._wallets.items():
            if channel not in ("", name):
                continue
            answer = wallet(payer, now_ms)
            if answer is not None:
                return answer
        return None

    def alipay(self, query: bytes, body: bytes, now_ms: int) -> Effect:
        """One call of ``/gateway.do``: its query string and form body."""
        self.calls[ALIPAY] += 1
        request = alipay.read_request(query, body)
        rule = self.faults[ALIPAY].draw(request.method)
        if rule is None:
            return alipay.handle(request, self.alipay_state, now_ms)
        act = partial(alipay.handle, request, self.alipay_state, now_ms)
        return strike(rule, act, alipay.spoil, partial(alipay.refusal, request, self.alipay_state))

    def alipay_rest(self, request: HttpRequest, now_ms: int) -> HttpAnswer:
        """One call of ``/v3/…``; its faults are those of ``/gateway.do``."""
        self.calls[ALIPAY] += 1
        rule = self.faults[ALIPAY].draw(alipay_v3.method_of(request.path))

        def act() -> Effect:
            return alipay_v3.handle(request, self.alipay_state, now_ms).effect

        refuse = partial(alipay_v3.refusal, request, self.alipay_state, now_ms)
        return HttpAnswer(strike(rule, act, alipay_v3.spoil, refuse), is_whole=True)

    def unionpay_qr(self, state: UnionPayQrState, body: bytes, now_ms: int) -> Effect:
        """One call of ACP: its form."""
        self.calls[UNIONPAY_QR] += 1
        name, params = unionpay_qr.operation(body)
        rule = self.faults[UNIONPAY_QR].draw(name)
        act = partial(unionpay_qr.handle, params, state, now_ms)
        return strike(rule, act, unionpay_qr_envelope.spoil)

    def card(self, payload: bytes, now_ms: int) -> Effect:
        """One frame's payload at the card host."""
        self.calls[UNIONPAY_CARD] += 1
        message = unionpay_host.read_request(payload)
        rule = self.faults[UNIONPAY_CARD].draw(message.mti if message is not None else "")
        if rule is None and not self._reorder_ms:
            return unionpay_host.handle(payload, message, self.card_state, now_ms)
        act = partial(unionpay_host.handle, payload, message, self.card_state, now_ms)
        effect = strike(rule, act, unionpay_host.spoil)
        late_ms = int(self._random() * self._reorder_ms) if effect.answer else 0
        return Effect(effect.answer, effect.close, effect.delay_ms + late_ms, effect.copies)

    def wechat(self, request: HttpRequest, now_ms: int) -> Effect:
        """One call of either API; the effect's answer is the whole of it, head included."""
        state = self.wechat_state
        if state is None:
            raise ValueError("WeChat Pay is not configured")
        self.calls[WECHAT] += 1
        rule = self.faults[WECHAT].draw(wechat.operation_of(request))
        act = partial(wechat.handle, request, state, now_ms)
        return strike(rule, act, wechat.spoil, partial(wechat.refusal, request, state, now_ms))

    def charges(self, now_ms: int) -> list[Charge]:
        """Every order that ever took money, as ``GET /charges`` lists it.

        An order that was declined, closed unpaid or never arrived took none and is
        absent. ``charged_fen`` stays after a return; the net is the difference.
        """
        return [
            {
                "channel": channel,
                "order_no": order_no,
                "charged_fen": charged_fen,
                "returned_fen": returned_fen,
            }
            for channel, charges in self._charges.items()
            for order_no, charged_fen, returned_fen in charges(now_ms)
            if charged_fen
        ]

    def _alipay_charges(self, now_ms: int) -> Iterator[OrderMoney]:
        for trade in self.alipay_state.books:
            trade.settle(now_ms)
            yield trade.out_trade_no, trade.charged_fen, trade.returned_fen

    def _card_charges(self, now_ms: int) -> Iterator[OrderMoney]:
        for order in self.card_state.books:
            yield order.order_no, order.charged_fen, order.returned_fen


def _wechat_charges(state: WeChatState, now_ms: int) -> Iterator[OrderMoney]:
    for order in state.books:
        order.settle(now_ms)
        yield order.out_trade_no, order.charged_fen, order.returned_fen(now_ms)
