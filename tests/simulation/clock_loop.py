"""An event loop on virtual time: no socket, no thread, no waiting.

Rules:

* When nothing is ready, time jumps to the next timer; with no timer either, the
  simulation is stuck and says so.
* Every step runs in the context that made it, and a context belongs to an *owner*
  (one incarnation of a gateway, or nobody). The step of an owner that has died is
  never run: its tasks stop for ever where they stand, at whatever ``await`` that is.
* The order of steps is the order in which they became ready: the same seed, the same run.
"""

import asyncio
import contextlib
import contextvars
import heapq
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, TypeVar, TypeVarTuple, Unpack

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


class Owner:
    """One incarnation: what runs in its name ends with it."""

    __slots__ = ("alive", "name", "on_step", "steps", "steps_left")

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.steps = 0
        self.steps_left = -1
        """Steps until :attr:`on_step` is called (the crash); -1: never."""
        self.on_step: Callable[[], None] | None = None

    def context(self) -> contextvars.Context:
        """A context whose steps are this owner's."""
        context = contextvars.copy_context()
        context.run(OWNER.set, self)
        return context

    def crash_after(self, steps: int, crash: Callable[[], None]) -> None:
        """Call ``crash`` instead of the step that comes after ``steps`` more."""
        self.steps_left, self.on_step = steps, crash


OWNER: contextvars.ContextVar[Owner | None] = contextvars.ContextVar("owner", default=None)


class Stuck(Exception):
    """Nothing is ready and nothing is due: somebody waits for ever."""


class ClockLoop(asyncio.AbstractEventLoop):
    """What the gateway needs of an event loop, on a clock of its own."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._count = 0
        self._closed = False
        self.steps = 0
        self._tasks: list[asyncio.Task[Any]] = []
        self.faults: list[dict[str, Any]] = []
        """What went to the exception handler: a defect, whoever's it is."""

    def time(self) -> float:
        """Virtual seconds since the start."""
        return self._now_s

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Let whoever still stands at an ``await`` fall: every ``finally`` runs now.

        Whoever's owner is dead must change nothing by that.
        """
        asyncio.events._set_running_loop(self)
        try:
            for task in self._tasks:
                coroutine = task.get_coro()
                if not task.done() and isinstance(coroutine, Coroutine):
                    task._log_destroy_pending = False  # type: ignore[attr-defined]
                    with contextlib.suppress(BaseException):
                        coroutine.close()
        finally:
            asyncio.events._set_running_loop(None)
        self._closed = True
        self._tasks.clear()
        self._ready.clear()
        self._timers.clear()

    def call_soon(
        self,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Nothing: a cancelled timer is dropped when its time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Coroutine[Any, Any, _T] | Generator[Any, None, _T],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[_T]:
        task = asyncio.Task(coro, loop=self, name=name or "task", context=context)
        self._tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.faults.append(context)

    def run(self, work: Awaitable[_T], limit_s: float) -> _T:
        """Run until ``work`` is done.

        Raises:
            Stuck: it cannot be, or is not after ``limit_s`` virtual seconds.
        """
        asyncio.events._set_running_loop(self)
        try:
            task = asyncio.ensure_future(work, loop=self)
            while not task.done():
                self._run_once(limit_s)
            return task.result()
        finally:
            asyncio.events._set_running_loop(None)

    def _run_once(self, limit_s: float) -> None:
        ready, timers = self._ready, self._timers
        if not ready:
            while timers and timers[0][2].cancelled():
                heapq.heappop(timers)
            if not timers:
                raise Stuck("nothing is ready and nothing is due")
            self._now_s = max(self._now_s, timers[0][0])
            if self._now_s > limit_s:
                raise Stuck(f"not done after {limit_s:g} virtual seconds")
            while timers and timers[0][0] <= self._now_s:
                timer = heapq.heappop(timers)[2]
                if not timer.cancelled():
                    ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                self._step(handle)

    def _step(self, handle: asyncio.Handle) -> None:
        owner = handle._context.get(OWNER)  # type: ignore[attr-defined]
        if owner is not None:
            if not owner.alive:
                return
            owner.steps += 1
            if owner.steps_left >= 0:
                owner.steps_left -= 1
                if owner.steps_left < 0 and owner.on_step is not None:
                    owner.on_step()
                    return
        self.steps += 1
        handle._run()
