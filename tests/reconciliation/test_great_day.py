"""Every kind of difference over every channel, New Year and a leap day: none missed or invented.

The whole size is ``make great-day``.
"""

from pathlib import Path

from reconciliation.differences import DifferenceKind
from tests.greatday.run import GreatDay, Place
from tests.greatday.stories import WRONG
from tests.store.conftest import migrated_file, sqlite_url
from tests.support.postgres import emptied_postgres_url, postgres_server, shared_postgres_url

__all__ = [
    "emptied_postgres_url", "migrated_file", "postgres_server", "shared_postgres_url",
    "sqlite_url",
]  # fmt: skip
PLACES = (
    Place(channel="alipay", calendar="leap"),
    Place(channel="wechat", calendar="newyear"),
    Place(channel="unionpay_qr", calendar="newyear"),
    Place(channel="unionpay_card", calendar="ordinary"),
)


async def test_a_small_great_day(sqlite_url: str, tmp_path: Path) -> None:
    outcome = await GreatDay(tmp_path, PLACES).run(sqlite_url, payments=240, each=4)
    assert (outcome.named, outcome.wrong) == ([], [])
    assert outcome.is_right
    assert set(outcome.planted) == {kind.value for kind in DifferenceKind}
    assert outcome.planted.total() >= 4 * len(WRONG)
    assert outcome.repaired == outcome.planted.total() - outcome.planted["late"]


async def test_a_smaller_one_on_postgresql(emptied_postgres_url: str, tmp_path: Path) -> None:
    """What is read in bulk and written by the night is the other engine's there."""
    outcome = await GreatDay(tmp_path, PLACES[:1]).run(emptied_postgres_url, payments=40, each=1)
    assert (outcome.named, outcome.wrong) == ([], [])
    assert outcome.is_right
    assert outcome.planted.total() >= len(WRONG)
