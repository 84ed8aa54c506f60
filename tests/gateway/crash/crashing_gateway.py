"""Gateways that kill themselves at the N-th point of a payment.

A program that imports the product once, then forks a gateway for each line on its
standard input: ``{"config", "ready", "log", "points", "die_at"}``; it prints the pid.
The child is a whole ``bootstrap.Gateway`` whose store, HTTP client and card link are
wrapped by the seams. Its points are the moments before and after each commit, each
request, each write (and the middle of it) and each answer, counted from the first
claim, or from the first payment that recovery takes over. Every point is noted in the
file ``points``; at number ``die_at`` the process kills itself with SIGKILL, so nothing
is flushed, closed or said. Run as ``python -m tests.gateway.crash.crashing_gateway``.
"""

import asyncio
import json
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from channels.port import ByteLink, Connect, HttpRequest, HttpResponse, LinkReceiver, Send
from gateway.bootstrap import Gateway, Seams
from gateway.cli.ready_file import write_atomically
from gateway.config import load
from gateway.sources import SystemClock
from gateway.store.port import (
    Advance,
    Claim,
    Job,
    JobKind,
    RefundAdvance,
    RefundClaim,
    RefundClaimed,
    Store,
    TerminalReply,
)
from tests.gateway.pos.house import until

T = TypeVar("T")


class Points:
    """Counts the points, notes them, and dies at one."""

    def __init__(self, file: str, die_at: int) -> None:
        self._descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._die_at = die_at
        self._count = 0
        self._armed = False

    def arm(self) -> None:
        """Count from now on."""
        self._armed = True

    def reached(self, name: str, last_deed: Callable[[], None] | None = None) -> None:
        """Note a point; ``last_deed`` is done only if it is the one to die at."""
        if not self._armed:
            return
        self._count += 1
        os.write(self._descriptor, f"{name}\n".encode())
        if self._count == self._die_at:
            if last_deed is not None:
                last_deed()
            os.kill(os.getpid(), signal.SIGKILL)

    async def around(self, name: str, work: Callable[[], Awaitable[T]]) -> T:
        """A point before and one after, whatever came of it."""
        self.reached(f"before {name}")
        try:
            return await work()
        finally:
            self.reached(f"after {name}")


class MortalStore:
    """A store whose commits are points."""

    def __init__(self, store: Store, points: Points) -> None:
        self._store = store
        self._points = points

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def claim(self, change: Claim) -> bool:
        self._points.arm()
        return await self._points.around("claim", lambda: self._store.claim(change))

    async def advance(self, change: Advance) -> bool:
        name = f"advance {change.event.value}"
        return await self._points.around(name, lambda: self._store.advance(change))

    async def save_reply(self, reply: TerminalReply) -> bool:
        return await self._points.around("save reply", lambda: self._store.save_reply(reply))

    async def claim_refund(self, change: RefundClaim) -> RefundClaimed:
        self._points.arm()
        return await self._points.around("claim refund", lambda: self._store.claim_refund(change))

    async def advance_refund(self, change: RefundAdvance) -> bool:
        name = f"advance refund {change.event.value}"
        return await self._points.around(name, lambda: self._store.advance_refund(change))

    async def renew(
        self, kind: JobKind, subject: str, due_at_ms: int, fence: int, *, given_back: bool = False
    ) -> bool:
        return await self._points.around(
            "renew lease",
            lambda: self._store.renew(kind, subject, due_at_ms, fence, given_back=given_back),
        )

    async def lease(
        self, kind: JobKind, lane: str, now_ms: int, until_ms: int, limit: int
    ) -> Sequence[Job]:
        found = await self._store.lease(kind, lane, now_ms, until_ms, limit)
        if found and kind is not JobKind.NOTIFY:
            self._points.arm()
            self._points.reached("after lease")
        return found


class MortalLink:
    """A card host's link whose writes and answers are points; receiver and link in one."""

    def __init__(self, receiver: LinkReceiver, points: Points) -> None:
        self._receiver = receiver
        self._points = points
        self.link: ByteLink | None = None

    def received(self, data: bytes) -> None:
        self._points.reached("before answer")
        self._receiver.received(data)
        self._points.reached("after answer")

    def lost(self) -> None:
        self._receiver.lost()

    def write(self, data: bytes) -> None:
        link = self.link
        assert link is not None
        self._points.reached("before write")
        self._points.reached("amid write", lambda: link.write(data[: len(data) // 2]))
        link.write(data)
        self._points.reached("after write")

    def close(self) -> None:
        if self.link is not None:
            self.link.close()


class LateClock(SystemClock):
    """The machine's clock put forward, so that leases of the dead are due at once."""

    def __init__(self, ahead_s: int) -> None:
        self._ahead_ms = 1000 * ahead_s

    def now_ms(self) -> int:
        return super().now_ms() + self._ahead_ms


def seams(points: Points, ahead_s: int) -> Seams:
    """The real things, with points around them."""

    def wrap_send(send: Send) -> Send:
        async def mortal(request: HttpRequest) -> HttpResponse:
            return await points.around("request", lambda: send(request))

        return mortal

    def wrap_connect(connect: Connect) -> Connect:
        async def mortal(host: str, port: int, receiver: LinkReceiver) -> ByteLink:
            link = MortalLink(receiver, points)
            link.link = await connect(host, port, link)
            return link

        return mortal

    def wrap_store(store: Store) -> Store:
        return MortalStore(store, points)

    return Seams(
        clock=LateClock(ahead_s),
        wrap_store=wrap_store,
        wrap_send=wrap_send,
        wrap_connect=wrap_connect,
    )


async def serve(order: dict[str, Any]) -> None:
    """One gateway, until it dies or is killed."""
    points = Points(order["points"], order["die_at"])
    gateway = Gateway(load(Path(order["config"])), seams(points, order["ahead_s"]))
    await gateway.start()
    routes = gateway._routes
    assert routes is not None
    await until(lambda: all(health.ready for health in routes.health().values()))
    write_atomically(Path(order["ready"]), {"pid": os.getpid()})
    await asyncio.Event().wait()


def become_gateway(order: dict[str, Any]) -> None:
    """The child's whole life."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    try:
        asyncio.run(serve(order))
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(1)


def main() -> None:
    """Fork a gateway for each line."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while line := sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            become_gateway(json.loads(line))
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
