"""How many requests a second an account may make, and who goes first.

Rules:

* Every request to the channel is counted where it leaves, at ``send``: a cancel that
  asks twice costs two.
* No second holds more than the budget. Nothing is saved up but what a late timer would
  lose (``_CREDIT_S``), and the pace is slower by as much.
* A payment is urgent: it takes the next free place and leaves at its time, before
  everything else. With more than a second of places taken no new payment begins.
* Everything else (queries, undos, refunds) waits until no place is taken, in order, a
  bounded time: longer than that is told as not sent, and comes again later.
"""

import asyncio
from collections.abc import Awaitable
from contextvars import ContextVar
from typing import Final, TypeVar

from channels.port import HttpRequest, HttpResponse, NotSent, Send
from domain.clock import Clock

_CREDIT_S: Final = 0.02
_DEBT_S: Final = 1.0
_WAIT_S: Final = 2.0
_T = TypeVar("_T")


class Budget:
    """The arithmetic: pure, ``now_s`` is monotonic time."""

    __slots__ = ("_paid_until_s", "_step_s")

    def __init__(self, calls_per_s: float, now_s: float) -> None:
        self._step_s = (1 + _CREDIT_S) / calls_per_s
        self._paid_until_s = now_s

    def wait_s(self, now_s: float) -> float:
        """How long until a request is within the budget; 0 for now."""
        return max(0.0, self._paid_until_s - now_s)

    def take(self, now_s: float) -> float:
        """Take the next free place; how long until it comes, 0 for now."""
        place_s = max(self._paid_until_s, now_s - _CREDIT_S)
        self._paid_until_s = place_s + self._step_s
        return max(0.0, place_s - now_s)

    def is_overdrawn(self, now_s: float) -> bool:
        """Whether no new payment may begin."""
        return self._paid_until_s - now_s > _DEBT_S

    def is_too_long(self, waiting: int) -> bool:
        """Whether one more who waits behind ``waiting`` others would wait too long."""
        return waiting * self._step_s > _WAIT_S


class BudgetedSend:
    """A ``send`` that keeps to an account's budget."""

    def __init__(self, send: Send, calls_per_s: float, clock: Clock) -> None:
        self._send = send
        self._clock = clock
        self._budget = Budget(calls_per_s, clock.monotonic_s())
        self._urgent = ContextVar("urgent", default=False)
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        """Send within the budget; raises :class:`NotSent` also when the wait is too long."""
        if not self._urgent.get():
            await self._wait()
        place_in_s = self._budget.take(self._clock.monotonic_s())
        if place_in_s > 0:
            await asyncio.sleep(place_in_s)
        return await self._send(request)

    async def urgently(self, call: Awaitable[_T]) -> _T:
        """Await ``call``, whose requests go before all others: a payment."""
        mark = self._urgent.set(True)
        try:
            return await call
        finally:
            self._urgent.reset(mark)

    def is_overdrawn(self) -> bool:
        """Whether no new payment may begin."""
        return self._budget.is_overdrawn(self._clock.monotonic_s())

    def is_crowded(self) -> bool:
        """Whether one more request would wait too long."""
        return self._budget.is_too_long(self._waiting)

    async def _wait(self) -> None:
        """Wait for a turn; whoever gets it takes the place of now before anything else runs."""
        if self.is_crowded():
            raise NotSent("too many requests wait for the account's calls_per_s")
        began_s = self._clock.monotonic_s()
        self._waiting += 1
        try:
            async with self._turn:
                while (wait_s := self._budget.wait_s(self._clock.monotonic_s())) > 0:
                    if self._clock.monotonic_s() - began_s + wait_s > _WAIT_S + _DEBT_S:
                        raise NotSent("the account's calls_per_s are used up")
                    await asyncio.sleep(wait_s)
        finally:
            self._waiting -= 1
