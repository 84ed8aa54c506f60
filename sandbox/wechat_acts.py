"""What the simulated WeChat Pay does, whichever version of the API asked (``channels.md`` B).

Rules: an act takes plain values, the state and the time, and returns an order or a refund,
``None`` to hang up without an answer, or raises :class:`Refusal`, which has the code of
both versions.

Where the vendor leaves room, this side decides:

* The same number with the same content again: a pay that is open says USERPAYING, a paid one
  ORDERPAID, never a second success: the caller must query. Other content: INVALID_REQUEST.
* A pay that is declined leaves an order in PAYERROR.
* A reversal is refused within ``reverse_after_s`` of the pay and while the payer types
  (recall Y); of an order with refunds it is refused for good. A number that no order has is
  remembered, and refused from then on.
* A refund is accepted at once and done ``refund_after_ms`` later. The same number with the
  same content is the same refund, with other content INVALID_REQUEST.
"""

import hashlib
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Final

from sandbox.scenarios import FACE_CODE_PREFIX, WECHAT_BY_CODE, Scenario
from sandbox.wechat_books import (
    MAX_REFUNDS,
    NEVER,
    REFUND_WINDOW_MS,
    REVERSE_WINDOW_MS,
    Happened,
    Order,
    Refund,
    TradeState,
    TradeType,
)
from sandbox.wechat_state import WeChatState

MAX_TOTAL_FEN: Final = 1_000_000_000
ORDER_LIFE_MS: Final = 2 * 3600 * 1000

_V3_CODES: Final = {"NOTENOUGH": "NOT_ENOUGH"}
_OUT_TRADE_NO = re.compile(r"[A-Za-z0-9_\-*]{6,32}", re.ASCII)
_OUT_TRADE_NO_V2 = re.compile(r"[A-Za-z0-9_\-*|@]{6,32}", re.ASCII)
_OUT_REFUND_NO = re.compile(r"[A-Za-z0-9_\-|*@]{1,64}", re.ASCII)
_AUTH_CODE = re.compile(r"1[0-5][0-9]{16}", re.ASCII)
_FACE_CODE = re.compile(r"[A-Za-z0-9_\-]{8,128}", re.ASCII)


class Refusal(Exception):
    """The channel's no: APIv2's err_code, APIv3's status and code, and the vendor's words."""

    def __init__(
        self, code: str, message: str, *, status: int = 400, v3: str = "", recall: str = ""
    ) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.status = status
        self.v3 = v3 or code
        self.recall = recall


def invalid(name: str) -> Refusal:
    """A value that cannot be."""
    return Refusal("PARAM_ERROR", f"参数错误：{name}")


def no_such_order() -> Refusal:
    """Neither number is known to this merchant."""
    return Refusal("ORDERNOTEXIST", "订单不存在", status=404, v3="ORDER_NOT_EXIST")


def no_such_refund() -> Refusal:
    """No refund of this number."""
    return Refusal("REFUNDNOTEXIST", "退款单不存在", status=404, v3="RESOURCE_NOT_EXISTS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A new order as it was asked for."""

    out_trade_no: str
    sub_mchid: str
    sub_appid: str
    trade_type: TradeType
    total_fen: int
    description: str
    attach: str = ""
    notify_url: str = ""
    device: str = ""
    openid: str = field(default="", repr=False)
    code: str = field(default="", repr=False)
    expires_at_ms: int = 0
    is_national: bool = False

    @property
    def fingerprint(self) -> tuple[str, ...]:
        """What a repeat must say again; a code as its hash only."""
        return (
            self.trade_type.value,
            str(self.total_fen),
            self.description,
            self.attach,
            hashlib.sha256(self.code.encode()).hexdigest(),
            self.openid if self.trade_type is TradeType.JSAPI else "",
        )


def check_number(number: str, *, is_v3: bool) -> str:
    """An out_trade_no of the right shape."""
    if (_OUT_TRADE_NO if is_v3 else _OUT_TRADE_NO_V2).fullmatch(number) is None:
        raise invalid("out_trade_no")
    return number


def openid_of(payer: str) -> str:
    """The payer's name at this merchant: the same for the same code, and nobody's."""
    digest = hashlib.sha256(f"openid {payer}".encode()).digest()
    return "o" + urlsafe_b64encode(digest).decode()[:27]


def pay_by_code(wish: Wish, state: WeChatState, now_ms: int) -> Order | None:
    """micropay, facepay and codepay; ``None``: no answer."""
    known = state.books.find(wish.sub_mchid, wish.out_trade_no, now_ms)
    if known is not None:
        return _again(known, wish)
    if state.books.is_refused(wish.sub_mchid, wish.out_trade_no):
        raise Refusal("ORDERREVERSED", "当前订单已经被撤销", status=400, v3="ORDER_REVERSED")
    scenario = _scenario(wish)
    if scenario is Scenario.LOST_RESPONSE_NOT_CHARGED:
        return None
    prompt_ms = int(state.config.prompt_s * 1000)
    pays_at_ms = now_ms
    if scenario is Scenario.USER_PAYING:
        pays_at_ms = now_ms + state.user_paying_after_ms
    elif scenario in (Scenario.NEVER_PAYS, Scenario.DECLINED):
        pays_at_ms = NEVER
    order = _new(wish, pays_at_ms, now_ms + prompt_ms, now_ms)
    order.openid = wish.openid or openid_of(wish.code)
    if scenario is Scenario.DECLINED:
        order.decline = ("NOTENOUGH", "余额不足")
    state.books.open(order, now_ms)
    if scenario is Scenario.LOST_RESPONSE_CHARGED:
        return None
    return _told(order)


def _scenario(wish: Wish) -> Scenario:
    if wish.trade_type is TradeType.FACEPAY:
        if _FACE_CODE.fullmatch(wish.code) is None:
            raise invalid("face_code")
        word = wish.code.removeprefix(FACE_CODE_PREFIX)
        return Scenario(word) if word in {s.value for s in Scenario} else Scenario.APPROVED
    if _AUTH_CODE.fullmatch(wish.code) is None:
        raise Refusal(
            "AUTH_CODE_INVALID", "请扫描微信支付授权码(以10/11/12/13/14/15为前缀的18位数字)"
        )
    return WECHAT_BY_CODE.get(wish.code, Scenario.APPROVED)


def _told(order: Order) -> Order:
    """The order, if its pay succeeded; otherwise why it has not."""
    if order.state is TradeState.USERPAYING:
        raise Refusal("USERPAYING", "需要用户输入支付密码", status=202)
    if order.decline is not None:
        code, message = order.decline
        raise Refusal(code, message, status=403, v3=_V3_CODES.get(code, code))
    return order


def _again(order: Order, wish: Wish) -> Order:
    if order.state is TradeState.REVOKED:
        raise Refusal("ORDERREVERSED", "当前订单已经被撤销", v3="ORDER_REVERSED")
    if order.state is TradeState.CLOSED:
        raise Refusal("ORDERCLOSED", "该订单已关闭", v3="ORDER_CLOSED")
    if order.fingerprint != wish.fingerprint:
        raise Refusal("INVALID_REQUEST", "请求重入时，参数与首次请求时不一致，请检查参数后再试")
    if order.paid_at_ms:
        raise Refusal("ORDERPAID", "该订单已支付", status=403)
    return _told(order)


def prepare(wish: Wish, state: WeChatState, now_ms: int) -> Order:
    """native, jsapi, h5 and app: an order that a payer may pay until it expires."""
    known = state.books.find(wish.sub_mchid, wish.out_trade_no, now_ms)
    if known is not None:
        again = _again(known, wish) if known.state is not TradeState.NOTPAY else known
        if again.fingerprint != wish.fingerprint:
            raise Refusal("INVALID_REQUEST", "请求重入时，参数与首次请求时不一致，请检查参数后再试")
        return again
    if state.books.is_refused(wish.sub_mchid, wish.out_trade_no):
        raise Refusal("ORDERCLOSED", "该订单已关闭", v3="ORDER_CLOSED")
    expires_at_ms = wish.expires_at_ms or now_ms + ORDER_LIFE_MS
    return state.books.open(_new(wish, NEVER, expires_at_ms, now_ms), now_ms)


def _new(wish: Wish, pays_at_ms: int, gives_up_at_ms: int, now_ms: int) -> Order:
    return Order(
        out_trade_no=wish.out_trade_no,
        sub_mchid=wish.sub_mchid,
        sub_appid=wish.sub_appid,
        transaction_id="",
        trade_type=wish.trade_type,
        total_fen=wish.total_fen,
        description=wish.description,
        attach=wish.attach,
        openid=wish.openid,
        created_at_ms=now_ms,
        pays_at_ms=pays_at_ms,
        gives_up_at_ms=gives_up_at_ms,
        fingerprint=wish.fingerprint,
        notify_url=wish.notify_url,
        device=wish.device,
        is_national=wish.is_national,
    )


def find(
    sub_mchid: str, out_trade_no: str, transaction_id: str, state: WeChatState, now_ms: int
) -> Order | None:
    """The order of either number; WeChat's leads when both are given."""
    if transaction_id:
        return state.books.by_transaction(sub_mchid, transaction_id, now_ms)
    return state.books.find(sub_mchid, out_trade_no, now_ms)


def reverse(
    sub_mchid: str, out_trade_no: str, transaction_id: str, state: WeChatState, now_ms: int
) -> None:
    """Undo a pay by code whatever became of it."""
    order = find(sub_mchid, out_trade_no, transaction_id, state, now_ms)
    if order is None:
        if not out_trade_no:
            raise Refusal("INVALID_TRANSACTIONID", "无效transaction_id", recall="N")
        state.books.refuse(sub_mchid, out_trade_no)
        return
    if order.state is TradeState.REVOKED:
        return
    if order.trade_type not in (TradeType.MICROPAY, TradeType.FACEPAY):
        raise Refusal("INVALID_REQUEST", "该订单不支持撤销", recall="N")
    if now_ms - order.created_at_ms < state.config.reverse_after_s * 1000:
        raise Refusal("TRADE_ERROR", "支付后15秒内不能撤销，请稍后再试", recall="Y")
    if order.state is TradeState.USERPAYING:
        raise Refusal("USERPAYING", "用户支付中，需要输入密码", status=202, recall="Y")
    if now_ms - order.created_at_ms > REVERSE_WINDOW_MS:
        raise Refusal(
            "REVERSE_EXPIRE", "订单无法撤销", status=403, v3="REVERSE_EXPIRED", recall="N"
        )
    if order.refunds:
        raise Refusal("TRADE_ERROR", "订单已发生退款，不能撤销", recall="N")
    order.revoke(now_ms)


def close(sub_mchid: str, out_trade_no: str, state: WeChatState, now_ms: int) -> None:
    """Close an unpaid order that was prepared; closing it again changes nothing."""
    order = state.books.find(sub_mchid, out_trade_no, now_ms)
    if order is None:
        raise no_such_order()
    if order.trade_type in (TradeType.MICROPAY, TradeType.FACEPAY):
        raise Refusal("INVALID_REQUEST", "268449641 付款码订单不支持关单，请使用撤销接口")
    if order.paid_at_ms:
        raise Refusal("ORDERPAID", "该订单已支付", v3="ORDER_PAID")
    order.is_closed = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundWish:
    """A refund as it was asked for."""

    sub_mchid: str
    out_trade_no: str
    transaction_id: str
    out_refund_no: str
    total_fen: int
    refund_fen: int
    notify_url: str = ""
    is_national: bool = False


def refund(wish: RefundWish, state: WeChatState, now_ms: int) -> tuple[Order, Refund]:
    """Return money once under ``out_refund_no``."""
    if _OUT_REFUND_NO.fullmatch(wish.out_refund_no) is None:
        raise invalid("out_refund_no")
    order = find(wish.sub_mchid, wish.out_trade_no, wish.transaction_id, state, now_ms)
    if order is None:
        raise Refusal("ORDERNOTEXIST", "订单不存在", status=404, v3="RESOURCE_NOT_EXISTS")
    _check_refund(wish, order, now_ms)
    known = state.books.refund(wish.sub_mchid, wish.out_refund_no)
    if known is not None:
        if known[0] is not order or known[1].amount_fen != wish.refund_fen:
            raise Refusal("INVALID_REQUEST", "订单金额或退款金额与之前请求不一致，请核实后再试")
        return known
    if len(order.refunds) >= MAX_REFUNDS:
        raise Refusal("INVALID_REQUEST", "部分退款次数超过限制")
    if order.promised_fen + wish.refund_fen > order.charged_fen:
        raise Refusal("INVALID_REQUEST", "申请退款金额大于订单可退金额")
    done_at_ms = now_ms + state.config.refund_after_ms
    made = state.books.give_back(order, wish.out_refund_no, wish.refund_fen, done_at_ms, now_ms)
    made.notify_url, made.is_national = wish.notify_url, wish.is_national
    state.books.look_again(done_at_ms, Happened(order, made))
    return order, made


def _check_refund(wish: RefundWish, order: Order, now_ms: int) -> None:
    if order.state not in (TradeState.SUCCESS, TradeState.REFUND):
        raise Refusal("TRADE_STATE_ERROR", "订单状态错误", status=403, v3="INVALID_REQUEST")
    if now_ms - order.paid_at_ms > REFUND_WINDOW_MS:
        raise Refusal("TRADE_OVERDUE", "订单已经超过退款期限", status=403, v3="INVALID_REQUEST")
    if wish.total_fen != order.total_fen:
        raise Refusal("REFUND_FEE_MISMATCH", "订单金额不一致", v3="INVALID_REQUEST")
    if not 0 < wish.refund_fen <= order.total_fen:
        raise invalid("refund")
