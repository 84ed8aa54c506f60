"""Numbers sort by age, fit every channel and never look like a card."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ids import RANDOM_BYTES, is_channel_number, is_merchant_number, number

times = st.integers(0, 2**48 - 1)
randomness = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)


@given(times, randomness)
def test_a_number_is_32_letters(time_ms: int, random_bytes: bytes) -> None:
    """Valid at every channel and in our API; not one digit."""
    text = number(time_ms, random_bytes)
    assert len(text) == 32
    assert text.isalpha()
    assert text.isascii()
    assert is_channel_number(text)
    assert is_merchant_number(f"pay_{text}")


@given(times, times, randomness, randomness)
def test_numbers_sort_by_age(early: int, late: int, one: bytes, other: bytes) -> None:
    """Whatever the random part."""
    if early < late:
        assert number(early, one) < number(late, other)


@given(times, randomness, randomness)
def test_other_randomness_is_another_number(time_ms: int, one: bytes, other: bytes) -> None:
    assert (number(time_ms, one) == number(time_ms, other)) == (one == other)


@pytest.mark.parametrize("text", ["a", "A-b_9", "0", "x" * 64, "-", "_"])
def test_merchant_numbers(text: str) -> None:
    assert is_merchant_number(text)


@pytest.mark.parametrize(
    "text", ["", "x" * 65, "a b", "a\n", "订单", "１", "a.b", "a/b", "é", "\0"]
)
def test_what_is_no_merchant_number(text: str) -> None:
    assert not is_merchant_number(text)


@pytest.mark.parametrize(
    "text", ["", "a" * 7, "a" * 33, "abcdefg_", "abcdefgh\n", "１２３４５６７８"]
)
def test_what_is_no_channel_number(text: str) -> None:
    assert not is_channel_number(text)


def test_channel_numbers() -> None:
    assert is_channel_number("a" * 8)
    assert is_channel_number("Z9" * 16)
