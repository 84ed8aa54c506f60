"""The simulated card host alone in a process: ``python -m benchmarks.card_link_host READY``.

Rules: it is the sandbox's own (``sandbox/unionpay_host.py``) on its own connections; every
answer is late by a random part of ``REORDER_MS``, so that answers overtake each other. It
forgets its books each time they are full: money is not what is measured.
"""

import asyncio
import os
import random
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import orjson
import uvloop

from sandbox import unionpay_host
from sandbox.card_books import CardBooks
from sandbox.card_state import CardState
from sandbox.config import CardHostConfig, CardLink
from sandbox.connection import CardConnection, Connections
from sandbox.effects import Effect

LINK: Final = CardLink(
    merchant_id="898000000000001", terminal_id="77000001", tmk=bytes(range(1, 17))
)
REORDER_MS: Final = 4
_BOOKS: Final = 200_000


def _host() -> partial[Effect]:
    state = CardState(CardHostConfig(links=(LINK,)), max_orders=2 * _BOOKS, random_bytes=os.urandom)
    return partial(_answer, state, random.Random(1).random)


def _answer(state: CardState, draw: Callable[[], float], payload: bytes) -> Effect:
    if state.serial % _BOOKS == 0:
        state.books = CardBooks(2 * _BOOKS)
    message = unionpay_host.read_request(payload)
    effect = unionpay_host.handle(payload, message, state, time.time_ns() // 1_000_000)
    late_ms = int(draw() * (REORDER_MS + 1))
    return Effect(effect.answer, effect.close, late_ms) if late_ms else effect


async def serve(ready: Path) -> None:
    """Listen until the process is ended; ``ready`` gets the port."""
    respond, connections = _host(), Connections(64)
    server = await asyncio.get_running_loop().create_server(
        lambda: CardConnection(respond, connections, 2048), "127.0.0.1", 0
    )
    part = ready.with_suffix(".part")
    part.write_bytes(orjson.dumps({"port": server.sockets[0].getsockname()[1]}))
    part.rename(ready)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])))
