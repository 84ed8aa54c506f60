"""The load generator, a process of its own: ``python -m benchmarks.load SPEC``.

It connects, says ``{"connected": n}``, then carries out one command per line of
standard input: ``{"prepare": n}`` builds n requests ahead, ``{"window": {…}}`` pays (see
:class:`benchmarks.caller.Window`) and answers with figures. It ends with its input.
"""

import asyncio
import gc
import ssl
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

import orjson
import uvloop

from benchmarks.barcode_till import BarcodeTill
from benchmarks.caller import Caller, Window, finish
from benchmarks.card_till import CardTill, TillKeys, signed_in
from benchmarks.page_till import PageTill
from benchmarks.tills import Till
from channels.shared_buffer import ReadInto, shared_buffer

_AT_ONCE: Final = 16
_MOST_REASONS: Final = 5
Spec = dict[str, Any]


async def _card_tills(spec: Spec) -> list[Till]:
    tills: list[Till] = []
    for number, terminal in enumerate(spec["terminals"]):
        keys = TillKeys(**terminal)
        security = await signed_in(keys, spec["host"], spec["port"])
        tills.append(CardTill(number, keys.terminal_id, security))
    return tills


def _barcode_tills(spec: Spec) -> list[Till]:
    host, secret = f"{spec['host']}:{spec['port']}", spec["secret"].encode()
    return [
        BarcodeTill(
            number,
            host,
            spec["key_id"],
            secret,
            spec["run"],
            spec.get("wait_s"),
            spec.get("orders", 0),
        )
        for number in range(spec["callers"])
    ]


def _page_tills(spec: Spec) -> list[Till]:
    host = f"{spec['host']}:{spec['port']}"
    return [PageTill(host, spec["path"], cookie) for cookie in spec["cookies"]]


async def _tills(spec: Spec) -> list[Till]:
    if spec["door"] == "card":
        return await _card_tills(spec)
    return _page_tills(spec) if spec["door"] == "page" else _barcode_tills(spec)


async def _connect(tills: list[Till], spec: Spec) -> list[Caller]:
    loop, gate = asyncio.get_running_loop(), asyncio.Semaphore(_AT_ONCE)
    tls = ssl.create_default_context(cafile=spec["ca_file"]) if spec.get("ca_file") else None
    buffer = shared_buffer()

    async def one(till: Till) -> Caller:
        caller = Caller(till)
        protocol = caller if tls is None else ReadInto(buffer, caller)
        async with gate:
            await loop.create_connection(lambda: protocol, spec["host"], spec["port"], ssl=tls)
        return caller

    return list(await asyncio.gather(*(one(till) for till in tills)))


def _percentile_ms(ordered: list[float], share: float) -> float:
    if not ordered:
        return 0.0
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 3)


def _figures(callers: list[Caller], window: Window) -> dict[str, Any]:
    """Rate by answers within the window, latency of the requests due within it."""
    reasons: Counter[str] = Counter()
    answered, latencies = 0, []
    for caller in callers:
        for exchange in caller.log:
            reasons[caller.till.judge(exchange.request, exchange.answer)] += 1
            answered += window.measure_s <= exchange.end_s < window.end_s
            if window.measure_s <= exchange.start_s < window.end_s:
                latencies.append(exchange.end_s - exchange.start_s)
        reasons["no answer"] += caller.in_flight
        reasons["not sent in time"] += caller.unsent
    latencies.sort()
    approved = reasons.pop("", 0)
    return {
        "payments": answered,
        "payments_per_s": round(answered / (window.end_s - window.measure_s), 1),
        "p50_ms": _percentile_ms(latencies, 0.5),
        "p99_ms": _percentile_ms(latencies, 0.99),
        "max_ms": _percentile_ms(latencies, 1.0),
        "approved": approved,
        "in_flight": sum(caller.in_flight for caller in callers),
        "errors": reasons.total(),
        "reasons": dict((+reasons).most_common(_MOST_REASONS)),
    }


async def _pay(callers: list[Caller], window: Window) -> dict[str, Any]:
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        for caller in callers:
            caller.begin(window, len(callers))
        await finish(callers, window)
    finally:
        gc.enable()
        gc.unfreeze()
    return _figures(callers, window)


async def serve(spec: Spec) -> None:
    """Connect, then obey until the input ends."""
    callers = await _connect(await _tills(spec), spec)
    _say({"connected": len(callers)})
    commands = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        command = orjson.loads(line)
        if "prepare" in command:
            for caller in callers:
                caller.prepare(command["prepare"] // len(callers) + 1)
            _say({"prepared": command["prepare"]})
        else:
            _say(await _pay(callers, Window(**command["window"])))
    for caller in callers:
        caller.close()


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(orjson.dumps(answer).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(serve(orjson.loads(Path(sys.argv[1]).read_bytes())))
