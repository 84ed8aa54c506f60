"""Alipay's encryption of contents: AES-128-CBC, PKCS #7, an IV of zeros, base64.

Rules: the vendor's fixed form (reference ``channels.md`` A1): it hides contents from whoever
sits on the wire beside TLS and proves nothing. What is believed is decided by the signature,
over the ciphertext, before anything is decrypted.
"""

import base64
import binascii
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

_IV: Final = CBC(bytes(16))
_BLOCK_BYTES: Final = 16
_KEY_BYTES: Final = 16
_PADDING: Final = tuple(bytes((count,)) * count for count in range(_BLOCK_BYTES + 1))
"""By how many bytes are missing to a whole block; never none (PKCS #7)."""


class AesError(ValueError):
    """A key or a ciphertext that cannot be used; the text quotes nothing of it."""


def load_key(text: bytes) -> bytes:
    """The 16 bytes of a key in base64, as Alipay's console shows it.

    Raises:
        AesError: something else.
    """
    try:
        key = base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        raise AesError("not base64") from None
    if len(key) != _KEY_BYTES:
        raise AesError("not 16 bytes in base64")
    return key


@lru_cache(maxsize=64)
def _cipher(key: bytes) -> Cipher[CBC]:
    """Made once for each account: anew it costs more than a whole content's encryption."""
    return Cipher(AES(key), _IV)


def encrypt(key: bytes, plain: bytes) -> str:
    """``plain`` as base64 of its ciphertext."""
    padding = _PADDING[_BLOCK_BYTES - len(plain) % _BLOCK_BYTES]
    cipher = _cipher(key).encryptor()
    return base64.b64encode(cipher.update(plain + padding) + cipher.finalize()).decode("ascii")


def decrypt(key: bytes, text: str) -> bytes:
    """The plain bytes of a base64 ciphertext.

    Raises:
        AesError: not such a ciphertext, or not under this key.
    """
    try:
        ciphertext = base64.b64decode(text, validate=True)
        cipher = _cipher(key).decryptor()
        padded = cipher.update(ciphertext) + cipher.finalize()
    except ValueError:  # binascii.Error is one
        raise AesError("not a ciphertext under this key") from None
    count = padded[-1] if padded else 0
    if not 1 <= count <= _BLOCK_BYTES or not padded.endswith(_PADDING[count]):
        raise AesError("not a ciphertext under this key")
    return padded[:-count]
