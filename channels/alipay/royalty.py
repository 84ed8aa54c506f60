"""``alipay.trade.order.settle``: a paid trade shared with others who were bound to it before.

It is an ability of the adapter; no door offers it yet.

Rules: see ``wire.py``; the number is ours and serves every repeat. The shop's payments must be
frozen for it (setting ``royalty_freeze``). Reference ``channels.md`` A3.
"""

from channels.alipay.account import AlipayAccount
from channels.alipay.calls import AlipayCalls
from channels.alipay.codes import SUCCESS, is_answer, outcome_of
from channels.alipay.distrust import Distrusted
from channels.alipay.envelope import message_of, request_of, text_of, verified
from channels.alipay.later_codes import ROYALTY_SUB_CODES
from channels.alipay.outcome import ASK
from channels.one_call import call_once
from channels.port import HttpRequest, HttpResponse, Verdict
from channels.royalty import RoyaltyAnswer, RoyaltyRequest
from domain.money import MoneyError, format_yuan

_KEY = "alipay_trade_order_settle_response"


def build_settle(
    request: RoyaltyRequest, account: AlipayAccount, now_ms: int, nonce: str = ""
) -> HttpRequest:
    """The request.

    Raises:
        MoneyError: no share, one of nothing, or more than was paid.
        ValueError: the payment's number at Alipay is not known.
    """
    amounts = [share.amount_fen for share in request.shares]
    if not amounts or min(amounts) <= 0 or sum(amounts) > request.payment.amount_fen:
        raise MoneyError("shares that do not fit the payment")
    if not request.payment.trade_no:
        raise ValueError("no trade")
    shares = [
        {
            "trans_in_type": "userId",
            "trans_in": share.receiver,
            "amount": format_yuan(share.amount_fen),
            "desc": share.note,
        }
        for share in request.shares
    ]
    content = {
        "out_request_no": request.request_no,
        "trade_no": request.payment.trade_no,
        "royalty_parameters": shares,
    }
    return request_of("alipay.trade.order.settle", content, account, now_ms, nonce)


def read_settle(
    response: HttpResponse, account: AlipayAccount, request: RoyaltyRequest
) -> RoyaltyAnswer:
    """What it came to."""
    try:
        fields = verified(response, _KEY, account, request.payment.order_no)
        code, sub_code = text_of(fields, "code"), text_of(fields, "sub_code")
        if code == SUCCESS:
            if text_of(fields, "trade_no") != request.payment.trade_no:
                raise Distrusted("the answer does not name our trade", code)
            number = text_of(fields, "settle_no")
            return RoyaltyAnswer(verdict=Verdict.SUCCEEDED, settle_no=number, channel_code=code)
    except Distrusted as fault:
        return RoyaltyAnswer(
            verdict=Verdict.UNKNOWN, channel_code=fault.code, channel_message=fault.why
        )
    found = outcome_of(ROYALTY_SUB_CODES, code, sub_code)
    outcome = found or ASK
    return RoyaltyAnswer(
        verdict=outcome.verdict,
        reason=outcome.reason,
        advice=outcome.advice,
        channel_code=sub_code or code,
        channel_message=message_of(fields),
        answered=is_answer(code, sub_code),
        unlisted=found is None,
    )


class AlipayRoyalties(AlipayCalls):
    """``Royalties`` of one application."""

    async def share(self, request: RoyaltyRequest) -> RoyaltyAnswer:
        """``alipay.trade.order.settle``."""
        return await call_once(
            RoyaltyAnswer,
            lambda: build_settle(request, self._account, *self._moment()),
            self._send,
            lambda heard: read_settle(heard, self._account, request),
        )
