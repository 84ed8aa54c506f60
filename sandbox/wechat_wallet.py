"""The payer's phone at the simulated WeChat Pay: orders that wait to be scanned or opened.

Rules: a ``code_url`` is scanned, a ``prepay_id`` (or the ``h5_url`` that holds it) opened; both
are the order's own, the same however often it is made. Who pays is told by ``payer_id``; an
order for one payer (JSAPI) is paid by nobody else.
"""

import hashlib
from typing import Final

from sandbox.scenarios import Scenario
from sandbox.wallet import Payer, WalletAnswer
from sandbox.wechat_books import Happened, Order, TradeState, TradeType, WeChatBooks
from sandbox.wechat_keys import rfc3339

CHANNEL: Final = "wechat"
CODE_URL: Final = "weixin://wxpay/bizpayurl?pr="
PAYER_ID: Final = "oSandboxPayer000000000000000"
_DIGITS: Final = {ord(mark): None for mark in "-:T"}


class OpenOrders:
    """The orders that a payer may complete, by what the payer is shown."""

    def __init__(self, books: WeChatBooks, user_paying_after_ms: int) -> None:
        self._books = books
        self._user_paying_after_ms = user_paying_after_ms
        self._by_prepay_id: dict[str, Order] = {}
        self._by_code: dict[str, Order] = {}

    def show(self, order: Order) -> tuple[str, str]:
        """``prepay_id`` and ``code_url`` of an order; as many as the books hold."""
        tail = hashlib.sha256(f"prepay {order.transaction_id}".encode()).hexdigest()[:20]
        prepay_id = f"wx{rfc3339(order.created_at_ms)[:19].translate(_DIGITS)}{tail}"
        self._by_prepay_id[prepay_id] = self._by_code[f"{CODE_URL}{tail}"] = order
        return prepay_id, f"{CODE_URL}{tail}"

    def pay(self, payer: Payer, now_ms: int) -> WalletAnswer | None:
        """What the phone says (:mod:`sandbox.wallet`)."""
        order = self._by_code.get(payer.code) or self._by_prepay_id.get(
            payer.order.rpartition("prepay_id=")[2]
        )
        if order is None:
            return None
        order.settle(now_ms)
        if payer.act is Scenario.CROSSED and order.state is TradeState.CLOSED:
            order.reopen()
        why = _cannot_pay(order, payer)
        if not why and payer.act in (Scenario.APPROVED, Scenario.CROSSED):
            order.pay(payer.payer_id or order.openid or PAYER_ID, now_ms)
            self._books.look_again(now_ms, Happened(order))
        elif not why and payer.act is Scenario.USER_PAYING:
            order.openid = payer.payer_id or order.openid or PAYER_ID
            order.pays_at_ms = now_ms + self._user_paying_after_ms
            self._books.look_again(order.pays_at_ms, Happened(order))
        return WalletAnswer(
            channel=CHANNEL,
            order_no=order.out_trade_no,
            amount_fen=order.total_fen,
            paid=bool(order.paid_at_ms) and not why,
            why=why,
            subject=order.description,
        )


def _cannot_pay(order: Order, payer: Payer) -> str:
    if order.state is not TradeState.NOTPAY:
        return f"the order is {order.state.value}"
    if order.trade_type is TradeType.JSAPI and payer.payer_id not in ("", order.openid):
        return "the order is another payer's"
    return "the payer's balance is too low" if payer.act is Scenario.DECLINED else ""
