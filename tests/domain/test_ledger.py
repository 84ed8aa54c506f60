"""Double entry: what is posted sums to zero, and a reversal is the capture posted back."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ledger import (
    Entry,
    Posting,
    adjustment,
    capture,
    channel_fees,
    channel_receivable,
    fee,
    is_balanced,
    merchant_payable,
    refund,
    reversal,
)

amounts = st.integers(1, 10**12 - 1)


def line(account: str, amount_fen: int, currency: str = "CNY") -> Posting:
    """A line whose entry does not matter."""
    return Posting(Entry.ADJUSTMENT, account, amount_fen, currency)


def test_accounts_are_paths() -> None:
    assert channel_receivable("alipay", "a1") == "channel:alipay:a1"
    assert merchant_payable("M1") == "merchant:M1"
    assert channel_fees("alipay", "a1") == "fees:alipay:a1"


@given(amounts)
def test_capture_and_reversal_balance_and_cancel_out(amount_fen: int) -> None:
    """Each by itself, and both together on every account."""
    taken = capture("a", "b", amount_fen, "CNY")
    returned = reversal("a", "b", amount_fen, "CNY")
    assert is_balanced(taken)
    assert is_balanced(returned)
    for account in ("a", "b"):
        assert sum(p.amount_fen for p in (*taken, *returned) if p.account == account) == 0


KINDS = [
    (capture, Entry.CAPTURE, 1),
    (reversal, Entry.REVERSAL, -1),
    (refund, Entry.REFUND, -1),
    (fee, Entry.FEE, -1),
    (adjustment, Entry.ADJUSTMENT, 1),
]


@pytest.mark.parametrize(
    ("book", "entry", "sign"), KINDS, ids=[entry.value for _, entry, _ in KINDS]
)
@given(amount_fen=amounts)
def test_every_entry_is_two_lines_that_say_what_they_book(
    book: Callable[[str, str, int, str], tuple[Posting, ...]],
    entry: Entry,
    sign: int,
    amount_fen: int,
) -> None:
    """A debit is positive; money that goes back, and a fee, credit what the channel owes us."""
    lines = book("a", "b", amount_fen, "CNY")
    assert is_balanced(lines)
    assert {posting.entry for posting in lines} == {entry}
    assert {posting.account: posting.amount_fen for posting in lines} == {
        "a": sign * amount_fen,
        "b": -sign * amount_fen,
    }


def test_a_fee_given_back_is_negative() -> None:
    assert fee("a", "b", -3, "CNY") == (
        Posting(Entry.FEE, "b", -3, "CNY"),
        Posting(Entry.FEE, "a", 3, "CNY"),
    )


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=9))
def test_refunds_of_the_parts_take_the_capture_back(parts: list[int]) -> None:
    """Whatever the parts: both accounts hold nothing in the end."""
    lines = [*capture("a", "b", sum(parts), "CNY")]
    for amount_fen in parts:
        lines += refund("a", "b", amount_fen, "CNY")
    for account in ("a", "b"):
        assert sum(posting.amount_fen for posting in lines if posting.account == account) == 0


def test_currencies_do_not_balance_each_other() -> None:
    assert not is_balanced([line("a", 5), line("b", -5, "USD")])
    assert not is_balanced([line("a", 5), line("b", -4)])
    assert is_balanced([])


@given(st.lists(st.tuples(st.sampled_from(["CNY", "USD"]), st.integers(-99, 99))))
def test_balanced_means_zero_in_each_currency(lines: list[tuple[str, int]]) -> None:
    """Against a sum written the other way round."""
    postings = [line("a", amount, currency) for currency, amount in lines]
    expected = all(
        sum(amount for currency, amount in lines if currency == one) == 0 for one in ("CNY", "USD")
    )
    assert is_balanced(postings) == expected
