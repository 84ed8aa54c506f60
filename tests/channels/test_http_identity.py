"""Mutual TLS: whose certificate a connection shows, and that no other request uses it."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import (
    BasicConstraints,
    CertificateBuilder,
    IPAddress,
    Name,
    NameAttribute,
    SubjectAlternativeName,
    load_pem_x509_certificate,
    random_serial_number,
)
from cryptography.x509.oid import NameOID

from channels.port import AnswerLost, NotSent
from channels.tls import ClientIdentity, Identities
from domain.errors import ConfigurationError
from tests.channels.test_http import OK, Server, client, post


def _issued(folder: Path, name: str, ca: tuple[Path, Path] | None) -> tuple[Path, Path]:
    """A key and certificate for 127.0.0.1, self-signed or by ``ca``."""
    key, cert = folder / f"{name}.key", folder / f"{name}.pem"
    made = generate_private_key(SECP256R1())
    subject = Name([NameAttribute(NameOID.COMMON_NAME, name)])
    issuer, signer = subject, made
    if ca is not None:
        issuer = load_pem_x509_certificate(ca[1].read_bytes()).subject
        signer = load_pem_private_key(ca[0].read_bytes(), None)  # type: ignore[assignment]
    now = datetime.now(UTC)
    built = (
        CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(made.public_key())
        .serial_number(random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(BasicConstraints(ca=ca is None, path_length=None), critical=True)
        .add_extension(SubjectAlternativeName([IPAddress(ip_address("127.0.0.1"))]), False)
        .sign(signer, SHA256())
    )
    key.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    cert.write_bytes(built.public_bytes(Encoding.PEM))
    return key, cert


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    folder = tmp_path_factory.mktemp("pki")
    ca = _issued(folder, "ca", None)
    return {"ca": ca} | {name: _issued(folder, name, ca) for name in ("server", "shop", "other")}


def identity(pair: tuple[Path, Path]) -> ClientIdentity:
    return ClientIdentity(pair[1].read_bytes(), pair[0].read_bytes())


@asynccontextmanager
async def asking_for_certificates(
    pki: dict[str, tuple[Path, Path]], demanded: bool
) -> AsyncIterator[tuple[str, list[str]]]:
    """A TLS server that notes whose certificate each connection showed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki["server"][1], pki["server"][0])
    context.load_verify_locations(pki["ca"][1])
    context.verify_mode = ssl.CERT_REQUIRED if demanded else ssl.CERT_OPTIONAL
    shown: list[str] = []
    server = Server(OK)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peercert") or {}
        shown.append(dict(part[0] for part in peer.get("subject", ())).get("commonName", ""))
        await server.serve(reader, writer)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}/", shown
    finally:
        listening.close()


async def test_each_identity_has_connections_of_its_own(
    pki: dict[str, tuple[Path, Path]],
) -> None:
    """What one merchant's certificate opened never carries another's request."""
    async with (
        asking_for_certificates(pki, demanded=False) as (url, shown),
        client(ca_file=str(pki["ca"][1])) as http,
    ):
        for who in (None, "shop", "other", "shop", None):
            request = replace(post(url), identity=identity(pki[who]) if who else None)
            assert (await http.send(request)).status == 200
    assert sorted(shown) == ["", "other", "shop"]


async def test_a_server_that_demands_a_certificate_answers_nobody_without(
    pki: dict[str, tuple[Path, Path]],
) -> None:
    async with (
        asking_for_certificates(pki, demanded=True) as (url, _),
        client(ca_file=str(pki["ca"][1])) as http,
    ):
        assert (await http.send(replace(post(url), identity=identity(pki["shop"])))).status == 200
        with pytest.raises((NotSent, AnswerLost)):
            await http.send(post(url))


async def test_an_identity_that_does_not_belong_together_is_not_sent(
    pki: dict[str, tuple[Path, Path]],
) -> None:
    mixed = ClientIdentity(pki["shop"][1].read_bytes(), pki["other"][0].read_bytes())
    for bad in (
        mixed,
        ClientIdentity(b"x", b"y"),
        ClientIdentity(b"", pki["shop"][0].read_bytes()),
    ):
        async with client() as http:
            with pytest.raises(NotSent):
                await http.send(replace(post("https://127.0.0.1:1/"), identity=bad))
        assert "PRIVATE" not in repr(bad)


def test_identities_are_bounded(pki: dict[str, tuple[Path, Path]]) -> None:
    known = Identities(None)
    first = identity(pki["shop"])
    context = known.context(first)
    for number in range(63):
        known.context(replace(first, certificate=first.certificate + b"\n" * (number + 1)))
    with pytest.raises(ConfigurationError):
        known.context(identity(pki["other"]))
    assert known.context(first) is context
