"""UnionPay's notifications, read and judged. Pure.

Rules (reference ``channels.md`` C1, G 2, G 16):

* A notification is verified like an answer, and must be for our merchant.
* It is never believed by itself: UnionPay's own words are to confirm with a query what
  moves money. Every word here has ``ask_first``.
* A failed payment is not notified; a silence is no "no".
* What undid a payment in the place of a reversal has no refund of ours: it is nothing to
  book (its own query told already).
* UnionPay counts HTTP 200 as received and sends five times otherwise.
"""

from typing import Final

from channels.inbound import (
    InboundReply,
    InboundRequest,
    NoticeRefused,
    OtherNotice,
    PaymentWord,
    RefundWord,
    Word,
)
from channels.port import Answer, RefundAnswer, Verdict
from channels.unionpay.qr_codes import DONE
from channels.unionpay.qr_envelope import AcpAccount, Distrusted, Fields, check, form_fields
from channels.unionpay.qr_numbers import undo_number
from channels.unionpay.qr_refund_wire import RESERVED, RETURNS
from channels.unionpay.qr_wire import PAYMENTS
from domain.ids import is_channel_number

TAKEN: Final = InboundReply(status=200, body=b"ok")
NOT_TAKEN: Final = InboundReply(status=500, body=b"later")
_REFUSED: Final = InboundReply(status=400, body=b"refused")
_PAYMENT_TYPES: Final = frozenset(kind.type for kind in PAYMENTS.values())


def read_notice(request: InboundRequest, account: AcpAccount, now_ms: int) -> Word:
    """The verified word; raises :class:`NoticeRefused`, and nothing else."""
    if request.method != "POST":
        raise NoticeRefused("not a POST", _REFUSED)
    try:
        fields = form_fields(request.body)
        check(fields, account, now_ms)
    except Distrusted as fault:
        raise NoticeRefused(fault.why, _REFUSED) from None
    order_no, kind = fields.get("orderId", ""), fields.get("txnType", "")
    if not is_channel_number(order_no):
        return OtherNotice(about="an order that is not ours")
    if kind in _PAYMENT_TYPES:
        return PaymentWord(order_no=order_no, answer=_paid(fields), ask_first=True)
    if kind in RETURNS:
        return _returned(fields, order_no)
    return OtherNotice(about="another transaction type")


def _paid(fields: Fields) -> Answer:
    code = fields.get("respCode", "")
    return Answer(
        verdict=Verdict.PENDING if code in DONE else Verdict.UNKNOWN,
        order_no=fields.get("orderId", ""),
        trade_no=fields.get("queryId", ""),
        channel_code=code,
    )


def _returned(fields: Fields, refund_no: str) -> Word:
    order_no = fields.get(RESERVED, "") or fields.get("origOrderId", "")
    if not is_channel_number(order_no):
        return OtherNotice(about="a return that does not name its payment")
    if refund_no == undo_number(order_no):
        return OtherNotice(about="a payment undone by a refund")
    code = fields.get("respCode", "")
    answer = RefundAnswer(
        verdict=Verdict.PENDING if code in DONE else Verdict.UNKNOWN,
        refund_no=refund_no,
        channel_code=code,
    )
    return RefundWord(order_no=order_no, refund_no=refund_no, answer=answer, ask_first=True)
