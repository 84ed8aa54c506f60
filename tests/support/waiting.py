"""Waiting for what other work brings about, without a figure in any test."""

import asyncio
import inspect
import itertools
from collections.abc import Awaitable, Callable

_PEEK_S = 0.01
_PATIENCE_S = 30


async def eventually(holds: Callable[[], bool | Awaitable[bool]]) -> None:
    """Return as soon as ``holds``; ``TimeoutError`` when it never does."""
    async with asyncio.timeout(_PATIENCE_S):
        for _ in itertools.count():
            said = holds()
            if await said if inspect.isawaitable(said) else said:
                return
            await asyncio.sleep(_PEEK_S)
