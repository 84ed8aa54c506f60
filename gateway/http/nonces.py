"""Each nonce is good once.

Rules: a nonce is remembered at least as long as its timestamp could be accepted;
what cannot be remembered is refused, never forgotten early. In memory for one
process (a restart forgets them, and the idempotency keys still stand); in Redis when
several processes serve one address. Losing Redis refuses requests, it never lets a
replay through.
"""

from collections import deque
from typing import Final, Protocol

import structlog

from domain.clock import Clock
from domain.errors import ConfigurationError, Unavailable
from gateway.logs import Log

_GRAIN_S: Final = 10


class Nonces(Protocol):
    """Where used nonces are kept."""

    async def use(self, key_id: str, nonce: str, until_s: int) -> bool:
        """``False`` when it was used before; kept until the wall time ``until_s``.

        Raises:
            Unavailable: it cannot be remembered.
        """
        ...

    def kept(self) -> int:
        """Nonces held here, for ``/metrics``."""
        ...

    async def ready(self) -> bool:
        """Whether a nonce would be remembered now, for ``/readyz``."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class MemoryNonces:
    """One process's nonces: 64-bit hashes under a per-process secret, in time buckets."""

    def __init__(self, clock: Clock, max_nonces: int) -> None:
        self._clock = clock
        self._max_nonces = max_nonces
        self._used: set[int] = set()
        self._buckets: deque[tuple[int, list[int]]] = deque()

    async def use(self, key_id: str, nonce: str, until_s: int) -> bool:
        """See :class:`Nonces`."""
        now_s = self._clock.now_ms() // 1000
        while self._buckets and self._buckets[0][0] < now_s:
            self._used.difference_update(self._buckets.popleft()[1])
        entry = hash((key_id, nonce))
        if entry in self._used:
            return False
        if len(self._used) >= self._max_nonces:
            raise Unavailable("too many requests within the signature window")
        self._used.add(entry)
        self._bucket(until_s).append(entry)
        return True

    def _bucket(self, until_s: int) -> list[int]:
        """The bucket that ends at or after ``until_s``; ends rise, so a late one waits longer."""
        end_s = until_s + _GRAIN_S
        if self._buckets and self._buckets[-1][0] >= until_s:
            return self._buckets[-1][1]
        self._buckets.append((end_s, []))
        return self._buckets[-1][1]

    def kept(self) -> int:
        """See :class:`Nonces`."""
        return len(self._used)

    async def ready(self) -> bool:
        """See :class:`Nonces`."""
        return True

    async def close(self) -> None:
        """Nothing to let go."""


def make_nonces(url: str, clock: Clock, max_nonces: int, log: Log | None = None) -> Nonces:
    """``memory``, or a ``redis://`` address; ``log`` is where it tells that this is away.

    Raises:
        ConfigurationError: not an address.
    """
    if url == "memory":
        return MemoryNonces(clock, max_nonces)
    from gateway.http.redis_nonces import RedisNonces  # noqa: PLC0415 (only who has Redis pays)

    try:
        return RedisNonces(url, clock, structlog.get_logger() if log is None else log)
    except ValueError:  # its text may hold the address's password
        raise ConfigurationError(
            "http.nonces: not an address of Redis; write redis://HOST:6379/0"
        ) from None
