"""Money is integer fen: text conversion loses nothing and takes nothing for a number."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import (
    MAX_AMOUNT_FEN,
    MoneyError,
    currency_numeric,
    format_yuan,
    parse_yuan,
    payable_fen,
)

fen = st.integers(-MAX_AMOUNT_FEN, MAX_AMOUNT_FEN)


@given(fen)
def test_what_is_written_is_read_back(amount_fen: int) -> None:
    """parse ∘ format is the identity."""
    assert parse_yuan(format_yuan(amount_fen)) == amount_fen


def test_every_amount_up_to_a_thousand_yuan() -> None:
    """Exhaustively, with the text that a person would write."""
    for amount_fen in range(100_000):
        text = f"{amount_fen // 100}.{amount_fen % 100:02d}"
        assert format_yuan(amount_fen) == text
        assert parse_yuan(text) == amount_fen


@given(st.integers(0, 10**12 - 1), st.sampled_from(["", "0", "00", "5", "05", "50", "99"]))
def test_decimals_are_digits_not_arithmetic(yuan: int, decimals: str) -> None:
    """Agrees with exact fractions for every way to write two decimals."""
    text = f"{yuan}.{decimals}" if decimals else str(yuan)
    assert parse_yuan(text) == Fraction(text) * 100


def test_the_classic_float_accident() -> None:
    """19.9 × 100 is 1990, not 1989; 1.15, 4.35 and 0.07 are what they say."""
    assert int(19.9 * 100) == 1989
    assert parse_yuan("19.9") == 1990
    assert [parse_yuan(text) for text in ("1.15", "4.35", "0.07", "8.2")] == [115, 435, 7, 820]


@pytest.mark.parametrize(
    "text",
    [
        "", " ", ".", "1.", ".5", "1.234", "1.2.3", "+1", "--1", "-", "1e3", "1E2", "0x1", "1_000",
        "1,000", " 1", "1 ", "1\n", "\n1", "1.0\n", "１", "１２.３４", "1．5", "٣", "NaN", "inf",
        "-Infinity", "¥1", "1元", "1" * 13, "½", "１0", "0.1\x00",
    ],
)  # fmt: skip
def test_what_is_not_an_amount_is_refused(text: str) -> None:
    """Full-width and other digits, signs, spaces, exponents, three decimals."""
    with pytest.raises(MoneyError):
        parse_yuan(text)


@given(st.text(max_size=12))
def test_any_text_is_an_amount_or_refused(text: str) -> None:
    """Nothing else is raised, and what is taken is ASCII and exact."""
    try:
        amount_fen = parse_yuan(text)
    except MoneyError:
        return
    assert text.isascii()
    assert amount_fen == Fraction(text) * 100


NOT_INT = [True, False, 1.0, 19.9, Decimal(1), Decimal("19.90"), "1", b"1", None, Fraction(1), [1]]


@pytest.mark.parametrize("value", NOT_INT, ids=repr)
def test_only_an_int_is_money(value: object) -> None:
    """bool, float, Decimal and text are refused at every border."""
    with pytest.raises(MoneyError):
        payable_fen(value)
    with pytest.raises(MoneyError):
        format_yuan(value)  # type: ignore[arg-type]


class _SlyInt(int):
    """An int that is not one."""


def test_a_subclass_of_int_is_not_money() -> None:
    """IntEnum and friends would compare oddly."""
    with pytest.raises(MoneyError):
        payable_fen(_SlyInt(1))


@pytest.mark.parametrize("value", [1, 2, MAX_AMOUNT_FEN - 1, MAX_AMOUNT_FEN])
def test_payable_amounts(value: int) -> None:
    assert payable_fen(value) == value


@pytest.mark.parametrize("value", [0, -1, -MAX_AMOUNT_FEN, MAX_AMOUNT_FEN + 1, 10**30])
def test_unpayable_amounts(value: int) -> None:
    with pytest.raises(MoneyError):
        payable_fen(value)


def test_currencies_are_a_closed_list() -> None:
    assert currency_numeric("CNY") == "156"
    for other in ("USD", "cny", "", "156"):
        with pytest.raises(MoneyError):
            currency_numeric(other)
