"""Alipay's encryption of contents: AES-128-CBC, PKCS #7, an IV of zeros, base64.

Rules: the vendor's fixed form (reference ``channels.md`` A1): it hides contents from whoever
sits on the wire beside TLS and proves nothing. What is believed is decided by the signature,
over the ciphertext, before anything is decrypted.
"""

import base64
import binascii
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

_IV: Final = CBC(bytes(16))
_BLOCK_BITS: Final = 128
_KEY_BYTES: Final = 16


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


def encrypt(key: bytes, plain: bytes) -> str:
    """``plain`` as base64 of its ciphertext."""
    padder = PKCS7(_BLOCK_BITS).padder()
    cipher = Cipher(AES(key), _IV).encryptor()
    padded = padder.update(plain) + padder.finalize()
    return base64.b64encode(cipher.update(padded) + cipher.finalize()).decode("ascii")


def decrypt(key: bytes, text: str) -> bytes:
    """The plain bytes of a base64 ciphertext.

    Raises:
        AesError: not such a ciphertext, or not under this key.
    """
    try:
        ciphertext = base64.b64decode(text, validate=True)
        cipher = Cipher(AES(key), _IV).decryptor()
        padded = cipher.update(ciphertext) + cipher.finalize()
        unpadder = PKCS7(_BLOCK_BITS).unpadder()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:  # binascii.Error is one
        raise AesError("not a ciphertext under this key") from None
