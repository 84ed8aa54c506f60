"""ACP's payments on the wire: requests built, answers read. Pure.

Rules (reference ``channels.md`` C1):

* UnionPay answers a sale by a scanned code at once and works on it afterwards: 00 is
  *accepted*. Only a query, whose own ``respCode`` is 00, says in ``origRespCode`` what
  became of it.
* An order is named by ``orderId`` and ``txnTime``, both made when the order was.
* A reversal goes under the number and time of what it reverses, within its clearing day.
* Each reader demands the transaction type that only its own call answers: the signature
  does not cover which call was answered.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from channels.card import CardAction
from channels.one_call import Unwritable
from channels.port import (
    Answer,
    HttpRequest,
    HttpResponse,
    PaymentRef,
    PayRequest,
    UndoAnswer,
    Verdict,
)
from channels.unionpay.card_time import host_time_ms
from channels.unionpay.qr_codes import (
    DONE,
    NO_SUCH_STATE,
    NOT_FOUND,
    PAY_CODES,
    QUERY_CODES,
    REVERSED_BEFORE,
    SUCCESS,
    UNDONE_BEFORE,
)
from channels.unionpay.qr_envelope import (
    BACK_PATH,
    QUERY_PATH,
    AcpAccount,
    Distrusted,
    Fields,
    message_of,
    request_of,
    verified,
)
from channels.unionpay.qr_reading import (
    Said,
    amount_of,
    said_nothing,
    said_to_call,
    said_to_query,
)
from channels.unionpay.qr_times import txn_time
from domain.money import CNY, currency_numeric, payable_fen


@dataclass(frozen=True, slots=True)
class Kind:
    """What ACP calls a transaction."""

    type: str
    sub_type: str
    biz_type: str = "000000"

    def fields(self) -> dict[str, str]:
        """As a request says it."""
        return {"txnType": self.type, "txnSubType": self.sub_type, "bizType": self.biz_type}

    def answered(self) -> dict[str, str]:
        """What its answer must repeat."""
        return {"txnType": self.type, "txnSubType": self.sub_type}


PAYMENTS: Final[Mapping[CardAction, Kind]] = MappingProxyType(
    {
        CardAction.SALE: Kind("01", "06"),
        CardAction.AUTHORISE: Kind("02", "01", "000201"),
        CardAction.COMPLETE: Kind("03", "00", "000201"),
    }
)
REVERSAL: Final = Kind("99", "01")
QUERY: Final = Kind("00", "00")
NOTHING_FOUND: Final = frozenset({NOT_FOUND, NO_SUCH_STATE})
"""Answers to a reversal that found nothing to reverse: the query tells why."""


def named(order_no: str, created_at_ms: int) -> dict[str, str]:
    """How ACP knows an order."""
    return {"orderId": order_no, "txnTime": txn_time(created_at_ms)}


def amount(amount_fen: int, currency: str) -> dict[str, str]:
    """The amount in fen; raises ``domain.money.MoneyError``."""
    return {"txnAmt": str(payable_fen(amount_fen)), "currencyCode": currency_numeric(currency)}


def build_pay(request: PayRequest, account: AcpAccount) -> HttpRequest:
    """01/06 with a scanned code, 02 that holds, or 03 that takes what is held.

    Raises:
        domain.money.MoneyError: not a payable amount in yuan.
        Unwritable: there is no code, and it is not for what is held.
    """
    if not request.auth_code and request.action is not CardAction.COMPLETE:
        raise Unwritable("no payment code")
    kind = PAYMENTS[request.action]
    params = {
        **kind.fields(),
        "channelType": account.channel_type,
        **named(request.order_no, request.created_at_ms),
        **amount(request.amount_fen, request.currency),
        "qrNo": request.auth_code,
        "termId": account.terminal_id,
        "termInfo": account.term_info,
        "backUrl": account.back_url,
    }
    if request.original is not None:
        params |= original(request.original.order_no, request.original.held_at_ms)
    return request_of(account.base_url + BACK_PATH, params, account)


def original(order_no: str, created_at_ms: int, trade_no: str = "") -> dict[str, str]:
    """An earlier transaction, by UnionPay's number where we have it."""
    if trade_no:
        return {"origQryId": trade_no}
    return {"origOrderId": order_no, "origTxnTime": txn_time(created_at_ms)}


def build_query(order_no: str, created_at_ms: int, account: AcpAccount) -> HttpRequest:
    """00/00 about any transaction of ours."""
    params = {**QUERY.fields(), **named(order_no, created_at_ms)}
    return request_of(account.base_url + QUERY_PATH, params, account)


def build_reversal(ref: PaymentRef, account: AcpAccount) -> HttpRequest:
    """99/01 under the payment's own number and time."""
    params = {
        **REVERSAL.fields(),
        "channelType": account.channel_type,
        **named(ref.order_no, ref.created_at_ms),
    }
    return request_of(account.base_url + BACK_PATH, params, account)


def read_pay(
    response: HttpResponse, account: AcpAccount, request: PayRequest, now_ms: int
) -> Answer:
    """What UnionPay says about a payment that was just sent: at best, accepted."""
    asked = {
        **PAYMENTS[request.action].answered(),
        **named(request.order_no, request.created_at_ms),
    }
    said = said_to_call(response, account, asked, PAY_CODES, now_ms)
    is_accepted = said.verdict is Verdict.PENDING
    return _answer(said, said.fields.get("queryId", "") if is_accepted else "")


def read_query(response: HttpResponse, account: AcpAccount, ref: PaymentRef, now_ms: int) -> Answer:
    """What became of a payment."""
    asked = named(ref.order_no, ref.created_at_ms)
    said = said_to_query(response, account, asked, QUERY_CODES, now_ms)
    if said.verdict is Verdict.SUCCEEDED:
        try:
            return _paid(said.fields, ref, said.code)
        except Distrusted as fault:
            said = said_nothing(fault)
    return _answer(said)


def _answer(said: Said, trade_no: str = "") -> Answer:
    return Answer(
        verdict=said.verdict,
        trade_no=trade_no,
        reason=said.reason,
        advice=said.advice,
        channel_code=said.code,
        channel_message=said.message,
        not_found=said.not_found,
        answered=said.answered,
        unlisted=said.unlisted,
    )


def _paid(fields: Fields, ref: PaymentRef, code: str) -> Answer:
    trace_time = fields.get("traceTime", "")
    currency = fields.get("currencyCode", "")
    return Answer(
        verdict=Verdict.SUCCEEDED,
        amount_fen=amount_of(fields),
        currency=CNY if currency == currency_numeric(CNY) else currency,
        order_no=ref.order_no,
        trade_no=fields.get("queryId", ""),
        channel_code=code,
        channel_message="" if code == SUCCESS else message_of(fields),
        advice=None if code == SUCCESS else QUERY_CODES[code].advice,
        paid_at_ms=host_time_ms(trace_time[:4], trace_time[4:], ref.created_at_ms),
    )


def read_reversal(
    response: HttpResponse, account: AcpAccount, ref: PaymentRef, now_ms: int
) -> UndoAnswer:
    """What a reversal came to; UnionPay does not say whether the payment had been made.

    ``UNKNOWN`` with a code of :data:`NOTHING_FOUND` needs the query.
    """
    asked = {**REVERSAL.answered(), **named(ref.order_no, ref.created_at_ms)}
    try:
        fields = verified(response, account, asked, now_ms)
    except Distrusted as fault:
        return undo_unknown(fault)
    code = fields.get("respCode", "")
    if code == UNDONE_BEFORE:
        return UndoAnswer(verdict=Verdict.SUCCEEDED, was_paid=True, channel_code=code)
    return UndoAnswer(
        verdict=Verdict.SUCCEEDED if code in {*DONE, REVERSED_BEFORE} else Verdict.UNKNOWN,
        channel_code=code,
        channel_message=message_of(fields),
        answered=bool(code),
        unlisted=code not in PAY_CODES,
    )


def undo_unknown(fault: Distrusted) -> UndoAnswer:
    """An answer to an undo that says nothing."""
    return UndoAnswer(verdict=Verdict.UNKNOWN, channel_code=fault.code, channel_message=fault.why)
