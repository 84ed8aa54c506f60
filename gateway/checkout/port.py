"""What the payer's page, the live code and the streams may ask of a checkout.

Rules:

* A checkout is one order that any wallet may pay. To its merchant it is a payment: a row of
  ``payments`` with ``method`` ``qr`` and no account, whose id, number, events and notices
  are the only ones that the merchant ever sees. Each wallet that begins is an *attempt*: an
  ordinary payment at its channel (door ``checkout``, id ``CHECKOUT-1``, ``-2`` …).
* One attempt is current. Another wallet takes over only once the former attempt is
  verifiably closed at its channel; until then it is told :attr:`Start.ELSEWHERE`.
* No order exists before the press. Amount and shop come from the checkout (or, for a printed
  code, once, with the press that makes it), never again from the payer's browser.
* A press and a beginning are repeatable: the same ``press_key`` is the same checkout, the
  same wallet and payer the same attempt, under the same number at the channel.
* What names a payer or is worth money (payer ids, codes, JS parameters) is in no ``repr``.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from channels.payer_orders import PayerAnswer
from domain.checkout import CheckoutStatus
from domain.decline import Decline


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """Who pays: ``wallet`` is a channel's name, ``payer_id`` the wallet's name of the payer.

    ``return_url`` is where a wallet that is a page of its own sends the payer afterwards.
    """

    wallet: str
    payer_id: str = field(repr=False)
    payer_ip: str = field(default="", repr=False)
    return_url: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """The button of a printed code's page, pressed once; ``press_key`` is its one-time token.

    ``press_key`` is 1-64 of ``A-Z a-z 0-9 _ -`` and new with every page that is shown.
    ``code_id`` is the printed code's, ``remark`` what the payer wrote, ``shop_name`` what the
    payer reads; ``notify_url`` is the code's own, empty where its merchant is not told.
    """

    merchant_no: str
    press_key: str
    code_id: str
    shop_name: str
    amount_fen: int
    subject: str
    store_id: str = ""
    terminal_id: str = ""
    remark: str = field(default="", repr=False)
    notify_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutView:
    """A checkout as its page shows it.

    ``wallets`` are the channels that can be paid here from a page; ``wallet`` is that of the
    attempt that is paying or has paid (``""``: none). ``is_asking``: the channel was asked
    and has not answered, or an undo is under way; "still asking" is all that is true then.
    ``is_mine``: that attempt is the payer's whom the view was asked for. ``has_given_up``: it is
    not, but a former one was; ``is_paid_twice``: one of his that was given up was paid all the
    same, and goes back.
    ``may_take_over``: that attempt is another's and was left alone for so long that a press has
    it closed. ``version`` rises with every change. ``decline`` is why the last attempt was not
    paid, or why the checkout is over.
    """

    checkout_id: str
    merchant_no: str
    merchant_order_no: str
    shop_name: str
    store_id: str
    terminal_id: str
    subject: str
    remark: str
    amount_fen: int
    currency: str
    status: CheckoutStatus
    version: int
    wallets: Sequence[str]
    created_at_ms: int
    expires_at_ms: int
    wallet: str = ""
    is_asking: bool = False
    is_mine: bool = False
    may_take_over: bool = False
    has_given_up: bool = False
    is_paid_twice: bool = False
    paid_at_ms: int = 0
    returned_fen: int = 0
    decline: Decline | None = None

    def __repr__(self) -> str:
        return f"CheckoutView({self.checkout_id!r}, {self.status.value}, {self.amount_fen})"


class Start(enum.Enum):
    """What became of a payer's wish to begin."""

    READY = "ready"
    """The order stands at the channel: hand ``parameters`` to the wallet, or go to
    ``page_url``."""
    ELSEWHERE = "elsewhere"
    """Another wallet or payer is paying it now: "being paid elsewhere"."""
    PAID = "paid"
    OVER = "over"
    """Closed, cancelled, expired or being undone."""
    REFUSED = "refused"
    """The channel's definitive no to this attempt (``view.decline``): another may begin."""
    UNKNOWN = "unknown"
    """No trustworthy answer: begin again (the same order) or wait."""
    AWAY = "away"
    """The wallet is not open to this merchant, or its channel does not answer now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A beginning and what the wallet is handed; set for ``READY`` only."""

    start: Start
    view: CheckoutView
    parameters: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    page_url: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveCode:
    """What a screen shows now: ``code`` as a QR code, to be fetched anew at ``expires_at_ms``.

    An aggregated code is ``public_url/q/TOKEN``; a single wallet's is the channel's own.
    """

    code: str = field(repr=False)
    expires_at_ms: int


class CheckoutPages(Protocol):
    """What the payer's page needs; every call may raise ``domain.errors.Unavailable``."""

    def wallets(self, merchant_no: str) -> Sequence[str]:
        """The channels that this merchant can be paid through from a page, in a fixed order."""
        ...

    def authorise_url(self, merchant_no: str, wallet: str, return_url: str, state: str) -> str:
        """Where the wallet's browser is sent; ``""`` where that wallet is not open here."""
        ...

    async def payer_of(
        self, merchant_no: str, wallet: str, code: str, mark: str = ""
    ) -> PayerAnswer:
        """Exchange the code that came back with it, once; ``mark`` names the app (UnionPay)."""
        ...

    async def scanned(self, token: str) -> CheckoutView | None:
        """The checkout of a live code; ``None``: invented, too old, or of a dead order."""
        ...

    async def view(self, checkout_id: str, payer: Payer | None = None) -> CheckoutView | None:
        """A checkout as it stands; ``None``: no such one. Reads the store, calls nobody."""
        ...

    async def press(self, press: Press) -> CheckoutView:
        """Make the checkout of a press, or find the one that this repeats.

        Raises:
            domain.errors.Conflict: the key was pressed with other content.
            domain.errors.Unprocessable: no wallet is open, a limit, an impossible amount.
            domain.errors.Unavailable: draining, over the bound, or the store is down.
        """
        ...

    async def begin(self, checkout_id: str, payer: Payer) -> Begun:
        """Begin, or go on with, this payer's attempt.

        Raises:
            domain.errors.NotFound: no such checkout.
        """
        ...

    async def release(self, checkout_id: str, payer: Payer) -> CheckoutView:
        """The wallet says that the payer gave up: ask the channel, then undo the attempt.

        What has been paid stays paid; who does not pay it changes nothing.
        """
        ...

    async def ask(self, checkout_id: str, payer: Payer | None = None) -> CheckoutView | None:
        """Ask the channel now whether it is paid (the page is back from the wallet), and look.

        At most once in two seconds for each attempt; in between it only reads.
        """
        ...
