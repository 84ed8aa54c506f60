"""A reader of event streams, by the letter of the standard."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from signing.merchant import answer_string, verify
from tests.support.gateway import Caller


@dataclass(frozen=True)
class Event:
    """One event as it was read."""

    fields: Mapping[str, str]

    @property
    def payment(self) -> Any:
        return orjson.loads(self.fields["data"])


class Stream:
    """A reader of server-sent events, by the letter of the standard."""

    def __init__(self, caller: Caller, answer: aiohttp.ClientResponse) -> None:
        self._caller = caller
        self.answer = answer

    async def next(self) -> Event:
        """The next event that has data; its signature must be the merchant's."""
        while True:
            event = await self.block()
            if "data" in event.fields:
                self._check(event)
                return event

    async def block(self) -> Event:
        """The next block of lines, whatever it holds."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(20):
            while line := (await self.answer.content.readline()).decode().rstrip("\n"):
                name, _, value = line.partition(": ")
                fields[name] = value
            if not fields:
                raise EOFError
        return Event(fields)

    def _check(self, event: Event) -> None:
        said = event.fields
        message = answer_string(
            said["posgate-timestamp"], said["posgate-nonce"], said["data"].encode()
        )
        assert verify(self._caller.key.secret.encode(), message, said["posgate-signature"])

    async def ended(self) -> bool:
        """Whether the gateway closes it."""
        async with asyncio.timeout(20):
            await self.answer.content.read()
        return True


@contextlib.asynccontextmanager
async def stream(caller: Caller, path: str, **headers: str) -> AsyncIterator[Stream]:
    """A signed stream."""
    sent = {"Authorization": caller.authorization("GET", path)}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    async with caller._http.get(caller.base_url + path, headers=sent) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        yield Stream(caller, answer)
