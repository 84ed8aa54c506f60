"""Sockets of the sandbox: they carry out effects and decide nothing.

Rules: a connection answers HTTP requests in order, one at a time, and stops reading
while one is being delayed; card answers may overtake each other. Every list of open
things is bounded. Nothing that was received is ever logged.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Final, cast

from domain.record import brief
from pos_protocol.framing import FrameReader, FramingError, frame
from sandbox.effects import Effect
from sandbox.http_wire import CONTINUE, HttpError, HttpReader, HttpRequest, response

MAX_DELAYED: Final = 10_000
"""Answers that one connection may hold back at a time; beyond it they are dropped."""

CLOSE_GRACE_S: Final = 2.0
JSON: Final = b"application/json;charset=utf-8"


class Connections:
    """The open connections of one listener, at most ``limit``."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: set[asyncio.Transport] = set()
        self._left = asyncio.Event()

    def admit(self, transport: asyncio.Transport) -> bool:
        """Count it in, or abort it when there are too many."""
        if len(self._open) >= self._limit:
            transport.abort()
            return False
        self._open.add(transport)
        return True

    def forget(self, transport: asyncio.Transport) -> None:
        """It is closed."""
        self._open.discard(transport)
        self._left.set()

    async def close_all(self) -> None:
        """Flush what is written and close; who does not read within the grace is aborted."""
        for transport in tuple(self._open):
            transport.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_GRACE_S):
                while self._open:
                    self._left.clear()
                    await self._left.wait()
        for transport in tuple(self._open):
            transport.abort()


@brief
class HttpAnswer:
    """What to do about an HTTP request; ``effect.answer`` is the body.

    ``is_whole``: it is the whole answer instead, status line and headers included
    (:func:`sandbox.http_wire.response`), so that a fault can reach the headers, too.
    """

    effect: Effect
    status: int = 200
    content_type: bytes = JSON
    is_whole: bool = False


class _Connection(asyncio.Protocol):
    """What every connection does: it is counted, and reads no faster than it may write."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast("asyncio.Transport", transport)
        if self._connections.admit(stream):
            self._transport = stream

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._connections.forget(self._transport)
            self._transport = None

    def pause_writing(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None and not self._busy:
            self._transport.resume_reading()


class HttpConnection(_Connection):
    """One client of the simulated gateway or of the control server."""

    def __init__(
        self,
        respond: Callable[[HttpRequest], HttpAnswer],
        connections: Connections,
        max_body_bytes: int,
    ) -> None:
        super().__init__(connections)
        self._respond = respond
        self._reader = HttpReader(max_body_bytes)
        self._mute = False
        self._certificate = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._certificate = tls.getpeercert(binary_form=True) or b""

    def data_received(self, data: bytes) -> None:
        if self._transport is not None and not self._mute:
            self._reader.feed(data)
            if not self._busy:
                self._advance(self._transport)

    def _advance(self, transport: asyncio.Transport) -> None:
        """Answer every whole request until one has to wait."""
        while not self._busy and not transport.is_closing():
            try:
                request = self._reader.next_request()
            except HttpError as error:
                transport.write(response(error.status, b"{}", JSON, keep_alive=False))
                transport.close()
                return
            if request is None:
                if self._reader.wants_continue:
                    transport.write(CONTINUE)
                return
            if self._certificate:
                request = replace(request, client_certificate=self._certificate)
            self._carry_out(transport, self._respond(request), request.keep_alive)

    def _carry_out(
        self, transport: asyncio.Transport, answer: HttpAnswer, keep_alive: bool
    ) -> None:
        effect = answer.effect
        if not effect.answer and not effect.close:
            # The client waits for an answer that never comes; still read, to see it leave.
            self._busy = self._mute = True
        elif effect.delay_ms:
            self._pause(transport)
            loop = asyncio.get_running_loop()
            loop.call_later(effect.delay_ms / 1000, self._resume, answer, keep_alive)
        else:
            self._write(transport, answer, keep_alive)

    def _pause(self, transport: asyncio.Transport) -> None:
        self._busy = True
        transport.pause_reading()

    def _resume(self, answer: HttpAnswer, keep_alive: bool) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._busy = False
        self._write(transport, answer, keep_alive)
        if not transport.is_closing():
            transport.resume_reading()
            self._advance(transport)

    def _write(self, transport: asyncio.Transport, answer: HttpAnswer, keep_alive: bool) -> None:
        effect = answer.effect
        if effect.answer:
            raw = effect.answer
            if not answer.is_whole:
                raw = response(answer.status, raw, answer.content_type, keep_alive=keep_alive)
            transport.write(raw * effect.copies)
        if effect.close or not keep_alive:
            transport.close()


class CardConnection(_Connection):
    """One process of a gateway's link to the card host."""

    def __init__(
        self,
        respond: Callable[[bytes], Effect],
        connections: Connections,
        max_frame_bytes: int,
    ) -> None:
        super().__init__(connections)
        self._respond = respond
        self._reader = FrameReader(max_frame_bytes)
        self._delayed = 0

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        if transport is None:
            return
        broken = False
        try:
            payloads: list[bytes] | tuple[bytes, ...] = self._reader.feed(data)
        except FramingError as error:
            payloads, broken = error.frames, True
        ready: list[bytes] = []
        for payload in payloads:
            effect = self._respond(payload)
            if effect.delay_ms:
                self._delay(effect)
            elif effect.answer:
                ready.append(frame(effect.answer) * effect.copies)
            if effect.close and not effect.delay_ms:
                broken = True
                break
        if ready:
            transport.write(ready[0] if len(ready) == 1 else b"".join(ready))
        if broken:
            transport.close()

    def _delay(self, effect: Effect) -> None:
        if self._delayed < MAX_DELAYED:
            self._delayed += 1
            asyncio.get_running_loop().call_later(effect.delay_ms / 1000, self._send_late, effect)

    def _send_late(self, effect: Effect) -> None:
        self._delayed -= 1
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if effect.answer:
            transport.write(frame(effect.answer) * effect.copies)
        if effect.close:
            transport.close()
