"""Message authentication codes of POS messages (F64).

Rules (reference ``pos_protocol.md`` §4): the input is the message from the MTI to the
last field before F64, padded with zeros to whole blocks; the result is 8 ASCII
characters, the first 4 bytes of the code in upper-case hex, or, where a terminal wants it
raw, the code's first 8 bytes. Which algorithm and form a terminal speaks is a setting of
the terminal: :data:`MAC_ALGORITHMS`, :data:`RAW_MAC_ALGORITHMS`.

This runs twice for every POS message, so folding is integer arithmetic.
"""

import hmac
from binascii import b2a_hex
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from signing.cipher_key import CipherKey

MacFunction = Callable[[CipherKey, bytes | memoryview], bytes]
"""From the key and the message's bytes to the 8 bytes of F64."""

_WORD: Final = (1 << 64) - 1
_DOUBLE_WORD: Final = (1 << 128) - 1
_SPANS: Final = MappingProxyType(
    {
        bits: tuple(tuple(bits << step for step in reversed(range(steps))) for steps in range(20))
        for bits in (64, 128)
    }
)
"""By block size and steps: by how many bits each folding step shifts."""
_WORD_SPANS: Final = _SPANS[64]


def mac_cup_ecb(key: CipherKey, data: bytes | memoryview) -> bytes:
    """CUP "ECB" MAC: fold by XOR, spell as hex, encrypt in two halves.

    The key is DES (8 bytes) or 3DES (16, 24), then both encryptions are 3DES
    (``ValueError`` for an SM4 key).
    """
    return b2a_hex(_cup_ecb(key, data)[:4]).upper()  # _spell, spelt out


def _cup_ecb(key: CipherKey, data: bytes | memoryview) -> bytes:
    """The whole block of :func:`mac_cup_ecb`."""
    if key.block_bytes != 8:
        raise ValueError("the CUP MAC takes a DES key")
    encrypt = key.encrypt_blocks
    size = len(data)
    folded = int.from_bytes(data) << (-size * 8 & 63)
    for span in _WORD_SPANS[(size - 1 >> 3).bit_length()]:  # _fold, spelt out
        folded ^= folded >> span
    text = b"%016X" % (folded & _WORD)
    half = int.from_bytes(encrypt(text[:8])) ^ int.from_bytes(text[8:])
    return encrypt(half.to_bytes(8))


def mac_cup_sm4(key: CipherKey, data: bytes | memoryview) -> bytes:
    """As :func:`mac_cup_ecb` with SM4 and blocks of 16 bytes.

    A single public description and no published vector: the reference marks it so.
    ``ValueError`` for a DES key.
    """
    return _spell(_cup_sm4(key, data))


def _cup_sm4(key: CipherKey, data: bytes | memoryview) -> bytes:
    if key.block_bytes != 16:
        raise ValueError("the SM4 MAC takes an SM4 key")
    encrypt = key.encrypt_blocks
    text = b"%032X" % (_fold(data, 128) & _DOUBLE_WORD)
    half = int.from_bytes(encrypt(text[:16])) ^ int.from_bytes(text[16:])
    return encrypt(half.to_bytes(16))


def mac_x99(key: CipherKey, data: bytes | memoryview) -> bytes:
    """ANSI X9.9: single-DES CBC-MAC. The key has 8 bytes (else ``ValueError``)."""
    return _spell(_x99(key, data))


def _x99(key: CipherKey, data: bytes | memoryview) -> bytes:
    if len(key.raw()) != 8:
        raise ValueError("X9.9 takes a single DES key")
    return key.left_cbc(_padded(data))[-8:]


def mac_x919(key: CipherKey, data: bytes | memoryview) -> bytes:
    """ANSI X9.19: X9.9 with the left half, the last block under both halves.

    The key has 16 bytes (else ``ValueError``).
    """
    return _spell(_x919(key, data))


def _x919(key: CipherKey, data: bytes | memoryview) -> bytes:
    if len(key.raw()) != 16:
        raise ValueError("X9.19 takes a double-length DES key")
    blocks = _padded(data)
    last = int.from_bytes(blocks[-8:])
    if len(blocks) > 8:
        last ^= int.from_bytes(key.left_cbc(blocks[:-8])[-8:])
    # E(left), D(right), E(left) of the last block is 3DES with this key.
    return key.encrypt(last.to_bytes(8))


def _raw(block: MacFunction) -> MacFunction:
    """The form of F64 that a few terminals speak: eight bytes of the code as they are."""

    def mac(key: CipherKey, data: bytes | memoryview) -> bytes:
        return block(key, data)[:8]

    return mac


MAC_ALGORITHMS: Final[Mapping[str, MacFunction]] = MappingProxyType(
    {
        "cup-ecb": mac_cup_ecb,
        "x9.9": mac_x99,
        "x9.19": mac_x919,
        "cup-sm4": mac_cup_sm4,
    }
)
"""By the name that a terminal's settings use: F64 as 8 hexadecimal characters."""

RAW_MAC_ALGORITHMS: Final[Mapping[str, MacFunction]] = MappingProxyType(
    {
        "cup-ecb": _raw(_cup_ecb),
        "x9.9": _raw(_x99),
        "x9.19": _raw(_x919),
        "cup-sm4": _raw(_cup_sm4),
    }
)
"""The same codes, F64 being their first 8 bytes."""

MAC_KEY_BYTES: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {"cup-ecb": (8, 16, 24), "x9.9": (8,), "x9.19": (16,), "cup-sm4": (16,)}
)
"""The key lengths that each algorithm takes."""


mac_matches: Final[Callable[[bytes, bytes | memoryview], bool]] = hmac.compare_digest
"""Compare two MACs without telling by the time taken where they differ."""


def _fold(data: bytes | memoryview, block_bits: int) -> int:
    """XOR of all blocks, zero-padded; only the lowest ``block_bits`` bits are meant.

    The upper half is folded onto the lower one until one block is left; blocks that
    do not exist count as zeros.
    """
    size = len(data)
    value = int.from_bytes(data) << (-size * 8 % block_bits)
    for span in _SPANS[block_bits][((8 * size - 1) // block_bits).bit_length()]:
        value ^= value >> span
    return value


def _padded(data: bytes | memoryview) -> bytes:
    """Zeros up to whole blocks of 8; nothing becomes one block."""
    return bytes(data) + bytes(-len(data) % 8 if data else 8)


def _spell(block: bytes) -> bytes:
    return b2a_hex(block[:4]).upper()
