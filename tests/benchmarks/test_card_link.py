"""The card link's benchmark: every pair is a sale of its own, and a refusal fails it by name."""

from typing import Any, cast

from benchmarks.card_link import card_link, refusals
from benchmarks.card_link_caller import Count
from benchmarks.postgres import PostgresServer
from benchmarks.windows import Plan
from channels.port import Answer, Verdict


async def test_every_pair_of_every_window_is_an_approval() -> None:
    """Two windows and one with a PIN at one host: no number of the first is the second's."""
    notes: list[str] = []
    plan = Plan(seconds=0.2, windows=2, callers=16)
    figures = await card_link(cast(PostgresServer, None), plan, notes)
    assert (figures["declined"], figures["errors"], notes) == (0, 0, [])
    assert figures["pairs_per_s"] > 0


def test_what_is_no_approval_is_told_by_its_code() -> None:
    count, notes = Count(), list[str]()
    count.add(Answer(verdict=Verdict.SUCCEEDED, channel_code="00"))
    for code in ("94", "94", ""):
        count.add(Answer(verdict=Verdict.UNKNOWN, channel_code=code))
    windows: list[dict[str, Any]] = [{"refused": dict(count.refused)}, {"refused": {"94": 1}}]
    assert refusals(windows, notes) == (3, 1)
    assert notes == ["card_link: not every pair was an approval: 3 × 94, 1 × unknown"]
    assert refusals([{"refused": {}}], notes) == (0, 0)
    assert len(notes) == 1
