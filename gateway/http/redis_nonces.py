"""Nonces that every process shares: in Redis, ``SET NX`` with an expiry.

Rules: what Redis cannot remember now is refused. The module is imported only where
Redis is configured: its client takes longer to load than all the rest of a small gateway.
"""

from typing import Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError

from domain.clock import Clock
from domain.errors import Unavailable

_TIMEOUT_S: Final = 2
_MAX_CONNECTIONS: Final = 64
"""To Redis, from one process; more requests than that wait for one of them."""


class RedisNonces:
    """Nonces shared by every process: ``SET NX`` with an expiry."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._clock = clock
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_MAX_CONNECTIONS,
            timeout=_TIMEOUT_S,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
        )
        self._redis: Redis = Redis.from_pool(pool)

    async def use(self, key_id: str, nonce: str, until_s: int) -> bool:
        """See :class:`gateway.http.nonces.Nonces`."""
        left_s = max(1, until_s - self._clock.now_ms() // 1000 + 1)
        try:
            kept = await self._redis.set(
                f"posgate:nonce:{key_id}:{nonce}", b"1", ex=left_s, nx=True
            )
        except (RedisError, OSError) as error:
            raise Unavailable("the nonce store cannot be reached") from error
        return bool(kept)

    def kept(self) -> int:
        """Redis knows; this process holds none."""
        return 0

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
