"""The store's part for who follows payments: tills, stores' screens, cashier software.

Rules: reads alone, and bounded; the rows are written by the changes that they tell of.
Positions are visible in their order: who has read up to one finds no smaller one later.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.store.records import TillEvent


class EventStore(Protocol):
    """What happened, in the order of the commits, and where payments stand."""

    async def till_position(self) -> int:
        """The last position; 0 before the first."""
        ...

    async def till_events(self, after: int, limit: int) -> Sequence[TillEvent]:
        """What came after a position, over all merchants."""
        ...

    async def store_events(
        self, merchant_no: str, store_id: str, after: int, up_to: int, limit: int
    ) -> Sequence[TillEvent]:
        """What came of one store after a position, up to another."""
        ...

    async def payment_versions(self, payment_ids: Sequence[str]) -> Mapping[str, int]:
        """The version that each payment is at; one that is not there is left out."""
        ...
