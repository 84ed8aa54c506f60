"""TCP links on real sockets."""

import asyncio
import socket

import pytest

from channels import tcp
from channels.port import NotSent
from channels.tcp import connect


class Collected:
    """A receiver that keeps what it is called with."""

    def __init__(self) -> None:
        self.data = b""
        self.ended = asyncio.Event()
        self.got = asyncio.Event()

    def received(self, data: bytes) -> None:
        self.data += data
        self.got.set()

    def lost(self) -> None:
        self.ended.set()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1024):
        writer.write(data)
    writer.close()


async def test_bytes_go_both_ways_and_closing_is_told_once() -> None:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    receiver = Collected()
    link = await connect("127.0.0.1", server.sockets[0].getsockname()[1], receiver)
    link.write(b"hello")
    await receiver.got.wait()
    assert receiver.data == b"hello"
    link.close()
    await receiver.ended.wait()
    with pytest.raises(NotSent):
        link.write(b"late")
    server.close()


async def test_refused_is_not_sent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(NotSent):
            await connect("127.0.0.1", taken.getsockname()[1], Collected())


async def test_a_peer_that_does_not_read_fills_the_buffer_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tcp, "WRITE_BUFFER_BYTES", 200_000)
    deaf = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await deaf.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    receiver = Collected()
    link = await connect("127.0.0.1", server.sockets[0].getsockname()[1], receiver)
    with pytest.raises(NotSent, match="read"):
        for _ in range(10_000):
            link.write(bytes(100_000))
    link.close()
    await receiver.ended.wait()
    deaf.set()
    server.close()
