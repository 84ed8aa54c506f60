"""Alipay's certificate mode: serial numbers of certificates, and the keys that they hold.

Rules (reference ``channels.md`` A1):

* A serial number is ``md5hex(issuer + decimal serial)``, the issuer written
  ``CN=…,OU=…,O=…,C=CN`` (RDNs in reverse order, nothing escaped).
* The root's is those of every certificate in its bundle that is signed with RSA
  (``1.2.840.113549.1.1.*``), joined by ``_``. The bundle holds EC and SM2 certificates, one of
  which cryptography cannot parse: it is skipped, for it is not signed with RSA either.
* An answer names the certificate that verifies it (``alipay_cert_sn``); one that is not in
  the account's bundle verifies nothing.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from signing.rsa import RsaKeyError, checked_public_key

_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_RSA_SIGNATURES: Final = "1.2.840.113549.1.1."
_MOST_CERTIFICATES: Final = 100


class CertificateError(ValueError):
    """A certificate that cannot be used; the text names the fault."""


@dataclass(frozen=True, slots=True)
class AlipayKeys:
    """The keys that verify what Alipay says, by the serial numbers of their certificates."""

    by_serial: Mapping[str, RSAPublicKey]
    """In key mode one key, under ``""``."""

    def named(self, serial: str) -> tuple[RSAPublicKey, ...]:
        """The keys that may verify what names ``serial``; where none is named, all of them."""
        if not serial or "" in self.by_serial:
            return tuple(self.by_serial.values())
        key = self.by_serial.get(serial)
        return () if key is None else (key,)

    def of_answer(self, serial: str) -> RSAPublicKey | None:
        """The one key that verifies an answer; in certificate mode it must name it."""
        return self.by_serial.get("") or self.by_serial.get(serial)


def one_key(key: RSAPublicKey) -> AlipayKeys:
    """Key mode: the one key whatever is named."""
    return AlipayKeys(MappingProxyType({"": key}))


def keys_of(bundle: bytes) -> AlipayKeys:
    """Alipay's public certificates (one or several, while one replaces another).

    Raises:
        CertificateError: none that can be used, or one whose key is not RSA of 2048 bits.
    """
    found: dict[str, RSAPublicKey] = {}
    for certificate in _parsed(bundle):
        try:
            found[serial_of(certificate)] = checked_public_key(certificate.public_key())
        except (RsaKeyError, UnsupportedAlgorithm, ValueError) as fault:
            raise CertificateError(f"a certificate whose key cannot be used: {fault}") from None
    if not found:
        raise CertificateError("no certificate in PEM")
    return AlipayKeys(MappingProxyType(found))


def serial_of(certificate: x509.Certificate) -> str:
    """The vendor's serial number of a certificate."""
    issuer = ",".join(
        f"{attribute.rfc4514_attribute_name}={_text(attribute.value)}"
        for rdn in reversed(list(certificate.issuer.rdns))
        for attribute in rdn
    )
    text = f"{issuer}{certificate.serial_number}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def certificate_serial(pem: bytes) -> str:
    """The serial number of the first certificate in ``pem``.

    Raises:
        CertificateError: there is none.
    """
    for certificate in _parsed(pem):
        return serial_of(certificate)
    raise CertificateError("no certificate in PEM")


def root_serial(bundle: bytes) -> str:
    """The serial number of Alipay's bundle of roots.

    Raises:
        CertificateError: none of its certificates is signed with RSA.
    """
    serials = [
        serial_of(certificate)
        for certificate in _parsed(bundle)
        if certificate.signature_algorithm_oid.dotted_string.startswith(_RSA_SIGNATURES)
    ]
    if not serials:
        raise CertificateError("no certificate that is signed with RSA")
    return "_".join(serials)


def _parsed(bundle: bytes) -> Iterator[x509.Certificate]:
    """Every certificate that can be parsed."""
    for number, found in enumerate(_PEM.finditer(bundle)):
        if number == _MOST_CERTIFICATES:
            raise CertificateError(f"more than {_MOST_CERTIFICATES} certificates")
        try:
            certificate = x509.load_pem_x509_certificate(found[0])
            certificate.issuer  # noqa: B018 - parsed late, and may fail only now
            yield certificate
        except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
            continue


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
