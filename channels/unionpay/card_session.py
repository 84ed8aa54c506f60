"""One connection to a card host: frames out, answers in, and how long it has been silent.

Rules: an answer to a financial message is handed on (``card_in_flight.py`` knows who waits,
whatever connection it came by); sign-ons and echoes are asked and answered here, because
an echo has no number and proves this very connection. What cannot be read is counted and
dropped; a stream that cannot be cut any more ends the connection. A session ends with
:meth:`lost` and is not used again.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from channels.port import AnswerLost, ByteLink, NotSent
from channels.unionpay.card_wire import ECHO_REPLY, SIGN_ON_REPLY, Reply, key_of
from domain.clock import Clock
from pos_protocol.codec import CodecError, decode
from pos_protocol.framing import FrameReader, FramingError, frame

_REQUIREMENT: Final = 7
"""The payload byte whose low nibble is the header's processing requirement."""
_SIGN_ON_WANTED: Final = 3
_SERVICE_REPLIES: Final = frozenset({SIGN_ON_REPLY, ECHO_REPLY})


class CardSession:
    """A receiver of one connection's bytes."""

    def __init__(
        self,
        clock: Clock,
        deliver: Callable[[Reply], None],
        ended: Callable[["CardSession"], None],
    ) -> None:
        self._clock = clock
        self._deliver = deliver
        self._tell_ended = ended
        self._reader = FrameReader()
        self._link: ByteLink | None = None
        self._asked: dict[str, asyncio.Future[Reply]] = {}
        self.heard_s = clock.monotonic_s()
        self.pending = 0
        """Requests in flight here."""
        self._sent_s = 0.0
        """When something was sent while nothing else was in flight."""
        self.sign_on_wanted = False
        self.unreadable = 0
        self.changed = asyncio.Event()
        """Set when the session ended or somebody wants something of it."""
        self.ended = False

    def attach(self, link: ByteLink) -> None:
        """The connected link to write to."""
        self._link = link

    def write(self, payload: bytes) -> None:
        """Queue one message whole, or raise :class:`NotSent`."""
        if self._link is None:
            raise NotSent("the card host is not connected")
        self._link.write(frame(payload))
        if self.pending <= 1:
            self._sent_s = self._clock.monotonic_s()

    async def ask(self, payload: bytes, key: str, timeout_s: float) -> Reply:
        """A sign-on or an echo on this connection.

        Raises:
            NotSent, AnswerLost: as an exchange.
            TimeoutError: no answer in time.
        """
        if key in self._asked:
            raise AnswerLost("the same question is in flight already")
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._asked[key] = answer
        try:
            self.write(payload)
            async with asyncio.timeout(timeout_s):
                return await answer
        finally:
            del self._asked[key]

    def received(self, data: bytes) -> None:
        """Deliver whole answers; a stream that cannot be cut any more is dropped."""
        self.heard_s = self._clock.monotonic_s()
        try:
            payloads = self._reader.feed(data)
        except FramingError as fault:
            for payload in fault.frames:
                self._read(payload)
            self.close()
            return
        for payload in payloads:
            self._read(payload)

    def _read(self, payload: bytes) -> None:
        try:
            message = decode(payload)
        except CodecError:
            self.unreadable += 1
            return
        if payload[_REQUIREMENT] & 0x0F == _SIGN_ON_WANTED:
            self.want_sign_on()
        reply = Reply(payload, message)
        if message.mti not in _SERVICE_REPLIES:
            self._deliver(reply)
            return
        asked = self._asked.get(key_of(message))
        if asked is not None and not asked.done():
            asked.set_result(reply)

    def silent_s(self, now_s: float) -> float:
        """How long requests have been in flight with nothing heard; 0 when none are."""
        return now_s - max(self._sent_s, self.heard_s) if self.pending else 0.0

    def want_sign_on(self) -> None:
        """Working keys should be fetched anew."""
        if not self.sign_on_wanted:
            self.sign_on_wanted = True
            self.changed.set()

    def lost(self) -> None:
        """The link is gone: nobody in flight will be answered."""
        if self.ended:
            return
        self.ended = True
        self._link = None
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(AnswerLost("the card host's link was lost"))
        self._tell_ended(self)
        self.changed.set()

    def close(self) -> None:
        """Drop the connection."""
        link = self._link
        self.lost()
        if link is not None:
            link.close()
