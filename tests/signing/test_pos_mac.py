"""The MAC algorithms against slow, independent readings of their rules."""

import psec
import pytest
from Crypto.Cipher import DES
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import ECB
from hypothesis import given
from hypothesis import strategies as st

from signing.pos import (
    MAC_ALGORITHMS,
    MAC_KEY_BYTES,
    RAW_MAC_ALGORITHMS,
    CipherKey,
    mac_cup_ecb,
    mac_cup_sm4,
    mac_matches,
    mac_x99,
    mac_x919,
)

# psec builds its ciphers the old way.
pytestmark = pytest.mark.filterwarnings("ignore:.*TripleDES.*")

KEY_8 = st.binary(min_size=8, max_size=8)
KEY_16 = st.binary(min_size=16, max_size=16)
DATA = st.binary(min_size=1, max_size=400)


def folded(data: bytes, block_bytes: int) -> bytes:
    """XOR of the zero-padded blocks, byte by byte as the rule is written."""
    result = bytearray(block_bytes)
    for index, byte in enumerate(data):
        result[index % block_bytes] ^= byte
    return bytes(result)


def xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


@given(KEY_8, DATA)
def test_cup_ecb_follows_the_rule(key: bytes, data: bytes) -> None:
    """Fold, spell, encrypt, fold in the second half, encrypt: by an independent DES."""
    des = DES.new(key, DES.MODE_ECB)
    text = folded(data, 8).hex().upper().encode()
    code = des.encrypt(xor(des.encrypt(text[:8]), text[8:]))
    assert mac_cup_ecb(CipherKey(key), data) == code.hex().upper()[:8].encode()


@given(KEY_16, DATA)
def test_cup_sm4_follows_the_rule(key: bytes, data: bytes) -> None:
    """The same in blocks of 16 with SM4."""
    encrypt = Cipher(SM4(key), ECB()).encryptor().update
    text = folded(data, 16).hex().upper().encode()
    code = encrypt(xor(encrypt(text[:16]), text[16:]))
    assert mac_cup_sm4(CipherKey(key, "sm4"), data) == code.hex().upper()[:8].encode()


@given(KEY_8, DATA)
def test_x99_is_psecs_cbc_mac(key: bytes, data: bytes) -> None:
    """X9.9 is ISO 9797-1 algorithm 1 with zero padding."""
    expected = psec.mac.generate_cbc_mac(key, data, 1)[:4].hex().upper().encode()
    assert mac_x99(CipherKey(key), data) == expected


@given(KEY_16, DATA)
def test_x919_is_psecs_retail_mac(key: bytes, data: bytes) -> None:
    """X9.19 is ISO 9797-1 algorithm 3 with zero padding."""
    expected = psec.mac.generate_retail_mac(key[:8], key[8:], data, 1)[:4].hex().upper().encode()
    assert mac_x919(CipherKey(key), data) == expected


@pytest.mark.parametrize("name", MAC_ALGORITHMS)
@given(data=DATA, bit=st.integers(min_value=0))
def test_a_flipped_bit_changes_the_mac(name: str, data: bytes, bit: int) -> None:
    """No single changed bit of the message goes unnoticed."""
    algorithm = "sm4" if name == "cup-sm4" else "des"
    key = CipherKey(bytes(range(MAC_KEY_BYTES[name][-1])), algorithm)
    position = bit % (len(data) * 8)
    changed = (int.from_bytes(data) ^ (1 << position)).to_bytes(len(data))
    mac = MAC_ALGORITHMS[name]
    assert mac(key, changed) != mac(key, data)


@pytest.mark.parametrize("name", MAC_ALGORITHMS)
def test_shape_and_key_lengths(name: str) -> None:
    """A MAC is 8 upper-case hex characters; keys that do not fit are refused."""
    fitting = MAC_KEY_BYTES[name]
    algorithm = "sm4" if name == "cup-sm4" else "des"
    other = "des" if name == "cup-sm4" else "sm4"
    mac = MAC_ALGORITHMS[name]
    for size in fitting:
        for data in (b"", b"1", bytes(150)):
            text = mac(CipherKey(bytes(size), algorithm), data)
            assert len(text) == 8
            assert set(text) <= set(b"0123456789ABCDEF")
    for size in {8, 16, 24} - set(fitting) if algorithm == "des" else ():
        with pytest.raises(ValueError, match="takes"):
            mac(CipherKey(bytes(size)), b"message")
    with pytest.raises(ValueError, match=r"take|whole blocks"):
        mac(CipherKey(bytes(16), other), b"message")


def test_comparison() -> None:
    """Equal MACs match, also out of a frame; others do not."""
    assert mac_matches(b"8A9E91B8", memoryview(b"..8A9E91B8")[2:])
    assert not mac_matches(b"8A9E91B8", b"8A9E91B9")
    assert not mac_matches(b"8A9E91B8", b"8A9E91B")


@pytest.mark.parametrize("name", sorted(MAC_ALGORITHMS))
@given(data=DATA)
def test_the_raw_form_begins_with_what_the_usual_form_spells(name: str, data: bytes) -> None:
    """Eight bytes of the code, of which the usual form spells the first four."""
    key = CipherKey(bytes(range(MAC_KEY_BYTES[name][0])), "sm4" if "sm4" in name else "des")
    raw, spelled = RAW_MAC_ALGORITHMS[name](key, data), MAC_ALGORITHMS[name](key, data)
    assert len(raw) == 8
    assert raw[:4].hex().upper().encode() == spelled


def test_both_forms_know_the_same_algorithms() -> None:
    assert RAW_MAC_ALGORITHMS.keys() == MAC_ALGORITHMS.keys() == MAC_KEY_BYTES.keys()
