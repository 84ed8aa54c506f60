"""A connection of the general server, its refusals our own.

Rules: aiohttp answers what it cannot parse with the octets in question, a card's or a code's among
them, and tells its name and version; here whoever serves makes that answer, and counts it. Nothing
of what came is said back or logged, and the connection ends. A fault of ours is logged as ever.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

Refuse = Callable[[int], web.Response]
"""The answer under a status: 400 to what is no HTTP, 5xx for a fault of ours."""


class UnnamedResponse(web.Response):
    """An answer that does not tell what software wrote it."""

    async def _prepare_headers(self) -> None:
        """``on_response_prepare`` is not told of the answer to what was not parsed."""
        await super()._prepare_headers()
        self.headers.popall("Server", None)


class GeneralConnection(web.RequestHandler):
    """Made for each connection in the place of ``server()``."""

    __slots__ = ("_refuse",)

    def __init__(self, server: web.Server, *, refuse: Refuse, **bounds: Any) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]
            auto_decompress=False,
            **bounds,
        )
        self._refuse = refuse

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Tell it as ours; ``message`` quotes what came.

        Raises:
            ConnectionError: half of an answer has left already.
        """
        if status >= 500:
            super().handle_error(request, status, exc)
        answer = self._refuse(status)
        answer.force_close()
        return answer

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """An expectation that is not met (417) is refused before any middleware."""
        if isinstance(resp, web.HTTPException):
            resp = self._refuse(resp.status)
            resp.force_close()
        return await super().finish_response(request, resp, start_time)
