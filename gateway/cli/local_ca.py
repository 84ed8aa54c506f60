"""A certificate authority of one's own, for the demo: one CA signs every TLS server."""

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAYS: Final = 30


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def write_private(path: Path, data: bytes) -> None:
    """Write a secret file that only its owner can read."""
    path.touch(mode=0o600)
    path.write_bytes(data)


def private_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    """A private key as unencrypted PKCS#8 PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def public_pem(key: rsa.RSAPrivateKey) -> bytes:
    """The public half as PEM."""
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def write_rsa_pair(folder: Path, name: str) -> rsa.RSAPrivateKey:
    """A new pair as ``<name>-private.pem`` and ``<name>-public.pem``."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    write_private(folder / f"{name}-private.pem", private_pem(key))
    (folder / f"{name}-public.pem").write_bytes(public_pem(key))
    return key


class LocalCa:
    """A fresh authority; its key lives in memory only, so nothing more is ever issued by it."""

    def __init__(self, now: datetime.datetime) -> None:
        self._now = now
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = (
            _builder("Posgate demo CA", self._key.public_key(), now)
            .issuer_name(_name("Posgate demo CA"))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )

    def write_server_certificate(self, folder: Path) -> tuple[Path, Path, Path]:
        """Write ``ca.pem``, ``server.pem`` and ``server-key.pem`` for 127.0.0.1 and localhost."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]
        server = self.issue("localhost", key.public_key(), ExtendedKeyUsageOID.SERVER_AUTH, names)
        files = folder / "ca.pem", folder / "server.pem", folder / "server-key.pem"
        files[0].write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(server.public_bytes(serialization.Encoding.PEM))
        write_private(files[2], private_pem(key))
        return files

    def issue(
        self,
        name: str,
        key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
        purpose: x509.ObjectIdentifier,
        names: Sequence[x509.GeneralName] = (),
    ) -> x509.Certificate:
        """A certificate of ``key``, signed by the authority, for one purpose."""
        builder = (
            _builder(name, key, self._now)
            .issuer_name(self.certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return (
            builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )


def _builder(
    name: str, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, now: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
