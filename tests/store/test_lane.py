"""Group commit by itself, over an applier that records what it is handed."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
import structlog

from domain.errors import Unavailable, Unprocessable
from gateway.store.database import Change, Refused, not_storable
from gateway.store.lane import Lane
from gateway.store.port import Advance, Claim, TerminalReply
from tests.support.payments import sample_advance, sample_claim, sample_reply

INTERVAL_S = 0.05


class RecordingApplier:
    """Accepts everything, except that it fails on the payments it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[Change]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.failing: dict[str, Exception] = {}

    async def apply(self, changes: Sequence[Change]) -> Sequence[bool]:
        self.batches.append(list(changes))
        await self.gate.wait()
        for change in changes:
            if isinstance(change, Advance) and change.payment_id in self.failing:
                raise self.failing[change.payment_id]
        return [True] * len(changes)


@pytest.fixture
async def applier() -> RecordingApplier:
    return RecordingApplier()


@pytest.fixture
async def lane(applier: RecordingApplier) -> AsyncIterator[Lane]:
    log = structlog.get_logger()
    running = Lane(
        applier, max_batch=8, max_queued=100, interval_s=INTERVAL_S, log=log, kind_of=type
    )
    running.start()
    yield running
    await running.close()


async def test_nobody_is_woken_before_the_commit(lane: Lane, applier: RecordingApplier) -> None:
    """The future ends after the applier returned, not before."""
    applier.gate.clear()
    waiting = lane.submit(sample_claim(1))
    for _ in range(10):
        await asyncio.sleep(0)
    assert applier.batches
    assert not waiting.done()
    assert lane.queued() == 1
    applier.gate.set()
    assert await waiting


async def test_changes_of_one_payment_never_share_a_batch_and_keep_their_order(
    lane: Lane, applier: RecordingApplier
) -> None:
    """Three payments, three versions each, submitted interleaved."""
    waiting = [lane.submit(sample_advance(n, version=v)) for v in (2, 3, 4) for n in range(3)]
    await asyncio.gather(*waiting)
    seen: list[Advance] = []
    for batch in applier.batches:
        advances = [change for change in batch if isinstance(change, Advance)]
        assert len({change.payment_id for change in advances}) == len(batch)
        seen += advances
    for number in range(3):
        mine = [c.standing.version for c in seen if c.payment_id == f"PAY{number:029d}"]
        assert mine == [2, 3, 4]


async def test_the_same_key_or_reply_never_shares_a_batch(
    lane: Lane, applier: RecordingApplier
) -> None:
    """Order keys and reply keys count like payments."""
    changes = [
        sample_claim(1, order_key="k"),
        sample_claim(2, order_key="k"),
        sample_claim(3, reply=sample_reply("r")),
        sample_claim(4, reply=sample_reply("r")),
    ]
    await asyncio.gather(*map(lane.submit, changes))
    assert applier.batches == [[changes[0], changes[2]], [changes[1], changes[3]]]


async def test_one_batch_holds_one_kind_and_no_more_than_its_bound(
    lane: Lane, applier: RecordingApplier
) -> None:
    """Claims and lone replies alternate; max_batch is 8."""
    changes: list[Change] = []
    for number in range(20):
        changes += [sample_claim(number), sample_reply(f"r{number}")]
    await asyncio.gather(*map(lane.submit, changes))
    assert sum(map(len, applier.batches)) == 40
    for batch in applier.batches:
        assert len(batch) <= 8
        assert all(isinstance(c, Claim) for c in batch) or all(
            isinstance(c, TerminalReply) for c in batch
        )


async def test_a_refused_batch_is_halved_to_the_culprit(
    lane: Lane, applier: RecordingApplier
) -> None:
    """Only the culprit gets the error; it alone was never committed."""
    applier.failing["PAY" + "5".zfill(29)] = Refused(not_storable())
    waiting = [lane.submit(sample_advance(n)) for n in range(8)]
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(outcomes.pop(5), Unprocessable)
    assert outcomes == [True] * 7
    assert [len(batch) for batch in applier.batches] == [8, 4, 4, 2, 1, 1, 2]


async def test_an_unknown_outcome_is_told_to_all_and_never_tried_again(
    lane: Lane, applier: RecordingApplier
) -> None:
    """Trying again could write twice."""
    applier.failing["PAY" + "5".zfill(29)] = Unavailable("broken")
    waiting = [lane.submit(sample_advance(n)) for n in range(8)]
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 8
    assert len(applier.batches) == 1


async def test_a_defect_ends_neither_the_lane_nor_the_wait(
    lane: Lane, applier: RecordingApplier
) -> None:
    """An unexpected exception is Unavailable to its batch; the next batch commits."""
    applier.failing["PAY" + "1".zfill(29)] = RuntimeError("defect")
    with pytest.raises(Unavailable):
        await lane.submit(sample_advance(1))
    assert await lane.submit(sample_advance(2))


async def test_a_caller_that_gave_up_while_waiting_is_dropped(
    lane: Lane, applier: RecordingApplier
) -> None:
    """Its change never reaches the applier."""
    applier.gate.clear()
    first = lane.submit(sample_advance(1))
    for _ in range(10):
        await asyncio.sleep(0)
    lane.submit(sample_advance(2)).cancel()
    third = lane.submit(sample_advance(3))
    applier.gate.set()
    assert await first
    assert await third
    assert [len(batch) for batch in applier.batches] == [1, 1]


async def test_changes_gather_between_two_batches_and_the_first_never_waits(
    lane: Lane, applier: RecordingApplier
) -> None:
    """One that comes after a pause is committed at once; what follows shares the next batch."""
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    await lane.submit(sample_advance(1))
    following = [lane.submit(sample_advance(2))]
    for _ in range(10):
        await asyncio.sleep(0)
    following += [lane.submit(sample_advance(3))]
    await asyncio.gather(*following)
    assert [len(batch) for batch in applier.batches] == [1, 2]
    assert loop.time() - begun_s >= INTERVAL_S * 0.9


async def test_neither_a_full_batch_nor_what_had_to_stay_behind_waits(
    applier: RecordingApplier,
) -> None:
    """With an hour between two batches nothing of this would ever end if it waited."""
    log = structlog.get_logger()
    patient = Lane(applier, max_batch=8, max_queued=100, interval_s=3600, log=log, kind_of=type)
    patient.start()
    await asyncio.gather(*(patient.submit(sample_advance(1, version=v)) for v in range(2, 22)))
    await asyncio.gather(*(patient.submit(sample_advance(n)) for n in range(8)))
    assert [len(batch) for batch in applier.batches] == [1] * 20 + [8]
    await patient.close()
