"""Connections that read into a buffer which they share.

Rules: without one of its own, TLS makes two of 256 KiB for every read of a connection and throws
them away, which costs as much as a tenth of a sale. The buffer is filled, and copied at once:
nothing else runs between the two.
"""

import asyncio
from typing import Final

_READ_BYTES: Final = 16 * 1024
"""What TLS hands over at a time, at most."""


def shared_buffer() -> memoryview:
    """A buffer for the connections of one door."""
    return memoryview(bytearray(_READ_BYTES))


class ReadInto(asyncio.BufferedProtocol):
    """Stands between a transport and the protocol that is given what comes."""

    __slots__ = ("_buffer", "_protocol")

    def __init__(self, buffer: memoryview, protocol: asyncio.Protocol) -> None:
        self._buffer = buffer
        self._protocol = protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._protocol.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._protocol.data_received(bytes(self._buffer[:nbytes]))

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()
