"""Every kind of difference over every channel, New Year and a leap day: none missed or invented.

The whole size is ``make great-day``.
"""

from pathlib import Path

from reconciliation.differences import DifferenceKind
from tests.greatday.run import GreatDay, Place
from tests.greatday.stories import WRONG
from tests.store.conftest import migrated_file, sqlite_url

__all__ = ["migrated_file", "sqlite_url"]
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
