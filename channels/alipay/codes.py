"""Alipay's codes as data: verdict, reason and advice (reference ``channels.md`` A4).

Rules:

* The tables are asked for verified answers only. What is not listed is ``UNKNOWN``.
* ``DECLINED`` needs a code that says, of this very request, that no money moved. A
  code about an *earlier* trade of the same number (``TRADE_HAS_SUCCESS``,
  ``TRADE_HAS_CLOSE``, ``CONTEXT_INCONSISTENT`` …) is ``UNKNOWN``: the query decides.
* 40001, 40002, 40003, 40006 and 20001 are the gateway's own refusals, made before a
  trade is touched: with a good signature they are definitive. Without one (Alipay
  cannot sign for an app id that it does not know) they stay ``UNKNOWN`` with the
  advice ``CONFIGURATION``: an unsigned answer never ends a payment.

* A refund is sent more than once under its number, and its money is owed. So the
  gateway's refusals, and codes that a later try or a full purse may mend, are ``UNKNOWN``
  for it, and so are those that contradict what our books say of the trade.

The sub codes are those of the vendor's error models of ``alipay.trade.pay``,
``alipay.trade.cancel`` and ``alipay.trade.refund``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from channels.port import Advice, Verdict
from domain.decline import DeclineReason

SUCCESS: Final = "10000"
USER_PAYING: Final = "10003"
BUSINESS_FAILED: Final = "40004"
GATEWAY_REFUSALS: Final = frozenset({"20001", "40001", "40002", "40003", "40006"})
TRADE_NOT_EXIST: Final = "ACQ.TRADE_NOT_EXIST"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a code means for a payment that was just tried."""

    verdict: Verdict
    reason: DeclineReason | None = None
    advice: Advice | None = None


_R = DeclineReason
UNKNOWN: Final = Outcome(Verdict.UNKNOWN)
MISCONFIGURED: Final = Outcome(Verdict.DECLINED, _R.CONFIGURATION, Advice.CONFIGURATION)
_FRESH_CODE = Outcome(Verdict.DECLINED, _R.CODE_INVALID, Advice.FRESH_CODE)

_REFUSED_FOR: Mapping[DeclineReason, tuple[str, ...]] = {
    _R.DECLINED: (
        "PULL_MOBILE_CASHIER_FAIL",
        "PAYMENT_FAIL",
        "NO_PAYMENT_INSTRUMENTS_AVAILABLE",
        "NOT_SUPPORT_PAYMENT_INST",
        "BUYER_NOT_EXIST",
    ),
    _R.INSUFFICIENT_FUNDS: (
        "BUYER_BALANCE_NOT_ENOUGH",
        "BUYER_BANKCARD_BALANCE_NOT_ENOUGH",
    ),
    _R.AMOUNT_LIMIT: (
        "TOTAL_FEE_EXCEED",
        "BUYER_PAYMENT_AMOUNT_DAY_LIMIT_ERROR",
        "BUYER_PAYMENT_AMOUNT_MONTH_LIMIT_ERROR",
        "BEYOND_PAY_RESTRICTION",
        "BEYOND_PER_RECEIPT_RESTRICTION",
        "BEYOND_PER_RECEIPT_SINGLE_RESTRICTION",
        "BEYOND_PER_RECEIPT_DAY_RESTRICTION",
        "PRODUCT_AMOUNT_LIMIT_ERROR",
        "REQUEST_AMOUNT_EXCEED",
        "MERCHANT_PERM_RECEIPT_SINGLE_LIMIT",
        "MERCHANT_PERM_RECEIPT_DAY_LIMIT",
    ),
    _R.RISK: ("PAYMENT_REQUEST_HAS_RISK",),
    _R.NOT_PERMITTED: (
        "EXIST_FORBIDDEN_WORD",
        "ERROR_BALANCE_PAYMENT_DISABLE",
        "BUYER_SELLER_EQUAL",
        "BUYER_ENABLE_STATUS_FORBID",
        "MOBILE_PAYMENT_SWITCH_OFF",
        "ERROR_BUYER_CERTIFY_LEVEL_LIMIT",
        "USER_FACE_PAYMENT_SWITCH_OFF",
        "CURRENCY_NOT_SUPPORT",
        "BUYER_NOT_MAINLAND_CERT",
        "NOT_CERTIFIED_USER",
        "UN_SUPPORT_TRADE_SCENE",
    ),
}
_MISCONFIGURED_BY = (
    "INVALID_PARAMETER",
    "ACCESS_FORBIDDEN",
    "PARTNER_ERROR",
    "SELLER_BEEN_BLOCKED",
    "SELLER_NOT_EXIST",
    "INVALID_STORE_ID",
    "INVALID_RECEIVE_ACCOUNT",
    "SUB_MERCHANT_CREATE_FAIL",
    "SUB_MERCHANT_TYPE_INVALID",
    "SECONDARY_MERCHANT_STATUS_ERROR",
    "SECONDARY_MERCHANT_ID_INVALID",
    "SECONDARY_MERCHANT_ID_BLANK",
    "SECONDARY_MERCHANT_NOT_MATCH",
    "SECONDARY_MERCHANT_ALIPAY_ACCOUNT_INVALID",
    "SECONDARY_MERCHANT_ISV_PUNISH_INDIRECT",
    "MERCHANT_AGREEMENT_NOT_EXIST",
    "MERCHANT_AGREEMENT_INVALID",
    "MERCHANT_STATUS_NOT_NORMAL",
    "MERCHANT_PERM_RECEIPT_SUSPEND_LIMIT",
    "RESTRICTED_MERCHANT_INDUSTRY",
    "SMILE_PAY_MERCHANT_NOT_MATCH",
    "RISK_MERCHANT_IP_NOT_EXIST",
)


def _sub_codes() -> dict[str, Outcome]:
    outcomes = {
        f"ACQ.{name}": Outcome(Verdict.DECLINED, reason)
        for reason, names in _REFUSED_FOR.items()
        for name in names
    }
    outcomes |= {f"ACQ.{name}": MISCONFIGURED for name in _MISCONFIGURED_BY}
    outcomes["ACQ.PAYMENT_AUTH_CODE_INVALID"] = _FRESH_CODE
    return outcomes


PAY_SUB_CODES: Final[Mapping[str, Outcome]] = MappingProxyType(_sub_codes())
"""By ``sub_code`` of a 40004 answer to ``alipay.trade.pay``."""

CANCEL_IMPOSSIBLE: Final = frozenset(
    {
        "ACQ.TRADE_CANCEL_TIME_OUT",
        "ACQ.TRADE_HAS_FINISHED",
        "ACQ.CANCEL_NOT_ALLOWED",
        "ACQ.REASON_TRADE_REFUND_FEE_ERR",
    }
)
"""Sub codes of a cancel that no repetition can mend: it is closed or refunded instead."""

_REFUND_REFUSED_FOR: Mapping[DeclineReason, tuple[str, ...]] = {
    _R.AMOUNT_LIMIT: (
        "REASON_TRADE_REFUND_FEE_ERR",
        "REFUND_FEE_ERROR",
        "REFUND_AMT_NOT_EQUAL_TOTAL",
        "ALLOC_AMOUNT_VALIDATE_ERROR",
    ),
    _R.NOT_PERMITTED: (
        "TRADE_HAS_FINISHED",
        "TRADE_HAS_CLOSE",
        "TRADE_NOT_ALLOW_REFUND",
        "NOT_ALLOW_PARTIAL_REFUND",
        "ONLINE_TRADE_VOUCHER_NOT_ALLOW_REFUND",
        "REASON_TRADE_BEEN_FREEZEN",
        "ENTERPRISE_PAY_BIZ_ERROR",
        "CURRENCY_NOT_SUPPORT",
    ),
    _R.DECLINED: (
        "BUYER_NOT_EXIST",
        "BUYER_ERROR",
        "BUYER_ENABLE_STATUS_FORBID",
        "REFUND_ACCOUNT_NOT_EXIST",
    ),
    _R.CONFIGURATION: (
        "INVALID_PARAMETER",
        "CUSTOMER_VALIDATE_ERROR",
        "USER_NOT_MATCH_ERR",
        "OVERDRAFT_ASSIGN_ACCOUNT_INVALID",
        "OVERDRAFT_AGREEMENT_NOT_MATCH",
        "REFUND_ROYALTY_PAYEE_ACCOUNT_NOT_EXIST",
    ),
}


def _refund_sub_codes() -> dict[str, Outcome]:
    outcomes = {
        f"ACQ.{name}": Outcome(
            Verdict.DECLINED,
            reason,
            Advice.CONFIGURATION if reason is _R.CONFIGURATION else None,
        )
        for reason, names in _REFUND_REFUSED_FOR.items()
        for name in names
    }
    # the seller's purse can be filled: the same number then succeeds
    outcomes["ACQ.SELLER_BALANCE_NOT_ENOUGH"] = Outcome(Verdict.UNKNOWN, advice=Advice.RETRY_SAME)
    return outcomes


REFUND_SUB_CODES: Final[Mapping[str, Outcome]] = MappingProxyType(_refund_sub_codes())
"""By ``sub_code`` of a 40004 answer to ``alipay.trade.refund``."""


def is_answer(code: str, sub_code: str) -> bool:
    """Whether a verified answer speaks of the trade, rather than of a fault of Alipay's."""
    if sub_code.startswith(("isp.", "aop.")) or sub_code.endswith("SYSTEM_ERROR"):
        return False
    return code in (SUCCESS, BUSINESS_FAILED)


def pay_outcome(code: str, sub_code: str) -> Outcome:
    """The outcome of a verified answer to pay that is neither 10000 nor 10003."""
    if sub_code.startswith(("isp.", "aop.")):
        return UNKNOWN
    if code == BUSINESS_FAILED:
        return PAY_SUB_CODES.get(sub_code, UNKNOWN)
    return MISCONFIGURED if code in GATEWAY_REFUSALS else UNKNOWN


def refund_outcome(code: str, sub_code: str) -> Outcome:
    """The outcome of a verified answer to refund that is not 10000."""
    if code == BUSINESS_FAILED:
        return REFUND_SUB_CODES.get(sub_code, UNKNOWN)
    if code in GATEWAY_REFUSALS and not sub_code.startswith(("isp.", "aop.")):
        return Outcome(Verdict.UNKNOWN, advice=Advice.CONFIGURATION)
    return UNKNOWN
