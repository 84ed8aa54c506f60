"""ACP's voids and refunds on the wire: requests built, answers read. Pure.

Rules (reference ``channels.md`` C1):

* Each return is a transaction of its own, with an ``orderId`` of its own: an order's
  number under a refund is "duplicate".
* The whole of a payment within its clearing day goes back by a void (31; 33 for a taken
  hold), everything else by a refund (04). Which one is decided by what never changes of
  a refund, so that every repeat is the same.
* 00 is *accepted*. Only the query about this very return makes a yes.
* ``reqReserved`` carries the payment's number: notifications, queries and the daily file
  repeat it.
"""

from typing import Final

from channels.card import CardAction
from channels.port import (
    HttpRequest,
    HttpResponse,
    PaymentRef,
    RefundAnswer,
    RefundRequest,
    Verdict,
)
from channels.unionpay.qr_codes import REFUND_CODES, REFUND_QUERY_CODES
from channels.unionpay.qr_envelope import BACK_PATH, AcpAccount, Distrusted, request_of
from channels.unionpay.qr_reading import (
    Said,
    amount_of,
    said_nothing,
    said_to_call,
    said_to_query,
)
from channels.unionpay.qr_times import is_same_clearing_day
from channels.unionpay.qr_wire import Kind, amount, named, original

VOID: Final = Kind("31", "00")
REFUND: Final = Kind("04", "00")
HOLD_RELEASE: Final = Kind("32", "00", "000201")
COMPLETION_VOID: Final = Kind("33", "00", "000201")
RETURNS: Final = frozenset(kind.type for kind in (VOID, REFUND, HOLD_RELEASE, COMPLETION_VOID))
RESERVED: Final = "reqReserved"


def kind_of(request: RefundRequest) -> Kind:
    """Which transaction returns it."""
    payment = request.payment
    if payment.action is CardAction.AUTHORISE:
        return HOLD_RELEASE
    is_whole = request.amount_fen == payment.amount_fen
    if is_whole and is_same_clearing_day(payment.created_at_ms, request.created_at_ms):
        return COMPLETION_VOID if payment.action is CardAction.COMPLETE else VOID
    return REFUND


def build_refund(request: RefundRequest, account: AcpAccount) -> HttpRequest:
    """A void or a refund under our own number.

    Raises:
        domain.money.MoneyError: not a payable amount in yuan.
    """
    payment = request.payment
    params = {
        **kind_of(request).fields(),
        "channelType": account.channel_type,
        **named(request.refund_no, request.created_at_ms),
        **amount(request.amount_fen, request.currency),
        **original(payment.order_no, payment.created_at_ms, payment.trade_no),
        "termId": account.terminal_id,
        "backUrl": account.back_url,
        RESERVED: payment.order_no,
    }
    return request_of(account.base_url + BACK_PATH, params, account)


def read_refund(
    response: HttpResponse, account: AcpAccount, request: RefundRequest, now_ms: int
) -> RefundAnswer:
    """What UnionPay says about a return that was just sent: at best, accepted."""
    kind = kind_of(request)
    asked = {**kind.answered(), **named(request.refund_no, request.created_at_ms)}
    return _answer(said_to_call(response, account, asked, REFUND_CODES, now_ms))


def read_refund_query(
    response: HttpResponse, account: AcpAccount, request: RefundRequest, now_ms: int
) -> RefundAnswer:
    """What became of a return."""
    asked = named(request.refund_no, request.created_at_ms)
    said = said_to_query(response, account, asked, REFUND_QUERY_CODES, now_ms)
    if said.verdict is Verdict.SUCCEEDED:
        try:
            return _returned(said, request)
        except Distrusted as fault:
            said = said_nothing(fault)
    return _answer(said)


def _returned(said: Said, request: RefundRequest) -> RefundAnswer:
    """Raises :class:`Distrusted` where it is no return, or of no amount."""
    _require_return(said.fields.get("txnType", ""))
    return RefundAnswer(
        verdict=Verdict.SUCCEEDED,
        amount_fen=amount_of(said.fields),
        refund_no=request.refund_no,
        advice=said.advice,
        channel_code=said.code,
    )


def _answer(said: Said) -> RefundAnswer:
    return RefundAnswer(
        verdict=said.verdict,
        reason=said.reason,
        advice=said.advice,
        channel_code=said.code,
        channel_message=said.message,
        not_found=said.not_found,
        answered=said.answered,
        unlisted=said.unlisted,
    )


def whole_of(paid: PaymentRef, refund_no: str, now_ms: int) -> RefundRequest:
    """The refund of all of a payment, in place of a reversal that comes too late."""
    return RefundRequest(
        refund_no=refund_no,
        payment=paid,
        amount_fen=paid.amount_fen,
        currency=paid.currency,
        reason="",
        created_at_ms=now_ms,
    )


def _require_return(txn_type: str) -> None:
    """The answer repeats the type of the query, or of what was asked about."""
    if txn_type not in RETURNS | {"00"}:
        raise Distrusted("done, but not a return")
