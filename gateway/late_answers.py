"""Answers that came when nobody waited for them any more: booked, never dropped.

Rules:

* A late answer comes once. It is booked by the path of every other answer
  (``gateway/inbound.py``: compare-and-set, contradictions parked, money that comes after
  the end given back), so that it changes nothing twice and never revives what was undone.
* Where the store is away it is tried again for a while; after that, and over the bound,
  it is said loudly with its number: the undo that was begun before goes on without it, and
  reconciliation finds what both missed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from channels.own_line import LateWord
from gateway.inbound import Booked, Outcome
from gateway.logs import Log
from gateway.metrics import Metrics
from gateway.routes import Route, Routes

AT_ONCE: Final = 1_000
RETRY_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0, 60.0, 60.0, 60.0, 60.0)
_QUIET: Final = frozenset({Outcome.BOOKED, Outcome.KNOWN})


class LateAnswers:
    """What the channels' own lines bring in late."""

    def __init__(
        self,
        *,
        routes: Routes,
        book: Callable[[Route, LateWord], Awaitable[Booked]],
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._book = book
        self._metrics = metrics
        self._log = log
        self._working: set[asyncio.Task[None]] = set()
        for route, line in routes.own_lines():
            line.when_late(self._hearing(route))

    def in_flight(self) -> int:
        """Late answers being booked."""
        return len(self._working)

    def _hearing(self, route: Route) -> Callable[[LateWord], None]:
        return lambda word: self.hear(route, word)

    def hear(self, route: Route, word: LateWord) -> None:
        """Book it in the background; over the bound it is told and left."""
        if len(self._working) >= AT_ONCE:
            self._told(route, word, Booked(outcome=Outcome.FULL))
            return
        task = asyncio.get_running_loop().create_task(self._bring_home(route, word))
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    async def _bring_home(self, route: Route, word: LateWord) -> None:
        booked = await self._book(route, word)
        for pause_s in RETRY_S:
            if booked.outcome is not Outcome.STORE_AWAY:
                break
            await asyncio.sleep(pause_s)
            booked = await self._book(route, word)
        self._told(route, word, booked)

    def _told(self, route: Route, word: LateWord, booked: Booked) -> None:
        outcome = booked.outcome
        self._metrics.late_answer(route.account_id, outcome.value)
        tell = self._log.warning if outcome in _QUIET else self._log.error
        tell(
            "late answer",
            account_id=route.account_id,
            outcome=outcome.value,
            payment_id=booked.payment_id,
            refund_id=booked.refund_id,
            order_no=word.order_no,
            verdict=word.answer.verdict.value,
            detail=booked.detail,
        )

    async def drain(self, timeout_s: float) -> None:
        """Finish what is being booked."""
        if self._working:
            await asyncio.wait(tuple(self._working), timeout=timeout_s)
        left = tuple(self._working)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
