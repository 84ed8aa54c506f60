"""One follower: what it wants to hear, and what waits for it to be written.

Rules:

* Bounded. Of one payment only the newest message waits; of a store so many messages, and a
  follower that lets more pile up is cut: it comes again and says up to where it heard.
* Nothing here waits for the peer: the feed hands over and goes on, whoever writes takes.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.events.told import Told


@dataclass(frozen=True, slots=True)
class Message:
    """What one follower is told: ``number`` is where it goes on after this one."""

    number: int
    told: Told | None
    """``None``: only where it stands."""


class Follower:
    """A reader of one payment, or of one store (``store_id`` set)."""

    __slots__ = (
        "_is_beat_due",
        "_is_ended",
        "_most_waiting",
        "_taken",
        "_waiting",
        "after",
        "beat_at_s",
        "is_cut",
        "merchant_no",
        "payment_id",
        "store_id",
        "until_s",
    )

    def __init__(
        self,
        *,
        merchant_no: str,
        payment_id: str = "",
        store_id: str = "",
        after: int,
        most_waiting: int,
        until_s: float,
        beat_at_s: float,
    ) -> None:
        """``after`` is the last number that it heard; it is ended after ``until_s``."""
        self.merchant_no = merchant_no
        self.payment_id = payment_id
        self.store_id = store_id
        self.after = after
        self.until_s = until_s
        self.beat_at_s = beat_at_s
        self.is_cut = False
        self._most_waiting = most_waiting
        self._waiting: deque[Message] = deque()
        self._taken: asyncio.Future[None] | None = None
        self._is_beat_due = False
        self._is_ended = False

    def room(self) -> int:
        """How many more messages it takes before it is cut."""
        return self._most_waiting - len(self._waiting)

    def tell(self, message: Message) -> None:
        """Hand a message over; one of a payment takes the place of an older one."""
        if self._is_ended:
            return
        self.after = message.number
        if self.payment_id:
            self._waiting.clear()
        elif len(self._waiting) >= self._most_waiting:
            self.is_cut = True
            self.end()
            return
        self._waiting.append(message)
        self._wake()

    def beat(self) -> None:
        """Let it write a sign of life, if nothing else waits."""
        self._is_beat_due = True
        self._wake()

    def end(self) -> None:
        """Nothing more will come; what waits of one that is not cut is still written."""
        self._is_ended = True
        if self.is_cut:
            self._waiting.clear()
        self._wake()

    async def next(self) -> Sequence[Message] | None:
        """What waits; empty for a sign of life, ``None`` at the end."""
        while True:
            if self._waiting:
                taken = tuple(self._waiting)
                self._waiting.clear()
                self._is_beat_due = False
                return taken
            if self._is_ended:
                return None
            if self._is_beat_due:
                self._is_beat_due = False
                return ()
            self._taken = asyncio.get_running_loop().create_future()
            try:
                await self._taken
            finally:
                self._taken = None

    def _wake(self) -> None:
        if self._taken is not None and not self._taken.done():
            self._taken.set_result(None)
