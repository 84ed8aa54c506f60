"""Double entry: what is posted sums to zero, and a reversal is the capture posted back."""

from hypothesis import given
from hypothesis import strategies as st

from domain.ledger import (
    Posting,
    capture,
    channel_receivable,
    is_balanced,
    merchant_payable,
    reversal,
)

amounts = st.integers(1, 10**12 - 1)


def test_accounts_are_paths() -> None:
    assert channel_receivable("alipay", "a1") == "channel:alipay:a1"
    assert merchant_payable("M1") == "merchant:M1"


@given(amounts)
def test_capture_and_reversal_balance_and_cancel_out(amount_fen: int) -> None:
    """Each by itself, and both together on every account."""
    taken = capture("a", "b", amount_fen, "CNY")
    returned = reversal("a", "b", amount_fen, "CNY")
    assert is_balanced(taken)
    assert is_balanced(returned)
    for account in ("a", "b"):
        assert sum(p.amount_fen for p in (*taken, *returned) if p.account == account) == 0


def test_a_debit_is_positive() -> None:
    """The channel owes us, we owe the merchant."""
    assert capture("a", "b", 5, "CNY") == (Posting("a", 5, "CNY"), Posting("b", -5, "CNY"))


def test_currencies_do_not_balance_each_other() -> None:
    assert not is_balanced([Posting("a", 5, "CNY"), Posting("b", -5, "USD")])
    assert not is_balanced([Posting("a", 5, "CNY"), Posting("b", -4, "CNY")])
    assert is_balanced([])


@given(st.lists(st.tuples(st.sampled_from(["CNY", "USD"]), st.integers(-99, 99))))
def test_balanced_means_zero_in_each_currency(lines: list[tuple[str, int]]) -> None:
    """Against a sum written the other way round."""
    postings = [Posting("a", amount, currency) for currency, amount in lines]
    expected = all(
        sum(amount for currency, amount in lines if currency == one) == 0 for one in ("CNY", "USD")
    )
    assert is_balanced(postings) == expected
