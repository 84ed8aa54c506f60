"""Connections that read into a buffer which they share.

Rules: without one of its own, TLS makes two of 256 KiB for every read of a connection and throws
them away, which costs as much as a tenth of a sale. What it holds is copied at once, before
anything else is read into it. It never fills: what did not fit would be read in the next turn of
the loop, and whoever hangs up without a word (as many servers do under TLS) overtakes that.
"""

import asyncio
from typing import Final

_READ_BYTES: Final = 288 * 1024
"""More than either event loop decrypts at a time: 256 KiB, and what was left of a record."""


def shared_buffer() -> memoryview:
    """A buffer for the connections of one door, or of one server that we call."""
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
