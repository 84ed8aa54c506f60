"""One connection to a card host: many requests in flight, answers matched.

Rules:

* An answer is matched by MTI, terminal and trace. A key that is in flight already
  is refused, an answer that nobody waits for is counted and dropped (whoever had
  waited booked "unknown", and the gateway undoes it).
* Once bytes were queued, only an answer, the deadline or the loss of the connection
  ends the wait; the last two are :class:`AnswerLost`.
* The number in flight is bounded, and deadlines are swept together: one timer for
  all instead of one for each.
"""

import asyncio
from typing import Final

from channels.port import AnswerLost, ByteLink, NotSent
from channels.unionpay.card_wire import Reply, key_of
from domain.clock import Clock
from pos_protocol.codec import CodecError, decode
from pos_protocol.framing import FrameReader, FramingError, frame

SWEEP_S: Final = 0.1
_REQUIREMENT: Final = 7
"""The payload byte whose low nibble is the header's processing requirement."""
_SIGN_ON_WANTED: Final = 3


class _Waiting:
    __slots__ = ("answer", "deadline_s")

    def __init__(self, answer: asyncio.Future[Reply], deadline_s: float) -> None:
        self.answer = answer
        self.deadline_s = deadline_s


class CardSession:
    """A receiver of one link's bytes; it ends with :meth:`lost` and is not used again."""

    def __init__(self, clock: Clock, *, timeout_s: float, max_in_flight: int) -> None:
        self._clock = clock
        self._timeout_s = timeout_s
        self._max_in_flight = max_in_flight
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader()
        self._link: ByteLink | None = None
        self._in_flight: dict[str, _Waiting] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self.heard_s = clock.monotonic_s()
        self.sign_on_wanted = False
        self.dropped = 0
        self.changed = asyncio.Event()
        """Set when the session ended or the host wants a sign-on."""
        self.ended = False

    def attach(self, link: ByteLink) -> None:
        """The connected link to write to."""
        self._link = link

    async def exchange(self, payload: bytes, key: str) -> Reply:
        """Send one request and wait for the answer with ``key``.

        Raises:
            NotSent: the link is gone, or too many requests are in flight.
            AnswerLost: sent, and no answer in time; or the same key is in flight.
        """
        waiting = self._register(key)
        try:
            self._write(payload)
            return await waiting.answer
        finally:
            if self._in_flight.get(key) is waiting:
                del self._in_flight[key]

    def _register(self, key: str) -> _Waiting:
        if self.ended or self._link is None:
            raise NotSent("the card host is not connected")
        if key in self._in_flight:
            raise AnswerLost("the same number is in flight already")
        if len(self._in_flight) >= self._max_in_flight:
            raise NotSent("too many requests are in flight at the card host")
        waiting = _Waiting(self._loop.create_future(), self._clock.monotonic_s() + self._timeout_s)
        self._in_flight[key] = waiting
        if self._sweep is None:
            self._sweep = self._loop.call_later(SWEEP_S, self._expire)
        return waiting

    def _write(self, payload: bytes) -> None:
        if self._link is None:
            raise NotSent("the card host is not connected")
        self._link.write(frame(payload))

    def received(self, data: bytes) -> None:
        """Deliver whole answers; a stream that cannot be cut any more is dropped."""
        self.heard_s = self._clock.monotonic_s()
        try:
            payloads = self._reader.feed(data)
        except FramingError as fault:
            for payload in fault.frames:
                self._deliver(payload)
            self.close()
            return
        for payload in payloads:
            self._deliver(payload)

    def _deliver(self, payload: bytes) -> None:
        try:
            message = decode(payload)
        except CodecError:
            self.dropped += 1
            return
        if payload[_REQUIREMENT] & 0x0F == _SIGN_ON_WANTED:
            self.want_sign_on()
        waiting = self._in_flight.get(key_of(message))
        if waiting is None or waiting.answer.done():
            self.dropped += 1
            return
        waiting.answer.set_result(Reply(payload, message))

    def want_sign_on(self) -> None:
        """Working keys should be fetched anew."""
        if not self.sign_on_wanted:
            self.sign_on_wanted = True
            self.changed.set()

    def lost(self) -> None:
        """The link is gone: nobody in flight will be answered."""
        self.ended = True
        self._link = None
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for waiting in self._in_flight.values():
            if not waiting.answer.done():
                waiting.answer.set_exception(AnswerLost("the card host's link was lost"))
        self.changed.set()

    async def drain(self) -> None:
        """Wait until nobody is in flight; no longer than their deadlines allow."""
        waiting = {waiting.answer for waiting in self._in_flight.values()}
        if waiting:
            await asyncio.wait(waiting, timeout=self._timeout_s + SWEEP_S)

    def close(self) -> None:
        """Drop the connection."""
        link = self._link
        self.lost()
        if link is not None:
            link.close()

    def _expire(self) -> None:
        """End whoever waited too long: all wait equally long, so the oldest come first."""
        now_s = self._clock.monotonic_s()
        for waiting in self._in_flight.values():
            if waiting.deadline_s > now_s:
                break
            if not waiting.answer.done():
                waiting.answer.set_exception(AnswerLost("the card host did not answer in time"))
        self._sweep = self._loop.call_later(SWEEP_S, self._expire) if self._in_flight else None
