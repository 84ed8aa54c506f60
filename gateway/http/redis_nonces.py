"""Nonces that every process shares: in Redis, ``SET NX`` with an expiry.

Rules: what Redis cannot remember now is refused; that it is away is warned of once, and told
again when it is back. The module is imported only where
Redis is configured: its client takes longer to load than all the rest of a small gateway.
"""

from typing import Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from domain.clock import Clock
from domain.errors import Unavailable
from gateway.logs import Log

_TIMEOUT_S: Final = 2
_MAX_CONNECTIONS: Final = 64
"""To Redis, from one process; more requests than that wait for one of them."""
_FRESH_S: Final = 1.0


class RedisNonces:
    """Nonces shared by every process: ``SET NX`` with an expiry."""

    def __init__(self, url: str, clock: Clock, log: Log) -> None:
        self._clock = clock
        self._log = log
        self._is_up = True
        self._is_ready = True
        self._looked_at_s = -_FRESH_S
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
            raise Unavailable(self._down(error)) from error
        self._up()
        return bool(kept)

    async def ready(self) -> bool:
        """See there; tried once a second at most, however often somebody looks."""
        if self._clock.monotonic_s() - self._looked_at_s >= _FRESH_S:
            self._looked_at_s = self._clock.monotonic_s()
            try:
                # under the nonces' own prefix; written, since a replica that only reads is no help
                await self._redis.set("posgate:nonce:ready", b"1", ex=1)
            except (RedisError, OSError) as error:
                self._is_ready = False
                self._down(error)
            else:
                self._is_ready = True
                self._up()
        return self._is_ready

    def _up(self) -> None:
        if not self._is_up:
            self._is_up = True
            self._log.info("nonce store is back")

    def _down(self, error: Exception) -> str:
        """Warn of the first failure; what is wrong, as a caller may hear it."""
        refuses = isinstance(error, AuthenticationError | ResponseError)
        said = "the nonce store refuses us" if refuses else "the nonce store cannot be reached"
        if self._is_up:
            self._is_up = False
            self._log.warning(
                "nonce store away",
                why=f"{said}: {error}",
                next=(
                    "API requests get 503: give its password in http.nonces, or mend Redis"
                    if refuses
                    else "API requests get 503: start Redis, or mend http.nonces"
                ),
            )
        return said

    def kept(self) -> int:
        """Redis knows; this process holds none."""
        return 0

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
