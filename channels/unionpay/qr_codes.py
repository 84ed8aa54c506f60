"""UnionPay's ACP ``respCode`` as data: verdict, reason, advice, and the cashier's words.

Rules (reference ``channels.md`` C1):

* The tables are asked for verified answers only. What is not listed is ``UNKNOWN``, and
  so is what hints at money that moved (42, 74, 75), at another trade under the same
  number (12) or at an undo (45, 46): the query decides, or the undo that follows.
* 00 to a sale, a void or a refund means *accepted*: what became of it is in the
  ``origRespCode`` of a query alone. 03, 04 and 05 are "ask again"; so is 34 (no such
  trade): a query can overtake a sale.
* A6 is a success with a defect: the money moved, and something beside it (a voucher, the
  merchant's own posting) did not. It is booked as paid, with an alarm: whoever called it
  a failure would give the goods away twice or charge twice.
* A refund's money is owed. What an operator may mend (a right, a key, a closed system)
  is ``UNKNOWN`` for it, never the end.

The codes and their Chinese words are those of UnionPay's appendix of answer codes as
public integrations repeat it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from channels.port import Advice, Verdict
from domain.decline import CashierText, DeclineReason

SUCCESS: Final = "00"
DEFECTIVE: Final = "A6"
NOT_FOUND: Final = "34"
NO_SUCH_STATE: Final = "35"
UNDONE_BEFORE: Final = "45"
REVERSED_BEFORE: Final = "46"
NO_FILE: Final = "98"
DONE: Final = frozenset({SUCCESS, DEFECTIVE})
MISCONFIGURED: Final = frozenset({"10", "11", "13"})
"""Refused before any trade was looked at."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a code means for what was just asked."""

    verdict: Verdict
    reason: DeclineReason | None = None
    advice: Advice | None = None


@dataclass(frozen=True, slots=True)
class _Code:
    """One row: what it means for a sale, and the words at the till."""

    outcome: Outcome
    en: str
    zh: str


_R = DeclineReason
UNKNOWN: Final = Outcome(Verdict.UNKNOWN)
_PENDING = Outcome(Verdict.PENDING)
_NO = Outcome(Verdict.DECLINED, _R.DECLINED)
_SET_UP = Outcome(Verdict.DECLINED, _R.CONFIGURATION, Advice.CONFIGURATION)
_FRESH = Outcome(Verdict.DECLINED, _R.CODE_INVALID, Advice.FRESH_CODE)
_FORBIDDEN = Outcome(Verdict.DECLINED, _R.NOT_PERMITTED)
_LIMIT = Outcome(Verdict.DECLINED, _R.AMOUNT_LIMIT)
_POOR = Outcome(Verdict.DECLINED, _R.INSUFFICIENT_FUNDS)
_BAD_CARD = Outcome(Verdict.DECLINED, _R.CARD_INVALID)
_CLOSED = Outcome(Verdict.DECLINED, _R.CHANNEL_UNAVAILABLE)

_CODES: Final[Mapping[str, _Code]] = MappingProxyType(
    {
        "00": _Code(_PENDING, "Accepted; waiting for the result.", "已受理，等待结果"),
        "A6": _Code(
            Outcome(Verdict.SUCCEEDED, advice=Advice.CONFIGURATION),
            "Paid, with a defect: check the statement.",
            "交易成功（有缺陷），请核对对账单",
        ),
        "01": _Code(_NO, "Declined by UnionPay.", "交易失败，详情请咨询95516"),
        "02": _Code(_CLOSED, "UnionPay is closed for now; try later.", "系统暂时关闭，请稍后再试"),
        "03": _Code(UNKNOWN, "No answer yet; being asked.", "交易通讯超时，正在查询"),
        "04": _Code(UNKNOWN, "Result not clear; being asked.", "交易状态未明，正在查询"),
        "05": _Code(_PENDING, "Accepted; waiting for the result.", "交易已受理，请稍候"),
        "06": _Code(UNKNOWN, "UnionPay is busy; being asked.", "系统繁忙，正在查询"),
        "10": _Code(_SET_UP, "Set-up fault: message refused.", "报文格式错误，请联系管理员"),
        "11": _Code(_SET_UP, "Set-up fault: signature refused.", "验证签名失败，请联系管理员"),
        "12": _Code(UNKNOWN, "Number used before; being asked.", "重复交易，正在查询"),
        "13": _Code(_SET_UP, "Set-up fault: a field is missing.", "报文要素缺失，请联系管理员"),
        "30": _Code(_NO, "Not accepted. Try another UnionPay card.", "交易未通过，请换卡再试"),
        "31": _Code(_SET_UP, "The merchant is not in order.", "商户状态不正确，请联系管理员"),
        "32": _Code(_SET_UP, "The merchant may not do this.", "无此交易权限，请联系管理员"),
        "33": _Code(_LIMIT, "The amount exceeds a limit.", "交易金额超限"),
        "34": _Code(UNKNOWN, "No such trade yet; being asked.", "查无此交易，正在查询"),
        "35": _Code(UNKNOWN, "The earlier trade is not in that state.", "原交易不存在或状态不正确"),
        "36": _Code(UNKNOWN, "Does not match the earlier trade.", "与原交易信息不符"),
        "37": _Code(UNKNOWN, "Asked too often; asking later.", "查询过于频繁，请稍后"),
        "38": _Code(Outcome(Verdict.DECLINED, _R.RISK), "Refused by risk control.", "银联风险受限"),
        "39": _Code(_FORBIDDEN, "Not at this time of day.", "交易不在受理时间范围内"),
        "40": _Code(_NO, "The card is not bound.", "绑定关系检查失败"),
        "42": _Code(UNKNOWN, "Paid too late; being settled.", "扣款成功但超过规定支付时间"),
        "43": _Code(_SET_UP, "The merchant lacks this business.", "无此业务权限，请联系管理员"),
        "44": _Code(_FORBIDDEN, "Not opened for this card.", "号码错误或暂未开通此项业务"),
        "45": _Code(UNKNOWN, "Returned or voided before.", "原交易已退货或已撤销"),
        "46": _Code(UNKNOWN, "Reversed before.", "交易已被冲正"),
        "60": _Code(_NO, "Declined by the card's bank.", "交易失败，请咨询发卡行"),
        "61": _Code(_BAD_CARD, "Card not valid.", "卡号无效"),
        "62": _Code(_FORBIDDEN, "The bank does not serve this shop.", "发卡行不支持该商户，请换卡"),
        "63": _Code(_BAD_CARD, "The card is not in order.", "卡状态不正确"),
        "64": _Code(_POOR, "Not enough money in the account.", "余额不足"),
        "65": _Code(
            Outcome(Verdict.DECLINED, _R.WRONG_PIN), "Wrong password.", "密码、有效期或CVN2有误"
        ),
        "66": _Code(_NO, "The payer's data do not match.", "持卡人身份信息有误"),
        "67": _Code(
            Outcome(Verdict.DECLINED, _R.PIN_TRIES_EXCEEDED),
            "Too many wrong passwords.",
            "密码输入次数超限",
        ),
        "68": _Code(_FORBIDDEN, "The card cannot do this.", "银行卡暂不支持该业务"),
        "69": _Code(_NO, "The payer took too long.", "输入超时，交易失败"),
        "70": _Code(_PENDING, "The payer is typing.", "等待持卡人输入"),
        "71": _Code(_NO, "The one-time password is wrong.", "动态口令校验失败"),
        "72": _Code(_FORBIDDEN, "Not signed up at the bank.", "尚未开通无卡支付业务"),
        "73": _Code(
            Outcome(Verdict.DECLINED, _R.CARD_EXPIRED), "The card has expired.", "卡已过期"
        ),
        "74": _Code(UNKNOWN, "Paid; the rest is not known.", "扣款成功，销账未知"),
        "75": _Code(UNKNOWN, "Paid; the rest failed.", "扣款成功，销账失败"),
        "76": _Code(_FORBIDDEN, "The payer must open this first.", "需要验密开通"),
        "77": _Code(_FORBIDDEN, "The card is not opened for this.", "银行卡未开通认证支付"),
        "78": _Code(_FORBIDDEN, "The bank restricts this card.", "发卡行交易权限受限"),
        "79": _Code(_FORBIDDEN, "The bank does not verify by message.", "发卡行暂不支持短信验证"),
        "80": _Code(_FRESH, "Code expired. Scan a fresh code.", "付款码已过期，请刷新后重扫"),
        "81": _Code(_LIMIT, "The month's limit is reached.", "月累计交易超限"),
        "82": _Code(_PENDING, "The payer must type a password.", "需要输入密码"),
        "83": _Code(_PENDING, "The bank is working on it.", "发卡行处理中"),
        "85": _Code(_NO, "The offer's conditions are not met.", "营销规则不满足"),
        "86": _Code(_FRESH, "Code used or expired. Scan a fresh one.", "二维码状态错误，请刷新"),
        "87": _Code(_LIMIT, "Paid too often with this code.", "支付次数超限"),
        "88": _Code(_FRESH, "No such code. Scan a fresh one.", "无此二维码，请刷新后重扫"),
        "89": _Code(_FRESH, "Code not valid. Scan a fresh one.", "付款码无效，请刷新后重扫"),
        "90": _Code(_POOR, "Not enough money in the account.", "账户余额不足"),
        "91": _Code(_NO, "The payer was not recognised.", "认证失败"),
        "92": _Code(_SET_UP, "The merchant's licence has expired.", "营业执照过期"),
        "93": _Code(_SET_UP, "The merchant's licence was revoked.", "营业执照吊销"),
        "94": _Code(_SET_UP, "The merchant's licence was cancelled.", "营业执照注销"),
        "95": _Code(_SET_UP, "The merchant has moved away.", "营业执照迁出"),
        "96": _Code(_SET_UP, "The merchant's licence was withdrawn.", "营业执照撤销"),
        # On purpose not here, so UNKNOWN: 99 (a general error says nothing of the money).
    }
)

PAY_CODES: Final[Mapping[str, Outcome]] = MappingProxyType(
    {code: row.outcome for code, row in _CODES.items()}
)
"""By the ``respCode`` of a sale that was just sent."""

QUERY_CODES: Final[Mapping[str, Outcome]] = MappingProxyType(
    {**PAY_CODES, SUCCESS: Outcome(Verdict.SUCCEEDED)}
)
"""By the ``origRespCode`` of a query: what became of the sale."""

CASHIER_TEXTS: Final[Mapping[str, CashierText]] = MappingProxyType(
    {code: CashierText(row.en, row.zh) for code, row in _CODES.items()}
)

_MENDABLE: Final = frozenset({_R.CONFIGURATION, _R.CHANNEL_UNAVAILABLE, _R.RISK})
_REFUNDS_OWN: Final[Mapping[str, Outcome]] = MappingProxyType(
    {
        "33": _LIMIT,
        NO_SUCH_STATE: _FORBIDDEN,  # no such payment there, or not paid
        "36": _LIMIT,  # more than is left, or not the payment's amount for a void
        "39": _FORBIDDEN,  # a void after the clearing day, a refund after its time
        UNDONE_BEFORE: _LIMIT,  # nothing is left of it
        REVERSED_BEFORE: _FORBIDDEN,
    }
)


def _refund_codes(sale: Mapping[str, Outcome]) -> Mapping[str, Outcome]:
    """As a sale's, without what an operator may mend, and with what is wrong of the original."""
    kept = {
        code: Outcome(Verdict.UNKNOWN, advice=Advice.CONFIGURATION)
        if outcome.reason in _MENDABLE
        else outcome
        for code, outcome in sale.items()
    }
    return MappingProxyType({**kept, **_REFUNDS_OWN})


REFUND_CODES: Final = _refund_codes(PAY_CODES)
"""By the ``respCode`` of a void or a refund that was just sent."""
REFUND_QUERY_CODES: Final = _refund_codes(QUERY_CODES)
"""By the ``origRespCode`` of a query about one."""
