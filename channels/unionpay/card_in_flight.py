"""The requests of one account that wait for their answers, whatever connection they took.

Rules:

* An answer is matched by MTI, terminal and trace, and its batch (60.2), where it has one,
  must be the request's: a trace is used again after 999,999 others, and an answer that
  slept so long is nobody's. A key that is in flight already is refused.
* Once bytes were queued, only an answer, the deadline or the loss of the connection ends
  the wait; the last two are :class:`AnswerLost`.
* An answer that nobody waits for is handed on, never dropped: it may say that money moved
  (``card_late.py``). What was given up is remembered by number, a bounded while.
* The number in flight is bounded, and deadlines are swept together: one timer for all
  instead of one for each.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from channels.port import AnswerLost, NotSent
from channels.unionpay.card_session import CardSession
from channels.unionpay.card_wire import Reply, key_of
from domain.clock import Clock

SWEEP_S: Final = 0.1
MAX_GIVEN_UP: Final = 10_000
"""Numbers whose answers were not waited for any longer; the oldest are forgotten."""


class Waiting:
    """One request in flight."""

    __slots__ = ("answer", "batch", "deadline_s", "session")

    def __init__(
        self,
        answer: asyncio.Future[Reply],
        batch: str,
        deadline_s: float,
        session: CardSession,
    ) -> None:
        self.answer = answer
        self.batch = batch
        self.deadline_s = deadline_s
        self.session = session


class InFlight:
    """All that waits; ``unmatched`` is handed every answer that nobody waits for."""

    def __init__(
        self,
        clock: Clock,
        *,
        timeout_s: float,
        at_most: int,
        unmatched: Callable[[Reply], None],
    ) -> None:
        self._clock = clock
        self._timeout_s = timeout_s
        self._at_most = at_most
        self._unmatched = unmatched
        self._waiting: dict[str, Waiting] = {}
        self._given_up: dict[str, str] = {}
        self._sweep: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    async def exchange(
        self, session: CardSession, payload: bytes, key: str, number: str, original: str
    ) -> Reply:
        """Send one request on ``session`` and wait for the answer with ``key``.

        ``number`` is its order number, ``original`` what it is about (``""``: itself).

        Raises:
            NotSent: the link is gone, or too many requests are in flight.
            AnswerLost: sent, and no answer in time; or the same key is in flight.
        """
        waiting = self._register(session, key, number)
        try:
            session.write(payload)
            return await waiting.answer
        except NotSent:
            raise
        except BaseException:
            self._give_up(number, original)
            raise
        finally:
            session.pending -= 1
            if self._waiting.get(key) is waiting:
                del self._waiting[key]

    def _register(self, session: CardSession, key: str, number: str) -> Waiting:
        if key in self._waiting:
            raise AnswerLost("the same number is in flight already")
        if len(self._waiting) >= self._at_most:
            raise NotSent("too many requests are in flight at the card host")
        loop = asyncio.get_running_loop()
        deadline_s = self._clock.monotonic_s() + self._timeout_s
        waiting = Waiting(loop.create_future(), number[8:14], deadline_s, session)
        self._waiting[key] = waiting
        session.pending += 1
        if self._sweep is None:
            self._sweep = loop.call_later(SWEEP_S, self._expire)
        return waiting

    def _give_up(self, number: str, original: str) -> None:
        if len(self._given_up) >= MAX_GIVEN_UP:
            del self._given_up[next(iter(self._given_up))]
        self._given_up[number] = original

    def given_up(self, number: str) -> str | None:
        """What a request that was given up was about; ``None`` for any other number."""
        return self._given_up.get(number)

    def given_up_by_trace(self, terminal_id: str, trace: str) -> str:
        """The number given up last under a trace, for an answer that does not tell its batch."""
        for number in reversed(self._given_up):
            if number[14:] == trace and number[:8] == terminal_id:
                return number
        return ""

    def deliver(self, reply: Reply) -> None:
        """Give an answer to who waits for it."""
        message = reply.message
        waiting = self._waiting.get(key_of(message))
        if waiting is not None and not waiting.answer.done():
            batch = str(message.fields.get(60, ""))[2:8]
            if not batch or batch == waiting.batch:
                waiting.answer.set_result(reply)
                return
        self._unmatched(reply)

    def lost(self, session: CardSession) -> None:
        """A connection is gone: nobody who sent on it is waited for."""
        for waiting in self._waiting.values():
            if waiting.session is session and not waiting.answer.done():
                waiting.answer.set_exception(AnswerLost("the card host's link was lost"))

    async def drain(self) -> None:
        """Wait until nobody is in flight; no longer than their deadlines allow."""
        waiting = {waiting.answer for waiting in self._waiting.values()}
        if waiting:
            await asyncio.wait(waiting, timeout=self._timeout_s + SWEEP_S)

    def _expire(self) -> None:
        """End whoever waited too long: all wait equally long, so the oldest come first."""
        now_s = self._clock.monotonic_s()
        for waiting in self._waiting.values():
            if waiting.deadline_s > now_s:
                break
            if not waiting.answer.done():
                waiting.answer.set_exception(AnswerLost("the card host did not answer in time"))
        loop = asyncio.get_running_loop()
        self._sweep = loop.call_later(SWEEP_S, self._expire) if self._waiting else None
