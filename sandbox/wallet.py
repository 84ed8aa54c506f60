"""A payer with a phone: scans a code or opens an order, and pays, declines or dawdles.

Rules: a channel with orders that a payer completes brings a :data:`Wallet`; the control
server's ``POST /pay`` asks each channel's in turn whose code it is. What the payer does is
a scenario's word, as with the codes of a till: ``approved`` pays, ``user_paying`` pays some
seconds later, ``declined`` is refused by the wallet, ``never_pays`` only opens the order;
``crossed`` pays even an order that was closed unpaid, as if the money had been on its way then.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from sandbox.scenarios import Scenario

ACTS = (
    Scenario.APPROVED,
    Scenario.USER_PAYING,
    Scenario.DECLINED,
    Scenario.NEVER_PAYS,
    Scenario.CROSSED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """What is in front of the payer, and what the payer does about it.

    ``code`` is what a QR code says; ``order`` what the page's JS bridge was given (Alipay's
    ``tradeNO``, WeChat's ``prepay_id``, UnionPay's ``tn``). ``payer_id`` is the wallet's name
    of the payer, empty for the one that is simulated by default.
    """

    code: str = field(default="", repr=False)
    order: str = field(default="", repr=False)
    act: Scenario = Scenario.APPROVED
    payer_id: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletAnswer:
    """What the payer's phone says; ``why`` is empty unless the order cannot be paid.

    ``subject`` is what the merchant called it.
    """

    channel: str
    order_no: str
    amount_fen: int
    paid: bool
    why: str = ""
    subject: str = ""


Wallet = Callable[[Payer, int], WalletAnswer | None]
"""``wallet(payer, now_ms)``; ``None``: this is no code or order of this channel."""
