"""A chain of certificates like CFCA's, made on the spot: root, middle, UnionPay's own.

CFCA signs with SHA-1, which no certificate builder does any more; so each certificate is
built with SHA-256 and its signature put anew, with the algorithm's name changed in place.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

SIGNER_NAME = "041@Z2026-1-1@中国银联股份有限公司@00000001"
FROM, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC)
VALID_MS = 1_795_331_737_042
_SHA256_RSA = bytes.fromhex("06092a864886f70d01010b")
_SHA1_RSA = bytes.fromhex("06092a864886f70d010105")


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: RSAPrivateKey

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()


@cache
def _key(name: str) -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


def issue(
    name: str,
    issuer: Issued | None = None,
    *,
    sha1: bool = True,
    serial: int = 4711,
    owner: str = "",
) -> Issued:
    """A certificate for ``name``, with the key of ``owner``; by itself without ``issuer``."""
    key = _key(owner or name)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = issuer.key if issuer else key
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(FROM)
        .not_valid_after(UNTIL)
        .sign(signer, SHA256())
    )
    return Issued(_with_sha1(built, signer) if sha1 else built, key)


def _with_sha1(built: x509.Certificate, signer: RSAPrivateKey) -> x509.Certificate:
    der, body = built.public_bytes(Encoding.DER), built.tbs_certificate_bytes
    renamed = body.replace(_SHA256_RSA, _SHA1_RSA)
    signature = signer.sign(renamed, PKCS1v15(), SHA1())  # as CFCA does
    whole = der.replace(body, renamed).replace(built.signature, signature)
    return x509.load_der_x509_certificate(whole.replace(_SHA256_RSA, _SHA1_RSA))


@cache
def chain(name: str = SIGNER_NAME, *, sha1: bool = True) -> tuple[Issued, Issued, Issued]:
    """Root, middle, and the certificate that answers are signed with."""
    root = issue("ROOT", sha1=sha1)
    middle = issue("OCA1", root, sha1=sha1)
    return root, middle, issue(name, middle, sha1=sha1)
