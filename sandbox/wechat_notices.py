"""What the simulated WeChat Pay tells its merchants unasked (``channels.md`` B2).

Rules: a notice is written once and signed anew at each sending; its resource is encrypted
under the APIv3 key. APIv2's codes (micropay) bring none. 200 or 204 acknowledges. The
vendor's schedule is :data:`SCHEDULE_S`; a probe carries a signature that must fail.
"""

from dataclasses import dataclass, field
from typing import Final

import orjson

from sandbox.wechat_books import Order, Refund
from sandbox.wechat_keys import RSA_SCHEME, Signer, rfc3339
from sandbox.wechat_state import WeChatState
from sandbox.wechat_v3_methods import order_node, refund_status

SCHEDULE_S: Final = (
    15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10_800, 10_800, 10_800, 21_600, 21_600,
)  # fmt: skip
"""The vendor's pauses between sendings: fifteen repeats in 24 hours and 4 minutes."""

PROBE: Final = "WECHATPAY/SIGNTEST/"


@dataclass(frozen=True, slots=True)
class SignedNotice:
    """One sending."""

    headers: dict[str, str]
    body: bytes = field(repr=False)


def payment_body(order: Order, state: WeChatState, now_ms: int, *, is_national: bool) -> bytes:
    """TRANSACTION.SUCCESS of a paid order."""
    node = order_node(order, bool(order.sub_mchid), state)
    return _body(
        f"pay {order.transaction_id}", "TRANSACTION.SUCCESS", "支付成功", "transaction", node,
        state, now_ms, is_national=is_national,
    )  # fmt: skip


def refund_body(
    order: Order, refund: Refund, state: WeChatState, now_ms: int, *, is_national: bool
) -> bytes:
    """REFUND.SUCCESS or REFUND.ABNORMAL."""
    status = refund_status(refund, now_ms)
    node: dict[str, object] = {
        **({"sp_mchid": state.config.mchid, "sub_mchid": order.sub_mchid}
           if order.sub_mchid else {"mchid": state.config.mchid}),
        "transaction_id": order.transaction_id,
        "out_trade_no": order.out_trade_no,
        "refund_id": refund.refund_id,
        "out_refund_no": refund.out_refund_no,
        "refund_status": status,
        "user_received_account": "支付用户零钱",
        "amount": {
            "total": order.total_fen,
            "refund": refund.amount_fen,
            "payer_total": order.total_fen,
            "payer_refund": refund.amount_fen,
        },
    }  # fmt: skip
    if status == "SUCCESS":
        node["success_time"] = rfc3339(refund.done_at_ms)
    summary = "退款成功" if status == "SUCCESS" else "退款异常"
    return _body(
        f"refund {refund.refund_id}", f"REFUND.{status}", summary, "refund", node, state, now_ms,
        is_national=is_national,
    )  # fmt: skip


def signed(body: bytes, state: WeChatState, signer: Signer, now_ms: int) -> SignedNotice:
    """One sending of a notice."""
    headers = signer.headers(body, state.keys.new_nonce(), now_ms)
    return SignedNotice({"Content-Type": "application/json", **headers}, body)


def probe(body: bytes, state: WeChatState, signer: Signer, now_ms: int) -> SignedNotice:
    """The same with a false signature, as the platform sends to see whether it is checked."""
    made = signed(body, state, signer, now_ms)
    made.headers["Wechatpay-Signature"] = PROBE + made.headers["Wechatpay-Signature"]
    return made


def payment_notice(order: Order, state: WeChatState, signer: Signer, now_ms: int) -> SignedNotice:
    """A payment's, signed by ``signer``."""
    is_national = signer.scheme != RSA_SCHEME
    return signed(
        payment_body(order, state, now_ms, is_national=is_national), state, signer, now_ms
    )


def refund_notice(
    order: Order, refund: Refund, state: WeChatState, signer: Signer, now_ms: int
) -> SignedNotice:
    """A refund's, signed by ``signer``."""
    is_national = signer.scheme != RSA_SCHEME
    body = refund_body(order, refund, state, now_ms, is_national=is_national)
    return signed(body, state, signer, now_ms)


def _body(
    about: str, event: str, summary: str, kind: str, node: dict[str, object],
    state: WeChatState, now_ms: int, *, is_national: bool,
) -> bytes:  # fmt: skip
    resource = state.keys.encrypt(orjson.dumps(node), kind, is_national=is_national)
    return orjson.dumps(
        {
            "id": state.notice_id(about),
            "create_time": rfc3339(now_ms),
            "resource_type": "encrypt-resource",
            "event_type": event,
            "summary": summary,
            "resource": {"original_type": kind, **resource},
        }
    )
