"""Order numbers of a card link, reserved in blocks; the link's batches are days.

Rules:

* A number is handed out once for ever; blocks are reserved durably, so a crash loses
  numbers and never repeats one. Handing out is synchronous and makes no store call; the
  next block is fetched while half of the current one is left.
* The batch of a number tells its day in Beijing, so that a day can be settled with the
  host (``card_settlement.py``). A day has 27 batches of 999,999 traces, and the days
  come round after 101 years.
* A day that has used all of its numbers sells no more by this account: the next one would be
  the next day's first, and sent twice. Another account, with a terminal number of its own, has
  its own.
* A new day's numbers are used as soon as its first block is reserved; until then the
  last ones of the day before are, for no sale waits for midnight.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from channels.port import TakeSequence
from channels.unionpay.card_wire import order_number
from domain.clock import Clock
from domain.errors import Unavailable

BLOCK: Final = 2_000
RETRY_S: Final = 1.0
BATCHES_OF_A_DAY: Final = 27
_DAYS: Final = 999_999 // BATCHES_OF_A_DAY
_TRACES: Final = 999_999
NUMBERS_OF_A_DAY: Final = BATCHES_OF_A_DAY * _TRACES
_DAY_MS: Final = 86_400_000
_BEIJING_MS: Final = 8 * 3_600_000


def day_of(at_ms: int) -> int:
    """The day in Beijing, counted from 1 January 1970."""
    return (at_ms + _BEIJING_MS) // _DAY_MS


def batches_of(day: int) -> range:
    """The batches (60.2) of a day, as numbers."""
    first = day % _DAYS * BATCHES_OF_A_DAY + 1
    return range(first, first + BATCHES_OF_A_DAY)


@dataclass(frozen=True, slots=True)
class _Block:
    """Reserved numbers from ``first`` on, of one day."""

    day: int
    first: int


class OrderNumbers:
    """The numbers of one terminal of ours at a card host."""

    def __init__(
        self, name: str, terminal_id: str, take_sequence: TakeSequence, clock: Clock
    ) -> None:
        self._name = name
        self._terminal_id = terminal_id
        self._take_sequence = take_sequence
        self._clock = clock
        self._day = 0
        self._offset = 0
        """Where the day's numbers begin among all that :func:`order_number` counts."""
        self._next = 0
        self._end = 0
        self._spare: _Block | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._spent_day = -1
        """The day, if any, that has no more numbers."""

    @property
    def available(self) -> bool:
        """Whether :meth:`next` would give a number now."""
        return self._next < self._end or self._spare is not None

    async def start(self) -> None:
        """Reserve the first block; with the store down, go on trying in the background."""
        self._fetch(day_of(self._clock.now_ms()))
        if self._fetching is not None:
            await asyncio.wait({self._fetching}, timeout=RETRY_S)

    async def close(self) -> None:
        """Stop fetching."""
        fetching, self._fetching = self._fetching, None
        if fetching is not None:
            fetching.cancel()
            await asyncio.wait({fetching})

    def next(self) -> str:
        """A fresh number.

        Raises:
            Unavailable: every reserved number is used and the store gave no more yet, or the day
                has none left.
        """
        spare = self._spare
        if self._next >= self._end or (spare is not None and spare.day != self._day):
            if spare is None:
                raise self._none_left()
            self._begin(spare)
        sequence = self._next
        self._next += 1
        today = day_of(self._clock.now_ms())
        if self._end - self._next <= BLOCK // 2 or today != self._day:
            self._fetch(today)
        return order_number(self._terminal_id, self._offset + sequence)

    def _none_left(self) -> Unavailable:
        today = day_of(self._clock.now_ms())
        self._fetch(today)
        if today == self._spent_day:
            return Unavailable(f"all {NUMBERS_OF_A_DAY:,} order numbers of today are used")
        return Unavailable("no order numbers are reserved: the store does not answer")

    def _begin(self, block: _Block) -> None:
        self._spare = None
        self._day, self._next, self._end = block.day, block.first, block.first + BLOCK
        self._offset = (batches_of(block.day).start - 1) * _TRACES

    def _fetch(self, today: int) -> None:
        """Have a block of today's in reserve, unless there is one or it is on its way."""
        spare = self._spare
        if spare is not None and spare.day == today:
            return
        if self._fetching is not None and not self._fetching.done():
            return
        self._fetching = asyncio.get_running_loop().create_task(self._reserve())

    async def _reserve(self) -> None:
        while True:
            day = day_of(self._clock.now_ms())
            if day == self._spent_day:
                await asyncio.sleep(RETRY_S)
                continue
            try:
                first = await self._take_sequence(f"{self._name}:{day}", BLOCK)
            except Unavailable:
                await asyncio.sleep(RETRY_S)
                continue
            if first + BLOCK > NUMBERS_OF_A_DAY:
                self._spent_day = day
                continue
            self._spare = _Block(day, first)
            return
