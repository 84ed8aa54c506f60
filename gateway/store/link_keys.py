"""The working keys of links that processes share (``channels/kept_keys.py``).

Rules: cold and small, the SQL is shared by both engines; a row is made by the first claim and
holds no keys until they are kept. The version guards every change.
"""

from typing import Final

from channels.kept_keys import KeptKeys
from gateway.store.database import Database

_KEPT: Final = "SELECT version, wrapped, made_at_ms FROM link_keys WHERE name = ? AND version > 0"
_CLAIM: Final = (
    "INSERT INTO link_keys (name, version, wrapped, made_at_ms, leased_until_ms, leased_by) "
    "VALUES (?, 0, ?, 0, ?, ?) ON CONFLICT (name) DO UPDATE SET "
    "leased_until_ms = excluded.leased_until_ms, leased_by = excluded.leased_by "
    "WHERE link_keys.version = ? AND (link_keys.leased_until_ms <= ? "
    "OR link_keys.leased_by = excluded.leased_by) RETURNING version"
)
_KEEP: Final = (
    "UPDATE link_keys SET version = version + 1, wrapped = ?, made_at_ms = ?, "
    "leased_until_ms = 0, leased_by = '' WHERE name = ? AND version = ? RETURNING version"
)


class LinkKeys:
    """The store's ``KeyKeeper`` half."""

    _database: Database

    async def kept_keys(self, name: str) -> KeptKeys | None:
        """The keys that were kept last."""
        rows = await self._database.rows(_KEPT, name)
        if not rows:
            return None
        version, wrapped, made_at_ms = rows[0]
        return KeptKeys(version=int(version), wrapped=bytes(wrapped), made_at_ms=int(made_at_ms))

    async def claim_keys(
        self, name: str, version: int, owner: str, now_ms: int, until_ms: int
    ) -> bool:
        """Take the lease."""
        rows = await self._database.rows(_CLAIM, name, b"", until_ms, owner, version, now_ms)
        return bool(rows) and int(rows[0][0]) == version

    async def keep_keys(self, name: str, version: int, wrapped: bytes, now_ms: int) -> bool:
        """Keep new keys and end the lease."""
        return bool(await self._database.rows(_KEEP, wrapped, now_ms, name, version))
