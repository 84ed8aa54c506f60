"""One process with one card account: ``python -m benchmarks.card_link_caller PORT …``.

Rules: what is counted is a whole call of the adapter as the gateway makes it: build, MAC,
frame, send, match, decode, check. ``callers`` sales are in flight all the time. CPU time is
this process's own over the measured stretch; a pair that is not approved is an error, counted
by what the host said. Numbers begin where the starter says: a number that another window used
would be a repeat to the host, answered from its books or refused (94).
"""

import asyncio
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import orjson
import uvloop

from benchmarks.card_link_host import LINK
from channels.card import CardData, TerminalPin
from channels.port import Answer, Channel, ChannelAccount, ChannelServices, PayRequest, Verdict
from channels.tcp import connect
from channels.unionpay.plugin import CARD_PLUGIN
from gateway.sources import RandomIds, SystemClock
from signing.pos import CipherKey, encrypt_pin_block

_PAN: Final = "9900000000000010"
_PIN: Final = "123456"
_PIK: Final = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")


@dataclass(slots=True)
class Count:
    """What the callers did; ``refused`` is what came instead of an approval, by F39."""

    pairs: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def add(self, answer: Answer) -> None:
        """One more pair."""
        self.pairs += 1
        if answer.verdict is not Verdict.SUCCEEDED:
            self.refused[answer.channel_code or answer.verdict.value] += 1


async def _no_send(_: object) -> object:
    raise NotImplementedError


def account_at(port: int, connections: int, callers: int, first: int) -> Channel:
    """The adapter, built as the gateway builds it; its numbers are in memory, from ``first``."""
    given = {"next": first}

    async def take(_: str, count: int) -> int:
        first, given["next"] = given["next"], given["next"] + count
        return first

    settings = {
        "host": "127.0.0.1",
        "port": str(port),
        "merchant_id": LINK.merchant_id,
        "terminal_id": LINK.terminal_id,
        "connections": str(connections),
        "max_in_flight": str(callers),
    }
    return CARD_PLUGIN.build(
        ChannelAccount(
            account_id="bench",
            channel="unionpay_card",
            settings=settings,
            secrets={"tmk": LINK.tmk.hex().encode()},
        ),
        ChannelServices(
            clock=SystemClock(),
            ids=RandomIds(),
            send=_no_send,  # type: ignore[arg-type]  # a card link sends no HTTP
            connect=connect,
            take_sequence=take,
        ),
    )


def _card(*, with_pin: bool) -> CardData:
    pin = None
    if with_pin:
        key = CipherKey(_PIK)
        pin = TerminalPin(encrypt_pin_block(_PIN, _PAN, key), key, with_pan=True)
    return CardData(
        pan=_PAN,
        entry_mode="021" if with_pin else "022",
        expiry="3012",
        track2=f"{_PAN}=30121010000000000",
        pin=pin,
    )


async def _sell(channel: Channel, card: CardData, count: Count, until_s: float) -> None:
    now_ms = time.time_ns() // 1_000_000
    while time.monotonic() < until_s:
        answer = await channel.pay(
            PayRequest(
                order_no=channel.new_order_no(),
                amount_fen=1990,
                currency="CNY",
                subject="",
                created_at_ms=now_ms,
                card=card,
            )
        )
        count.add(answer)


async def measure(
    port: int, connections: int, callers: int, seconds: float, *, first: int, with_pin: bool
) -> dict[str, object]:
    """Warm up, then one stretch."""
    channel = account_at(port, connections, callers, first)
    await channel.start()
    card, count = _card(with_pin=with_pin), Count()
    warm_s = seconds / 4
    until_s = time.monotonic() + warm_s + seconds
    work = [asyncio.create_task(_sell(channel, card, count, until_s)) for _ in range(callers)]
    await asyncio.sleep(warm_s)
    pairs, cpu_ns, began_s = count.pairs, time.process_time_ns(), time.monotonic()
    await asyncio.sleep(seconds)
    pairs, cpu_ns = count.pairs - pairs, time.process_time_ns() - cpu_ns
    took_s = time.monotonic() - began_s
    await asyncio.gather(*work)
    await channel.close()
    return {
        "pairs_per_s": pairs / took_s,
        "cpu_us": cpu_ns / 1000 / max(1, pairs),
        "refused": dict(count.refused),
    }


def main() -> None:
    """Measure as told and print the figures."""
    port, connections, callers = (int(text) for text in sys.argv[1:4])
    seconds, with_pin, first = float(sys.argv[4]), sys.argv[5] == "pin", int(sys.argv[6])
    work = measure(port, connections, callers, seconds, first=first, with_pin=with_pin)
    figures = uvloop.run(work)
    sys.stdout.buffer.write(orjson.dumps(figures) + b"\n")


if __name__ == "__main__":
    main()
