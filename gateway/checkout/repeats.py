"""Making an order again at its channel, once for everybody who asks within a second.

Rules: a payer's page is looked at as often as its reader likes, and every look at an order that
is being paid hands the order on. Its channel is called for the first; whoever comes meanwhile
waits for the same answer, and whoever comes within :data:`AGAIN_EVERY_S` is given it. What is
older is forgotten, and never more than :data:`AT_MOST` are kept.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from channels.payer_orders import OrderAnswer
from channels.port import Verdict
from domain.clock import Clock

AGAIN_EVERY_S: Final = 1.0
AT_MOST: Final = 10_000
NOT_MADE: Final = OrderAnswer(verdict=Verdict.UNKNOWN)
"""What is known of an order that was not made again."""


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of a channel: when it began, and what it came to."""

    began_s: float
    answer: asyncio.Future[OrderAnswer]


class Repeats:
    """The calls of the last second, by the attempt's id."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._calls: OrderedDict[str, _Call] = OrderedDict()

    def __len__(self) -> int:
        return len(self._calls)

    async def once(
        self, attempt_id: str, make: Callable[[], Awaitable[OrderAnswer]]
    ) -> OrderAnswer:
        """What ``make`` says once it is booked, or said a moment ago."""
        now_s, call = self._clock.monotonic_s(), self._calls.get(attempt_id)
        if call is not None and (not call.answer.done() or now_s - call.began_s < AGAIN_EVERY_S):
            return await asyncio.shield(call.answer)
        call, answer = _Call(now_s, asyncio.get_running_loop().create_future()), NOT_MADE
        self._keep(attempt_id, call)
        try:
            answer = await make()
        finally:
            call.answer.set_result(answer)
        return answer

    def _keep(self, attempt_id: str, call: _Call) -> None:
        calls = self._calls
        calls[attempt_id] = call
        calls.move_to_end(attempt_id)
        while len(calls) > AT_MOST or call.began_s - _first(calls).began_s >= AGAIN_EVERY_S:
            calls.popitem(last=False)


def _first(calls: OrderedDict[str, _Call]) -> _Call:
    return next(iter(calls.values()))
