"""Whose certificate signed an ACP answer: chain, name and time. Pure.

Rules (reference ``channels.md`` C1):

* Every answer brings its certificate along, so anybody can sign one. It is believed if
  the *configured* CFCA middle or root certificate issued it (the middle itself by the
  root), if the third part of its common name between ``@`` is UnionPay's, and if it is
  valid at that moment.
* CFCA's chain is signed with SHA-1, which ``verify_directly_issued_by`` refuses; so each
  link is checked by hand. SHA-1 is let through *here* alone, where CFCA is who signs;
  messages are SHA-256.
* Our own key comes as PKCS#12 (as CFCA hands it out) or PEM; ``certId`` is the decimal
  serial of its certificate.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import pkcs12

from signing.rsa import LEAST_BITS, RsaKeyError, load_private_key
from signing.unionpay import AcpSignatureError

UNIONPAY_NAMES: Final = ("中国银联股份有限公司",)
"""The third part of the common name, in production."""
_LINK_HASHES: Final = (SHA1, SHA256, SHA384, SHA512)
_PADDING: Final = PKCS1v15()
_LONGEST_PEM: Final = 16_384
_KNOWN_LEAVES: Final = 16
"""UnionPay signs with one certificate, and a next one for some weeks."""


@dataclass(frozen=True, slots=True)
class _Leaf:
    key: RSAPublicKey
    from_: datetime
    until: datetime


class ChainTrust:
    """The configured root and middle, and the names that may sign."""

    def __init__(
        self,
        root: x509.Certificate,
        middle: x509.Certificate,
        names: Iterable[str] = UNIONPAY_NAMES,
    ) -> None:
        """Raises :class:`AcpSignatureError` when the root did not issue the middle."""
        if not _is_issued_by(middle, root):
            raise AcpSignatureError("the root did not issue the middle certificate")
        self._issuers = (middle, root)
        self._names = frozenset(names)
        self._leaves: dict[str, _Leaf] = {}

    def public_key(self, certificate_pem: str, at_ms: int) -> RSAPublicKey:
        """The key of a trusted certificate; raises :class:`AcpSignatureError`."""
        leaf = self._leaves.get(certificate_pem)
        if leaf is None:
            leaf = self._trusted(certificate_pem)
            if len(self._leaves) >= _KNOWN_LEAVES:
                self._leaves.clear()
            self._leaves[certificate_pem] = leaf
        at = datetime.fromtimestamp(at_ms / 1000, UTC)
        if not leaf.from_ <= at <= leaf.until:
            raise AcpSignatureError("the certificate is not valid now")
        return leaf.key

    def _trusted(self, certificate_pem: str) -> _Leaf:
        certificate = load_certificate(certificate_pem.encode())
        try:
            return self._leaf(certificate)
        except (ValueError, UnsupportedAlgorithm):  # most of one is parsed where it is first read
            raise AcpSignatureError("not a certificate") from None

    def _leaf(self, certificate: x509.Certificate) -> _Leaf:
        if not any(_is_issued_by(certificate, issuer) for issuer in self._issuers):
            raise AcpSignatureError("the certificate is not from the configured chain")
        if _third_part(certificate) not in self._names:
            raise AcpSignatureError("the certificate is not UnionPay's")
        return _Leaf(
            _rsa_key(certificate), certificate.not_valid_before_utc, certificate.not_valid_after_utc
        )


def load_certificate(pem: bytes) -> x509.Certificate:
    """One certificate in PEM; raises :class:`AcpSignatureError`."""
    if len(pem) > _LONGEST_PEM or pem.count(b"-----BEGIN") != 1:
        raise AcpSignatureError("not one certificate in PEM")
    try:
        return x509.load_pem_x509_certificate(pem)
    except (ValueError, x509.InvalidVersion):
        raise AcpSignatureError("not a certificate") from None


def load_own_key(data: bytes, password: str) -> tuple[RSAPrivateKey, str]:
    """Our signing key and its ``certId``, from PKCS#12 or from PEM (key and certificate).

    Raises:
        RsaKeyError: neither, another password, no certificate, or not its key.
    """
    if b"-----BEGIN" in data:
        key, certificate = load_private_key(data), _certificate_in(data)
    else:
        key, certificate = _from_pkcs12(data, password)
    public = certificate.public_key()
    if not isinstance(public, RSAPublicKey) or (
        public.public_numbers() != key.public_key().public_numbers()
    ):
        raise RsaKeyError("the certificate is not the key's")
    return key, str(certificate.serial_number)


def _certificate_in(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem[pem.find(b"-----BEGIN CERTIFICATE") :])
    except (ValueError, x509.InvalidVersion):
        raise RsaKeyError("no certificate beside the key") from None


def _from_pkcs12(data: bytes, password: str) -> tuple[RSAPrivateKey, x509.Certificate]:
    try:
        key, certificate, _ = pkcs12.load_key_and_certificates(data, password.encode() or None)
    except (ValueError, UnsupportedAlgorithm):
        raise RsaKeyError("not a PKCS#12 file, or another password") from None
    if not isinstance(key, RSAPrivateKey) or certificate is None:
        raise RsaKeyError("no RSA key and certificate in the PKCS#12 file")
    if key.key_size < LEAST_BITS:
        raise RsaKeyError("an RSA key under 2048 bits")
    return key, certificate


def _third_part(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    if len(names) != 1:
        return ""
    parts = str(names[0].value).split("@")
    return parts[2] if len(parts) > 2 else ""


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether ``issuer`` signed it, SHA-1 or better."""
    if certificate.issuer != issuer.subject:
        return False
    try:
        hash_ = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return False
    if not isinstance(hash_, _LINK_HASHES):
        return False
    try:
        _rsa_key(issuer).verify(
            certificate.signature, certificate.tbs_certificate_bytes, _PADDING, hash_
        )
    except (InvalidSignature, AcpSignatureError):
        return False
    return True


def _rsa_key(certificate: x509.Certificate) -> RSAPublicKey:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise AcpSignatureError("a certificate without a usable key") from None
    if not isinstance(key, RSAPublicKey) or key.key_size < LEAST_BITS:
        raise AcpSignatureError("not a certificate of an RSA key of 2048 bits or more")
    return key
