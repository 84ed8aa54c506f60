"""Tracks under the track key."""

import pytest
from Crypto.Cipher import DES3
from hypothesis import given
from hypothesis import strategies as st

from signing.pos import CipherKey, decrypt_track, encrypt_track

KEY = bytes.fromhex("0123456789ABCDEF1122334455667788")
TRACKS = st.builds(
    "{}={}".format, st.text("0123456789", min_size=12, max_size=19), st.text("0123456789", min_size=5, max_size=17)
)  # fmt: skip


@given(TRACKS)
def test_a_track_comes_back(track: str) -> None:
    key = CipherKey(KEY)
    assert decrypt_track(encrypt_track(track, key), key) == track


@pytest.mark.parametrize("track", ["9900001234567899=301212010", "9900001234567899=3012120100"])
def test_sixteen_digits_are_replaced_as_the_rule_says(track: str) -> None:
    """They end one digit before the end of an odd number, two before an even one's."""
    tail = 1 if len(track) % 2 else 2
    nibbles = track.replace("=", "D")
    start = len(nibbles) - tail - 16
    middle = DES3.new(KEY, DES3.MODE_ECB).encrypt(bytes.fromhex(nibbles[start : start + 16]))
    expected = nibbles[:start] + middle.hex().upper() + nibbles[start + 16 :]
    assert encrypt_track(track, CipherKey(KEY)) == expected.replace("D", "=")


@pytest.mark.parametrize("track", ["", "9900001234567=1", "99000012345678x9=3012", "9" * 16])
def test_what_is_no_track_is_refused_without_showing_it(track: str) -> None:
    with pytest.raises(ValueError, match="not a track") as caught:
        encrypt_track(track, CipherKey(KEY))
    assert not track or track not in str(caught.value)


def test_an_sm4_key_encrypts_no_track() -> None:
    with pytest.raises(ValueError, match="DES"):
        encrypt_track("9900001234567899=30121201000", CipherKey(bytes(16), "sm4"))
