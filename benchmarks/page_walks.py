"""Payers who walk from their wallet to an order: ``python -m benchmarks.page_walks SPEC``.

It connects, says ``{"payers": n}``, then carries out one command per line of standard
input: ``{"sessions": {}}`` logs everybody in and answers with their cookies, ``{"walk":
{"rate": r, "seconds": s}}`` has r payers a second come back from their wallet's log-in and
press, and answers with figures.

Rules: the log-in at the wallet is done before the clock starts; latency counts from when a
payer was due, over all requests from the wallet's return to the order, and a payer whose
connection is still busy waits for it on the clock.
"""

import asyncio
import gc
import ssl
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import orjson
import uvloop

from benchmarks.payer import Line, Walker, WalkError

_AT_ONCE: Final = 16
_MOST_REASONS: Final = 5


class _Walks:
    """All of them."""

    def __init__(self, spec: dict[str, Any]) -> None:
        tls = ssl.create_default_context(cafile=spec["ca_file"])
        self._walkers = [
            Walker(
                gateway=Line(spec["host"], spec["port"], tls),
                wallet=Line(spec["wallet_host"], spec["wallet_port"]),
                path=spec["path"],
                number=number,
            )
            for number in range(spec["payers"])
        ]

    def __len__(self) -> int:
        return len(self._walkers)

    async def sessions(self) -> dict[str, Any]:
        """Everybody logged in: the cookies."""
        await self._log_in(self._walkers)
        for walker in self._walkers:
            await walker.arrive()
        return {"cookies": [walker.cookie for walker in self._walkers]}

    async def _log_in(self, walkers: list[Walker]) -> None:
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(walker: Walker) -> None:
            async with gate:
                await walker.log_in()

        await asyncio.gather(*(one(walker) for walker in walkers))

    async def walk(self, rate: float, seconds: float) -> dict[str, Any]:
        """Rounds of everybody, each due at its own time, until the seconds are over."""
        reasons: Counter[str] = Counter()
        latencies: list[float] = []
        left = int(rate * seconds)
        while left > 0:
            round_of = self._walkers[:left]
            await self._log_in(round_of)
            gc.collect()
            gc.disable()
            try:
                await self._round(round_of, rate, reasons, latencies)
            finally:
                gc.enable()
            left -= len(round_of)
        latencies.sort()
        approved = reasons.pop("", 0)
        return {
            "orders": approved,
            "p50_ms": _percentile_ms(latencies, 0.5),
            "p99_ms": _percentile_ms(latencies, 0.99),
            "errors": reasons.total(),
            "reasons": dict(reasons.most_common(_MOST_REASONS)),
        }

    async def _round(
        self, walkers: list[Walker], rate: float, reasons: Counter[str], latencies: list[float]
    ) -> None:
        begin_s = time.monotonic() + 0.05

        async def one(number: int, walker: Walker) -> None:
            due_s = begin_s + number / rate
            await asyncio.sleep(due_s - time.monotonic())
            try:
                await walker.order()
                reasons[""] += 1
            except (WalkError, OSError, TimeoutError) as fault:
                reasons[str(fault) or type(fault).__name__] += 1
            latencies.append(time.monotonic() - due_s)

        await asyncio.gather(*(one(number, walker) for number, walker in enumerate(walkers)))


def _percentile_ms(ordered: list[float], share: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 3)


async def serve(spec: dict[str, Any]) -> None:
    """Obey until the input ends."""
    walks = _Walks(spec)
    _say({"payers": len(walks)})
    commands = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        command = orjson.loads(line)
        _say(await (walks.walk(**command["walk"]) if "walk" in command else walks.sessions()))


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(orjson.dumps(answer).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(serve(orjson.loads(Path(sys.argv[1]).read_bytes())))
