"""The simulated APIv2: XML in, XML out (reference ``channels.md`` B1).

Rules: what is no request of ours (unreadable, another merchant, a wrong signature) is
answered ``return_code`` FAIL, unsigned, as the vendor does; every other answer is signed
with the request's own sign type. ``/secapi`` and the fund flow demand the merchant's
certificate in TLS and answer plain 400 without it. Bills are text, their refusals XML.
"""

import base64
import gzip
import hashlib
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from domain.clock import beijing
from sandbox.effects import HANG_UP, Effect
from sandbox.http_wire import HttpRequest, response
from sandbox.wechat_acts import (
    MAX_TOTAL_FEN,
    RefundWish,
    Refusal,
    Wish,
    check_number,
    find,
    invalid,
    no_such_order,
    no_such_refund,
    openid_of,
    pay_by_code,
    refund,
    reverse,
)
from sandbox.wechat_bill import BillNotThere, BillWanted, bill_text
from sandbox.wechat_books import BooksFull, Order, Refund, TradeState, TradeType
from sandbox.wechat_state import WeChatState
from sandbox.wechat_xml import HMAC_SHA256, MD5, XmlError, read_xml, sign_v2, write_xml

XML: Final = b"text/plain; charset=utf-8"
Values = dict[str, str]
AUTHINFO_LIFE_S: Final = 3600

STATE_TEXT: Final[Mapping[TradeState, str]] = MappingProxyType(
    {
        TradeState.SUCCESS: "支付成功",
        TradeState.REFUND: "订单发生过退款，退款详情请查询退款单",
        TradeState.NOTPAY: "订单未支付",
        TradeState.CLOSED: "订单已关闭",
        TradeState.REVOKED: "订单已撤销",
        TradeState.USERPAYING: "需要用户输入支付密码",
        TradeState.PAYERROR: "支付失败，请撤销订单",
    }
)


class _Failed(Exception):
    """Refused before any operation sees it: ``return_code`` FAIL."""


def handle(request: HttpRequest, state: WeChatState, now_ms: int) -> Effect:
    """Answer one call of APIv2."""
    if needs_certificate(request.path) and not _is_certified(request, state):
        page = b"<html><head><title>400 No required SSL certificate was sent</title></head></html>"
        return Effect(response(400, page, b"text/html", keep_alive=True))
    try:
        values = _accept(request, state)
    except _Failed as failed:
        return _xml({"return_code": "FAIL", "return_msg": str(failed)})
    if request.path in _BILLS:
        return _bill(request.path, values, state, now_ms)
    sign_type = values.get("sign_type", MD5)
    answer: Values = {"return_code": "SUCCESS", "return_msg": "OK"}
    answer |= _identity(values)
    try:
        done = _OPERATIONS[request.path](values, state, now_ms)
        if done is None:
            return HANG_UP
        answer |= {"result_code": "SUCCESS", **done}
    except Refusal as no:
        answer |= refused(no)
    except BooksFull:
        answer |= refused(Refusal("SYSTEMERROR", "系统繁忙，请稍后再试"))
    return _signed(answer, state, sign_type)


def refusal(request: HttpRequest, state: WeChatState, code: str) -> Effect:
    """A fault on demand: this err_code, ``return_code`` FAIL for ``FAIL``, or an HTTP status."""
    if code[0].isdigit():
        return Effect(response(int(code[:3]), b"", XML, keep_alive=True))
    try:
        values = read_xml(request.body)
    except XmlError:
        values = {}
    if code == "FAIL":
        return _xml({"return_code": "FAIL", "return_msg": "系统繁忙"})
    answer: Values = {"return_code": "SUCCESS", "return_msg": "OK", **_identity(values)}
    answer |= refused(Refusal(code, "沙箱按要求返回的错误"))
    return _signed(answer, state, values.get("sign_type", MD5))


def refused(no: Refusal) -> Values:
    """The fields of a refusal."""
    fields = {"result_code": "FAIL", "err_code": no.code, "err_code_des": no.message}
    return {**fields, "recall": no.recall} if no.recall else fields


def needs_certificate(path: str) -> bool:
    """Whether the operation demands mutual TLS."""
    return path.startswith("/secapi/") or path == "/pay/downloadfundflow"


def _is_certified(request: HttpRequest, state: WeChatState) -> bool:
    return request.client_certificate == state.keys.merchant_certificate


def _accept(request: HttpRequest, state: WeChatState) -> Values:
    if request.method != "POST":
        raise _Failed("请使用post方法")
    try:
        values = read_xml(request.body)
    except XmlError:
        raise _Failed("XML格式错误") from None
    config = state.config
    for name in ("appid", "mch_id", "nonce_str", "sign"):
        if not values.get(name):
            raise _Failed(f"缺少参数:{name}")
    if values["mch_id"] != config.mchid:
        raise _Failed("商户号不存在")
    if values["appid"] != config.appid:
        raise _Failed("appid和mch_id不匹配")
    if not state.knows(values.get("sub_mch_id", "")):
        raise _Failed("特约子商户商户号未授权服务商的产品权限")
    sign_type = values.get("sign_type", MD5)
    if sign_type not in (MD5, HMAC_SHA256):
        raise _Failed("签名类型错误")
    if request.path == "/pay/downloadfundflow" and sign_type != HMAC_SHA256:
        raise _Failed("签名类型错误，仅支持HMAC-SHA256")
    if values["sign"] != sign_v2(values, config.api_v2_key, sign_type):
        raise _Failed("签名错误")
    return values


def _identity(values: Values) -> Values:
    names = ("appid", "mch_id", "sub_appid", "sub_mch_id", "device_info")
    return {name: values[name] for name in names if values.get(name)}


def _signed(answer: Values, state: WeChatState, sign_type: str) -> Effect:
    answer["nonce_str"] = state.keys.new_nonce()
    answer["sign"] = sign_v2(answer, state.config.api_v2_key, sign_type)
    return _xml(answer)


def _xml(answer: Values) -> Effect:
    return Effect(response(200, write_xml(answer), XML, keep_alive=True))


def _fen(values: Values, name: str) -> int:
    text = values.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 11) or text.startswith("0"):
        raise invalid(name)
    amount_fen = int(text)
    if amount_fen > MAX_TOTAL_FEN:
        raise invalid(name)
    return amount_fen


def _text(values: Values, name: str, longest: int) -> str:
    text = values.get(name, "")
    if not 0 < len(text.encode()) <= longest:
        raise invalid(name)
    return text


def _numbers(values: Values) -> tuple[str, str, str]:
    """sub_mch_id, out_trade_no, transaction_id; one of the numbers is needed."""
    out_trade_no, transaction_id = values.get("out_trade_no", ""), values.get("transaction_id", "")
    if not out_trade_no and not transaction_id:
        raise Refusal("LACK_PARAMS", "缺少参数：out_trade_no,transaction_id")
    return values.get("sub_mch_id", ""), out_trade_no, transaction_id


def _pay(
    values: Values, state: WeChatState, now_ms: int, trade_type: TradeType, code_name: str
) -> Values | None:
    _text(values, "spbill_create_ip", 64)
    _check_scene(values.get("scene_info", ""))
    order = pay_by_code(
        Wish(
            out_trade_no=check_number(values.get("out_trade_no", ""), is_v3=False),
            sub_mchid=values.get("sub_mch_id", ""),
            sub_appid=values.get("sub_appid", ""),
            trade_type=trade_type,
            total_fen=_fen(values, "total_fee"),
            description=_text(values, "body", 128),
            attach=values.get("attach", ""),
            device=values.get("device_info", ""),
            openid=values.get("openid", ""),
            code=values.get(code_name, ""),
        ),
        state,
        now_ms,
    )
    return None if order is None else _paid(order)


def _check_scene(text: str) -> None:
    """``{"store_info":{"id":…}}``, where it is there at all."""
    try:
        store = json.loads(text)["store_info"] if text else {"id": "none"}
        if len(text) > 256 or not store["id"]:
            raise invalid("scene_info")
    except (ValueError, TypeError, KeyError):
        raise invalid("scene_info") from None


def _micropay(values: Values, state: WeChatState, now_ms: int) -> Values | None:
    return _pay(values, state, now_ms, TradeType.MICROPAY, "auth_code")


def _facepay(values: Values, state: WeChatState, now_ms: int) -> Values | None:
    _text(values, "openid", 128)
    return _pay(values, state, now_ms, TradeType.FACEPAY, "face_code")


def _paid(order: Order) -> Values:
    fee = str(order.total_fen)
    paid = {
        "openid": order.openid,
        "is_subscribe": "N",
        "trade_type": order.trade_type.value,
        "bank_type": "OTHERS",
        "fee_type": "CNY",
        "total_fee": fee,
        "cash_fee_type": "CNY",
        "cash_fee": fee,
        "transaction_id": order.transaction_id,
        "out_trade_no": order.out_trade_no,
        "attach": order.attach,
        "time_end": f"{beijing(order.paid_at_ms):%Y%m%d%H%M%S}",
    }
    return {name: value for name, value in paid.items() if value}


def _query(values: Values, state: WeChatState, now_ms: int) -> Values:
    order = find(*_numbers(values), state, now_ms)
    if order is None:
        raise no_such_order()
    answer = {"out_trade_no": order.out_trade_no}
    if order.attach:
        answer["attach"] = order.attach
    if order.paid_at_ms:
        answer |= _paid(order)
    text = STATE_TEXT[order.state]
    return {**answer, "trade_state": order.state.value, "trade_state_desc": text}


def _reverse(values: Values, state: WeChatState, now_ms: int) -> Values:
    reverse(*_numbers(values), state, now_ms)
    return {"recall": "N"}


def _refund(values: Values, state: WeChatState, now_ms: int) -> Values:
    sub_mchid, out_trade_no, transaction_id = _numbers(values)
    order, made = refund(
        RefundWish(
            sub_mchid=sub_mchid,
            out_trade_no=out_trade_no,
            transaction_id=transaction_id,
            out_refund_no=values.get("out_refund_no", ""),
            total_fen=_fen(values, "total_fee"),
            refund_fen=_fen(values, "refund_fee"),
            notify_url=values.get("notify_url", ""),
        ),
        state,
        now_ms,
    )
    return {
        "transaction_id": order.transaction_id,
        "out_trade_no": order.out_trade_no,
        "out_refund_no": made.out_refund_no,
        "refund_id": made.refund_id,
        "refund_fee": str(made.amount_fen),
        "total_fee": str(order.total_fen),
        "cash_fee": str(order.total_fen),
        "cash_refund_fee": str(made.amount_fen),
        "fee_type": "CNY",
    }


def _refund_query(values: Values, state: WeChatState, now_ms: int) -> Values:
    order, refunds = _refunds_meant(values, state, now_ms)
    answer = {
        "transaction_id": order.transaction_id,
        "out_trade_no": order.out_trade_no,
        "total_fee": str(order.total_fen),
        "cash_fee": str(order.total_fen),
        "refund_count": str(len(refunds)),
        "total_refund_count": str(len(order.refunds)),
        "refund_fee": str(sum(one.amount_fen for one in refunds)),
    }
    for index, one in enumerate(refunds):
        answer |= {
            f"out_refund_no_{index}": one.out_refund_no,
            f"refund_id_{index}": one.refund_id,
            f"refund_channel_{index}": "ORIGINAL",
            f"refund_fee_{index}": str(one.amount_fen),
            f"refund_account_{index}": "REFUND_SOURCE_UNSETTLED_FUNDS",
            f"refund_recv_accout_{index}": "支付用户零钱",
            f"refund_status_{index}": _refund_status(one, now_ms),
        }
        if one.is_done(now_ms):
            done = f"{beijing(one.done_at_ms):%Y-%m-%d %H:%M:%S}"
            answer[f"refund_success_time_{index}"] = done
    return answer


def _refunds_meant(values: Values, state: WeChatState, now_ms: int) -> tuple[Order, list[Refund]]:
    """refund_id leads, then out_refund_no, then the order's numbers, as the vendor says."""
    sub_mchid, books = values.get("sub_mch_id", ""), state.books
    refund_id, out_refund_no = values.get("refund_id", ""), values.get("out_refund_no", "")
    if refund_id or out_refund_no:
        found = (
            books.by_refund_id(sub_mchid, refund_id)
            if refund_id
            else books.refund(sub_mchid, out_refund_no)
        )
        if found is None:
            raise no_such_refund()
        return found[0], [found[1]]
    order = find(*_numbers(values), state, now_ms)
    if order is None or not order.refunds:
        raise no_such_refund()
    return order, list(order.refunds.values())


def _refund_status(one: Refund, now_ms: int) -> str:
    if one.is_abnormal:
        return "CHANGE"
    return "SUCCESS" if one.is_done(now_ms) else "PROCESSING"


def _openid(values: Values, state: WeChatState, now_ms: int) -> Values:
    code = values.get("auth_code", "")
    if len(code) != 18 or not code.isdigit():
        raise Refusal("AUTH_CODE_INVALID", "授权码检验错误")
    return {"openid": openid_of(code)}


def _authinfo(values: Values, state: WeChatState, now_ms: int) -> Values:
    for name, longest in (("store_id", 32), ("store_name", 128), ("device_id", 32)):
        _text(values, name, longest)
    rawdata = _text(values, "rawdata", 2048)
    now = values.get("now", "")
    if not now.isdigit() or abs(int(now) - now_ms // 1000) > 300:
        raise invalid("now")
    if values.get("version") != "1":
        raise invalid("version")
    proof = hashlib.sha256(f"{rawdata} {now} {state.config.api_v2_key}".encode()).digest()
    return {"authinfo": base64.b64encode(proof * 4).decode(), "expires_in": str(AUTHINFO_LIFE_S)}


def _bill(path: str, values: Values, state: WeChatState, now_ms: int) -> Effect:
    tar_type = values.get("tar_type", "")
    kind = values.get("bill_type", "ALL") if path == "/pay/downloadbill" else "FUNDFLOW"
    date = values.get("bill_date", "")
    try:
        if tar_type not in ("", "GZIP") or not (len(date) == 8 and date.isdigit()):
            raise BillNotThere("invalid bill_type or bill_date", "20001")
        day = f"{date[:4]}-{date[4:6]}-{date[6:]}"
        wanted = BillWanted(kind, day, values.get("sub_mch_id", ""))
        text = bill_text(wanted, state, now_ms)
    except BillNotThere as no:
        return _xml({"return_code": "FAIL", "return_msg": no.v2_words, "error_code": no.v2_code})
    raw = text.replace("\n", "\r\n").encode("utf-8-sig")
    if tar_type == "GZIP":
        raw = gzip.compress(raw, mtime=0)
    return Effect(response(200, raw, XML, keep_alive=True))


_Operation = Callable[[Values, WeChatState, int], Values | None]
_OPERATIONS: Final[Mapping[str, _Operation]] = MappingProxyType(
    {
        "/pay/micropay": _micropay,
        "/pay/orderquery": _query,
        "/secapi/pay/reverse": _reverse,
        "/secapi/pay/refund": _refund,
        "/pay/refundquery": _refund_query,
        "/tools/authcodetoopenid": _openid,
        "/pay/facepay": _facepay,
        "/pay/facepayquery": _query,
        "/secapi/pay/facepayreverse": _reverse,
        "/face/get_wxpayface_authinfo": _authinfo,
    }
)
_BILLS: Final = ("/pay/downloadbill", "/pay/downloadfundflow")
PATHS: Final = frozenset((*_OPERATIONS, *_BILLS))
"""Every path of APIv2 that is simulated."""
