"""PIN blocks: shape, translation, and silence about what they hold."""

import psec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing.pos import (
    CipherKey,
    PinBlockError,
    encrypt_pin_block,
    format0_pin_block,
    translate_pin_block,
    verify_pin_block,
)

DIGITS = "0123456789"
PIN = st.text(DIGITS, min_size=4, max_size=12)
PAN = st.text(DIGITS, min_size=11, max_size=17).map(lambda rest: "99" + rest)
KEY = st.sampled_from([8, 16, 24]).flatmap(lambda size: st.binary(min_size=size, max_size=size))

TERMINAL = CipherKey(bytes(range(16)))
CHANNEL = CipherKey(bytes(range(100, 116)))
CARD = "9900000000000000006"


def block_of(clear: str) -> bytes:
    """Sixteen hex characters under the terminal's key, no PAN in them."""
    return TERMINAL.encrypt(bytes.fromhex(clear))


@given(PIN, PAN)
def test_format_0_is_psecs(pin: str, pan: str) -> None:
    """The clear block is the one that an independent library makes."""
    assert format0_pin_block(pin, pan) == psec.pinblock.encode_pinblock_iso_0(pin, pan)


@given(PIN, PAN, KEY, KEY, st.booleans())
def test_translation_keeps_the_pin(
    pin: str, pan: str, source: bytes, target: bytes, with_pan: bool
) -> None:
    """Whatever the keys, the target block holds the same PIN, in format 0 with the PAN."""
    clear = format0_pin_block(pin, pan if with_pan else "0" * 13)
    translated = translate_pin_block(
        CipherKey(source).encrypt(clear),
        pan,
        source=CipherKey(source),
        target=CipherKey(target),
        source_with_pan=with_pan,
    )
    opened = CipherKey(target).decrypt(translated)
    assert psec.pinblock.decode_pinblock_iso_0(opened, pan) == pin
    assert verify_pin_block(translated, pin, pan, CipherKey(target))


@given(PIN, PIN, PAN)
def test_another_pin_does_not_verify(pin: str, other: str, pan: str) -> None:
    """Only the PIN in the block verifies."""
    block = encrypt_pin_block(pin, pan, CHANNEL)
    assert verify_pin_block(block, other, pan, CHANNEL) == (pin == other)


@pytest.mark.parametrize(
    "clear",
    [
        "1412345678901234",  # format 1
        "2412345FFFFFFFFF",  # format 2
        "03123FFFFFFFFFFF",  # too short
        "0D1234567890123F",  # too long
        "0E12345678901234",  # longer still
        "0412A4FFFFFFFFFF",  # a letter in the PIN
        "041234FFFFFFFFF0",  # filler is not F
        "04123456FFFFFFFF",  # longer than it says
        "061234FFFFFFFFFF",  # shorter than it says
    ],
)
def test_other_shapes_are_refused(clear: str) -> None:
    """Anything but format 0 is refused, and the error tells nothing of it."""
    with pytest.raises(PinBlockError) as caught:
        translate_pin_block(
            block_of(clear), CARD, source=TERMINAL, target=CHANNEL, source_with_pan=False
        )
    assert str(caught.value) == "not a format 0 PIN block"
    assert caught.value.__cause__ is None


def test_the_wrong_pan_option_is_refused() -> None:
    """A block made with the PAN does not pass as one without it."""
    block = encrypt_pin_block("123456", "9999999999999999995", TERMINAL)
    with pytest.raises(PinBlockError):
        translate_pin_block(
            block,
            "9999999999999999995",
            source=TERMINAL,
            target=CHANNEL,
            source_with_pan=False,
        )


@pytest.mark.parametrize(
    "pan", ["", "990000000000", "99000000000000O", "９９００００００００００００"]
)
def test_bad_pans_are_refused(pan: str) -> None:
    """A PAN has at least 13 ASCII digits; the error does not repeat it."""
    with pytest.raises(PinBlockError) as caught:
        translate_pin_block(bytes(8), pan, source=TERMINAL, target=CHANNEL)
    assert str(caught.value) == "a PAN has at least 13 digits"


@pytest.mark.parametrize("pin", ["", "123", "1234567890123", "12a4", "１２３４"])
def test_bad_pins_are_refused(pin: str) -> None:
    """A PIN has 4 to 12 ASCII digits; the error does not repeat it."""
    with pytest.raises(PinBlockError) as caught:
        encrypt_pin_block(pin, CARD, TERMINAL)
    assert str(caught.value) == "a PIN has 4 to 12 digits"


@pytest.mark.parametrize("size", [0, 7, 9, 16])
def test_other_block_lengths_are_refused(size: int) -> None:
    """A format 0 block has 8 bytes."""
    with pytest.raises(PinBlockError):
        translate_pin_block(bytes(size), CARD, source=TERMINAL, target=CHANNEL)


def test_sm4_keys_are_refused() -> None:
    """No layout of an SM4 PIN block is known, so none is guessed."""
    sm4 = CipherKey(bytes(16), "sm4")
    with pytest.raises(PinBlockError):
        translate_pin_block(bytes(8), CARD, source=sm4, target=CHANNEL)
    with pytest.raises(PinBlockError):
        translate_pin_block(block_of("041234FFFFFFFFFF"), CARD, source=TERMINAL, target=sm4)
    with pytest.raises(PinBlockError):
        encrypt_pin_block("1234", CARD, sm4)
