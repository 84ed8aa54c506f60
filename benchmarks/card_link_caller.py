"""One process with one card account: ``python -m benchmarks.card_link_caller PORT …``.

Rules: what is counted is a whole call of the adapter as the gateway makes it: build, MAC,
frame, send, match, decode, check. ``callers`` sales are in flight all the time. CPU time is
this process's own over the measured stretch; a pair that is not approved is an error.
"""

import asyncio
import sys
import time
from dataclasses import dataclass
from typing import Final

import orjson
import uvloop

from benchmarks.card_link_host import LINK
from channels.card import CardData, TerminalPin
from channels.port import Channel, ChannelAccount, ChannelServices, PayRequest, Verdict
from channels.tcp import connect
from channels.unionpay.plugin import CARD_PLUGIN
from gateway.sources import RandomIds, SystemClock
from signing.pos import CipherKey, encrypt_pin_block

_PAN: Final = "9900000000000010"
_PIN: Final = "123456"
_PIK: Final = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")


@dataclass(slots=True)
class Count:
    """What the callers did."""

    pairs: int = 0
    errors: int = 0


async def _no_send(_: object) -> object:
    raise NotImplementedError


def account_at(port: int, connections: int, callers: int) -> Channel:
    """The adapter, built as the gateway builds it; its numbers are in memory."""
    given = {"next": time.time_ns() // 100_000 % 10**11}  # other numbers than the run before

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
        count.pairs += 1
        count.errors += answer.verdict is not Verdict.SUCCEEDED


async def measure(
    port: int, connections: int, callers: int, seconds: float, *, with_pin: bool
) -> dict[str, float]:
    """Warm up, then one stretch."""
    channel = account_at(port, connections, callers)
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
        "errors": count.errors,
    }


def main() -> None:
    """Measure as told and print the figures."""
    port, connections, callers = (int(text) for text in sys.argv[1:4])
    seconds, with_pin = float(sys.argv[4]), sys.argv[5] == "pin"
    figures = uvloop.run(measure(port, connections, callers, seconds, with_pin=with_pin))
    sys.stdout.buffer.write(orjson.dumps(figures) + b"\n")


if __name__ == "__main__":
    main()
