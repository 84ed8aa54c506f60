"""What the simulated Alipay answers to each trade method (reference ``channels.md`` A3, A4).

Rules: a method takes the parsed ``biz_content``, the books and the time, and returns
the fields of its response node, or ``None`` to hang up without an answer.

Where the vendor leaves room, this side decides:

* A second pay of a paid number is ``ACQ.TRADE_HAS_SUCCESS`` whoever asks, never a
  second 10000: the caller must query. Other amount, subject or code for a known
  number: ``ACQ.CONTEXT_INCONSISTENT``. A closed or cancelled one:
  ``ACQ.TRADE_HAS_CLOSE``. A declined pay leaves no trade; the number may be used again.
* Cancelling a number that no trade has answers 10000 **without** ``action`` and
  ``trade_no`` (the vendor returns them only "when the trade exists"), and that number
  is refused from then on.
* A cancel's window is 24 hours from the trade's creation.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from domain.money import format_yuan
from sandbox.alipay_books import CANCEL_WINDOW_MS, NEVER, AlipayBooks, Trade, TradeStatus
from sandbox.alipay_calls import (
    Biz,
    Node,
    Refusal,
    amount_fen,
    beijing_text,
    invalid,
    new_number,
    not_exist,
    subject_of,
    success,
    text,
)
from sandbox.scenarios import ALIPAY_BY_CODE, Scenario

_AUTH_CODE = re.compile(r"(?:2[5-9]|30)[0-9]{14,22}", re.ASCII)


MAX_SHARES: Final = 20


def _named(biz: Biz, books: AlipayBooks, now_ms: int) -> Trade | None:
    """The trade that a request names by either number, ``None`` if there is none."""
    out_trade_no, trade_no = text(biz, "out_trade_no"), text(biz, "trade_no")
    if not out_trade_no and not trade_no:
        raise invalid("out_trade_no,trade_no")
    return books.find(out_trade_no, trade_no, now_ms)


def _trade(biz: Biz, books: AlipayBooks, now_ms: int) -> Trade:
    trade = _named(biz, books, now_ms)
    if trade is None:
        raise not_exist()
    return trade


def _buyer(node: Node, trade: Trade) -> None:
    node["buyer_logon_id"] = trade.buyer_logon_id
    node["buyer_user_id"] = trade.buyer_id


def _amounts(node: Node, trade: Trade) -> None:
    """What the buyer paid and the merchant receives; nothing while unpaid."""
    total = format_yuan(trade.total_fen)
    paid = total if trade.paid_at_ms else "0.00"
    node["total_amount"] = total
    node["buyer_pay_amount"] = node["invoice_amount"] = node["receipt_amount"] = paid
    node["point_amount"] = "0.00"


def pay(
    biz: Biz,
    books: AlipayBooks,
    user_paying_after_ms: int,
    notify_url: str,
    now_ms: int,
    *,
    face: str = "",
) -> Node | None:
    """alipay.trade.pay, scene bar_code; of ``face``, whose token is good, security_code."""
    number, subject = new_number(biz), subject_of(biz)
    total_fen = amount_fen(biz, "total_amount")
    if biz.get("scene", "bar_code") != ("security_code" if face else "bar_code"):
        raise invalid("scene")
    auth_code = text(biz, "auth_code")
    trade = books.find(number, "", now_ms)
    if trade is not None:
        return _pay_again(trade, total_fen, subject, auth_code)
    if books.is_refused(number):
        raise Refusal("ACQ.TRADE_HAS_CLOSE", "交易已经关闭")
    if not face and _AUTH_CODE.fullmatch(auth_code) is None:
        raise Refusal(
            "ACQ.PAYMENT_AUTH_CODE_INVALID",
            "支付失败，获取顾客账户信息失败，请顾客刷新付款码后重新收款",
        )
    scenario = ALIPAY_BY_CODE.get(auth_code, Scenario.APPROVED)
    if scenario is Scenario.DECLINED:
        raise Refusal("ACQ.BUYER_BALANCE_NOT_ENOUGH", "买家余额不足")
    if scenario is Scenario.LOST_RESPONSE_NOT_CHARGED:
        return None
    pays_at_ms = now_ms
    if scenario is Scenario.USER_PAYING:
        pays_at_ms = now_ms + user_paying_after_ms
    elif scenario is Scenario.NEVER_PAYS:
        pays_at_ms = NEVER
    trade = books.open(
        number,
        total_fen,
        subject,
        auth_code,
        pays_at_ms,
        now_ms,
        notify_url=notify_url,
        payer_id=face,
        store_id=text(biz, "store_id"),
        terminal_id=text(biz, "terminal_id"),
    )
    if scenario is Scenario.LOST_RESPONSE_CHARGED:
        return None
    return _paid(trade) if trade.paid_at_ms else _user_paying(trade)


def _pay_again(trade: Trade, total_fen: int, subject: str, auth_code: str) -> Node:
    if trade.closed:
        raise Refusal("ACQ.TRADE_HAS_CLOSE", "交易已经关闭")
    same = (trade.total_fen, trade.subject, trade.auth_code)
    if same != (total_fen, subject, auth_code):
        raise Refusal("ACQ.CONTEXT_INCONSISTENT", "交易信息被篡改")
    if trade.paid_at_ms:
        raise Refusal("ACQ.TRADE_HAS_SUCCESS", "交易已被支付")
    return _user_paying(trade)


def _paid(trade: Trade) -> Node:
    node = success()
    _buyer(node, trade)
    _amounts(node, trade)
    node["fund_bill_list"] = [
        {"amount": node["total_amount"], "fund_channel": "ALIPAYACCOUNT"},
    ]
    node["gmt_payment"] = beijing_text(trade.paid_at_ms)
    node["out_trade_no"] = trade.out_trade_no
    node["trade_no"] = trade.trade_no
    return node


def _user_paying(trade: Trade) -> Node:
    node: Node = {"code": "10003", "msg": " order success pay inprocess"}
    _buyer(node, trade)
    _amounts(node, trade)
    node["out_trade_no"] = trade.out_trade_no
    node["trade_no"] = trade.trade_no
    return node


def query(biz: Biz, books: AlipayBooks, now_ms: int) -> Node:
    """alipay.trade.query."""
    trade = _trade(biz, books, now_ms)
    node = success()
    _buyer(node, trade)
    _amounts(node, trade)
    node["out_trade_no"] = trade.out_trade_no
    if trade.paid_at_ms:
        node["send_pay_date"] = beijing_text(trade.paid_at_ms)
    node["trade_no"] = trade.trade_no
    node["trade_status"] = trade.status.value
    return node


def cancel(biz: Biz, books: AlipayBooks, now_ms: int) -> Node:
    """alipay.trade.cancel: closes or returns, and always says retry_flag N."""
    trade = _named(biz, books, now_ms)
    node = success()
    if trade is None:
        node["out_trade_no"] = new_number(biz)
        books.refuse(new_number(biz))
        node["retry_flag"] = "N"
        return node
    if not trade.cancel_action and now_ms - trade.created_at_ms > CANCEL_WINDOW_MS:
        raise Refusal("ACQ.TRADE_CANCEL_TIME_OUT", "超过撤销时间范围")
    node["action"] = trade.cancel(now_ms)
    node["out_trade_no"] = trade.out_trade_no
    node["retry_flag"] = "N"
    node["trade_no"] = trade.trade_no
    return node


def refund(biz: Biz, books: AlipayBooks, now_ms: int) -> Node:
    """alipay.trade.refund: one out_request_no returns money once; refund_fee is cumulative."""
    trade = _trade(biz, books, now_ms)
    wanted_fen = amount_fen(biz, "refund_amount")
    request_no = text(biz, "out_request_no") or trade.out_trade_no
    if trade.status is TradeStatus.WAIT_BUYER_PAY or not trade.paid_at_ms:
        raise Refusal("ACQ.TRADE_STATUS_ERROR", "交易状态不合法")
    done = trade.refunds.get(request_no)
    if done is not None and done.amount_fen != wanted_fen:
        raise Refusal("ACQ.DISCORDANT_REPEAT_REQUEST", "请求信息不一致")
    if done is None:
        if trade.returned_fen + wanted_fen > trade.charged_fen:
            raise Refusal("ACQ.REASON_TRADE_REFUND_FEE_ERR", "退款金额无效")
        trade.give_back(request_no, wanted_fen, now_ms)
    node = success()
    _buyer(node, trade)
    node["fund_change"] = "Y" if done is None else "N"
    node["gmt_refund_pay"] = beijing_text(now_ms)
    node["out_trade_no"] = trade.out_trade_no
    node["refund_fee"] = format_yuan(trade.returned_fen)
    node["trade_no"] = trade.trade_no
    return node


def refund_query(biz: Biz, books: AlipayBooks, now_ms: int) -> Node:
    """alipay.trade.fastpay.refund.query: an absent refund_status means not done."""
    trade = _trade(biz, books, now_ms)
    request_no = text(biz, "out_request_no")
    if not request_no:
        raise invalid("out_request_no")
    node = success()
    done = trade.refunds.get(request_no)
    if done is None:
        return node
    node["out_request_no"] = request_no
    node["out_trade_no"] = trade.out_trade_no
    node["refund_amount"] = format_yuan(done.amount_fen)
    node["refund_status"] = "REFUND_SUCCESS"
    node["total_amount"] = format_yuan(trade.total_fen)
    node["trade_no"] = trade.trade_no
    return node


def close(biz: Biz, books: AlipayBooks, now_ms: int) -> Node:
    """alipay.trade.close: unpaid trades only."""
    trade = _trade(biz, books, now_ms)
    if trade.status is not TradeStatus.WAIT_BUYER_PAY:
        raise Refusal("ACQ.TRADE_STATUS_ERROR", "交易状态不合法")
    trade.closed = True
    node = success()
    node["out_trade_no"] = trade.out_trade_no
    node["trade_no"] = trade.trade_no
    return node


def settle(biz: Biz, books: AlipayBooks, now_ms: int) -> Node:
    """alipay.trade.order.settle: shares of what was paid, once for each out_request_no."""
    trade = _trade(biz, books, now_ms)
    request_no = text(biz, "out_request_no")
    shares = biz.get("royalty_parameters")
    if not request_no or not isinstance(shares, list) or not 1 <= len(shares) <= MAX_SHARES:
        raise invalid("out_request_no,royalty_parameters")
    total_fen = 0
    for share in shares:
        if not isinstance(share, dict) or not text(share, "trans_in"):
            raise invalid("royalty_parameters")
        total_fen += amount_fen(share, "amount")
    if trade.status is not TradeStatus.TRADE_SUCCESS:
        raise Refusal("ACQ.TRADE_STATUS_ERROR", "交易状态不合法")
    done_fen = trade.shares.get(request_no)
    if done_fen is not None and done_fen != total_fen:
        raise Refusal("ACQ.DISCORDANT_REPEAT_REQUEST", "请求信息不一致")
    if done_fen is None:
        left_fen = trade.charged_fen - trade.returned_fen - sum(trade.shares.values())
        if total_fen > left_fen:
            raise Refusal("ACQ.ALLOC_AMOUNT_VALIDATE_ERROR", "分账金额超限")
        trade.shares[request_no] = total_fen
    serial = f"{trade.trade_no}{request_no}".encode()
    settle_no = str(int(hashlib.sha256(serial).hexdigest()[:15], 16))
    return {**success(), "settle_no": settle_no, "trade_no": trade.trade_no}


Method = Callable[[Biz, AlipayBooks, int], Node]
METHODS: Final[Mapping[str, Method]] = MappingProxyType(
    {
        "alipay.trade.query": query,
        "alipay.trade.cancel": cancel,
        "alipay.trade.refund": refund,
        "alipay.trade.fastpay.refund.query": refund_query,
        "alipay.trade.close": close,
        "alipay.trade.order.settle": settle,
    }
)
"""Every method but pay, which alone depends on a payer's time."""
