"""HTTP around the API door and the door of notifications: aiohttp in, requests of ours, out.

A plain call of the API goes by a shorter way (``plain_calls.py``), which hands on whatever
is not one. Rules: a body is read whole within its bounds, in size and in time, and handed on as it
came; everything that is said about a call is said by the door. What aiohttp's router (404, 405)
and its parser (400) refuse carries our error body too. No answer names the software. Who drains
takes no new connection, closes the idle ones, and says so with the last answer on each of the
others.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from aiohttp import web

from channels.inbound import InboundRequest
from domain.clock import Clock
from domain.errors import InvalidRequest, RequestError, TooLarge
from gateway.http.call import ApiRequest, ApiResponse
from gateway.http.door import ApiDoor
from gateway.http.errors import status_of
from gateway.http.event_streams import EventStreams
from gateway.http.general_connection import GeneralConnection, UnnamedResponse
from gateway.http.idle_connections import end_idle
from gateway.http.operations import Operations
from gateway.http.plain_calls import PlainCalls
from gateway.inbound import Inbound

if TYPE_CHECKING:
    from gateway.http.pages.server import PageServer

_BODY_GRACE_S: Final = 30
_KEEP_ALIVE_S: Final = 75
_SHUTDOWN_S: Final = 1
_BELOW: Final = "/{below:(?s:.+)}"
_STORES: Final = f"/v1/stores{_BELOW}"
_FAULT: Final = ("internal_error", "our fault")
_UNROUTED: Final[Mapping[int, tuple[str, str]]] = MappingProxyType(
    {
        400: ("malformed_request", "what came is not one well-formed HTTP request"),
        417: ("expectation_failed", "no expectation is met but 100-continue"),
    }
)
"""What never reaches the router."""


class ApiServer:
    """One listening address in front of the door."""

    def __init__(
        self,
        *,
        door: ApiDoor,
        inbound: Inbound,
        operations: Operations,
        streams: EventStreams,
        clock: Clock,
        max_body_bytes: int,
        pages: "PageServer | None" = None,
    ) -> None:
        self._door = door
        self._inbound = inbound
        self._operations = operations
        self._streams = streams
        self._clock = clock
        self._max_body_bytes = max_body_bytes
        self._pages = pages
        self._runner: web.AppRunner | None = None
        self._listening: asyncio.Server | None = None
        self._plain: PlainCalls | None = None
        self._is_leaving = False

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=self._max_body_bytes, middlewares=[self._around])
        app.on_response_prepare.append(_unname)
        for place in ("/v1/payments", f"/v1/payments{_BELOW}", f"/v1/refunds{_BELOW}", _STORES):
            app.router.add_route("*", place, self._serve)
        app.router.add_post("/notify/{channel}/{account}", self._notice)
        self._operations.add_routes(app)
        if self._pages is not None:
            self._pages.add_routes(app, self._read)
        return app

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None) -> int:
        """Listen; returns the real port."""
        self._runner = web.AppRunner(self.application(), shutdown_timeout=_SHUTDOWN_S)
        await self._runner.setup()
        behind = self._runner.server
        if behind is None:
            raise RuntimeError("aiohttp has made no server")
        self._plain = PlainCalls(
            handle=self._door.handle,
            behind=partial(
                GeneralConnection,
                behind,
                refuse=self._refuse,
                keepalive_timeout=_KEEP_ALIVE_S,
            ),
            clock=self._clock,
            max_body_bytes=self._max_body_bytes,
            keep_alive_s=_KEEP_ALIVE_S,
        )
        self._listening = await asyncio.get_running_loop().create_server(
            self._plain.connection, host, port, ssl=tls, reuse_port=True, backlog=1024
        )
        return int(self._listening.sockets[0].getsockname()[1])

    async def hang_up(self) -> None:
        """Take no new connection; end the idle ones now, the others after their answer.

        A client that connects again finds another process behind the same port.
        """
        self._is_leaving = True
        if self._runner is None or self._runner.server is None:
            return
        if self._listening is not None:
            self._listening.close()
        if self._plain is not None:
            self._plain.hang_up()
        end_idle(self._runner.server)

    async def close(self) -> None:
        """Stop listening and close every connection."""
        if self._listening is not None:
            self._listening.close()
        if self._plain is not None:
            await self._plain.close(_SHUTDOWN_S)
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _around(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Answers that the router makes (404, 405) carry our error body too."""
        try:
            answer = await handler(request)
        except web.HTTPException as error:
            code = {404: "route_not_found", 405: "method_not_allowed"}.get(
                error.status, "http_error"
            )
            allow = error.headers.get("Allow", "")
            answer = _response(self._door.refusal(error.status, code, error.reason, allow))
        if self._is_leaving:
            answer.force_close()
        return answer

    def _refuse(self, status: int) -> web.Response:
        """The answer to what never reached the router."""
        return _response(self._door.refusal(status, *_UNROUTED.get(status, _FAULT)))

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        asked = ApiRequest(
            method=request.method, raw_path=request.raw_path, headers=request.headers
        )
        answer = await self._door.handle(asked, lambda: self._read(request))
        if answer.stream is not None:
            return await self._streams.serve(request, answer, answer.stream)
        return _response(answer)

    async def _notice(self, request: web.Request) -> web.Response:
        """What a channel tells; only its own adapter says whether it is believed."""
        try:
            body = await self._read(request)
        except RequestError as error:
            return _response(self._door.refusal(status_of(error), error.code, error.message))
        headers: dict[str, str] = {}
        for written, value in request.headers.items():
            name = written.lower()  # one that comes twice, joined, verifies as nothing
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        asked = InboundRequest(method=request.method, headers=headers, body=body)
        place = request.match_info
        reply = await self._inbound.receive(place["channel"], place["account"], asked)
        if reply is None:
            return _response(self._door.refusal(404, "route_not_found", "Not Found"))
        return web.Response(
            body=reply.body, status=reply.status, headers={"Content-Type": reply.content_type}
        )

    async def _read(self, request: web.Request) -> bytes:
        try:
            if request.content.is_eof():  # here already: no timer for what does not wait
                return await request.read()
            async with asyncio.timeout(_BODY_GRACE_S):
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            message = f"the body exceeds {self._max_body_bytes} bytes"
            raise TooLarge("body_too_large", message) from None
        except TimeoutError:
            raise InvalidRequest("body_too_slow", "the body did not arrive in time") from None
        except (OSError, web.RequestPayloadError):  # whoever sent it is gone
            raise InvalidRequest("body_incomplete", "the body broke off") from None


def _response(answer: ApiResponse) -> web.Response:
    return UnnamedResponse(body=answer.body, status=answer.status, headers=answer.headers)


async def _unname(_request: web.Request, answer: web.StreamResponse) -> None:
    answer.headers.popall("Server", None)
