"""How many requests one host gets at a time, and how many may wait for a place.

Rules: callers are served in the order they came; who waits too long, or finds too many
waiting, is told :class:`NotSent`. Nothing was sent for it.
"""

import asyncio
from collections import deque
from contextlib import suppress

from channels.port import NotSent


class Gate:
    """Counts the requests of one origin; waiting callers are served in order."""

    def __init__(self, in_flight: int, waiting: int, wait_s: float) -> None:
        self._free = in_flight
        self._most_waiting = waiting
        self._wait_s = wait_s
        self._waiting: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Take a place if one is free, so that hardly anybody has to :meth:`enter`."""
        if self._free > 0:
            self._free -= 1
            return True
        return False

    async def enter(self) -> None:
        """Take a place; raises :class:`NotSent` when none comes free in time."""
        if self.take():
            return
        if len(self._waiting) >= self._most_waiting:
            raise NotSent("too many requests wait for this channel")
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(self._wait_s):
                await place
        except (TimeoutError, asyncio.CancelledError) as fault:
            if place.cancelled():
                with suppress(ValueError):
                    self._waiting.remove(place)
            else:
                self.leave()  # it was given to us in the same moment: pass it on
            if isinstance(fault, TimeoutError):
                raise NotSent("the channel's limit of requests in flight is reached") from None
            raise

    def leave(self) -> None:
        """Give the place to the next waiting caller, or back."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._free += 1
