"""Working keys as a host hands them out at sign-in (F62), and master key components.

Rules (reference ``pos_protocol.md`` §4): each key is encrypted in ECB under the
terminal's master key and followed by its check value of 4 bytes; an 8-byte MAK in a
16-byte place is its cipher and 8 zero bytes, checked as the 8-byte key it is. What does
not check is refused whole. No text form of a key shows it.
"""

import enum
import hmac
from dataclasses import dataclass
from typing import Final, assert_never

from signing.cipher_key import CipherKey

_KCV_BYTES: Final = 4
_KEY_LENGTHS: Final = (8, 16, 24)


class KeyCheckError(Exception):
    """Working keys that do not check: wrong length, or a check value that differs."""


class KeyScheme(enum.Enum):
    """How a terminal gets its working keys; :attr:`code` is F60.3."""

    DES = "des"
    TDES = "3des"
    TDES_TDK = "3des-tdk"
    SM4 = "sm4"

    @property
    def code(self) -> str:
        """The three digits of F60.3."""
        match self:
            case KeyScheme.DES:
                return "001"
            case KeyScheme.TDES:
                return "003"
            case KeyScheme.TDES_TDK:
                return "004"
            case KeyScheme.SM4:
                return "006"
            case _:
                assert_never(self)

    @property
    def algorithm(self) -> str:
        """What :class:`CipherKey` calls the cipher of this scheme's keys."""
        return "sm4" if self is KeyScheme.SM4 else "des"

    @property
    def key_bytes(self) -> int:
        """The bytes that each key takes in F62, its check value not counted."""
        return 8 if self is KeyScheme.DES else 16

    @property
    def has_track_key(self) -> bool:
        """Whether a track key follows the MAK."""
        return self in (KeyScheme.TDES_TDK, KeyScheme.SM4)

    @property
    def f62_bytes(self) -> int:
        """The length of F62: 24, 40 or 60."""
        return (self.key_bytes + _KCV_BYTES) * (3 if self.has_track_key else 2)


@dataclass(frozen=True, slots=True, repr=False)
class WorkingKeys:
    """Clear working keys; ``track`` is empty where the scheme has none."""

    pin: bytes
    mac: bytes
    track: bytes = b""

    def __repr__(self) -> str:
        return "WorkingKeys(…)"


def wrap_working_keys(scheme: KeyScheme, master: CipherKey, keys: WorkingKeys) -> bytes:
    """F62 of a sign-in answer: 24, 40 or 60 bytes.

    Raises:
        ValueError: a key does not have the scheme's length (a 3DES MAK may have 8
            bytes), a track key is missing or superfluous, or the master key is of the
            other cipher.
    """
    _check_master(scheme, master)
    parts = [
        _wrap(scheme, master, keys.pin, single_allowed=False),
        _wrap(scheme, master, keys.mac, single_allowed=scheme.algorithm == "des"),
    ]
    if scheme.has_track_key:
        parts.append(_wrap(scheme, master, keys.track, single_allowed=False))
    elif keys.track:
        raise ValueError("this key scheme has no track key")
    return b"".join(parts)


def unwrap_working_keys(scheme: KeyScheme, master: CipherKey, f62: bytes) -> WorkingKeys:
    """The clear keys of F62, each one checked.

    Raises:
        KeyCheckError: the length is not the scheme's, or a check value differs.
        ValueError: the master key is of the other cipher.
    """
    _check_master(scheme, master)
    if len(f62) != scheme.f62_bytes:
        raise KeyCheckError("working keys of another length than the key scheme has")
    step = scheme.key_bytes + _KCV_BYTES
    places = [f62[start : start + step] for start in range(0, len(f62), step)]
    pin = _unwrap(scheme, master, places[0], single_allowed=False)
    mac = _unwrap(scheme, master, places[1], single_allowed=scheme.algorithm == "des")
    if not scheme.has_track_key:
        return WorkingKeys(pin, mac)
    return WorkingKeys(pin, mac, _unwrap(scheme, master, places[2], single_allowed=False))


def combine_components(first: bytes, second: bytes) -> bytes:
    """A master key from its two components, held by two people: their XOR.

    Raises:
        ValueError: lengths differ or are not a key's, or the components are equal
            (the key would be all zeros).
    """
    if len(first) != len(second) or len(first) not in _KEY_LENGTHS:
        raise ValueError("two components of 8, 16 or 24 bytes each are needed")
    if first == second:
        raise ValueError("the two components are the same")
    return (int.from_bytes(first) ^ int.from_bytes(second)).to_bytes(len(first))


def _check_master(scheme: KeyScheme, master: CipherKey) -> None:
    if master.algorithm != scheme.algorithm:
        raise ValueError("the master key is not of the key scheme's cipher")


def _wrap(scheme: KeyScheme, master: CipherKey, key: bytes, *, single_allowed: bool) -> bytes:
    if len(key) != scheme.key_bytes and not (single_allowed and len(key) == 8):
        raise ValueError("a working key does not have the key scheme's length")
    check = CipherKey(key, scheme.algorithm).kcv()
    return master.encrypt(key).ljust(scheme.key_bytes, b"\0") + check


def _unwrap(scheme: KeyScheme, master: CipherKey, place: bytes, *, single_allowed: bool) -> bytes:
    cipher, check = place[:-_KCV_BYTES], place[-_KCV_BYTES:]
    if single_allowed and len(cipher) == 16 and cipher[8:] == bytes(8):
        cipher = cipher[:8]
    key = master.decrypt(cipher)
    if not hmac.compare_digest(CipherKey(key, scheme.algorithm).kcv(), check):
        raise KeyCheckError("the check value of a working key differs")
    return key
