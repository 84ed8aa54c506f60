"""Numbers of printed codes and what an operator's PIN may be."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.operator_pin import is_operator_id, is_pin, weakness
from domain.qr_code import is_qr_code_id, qr_code_id, qr_code_url


@given(st.binary(min_size=16, max_size=16))
@settings(max_examples=100, deadline=None)
def test_a_number_is_26_letters_and_holds_all_its_randomness(random_bytes: bytes) -> None:
    """128 bits: another byte anywhere is another number."""
    number = qr_code_id(random_bytes)
    assert len(number) == 26
    assert is_qr_code_id(number)
    flipped = bytes([random_bytes[0] ^ 1]) + random_bytes[1:-1] + bytes([random_bytes[-1] ^ 1])
    assert qr_code_id(flipped) != number


def test_a_known_number() -> None:
    """RFC 4648's base 32, lower case, without padding."""
    assert qr_code_id(bytes(range(16))) == "aaaqeayeaudaocajbifqydiob4"


@pytest.mark.parametrize("count", [0, 15, 17])
def test_a_number_of_less_or_more_randomness_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="16 random bytes"):
        qr_code_id(bytes(count))


@pytest.mark.parametrize(
    "text",
    ["", "a" * 25, "a" * 27, "A" * 26, "a" * 25 + "1", "a" * 25 + "\n", "ａ" * 26, "L" + "a" * 40],
)
def test_what_is_no_number_never_reaches_the_store(text: str) -> None:
    assert not is_qr_code_id(text)


@pytest.mark.parametrize("public_url", ["https://pay.example", "https://pay.example/"])
def test_the_address_of_a_code(public_url: str) -> None:
    assert qr_code_url(public_url, "a" * 26) == "https://pay.example/q/" + "a" * 26


@pytest.mark.parametrize("pin", ["739201", "112233", "0000001", "135792468013"])
def test_a_pin_that_may_be(pin: str) -> None:
    assert weakness(pin) == ""


@pytest.mark.parametrize(
    "pin", ["", "73920", "7392017392017", "73920a", "７３９２０１", "111111", "123456", "876543",
            "8901234", "739201\n"]
)  # fmt: skip
def test_a_pin_that_may_not_be(pin: str) -> None:
    """Too short, too long, no digits, or the first to be guessed."""
    assert weakness(pin)
    assert pin not in weakness(pin) or not pin


def test_the_forms_of_operators_and_pins() -> None:
    assert is_operator_id("01") and is_operator_id("Wang3")
    assert not is_operator_id("") and not is_operator_id("a b") and not is_operator_id("a" * 17)
    assert is_pin("123456") and not is_pin("12345") and not is_pin("1" * 13)
