"""The bills that the benchmark makes are whole, and a call of the signing one is believed."""

from pathlib import Path

import pytest

from benchmarks.bill_files import MAKERS
from benchmarks.signing import SIDES, sm2_per_s
from channels.bill_formats import bill_format
from channels.port import Verdict


@pytest.mark.parametrize("channel", MAKERS)
def test_a_made_bill_is_read_to_its_end(channel: str, tmp_path: Path) -> None:
    kind, make = MAKERS[channel]
    make(tmp_path / "bill", 1000)
    reader = bill_format(channel).open(kind, tmp_path / "bill")
    assert sum(batch.num_rows for batch in reader) == reader.totals().lines == 1000


@pytest.mark.parametrize("channel", SIDES)
async def test_a_measured_call_succeeds(channel: str) -> None:
    answer = await SIDES[channel]().call()
    assert (answer.verdict, answer.amount_fen) == (Verdict.SUCCEEDED, 1990)


def test_the_national_algorithms_have_their_figures() -> None:
    figures = sm2_per_s(rounds=1)
    assert figures.keys() == {"sm2_signs_per_s", "sm2_verifies_per_s"}
    assert min(figures.values()) > 0
