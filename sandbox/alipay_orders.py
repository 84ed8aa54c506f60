"""Orders at the simulated Alipay that a payer completes: codes, pages, and who the payer is.

Rules (reference ``channels.md`` A3):

* ``precreate`` makes a code and no trade: the trade exists once the code is scanned; a
  query before that says ``ACQ.TRADE_NOT_EXIST``. The same order again is the same code;
  another amount or subject under its number is ``ACQ.CONTEXT_INCONSISTENT``.
* ``create`` makes a trade that waits for the payer it names; only that payer pays it.
* An order may be paid until its ``timeout_express`` or ``time_expire``, two hours
  otherwise; then it closes.
* An authorisation code of a payer is good once and for a day.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from domain.clock import BEIJING
from sandbox.alipay_books import NEVER, AlipayBooks, BooksFull, Trade
from sandbox.alipay_calls import (
    Biz,
    Node,
    Refusal,
    amount_fen,
    invalid,
    new_number,
    subject_of,
    success,
    text,
)
from sandbox.scenarios import Scenario
from sandbox.wallet import Payer, WalletAnswer

CHANNEL: Final = "alipay"
PAYER_ID: Final = "2088102100000001"
"""Who scans and authorises if nobody else is named."""
_ORDER_LIFE_MS: Final = 2 * 3600 * 1000
_CODE_LIFE_MS: Final = 24 * 3600 * 1000
_EXPRESS: Final = re.compile(r"([1-9][0-9]{0,3})([mhd])|1c", re.ASCII)
_UNIT_MS: Final = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DAY_MS: Final = 86_400_000
_BUYER_ID: Final = re.compile(r"2088[0-9]{12}", re.ASCII)
_URL: Final = "https://qr.alipay.com/"


@dataclass(slots=True)
class CodeOrder:
    """An order behind a code, not scanned yet."""

    out_trade_no: str
    total_fen: int
    subject: str
    notify_url: str
    expires_at_ms: int
    store_id: str = ""
    terminal_id: str = ""
    closed: bool = False


class OpenOrders:
    """Codes that wait for a payer, and payers' authorisations; as bounded as the books."""

    def __init__(self, books: AlipayBooks, max_orders: int, user_paying_after_ms: int) -> None:
        self._books = books
        self._max = max_orders
        self._user_paying_after_ms = user_paying_after_ms
        self._by_code: dict[str, CodeOrder] = {}
        self._by_number: dict[str, CodeOrder] = {}
        self._authorised: dict[str, tuple[str, int]] = {}

    def precreate(self, biz: Biz, notify_url: str, now_ms: int) -> Node:
        """``alipay.trade.precreate``."""
        number, subject, total_fen = new_number(biz), subject_of(biz), amount_fen(biz)
        trade = self._books.find(number, "", now_ms)
        order = self._by_number.get(number)
        if self._books.is_refused(number) or (trade is not None and trade.closed):
            raise Refusal("ACQ.TRADE_HAS_CLOSE", "交易已经关闭")
        if trade is not None and trade.paid_at_ms:
            raise Refusal("ACQ.TRADE_HAS_SUCCESS", "交易已被支付")
        if order is None:
            expires_at_ms, (store_id, terminal_id) = expiry_ms(biz, now_ms), _place(biz)
            order = self._keep(
                CodeOrder(
                    number, total_fen, subject, notify_url, expires_at_ms, store_id, terminal_id
                )
            )
        elif (order.total_fen, order.subject) != (total_fen, subject):
            raise Refusal("ACQ.CONTEXT_INCONSISTENT", "交易信息被篡改")
        return {**success(), "out_trade_no": number, "qr_code": _code(number)}

    def _keep(self, order: CodeOrder) -> CodeOrder:
        if len(self._by_code) >= self._max:
            raise BooksFull
        self._by_code[_code(order.out_trade_no)] = self._by_number[order.out_trade_no] = order
        return order

    def create(self, biz: Biz, notify_url: str, now_ms: int) -> Node:
        """``alipay.trade.create``: the trade that a page in the wallet pays."""
        number, subject, total_fen = new_number(biz), subject_of(biz), amount_fen(biz)
        payer_id = (
            text(biz, "buyer_id") or text(biz, "buyer_open_id") or text(biz, "op_buyer_open_id")
        )
        if not payer_id:
            raise Refusal("ACQ.INVALID_PARAMETER", "参数无效：buyer_id")
        trade = self._books.find(number, "", now_ms)
        if trade is None:
            if self._books.is_refused(number):
                raise Refusal("ACQ.TRADE_HAS_CLOSE", "交易已经关闭")
            store_id, terminal_id = _place(biz)
            trade = self._books.open(
                number,
                total_fen,
                subject,
                "",
                NEVER,
                now_ms,
                notify_url=notify_url,
                payer_id=payer_id,
                expires_at_ms=expiry_ms(biz, now_ms),
                store_id=store_id,
                terminal_id=terminal_id,
            )
        elif (trade.total_fen, trade.subject, trade.payer_id) != (total_fen, subject, payer_id):
            raise Refusal("ACQ.CONTEXT_INCONSISTENT", "交易信息被篡改")
        elif trade.closed:
            raise Refusal("ACQ.TRADE_HAS_CLOSE", "交易已经关闭")
        elif trade.paid_at_ms:
            raise Refusal("ACQ.TRADE_HAS_SUCCESS", "交易已被支付")
        return {**success(), "out_trade_no": number, "trade_no": trade.trade_no}

    def authorise(self, payer_id: str, now_ms: int) -> str:
        """The code that the payer's browser brings back from Alipay."""
        serial = f"{payer_id}{len(self._authorised)}{now_ms}"
        code = hashlib.sha256(serial.encode()).hexdigest()[:32]
        if len(self._authorised) >= self._max:
            raise BooksFull
        self._authorised[code] = (payer_id, now_ms + _CODE_LIFE_MS)
        return code

    def token(self, params: Mapping[str, str], now_ms: int) -> Node:
        """``alipay.system.oauth.token``: who the payer is, once for each code."""
        if params.get("grant_type") != "authorization_code":
            raise Refusal("isv.grant-type-invalid", "grant_type参数不正确", code="40002")
        payer_id, until_ms = self._authorised.get(params.get("code", ""), ("", 0))
        if not payer_id or now_ms > until_ms:
            raise Refusal("isv.code-invalid", "授权码code无效", code="40002")
        self._authorised[params["code"]] = ("", 0)
        token = hashlib.sha256(params["code"].encode()).hexdigest()[:40]
        node: Node = {"access_token": f"authbseB{token}", "auth_start": "2026-01-01 00:00:00"}
        node |= {"expires_in": 1_296_000, "re_expires_in": 2_592_000}
        node["refresh_token"] = f"authbseR{token}"
        node["user_id" if _BUYER_ID.fullmatch(payer_id) else "open_id"] = payer_id
        return node

    def pay(self, payer: Payer, now_ms: int) -> WalletAnswer | None:
        """The payer's phone: scans a code of ours, or opens a trade from a page."""
        order = self._by_code.get(payer.code)
        trade = self._books.find("", payer.order, now_ms) if payer.order else None
        if order is not None:
            trade = self._books.find(order.out_trade_no, "", now_ms)
            if trade is None:
                why = self._refuses(order, now_ms)
                if why:
                    return _told(order, why)
                trade = self._scanned(order, payer, now_ms)
        if trade is None:
            return None
        if payer.act is Scenario.CROSSED:
            trade.reopen()
        why = _cannot_pay(trade, payer)
        if why or payer.act is Scenario.NEVER_PAYS:
            return _told(trade, why)
        later_ms = self._user_paying_after_ms if payer.act is Scenario.USER_PAYING else 0
        trade.pays_at_ms = now_ms + later_ms
        trade.settle(now_ms)
        self._books.look_again(trade)
        return _told(trade, "", paid=bool(trade.paid_at_ms))

    def _refuses(self, order: CodeOrder, now_ms: int) -> str:
        if self._books.is_refused(order.out_trade_no):
            return "the order is cancelled"
        return "the code has expired" if now_ms >= order.expires_at_ms else ""

    def _scanned(self, order: CodeOrder, payer: Payer, now_ms: int) -> Trade:
        return self._books.open(
            order.out_trade_no,
            order.total_fen,
            order.subject,
            "",
            NEVER,
            now_ms,
            notify_url=order.notify_url,
            payer_id=payer.payer_id or PAYER_ID,
            expires_at_ms=order.expires_at_ms,
            store_id=order.store_id,
            terminal_id=order.terminal_id,
        )


def _place(biz: Biz) -> tuple[str, str]:
    """Where the order was made: store and terminal, as its bill tells them."""
    return text(biz, "store_id"), text(biz, "terminal_id")


def expiry_ms(biz: Biz, now_ms: int) -> int:
    """When an order closes: ``timeout_express`` after now, or ``time_expire``, or in two hours."""
    express, expire = text(biz, "timeout_express"), text(biz, "time_expire")
    if expire:
        try:
            at = datetime.strptime(expire, "%Y-%m-%d %H:%M:%S").replace(tzinfo=BEIJING)
        except ValueError:
            raise invalid("time_expire") from None
        return int(at.timestamp()) * 1000
    if not express:
        return now_ms + _ORDER_LIFE_MS
    found = _EXPRESS.fullmatch(express)
    if found is None:
        raise invalid("timeout_express")
    count, unit = found.groups()
    return now_ms + (int(count) * _UNIT_MS[unit] if unit else _DAY_MS)


def _code(number: str) -> str:
    return f"{_URL}bax{hashlib.sha256(number.encode()).hexdigest()[:24]}"


def _cannot_pay(trade: Trade, payer: Payer) -> str:
    if trade.closed:
        return "the order is closed"
    if trade.paid_at_ms:
        return "the order is paid"
    if payer.payer_id and payer.payer_id != trade.payer_id:
        return "the order is another payer's"
    return "the wallet refused" if payer.act is Scenario.DECLINED else ""


def _told(order: CodeOrder | Trade, why: str, *, paid: bool = False) -> WalletAnswer:
    return WalletAnswer(
        channel=CHANNEL,
        order_no=order.out_trade_no,
        amount_fen=order.total_fen,
        paid=paid,
        why=why,
        subject=order.subject,
    )
