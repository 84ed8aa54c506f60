"""One connection of a merchant's till that is written to by hand, and what is written to it."""

import asyncio
import ssl
from collections.abc import Mapping

import orjson

from sandbox.scenarios import ALIPAY_CODES, Scenario
from tests.support.gateway import Running, scanned

APPROVED = ALIPAY_CODES[Scenario.APPROVED]


class Line:
    """The connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, running: Running) -> "Line":
        """Connect, as who trusts the shop's own authority."""
        trust = ssl.create_default_context(cafile=str(running.place.installation.ca_file))
        port = running.bound.api_port
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=trust))

    async def answer(self) -> tuple[bytes, Mapping[str, str], bytes]:
        """Status line, headers, body."""
        async with asyncio.timeout(10):
            head = await self.reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode().removesuffix("\r\n\r\n").split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines)
            body = await self.reader.readexactly(int(headers["Content-Length"]))
        return first.encode(), headers, body

    async def heard(self) -> bytes:
        """All that comes until the gateway hangs up."""
        async with asyncio.timeout(10):
            return await self.reader.read()


def signed_payment(running: Running, number: str, *more: str, **changes: object) -> bytes:
    """A signed payment as octets, plain unless ``more`` headers make it something else."""
    body = orjson.dumps(scanned(APPROVED, number, **changes))
    lines = [
        "POST /v1/payments HTTP/1.1",
        "Host: pos.example",
        "Content-Type: application/json",
        f"Authorization: {running.api.authorization('POST', '/v1/payments', body)}",
        f"Content-Length: {len(body)}",
        *more,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
