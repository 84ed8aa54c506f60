"""A merchant's endpoint: a raw HTTP server that says the same to everybody."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


class Endpoint:
    """A raw HTTP server that says the same to everybody."""

    def __init__(
        self,
        answer: bytes = OK,
        *,
        then: Callable[[asyncio.StreamWriter], Awaitable[None]] | None = None,
    ) -> None:
        self.answer = answer
        self.then = then
        self.requests: list[bytes] = []
        self.connections = 0
        self.is_left = asyncio.Event()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                writer.write(self.answer)
                await writer.drain()
                if self.then is not None:
                    await self.then(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.is_left.set()
            writer.close()


@asynccontextmanager
async def serving(endpoint: Endpoint, tls: ssl.SSLContext | None = None) -> AsyncIterator[Endpoint]:
    """It listens on a port of the system's choice."""
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0, ssl=tls)
    endpoint.port = server.sockets[0].getsockname()[1]
    try:
        yield endpoint
    finally:
        server.close()
