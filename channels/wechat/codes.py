"""WeChat Pay's codes as data: verdict, reason and advice (reference ``channels.md`` B1, B2).

Rules:

* The tables are asked for verified answers only. What is not listed is ``UNKNOWN``.
* ``DECLINED`` needs a code that says, of this very request, that no money moved. A code
  about an *earlier* trade of the same number (``ORDERPAID``, ``OUT_TRADE_NO_USED``,
  ``ORDERCLOSED``, ``ORDERREVERSED``) is ``UNKNOWN``: the query decides.
* Refusals of the set-up (a signature, a parameter, a permission) end a payment only where
  they are signed; an unsigned ``return_code`` FAIL is ``UNKNOWN`` with ``CONFIGURATION``.
* A refund is sent more than once under its number, and its money is owed: what a full purse
  or an operator may mend is ``UNKNOWN``, and so is a refund that is stuck (``ABNORMAL``).
  A refusal is believed once the query knows no such refund.
* APIv3 repeats a code under several HTTP statuses, so both are compared; 5xx and 429 mean
  ``UNKNOWN`` whatever they say.

Sources: the reference; the vendor's pages of each interface, as the kits transcribe them
(WxJava ``WxPayErrorCode``, wechatpay-openapi).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from channels.port import Advice, Verdict
from domain.decline import DeclineReason


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a code means; ``hopeless`` and ``unlisted`` as in ``channels.port.Answer``."""

    verdict: Verdict
    reason: DeclineReason | None = None
    advice: Advice | None = None
    not_found: bool = False
    hopeless: bool = False
    unlisted: bool = False


_R = DeclineReason
UNKNOWN: Final = Outcome(Verdict.UNKNOWN)
UNLISTED: Final = Outcome(Verdict.UNKNOWN, unlisted=True)
_PENDING: Final = Outcome(Verdict.PENDING)
_MISCONFIGURED: Final = Outcome(Verdict.DECLINED, _R.CONFIGURATION, Advice.CONFIGURATION)
_ALARM: Final = Outcome(Verdict.UNKNOWN, advice=Advice.CONFIGURATION)
_FRESH_CODE: Final = Outcome(Verdict.DECLINED, _R.CODE_INVALID, Advice.FRESH_CODE)
_NOT_FOUND: Final = Outcome(Verdict.UNKNOWN, not_found=True)
_AGAIN: Final = Outcome(Verdict.UNKNOWN, advice=Advice.RETRY_SAME)


def _no(reason: DeclineReason) -> Outcome:
    return Outcome(Verdict.DECLINED, reason)


BUSY_V2: Final = ("SYSTEMERROR", "BANKERROR", "FREQUENCY_LIMITED", "INVALID_REQ_TOO_MUCH")
SET_UP_V2: Final = (
    "SIGNERROR",
    "PARAM_ERROR",
    "NOAUTH",
    "LACK_PARAMS",
    "XML_FORMAT_ERROR",
    "APPID_NOT_EXIST",
    "MCHID_NOT_EXIST",
    "APPID_MCHID_NOT_MATCH",
    "REQUIRE_POST_METHOD",
    "POST_DATA_EMPTY",
    "NOT_UTF8",
)

PAY_V2: Final[Mapping[str, Outcome]] = MappingProxyType(
    {
        "USERPAYING": _PENDING,
        **dict.fromkeys(BUSY_V2, UNKNOWN),
        "ORDERPAID": UNKNOWN,
        "OUT_TRADE_NO_USED": UNKNOWN,
        "ORDERCLOSED": UNKNOWN,
        "ORDERREVERSED": UNKNOWN,
        "AUTH_CODE_INVALID": _FRESH_CODE,
        "AUTHCODEEXPIRE": _FRESH_CODE,
        "AUTH_CODE_ERROR": _FRESH_CODE,
        "TRADE_ERROR": _no(_R.PAYER_CANCELLED),
        "NOTENOUGH": _no(_R.INSUFFICIENT_FUNDS),
        "NOTSUPORTCARD": _no(_R.NOT_PERMITTED),
        "BUYER_MISMATCH": _no(_R.NOT_PERMITTED),
        **dict.fromkeys(SET_UP_V2, _MISCONFIGURED),
    }
)
"""By ``err_code`` of an answer to micropay or facepay whose ``result_code`` is FAIL."""

QUERY_V2: Final[Mapping[str, Outcome]] = MappingProxyType(
    {
        "ORDERNOTEXIST": _NOT_FOUND,
        **dict.fromkeys(BUSY_V2, UNKNOWN),
        **dict.fromkeys(SET_UP_V2, _ALARM),
    }
)
"""By ``err_code`` of a query: it never declines."""

TRADE_STATES: Final[Mapping[str, Outcome]] = MappingProxyType(
    {
        "SUCCESS": Outcome(Verdict.SUCCEEDED),
        "USERPAYING": _PENDING,
        "NOTPAY": _PENDING,
        "ACCEPT": _PENDING,
        "CLOSED": _no(_R.NOT_PAID_IN_TIME),
        # the bank said no, and the vendor wants it reversed before it counts as over
        "PAYERROR": Outcome(Verdict.UNKNOWN, hopeless=True),
        # undone by somebody, after a payment or before one: the undo that follows finds out
        "REVOKED": Outcome(Verdict.UNKNOWN, hopeless=True),
        # paid once, and a part or all of it returned since
        "REFUND": Outcome(Verdict.UNKNOWN, hopeless=True),
    }
)
"""By ``trade_state`` of either version's query."""

_TOO_OLD: Final = Outcome(Verdict.DECLINED)

REVERSE_V2: Final[Mapping[str, Outcome]] = MappingProxyType(
    {
        "USERPAYING": UNKNOWN,
        "TRADE_ERROR": UNKNOWN,  # too early, or refunded since: the query tells
        "INVALID_TRANSACTIONID": UNKNOWN,
        "ORDERNOTEXIST": UNKNOWN,
        # no repetition can mend it: what is paid is refunded instead
        "REVERSE_EXPIRE": _TOO_OLD,
        **dict.fromkeys(BUSY_V2, UNKNOWN),
        **dict.fromkeys(SET_UP_V2, _ALARM),
    }
)
"""By ``err_code`` of a reversal; it is done by ``recall=N`` alone, never by a code."""

REFUND_V2: Final[Mapping[str, Outcome]] = MappingProxyType(
    {
        "SYSTEMERROR": UNKNOWN,
        "BIZERR_NEED_RETRY": _AGAIN,
        "INVALID_REQ_TOO_MUCH": _AGAIN,
        "FREQUENCY_LIMITED": _AGAIN,
        "ORDER_NOT_READY": _AGAIN,
        "NOTENOUGH": _AGAIN,
        "ORDERNOTEXIST": UNKNOWN,
        "INVALID_TRANSACTIONID": UNKNOWN,
        "REFUND_FEE_MISMATCH": _ALARM,
        "TRADE_OVERDUE": _no(_R.NOT_PERMITTED),
        "USER_ACCOUNT_ABNORMAL": _no(_R.DECLINED),
        "REFUND_FEE_INVALID": _no(_R.AMOUNT_LIMIT),
        "ERROR": _no(_R.DECLINED),
        "INVALID_REQUEST": _no(_R.NOT_PERMITTED),
        **dict.fromkeys(SET_UP_V2, _ALARM),
    }
)
"""By ``err_code`` of a refund; a DECLINED one is believed once the query finds none."""

REFUND_QUERY_V2: Final[Mapping[str, Outcome]] = MappingProxyType(
    {
        "REFUNDNOTEXIST": _NOT_FOUND,
        "ORDERNOTEXIST": UNKNOWN,
        **dict.fromkeys(BUSY_V2, UNKNOWN),
        **dict.fromkeys(SET_UP_V2, _ALARM),
    }
)

REFUND_STATES: Final[Mapping[str, Outcome]] = MappingProxyType(
    {
        "SUCCESS": Outcome(Verdict.SUCCEEDED),
        "PROCESSING": _PENDING,
        "CLOSED": _no(_R.DECLINED),
        "REFUNDCLOSE": _no(_R.DECLINED),
        # the payer's bank took it not: a person says where it shall go
        "ABNORMAL": _ALARM,
        "CHANGE": _ALARM,
    }
)
"""By the state of a refund: ``status`` of APIv3, ``refund_status_0`` of APIv2."""

V3Codes = Mapping[tuple[int, str], Outcome]

_SET_UP_V3: Final[Mapping[tuple[int, str], Outcome]] = {
    (400, "PARAM_ERROR"): _MISCONFIGURED,
    (400, "INVALID_REQUEST"): _ALARM,  # against a rule of the trade, it does not say which
    (400, "APPID_MCHID_NOT_MATCH"): _MISCONFIGURED,
    (400, "MCH_NOT_EXISTS"): _MISCONFIGURED,
    (404, "MCH_NOT_EXISTS"): _MISCONFIGURED,
    (401, "SIGN_ERROR"): _MISCONFIGURED,
    (403, "NO_AUTH"): _MISCONFIGURED,
    (403, "RULE_LIMIT"): _no(_R.NOT_PERMITTED),
    (403, "RULELIMIT"): _no(_R.NOT_PERMITTED),
    (403, "OUT_TRADE_NO_USED"): UNKNOWN,
    (400, "OUT_TRADE_NO_USED"): UNKNOWN,
    (400, "ORDER_CLOSED"): UNKNOWN,
    (403, "ORDER_CLOSED"): UNKNOWN,
    (400, "ORDERPAID"): UNKNOWN,
    (403, "ORDERPAID"): UNKNOWN,
    (400, "ORDER_REVERSED"): UNKNOWN,
    (403, "ORDER_REVERSED"): UNKNOWN,
}

PAY_V3: Final[V3Codes] = MappingProxyType(
    {
        **_SET_UP_V3,
        (400, "AUTH_CODE_INVALID"): _FRESH_CODE,
        (403, "AUTH_CODE_INVALID"): _FRESH_CODE,
        (403, "AUTH_CODE_EXPIRED"): _FRESH_CODE,
        (403, "NOT_ENOUGH"): _no(_R.INSUFFICIENT_FUNDS),
        (403, "TRADE_ERROR"): _no(_R.PAYER_CANCELLED),
        (403, "BANK_ERROR"): UNKNOWN,
        (403, "BANKERROR"): UNKNOWN,
        (403, "USER_PAYING"): _PENDING,
        (202, "USER_PAYING"): _PENDING,
        (202, "USERPAYING"): _PENDING,
        (403, "ACCOUNT_ERROR"): _no(_R.DECLINED),
        (403, "ACCOUNTERROR"): _no(_R.DECLINED),
        (403, "OPENID_MISMATCH"): _no(_R.NOT_PERMITTED),
    }
)
"""Of codepay."""

ORDER_V3: Final[V3Codes] = MappingProxyType(
    {
        **_SET_UP_V3,
        (403, "ACCOUNT_ERROR"): _no(_R.DECLINED),
        (403, "ACCOUNTERROR"): _no(_R.DECLINED),
        (400, "OPENID_MISMATCH"): _no(_R.NOT_PERMITTED),
        (403, "OPENID_MISMATCH"): _no(_R.NOT_PERMITTED),
    }
)
"""Of native, jsapi, h5 and app: nothing is paid by making an order."""

QUERY_V3: Final[V3Codes] = MappingProxyType(
    {
        (404, "ORDER_NOT_EXIST"): _NOT_FOUND,
        (404, "ORDERNOTEXIST"): _NOT_FOUND,
        (404, "RESOURCE_NOT_EXISTS"): _NOT_FOUND,
        (400, "PARAM_ERROR"): _ALARM,
        (401, "SIGN_ERROR"): _ALARM,
        (403, "NO_AUTH"): _ALARM,
        (400, "APPID_MCHID_NOT_MATCH"): _ALARM,
    }
)

_UNDO_V3: Final[V3Codes] = {
    (202, "USERPAYING"): UNKNOWN,
    (202, "USER_PAYING"): UNKNOWN,
    (403, "USER_PAYING"): UNKNOWN,
    (400, "TRADE_ERROR"): UNKNOWN,
    (403, "TRADE_ERROR"): UNKNOWN,
    (400, "PARAM_ERROR"): _ALARM,
    (400, "INVALID_REQUEST"): _ALARM,
    (401, "SIGN_ERROR"): _ALARM,
    (403, "NO_AUTH"): _ALARM,
    (400, "MCH_NOT_EXISTS"): _ALARM,
    (404, "MCH_NOT_EXISTS"): _ALARM,
    (400, "APPID_MCHID_NOT_MATCH"): _ALARM,
    (404, "ORDER_NOT_EXIST"): _NOT_FOUND,
    (404, "ORDERNOTEXIST"): _NOT_FOUND,
}

CLOSE_V3: Final[V3Codes] = MappingProxyType(
    {
        **_UNDO_V3,
        (400, "ORDER_CLOSED"): Outcome(Verdict.SUCCEEDED),
        (403, "ORDER_CLOSED"): Outcome(Verdict.SUCCEEDED),
        # paid meanwhile: the next query sees it, and it is refunded
        (400, "ORDERPAID"): UNKNOWN,
        (403, "ORDERPAID"): UNKNOWN,
        (400, "ORDER_PAID"): UNKNOWN,
        (403, "ORDER_PAID"): UNKNOWN,
    }
)
"""Of a close, beside its 204."""

REVERSE_V3: Final[V3Codes] = MappingProxyType(
    {
        **_UNDO_V3,
        (403, "REVERSE_EXPIRED"): _TOO_OLD,
        (400, "REVERSE_EXPIRED"): _TOO_OLD,
    }
)
"""Of codepay's reversal, beside its 200."""

REFUND_V3: Final[V3Codes] = MappingProxyType(
    {
        (400, "INVALID_REQUEST"): _no(_R.NOT_PERMITTED),
        (403, "INVALID_REQUEST"): _no(_R.NOT_PERMITTED),
        (403, "USER_ACCOUNT_ABNORMAL"): _no(_R.DECLINED),
        (403, "NOT_ENOUGH"): _AGAIN,
        (403, "NO_AUTH"): _ALARM,
        (400, "PARAM_ERROR"): _ALARM,
        (401, "SIGN_ERROR"): _ALARM,
        (404, "MCH_NOT_EXISTS"): _ALARM,
        (404, "RESOURCE_NOT_EXISTS"): UNKNOWN,
    }
)

REFUND_QUERY_V3: Final[V3Codes] = MappingProxyType(
    {
        (404, "RESOURCE_NOT_EXISTS"): _NOT_FOUND,
        (400, "PARAM_ERROR"): _ALARM,
        (401, "SIGN_ERROR"): _ALARM,
        (403, "NO_AUTH"): _ALARM,
    }
)

BILL_PENDING: Final = frozenset({"STATEMENT_CREATING", "BILL_CREATING", "bill creating"})
BILL_ABSENT: Final = frozenset({"NO_STATEMENT_EXIST", "NO_BILL_EXIST", "no bill exist"})
"""The code of APIv3 or of APIv2's fund flow; in lower case what ``return_msg`` says.

APIv2's numbers (20001, 20002) are not asked: one of them is said of both.
"""


def v3_outcome(codes: V3Codes, status: int, code: str) -> Outcome:
    """The outcome of a verified APIv3 answer that is no 2xx."""
    if status >= 500 or status == 429:
        return UNKNOWN
    return codes.get((status, code), UNLISTED)


def is_answer(code: str) -> bool:
    """Whether a verified APIv2 code speaks of the trade, rather than of a fault of WeChat's."""
    return code not in ("", "SYSTEMERROR", "BANKERROR")
