"""Why a payment was refused, as one closed list.

Rules: a decline is a value, never an exception; it keeps the channel's own code
beside our reason; the reason picks the answer code of every door (``gateway/http`` and
``gateway/pos/translate.py`` map this list totally, a test holds them to it) and the text
that a cashier reads, in Chinese and English, unless the channel's plugin brings a text for
its own code (:class:`ChannelTexts`): that says more exactly what to do.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final


class DeclineReason(enum.Enum):
    """Every way a payment can be refused, whoever refused it."""

    DECLINED = "declined"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    WRONG_PIN = "wrong_pin"
    PIN_TRIES_EXCEEDED = "pin_tries_exceeded"
    CARD_INVALID = "card_invalid"
    CARD_EXPIRED = "card_expired"
    CARD_CAPTURE = "card_capture"
    CODE_INVALID = "code_invalid"
    CODE_UNKNOWN = "code_unknown"
    AMOUNT_LIMIT = "amount_limit"
    RISK = "risk"
    NOT_PERMITTED = "not_permitted"
    PAYER_CANCELLED = "payer_cancelled"
    CANCELLED = "cancelled"
    NOT_PAID_IN_TIME = "not_paid_in_time"
    CHANNEL_UNAVAILABLE = "channel_unavailable"
    CONFIGURATION = "configuration"


@dataclass(frozen=True, slots=True)
class Decline:
    """A refusal: our reason, and the code the channel gave, if a channel did."""

    reason: DeclineReason
    channel_code: str = ""


@dataclass(frozen=True, slots=True)
class CashierText:
    """One sentence for the person at the till, in both languages."""

    en: str
    zh: str


_R = DeclineReason
CASHIER_TEXTS: Final[Mapping[DeclineReason, CashierText]] = MappingProxyType(
    {
        _R.DECLINED: CashierText(
            "Declined. Ask for another way to pay.", "交易被拒绝，请更换支付方式"
        ),
        _R.INSUFFICIENT_FUNDS: CashierText("Not enough money in the account.", "余额不足"),
        _R.WRONG_PIN: CashierText("Wrong PIN. Start the sale again.", "密码错误，请重新交易"),
        _R.PIN_TRIES_EXCEEDED: CashierText("Too many wrong PINs.", "密码错误次数超限"),
        _R.CARD_INVALID: CashierText("Card not valid. Try another card.", "无效卡，请更换银行卡"),
        _R.CARD_EXPIRED: CashierText("The card has expired.", "卡已过期"),
        _R.CARD_CAPTURE: CashierText(
            "Keep the card and call the operator.", "没收卡，请联系收单行"
        ),
        _R.CODE_INVALID: CashierText(
            "Code expired or used. Scan a fresh code.", "付款码无效，请刷新后重新扫码"
        ),
        _R.CODE_UNKNOWN: CashierText("Not a payment code of a known wallet.", "无法识别的付款码"),
        _R.AMOUNT_LIMIT: CashierText("The amount exceeds a limit.", "金额超限"),
        _R.RISK: CashierText("Refused by risk control.", "交易存在风险，已被拒绝"),
        _R.NOT_PERMITTED: CashierText("This payment is not permitted here.", "不允许的交易"),
        _R.PAYER_CANCELLED: CashierText("The payer cancelled.", "用户取消支付"),
        _R.CANCELLED: CashierText(
            "Cancelled at the till. Any money goes back.", "交易已取消，款项将退回"
        ),
        _R.NOT_PAID_IN_TIME: CashierText(
            "Not paid in time. Nothing is charged.", "支付超时，交易已撤销"
        ),
        _R.CHANNEL_UNAVAILABLE: CashierText(
            "The channel cannot be reached. Nothing was charged; try again.",
            "渠道不可用，未扣款，请重试",
        ),
        _R.CONFIGURATION: CashierText(
            "Set-up fault. Call the operator.", "商户配置错误，请联系管理员"
        ),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelTexts:
    """What a channel's own codes say at the till, of payments and of refunds; data of its plugin.

    A code that is not here has the text of its reason.
    """

    payments: Mapping[str, CashierText] = field(default_factory=lambda: MappingProxyType({}))
    refunds: Mapping[str, CashierText] = field(default_factory=lambda: MappingProxyType({}))


Texts = Mapping[str, ChannelTexts]
"""By the name of the channel."""
NO_TEXTS: Final[Texts] = MappingProxyType({})
_OF_NOBODY: Final = ChannelTexts()


def payment_text(decline: Decline, channel: str, texts: Texts) -> CashierText:
    """What the cashier reads of a refused payment."""
    own = texts.get(channel, _OF_NOBODY).payments.get(decline.channel_code)
    return own or CASHIER_TEXTS[decline.reason]


def refund_text(decline: Decline, channel: str, texts: Texts) -> CashierText | None:
    """What the shop reads of a refused refund, where its channel has a text for the code."""
    return texts.get(channel, _OF_NOBODY).refunds.get(decline.channel_code)
