"""TCP links to card hosts: ``connect`` as the port wants it, bounded.

Rules: a write either queues all of its bytes or raises :class:`NotSent` and queues
none; a peer that does not read fills the buffer and is treated the same way. The
link carries bytes and knows nothing of frames.
"""

import asyncio
import socket
from typing import Final, cast

from channels.port import ByteLink, LinkReceiver, NotSent

CONNECT_TIMEOUT_S: Final = 5.0
WRITE_BUFFER_BYTES: Final = 1024 * 1024


class _TcpLink(asyncio.Protocol):
    """One connection; also the :class:`ByteLink` handed to the caller."""

    def __init__(self, receiver: LinkReceiver) -> None:
        self._receiver = receiver
        self._transport: asyncio.Transport | None = None
        self._closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        self._receiver.received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        self._receiver.lost()

    def write(self, data: bytes) -> None:
        """Queue ``data`` whole, or raise :class:`NotSent`."""
        transport = self._transport
        if self._closed or transport is None or transport.is_closing():
            raise NotSent("the link is closed")
        if transport.get_write_buffer_size() + len(data) > WRITE_BUFFER_BYTES:
            raise NotSent("the peer does not read")
        transport.write(data)

    def close(self) -> None:
        """Drop the connection; ``lost`` follows."""
        if self._transport is not None and not self._closed:
            self._closed = True
            self._transport.abort()


async def connect(host: str, port: int, receiver: LinkReceiver) -> ByteLink:
    """Open a connection; raises :class:`NotSent` when the peer cannot be reached."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, link = await loop.create_connection(lambda: _TcpLink(receiver), host, port)
    except (OSError, TimeoutError) as fault:
        raise NotSent(f"cannot connect: {type(fault).__name__}") from fault
    return link
