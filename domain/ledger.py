"""Double-entry postings, computed beside the transition they belong to.

Rules: every function returns postings that sum to zero per currency; a debit is
positive, a credit negative; nothing is ever changed or deleted, a mistake is
posted back. The store writes the postings in the same commit as the transition.

Accounts are text paths: ``channel:<channel>:<account>`` is what a channel owes
us, ``merchant:<merchant_no>`` what we owe a merchant.
"""

import enum
from collections.abc import Iterable

from domain.record import brief


class Entry(enum.Enum):
    """What an entry books."""

    CAPTURE = "capture"
    FEE = "fee"
    REFUND = "refund"
    REVERSAL = "reversal"
    ADJUSTMENT = "adjustment"


_CAPTURE = Entry.CAPTURE
"""Looked up with every payment: a global is, a member of an enumeration is not, cheap."""


@brief
class Posting:
    """One line of an entry; ``amount_fen`` > 0 debits ``account``."""

    entry: Entry
    account: str
    amount_fen: int
    currency: str


def channel_receivable(channel: str, account_id: str) -> str:
    """The account of money that a channel holds for us."""
    return f"channel:{channel}:{account_id}"


def merchant_payable(merchant_no: str) -> str:
    """The account of money that we owe a merchant."""
    return f"merchant:{merchant_no}"


def channel_fees(channel: str, account_id: str) -> str:
    """The account of what a channel keeps for its service."""
    return f"fees:{channel}:{account_id}"


SUSPENSE = "suspense"
"""The account of differences that a person has taken off another account."""
SURPLUS = "differences"
"""The account of what channels collected beyond our orders: their payers', until returned."""


def capture(receivable: str, payable: str, amount_fen: int, currency: str) -> tuple[Posting, ...]:
    """The channel took the payer's money: it owes us, we owe the merchant."""
    return _pair(_CAPTURE, receivable, payable, amount_fen, currency)


def reversal(receivable: str, payable: str, amount_fen: int, currency: str) -> tuple[Posting, ...]:
    """What had been captured and not yet returned went back to the payer."""
    return _pair(Entry.REVERSAL, payable, receivable, amount_fen, currency)


def refund(receivable: str, payable: str, amount_fen: int, currency: str) -> tuple[Posting, ...]:
    """A part or all of a capture went back to the payer."""
    return _pair(Entry.REFUND, payable, receivable, amount_fen, currency)


def fee(receivable: str, fees: str, amount_fen: int, currency: str) -> tuple[Posting, ...]:
    """The channel keeps a fee of what it owes us; negative when it gives one back."""
    return _pair(Entry.FEE, fees, receivable, amount_fen, currency)


def adjustment(debit: str, credit: str, amount_fen: int, currency: str) -> tuple[Posting, ...]:
    """A person moved an amount from one account to another."""
    return _pair(Entry.ADJUSTMENT, debit, credit, amount_fen, currency)


def _pair(
    entry: Entry, debit: str, credit: str, amount_fen: int, currency: str
) -> tuple[Posting, ...]:
    return (
        Posting(entry, debit, amount_fen, currency),
        Posting(entry, credit, -amount_fen, currency),
    )


def is_balanced(postings: Iterable[Posting]) -> bool:
    """Whether the postings sum to zero in each currency."""
    sums: dict[str, int] = {}
    for posting in postings:
        sums[posting.currency] = sums.get(posting.currency, 0) + posting.amount_fen
    return not any(sums.values())
