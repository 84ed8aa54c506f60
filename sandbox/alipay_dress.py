"""How the simulated Alipay is spoken to by an app in certificate mode, or with encryption.

Rules (reference ``channels.md`` A1, written apart from ``signing``): an app in certificate
mode names its certificate and the root bundle by their serial numbers, and is answered with
that of the certificate that verifies the answer. An app with an AES key encrypts what it
asks (AES-128-CBC, zeros for IV, base64) before it signs, and is answered so.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from sandbox.config import AlipaySandboxConfig
from signing.rsa import load_public_key

_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


class Undecipherable(ValueError):
    """What was encrypted cannot be read with the app's key."""


@dataclass(frozen=True, slots=True)
class Dress:
    """The serial numbers of certificate mode (empty in key mode) and the AES key, if any."""

    app_key: RSAPublicKey
    app_sn: str = ""
    root_sn: str = ""
    own_sn: str = ""
    aes_key: bytes = field(default=b"", repr=False)

    def encrypt(self, plain: bytes) -> bytes:
        """Base64 of the ciphertext."""
        padder = PKCS7(128).padder()
        padded = padder.update(plain) + padder.finalize()
        cipher = Cipher(AES(self.aes_key), CBC(bytes(16))).encryptor()
        return base64.b64encode(cipher.update(padded) + cipher.finalize())

    def decrypt(self, coded: bytes) -> bytes:
        """The plain text; raises :class:`Undecipherable`."""
        try:
            raw = base64.b64decode(coded, validate=True)
            cipher = Cipher(AES(self.aes_key), CBC(bytes(16))).decryptor()
            unpadder = PKCS7(128).unpadder()
            padded = cipher.update(raw) + cipher.finalize()
            return unpadder.update(padded) + unpadder.finalize()
        except (binascii.Error, ValueError):
            raise Undecipherable from None


def dress_of(config: AlipaySandboxConfig) -> Dress:
    """What the configuration says; raises :class:`ValueError` for what cannot be read."""
    aes_key = base64.b64decode(config.aes_key) if config.aes_key else b""
    if not config.app_certificate_pem:
        return Dress(load_public_key(config.app_public_key_pem), aes_key=aes_key)
    app = _one(config.app_certificate_pem, "the app's certificate")
    own = _one(config.alipay_certificate_pem, "Alipay's certificate")
    key = app.public_key()
    if not isinstance(key, RSAPublicKey):
        raise ValueError("the app's certificate has no RSA key")
    roots = [
        _serial_number(one)
        for one in _certificates(config.root_certificates_pem)
        if one.signature_algorithm_oid.dotted_string.startswith("1.2.840.113549.1.1.")
    ]
    return Dress(key, _serial_number(app), "_".join(roots), _serial_number(own), aes_key)


def _one(pem: bytes, what: str) -> x509.Certificate:
    found = list(_certificates(pem))
    if len(found) != 1:
        raise ValueError(f"{what} is not one certificate in PEM")
    return found[0]


def _certificates(bundle: bytes) -> Iterator[x509.Certificate]:
    for pem in _PEM.findall(bundle):
        try:
            yield x509.load_pem_x509_certificate(pem)
        except (ValueError, UnsupportedAlgorithm):
            continue


def _serial_number(certificate: x509.Certificate) -> str:
    names = [
        f"{attribute.rfc4514_attribute_name}={attribute.value!s}"
        for attribute in reversed(list(certificate.issuer))
    ]
    written = ",".join(names) + str(certificate.serial_number)
    return hashlib.md5(written.encode(), usedforsecurity=False).hexdigest()
