"""A keeper of links' keys in memory, with the store's rules (``tests/store/test_link_keys.py``)."""

from dataclasses import dataclass

from channels.kept_keys import KeptKeys
from domain.errors import Unavailable


@dataclass
class _Row:
    version: int = 0
    wrapped: bytes = b""
    made_at_ms: int = 0
    leased_until_ms: int = 0
    leased_by: str = ""


class KeptInMemory:
    """What several links share; ``away`` makes every call fail."""

    def __init__(self) -> None:
        self.away = False
        self._rows: dict[str, _Row] = {}

    def _row(self, name: str) -> _Row:
        if self.away:
            raise Unavailable("the store is away")
        return self._rows.setdefault(name, _Row())

    async def kept_keys(self, name: str) -> KeptKeys | None:
        row = self._row(name)
        if not row.version:
            return None
        return KeptKeys(version=row.version, wrapped=row.wrapped, made_at_ms=row.made_at_ms)

    async def claim_keys(
        self, name: str, version: int, owner: str, now_ms: int, until_ms: int
    ) -> bool:
        row = self._row(name)
        if row.version != version or not (row.leased_until_ms <= now_ms or row.leased_by == owner):
            return False
        row.leased_until_ms, row.leased_by = until_ms, owner
        return True

    async def keep_keys(self, name: str, version: int, wrapped: bytes, now_ms: int) -> bool:
        row = self._row(name)
        if row.version != version:
            return False
        self._rows[name] = _Row(version + 1, wrapped, now_ms)
        return True
