"""F62 of a sign-in: layouts, check values, and keys that never show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing.pos import (
    CipherKey,
    KeyCheckError,
    KeyScheme,
    WorkingKeys,
    combine_components,
    unwrap_working_keys,
    wrap_working_keys,
)

PIN_KEY = bytes(range(16, 32))
MAC_KEY = bytes(range(32, 48))
TRACK_KEY = bytes(range(48, 64))
SCHEMES = {
    KeyScheme.DES: (WorkingKeys(PIN_KEY[:8], MAC_KEY[:8]), "001", 24),
    KeyScheme.TDES: (WorkingKeys(PIN_KEY, MAC_KEY), "003", 40),
    KeyScheme.TDES_TDK: (WorkingKeys(PIN_KEY, MAC_KEY[:8], TRACK_KEY), "004", 60),
    KeyScheme.SM4: (WorkingKeys(PIN_KEY, MAC_KEY, TRACK_KEY), "006", 60),
}


def master_of(scheme: KeyScheme) -> CipherKey:
    return CipherKey(bytes(range(16)), scheme.algorithm)


@pytest.mark.parametrize("scheme", KeyScheme)
def test_every_scheme_round_trips(scheme: KeyScheme) -> None:
    """Each scheme has its code and its length, and gives back what was wrapped."""
    keys, code, length = SCHEMES[scheme]
    f62 = wrap_working_keys(scheme, master_of(scheme), keys)
    assert (scheme.code, len(f62), scheme.f62_bytes) == (code, length, length)
    assert unwrap_working_keys(scheme, master_of(scheme), f62) == keys


def test_a_single_des_mak_takes_a_double_place() -> None:
    """Scheme 003 with an 8-byte MAK: its cipher, 8 zero bytes, and the KCV of 8 bytes."""
    master = master_of(KeyScheme.TDES)
    f62 = wrap_working_keys(KeyScheme.TDES, master, WorkingKeys(PIN_KEY, MAC_KEY[:8]))
    assert f62[20:28] == master.encrypt(MAC_KEY[:8])
    assert f62[28:36] == bytes(8)
    assert f62[36:] == CipherKey(MAC_KEY[:8]).kcv()
    assert unwrap_working_keys(KeyScheme.TDES, master, f62).mac == MAC_KEY[:8]


def test_published_sign_in_answer() -> None:
    """A public sign-in answer (pinpad demo, UNWRAP3 and KCV4–5 of the vectors) opens."""
    master = CipherKey(bytes.fromhex("CE62D1F28DC50DFD98424413D67E4FA3"))
    place = bytes.fromhex("2D25290B4C47B6EBD247D9C8D84993990A89AB77")
    keys = unwrap_working_keys(KeyScheme.TDES, master, place + place)
    assert keys.pin == keys.mac == bytes.fromhex("6EFFEDA2A19DFEAE1143AA892372D5F3")


@pytest.mark.parametrize("scheme", KeyScheme)
@given(bit=st.integers(min_value=0))
def test_a_flipped_bit_is_noticed(scheme: KeyScheme, bit: int) -> None:
    """No damaged F62 gives keys: a check value of 32 bits guards each."""
    keys, _, length = SCHEMES[scheme]
    f62 = wrap_working_keys(scheme, master_of(scheme), keys)
    damaged = (int.from_bytes(f62) ^ (1 << bit % (length * 8))).to_bytes(length)
    with pytest.raises(KeyCheckError):
        unwrap_working_keys(scheme, master_of(scheme), damaged)


@pytest.mark.parametrize("scheme", KeyScheme)
@pytest.mark.parametrize("change", [-1, 1])
def test_other_lengths_are_refused(scheme: KeyScheme, change: int) -> None:
    """F62 has exactly the scheme's length."""
    with pytest.raises(KeyCheckError):
        unwrap_working_keys(scheme, master_of(scheme), bytes(scheme.f62_bytes + change))


@pytest.mark.parametrize(
    ("scheme", "keys"),
    [
        (KeyScheme.DES, WorkingKeys(PIN_KEY, MAC_KEY[:8])),
        (KeyScheme.DES, WorkingKeys(PIN_KEY[:8], MAC_KEY)),
        (KeyScheme.TDES, WorkingKeys(PIN_KEY[:8], MAC_KEY)),
        (KeyScheme.TDES, WorkingKeys(PIN_KEY, MAC_KEY, TRACK_KEY)),
        (KeyScheme.TDES_TDK, WorkingKeys(PIN_KEY, MAC_KEY)),
        (KeyScheme.SM4, WorkingKeys(PIN_KEY, MAC_KEY[:8], TRACK_KEY)),
    ],
)
def test_keys_that_do_not_fit_are_refused(scheme: KeyScheme, keys: WorkingKeys) -> None:
    """A key of another length than the scheme's is not stretched or cut."""
    with pytest.raises(ValueError, match="key"):
        wrap_working_keys(scheme, master_of(scheme), keys)


def test_the_master_key_is_of_the_schemes_cipher() -> None:
    """An SM4 scheme under a DES master key is a fault, not a guess."""
    with pytest.raises(ValueError, match="master key"):
        wrap_working_keys(
            KeyScheme.SM4, master_of(KeyScheme.DES), WorkingKeys(PIN_KEY, MAC_KEY, TRACK_KEY)
        )
    with pytest.raises(ValueError, match="master key"):
        unwrap_working_keys(KeyScheme.DES, master_of(KeyScheme.SM4), bytes(24))


def test_keys_do_not_show() -> None:
    """The text of working keys shows none of them."""
    assert repr(WorkingKeys(PIN_KEY, MAC_KEY)) == "WorkingKeys(…)"


@given(
    st.sampled_from([8, 16, 24]).flatmap(
        lambda size: st.tuples(*[st.binary(min_size=size, max_size=size)] * 2)
    )
)
def test_components_combine_by_xor(pair: tuple[bytes, bytes]) -> None:
    """Either component and the key give the other; equal ones would give zeros."""
    first, second = pair
    if first == second:
        with pytest.raises(ValueError, match="same"):
            combine_components(first, second)
        return
    key = combine_components(first, second)
    assert key == bytes(a ^ b for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(("first", "second"), [(8, 16), (0, 0), (15, 15), (32, 32)])
def test_components_of_other_lengths_are_refused(first: int, second: int) -> None:
    """Two components of one key's length are needed."""
    with pytest.raises(ValueError, match="components"):
        combine_components(bytes(first), b"\1" * second)
