"""A listener of its own for a test, with small bounds, and what a peer may send it."""

import asyncio
import datetime
import ssl
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from gateway.cli.local_ca import LocalCa, private_pem
from gateway.logs import make_log
from gateway.metrics import Metrics
from gateway.pos.listener import Handle, ListenerBounds, PosListener
from gateway.sources import SystemClock
from gateway.tls import server_context
from tests.gateway.pos.foreign_terminal import HEADER, TPDU

BOUNDS = ListenerBounds(
    max_frame_bytes=4096,
    max_connections=10,
    max_in_flight=1000,
    max_in_flight_per_connection=8,
    idle_timeout_s=60,
    frame_timeout_s=30,
    keepalive_s=60,
    handshake_timeout_s=5,
    max_handshakes=4,
    max_pushes=0,
)
EVENT_LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
"""Both that the gateway may run on; a test module that has this name runs on each."""
ENVELOPE = bytes.fromhex(TPDU + HEADER)


def framed(payload: bytes) -> bytes:
    """With its length in front."""
    return len(payload).to_bytes(2, "big") + payload


def message(mti: str, bitmap: str, fields: str = "") -> bytes:
    """A frame from its parts in hex."""
    return framed(ENVELOPE + bytes.fromhex(mti + bitmap + fields))


ECHO = message("0820", "0000000000800000", "31" * 8)
"""As small as a whole message gets that names its terminal."""


class AheadClock(SystemClock):
    """The machine's clock, put forward by a test."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.ahead_s


def open_listener(
    handle: Handle,
    metrics: Metrics | None = None,
    clock: SystemClock | None = None,
    **bounds: Any,
) -> PosListener:
    """A listener that nothing else stands behind; not started."""
    return PosListener(
        handle=handle,
        clock=clock or SystemClock(),
        metrics=metrics or Metrics(),
        log=make_log("critical", "json"),
        bounds=replace(BOUNDS, **bounds),
    )


@dataclass(frozen=True)
class Certificates:
    """What a TLS port and its clients need, as PEM files."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path

    def server_side(self, *, asks_clients: bool = False) -> ssl.SSLContext:
        """The gateway's context."""
        asked = self.client if asks_clients else None
        return server_context("pos.tls", self.server, self.server_key, asked)

    def client_side(self, *, shows: bool = False) -> ssl.SSLContext:
        """A terminal's context; ``shows`` its certificate."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if shows:
            context.load_cert_chain(self.client, self.client_key)
        return context


def make_certificates(folder: Path) -> Certificates:
    """An authority, a server's certificate and a terminal's (which is its own authority)."""
    now = datetime.datetime.now(datetime.UTC)
    ca, server, server_key = LocalCa(now).write_server_certificate(folder)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "99100001")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    client, client_key = folder / "client.pem", folder / "client-key.pem"
    client.write_bytes(certificate.public_bytes(Encoding.PEM))
    client_key.write_bytes(private_pem(key))
    return Certificates(ca, server, server_key, client, client_key)


async def hears_hang_up(reader: asyncio.StreamReader, within_s: float = 5) -> bytes:
    """What a peer still hears before its connection is closed."""
    async with asyncio.timeout(within_s):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""
