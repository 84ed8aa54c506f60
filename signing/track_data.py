"""Track data (F35, F36) as a terminal with a track key sends them.

Rules (reference ``pos_protocol.md`` §4): of a track's digits, the 16 that end one digit
before its end (an odd number of digits) or two before it (an even number) are encrypted
in ECB under the track key and put back as hexadecimal digits; the separator counts as
the nibble D. A track is in no error text. What an SM4 terminal encrypts nobody has
published: only DES keys are taken.
"""

from collections.abc import Callable
from typing import Final

from signing.cipher_key import CipherKey

_DIGITS: Final = 16
_HEXADECIMAL: Final = frozenset("0123456789ABCDEF")


def encrypt_track(track: str, key: CipherKey) -> str:
    """``track`` (digits and ``=``) with its middle encrypted; the result has A–F and ``=``.

    Raises:
        ValueError: a key of another cipher, a character that is none of a track's, or a
            track of fewer than 17 digits.
    """
    return _replaced(track, key, key.encrypt)


def decrypt_track(track: str, key: CipherKey) -> str:
    """What :func:`encrypt_track` was given.

    Raises:
        ValueError: as there. A wrong key shows in the result: it is no track then.
    """
    return _replaced(track, key, key.decrypt)


def _replaced(track: str, key: CipherKey, cipher: Callable[[bytes], bytes]) -> str:
    if key.block_bytes != 8:
        raise ValueError("a track is encrypted under a DES key")
    nibbles = track.upper().replace("=", "D")
    end = len(nibbles) - (1 if len(nibbles) % 2 else 2)
    start = end - _DIGITS
    if start < 0 or not _HEXADECIMAL.issuperset(nibbles):
        raise ValueError("not a track of at least 17 digits")
    middle = cipher(bytes.fromhex(nibbles[start:end])).hex().upper()
    return (nibbles[:start] + middle + nibbles[end:]).replace("D", "=")
