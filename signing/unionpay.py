"""UnionPay's ACP signatures, version 5.1.0: made, and checked over what came in. Pure.

Rules (reference ``channels.md`` C1):

* What is signed: every parameter but ``signature`` and empty ones, sorted by name,
  ``k=v`` joined with ``&``, values not URL-encoded.
* ``signMethod`` 01: the lower-case hex SHA-256 of that text is signed with RSA and
  SHA-256, base64. 11 and 12: no key pair but a shared one; the hash (SHA-256, SM3) of
  the text, ``&`` and the hex hash of the key.
* Version 5.0.0 (SHA-1) is never made and never believed; an answer comes with exactly
  the version and method that we use, or it is a downgrade and refused.
* An RSA answer names its own certificate. It is believed for what
  ``signing/unionpay_trust.py`` says of that certificate, never by itself.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SM3, Hash

from signing.rsa import sign_sha256, verify_sha256

VERSION: Final = "5.1.0"
RSA: Final = "01"
SHA256_KEYED: Final = "11"
SM3_KEYED: Final = "12"
_LEAST_KEY_BYTES: Final = 16

Params = Mapping[str, str]


class AcpSignatureError(Exception):
    """Not signed as it must be; the text quotes nothing of it."""


class CertificateTrust(Protocol):
    """Who decides whether a certificate is UnionPay's: ``signing/unionpay_trust.py``."""

    def public_key(self, certificate_pem: str, at_ms: int) -> RSAPublicKey:
        """Its key, once it is trusted at that moment; raises :class:`AcpSignatureError`."""
        ...


def string_to_sign(params: Params) -> bytes:
    """The UTF-8 text that a ``signature`` covers."""
    return "&".join(
        [
            f"{name}={value}"
            for name, value in sorted(params.items())
            if value and name != "signature"
        ]
    ).encode()


def sm3_hex(data: bytes) -> str:
    """The lower-case hex SM3 of ``data``."""
    digest = Hash(SM3())
    digest.update(data)
    return digest.finalize().hex()


def sha256_hex(data: bytes) -> str:
    """The lower-case hex SHA-256 of ``data``."""
    return hashlib.sha256(data).hexdigest()


_KEYED: Final[Mapping[str, Callable[[bytes], str]]] = MappingProxyType(
    {SHA256_KEYED: sha256_hex, SM3_KEYED: sm3_hex}
)
SIGN_METHODS: Final = (RSA, *_KEYED)


def rsa_signature(params: Params, key: RSAPrivateKey) -> str:
    """``signature`` by method 01."""
    digest = sha256_hex(string_to_sign(params)).encode()
    return base64.b64encode(sign_sha256(key, digest)).decode("ascii")


def keyed_signature(params: Params, secret: bytes, method: str) -> str:
    """``signature`` by method 11 or 12."""
    hashed = _KEYED[method]
    return hashed(string_to_sign(params) + b"&" + hashed(secret).encode())


@dataclass(frozen=True, slots=True, repr=False)
class RsaSigning:
    """Method 01: our key, the decimal serial of its certificate, and whom we trust."""

    key: RSAPrivateKey
    cert_id: str
    trust: CertificateTrust

    def signed(self, params: Params) -> dict[str, str]:
        """``params`` with ``certId``, ``signMethod`` and ``signature``."""
        complete = {**params, "certId": self.cert_id, "signMethod": RSA}
        complete["signature"] = rsa_signature(complete, self.key)
        return complete

    def verify(self, params: Params, at_ms: int) -> None:
        """Raise :class:`AcpSignatureError` unless UnionPay signed ``params``."""
        _refuse_downgrade(params, RSA)
        signature = _base64(params.get("signature", ""))
        key = self.trust.public_key(params.get("signPubKeyCert", ""), at_ms)
        digest = sha256_hex(string_to_sign(params)).encode()
        if not verify_sha256(key, digest, signature):
            raise AcpSignatureError("the signature does not verify")


@dataclass(frozen=True, slots=True, repr=False)
class KeyedSigning:
    """Methods 11 and 12: one secret on both sides."""

    method: str
    secret: bytes

    def __post_init__(self) -> None:
        if self.method not in _KEYED:
            raise ValueError("signMethod must be 11 or 12")
        if len(self.secret) < _LEAST_KEY_BYTES:
            raise ValueError(f"the secret has less than {_LEAST_KEY_BYTES} bytes")

    def signed(self, params: Params) -> dict[str, str]:
        """``params`` with ``signMethod`` and ``signature``."""
        complete = {**params, "signMethod": self.method}
        complete["signature"] = keyed_signature(complete, self.secret, self.method)
        return complete

    def verify(self, params: Params, at_ms: int) -> None:
        """Raise :class:`AcpSignatureError` unless the secret signed ``params``."""
        _refuse_downgrade(params, self.method)
        ours = keyed_signature(params, self.secret, self.method)
        if not hmac.compare_digest(ours.encode(), params.get("signature", "").encode()):
            raise AcpSignatureError("the signature does not verify")


Signing = RsaSigning | KeyedSigning


def _refuse_downgrade(params: Params, method: str) -> None:
    if params.get("version") != VERSION:
        raise AcpSignatureError(f"not version {VERSION}")
    if params.get("signMethod") != method:
        raise AcpSignatureError(f"not signed by method {method}")


def _base64(text: str) -> bytes:
    if not text:
        raise AcpSignatureError("there is no signature")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise AcpSignatureError("the signature is not base64") from None
