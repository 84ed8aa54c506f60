"""Delivers what :class:`sandbox.notifier.Notifier` says is due, over real HTTP.

Rule: this is the sandbox's only client; it decides nothing but how many deliveries are
under way. Merchants are on this machine and its own CA: certificates are checked against
``ca_file`` if there is one, else against the system's.
"""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from sandbox.notifier import Delivery
from sandbox.world import World

_PAUSE_S: Final = 0.05
_TIMEOUT: Final = ClientTimeout(total=5)
_MOST: Final = 64
_ANSWER_BYTES: Final = 4096


async def deliver_notices(world: World, now_ms: Callable[[], int], ca_file: str = "") -> None:
    """Let time pass in ``world`` and deliver what it has to tell, until cancelled."""
    tls = ssl.create_default_context(cafile=ca_file or None)
    tls.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # ca_file may be the certificate itself
    under_way: set[asyncio.Task[None]] = set()
    connector = TCPConnector(limit=_MOST, ssl=tls, keepalive_timeout=2)
    async with ClientSession(
        connector=connector, timeout=_TIMEOUT, cookie_jar=DummyCookieJar(), auto_decompress=False
    ) as http:
        try:
            while True:
                world.tick(now_ms())
                for delivery in world.notifier.due(now_ms(), _MOST - len(under_way)):
                    task = asyncio.create_task(_deliver(http, world, delivery, now_ms))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                await asyncio.sleep(_PAUSE_S)
        finally:
            for task in under_way:
                task.cancel()


async def _deliver(
    http: ClientSession, world: World, delivery: Delivery, now_ms: Callable[[], int]
) -> None:
    """Make one attempt, with its copies; the last answer counts."""
    if delivery.delay_ms:
        await asyncio.sleep(delivery.delay_ms / 1000)
    status, body = 0, b""
    for _ in range(delivery.copies):
        with suppress(ClientError, TimeoutError, OSError, ValueError):
            async with http.post(
                delivery.url,
                data=delivery.request.body,
                headers=delivery.request.headers,
                allow_redirects=False,
            ) as answer:
                status, body = answer.status, await answer.content.read(_ANSWER_BYTES)
    world.notifier.answered(delivery, status, body, now_ms())
