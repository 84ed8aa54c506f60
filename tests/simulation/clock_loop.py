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
from typing import Any, TypeVar, TypeVarTuple

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

    def crashes_now(self) -> bool:
        """Count a step; whether the crash comes instead of it."""
        self.steps += 1
        if self.steps_left < 0:
            return False
        self.steps_left -= 1
        if self.steps_left >= 0 or self.on_step is None:
            return False
        self.on_step()
        return True

    def crash_after(self, steps: int, crash: Callable[[], None]) -> None:
        """Call ``crash`` instead of the step that comes after ``steps`` more."""
        self.steps_left, self.on_step = steps, crash


OWNER: contextvars.ContextVar[Owner | None] = contextvars.ContextVar("owner", default=None)


class _Step(asyncio.TimerHandle):
    """A planned step; made and cancelled at a third of what the standard one costs."""

    __slots__ = ()

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
    ) -> None:
        self._when = when
        self._callback = callback
        self._args = args
        self._context = contextvars.copy_context() if context is None else context
        self._cancelled = False

    def cancel(self) -> None:
        self._cancelled = True


class Stuck(Exception):
    """Nothing is ready and nothing is due: somebody waits for ever."""


class ClockLoop(asyncio.AbstractEventLoop):
    """What the gateway needs of an event loop, on a clock of its own."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._ready: deque[_Step] = deque()
        self._timers: list[tuple[float, int, _Step]] = []
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
                if task.done():
                    continue
                coroutine = task.get_coro()
                if isinstance(coroutine, Coroutine):
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
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        handle = _Step(self._now_s, callback, args, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        when = self._now_s + delay
        handle = _Step(when, callback, args, context)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = _Step(when, callback, args, context)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))
        return handle

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
            self._jump(limit_s)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            context = handle._context
            owner = context.get(OWNER)
            if owner is not None and (not owner.alive or owner.crashes_now()):
                continue
            self.steps += 1
            try:
                context.run(handle._callback, *handle._args)
            except Exception as fault:
                self.call_exception_handler({"exception": fault})
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)

    def _jump(self, limit_s: float) -> None:
        """Nothing is ready: go to where the next timer is due."""
        ready, timers = self._ready, self._timers
        if not timers:
            raise Stuck("nothing is ready and nothing is due")
        now_s = max(self._now_s, timers[0][0])
        if now_s > limit_s:
            raise Stuck(f"not done after {limit_s:g} virtual seconds")
        self._now_s = now_s
        while timers and timers[0][0] <= now_s:
            timer = heapq.heappop(timers)[2]
            if not timer._cancelled:
                ready.append(timer)
