"""What the simulated WeChat Pay tells its merchants unasked (``channels.md`` B2).

Rules: a notice has one id and is encrypted and signed anew at each sending, under the platform
certificate or under the public key, by turns of its orders: a merchant holds both; what was
asked for by the national scheme is told under the national key, sealed with SM4. Its
resource is encrypted under the APIv3 key. APIv2's codes (micropay) bring none, since they name
no ``notify_url``. 200 or 204 takes it. A forged one is the vendor's own probe: a signature
that begins :data:`PROBE`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from sandbox.notifier import Notice, NoticeRequest, Spoil
from sandbox.wechat_books import Happened, Order, Refund
from sandbox.wechat_keys import RSA_SCHEME, Signer, rfc3339
from sandbox.wechat_state import WeChatState
from sandbox.wechat_v3_methods import order_node, refund_status
from sandbox.wechat_wallet import CHANNEL

SCHEDULE_S: Final = (
    15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10_800, 10_800, 10_800, 21_600, 21_600,
)  # fmt: skip
"""The vendor's pauses between sendings: fifteen repeats in 24 hours and 4 minutes."""

PROBE: Final = "WECHATPAY/SIGNTEST/"
PAID: Final = "paid"
REFUNDED: Final = "refunded"


@dataclass(frozen=True, slots=True)
class _Telling:
    """One event in the vendor's words."""

    about: str
    event_type: str
    summary: str
    kind: str
    node: Mapping[str, Any]


def notices(state: WeChatState) -> Iterator[Notice]:
    """What merchants are to be told, each once."""
    happened, state.books.happened[:] = list(state.books.happened), []
    for one in happened:
        yield notice_of(one, state)


def notice_of(what: Happened, state: WeChatState) -> Notice:
    """The notice of a payment or a refund, signed by the key whose turn it is."""
    order, refund = what.order, what.refund
    turn = int(order.transaction_id[-1]) % 2
    signer = state.keys.by_public_key if turn else state.keys.by_certificate
    if (order if refund is None else refund).is_national:
        signer = state.keys.national or signer

    def write(now_ms: int, spoil: Spoil) -> NoticeRequest:
        return write_notice(what, state, signer, now_ms, spoil)

    return Notice(
        channel=CHANNEL,
        order_no=order.out_trade_no,
        event=PAID if refund is None else REFUNDED,
        url=order.notify_url if refund is None else refund.notify_url,
        write=write,
        is_taken=lambda status, body: status in (200, 204),
    )


def write_notice(
    what: Happened, state: WeChatState, signer: Signer, now_ms: int, spoil: Spoil = Spoil.NOT
) -> NoticeRequest:
    """One sending."""
    order, refund = what.order, what.refund
    telling = _payment(order, state) if refund is None else _refund(order, refund, state, now_ms)
    node = dict(telling.node)
    if spoil is Spoil.WRONG_AMOUNT:
        node["amount"] = {**node["amount"], "total": node["amount"]["total"] + 1}
    resource = state.keys.encrypt(
        orjson.dumps(node), telling.kind, is_national=signer.scheme != RSA_SCHEME
    )
    body = orjson.dumps(
        {
            "id": state.notice_id(telling.about),
            "create_time": rfc3339(now_ms),
            "resource_type": "encrypt-resource",
            "event_type": telling.event_type,
            "summary": telling.summary,
            "resource": {"original_type": telling.kind, **resource},
        }
    )
    headers = signer.headers(body, state.keys.new_nonce(), now_ms)
    if spoil is Spoil.FORGED:
        headers["Wechatpay-Signature"] = PROBE + headers["Wechatpay-Signature"]
    return NoticeRequest({"Content-Type": "application/json", **headers}, body)


def _payment(order: Order, state: WeChatState) -> _Telling:
    node = order_node(order, bool(order.sub_mchid), state)
    # A notice says what happened then, whatever became of the order since.
    node |= {"trade_state": "SUCCESS", "trade_state_desc": "支付成功"}
    about = f"pay {order.transaction_id}"
    return _Telling(about, "TRANSACTION.SUCCESS", "支付成功", "transaction", node)


def _refund(order: Order, refund: Refund, state: WeChatState, now_ms: int) -> _Telling:
    status = refund_status(refund, now_ms)
    ids = {"mchid": state.config.mchid}
    if order.sub_mchid:
        ids = {"sp_mchid": state.config.mchid, "sub_mchid": order.sub_mchid}
    node: dict[str, object] = {
        **ids,
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
    }
    if status == "SUCCESS":
        node["success_time"] = rfc3339(refund.done_at_ms)
    summary = "退款成功" if status == "SUCCESS" else "退款异常"
    return _Telling(f"refund {refund.refund_id}", f"REFUND.{status}", summary, "refund", node)
