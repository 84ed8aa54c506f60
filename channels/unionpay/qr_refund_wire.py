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
    Advice,
    HttpRequest,
    HttpResponse,
    PaymentRef,
    RefundAnswer,
    RefundRequest,
    Verdict,
)
from channels.unionpay.qr_codes import (
    MISCONFIGURED,
    NOT_FOUND,
    REFUND_CODES,
    REFUND_QUERY_CODES,
    UNKNOWN,
)
from channels.unionpay.qr_envelope import (
    BACK_PATH,
    AcpAccount,
    Distrusted,
    message_of,
    request_of,
    verified,
)
from channels.unionpay.qr_times import is_same_clearing_day
from channels.unionpay.qr_wire import Kind, amount, amount_of, named, original, queried

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
    try:
        fields = verified(response, account, asked, now_ms)
        if "origRespCode" in fields:
            raise Distrusted("an answer to a query", fields.get("respCode", ""))
    except Distrusted as fault:
        return _unknown(fault)
    code = fields.get("respCode", "")
    outcome = REFUND_CODES.get(code, UNKNOWN)
    is_accepted = outcome.verdict in (Verdict.PENDING, Verdict.SUCCEEDED)
    return RefundAnswer(
        verdict=Verdict.PENDING if is_accepted else outcome.verdict,
        reason=outcome.reason,
        advice=outcome.advice,
        channel_code=code,
        channel_message=message_of(fields),
        answered=bool(code),
        unlisted=code not in REFUND_CODES,
    )


def read_refund_query(
    response: HttpResponse, account: AcpAccount, request: RefundRequest, now_ms: int
) -> RefundAnswer:
    """What became of a return."""
    try:
        fields = queried(response, account, request.refund_no, request.created_at_ms, now_ms)
        code = fields.get("origRespCode", "")
        outcome = REFUND_QUERY_CODES.get(code, UNKNOWN)
        if outcome.verdict is Verdict.SUCCEEDED:
            _require_return(fields.get("txnType", ""))
            return RefundAnswer(
                verdict=Verdict.SUCCEEDED,
                amount_fen=amount_of(fields),
                refund_no=request.refund_no,
                advice=outcome.advice,
                channel_code=code,
            )
    except Distrusted as fault:
        return _unknown(fault)
    own = fields.get("respCode", "")
    return RefundAnswer(
        verdict=outcome.verdict,
        reason=outcome.reason,
        advice=Advice.CONFIGURATION if own in MISCONFIGURED else outcome.advice,
        channel_code=code or own,
        channel_message=message_of(fields),
        not_found=own == NOT_FOUND,
        answered=True,
        unlisted=(code or own) not in REFUND_QUERY_CODES,
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


def _unknown(fault: Distrusted) -> RefundAnswer:
    return RefundAnswer(
        verdict=Verdict.UNKNOWN,
        channel_code=fault.code,
        channel_message=fault.why,
        advice=Advice.CONFIGURATION if fault.misconfigured else None,
    )
