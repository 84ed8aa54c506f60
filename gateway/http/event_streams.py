"""Writing a follower's messages to its connection: server-sent events over HTTP/1.1.

Rules:

* One event is ``id``, ``event`` (``payment.`` and the status) and ``data``, the payment as
  ``GET /v1/payments/{id}`` shows it; ``posgate-timestamp``, ``posgate-nonce`` and
  ``posgate-signature`` sign the data as an answer is signed (a reader of the standard's form
  skips fields that it does not know). An ``id`` alone says where the stream stands.
* A comment every so often shows that both sides live; the key is looked up again then, so
  that a disabled one does not hear on.
* A peer that hangs up is forgotten within a second or two, one that vanished when nothing
  more can be written to it.
* A peer that does not take what is written is cut: its connection is closed, not waited for.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from gateway.events.feed import Feed
from gateway.events.follower import Follower, Message
from gateway.http.call import ApiResponse, EventStream

_RETRY: Final = b"retry: 1000\n\n"
_SIGN_OF_LIFE: Final = b": still here\n\n"
_SWEEP_S: Final = 1.0
_WRITE_BUFFER_BYTES: Final = 16_384


class EventStreams:
    """Open streams of this server."""

    def __init__(self, *, feed: Feed, write_timeout_s: float) -> None:
        self._feed = feed
        self._write_timeout_s = write_timeout_s
        self._open: dict[Follower, web.Request] = {}
        self._sweeper: asyncio.Task[None] | None = None

    async def serve(
        self, request: web.Request, answer: ApiResponse, stream: EventStream
    ) -> web.StreamResponse:
        """Write until the follower is ended, cut, or gone."""
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        response.force_close()
        try:
            if request.method == "HEAD":
                return web.Response(status=answer.status, headers=answer.headers)
            await response.prepare(request)
            self._watch(request, stream.follower)
            if request.transport is not None:
                request.transport.set_write_buffer_limits(_WRITE_BUFFER_BYTES)
            await self._write(response, stream)
        except (ConnectionError, TimeoutError):
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._open.pop(stream.follower, None)
            self._feed.leave(stream.follower)
        return response

    def _watch(self, request: web.Request, follower: Follower) -> None:
        """Aiohttp tells a handler that only waits nothing of a peer that hangs up."""
        self._open[follower] = request
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = asyncio.get_running_loop().create_task(self._sweep())

    async def _sweep(self) -> None:
        """Let go of who has hung up, while anybody is there."""
        while self._open:
            await asyncio.sleep(_SWEEP_S)
            for follower, request in tuple(self._open.items()):
                if request.transport is None:
                    follower.end()

    async def _write(self, response: web.StreamResponse, stream: EventStream) -> None:
        await response.write(_RETRY)
        while True:
            messages = await stream.follower.next()
            if messages is None or not (messages or await stream.is_allowed()):
                return
            async with asyncio.timeout(self._write_timeout_s):
                await response.write(_frames(messages, stream) or _SIGN_OF_LIFE)


def _frames(messages: Sequence[Message], stream: EventStream) -> bytes:
    """Messages as they are written."""
    return b"".join(_frame(message, stream) for message in messages)


def _frame(message: Message, stream: EventStream) -> bytes:
    told = message.told
    if told is None:
        return b"id: %d\n\n" % message.number
    signed = stream.sign(told.body)
    head = (
        f"id: {message.number}\nevent: payment.{told.status}\n"
        f"posgate-timestamp: {signed.timestamp}\nposgate-nonce: {signed.nonce}\n"
        f"posgate-signature: {signed.signature}\ndata: "
    )
    return head.encode() + told.body + b"\n\n"
