"""What the simulated UnionPay tells a merchant's ``backUrl`` (reference ``channels.md`` C1).

Rules: a form, signed, of what is done; a failure is not told. HTTP 200 takes it; otherwise
it comes four more times, after 1, 2, 4 and 5 minutes.
"""

from collections.abc import Iterable
from typing import Final

from sandbox.notifier import Notice, NoticeRequest, Spoil
from sandbox.unionpay_qr_books import Order, clearing_day
from sandbox.unionpay_qr_envelope import Signer

CHANNEL: Final = "unionpay_qr"
SCHEDULE_S: Final = (60, 120, 240, 300)
_HEADERS: Final = {"Content-Type": "application/x-www-form-urlencoded;charset=UTF-8"}


def notices_of(orders: Iterable[Order], signer: Signer) -> list[Notice]:
    """One notice for each transaction that is done."""
    return [_notice(order, signer) for order in orders]


def told_of(order: Order, signer: Signer) -> dict[str, str]:
    """What is said of a transaction that is done, unsigned."""
    fields = {
        "accessType": "0",
        "bizType": "000000",
        "currencyCode": "156",
        "encoding": "UTF-8",
        "merId": signer.mer_id,
        "orderId": order.order_id,
        "queryId": order.query_id,
        "respCode": "00",
        "respMsg": "成功[0000000]",
        "settleAmt": str(order.amount_fen),
        "settleCurrencyCode": "156",
        "settleDate": f"{clearing_day(order.created_at_ms):%m%d}",
        "traceNo": order.query_id[14:20],
        "traceTime": order.query_id[4:14],
        "txnAmt": str(order.amount_fen),
        "txnSubType": order.sub_type,
        "txnTime": order.txn_time,
        "txnType": order.kind,
    }
    if order.reserved:
        fields["reqReserved"] = order.reserved
    if order.original is not None:
        fields["origQryId"] = order.original.query_id
    return fields


def _notice(order: Order, signer: Signer) -> Notice:
    fields = told_of(order, signer)

    def write(at_ms: int, spoil: Spoil) -> NoticeRequest:
        told = dict(fields)
        if spoil is Spoil.WRONG_AMOUNT:
            told["txnAmt"] = "1" if told["txnAmt"] != "1" else "2"
        return NoticeRequest(_HEADERS, signer.notice(told, forged=spoil is Spoil.FORGED))

    return Notice(
        channel=CHANNEL,
        order_no=order.order_id,
        event=f"{order.kind}/{order.sub_type}",
        url=order.back_url,
        write=write,
        is_taken=lambda status, body: status == 200,
    )
