"""Secrets at rest: what is sealed opens once, whole, in its place, or not at all."""

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing.keywrap import Sealer, SealError

SEALER = Sealer(bytes(range(32)), secrets.token_bytes)
PLAIN = st.binary(max_size=300)
CONTEXT = st.binary(max_size=40)


@given(PLAIN, CONTEXT)
def test_round_trip(plain: bytes, context: bytes) -> None:
    """What is sealed opens under the same context, 29 bytes longer in between."""
    sealed = SEALER.seal(plain, context)
    assert len(sealed) == len(plain) + 29
    assert SEALER.open(sealed, context) == plain


@given(PLAIN, CONTEXT, st.integers(min_value=0))
def test_a_flipped_bit_does_not_open(plain: bytes, context: bytes, bit: int) -> None:
    """Version, nonce, cipher text and tag are all guarded."""
    sealed = SEALER.seal(plain, context)
    damaged = (int.from_bytes(sealed) ^ (1 << bit % (len(sealed) * 8))).to_bytes(len(sealed))
    with pytest.raises(SealError):
        SEALER.open(damaged, context)


@given(PLAIN, CONTEXT, CONTEXT)
def test_another_context_does_not_open(plain: bytes, context: bytes, other: bytes) -> None:
    """A value moved to another row does not open."""
    sealed = SEALER.seal(plain, context)
    if other != context:
        with pytest.raises(SealError):
            SEALER.open(sealed, other)


def test_another_master_key_does_not_open() -> None:
    """Every bit of the master key counts."""
    sealed = SEALER.seal(b"secret", b"row")
    with pytest.raises(SealError):
        Sealer(bytes(31) + b"\1", secrets.token_bytes).open(sealed, b"row")


@given(st.binary(max_size=60))
def test_garbage_does_not_open(garbage: bytes) -> None:
    """Whatever the bytes, the answer is SealError and its text shows none of them."""
    with pytest.raises(SealError) as caught:
        SEALER.open(garbage, b"")
    assert caught.value.__cause__ is None


def test_the_same_value_is_sealed_differently_each_time() -> None:
    """The nonce comes from the random source that was handed in."""
    asked: list[int] = []

    def count(size: int) -> bytes:
        asked.append(size)
        return bytes([len(asked)]) * size

    sealer = Sealer(bytes(range(32)), count)
    assert sealer.seal(b"x", b"") != sealer.seal(b"x", b"")
    assert asked == [12, 12]


def test_stored_values_of_this_version_still_open() -> None:
    """The format is frozen: a value sealed by version 1 opens for ever."""
    sealed = Sealer(bytes(range(32)), bytes).seal(b"PAN", b"payment:1")
    assert sealed.hex() == SEALED_V1
    assert SEALER.open(bytes.fromhex(SEALED_V1), b"payment:1") == b"PAN"
    assert SEALER.token(b"9900000000000000006").hex() == TOKEN_V1


@given(PLAIN, PLAIN)
def test_tokens_are_stable_and_keyed(value: bytes, other: bytes) -> None:
    """Equal values have equal tokens of 16 bytes; other values or keys have others."""
    token = SEALER.token(value)
    again = Sealer(bytes(range(32)), secrets.token_bytes)
    stranger = Sealer(bytes(range(1, 33)), secrets.token_bytes)
    assert len(token) == 16
    assert again.token(value) == token
    assert stranger.token(value) != token
    assert (SEALER.token(other) == token) == (other == value)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_master_key_has_32_bytes(size: int) -> None:
    """Any other length is refused."""
    with pytest.raises(ValueError, match="32 bytes"):
        Sealer(bytes(size), secrets.token_bytes)


def test_a_sealer_does_not_show_its_keys() -> None:
    """Its text is empty of them."""
    assert repr(SEALER) == "Sealer(…)"


SEALED_V1 = "01000000000000000000000000fb8daa6fddff078cf9259947548046ce172307"
TOKEN_V1 = "720050e11a319b0c65ccf183502e9665"
