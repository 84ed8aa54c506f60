"""Order numbers of a card link, reserved in blocks.

Rules: a number is handed out once for ever; blocks are reserved durably, so a crash
loses numbers and never repeats one. Handing out is synchronous and makes no store
call; the next block is fetched while half of the current one is left.
"""

import asyncio
from typing import Final

from channels.port import TakeSequence
from channels.unionpay.card_wire import order_number
from domain.errors import Unavailable

BLOCK: Final = 2_000
RETRY_S: Final = 1.0


class OrderNumbers:
    """The numbers of one terminal of ours at a card host."""

    def __init__(self, name: str, terminal_id: str, take_sequence: TakeSequence) -> None:
        self._name = name
        self._terminal_id = terminal_id
        self._take_sequence = take_sequence
        self._next = 0
        self._end = 0
        self._spare: int | None = None
        self._fetching: asyncio.Task[None] | None = None

    @property
    def available(self) -> bool:
        """Whether :meth:`next` would give a number now."""
        return self._next < self._end or self._spare is not None

    async def start(self) -> None:
        """Reserve the first block; with the store down, go on trying in the background."""
        self._fetch()
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
            Unavailable: every reserved number is used and the store gave no more yet.
        """
        if self._next >= self._end:
            if self._spare is None:
                self._fetch()
                raise Unavailable("no order numbers are reserved: the store does not answer")
            self._next, self._spare = self._spare, None
            self._end = self._next + BLOCK
        sequence = self._next
        self._next += 1
        if self._end - self._next <= BLOCK // 2:
            self._fetch()
        return order_number(self._terminal_id, sequence)

    def _fetch(self) -> None:
        if self._spare is None and (self._fetching is None or self._fetching.done()):
            self._fetching = asyncio.get_running_loop().create_task(self._reserve())

    async def _reserve(self) -> None:
        while True:
            try:
                self._spare = await self._take_sequence(self._name, BLOCK)
            except Unavailable:
                await asyncio.sleep(RETRY_S)
            else:
                return
