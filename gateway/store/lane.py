"""Group commit: many callers wait, one task commits whatever is waiting.

Rules:

* A caller is woken only after the commit that holds its change.
* Batches begin ``interval_s`` apart at least, so that changes gather meanwhile: a batch costs
  as much whatever is in it. A change that comes after a pause never waits.
* The queue is bounded; beyond it a caller is told ``Unavailable`` at once.
* Two changes with the same key (one payment, one order key, one reply) never share a
  batch: the later one waits for the next, in order.
* A batch that the database refuses is halved until the culprit stands alone, so a
  caller's mistake reaches that caller and nobody else. Nothing was written before a
  refusal, so trying again is safe; after a lost connection it would not be, and
  nothing is.
* A caller that gave up before its batch was taken is dropped; after that, its change
  may be committed without anybody waiting.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import assert_never

from domain.errors import PosgateError, Unavailable
from gateway.logs import Log
from gateway.store.database import Applier, Change, Refused
from gateway.store.port import Advance, Claim, TerminalReply

_Waiting = tuple[Change, "asyncio.Future[bool]"]


def _keys(change: Change) -> tuple[object, ...]:
    """What two changes of one batch must not share."""
    if isinstance(change, Advance):
        guard: object = change.payment_id
        if change.moves is not None:
            return guard, change.moves.checkout.id
    elif isinstance(change, Claim):
        order = change.order
        guard = (order.merchant_no, order.door, order.order_key)
        if change.moves is not None:
            return guard, change.moves.checkout.id
    elif isinstance(change, TerminalReply):
        return ((change.merchant_no, change.key),)
    else:
        assert_never(change)
    reply = change.reply
    return (guard,) if reply is None else (guard, (reply.merchant_no, reply.key))


def one_kind(_change: Change) -> object:
    """One kind for every change."""
    return None


class Lane:
    """A bounded queue of changes and the task that commits them in groups.

    ``kind_of`` says of what kind a change is, where the applier takes one kind per call.
    """

    def __init__(
        self,
        applier: Applier,
        *,
        max_batch: int,
        max_queued: int,
        interval_s: float,
        log: Log,
        kind_of: Callable[[Change], object] = one_kind,
    ) -> None:
        self._applier = applier
        self._max_batch = max_batch
        self._max_queued = max_queued
        self._interval_s = interval_s
        self._next_s = 0.0
        """When the next batch may begin."""
        self._kind_of = kind_of
        self._log = log
        self._queue: deque[_Waiting] = deque()
        self._committing = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def start(self) -> None:
        """Begin committing; needs a running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="store-lane")

    def queued(self) -> int:
        """Changes that wait or are being committed."""
        return len(self._queue) + self._committing

    def submit(self, change: Change) -> asyncio.Future[bool]:
        """Queue a change; the future ends after its commit.

        Raises:
            domain.errors.Unavailable: the queue is full, or the store is closed.
        """
        if self._task is None or self._closing:
            raise Unavailable("the store is not open")
        if len(self._queue) >= self._max_queued:
            raise Unavailable("the store is overloaded: its queue is full")
        future: asyncio.Future[bool] = self._task.get_loop().create_future()
        self._queue.append((change, future))
        if len(self._queue) == 1:  # the committer waits for the first one only
            self._wake.set()
        return future

    async def close(self) -> None:
        """Take nothing more, commit what waits, stop."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
            self._task = None

    async def _run(self) -> None:
        queue, wake = self._queue, self._wake
        while True:
            if not queue:
                if self._closing:
                    return
                wake.clear()
                await wake.wait()
                continue
            await self._gather()
            batch = self._take()
            if queue:  # what had to stay has waited already
                self._next_s = 0.0
            self._committing = len(batch)
            try:
                await self._settle(batch)
            finally:
                self._committing = 0

    async def _gather(self) -> None:
        """Wait until the interval is over, unless a whole batch is there already."""
        loop = asyncio.get_running_loop()
        left_s = self._next_s - loop.time()
        if left_s > 0 and len(self._queue) < self._max_batch and not self._closing:
            await asyncio.sleep(left_s)
        self._next_s = loop.time() + self._interval_s

    def _take(self) -> list[_Waiting]:
        """The next batch; what may not join it goes back to the front, in order."""
        queue, kind_of = self._queue, self._kind_of
        batch: list[_Waiting] = []
        put_back: list[_Waiting] = []
        taken: set[object] = set()
        kind = kind_of(queue[0][0])
        for _ in range(min(len(queue), self._max_batch)):
            waiting = queue.popleft()
            change, future = waiting
            if future.done():
                continue
            keys = _keys(change)
            if taken.isdisjoint(keys) and kind_of(change) is kind:
                batch.append(waiting)
            else:
                put_back.append(waiting)
            taken.update(keys)
        queue.extendleft(reversed(put_back))
        return batch

    async def _settle(self, batch: Sequence[_Waiting]) -> None:
        """Commit a batch and wake its callers; halve it when it is refused."""
        if not batch:
            return
        try:
            outcomes = await self._applier.apply([change for change, _ in batch])
        except Refused as refusal:
            if len(batch) == 1:
                _fail(batch[0], refusal.error)
                return
            middle = len(batch) // 2
            await self._settle(batch[:middle])
            await self._settle(batch[middle:])
        except Unavailable as error:
            for waiting in batch:
                _fail(waiting, Unavailable(error.message))
        except Exception as error:
            # A defect of ours must end neither the committer nor its callers' wait.
            self._log.exception("store_commit_failed", error=type(error).__name__)
            for waiting in batch:
                _fail(waiting, Unavailable("the store failed; it may or may not have committed"))
        else:
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                if not future.done():
                    future.set_result(outcome)


def _fail(waiting: _Waiting, error: PosgateError) -> None:
    future = waiting[1]
    if not future.done():
        future.set_exception(error)
