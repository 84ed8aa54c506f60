"""The third leg of a night: terminals' batch totals beside what our books hold for them.

Rules: a batch belongs to the Beijing day that it was settled on. What its settlement and
its upload found to differ (kept when it was found) becomes a difference of the day, in a
night of its own that waits for no channel; a batch that agrees leaves nothing.
"""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Final

from domain.clock import Clock
from gateway.store.batch_records import Batch, BatchDifference
from gateway.store.port import Store
from reconciliation.days import BusinessDay
from reconciliation.differences import MEANINGS, Difference, DifferenceKind
from reconciliation.job import CURRENCY
from reconciliation.night_records import (
    DifferenceState,
    Night,
    NightState,
    StoredDifference,
    difference_id,
)
from reconciliation.night_store import every_difference

BATCHES: Final = "pos-batches"
"""The account under which this night is kept; no channel account may have its name."""
_PAGE: Final = 500
_DAY: Final = BusinessDay(begins_h=0, due_h=0)


async def match_batches(store: Store, clock: Clock, day: date) -> Night:
    """The night of ``day``; done already, it stays as it is."""
    night = await store.night(BATCHES, day)
    if night is not None and night.state is NightState.DONE:
        return night
    now_ms = clock.now_ms()
    counts = {"lines": 0, "pairs": 0}
    differences: list[StoredDifference] = []
    async for batch in _settled(store, day):
        counts["lines"] += 1
        found = [_stored(day, one, now_ms) async for one in _differences(store, batch)]
        counts["pairs"] += not found
        differences += found
    totals = {**counts, "waiting": 0, "differences": {}}
    if differences:
        totals["differences"] = {DifferenceKind.BATCH_TOTAL.value: len(differences)}
    matched = Night(
        account_id=BATCHES,
        day=day,
        version=1 if night is None else night.version + 1,
        state=NightState.MATCHED,
        totals_json=json.dumps(totals, sort_keys=True),
        updated_at_ms=now_ms,
    )
    await store.save_match(matched, differences, ())
    done = replace(matched, version=matched.version + 1, state=NightState.DONE)
    await store.save_night(done)
    return await store.night(BATCHES, day) or done


async def _settled(store: Store, day: date) -> AsyncIterator[Batch]:
    window = _DAY.start_ms(day), _DAY.start_ms(day + timedelta(days=1))
    last: Batch | None = None
    while page := await store.settled_batches(*window, last, _PAGE):
        for batch in page:
            yield batch
        last = page[-1]


async def _differences(store: Store, batch: Batch) -> AsyncIterator[BatchDifference]:
    last: BatchDifference | None = None
    while page := await store.differences_of_batch(batch.key, last, _PAGE):
        for found in page:
            yield found
        last = page[-1]


def _stored(day: date, found: BatchDifference, now_ms: int) -> StoredDifference:
    key = found.key
    difference = Difference(
        kind=DifferenceKind.BATCH_TOTAL,
        day=day,
        order_no=f"{key.merchant_no}-{key.terminal_id}-{key.batch_no:06d}"[:64],
        refund_no=f"{found.trace or 'batch'}:{found.kind.value}",
        ours_fen=found.host_fen,
        theirs_fen=found.terminal_fen,
        subject=found.payment_id,
    )
    return StoredDifference(
        id=difference_id(BATCHES, difference),
        account_id=BATCHES,
        channel="pos",
        currency=CURRENCY,
        found=difference,
        opened_at_ms=now_ms,
        version=1,
        state=DifferenceState.OPEN,
        repair=MEANINGS[difference.kind].repair,
    )


async def day_differences(store: Store, nights: Sequence[Night]) -> list[StoredDifference]:
    """Every difference of these nights."""
    found: list[StoredDifference] = []
    for night in nights:
        found += [one async for one in every_difference(store, night.account_id, night.day)]
    return found
