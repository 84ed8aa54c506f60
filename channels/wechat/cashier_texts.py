"""What a cashier reads for WeChat Pay's own codes, where that says more than our reason's text.

Rules: keyed by the code that answers carry as ``channel_code``; English and Chinese; they say
what to do next. Source of the meanings: see ``codes.py``.
"""

from types import MappingProxyType
from typing import Final

from domain.decline import CashierText, ChannelTexts

_FRESH: Final = CashierText(
    "The code is expired or used. Refresh the payment code and scan again.",
    "付款码已失效，请顾客刷新付款码后重新扫码",
)
_CANCELLED: Final = CashierText(
    "The payer cancelled or entered no password.", "顾客已取消支付或未输入支付密码"
)
_FUNDS: Final = CashierText(
    "Not enough money. Ask the payer to choose another way in WeChat.",
    "余额不足，请顾客更换支付方式",
)
_BANK_DOWN: Final = CashierText(
    "This card is not supported. Ask the payer to choose another in WeChat.",
    "不支持该银行卡，请顾客更换银行卡",
)
_SET_UP: Final = CashierText(
    "WeChat Pay is set up wrongly here. Call the operator.", "微信支付配置有误，请联系管理员"
)
_ACCOUNT: Final = CashierText(
    "The payer's WeChat account cannot pay.", "顾客微信账户异常，无法支付"
)
_CLOSED: Final = CashierText(
    "The order is closed. Start again with a new one.", "订单已关闭，请重新下单"
)

TEXTS: Final = ChannelTexts(
    payments=MappingProxyType(
        {
            "AUTH_CODE_INVALID": CashierText(
                "Not a valid WeChat payment code. Refresh it and scan again.",
                "付款码无效，请顾客打开微信付款码刷新后重新扫码",
            ),
            "AUTHCODEEXPIRE": _FRESH,
            "AUTH_CODE_EXPIRED": _FRESH,
            "AUTH_CODE_ERROR": _FRESH,
            "TRADE_ERROR": _CANCELLED,
            "NOTENOUGH": _FUNDS,
            "NOT_ENOUGH": _FUNDS,
            "NOTSUPORTCARD": _BANK_DOWN,
            "BUYER_MISMATCH": CashierText(
                "An order can be paid by one payer only. Start again.",
                "同一订单只能由同一位顾客支付，请重新下单",
            ),
            "RULE_LIMIT": CashierText(
                "Refused by WeChat Pay's rules for this shop or payer.",
                "因微信支付业务规则限制，交易被拒绝",
            ),
            "RULELIMIT": CashierText(
                "Refused by WeChat Pay's rules for this shop or payer.",
                "因微信支付业务规则限制，交易被拒绝",
            ),
            "ACCOUNT_ERROR": _ACCOUNT,
            "ACCOUNTERROR": _ACCOUNT,
            "OPENID_MISMATCH": CashierText(
                "The page was opened by somebody else. Open it again.",
                "用户与页面不匹配，请重新打开页面",
            ),
            "CLOSED": _CLOSED,
            **dict.fromkeys(
                (
                    "SIGNERROR",
                    "SIGN_ERROR",
                    "PARAM_ERROR",
                    "NOAUTH",
                    "NO_AUTH",
                    "LACK_PARAMS",
                    "XML_FORMAT_ERROR",
                    "APPID_NOT_EXIST",
                    "MCHID_NOT_EXIST",
                    "MCH_NOT_EXISTS",
                    "APPID_MCHID_NOT_MATCH",
                    "REQUIRE_POST_METHOD",
                    "POST_DATA_EMPTY",
                    "NOT_UTF8",
                ),
                _SET_UP,
            ),
        }
    ),
    refunds=MappingProxyType(
        {
            "TRADE_OVERDUE": CashierText(
                "Paid more than a year ago: WeChat Pay refunds it no more.",
                "订单已超过一年退款期限，无法原路退款",
            ),
            "USER_ACCOUNT_ABNORMAL": CashierText(
                "The payer's WeChat account is closed: refund in another way.",
                "顾客微信账户已注销，请用其他方式退款",
            ),
            "INVALID_REQUEST": CashierText(
                "WeChat Pay refuses this refund: check its amount and the order.",
                "微信支付拒绝退款，请核对退款金额和订单状态",
            ),
            "ERROR": CashierText(
                "WeChat Pay refuses this refund: its merchant platform tells why.",
                "微信支付拒绝退款，具体原因请在商户平台查看",
            ),
            "REFUND_FEE_INVALID": CashierText(
                "The amount is more than can be refunded.", "退款金额超过可退金额"
            ),
            "CLOSED": CashierText(
                "WeChat Pay closed the refund: nothing was returned.", "退款已关闭，款项未退回"
            ),
            "REFUNDCLOSE": CashierText(
                "WeChat Pay closed the refund: nothing was returned.", "退款已关闭，款项未退回"
            ),
        }
    ),
)
