"""An account's day settled with its channel's host: both sides' totals of each batch, kept.

Rules:

* Towards the host we are the terminal: what we told stands as the terminal's side of a
  kept batch, the host's own totals as the host's, under ``account:`` and the account's name
  in the merchant's place. A difference is kept with it, where reconciliation and
  ``posgate batches`` read it. Nothing is moved by it.
* A batch with something that is not over yet is not settled: it would differ for nothing.
* Settling again says the same again; other totals begin another comparison.
* A host that counts to 999 tells more as 999: amounts tell the rest.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from channels.host_settlement import HostBatch, HostSettlement, HostSilent, HostTotals
from gateway.store.batch_records import (
    Batch,
    BatchDifference,
    BatchKey,
    BatchState,
    BatchTotals,
    DifferenceKind,
    Sums,
)
from gateway.store.port import Store

OWNER: Final = "account:"
"""What the key of a link's batch begins with; no merchant's number has a colon."""


class SettledAs(enum.Enum):
    """What became of a batch."""

    EQUAL = "equal"
    DIFFERENT = "different"
    OPEN = "open"
    """Something in it is not over: later."""
    SILENT = "silent"
    """The host gave no answer that counts: later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """One batch, both sides, in fen; ``host`` is ``None`` where it said nothing."""

    batch: HostBatch
    outcome: SettledAs
    ours: HostTotals
    host: HostTotals | None = None
    detail: str = ""


async def settle_day(
    store: Store, account_id: str, ability: HostSettlement, at_ms: int, now_ms: int
) -> Sequence[Settled]:
    """Settle every batch of a Beijing day that has anything in it, the first one in any case."""
    settled: list[Settled] = []
    for batch in ability.host_batches(at_ms):
        sums, still_open = await store.link_totals(account_id, batch.prefix)
        ours = _told(sums)
        if settled and ours == HostTotals() and not still_open:
            break
        if still_open:
            detail = f"{still_open} not over yet"
            settled.append(Settled(batch=batch, outcome=SettledAs.OPEN, ours=ours, detail=detail))
            continue
        settled.append(await _settle(store, account_id, ability, batch, ours, now_ms))
    return settled


async def _settle(
    store: Store,
    account_id: str,
    ability: HostSettlement,
    batch: HostBatch,
    ours: HostTotals,
    now_ms: int,
) -> Settled:
    try:
        word = await ability.settle_batch(batch, ours)
    except HostSilent as why:
        return Settled(batch=batch, outcome=SettledAs.SILENT, ours=ours, detail=str(why))
    host = word.totals
    if ours.counts_at_most(word.counts_to) == host.counts_at_most(word.counts_to):
        host = ours  # what the wire could not count is the same, too
    await _keep(
        store, BatchKey(OWNER + account_id, batch.terminal_id, batch.batch_no), ours, host, now_ms
    )
    outcome = SettledAs.EQUAL if host == ours else SettledAs.DIFFERENT
    return Settled(batch=batch, outcome=outcome, ours=ours, host=host)


async def _keep(
    store: Store, key: BatchKey, ours: HostTotals, host: HostTotals, now_ms: int
) -> None:
    """The comparison beside what was compared before; a later one of the same totals adds none."""
    said, answered = BatchTotals(_sums(ours)), BatchTotals(_sums(host))
    known = await store.batch(key)
    first = Batch(
        key=key,
        version=1,
        state=BatchState.CLOSED,
        settlement_no=1,
        settled_at_ms=now_ms,
        terminal=said,
        host=answered,
        closed_at_ms=now_ms,
    )
    if known is not None and (known.terminal, known.host) == (said, answered):
        return
    kept = first
    if known is not None:
        kept = replace(first, version=known.version + 1, settlement_no=known.settlement_no + 1)
    differences = []
    if said != answered:
        differences.append(
            BatchDifference(
                key=key,
                settlement_no=kept.settlement_no,
                trace="",
                kind=DifferenceKind.TOTALS_DIFFER,
                terminal_fen=said.net_fen,
                host_fen=answered.net_fen,
                payment_id="",
                at_ms=now_ms,
            )
        )
    await store.save_batch(kept, differences)


def _told(sums: Sums) -> HostTotals:
    return HostTotals(
        debit_fen=sums.debit_fen,
        debit_count=sums.debit_count,
        credit_fen=sums.credit_fen,
        credit_count=sums.credit_count,
    )


def _sums(totals: HostTotals) -> Sums:
    return Sums(
        debit_fen=totals.debit_fen,
        debit_count=totals.debit_count,
        credit_fen=totals.credit_fen,
        credit_count=totals.credit_count,
    )
