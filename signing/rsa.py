"""RSA with SHA-256, PKCS#1 v1.5: what Alipay, WeChat Pay and UnionPay sign with.

Rules: SHA-256 is pinned, a signature made with another hash does not verify; keys have
at least 2048 bits; a key is parsed once, at start, since that costs more than signing.
"""

import base64
import binascii
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    load_der_private_key,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)

_PADDING: Final = PKCS1v15()
_HASH: Final = SHA256()
LEAST_BITS: Final = 2048


class RsaKeyError(ValueError):
    """A key that cannot be used; the text names the fault and nothing of the key."""


def load_private_key(pem: bytes) -> RSAPrivateKey:
    """A private key from PEM (PKCS#1 or PKCS#8) or its bare base64 body.

    Alipay's key tool hands out bodies without the PEM lines.

    Raises:
        RsaKeyError: none of these, encrypted, not RSA, or under 2048 bits.
    """
    try:
        if b"-----BEGIN" in pem:
            key = load_pem_private_key(pem, password=None)
        else:
            key = load_der_private_key(_bare_body(pem), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise RsaKeyError("not a private key in PEM or base64 (or it is encrypted)") from None
    if not isinstance(key, RSAPrivateKey):
        raise RsaKeyError("not an RSA private key")
    _check_size(key.key_size)
    return key


def load_public_key(pem: bytes) -> RSAPublicKey:
    """A public key from PEM (SubjectPublicKeyInfo or PKCS#1) or its bare base64 body.

    Raises:
        RsaKeyError: none of these, not RSA, or under 2048 bits.
    """
    try:
        if b"-----BEGIN" in pem:
            key = load_pem_public_key(pem)
        else:
            key = load_der_public_key(_bare_body(pem))
    except (ValueError, UnsupportedAlgorithm):
        raise RsaKeyError("not a public key in PEM or base64") from None
    return checked_public_key(key)


def checked_public_key(key: object) -> RSAPublicKey:
    """A parsed key, if it is one of these.

    Raises:
        RsaKeyError: not RSA, or under 2048 bits.
    """
    if not isinstance(key, RSAPublicKey):
        raise RsaKeyError("not an RSA public key")
    _check_size(key.key_size)
    return key


def sign_sha256(key: RSAPrivateKey, data: bytes) -> bytes:
    """The signature, as long as the modulus."""
    return key.sign(data, _PADDING, _HASH)


def verify_sha256(key: RSAPublicKey, data: bytes, signature: bytes) -> bool:
    """Whether ``signature`` is this key's over ``data`` with SHA-256."""
    try:
        key.verify(signature, data, _PADDING, _HASH)
    except InvalidSignature:
        return False
    return True


def _bare_body(text: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        raise RsaKeyError("not a key in PEM or base64") from None


def _check_size(bits: int) -> None:
    if bits < LEAST_BITS:
        raise RsaKeyError("an RSA key under 2048 bits")
