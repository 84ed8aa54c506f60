"""Certificates of one's own for the simulated ACP: CFCA's chain, UnionPay's, a merchant's.

Rules: everything is fresh; the authority's keys live in memory only. The common names have
the shape of CFCA's (``041@date@subject@serial``), and UnionPay's is that of its test system.
"""

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from gateway.cli.local_ca import private_pem, write_private

SIGNER_NAME: Final = "00040000:SIGN"
ROOT_FILE: Final = "acp-root.pem"
MIDDLE_FILE: Final = "acp-middle.pem"
UNIONPAY_FILE: Final = "acp-unionpay.pem"
UNIONPAY_KEY_FILE: Final = "acp-unionpay-private.pem"
MERCHANT_FILE: Final = "acp-merchant.pem"
MERCHANT_KEY_FILE: Final = "acp-merchant-private.pem"
MERCHANT_PFX_FILE: Final = "acp-merchant.pfx"
PFX_PASSWORD: Final = "000000"  # noqa: S105  of throw-away keys, as CFCA's test files have it
_DAYS: Final = 365


@dataclass(frozen=True, slots=True)
class _Owner:
    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def write_acp_files(folder: Path, mer_id: str, now: datetime.datetime) -> None:
    """Every file that the simulator, the gateway's account and an outside client need."""
    root = _issue("Posgate demo CS CA", None, now, is_authority=True)
    middle = _issue("Posgate demo OCA1", root, now, is_authority=True)
    unionpay = _issue(f"041@Z2026@{SIGNER_NAME}@00000001", middle, now)
    merchant = _issue(f"041@Z2026@{mer_id}:SIGN@00000002", middle, now)
    for name, owner in (
        (ROOT_FILE, root),
        (MIDDLE_FILE, middle),
        (UNIONPAY_FILE, unionpay),
        (MERCHANT_FILE, merchant),
    ):
        (folder / name).write_bytes(owner.pem())
    write_private(folder / UNIONPAY_KEY_FILE, private_pem(unionpay.key))
    write_private(folder / MERCHANT_KEY_FILE, private_pem(merchant.key))
    sealed = serialization.BestAvailableEncryption(PFX_PASSWORD.encode())
    pfx = pkcs12.serialize_key_and_certificates(
        b"sign", merchant.key, merchant.certificate, None, sealed
    )
    write_private(folder / MERCHANT_PFX_FILE, pfx)


def _issue(
    name: str, issuer: _Owner | None, now: datetime.datetime, *, is_authority: bool = False
) -> _Owner:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    return _Owner(built.sign(issuer.key if issuer else key, hashes.SHA256()), key)
