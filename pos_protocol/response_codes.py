"""What F39 says, as data (reference §5).

Rules: a code that is not listed has no meaning here (:func:`meaning` gives ``None``);
a received decline never starts a reversal. Classes are those of the terminals.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


class ResponseClass(enum.Enum):
    """What the person at the terminal should do."""

    SUCCESS = "A"
    CORRECTABLE = "B"
    """Enter it again, or otherwise, and repeat."""
    DECLINED = "C"
    """Show the text and stop."""
    CALL_OPERATOR = "D"
    """Stop, keep the card where the text says so, and call."""
    SYSTEM = "E"
    UNCLASSED = "-"
    """Known by text only; no source gives its class."""


@dataclass(frozen=True, slots=True)
class ResponseCode:
    """One line of the table."""

    code: str
    response_class: ResponseClass
    zh: str
    en: str


_R, _A = ResponseCode, ResponseClass.SUCCESS
_B, _C, _D = ResponseClass.CORRECTABLE, ResponseClass.DECLINED, ResponseClass.CALL_OPERATOR
_E, _U = ResponseClass.SYSTEM, ResponseClass.UNCLASSED

_TABLE = (
    _R("00", _A, "交易成功", "Approved"),
    _R("01", _C, "请持卡人与发卡银行联系", "Refer to the card issuer"),
    _R("03", _C, "无效商户", "Invalid merchant"),
    _R("04", _D, "无效卡，没收卡", "Invalid card, keep it"),
    _R("05", _C, "持卡人认证失败", "Do not honour"),
    _R("10", _A, "部分批准", "Partially approved"),
    _R("11", _A, "成功，VIP客户", "Approved, VIP"),
    _R("12", _C, "无效交易", "Invalid transaction"),
    _R("13", _B, "无效金额", "Invalid amount"),
    _R("14", _B, "无效卡号", "Invalid card number"),
    _R("15", _C, "此卡无对应发卡方", "No such issuer"),
    _R("21", _C, "该卡未初始化或睡眠卡", "Card not active"),
    _R("22", _C, "操作有误，或超出交易允许天数", "Not allowed, or too late"),
    _R("25", _C, "没有原始交易，请联系发卡方", "Original transaction not found"),
    _R("30", _C, "报文格式错，请重试", "Format error, try again"),
    _R("33", _U, "过期卡，没收卡", "Expired card, keep it"),
    _R("34", _D, "有作弊嫌疑，没收卡", "Suspected fraud, keep the card"),
    _R("38", _D, "密码错误次数超限，没收卡", "Too many wrong PINs, keep the card"),
    _R("40", _C, "不支持的交易类型", "Transaction not supported"),
    _R("41", _D, "挂失卡，没收卡", "Lost card, keep it"),
    _R("43", _D, "被窃卡，没收卡", "Stolen card, keep it"),
    _R("45", _C, "请使用芯片卡交易", "Use the chip"),
    _R("51", _C, "余额不足", "Not enough money in the account"),
    _R("54", _C, "该卡已过期", "The card has expired"),
    _R("55", _C, "密码错误", "Wrong PIN"),
    _R("57", _C, "不允许此卡交易", "Not permitted to this card"),
    _R("58", _C, "不允许该卡在本终端交易", "Not permitted at this terminal"),
    _R("59", _C, "卡片校验错", "Card check failed"),
    _R("61", _C, "交易金额超限", "Amount exceeds a limit"),
    _R("62", _C, "受限制的卡", "Restricted card"),
    _R("64", _C, "交易金额与原交易不匹配", "Amount differs from the original"),
    _R("65", _C, "超出消费次数限制", "Too many transactions"),
    _R("68", _C, "交易超时，请重试", "Timed out, try again"),
    _R("75", _C, "密码错误次数超限", "Too many wrong PINs"),
    _R("77", _U, "批次号不符或未签到，请重新签到", "Batch differs or not signed in: sign in"),
    _R("90", _C, "系统日切，请稍后重试", "Cut-over, try again later"),
    _R("91", _C, "发卡方状态不正常，请稍后重试", "Issuer unavailable, try again later"),
    _R("92", _C, "发卡方线路异常，请稍后重试", "No line to the issuer, try again later"),
    _R("94", _C, "拒绝，重复交易，请稍后重试", "Duplicate transaction"),
    _R("95", _U, "对账不平", "Totals differ"),
    _R("96", _C, "拒绝，交换中心异常，请稍后重试", "Switch fault, try again later"),
    _R("97", _D, "终端号未登记", "Terminal not registered"),
    _R("98", _E, "发卡方超时", "Issuer timed out"),
    _R("99", _B, "PIN格式错，请重新签到", "PIN block error: sign in again"),
    _R("A0", _B, "MAC校验错，请重新签到", "MAC error: sign in again"),
    _R("A1", _C, "转账货币不一致", "Transfer currencies differ"),
    _R("A2", _A, "成功，请向资金到账行确认", "Approved, confirm with the receiving bank"),
    _R("A3", _C, "资金到账行账号不正确", "Receiving account is wrong"),
    _R("A4", _A, "成功，请向资金到账行确认", "Approved, confirm with the receiving bank"),
    _R("A5", _A, "成功，请向资金到账行确认", "Approved, confirm with the receiving bank"),
    _R("A6", _A, "成功，请向资金到账行确认", "Approved, confirm with the receiving bank"),
    _R("A7", _C, "安全处理失败", "Security processing failed"),
)

RESPONSE_CODES: Final[Mapping[str, ResponseCode]] = MappingProxyType(
    {line.code: line for line in _TABLE}
)

APPROVED: Final = "00"
PARTIALLY_APPROVED: Final = "10"
INVALID_TRANSACTION: Final = "12"
INVALID_AMOUNT: Final = "13"
INVALID_CARD: Final = "14"
NOT_ALLOWED: Final = "22"
NO_ORIGINAL: Final = "25"
FORMAT_ERROR: Final = "30"
NOT_SUPPORTED: Final = "40"
NOT_PERMITTED: Final = "57"
OVER_LIMIT: Final = "61"
OTHER_AMOUNT: Final = "64"
NOT_SIGNED_IN: Final = "77"
"""Or in another batch."""
ISSUER_UNAVAILABLE: Final = "91"
DUPLICATE: Final = "94"
SYSTEM_FAULT: Final = "96"
UNKNOWN_TERMINAL: Final = "97"
TIMED_OUT: Final = "98"
PIN_BLOCK_ERROR: Final = "99"
MAC_ERROR: Final = "A0"
SECURITY_FAILED: Final = "A7"
SIGN_IN_AGAIN: Final = frozenset({NOT_SIGNED_IN, PIN_BLOCK_ERROR, MAC_ERROR})
"""After these a terminal signs in before its next transaction (§6)."""
REVERSAL_DONE: Final = frozenset({APPROVED, INVALID_TRANSACTION, NO_ORIGINAL})
"""What ends a reversal when a 0410 says it (§6)."""


def meaning(code: str) -> ResponseCode | None:
    """The line for ``code``, ``None`` when no source lists it."""
    return RESPONSE_CODES.get(code)


def is_success(code: str) -> bool:
    """Whether a host that says ``code`` has done what was asked."""
    line = RESPONSE_CODES.get(code)
    return line is not None and line.response_class is ResponseClass.SUCCESS
