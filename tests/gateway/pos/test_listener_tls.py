"""The TLS port: real handshakes, their bounds, client certificates where they are asked for."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from domain.errors import ConfigurationError
from gateway.metrics import Metrics
from gateway.pos.listener import PosListener
from gateway.tls import server_context
from pos_protocol.codec import Message
from tests.gateway.pos.house import until
from tests.gateway.pos.lines import (
    ECHO,
    EVENT_LOOPS,
    Certificates,
    hears_hang_up,
    make_certificates,
    message,
    open_listener,
)

__all__ = ["EVENT_LOOPS"]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


async def echo(payload: bytes, _message: Message) -> bytes:
    return payload


@pytest.fixture
async def listener() -> AsyncIterator[PosListener]:
    opened = open_listener(echo)
    yield opened
    await opened.close()


async def _exchange(port: int, tls: ssl.SSLContext) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    try:
        writer.write(ECHO)
        async with asyncio.timeout(5):
            return await reader.readexactly(len(ECHO))
    finally:
        writer.transport.abort()


async def test_a_message_under_tls_is_answered(
    listener: PosListener, certificates: Certificates
) -> None:
    port = await listener.start_tls("127.0.0.1", 0, certificates.server_side())
    assert await _exchange(port, certificates.client_side()) == ECHO


async def test_terminals_that_speak_at_once_hear_each_its_own(
    listener: PosListener, certificates: Certificates
) -> None:
    """They are read into one buffer: pieces of frames, whole ones, and more than it holds."""
    port = await listener.start_tls("127.0.0.1", 0, certificates.server_side())
    tls = certificates.client_side()
    lines = [await asyncio.open_connection("127.0.0.1", port, ssl=tls) for _ in range(8)]

    async def talk(number: int) -> None:
        reader, writer = lines[number]
        own = message("0820", "0000000000800000", f"{number:08d}".encode().hex())
        for turn in range(6):
            asked = own * (1, 3, 900)[turn % 3]
            cut = len(asked) * (number + turn) // 13
            writer.write(asked[:cut])
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(asked[cut:])
            async with asyncio.timeout(20):
                assert await reader.readexactly(len(asked)) == asked

    await asyncio.gather(*map(talk, range(len(lines))))
    for _, writer in lines:
        writer.transport.abort()


async def test_plain_and_tls_are_open_together(
    listener: PosListener, certificates: Certificates
) -> None:
    """One listener, one count of connections."""
    plain_port = await listener.start("127.0.0.1", 0)
    tls_port = await listener.start_tls("127.0.0.1", 0, certificates.server_side())
    reader, writer = await asyncio.open_connection("127.0.0.1", plain_port)
    writer.write(ECHO)
    assert await reader.readexactly(len(ECHO)) == ECHO
    tls = certificates.client_side()
    _, under_tls = await asyncio.open_connection("127.0.0.1", tls_port, ssl=tls)
    await until(lambda: listener.connections() == 2)
    for each in (writer, under_tls):
        each.transport.abort()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_versions_from_1_2_are_spoken(
    listener: PosListener, certificates: Certificates, version: ssl.TLSVersion
) -> None:
    port = await listener.start_tls("127.0.0.1", 0, certificates.server_side())
    tls = certificates.client_side()
    tls.minimum_version = tls.maximum_version = version
    assert await _exchange(port, tls) == ECHO


async def test_version_1_1_is_not(listener: PosListener, certificates: Certificates) -> None:
    port = await listener.start_tls("127.0.0.1", 0, certificates.server_side())
    tls = certificates.client_side()
    tls.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        tls.minimum_version = tls.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await _exchange(port, tls)


async def test_a_client_without_the_certificate_that_is_asked_for_is_not_served(
    listener: PosListener, certificates: Certificates
) -> None:
    """TLS 1.3 tells the client only after its own half: it hears the end, never an answer."""
    side = certificates.server_side(asks_clients=True)
    port = await listener.start_tls("127.0.0.1", 0, side)
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await _exchange(port, certificates.client_side())
    assert await _exchange(port, certificates.client_side(shows=True)) == ECHO


async def test_a_plain_message_at_the_tls_port_fails_its_handshake(
    certificates: Certificates,
) -> None:
    metrics = Metrics()
    listener = open_listener(echo, metrics)
    port = await listener.start_tls("127.0.0.1", 0, certificates.server_side())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(ECHO)
    await hears_hang_up(reader)
    await until(lambda: listener.handshakes() == 0)
    assert b"posgate_failed_handshakes_total 1.0" in metrics.exposition()
    assert listener.connections() == 0
    writer.close()
    await listener.close()


async def test_a_handshake_that_takes_too_long_is_ended(certificates: Certificates) -> None:
    listener = open_listener(echo, handshake_timeout_s=0.2)
    port = await listener.start_tls("127.0.0.1", 0, certificates.server_side())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await hears_hang_up(reader) == b""
    await until(lambda: listener.handshakes() == 0)
    writer.close()
    await listener.close()


async def test_silent_handshakes_keep_nobody_out(certificates: Certificates) -> None:
    """Twenty that say nothing, a bound of four: the oldest go, a terminal gets in."""
    metrics = Metrics()
    listener = open_listener(echo, metrics)
    port = await listener.start_tls("127.0.0.1", 0, certificates.server_side())
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
    await until(lambda: b"posgate_failed_handshakes_total 16.0" in metrics.exposition())
    assert listener.handshakes() == 4
    assert await _exchange(port, certificates.client_side()) == ECHO
    assert await hears_hang_up(silent[0][0]) == b""
    for _, writer in silent:
        writer.transport.abort()
    await listener.close()


async def test_connections_above_the_bound_are_not_even_greeted(
    certificates: Certificates,
) -> None:
    listener = open_listener(echo, max_connections=2)
    port = await listener.start_tls("127.0.0.1", 0, certificates.server_side())
    tls = certificates.client_side()
    _, first = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    await until(lambda: listener.connections() == 1 and not listener.handshakes())
    _, second = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    await until(lambda: listener.connections() == 2 and not listener.handshakes())
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    for writer in (first, second):
        writer.transport.abort()
    await until(lambda: listener.connections() == 0)
    assert await _exchange(port, tls) == ECHO
    await listener.close()


async def test_who_drains_ends_handshakes_and_idle_connections(
    listener: PosListener, certificates: Certificates
) -> None:
    port = await listener.start_tls("127.0.0.1", 0, certificates.server_side())
    tls = certificates.client_side()
    idle, idle_writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    shaking, shaking_writer = await asyncio.open_connection("127.0.0.1", port)
    await until(lambda: listener.connections() == 1 and listener.handshakes() == 1)
    listener.hang_up()
    assert await hears_hang_up(idle) == b""
    assert await hears_hang_up(shaking) == b""
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)
    for writer in (idle_writer, shaking_writer):
        writer.transport.abort()


@pytest.mark.parametrize("broken", ["server", "client"])
def test_a_file_that_cannot_be_loaded_is_named(
    certificates: Certificates, tmp_path: Path, broken: str
) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")
    server = bad if broken == "server" else certificates.server
    client = bad if broken == "client" else None
    with pytest.raises(ConfigurationError, match=r"pos\.tls\.\w+: .*bad\.pem"):
        server_context("pos.tls", server, certificates.server_key, client)


def test_an_encrypted_key_is_named_and_asks_nobody(
    certificates: Certificates, tmp_path: Path
) -> None:
    """The start would wait for a pass phrase at its terminal."""
    key = load_pem_private_key(certificates.server_key.read_bytes(), None)
    locked = tmp_path / "locked.pem"
    how = BestAvailableEncryption(b"a pass phrase")
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how))
    with pytest.raises(ConfigurationError, match=r"pos\.tls.*locked\.pem.*encrypted"):
        server_context("pos.tls", certificates.server, locked)
