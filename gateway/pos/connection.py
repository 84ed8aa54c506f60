"""One connection of the POS port: bytes in, messages begun in their order, replies back.

Rules:

* Never more than ``max_in_flight`` messages begun at once, nor more than the listener has
  room for. At the bound reading pauses, and what one read brought beyond it waits as bytes,
  which are decoded a piece at a time as places come free: what a connection holds is
  bounded by one read.
* For a peer that does not read its replies nothing more is read and nothing more begun.
* A frame that cannot be one closes the connection, and so does one that takes too long.
* What is begun goes on when the connection closes; what only waited is forgotten with it,
  for its terminal heard nothing and reverses or asks again.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final, Protocol, cast

from domain.clock import Clock
from pos_protocol.framing import frame
from pos_protocol.message import Message
from pos_protocol.session import BadFrame, HostSession, Received

_PIECE_BYTES: Final = 4096
"""What is decoded at a time; no more messages than fit in here ever wait decoded."""
_WHOLE: Final = math.inf
"""``partial_since_s`` of a connection that is not in the middle of a frame."""

Handle = Callable[[bytes, Message], Awaitable[bytes | None]]


class Keeper(Protocol):
    """What a connection needs of the listener that made it."""

    handle: Handle
    clock: Clock
    max_frame_bytes: int
    max_in_flight: int
    max_pushes: int

    def admit(self, connection: "PosConnection") -> bool:
        """Whether one more connection is within the bound, and wanted."""
        ...

    def leave(self, connection: "PosConnection") -> None:
        """A connection is gone."""
        ...

    def has_room(self) -> bool:
        """Whether all connections together may begin one more message."""
        ...

    def wait_for_room(self, connection: "PosConnection") -> None:
        """Call its ``advance`` once they may."""
        ...

    def rejected(self, fault: BadFrame) -> None:
        """A connection sent what cannot be a message."""
        ...

    def run(self, work: Coroutine[None, None, None]) -> None:
        """Answer one message in a task of its own."""
        ...

    def answered(self, connection: "PosConnection", request: Message, reply: bytes | None) -> None:
        """The running task has its reply."""
        ...


class PosConnection(asyncio.Protocol):
    """See the module. Small: ten thousand of them are a usual day."""

    __slots__ = (
        "_at_end",
        "_backlog",
        "_choked",
        "_in_flight",
        "_is_closing",
        "_is_ending",
        "_keeper",
        "_paused",
        "_pushes",
        "_session",
        "_transport",
        "_unread",
        "heard_s",
        "partial_since_s",
    )

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._session = HostSession(keeper.max_frame_bytes)
        self._transport: asyncio.Transport | None = None
        self._in_flight = 0
        self._backlog: list[Received] = []
        self._unread = b""
        self._pushes: list[bytes] | None = None
        self._paused = self._choked = False
        self._is_ending = self._at_end = self._is_closing = False
        self.heard_s = keeper.clock.monotonic_s()
        self.partial_since_s = _WHOLE

    # --- what the transport says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self._keeper.admit(self):
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._keeper.leave(self)
        self._transport = None
        self._forget()

    def data_received(self, data: bytes) -> None:
        self.heard_s = self._keeper.clock.monotonic_s()
        if self._unread or self._backlog or len(data) > _PIECE_BYTES:
            self._unread += data
            self.advance()
        else:
            self._take(data)

    def eof_received(self) -> bool:
        """Stay open for the replies of what is under way: the peer may still read.

        Not under TLS, which closes both ways at once.
        """
        self._is_ending = self._at_end = True
        if self.is_idle:
            self._end_of_stream()
            return False
        transport = self._transport
        return transport is not None and transport.get_extra_info("sslcontext") is None

    def pause_writing(self) -> None:
        """The peer does not read its replies: take no more from it."""
        self._choked = True
        self._breathe()

    def resume_writing(self) -> None:
        self._choked = False
        self.advance()
        if self._is_ending:
            self._hang_up_if_done()

    # --- messages

    @property
    def is_idle(self) -> bool:
        """Nothing is in flight and nothing waits; the middle of a frame may be here."""
        return not (self._in_flight or self._backlog or self._unread)

    @property
    def _has_room(self) -> bool:
        return self._in_flight < self._keeper.max_in_flight and self._keeper.has_room()

    def _take(self, data: bytes) -> None:
        """Decode, and begin what there is room for; the rest is a piece's worth at most."""
        events = self._session.receive_data(data)
        if self._session.buffered_bytes:
            if events or self.partial_since_s == _WHOLE:
                self.partial_since_s = self.heard_s
        else:
            self.partial_since_s = _WHOLE
        for event in events:
            if isinstance(event, BadFrame):
                self._reject(event)
            elif self._has_room:
                self._begin(event)
            else:
                self._backlog.append(event)
        if self._backlog:
            self._breathe()

    def advance(self) -> None:
        """Begin what waits, as far as there is room and the peer reads its replies."""
        while self._has_room and not self._choked:
            if self._backlog:
                self._begin(self._backlog.pop(0))
            elif self._unread:
                piece, self._unread = self._unread[:_PIECE_BYTES], self._unread[_PIECE_BYTES:]
                self._take(piece)
            else:
                break
        self._breathe()

    def _breathe(self) -> None:
        """Read exactly while the bounds leave room and nothing waits."""
        is_full = self._choked or self._in_flight >= self._keeper.max_in_flight
        waits = bool(self._backlog or self._unread)
        if waits and not is_full:
            self._keeper.wait_for_room(self)
        paused = is_full or waits
        if self._transport is None or paused == self._paused:
            return
        self._paused = paused
        if paused:
            self._transport.pause_reading()
            return
        if self.partial_since_s != _WHOLE:  # the wait was ours
            self.partial_since_s = self._keeper.clock.monotonic_s()
        self._transport.resume_reading()

    def _begin(self, event: Received) -> None:
        self._in_flight += 1
        if self._in_flight >= self._keeper.max_in_flight:
            self._breathe()
        self._keeper.run(self._answer(event.payload, event.message))

    async def _answer(self, payload: bytes, message: Message) -> None:
        reply: bytes | None = None
        try:
            reply = await self._keeper.handle(payload, message)
        finally:
            self._in_flight -= 1
            self._keeper.answered(self, message, reply)
            if reply is not None and self._transport is not None and not self._is_closing:
                self._transport.write(frame(reply))
            if self._paused:
                self.advance()
            if self._pushes:
                self._flush()
            if self._is_ending:
                self._hang_up_if_done()

    # --- pushes

    def push(self, payload: bytes) -> bool:
        """Send ``payload`` as soon as nothing is under way; ``False`` when it cannot be kept."""
        if self._transport is None or self._is_ending or self._is_closing:
            return False
        waiting = self._pushes or []
        if len(waiting) >= self._keeper.max_pushes:
            return False
        waiting.append(payload)
        self._pushes = waiting
        self._flush()
        return True

    def _flush(self) -> None:
        """Send the pushes, unless the peer waits for an answer or has begun to ask."""
        if self._transport is None or self._choked or not self.is_idle:
            return
        if self.partial_since_s == _WHOLE and self._pushes:
            self._transport.write(b"".join(map(frame, self._pushes)))
            self._pushes = None

    # --- the end

    def is_stuck(self, silent_s: float, partial_s: float) -> bool:
        """Whether it was last heard before ``silent_s``, or its frame began before ``partial_s``.

        A connection that waits for us is not stuck; one that was closed may only write what
        is written already.
        """
        if self._is_closing:
            return self.heard_s < partial_s
        if self._in_flight and not self._choked:
            return False
        if self.heard_s < silent_s:
            return True
        return self.partial_since_s < partial_s and not self._paused

    def _reject(self, fault: BadFrame) -> None:
        self._unread = b""
        self._keeper.rejected(fault)
        self.close()

    def _end_of_stream(self) -> None:
        """Say so, if the stream ended inside a frame."""
        for event in self._session.receive_data(b""):
            if isinstance(event, BadFrame):
                self._keeper.rejected(event)

    def _forget(self) -> None:
        self._backlog, self._unread, self._pushes = [], b"", None
        self.partial_since_s = _WHOLE

    def _hang_up_if_done(self) -> None:
        if self.is_idle and not self._is_closing:
            if self._at_end:
                self._end_of_stream()
            self.close()

    def end(self) -> None:
        """Close the socket once everything that came is answered, at once if it is."""
        self._is_ending = True
        if self.is_idle:
            self.close()

    def drop(self) -> None:
        """Close the socket; what was asked to close before and did not is cut off."""
        self.partial_since_s = _WHOLE
        if self._is_closing and self._transport is not None:
            self._transport.abort()
        self.close()

    def close(self) -> None:
        """Close the socket after what is written already; what is in flight goes on."""
        if self._transport is not None and not self._is_closing:
            self._is_closing = True
            self._transport.close()
