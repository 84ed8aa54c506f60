"""Settling a day with a channel that counts along: an ability, small and of its own.

Rules: a channel has it by having the methods of :class:`HostSettlement` (as
``channels.port.Refunds``); ask :func:`host_settlement_of`. Nothing moves by it: both sides
say what a batch came to, and who asked compares. Repeated, it says the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class HostTotals:
    """Sums in fen and counts of one batch; credits are voids and refunds."""

    debit_fen: int = 0
    debit_count: int = 0
    credit_fen: int = 0
    credit_count: int = 0

    def counts_at_most(self, most: int) -> "HostTotals":
        """As a wire that counts to ``most`` tells it."""
        return HostTotals(
            debit_fen=self.debit_fen,
            debit_count=min(self.debit_count, most),
            credit_fen=self.credit_fen,
            credit_count=min(self.credit_count, most),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HostBatch:
    """One batch of a day; the numbers of its orders and returns begin with ``prefix``."""

    terminal_id: str
    batch_no: int
    prefix: str


@dataclass(frozen=True, slots=True)
class HostWord:
    """What the host says of a batch; ``agrees`` is its own judgement of what it was told.

    ``counts_to`` is where its counts end: more is told as that many.
    """

    totals: HostTotals
    agrees: bool
    counts_to: int


class HostSilent(Exception):
    """No answer that can be believed; the text says why. Ask again later."""


@runtime_checkable
class HostSettlement(Protocol):
    """A channel whose host settles batches."""

    def host_batches(self, at_ms: int) -> Sequence[HostBatch]:
        """The batches of the Beijing day of ``at_ms``, whether anything is in them or not."""
        ...

    async def start_settling(self) -> None:
        """Open what settling needs in the place of ``start``; no other process notices it."""
        ...

    async def settle_batch(self, batch: HostBatch, ours: HostTotals) -> HostWord:
        """Tell our totals of a batch and hear the host's; raises :class:`HostSilent`."""
        ...


def host_settlement_of(channel: object) -> HostSettlement | None:
    """The ability of a channel, if it has it."""
    return channel if isinstance(channel, HostSettlement) else None
