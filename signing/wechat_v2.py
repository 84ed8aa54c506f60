"""WeChat Pay's signatures, APIv2: MD5 or HMAC-SHA256 under the API key.

Rules (reference ``channels.md`` B1): ``sign`` and empty values are left out, the rest sorted
and joined as ``k=v&…&key=<API key>``; the result is upper-case hex. An answer must carry
exactly the kind of signature that was asked for: another one is a downgrade. MD5 is the
protocol's, kept for accounts that have not moved on; HMAC-SHA256 is the default.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping
from hashlib import md5
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.padding import PKCS7

MD5: Final = "MD5"
HMAC_SHA256: Final = "HMAC-SHA256"
SIGN_TYPES: Final = (HMAC_SHA256, MD5)
_BLOCK_BITS: Final = 128


class V2CipherError(Exception):
    """What does not open."""


def string_to_sign(params: Mapping[str, str], key: bytes) -> bytes:
    """What ``sign`` covers."""
    joined = "&".join(
        [f"{name}={value}" for name, value in sorted(params.items()) if value and name != "sign"]
    )
    return joined.encode() + b"&key=" + key


def sign(params: Mapping[str, str], key: bytes, sign_type: str) -> str:
    """The ``sign`` of a request; ``sign_type`` is one of :data:`SIGN_TYPES`."""
    covered = string_to_sign(params, key)
    if sign_type == HMAC_SHA256:
        return hmac.digest(key, covered, "sha256").hex().upper()
    return md5(covered, usedforsecurity=False).hexdigest().upper()


def is_signed(params: Mapping[str, str], key: bytes, sign_type: str) -> bool:
    """Whether ``params`` carry WeChat Pay's signature of this very type."""
    claimed = params.get("sign", "")
    if not claimed.isascii() or params.get("sign_type", sign_type) != sign_type:
        return False
    return hmac.compare_digest(claimed, sign(params, key, sign_type))


def open_req_info(sealed: str, key: bytes) -> bytes:
    """The XML inside a refund's notification: AES-256-ECB under the MD5 of the API key.

    The cipher authenticates nothing, and the notification has no signature: what it says is
    asked about before it is believed. Raises :class:`V2CipherError`.
    """
    aes_key = md5(key, usedforsecurity=False).hexdigest().encode()
    try:
        raw = base64.b64decode(sealed, validate=True)
        decryptor = Cipher(AES(aes_key), ECB()).decryptor()  # noqa: S305 - the protocol's
        padded = decryptor.update(raw) + decryptor.finalize()
        unpadder = PKCS7(_BLOCK_BITS).unpadder()
        return unpadder.update(padded) + unpadder.finalize()
    except (binascii.Error, ValueError):
        raise V2CipherError("the refund's details do not open") from None
