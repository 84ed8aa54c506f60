"""What is read into a shared buffer under TLS is whole, however it ends."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop
from yarl import URL

from channels.http_link import Origin
from channels.shared_buffer import ReadInto, shared_buffer
from tests.gateway.pos.lines import Certificates, make_certificates

SIZES = (1_000, 40_000, 100_000, 600_000)
RUNS = {"asyncio": asyncio.run, "uvloop": uvloop.run}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@contextlib.contextmanager
def _answering(tls: ssl.SSLContext, answer: bytes) -> Iterator[int]:
    """A server that answers every connection and hangs up without a word of TLS."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                peer, _ = listening.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), tls.wrap_socket(peer, server_side=True) as line:
                line.recv(65_536)
                line.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


@pytest.mark.parametrize("loop", RUNS)
@pytest.mark.parametrize("size", SIZES)
def test_an_answer_is_whole_when_the_server_just_hangs_up(
    certificates: Certificates, loop: str, size: int
) -> None:
    """The end of a connection overtakes what one turn of the event loop did not decrypt."""
    body = bytes(range(256)) * (size // 256)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    async def ask(port: int) -> bytes:
        url, tls = URL(f"https://127.0.0.1:{port}/"), certificates.client_side()
        origin = Origin(url, tls, limit_bytes=1 << 20, keep_alive_s=5)
        try:
            return (await origin.ask(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 5, 5)).body
        finally:
            origin.close()

    with _answering(certificates.server_side(), answer) as port:
        for _ in range(4):
            assert RUNS[loop](ask(port)) == body


class _Sink(asyncio.Protocol):
    def __init__(self) -> None:
        self.received = b""
        self.ended = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(None)


@pytest.mark.parametrize("loop", RUNS)
@pytest.mark.parametrize("size", SIZES)
def test_a_protocol_behind_it_is_given_all_of_it(
    certificates: Certificates, loop: str, size: int, tmp_path: Path
) -> None:
    said = bytes(range(256)) * (size // 256)

    async def hear(port: int) -> bytes:
        sink = _Sink()
        transport, _ = await asyncio.get_running_loop().create_connection(
            lambda: ReadInto(shared_buffer(), sink),
            "127.0.0.1",
            port,
            ssl=certificates.client_side(),
        )
        transport.write(b"speak")
        async with asyncio.timeout(10):
            await sink.ended
        return sink.received

    with _answering(certificates.server_side(), said) as port:
        for _ in range(4):
            assert RUNS[loop](hear(port)) == said
