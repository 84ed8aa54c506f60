"""Look-ups of a busy code, shared: who comes while one is under way waits for the next.

Rules: the answer that a request gets was asked for after the request came, so that a code
that is disabled stops at once; between one look-up and the next any number of requests share
one question to the store. Nothing is kept once nobody waits. A request that goes away takes
nothing from the others.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

_Found = TypeVar("_Found")


class SharedLookups(Generic[_Found]):
    """Around ``find``; a fault of it is every waiting one's."""

    def __init__(self, find: Callable[[str], Awaitable[_Found]]) -> None:
        self._find = find
        self._under_way: dict[str, asyncio.Task[_Found]] = {}
        self._next: dict[str, asyncio.Task[_Found]] = {}

    async def find(self, key: str) -> _Found:
        """What ``key`` stands for now."""
        under_way = self._under_way.get(key)
        if under_way is None:
            task = asyncio.ensure_future(self._look(key))
            self._under_way[key] = task
        else:
            task = self._next.get(key) or asyncio.ensure_future(self._look_after(under_way, key))
            self._next[key] = task
        return await asyncio.shield(task)

    async def _look(self, key: str) -> _Found:
        try:
            return await self._find(key)
        finally:
            if key not in self._next:
                del self._under_way[key]

    async def _look_after(self, before: asyncio.Task[_Found], key: str) -> _Found:
        await asyncio.wait((before,))
        self._under_way[key] = self._next.pop(key)
        return await self._look(key)
