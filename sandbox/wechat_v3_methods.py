"""What the simulated APIv3 answers about orders and refunds (``channels.md`` B2).

Rules: bodies are read against a whitelist per interface, amounts are whole numbers of fen,
times RFC 3339. The partner variant names the service provider as ``sp_*`` and its merchant
as ``sub_*``; the direct one knows neither.
"""

import datetime
from collections.abc import Mapping
from typing import Any, Final, Protocol

from sandbox.wechat_acts import (
    MAX_TOTAL_FEN,
    RefundWish,
    Refusal,
    Wish,
    check_number,
    close,
    find,
    invalid,
    no_such_order,
    no_such_refund,
    pay_by_code,
    prepare,
    refund,
    reverse,
)
from sandbox.wechat_books import Order, Refund, TradeType
from sandbox.wechat_keys import SM_SCHEME, rfc3339
from sandbox.wechat_state import WeChatState
from sandbox.wechat_v2 import STATE_TEXT

Node = dict[str, object]

_H5: Final = "https://wx.tenpay.com/cgi-bin/mmpayweb-bin/checkmweb"
_DIRECT: Final = frozenset(("appid", "mchid"))
_PARTNER: Final = frozenset(("sp_appid", "sp_mchid", "sub_appid", "sub_mchid"))
_ORDER: Final = frozenset(
    ("description", "out_trade_no", "attach", "goods_tag", "support_fapiao", "amount", "detail",
     "scene_info", "settle_info")
)  # fmt: skip
_PREPARED: Final = _ORDER | {"time_expire", "notify_url"}
_KNOWN: Final[Mapping[str, frozenset[str]]] = {
    "native": _PREPARED,
    "app": _PREPARED,
    "h5": _PREPARED,
    "jsapi": _PREPARED | {"payer"},
    "codepay": _ORDER | {"payer"},
}
_REFUND: Final = frozenset(
    ("sub_mchid", "transaction_id", "out_trade_no", "out_refund_no", "reason", "notify_url",
     "funds_account", "amount", "goods_detail")
)  # fmt: skip
_TYPES: Final = {
    "native": TradeType.NATIVE,
    "jsapi": TradeType.JSAPI,
    "h5": TradeType.MWEB,
    "app": TradeType.APP,
    "codepay": TradeType.MICROPAY,
}


class Call(Protocol):
    """What an operation is handed (``sandbox.wechat_v3.Call``)."""

    @property
    def names(self) -> Mapping[str, str]:
        """The parts of the path; ``kind`` is its last word."""

    @property
    def is_partner(self) -> bool:
        """Whether a service provider calls for a merchant."""

    @property
    def query(self) -> Mapping[str, str]:
        """The query string's parameters."""

    @property
    def body(self) -> dict[str, Any]:
        """The JSON."""

    @property
    def scheme(self) -> str:
        """What the request was signed with."""


def make_order(call: Call, state: WeChatState, now_ms: int) -> Node:
    """native, jsapi, h5 and app."""
    kind, wish = call.names["kind"], _wish(call, state, now_ms)
    notify_url = _text(call.body, "notify_url", 255)
    if not notify_url.startswith(("https://", "http://")) or "?" in notify_url:
        raise invalid("notify_url")
    order = prepare(wish, state, now_ms)
    prepay_id, code_url = state.orders.show(order)
    match kind:
        case "native":
            return {"code_url": code_url}
        case "h5":
            return {"h5_url": f"{_H5}?prepay_id={prepay_id}"}
        case _:
            return {"prepay_id": prepay_id}


def pay_code(call: Call, state: WeChatState, now_ms: int) -> Node | None:
    """codepay: the payer's code."""
    order = pay_by_code(_wish(call, state, now_ms), state, now_ms)
    return None if order is None else order_node(order, call.is_partner, state)


def query_order(call: Call, state: WeChatState, now_ms: int) -> Node:
    """By either number."""
    sub_mchid = _merchant(call.query, call, state)
    names = call.names
    order = find(
        sub_mchid, names.get("out_trade_no", ""), names.get("transaction_id", ""), state, now_ms
    )
    if order is None:
        raise no_such_order()
    return order_node(order, call.is_partner, state)


def close_order(call: Call, state: WeChatState, now_ms: int) -> None:
    """Answers nothing: 204."""
    _whitelist(call.body, frozenset(("sp_mchid", "sub_mchid") if call.is_partner else ("mchid",)))
    close(_merchant(call.body, call, state), call.names["out_trade_no"], state, now_ms)


def reverse_order(call: Call, state: WeChatState, now_ms: int) -> Node:
    """The undo of codepay."""
    _whitelist(call.body, _PARTNER if call.is_partner else _DIRECT)
    sub_mchid, number = _merchant(call.body, call, state), call.names["out_trade_no"]
    reverse(sub_mchid, number, "", state, now_ms)
    return {**call.body, "out_trade_no": number}


def make_refund(call: Call, state: WeChatState, now_ms: int) -> Node:
    """Accepted: the status tells how far it is."""
    body = call.body
    _whitelist(body, _REFUND)
    sub_mchid = body.get("sub_mchid", "")
    if not isinstance(sub_mchid, str) or not state.knows(sub_mchid):
        raise invalid("sub_mchid")
    amount = _object(body, "amount", {"refund", "total", "currency", "from"})
    if amount.get("currency") != "CNY":
        raise invalid("currency")
    order, made = refund(
        RefundWish(
            sub_mchid=sub_mchid,
            out_trade_no=_optional(body, "out_trade_no"),
            transaction_id=_optional(body, "transaction_id"),
            out_refund_no=_text(body, "out_refund_no", 64),
            total_fen=_fen(amount, "total"),
            refund_fen=_fen(amount, "refund"),
            notify_url=_optional(body, "notify_url"),
            is_national=call.scheme == SM_SCHEME,
        ),
        state,
        now_ms,
    )
    return refund_node(order, made, now_ms)


def query_refund(call: Call, state: WeChatState, now_ms: int) -> Node:
    """By our number."""
    sub_mchid = call.query.get("sub_mchid", "")
    found = state.books.refund(sub_mchid, call.names["out_refund_no"])
    if found is None:
        raise no_such_refund()
    return refund_node(*found, now_ms)


def order_node(order: Order, is_partner: bool, state: WeChatState) -> Node:
    """An order as queries and notifications tell it."""
    node: Node = {}
    if is_partner:
        node |= {"sp_appid": state.config.appid, "sp_mchid": state.config.mchid}
        node["sub_mchid"] = order.sub_mchid
        if order.sub_appid:
            node["sub_appid"] = order.sub_appid
    else:
        node |= {"appid": state.config.appid, "mchid": state.config.mchid}
    node |= {"out_trade_no": order.out_trade_no}
    if order.paid_at_ms:
        node |= {
            "transaction_id": order.transaction_id,
            "trade_type": order.trade_type.value,
            "bank_type": "OTHERS",
            "success_time": rfc3339(order.paid_at_ms),
            "payer": {"sp_openid" if is_partner else "openid": order.openid},
        }
    node |= {
        "trade_state": order.state.value,
        "trade_state_desc": STATE_TEXT[order.state],
        "attach": order.attach,
        "amount": {
            "total": order.total_fen,
            "payer_total": order.total_fen,
            "currency": "CNY",
            "payer_currency": "CNY",
        },
    }
    return node


def refund_node(order: Order, made: Refund, now_ms: int) -> Node:
    """A refund as its answers tell it."""
    amounts = dict.fromkeys(("total", "payer_total", "settlement_total"), order.total_fen)
    amounts |= dict.fromkeys(("refund", "payer_refund", "settlement_refund"), made.amount_fen)
    node: Node = {
        "refund_id": made.refund_id,
        "out_refund_no": made.out_refund_no,
        "transaction_id": order.transaction_id,
        "out_trade_no": order.out_trade_no,
        "channel": "ORIGINAL",
        "user_received_account": "支付用户零钱",
        "create_time": rfc3339(made.created_at_ms),
        "status": refund_status(made, now_ms),
        "funds_account": "UNSETTLED",
        "amount": {**amounts, "discount_refund": 0, "currency": "CNY"},
    }
    if made.is_done(now_ms):
        node["success_time"] = rfc3339(made.done_at_ms)
    return node


def refund_status(made: Refund, now_ms: int) -> str:
    """APIv3's word."""
    if made.is_abnormal:
        return "ABNORMAL"
    return "SUCCESS" if made.is_done(now_ms) else "PROCESSING"


def _wish(call: Call, state: WeChatState, now_ms: int) -> Wish:
    kind, body = call.names["kind"], call.body
    _whitelist(body, _KNOWN[kind] | (_PARTNER if call.is_partner else _DIRECT))
    sub_mchid = _merchant(body, call, state)
    if body.get("sp_appid" if call.is_partner else "appid") != state.config.appid:
        raise Refusal("APPID_MCHID_NOT_MATCH", "appid和mch_id不匹配")
    amount = _object(body, "amount", {"total", "currency"})
    if amount.get("currency", "CNY") != "CNY":
        raise invalid("currency")
    payer: dict[str, Any] = {}
    if kind == "codepay":
        payer = _object(body, "payer", {"auth_code"})
        _object(_object(body, "scene_info", {"device_id", "device_ip", "store_info"}),
                "store_info", {"id", "out_id"})  # fmt: skip
    elif kind == "jsapi":
        payer = _object(body, "payer", {"openid", "sp_openid", "sub_openid"})
    elif kind == "h5":
        scene = _object(
            body, "scene_info", {"payer_client_ip", "device_id", "store_info", "h5_info"}
        )
        _text(scene, "payer_client_ip", 45)
        _text(_object(scene, "h5_info", None), "type", 32)
    openid = payer.get("openid") or payer.get("sp_openid") or payer.get("sub_openid") or ""
    if kind == "jsapi" and not (isinstance(openid, str) and 0 < len(openid) <= 128):
        raise invalid("openid")
    return Wish(
        out_trade_no=check_number(_text(body, "out_trade_no", 32), is_v3=True),
        sub_mchid=sub_mchid,
        sub_appid=_optional(body, "sub_appid"),
        trade_type=_TYPES[kind],
        total_fen=_fen(amount, "total"),
        description=_text(body, "description", 127 * 4),
        attach=_optional(body, "attach"),
        notify_url=_optional(body, "notify_url"),
        openid=openid,
        code=_text(payer, "auth_code", 32) if kind == "codepay" else "",
        expires_at_ms=_expiry(body, now_ms),
        is_national=call.scheme == SM_SCHEME,
    )


def _expiry(body: Mapping[str, Any], now_ms: int) -> int:
    text = _optional(body, "time_expire")
    if not text:
        return 0
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise invalid("time_expire") from None
    if moment.tzinfo is None or (expires_at_ms := int(moment.timestamp()) * 1000) <= now_ms:
        raise invalid("time_expire")
    return expires_at_ms


def _merchant(source: Mapping[str, Any], call: Call, state: WeChatState) -> str:
    """The merchant that the caller acts for: ``""`` for itself."""
    if source.get("sp_mchid" if call.is_partner else "mchid") != state.config.mchid:
        raise Refusal("PARAM_ERROR", "商户号与签名不一致")
    if not call.is_partner:
        return ""
    sub_mchid = source.get("sub_mchid", "")
    if not isinstance(sub_mchid, str) or not sub_mchid or not state.knows(sub_mchid):
        raise Refusal("NO_AUTH", "特约子商户商户号未授权服务商的产品权限", status=403)
    return sub_mchid


def _whitelist(body: Mapping[str, Any], known: frozenset[str]) -> None:
    if not body.keys() <= known:
        raise Refusal("PARAM_ERROR", "请求中含有未在API文档中定义的参数")


def _object(body: Mapping[str, Any], name: str, known: set[str] | None) -> dict[str, Any]:
    value = body.get(name)
    if not isinstance(value, dict):
        raise invalid(name)
    if known is not None:
        _whitelist(value, frozenset(known))
    return value


def _text(body: Mapping[str, Any], name: str, longest: int) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not 0 < len(value.encode()) <= longest:
        raise invalid(name)
    return value


def _optional(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str) or len(value.encode()) > 512:
        raise invalid(name)
    return value


def _fen(amount: Mapping[str, Any], name: str) -> int:
    value = amount.get(name)
    if type(value) is not int or not 0 < value <= MAX_TOTAL_FEN:
        raise invalid(name)
    return value
