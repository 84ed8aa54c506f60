"""Who waits for a payment is woken by what answers it, and by nothing older."""

import asyncio
from dataclasses import fields
from typing import Any

import pytest

from channels.port import PayRequest
from domain.payment import RESTING, Payment, Standing, Status
from gateway.live import Live, is_over, is_settled, is_tellable
from tests.support.payments import sample_order

ORDER = sample_order(1)
REQUEST = PayRequest(order_no="X", amount_fen=1, currency="CNY", subject="", created_at_ms=0)


def at(status: Status, version: int = 2, parked: str = "") -> Payment:
    return Payment(ORDER, Standing(status=status, version=version, parked_reason=parked))


@pytest.fixture
def live() -> Live:
    return Live(at(Status.SUBMITTED, 1), REQUEST)


@pytest.mark.parametrize("status", Status, ids=lambda one: one.value)
def test_what_a_till_can_be_told(status: Status) -> None:
    """Final, held or being undone; a parked one tells nothing ("not paid" could be wrong)."""
    assert is_tellable(at(status)) == (status in RESTING or status is Status.REVERSING)
    assert is_over(at(status)) == (status in RESTING)
    assert is_tellable(at(status, parked="why")) == is_tellable(at(status))
    assert is_settled(at(status, parked="why"))
    assert is_over(at(status, parked="why"))


async def both(live: Live) -> tuple["asyncio.Task[None]", "asyncio.Task[None]"]:
    """One who waits to be told and one who waits for the end."""
    tasks = asyncio.create_task(live.told(60)), asyncio.create_task(live.final(60))
    await asyncio.sleep(0)
    return tasks


async def test_the_end_wakes_everybody(live: Live) -> None:
    told, final = await both(live)
    live.moved(at(Status.SUCCEEDED))
    await asyncio.gather(told, final)


async def test_an_undo_wakes_the_till_only(live: Live) -> None:
    told, final = await both(live)
    live.moved(at(Status.REVERSING))
    await told
    assert not final.done()
    live.moved(at(Status.CLOSED, 3))
    await final


async def test_pending_wakes_nobody(live: Live) -> None:
    told, final = await both(live)
    live.moved(at(Status.PENDING))
    await asyncio.sleep(0)
    assert not told.done()
    assert not final.done()
    live.ended()
    await asyncio.gather(told, final)


async def test_an_older_standing_is_ignored(live: Live) -> None:
    """Late news does not regress what is shown."""
    live.moved(at(Status.SUCCEEDED, 5))
    live.moved(at(Status.PENDING, 4))
    assert live.payment.standing.status is Status.SUCCEEDED


async def test_patience_ends(live: Live) -> None:
    """Nobody waits longer than asked; an ended or finished one is not waited for at all."""
    await live.final(0)
    live.ended()
    await live.told(60)
    await live.final(60)


async def test_one_who_leaves_takes_nobody_along(live: Live) -> None:
    """A cancelled waiter is forgotten, the other is woken."""
    told, final = await both(live)
    told.cancel()
    await asyncio.gather(told, return_exceptions=True)
    live.moved(at(Status.FAILED))
    await final


async def test_a_claim_is_waited_for(live: Live) -> None:
    """However many ask; the answer stays."""
    waiting = [asyncio.create_task(live.is_claimed()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    live.claim_ended(claimed=True)
    assert await asyncio.gather(*waiting) == [True, True, True]
    assert await live.is_claimed()


async def test_a_refused_claim_is_known_for_ever(live: Live) -> None:
    live.claim_ended(claimed=False)
    assert not await live.is_claimed()


def test_a_request_shows_no_code_when_printed() -> None:
    """What a live payment holds in memory is not in its text."""
    request: Any = PayRequest(
        order_no="X", amount_fen=1, currency="CNY", subject="s", created_at_ms=0,
        auth_code="280000000000000001",
    )  # fmt: skip
    assert any(one.name == "auth_code" for one in fields(request))
    assert "28000" not in repr(request)
    assert "28000" not in repr(Live(at(Status.SUBMITTED), request))
