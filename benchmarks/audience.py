"""Many readers of event streams, and a shop that sells: ``python -m benchmarks.audience SPEC``.

It says ``{"streams": n}``, then carries out one command per line of standard input:
``{"sell": {}}`` makes the payments that half of the readers follow, ``{"listen": {}}`` opens
all streams and answers once each has heard where it stands, ``{"drive": {"seconds": s,
"per_s": r}}`` sells to the stores that the other half follow and refunds a fen of the
followed payments, in turn, and answers with what was heard and when. It ends with its input.

Rules: a reader notes which state of which payment it heard and the wall time of that, and
nothing is judged while the clock runs; requests leave at their times whatever becomes of
the ones before.
"""

import asyncio
import resource
import secrets
import ssl
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson
import uvloop

from signing.merchant import authorization, request_string, sign

_AT_ONCE: Final = 64
_PATIENCE_S: Final = 180.0
_TAIL_S: Final = 2.0
_MOST_REASONS: Final = 5


class _Audience:
    """The readers and their shop."""

    def __init__(self, spec: dict[str, Any], http: aiohttp.ClientSession) -> None:
        self._http = http
        self._base_url: str = spec["base_url"]
        self._key_id, self._secret = spec["key_id"], spec["secret"].encode()
        self.streams: int = spec["streams"]
        self._stores = [f"store-{number}" for number in range(self.streams - self.streams // 2)]
        self._payments: list[str] = []
        self._run = secrets.token_hex(4)
        self._count = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._waiting_for_first = 0
        self._all_here = asyncio.Event()
        self.heard: list[tuple[str, int, float]] = []
        self._moved: set[str] = set()
        self.reasons: Counter[str] = Counter()

    # --- selling

    def _headers(self, method: str, path: str, body: bytes = b"") -> dict[str, str]:
        timestamp, nonce = str(int(time.time())), secrets.token_hex(12)
        message = request_string(method, path, timestamp, nonce, body)
        headers = {
            "Authorization": authorization(
                self._key_id, timestamp, nonce, sign(self._secret, message)
            )
        }
        return headers | ({"Content-Type": "application/json"} if body else {})

    async def _post(self, path: str, body: object) -> Any:
        raw = orjson.dumps(body)
        headers = self._headers("POST", path, raw)
        async with self._http.post(self._base_url + path, data=raw, headers=headers) as answer:
            said = orjson.loads(await answer.read())
            if answer.status != 201:
                self.reasons[f"{answer.status} {said['error']['code']}"] += 1
                return None
            return said

    async def _pay(self, store_id: str) -> str:
        self._count += 1
        body = {
            "merchant_order_no": f"{self._run}-{self._count}",
            "amount": 1990,
            "currency": "CNY",
            "subject": "Benchmark sale",
            "store_id": store_id,
            "method": {"type": "auth_code", "auth_code": f"281188{self._count:012d}"},
        }
        paid = await self._post("/v1/payments", body)
        return "" if paid is None else str(paid["id"])

    async def sell(self) -> dict[str, Any]:
        """The payments that half of the readers follow."""
        numbers = iter(range(self.streams // 2))

        async def some() -> None:
            for _ in numbers:
                self._payments.append(await self._pay("elsewhere"))

        await asyncio.gather(*(some() for _ in range(_AT_ONCE)))
        return self._answer(sold=len(self._payments))

    # --- listening

    async def listen(self) -> dict[str, Any]:
        """Open every stream and wait until each has heard something."""
        paths = [f"/v1/stores/{store_id}/events" for store_id in self._stores]
        paths += [f"/v1/payments/{payment_id}/events" for payment_id in self._payments]
        began_s = time.monotonic()
        self._waiting_for_first = len(paths)
        gate = asyncio.Semaphore(_AT_ONCE)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._read(path, gate)) for path in paths]
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._all_here.wait()
        except TimeoutError:
            self.reasons["a stream that said nothing"] += self._waiting_for_first
        opened = len(paths) - self._waiting_for_first
        return self._answer(opened=opened, took_s=round(time.monotonic() - began_s, 3))

    async def _read(self, path: str, gate: asyncio.Semaphore) -> None:
        await gate.acquire()
        is_first = True
        try:
            headers = self._headers("GET", path)
            async with self._http.get(self._base_url + path, headers=headers) as answer:
                if answer.status != 200:
                    self.reasons[f"stream {answer.status}"] += 1
                    return
                async for line in answer.content:
                    if line.startswith(b"data: "):
                        now_ms = time.time() * 1000
                        said = orjson.loads(line[6:])
                        self.heard.append((said["id"], said["version"], now_ms))
                    if is_first and line.startswith(b"id: "):
                        is_first = False
                        self._one_is_here(gate)
            self.reasons["a stream that ended"] += 1
        except aiohttp.ClientError as fault:
            self.reasons[type(fault).__name__] += 1
        finally:
            if is_first:
                gate.release()

    def _one_is_here(self, gate: asyncio.Semaphore) -> None:
        gate.release()
        self._waiting_for_first -= 1
        if not self._waiting_for_first:
            self._all_here.set()

    # --- both

    async def drive(self, seconds: float, per_s: float) -> dict[str, Any]:
        """Let payments move at a rate; what was heard of them."""
        self.heard, self._moved = [], set()
        tasks: list[asyncio.Task[Any]] = []
        loop = asyncio.get_running_loop()
        began_s = time.monotonic()
        for number in range(int(seconds * per_s)):
            await asyncio.sleep(max(0.0, began_s + number / per_s - time.monotonic()))
            tasks.append(loop.create_task(self._move(number)))
        await asyncio.gather(*tasks)
        await asyncio.sleep(_TAIL_S)
        return self._answer(heard=self.heard, moved=sorted(self._moved))

    async def _move(self, number: int) -> None:
        if number % 2 and self._payments:
            payment_id = self._payments[number // 2 % len(self._payments)]
            body = {"merchant_refund_no": f"{self._run}-{number}-{time.time_ns()}", "amount": 1}
            if await self._post(f"/v1/payments/{payment_id}/refunds", body) is not None:
                self._moved.add(payment_id)
        else:
            payment_id = await self._pay(self._stores[number // 2 % len(self._stores)])
            if payment_id:
                self._moved.add(payment_id)

    def _answer(self, **figures: Any) -> dict[str, Any]:
        reasons, self.reasons = self.reasons, Counter()
        told = dict(reasons.most_common(_MOST_REASONS))
        return {**figures, "errors": reasons.total(), "reasons": told}


async def serve(spec: dict[str, Any]) -> None:
    """Obey until the input ends."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    trust = ssl.create_default_context(cafile=spec["ca_file"])
    connector = aiohttp.TCPConnector(ssl=trust, limit=0)
    no_limit = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=no_limit) as http:
        audience = _Audience(spec, http)
        _say({"streams": audience.streams})
        commands = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
        while line := await commands.readline():
            command = orjson.loads(line)
            if "sell" in command:
                _say(await audience.sell())
            elif "listen" in command:
                _say(await audience.listen())
            else:
                _say(await audience.drive(**command["drive"]))


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(orjson.dumps(answer).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(serve(orjson.loads(Path(sys.argv[1]).read_bytes())))
