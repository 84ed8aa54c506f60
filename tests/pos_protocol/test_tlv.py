"""F59 and F55."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pos_protocol.tlv import (
    TlvError,
    ber_build,
    ber_items,
    scanned_code,
    text_build,
    text_tags,
)

tags = st.text("ABC0123456789", min_size=2, max_size=2)
ber_tags = st.sampled_from(["5A", "57", "82", "95", "9F26", "9F10", "DF31", "71", "9F8101"])


@given(st.lists(st.tuples(tags, st.text("abc019 ", max_size=40)), max_size=5))
def test_text_tags_give_back_what_was_built(items: list[tuple[str, str]]) -> None:
    read = text_tags(text_build(items))
    assert list(read.items) == items
    assert read.rest == ""


@given(st.text(max_size=80))
def test_text_tags_never_fail_and_lose_nothing(text: str) -> None:
    """Whatever F59 holds, what was read and the rest make it up again."""
    read = text_tags(text)
    assert text_build(read.items) + read.rest == text
    scanned_code(text)


def test_two_levels_as_the_reference_shows() -> None:
    inner = text_build([("01", "02"), ("02", "0000010600000001"), ("03", "123456")])
    outer = text_tags(text_build([("A2", inner), ("A3", "2899001234567890123")]))
    assert text_tags(outer.get("A2")).get("02") == "0000010600000001"
    assert outer.get("A3") == "2899001234567890123"
    assert outer.get("A9") == ""
    assert "2899001234567890123" not in repr(outer)


@pytest.mark.parametrize(
    ("field_59", "code"),
    [
        ("A3019" + "2" * 19, "2" * 19),
        ("A200401A1" + "A3018" + "1" * 18, "1" * 18),
        ("A3019" + "2" * 18, ""),
        ("A3019" + "2" * 18 + "x", ""),
        ("A3003123", ""),
        ("A30192222", ""),
        ("", ""),
        ("XXA3019" + "2" * 19, ""),
        ("A201000A301822", ""),
    ],
)
def test_a_scanned_code_is_only_a_whole_number_in_a3(field_59: str, code: str) -> None:
    assert scanned_code(field_59) == code


@pytest.mark.parametrize("item", [("A", "x"), ("A3", "x" * 1000)])
def test_text_build_refuses_what_has_no_form(item: tuple[str, str]) -> None:
    with pytest.raises(TlvError):
        text_build([item])


@given(st.lists(st.tuples(ber_tags, st.binary(max_size=300)), max_size=5))
def test_ber_items_give_back_what_was_built(items: list[tuple[str, bytes]]) -> None:
    assert list(ber_items(ber_build(items))) == items


@given(st.binary(max_size=60))
def test_ber_reading_fails_only_as_tlv_error(data: bytes) -> None:
    """Random bytes are read, or refused at a place inside them."""
    try:
        ber_items(data)
    except TlvError as error:
        assert 0 <= error.offset <= len(data)


def test_ber_skips_zero_bytes_between_tags() -> None:
    assert ber_items(bytes.fromhex("0082010200009501FF")) == (("82", b"\x02"), ("95", b"\xff"))


@pytest.mark.parametrize("text", ["9F", "82", "820501", "8280", "8283000001FF", "9F81818181", "828101"])  # fmt: skip
def test_ber_refuses_what_does_not_add_up(text: str) -> None:
    with pytest.raises(TlvError):
        ber_items(bytes.fromhex(text))


@given(st.text("0123456789", min_size=8, max_size=34), st.text("A30123456789", max_size=40))
def test_a_code_is_the_same_first_or_later(code: str, rest: str) -> None:
    """The short way for a code in front says what the long way says."""
    in_front = text_build([("A3", code)]) + rest
    behind = text_build([("A5", "1")]) + in_front
    assert scanned_code(in_front) == scanned_code(behind) == (code if 10 <= len(code) <= 32 else "")
