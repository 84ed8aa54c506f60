"""Many terminals that sign in and stay: ``python -m benchmarks.crowd SPEC``, one process.

It says ``{"terminals": n}``, then carries out one command per line of standard input:
``{"arrive": {}}`` connects and signs in all of them and answers with figures once every
one has its answer, ``{"speak": {}}`` has each send a message with a MAC and does the same,
``{"leave": {}}`` hangs all up at once. It ends with its input.

Rules: sign-ins are built before the clock starts and judged after it stopped, whole:
approval, terminal, working keys and their check values. No more than a few hundred
connections are being opened at a time, as a network would have it.
"""

import asyncio
import contextlib
import gc
import resource
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import orjson
import uvloop

from gateway.cli.installation import POS_MERCHANT_ID
from gateway.cli.terminal_client import TerminalPlace, TerminalSecurity
from pos_protocol.codec import Message, encode_with_mac
from pos_protocol.framing import frame
from pos_protocol.terminal import Request, Terminal, TerminalIdentity

_AT_ONCE: Final = 400
_PATIENCE_S: Final = 120.0
_MOST_REASONS: Final = 5
_APPROVED: Final = "00"
_INCOMPLETE: Final = "30"


class _Member(asyncio.Protocol):
    """One terminal."""

    __slots__ = (
        "_arrivals",
        "_security",
        "_terminal",
        "answer",
        "is_lost",
        "request",
        "transport",
    )

    def __init__(self, place: TerminalPlace, arrivals: "_Arrivals") -> None:
        identity = TerminalIdentity(terminal_id=place.terminal_id, merchant_id=place.merchant_id)
        self._security = TerminalSecurity(place)
        self._terminal = Terminal(identity, self._security)
        self._arrivals = arrivals
        self.request: Request
        self.answer = b""
        self.is_lost = True
        self.transport: asyncio.Transport | None = None

    def sign_in(self) -> bytes:
        """The next sign-in as it goes on the wire."""
        self.is_lost = False
        return self._ask(self._terminal.sign_in())

    def incomplete_sale(self) -> bytes:
        """A sale with a right MAC that says not how the card was read, as it goes on the wire.

        The gateway finds the terminal, opens its keys, checks the MAC, and refuses.
        """
        whole = self._terminal.qr_sale("289900000000000017", 1990).message
        fields = {number: held for number, held in whole.fields.items() if number not in (22, 64)}
        message = Message(whole.tpdu, whole.header, whole.mti, fields)
        return self._ask(Request(encode_with_mac(message, self._security.mac), message))

    def _ask(self, request: Request) -> bytes:
        self.request, self.answer = request, b""
        return frame(request.payload)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def send(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        self.answer += data
        if len(self.answer) >= 2 and len(self.answer) - 2 >= int.from_bytes(self.answer[:2]):
            self._arrivals.one_more()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport, self.is_lost = None, True

    def judge(self, expected: str) -> str:
        """``""`` for a believable answer with that F39 on a connection that stands."""
        if not self.answer:
            return "no answer"
        outcome = self._terminal.read(self.request, self.answer[2:])
        if self.is_lost:
            return "hung up on"
        if outcome.fault is None and outcome.response_code == expected:
            return ""
        return outcome.detail or f"F39 {outcome.response_code}"


def _same(member: _Member) -> _Member:
    return member


class _Arrivals:
    """Counts answers up to all of them."""

    def __init__(self) -> None:
        self.missing = 0
        self.all_here = asyncio.Event()

    def expect(self, count: int) -> None:
        self.missing = count
        self.all_here.clear()

    def one_more(self) -> None:
        self.missing -= 1
        if not self.missing:
            self.all_here.set()


class _Crowd:
    """All of them."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._host, self._port = spec["host"], spec["port"]
        self._arrivals = _Arrivals()
        self.members = [
            _Member(
                TerminalPlace(
                    host=self._host,
                    port=self._port,
                    merchant_id=POS_MERCHANT_ID,
                    terminal_id=keys["terminal_id"],
                    tmk=bytes.fromhex(keys["tmk"]),
                ),
                self._arrivals,
            )
            for keys in spec["terminals"]
        ]

    async def arrive(self) -> dict[str, Any]:
        """Connect and sign in, everybody at once."""
        waiting = iter([(member, member.sign_in()) for member in self.members])
        refused: Counter[str] = Counter()

        async def connect() -> None:
            loop = asyncio.get_running_loop()
            for member, data in waiting:
                try:
                    await loop.create_connection(partial(_same, member), self._host, self._port)
                except OSError as fault:
                    refused[type(fault).__name__] += 1
                    continue
                member.send(data)

        async def everybody() -> None:
            await asyncio.gather(*(connect() for _ in range(_AT_ONCE)))

        figures = await self._timed(everybody, _APPROVED)
        figures["reasons"] |= refused
        return figures

    async def speak(self) -> dict[str, Any]:
        """Send a message with a MAC each."""
        frames = [(member, member.incomplete_sale()) for member in self.members]

        async def everybody() -> None:
            for number, (member, data) in enumerate(frames):
                member.send(data)
                if not number % _AT_ONCE:
                    await asyncio.sleep(0.01)

        return await self._timed(everybody, _INCOMPLETE)

    async def _timed(self, ask: Callable[[], Awaitable[None]], expected: str) -> dict[str, Any]:
        """Ask, wait for all answers, judge them."""
        self._arrivals.expect(len(self.members))
        gc.collect()
        gc.freeze()
        gc.disable()
        began_s = time.monotonic()
        await ask()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                await self._arrivals.all_here.wait()
        took_s = time.monotonic() - began_s
        gc.enable()
        reasons = Counter(member.judge(expected) for member in self.members)
        approved = reasons.pop("", 0)
        return {
            "approved": approved,
            "took_s": round(took_s, 3),
            "errors": reasons.total(),
            "reasons": dict(reasons.most_common(_MOST_REASONS)),
        }

    def leave(self) -> dict[str, Any]:
        """Hang up, everybody at once, as a cut line does."""
        for member in self.members:
            if member.transport is not None:
                member.transport.abort()
        return {"left": len(self.members)}


async def serve(spec: dict[str, Any]) -> None:
    """Obey until the input ends."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    crowd = _Crowd(spec)
    _say({"terminals": len(crowd.members)})
    commands = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        command = orjson.loads(line)
        if "leave" in command:
            _say(crowd.leave())
        else:
            _say(await (crowd.arrive() if "arrive" in command else crowd.speak()))


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(orjson.dumps(answer).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(serve(orjson.loads(Path(sys.argv[1]).read_bytes())))
