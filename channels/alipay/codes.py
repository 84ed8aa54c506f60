"""Alipay's codes: what a verified answer means (reference ``channels.md`` A4).

Rules:

* The tables (``pay_codes.py``, ``later_codes.py``) are data and are asked for verified answers
  only. What is not listed is ``UNKNOWN``, and counted.
* ``DECLINED`` needs a code that says, of this very request, that no money moved. A
  code about an *earlier* trade of the same number (``TRADE_HAS_SUCCESS``,
  ``TRADE_HAS_CLOSE``, ``CONTEXT_INCONSISTENT`` …) is ``UNKNOWN``: the query decides.
* 40001, 40002, 40003, 40006 and 20001 are the gateway's own refusals, made before a
  trade is touched: with a good signature they are definitive. Without one (Alipay
  cannot sign for an app id that it does not know) they stay ``UNKNOWN`` with the
  advice ``CONFIGURATION``: an unsigned answer never ends a payment.
* Of a refund, a cancel or a question the gateway's refusals are ``UNKNOWN`` with that advice,
  signed or not: what was begun must still be brought to its end once it is mended.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from channels.alipay.later_codes import REFUND_SUB_CODES
from channels.alipay.outcome import ALARM, ASK, SET_UP, Outcome, Row, Table, table, texts_of
from channels.alipay.pay_codes import ORDER_SUB_CODES, PAY_SUB_CODES
from channels.port import Verdict
from domain.decline import CashierText, ChannelTexts

SUCCESS: Final = "10000"
USER_PAYING: Final = "10003"
BUSINESS_FAILED: Final = "40004"
"""The sub code says what."""

# fmt: off
_GATEWAY: Final[tuple[Row, ...]] = (
    (SUCCESS, Outcome(Verdict.SUCCEEDED), "Paid.", "支付成功"),
    (USER_PAYING, Outcome(Verdict.PENDING), "The payer is typing the password.", "等待用户输入密码"),
    # out of order, and called too often: neither says what became of the request
    ("20000", ASK, "Alipay is out of order. The result is being asked for.", "支付宝服务不可用，正在查询结果"),
    ("40005", ASK, "Alipay is called too often. The result is being asked for.", "调用过于频繁，正在查询结果"),
    ("20001", SET_UP, "The authorisation at Alipay is not right: set-up fault.", "支付宝授权无效，请联系管理员"),
    ("40001", SET_UP, "Alipay misses a parameter: set-up fault.", "缺少必选参数，请联系管理员"),
    ("40002", SET_UP, "Alipay refuses a parameter: set-up fault.", "参数非法，请联系管理员"),
    ("40003", SET_UP, "The application lacks a permission at Alipay.", "应用权限不足，请联系管理员"),
    ("40006", SET_UP, "The service provider or the shop lacks a permission at Alipay.", "商户权限不足，请联系管理员"),
)
# fmt: on
GATEWAY_CODES: Final[Table] = table(_GATEWAY, prefix="")
"""Every ``code`` but 40004, and what it makes of a payment."""
GATEWAY_REFUSALS: Final = frozenset(
    code for code, row in GATEWAY_CODES.items() if row.outcome is SET_UP
)
TRADE_NOT_EXIST: Final = "ACQ.TRADE_NOT_EXIST"
_OF_THE_GATEWAY: Final = ("isp.", "aop.")


def _by_either_name(texts: dict[str, CashierText]) -> Mapping[str, CashierText]:
    """With ``ACQ.`` and without, as REST may leave it out."""
    return MappingProxyType({code.removeprefix("ACQ."): texts[code] for code in texts} | texts)


TEXTS: Final = ChannelTexts(
    payments=_by_either_name(
        {**texts_of(GATEWAY_CODES), **texts_of(ORDER_SUB_CODES), **texts_of(PAY_SUB_CODES)}
    ),
    refunds=_by_either_name(dict(texts_of(REFUND_SUB_CODES))),
)


def bare(sub_code: str) -> str:
    """A sub code as the tables have it: ``aop.ACQ.X`` is ``ACQ.X``, and so is ``X``."""
    for prefix in _OF_THE_GATEWAY:
        sub_code = sub_code.removeprefix(prefix)
    return sub_code if "." in sub_code else f"ACQ.{sub_code}"


def is_answer(code: str, sub_code: str) -> bool:
    """Whether a verified answer speaks of the trade, rather than of a fault of Alipay's."""
    if sub_code.startswith(_OF_THE_GATEWAY) or sub_code.endswith("SYSTEM_ERROR"):
        return False
    return code in (SUCCESS, BUSINESS_FAILED)


def outcome_of(listed: Table, code: str, sub_code: str, gateway: Outcome = ALARM) -> Outcome | None:
    """What a verified answer that is no success means; ``None`` where no table knows it.

    ``gateway`` is what a refusal of the gateway itself is for this method.
    """
    if code == BUSINESS_FAILED:
        row = listed.get(bare(sub_code))
        return None if row is None else row.outcome
    row = GATEWAY_CODES.get(code)
    if row is None or row.outcome.verdict in (Verdict.SUCCEEDED, Verdict.PENDING):
        return None  # neither is looked up here: a yes is read, not listed
    if row.outcome is ASK:
        return ASK
    # whoever does not know what happened may have passed the request on
    return ASK if sub_code.startswith("isp.") or "unknow" in sub_code else gateway


def pay_outcome(code: str, sub_code: str) -> Outcome | None:
    """The outcome of a verified answer to pay that is neither 10000 nor 10003."""
    return outcome_of(PAY_SUB_CODES, code, sub_code, SET_UP)
