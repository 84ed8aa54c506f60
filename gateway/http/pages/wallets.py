"""Which wallet's browser has the page open, as its user agent says. Pure.

Rules: a hint and nothing more (reference ``channels.md`` D): it picks the words on the page
and where the browser is sent to say who pays; it never authorises anything. Whoever invents
a user agent ends at that wallet's own log-in.
"""

import enum
import re
from typing import Final


class Wallet(enum.Enum):
    """The wallets that can pay on a page, by the name of their channel."""

    WECHAT = "wechat"
    ALIPAY = "alipay"
    UNIONPAY = "unionpay_qr"


_LONGEST: Final = 1024
_UNIONPAY: Final = re.compile(r"UnionPay/[0-9.]{1,8} [A-Za-z0-9]{1,32}")


def wallet_of(user_agent: str) -> Wallet | None:
    """The wallet that ``user_agent`` names, ``None`` for any other browser."""
    said = user_agent[:_LONGEST]
    if "MicroMessenger" in said:
        return Wallet.WECHAT
    if "AlipayClient" in said:
        return Wallet.ALIPAY
    return Wallet.UNIONPAY if _UNIONPAY.search(said) else None


def unionpay_mark(user_agent: str) -> str:
    """Which of the apps that carry UnionPay's page it is, as UnionPay wants to be told.

    ``UnionPay/1.0 CloudPay`` for UnionPay's own, ``UnionPay/1.0 JDJR`` and the like for
    others; ``""`` for none of them.
    """
    found = _UNIONPAY.search(user_agent[:_LONGEST])
    return "" if found is None else found.group()
