"""Double-entry postings, computed beside the transition they belong to.

Rules: every function returns postings that sum to zero per currency; a debit is
positive, a credit negative; nothing is ever changed or deleted, a mistake is
posted back. The store writes the postings in the same commit as the transition.

Accounts are text paths: ``channel:<channel>:<account>`` is what a channel owes
us, ``merchant:<merchant_no>`` what we owe a merchant.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Posting:
    """One line of an entry; ``amount_fen`` > 0 debits ``account``."""

    account: str
    amount_fen: int
    currency: str


def channel_receivable(channel: str, account_id: str) -> str:
    """The account of money that a channel holds for us."""
    return f"channel:{channel}:{account_id}"


def merchant_payable(merchant_no: str) -> str:
    """The account of money that we owe a merchant."""
    return f"merchant:{merchant_no}"


def capture(receivable: str, payable: str, amount_fen: int, currency: str) -> tuple[Posting, ...]:
    """The channel took the payer's money: it owes us, we owe the merchant."""
    return (
        Posting(receivable, amount_fen, currency),
        Posting(payable, -amount_fen, currency),
    )


def reversal(receivable: str, payable: str, amount_fen: int, currency: str) -> tuple[Posting, ...]:
    """The whole payment went back to the payer: the capture, posted back."""
    return capture(receivable, payable, -amount_fen, currency)


def is_balanced(postings: Iterable[Posting]) -> bool:
    """Whether the postings sum to zero in each currency."""
    sums: dict[str, int] = {}
    for posting in postings:
        sums[posting.currency] = sums.get(posting.currency, 0) + posting.amount_fen
    return not any(sums.values())
