"""The merchant's endpoint: collects notifications and looks at their signatures.

Rule: like a real one it is not always well: some are answered 500, some slowly.
"""

import asyncio
import random
import time
from types import TracebackType
from typing import Final

import orjson
from aiohttp import web

from gateway.cli.free_ports import free_port
from signing.merchant import answer_string, verify
from tests.crash.history import History, Notice

_ILL: Final = 0.1
_SLOW: Final = 0.03
_SLOW_S: Final = 0.5


class Inbox:
    """An asynchronous context manager; ``url`` is where it listens."""

    def __init__(self, history: History, rng: random.Random, ill_for_s: float) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/posgate"
        self.secret = b""
        self.ill_until_s = time.monotonic() + ill_for_s
        self._history = history
        self._rng = rng
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> "Inbox":
        app = web.Application()
        app.router.add_post("/posgate", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        raw = await request.read()
        said = request.headers
        message = answer_string(
            said.get("Posgate-Timestamp", ""), said.get("Posgate-Nonce", ""), raw
        )
        lot = self._rng.random() if time.monotonic() < self.ill_until_s else 1.0
        if lot < _SLOW:
            await asyncio.sleep(_SLOW_S)
        is_refused = _SLOW <= lot < _SLOW + _ILL
        body = orjson.loads(raw)
        about = body.get("payment") or body["refund"]
        self._history.notices.append(
            Notice(
                event_id=body["event_id"],
                type=body["type"],
                sequence=body["sequence"],
                payment_id=about.get("payment_id") or about["id"],
                number=about.get("merchant_refund_no") or about["merchant_order_no"],
                status=about["status"],
                is_signed=verify(self.secret, message, said.get("Posgate-Signature", "")),
                is_acknowledged=not is_refused,
            )
        )
        return web.Response(status=500 if is_refused else 204)
