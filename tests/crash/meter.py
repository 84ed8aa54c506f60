"""When payments succeed: how long a restart kept the first one waiting."""

import asyncio
import time


class Meter:
    """Told of every fresh approval; wakes who waits for the next one."""

    def __init__(self) -> None:
        self.approvals = 0
        self._waiting: list[tuple[float, str, asyncio.Future[float]]] = []

    def approved(self, sent_s: float, door: str) -> None:
        """An order that was first sent at ``sent_s`` (monotonic) was just approved."""
        self.approvals += 1
        now_s = time.monotonic()
        for after_s, wanted, future in self._waiting:
            if sent_s >= after_s and wanted in ("", door) and not future.done():
                future.set_result(now_s)
        self._waiting = [waiting for waiting in self._waiting if not waiting[2].done()]

    async def first_after(self, start_s: float, timeout_s: float, door: str = "") -> float:
        """Seconds from ``start_s`` to the first approval of an order sent since, at ``door``.

        Raises:
            TimeoutError: there was none in ``timeout_s``.
        """
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting.append((start_s, door, future))
        async with asyncio.timeout(timeout_s):
            return await future - start_s
