"""Every word that a payer reads, in Chinese and English. Data; a test holds it total.

Rules: short, plain, and true at that moment: nothing says "failed" before the channel has
said so, and what is not known is called so: a page that could not look at an order (too busy,
without its session) does not say that nothing was charged. Each state of a page has a head and a
sentence.
"""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from domain.decline import CashierText, DeclineReason
from gateway.http.pages.languages import Language
from gateway.http.pages.wallets import Wallet


class State(enum.Enum):
    """What a page shows; the value stands in its ``data-state``."""

    READY = "ready"
    PAYING = "paying"
    ASKING = "asking"
    PAID = "paid"
    FAILED = "failed"
    CLOSED = "closed"
    EXPIRED = "expired"
    ELSEWHERE = "elsewhere"
    TAKEN = "taken"
    RETURNED = "returned"
    TWICE = "twice"
    DISABLED = "disabled"
    UNKNOWN = "unknown"
    APPS = "apps"
    NOT_OPEN = "notopen"
    REFUSED = "refused"
    BUSY = "busy"
    STALE = "stale"


_T = CashierText
_S = State

HEADS: Final[Mapping[State, CashierText]] = MappingProxyType(
    {
        _S.READY: _T("Pay", "付款"),
        _S.PAYING: _T("Waiting for your payment", "等待付款"),
        _S.ASKING: _T("Still asking", "正在确认"),
        _S.PAID: _T("Paid", "付款成功"),
        _S.FAILED: _T("Not paid", "付款未成功"),
        _S.CLOSED: _T("This order is closed", "订单已关闭"),
        _S.EXPIRED: _T("This code has expired", "二维码已过期"),
        _S.ELSEWHERE: _T("Being paid elsewhere", "正在由他人支付"),
        _S.TAKEN: _T("Already paid", "订单已支付"),
        _S.RETURNED: _T("The money goes back", "款项已退回"),
        _S.TWICE: _T("Your money goes back", "您的款项将退回"),
        _S.DISABLED: _T("This code is no longer in use", "此收款码已停用"),
        _S.UNKNOWN: _T("There is nothing to pay here", "此页面不存在"),
        _S.APPS: _T("Scan to pay", "扫码付款"),
        _S.NOT_OPEN: _T("This app cannot pay here", "暂不支持此应用付款"),
        _S.REFUSED: _T("This cannot be paid now", "暂时无法付款"),
        _S.BUSY: _T("One moment, please", "请稍候"),
        _S.STALE: _T("This page is too old", "页面已失效"),
    }
)

SENTENCES: Final[Mapping[State, CashierText]] = MappingProxyType(
    {
        _S.READY: _T("You pay after you press the button.", "点击按钮后才会扣款"),
        _S.PAYING: _T(
            "Finish the payment in your wallet. Nothing is charged before that.",
            "请在弹出的窗口中完成付款，未完成前不会扣款",
        ),
        _S.ASKING: _T(
            "We are asking the wallet what became of your payment. Please do not pay again.",
            "正在向支付机构确认付款结果，请勿重复付款",
        ),
        _S.PAID: _T(
            "Thank you. You may show this page to the cashier.", "感谢您的光临，可向店员出示此页面"
        ),
        _S.FAILED: _T("Nothing was charged.", "未扣款"),
        _S.CLOSED: _T(
            "It can no longer be paid. Ask the cashier for a new code.",
            "订单已无法支付，请向店员索取新的二维码",
        ),
        _S.EXPIRED: _T("Scan the code that is shown now.", "请重新扫描当前显示的二维码"),
        _S.ELSEWHERE: _T(
            "Another wallet is paying this order now. You are not charged.",
            "另一台手机正在支付此订单，您不会被扣款",
        ),
        _S.TAKEN: _T(
            "Somebody else has paid this order. You are not charged.",
            "此订单已由他人支付，您不会被扣款",
        ),
        _S.RETURNED: _T(
            "This payment was cancelled, and your money is on its way back.",
            "此笔付款已撤销，款项将原路退回",
        ),
        _S.TWICE: _T(
            "This order was no longer yours to pay. What you paid all the same goes back to you "
            "by itself; you need not do anything.",
            "此订单已不由您支付，您的这笔付款将自动原路退回，无需任何操作",
        ),
        _S.DISABLED: _T("Ask the shop how to pay.", "请向店员咨询付款方式"),
        _S.UNKNOWN: _T(
            "Check the code and scan it again, or ask the shop.",
            "请核对二维码后重新扫描，或向店员咨询",
        ),
        _S.APPS: _T(
            "Open one of these apps and scan this code with it.", "请打开以下任一应用扫描此二维码"
        ),
        _S.NOT_OPEN: _T("Use one of these apps:", "请使用以下应用："),
        _S.REFUSED: _T("Nothing was charged.", "未扣款"),
        _S.BUSY: _T(
            "Try again in a moment. If you have paid, do not pay again.",
            "请稍后重试；如已付款，请勿重复付款",
        ),
        _S.STALE: _T(
            "Begin again. If you have paid, do not pay again, and ask the cashier.",
            "请重新开始；如已付款，请勿重复付款，并向店员确认",
        ),
    }
)

_R = DeclineReason
_REFUSED: Final = _T(
    "Your wallet refused. Nothing was charged; choose another way to pay.",
    "支付机构拒绝了此次付款，未扣款，请更换付款方式",
)
_DECLINES: Final[Mapping[DeclineReason, CashierText]] = MappingProxyType(
    {
        _R.INSUFFICIENT_FUNDS: _T(
            "There is not enough money in the account. Nothing was charged.", "余额不足，未扣款"
        ),
        _R.AMOUNT_LIMIT: _T(
            "The amount is above your wallet's limit. Nothing was charged.", "金额超出限额，未扣款"
        ),
        _R.PAYER_CANCELLED: _T("You cancelled. Nothing was charged.", "您已取消付款，未扣款"),
        _R.CANCELLED: _T("The payment was cancelled. Nothing was charged.", "付款已取消，未扣款"),
        _R.NOT_PAID_IN_TIME: _T(
            "It was not paid in time. Nothing was charged.", "超时未付款，未扣款"
        ),
        _R.CHANNEL_UNAVAILABLE: _T(
            "Your wallet cannot be reached now. Nothing was charged; try again.",
            "暂时无法连接支付机构，未扣款，请重试",
        ),
    }
)


def decline_text(reason: DeclineReason) -> CashierText:
    """Why it was not paid, in the payer's words; most reasons are nobody's business but theirs."""
    return _DECLINES.get(reason, _REFUSED)


WALLET_NAMES: Final[Mapping[Wallet, CashierText]] = MappingProxyType(
    {
        Wallet.WECHAT: _T("WeChat", "微信"),
        Wallet.ALIPAY: _T("Alipay", "支付宝"),
        Wallet.UNIONPAY: _T("UnionPay", "云闪付"),
    }
)

WORDS: Final[Mapping[str, CashierText]] = MappingProxyType(
    {
        "amount": _T("Amount (yuan)", "金额（元）"),
        "keypad": _T("Keypad", "数字键盘"),
        "erase": _T("Delete the last digit", "删除"),
        "remark": _T("Remark (optional)", "备注（选填）"),
        "pay": _T("Pay with {wallet}", "{wallet}付款"),
        "again": _T("Open the payment again", "继续付款"),
        "give_up": _T("Cancel this payment", "取消付款"),
        "begin_again": _T("Begin again", "重新开始"),
        "paid_at": _T("Paid at", "付款时间"),
        "order_no": _T("Order", "订单号"),
        "code": _T("The payment code", "收款二维码"),
        "bad_amount": _T(
            "Enter an amount, at most two decimals, such as 12.50.",
            "请输入正确的金额，最多两位小数",
        ),
        "bad_remark": _T("The remark is too long.", "备注过长"),
        "working": _T("One moment …", "请稍候…"),
        "cancelled": _T(
            "You left the payment. Nothing is charged unless it was paid.",
            "您已退出付款，若未支付则不会扣款",
        ),
        "offline": _T(
            "The connection is lost. We keep asking; do not pay again.",
            "网络连接中断，正在重试，请勿重复付款",
        ),
        "no_bridge": _T(
            "The payment window did not open. Press the button to try again.",
            "付款窗口未能打开，请点击按钮重试",
        ),
        "no_script": _T(
            "Turn on JavaScript in this browser to pay.", "请在浏览器中启用 JavaScript 后付款"
        ),
    }
)


def _in(language: Language, texts: Mapping[str, CashierText]) -> Mapping[str, str]:
    return MappingProxyType({name: said(text, language) for name, text in texts.items()})


def said(text: CashierText, language: Language) -> str:
    """``text`` in ``language``."""
    return text.zh if language is Language.ZH else text.en


WORDS_IN: Final[Mapping[Language, Mapping[str, str]]] = MappingProxyType(
    {language: _in(language, WORDS) for language in Language}
)
