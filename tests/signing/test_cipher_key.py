"""CipherKey against an independent DES, and its refusals."""

import pytest
from Crypto.Cipher import DES, DES3
from hypothesis import given
from hypothesis import strategies as st

from signing.pos import CipherKey

BLOCKS = st.binary(min_size=8, max_size=64).map(lambda data: data[: len(data) // 8 * 8])


@given(st.binary(min_size=8, max_size=8), BLOCKS)
def test_single_des_is_pycryptodomes(key: bytes, data: bytes) -> None:
    """An 8-byte key is single DES, in both directions."""
    ours, theirs = CipherKey(key), DES.new(key, DES.MODE_ECB)
    assert ours.encrypt(data) == theirs.encrypt(data)
    assert ours.decrypt(data) == theirs.decrypt(data)


@given(st.sampled_from([16, 24]), st.data())
def test_triple_des_is_three_single_ones(size: int, data: st.DataObject) -> None:
    """16 and 24 bytes are EDE; degenerate keys (equal halves) work like any other."""
    parts = data.draw(
        st.lists(st.binary(min_size=8, max_size=8), min_size=size // 8, max_size=size // 8)
    )
    block = data.draw(st.binary(min_size=8, max_size=8))
    first, second, third = (DES.new(part, DES.MODE_ECB) for part in (*parts, parts[0])[:3])
    assert CipherKey(b"".join(parts)).encrypt(block) == third.encrypt(
        second.decrypt(first.encrypt(block))
    )


def test_triple_des_is_pycryptodomes() -> None:
    """The order of the keys is the library's too, not only ours."""
    key, block = bytes(range(1, 17)), b"8 bytes!"
    assert CipherKey(key).encrypt(block) == DES3.new(key, DES3.MODE_ECB).encrypt(block)


@pytest.mark.parametrize("size", [8, 16, 24])
def test_equal_parts_are_single_des(size: int) -> None:
    """The all-ones keys of test hosts are accepted and equal single DES."""
    assert CipherKey(b"\x11" * size).encrypt(bytes(8)) == CipherKey(b"\x11" * 8).encrypt(bytes(8))


@pytest.mark.parametrize(
    ("size", "algorithm"), [(0, "des"), (7, "des"), (32, "des"), (8, "sm4"), (24, "sm4"), (16, "x")]
)
def test_other_keys_are_refused(size: int, algorithm: str) -> None:
    """A length that the algorithm does not have, or an unknown algorithm, is refused."""
    with pytest.raises(ValueError, match=r"key has|algorithm"):
        CipherKey(bytes(size), algorithm)


@pytest.mark.parametrize("algorithm", ["des", "sm4"])
def test_partial_blocks_are_refused_and_leave_no_trace(algorithm: str) -> None:
    """A partial block is refused and does not spoil the next call."""
    key = CipherKey(bytes(range(16)), algorithm)
    before = key.encrypt(bytes(16))
    for call in (key.encrypt, key.decrypt):
        with pytest.raises(ValueError, match="whole blocks"):
            call(b"12345")
    assert key.encrypt(bytes(16)) == before
    assert key.decrypt(before) == bytes(16)
