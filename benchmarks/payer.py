"""A payer's browser for the benchmarks: a kept-alive connection, a cookie, and no more.

Rules: it follows what a wallet's browser follows, by hand: the redirect to the wallet's
log-in goes to the sandbox, which sends back a code; the page is asked for, its form pressed,
and what the bridge would be given is taken from the page.
"""

import asyncio
import html
import re
import ssl
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

USER_AGENT: Final = "Mozilla/5.0 (Linux; Android 14) AlipayClient/10.6.0 Language/zh-Hans"
_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: *([0-9]+)")
_PATIENCE_S: Final = 30.0


class WalkError(Exception):
    """A step that did not lead on; the text says which."""


def whole_answer(data: bytes) -> int:
    """The length of the first whole answer in ``data``, 0 if there is none yet."""
    end = data.find(_END)
    if end < 0:
        return 0
    found = _LENGTH.search(data, 0, end + 2)
    size = end + len(_END) + (int(found[1]) if found else 0)
    return size if len(data) >= size else 0


@dataclass(slots=True)
class Line:
    """One kept-alive connection; one request at a time."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    _reader: asyncio.StreamReader | None = None
    _writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes) -> bytes:
        """The whole answer."""
        async with asyncio.timeout(_PATIENCE_S):
            if self._reader is None or self._writer is None:
                self._reader, self._writer = await asyncio.open_connection(
                    self.host, self.port, ssl=self.tls
                )
            self._writer.write(request)
            received = b""
            while not (size := whole_answer(received)):
                data = await self._reader.read(65_536)
                if not data:
                    raise WalkError("hung up on")
                received += data
            return received[:size]

    def close(self) -> None:
        """Hang up."""
        if self._writer is not None:
            self._writer.transport.abort()


@dataclass(slots=True)
class Walker:
    """A payer at one code: ``gateway`` serves the page, ``wallet`` the log-in (the sandbox)."""

    gateway: Line
    wallet: Line
    path: str
    number: int
    cookie: str = ""
    returned: str = field(default="", repr=False)

    async def log_in(self) -> None:
        """Scan, and go through the wallet's log-in up to the address that it sends back to."""
        self.cookie = ""
        sent = await self._get(self.path)
        there = urlsplit(_header(sent, "Location"))
        payer = f"bench{self.number:08d}"
        asked = f"{there.path}?{there.query}&payer={quote(payer)}"
        head = f"GET {asked} HTTP/1.1\r\nHost: {self.wallet.host}\r\n\r\n"
        back = urlsplit(_header(await self.wallet.ask(head.encode()), "Location"))
        self.returned = f"{back.path}?{back.query}"

    async def arrive(self) -> bytes:
        """From the wallet's log-in to the form."""
        await self._get(self.returned)
        return await self._get(self.path)

    async def order(self) -> None:
        """From the wallet's log-in to what its bridge is given."""
        form = await self.arrive()
        fields = {"form": _field(form, "form"), "amount": "12.50", "remark": "benchmark"}
        body = urlencode(fields)
        page = await self._ask("POST", f"{self.path}/pay", body)
        parameters = html.unescape(_attribute(page, "data-parameters"))
        if "tradeNO" not in parameters:
            state = _attribute(page, "data-state")
            raise WalkError(f"no order: {page[9:12].decode()} {state}")

    async def _get(self, place: str) -> bytes:
        return await self._ask("GET", place)

    async def _ask(self, method: str, place: str, body: str = "") -> bytes:
        head = f"{method} {place} HTTP/1.1\r\nHost: {self.gateway.host}:{self.gateway.port}\r\n"
        head += f"User-Agent: {USER_AGENT}\r\nAccept-Language: zh-CN\r\n"
        if self.cookie:
            head += f"Cookie: {self.cookie}\r\n"
        if method == "POST":
            head += "Content-Type: application/x-www-form-urlencoded\r\n"
            head += f"Content-Length: {len(body)}\r\n"
        answer = await self.gateway.ask(f"{head}\r\n{body}".encode())
        given = _header(answer, "Set-Cookie", needed=False)
        self.cookie = given.partition(";")[0] or self.cookie
        return answer


def _header(answer: bytes, name: str, *, needed: bool = True) -> str:
    head = answer.partition(_END)[0].decode("latin-1")
    for line in head.split("\r\n")[1:]:
        said, _, value = line.partition(": ")
        if said.lower() == name.lower():
            return value
    if needed:
        raise WalkError(f"no {name}: {head[9:12]}")
    return ""


def _attribute(page: bytes, name: str) -> str:
    found = re.search(rf'{name}="([^"]*)"'.encode(), page)
    return found[1].decode() if found else ""


def _field(page: bytes, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"'.encode(), page)
    if found is None:
        raise WalkError(f"no form: {page[9:12].decode()} {_attribute(page, 'data-state')}")
    return found[1].decode()
