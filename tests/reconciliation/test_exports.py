"""Files for finance staff: safe, readable, the same bytes again."""

import csv
import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciliation.differences import MEANINGS, DifferenceKind
from reconciliation.exports import (
    amount_text,
    differences_csv,
    grouped,
    harmless,
    summary_csv,
    write_files,
)
from reconciliation.night_records import Night, NightState
from tests.reconciliation.nights import DAY
from tests.store.test_nights import stored


def cells(data: bytes) -> list[list[str]]:
    """A file as a spreadsheet opens it."""
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))


@pytest.mark.parametrize(
    ("amount", "unit", "text"),
    [
        (0, "fen", "0.00"), (1990, "fen", "19.90"), (-1, "fen", "-0.01"), (None, "fen", ""),
        (6000, "mfen", "0.06000"), (-100_001, "mfen", "-1.00001"), (None, "mfen", ""),
    ],
)  # fmt: skip
def test_amounts_are_yuan_made_of_integers(amount: int | None, unit: str, text: str) -> None:
    assert amount_text(amount, unit) == text


def test_an_amount_is_grouped_as_people_read_it() -> None:
    texts = ["0.00", "-0.01", "999.00", "1000.00", "-1234567.89", "1234.56789"]
    assert [grouped(text) for text in texts] == [
        "0.00", "-0.01", "999.00", "1,000.00", "-1,234,567.89", "1,234.56789",
    ]  # fmt: skip


@given(st.text())
def test_no_cell_begins_a_formula(text: str) -> None:
    assert not harmless(text).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert harmless(text).removeprefix("'") in (text, text.removeprefix("'"))


def test_a_hostile_number_in_a_bill_is_text_in_the_export() -> None:
    hostile = replace(stored("A"), found=replace(stored("A").found, order_no='=HYPERLINK("x")'))
    (_, row) = cells(differences_csv([hostile]))
    assert row[4] == '\'=HYPERLINK("x")'


def test_every_kind_has_its_words_in_both_languages() -> None:
    rows = cells(differences_csv([stored("A", kind) for kind in DifferenceKind]))
    assert rows[0][0] == "类型 kind"
    assert [row[0] for row in rows[1:]] == [kind.value for kind in DifferenceKind]
    for row, kind in zip(rows[1:], DifferenceKind, strict=True):
        assert MEANINGS[kind].sentence_zh in row[-1]
        assert MEANINGS[kind].sentence_en in row[-1]


def test_the_order_of_the_store_does_not_show() -> None:
    some = [stored(f"N{number}") for number in range(9)]
    assert differences_csv(some) == differences_csv(some[::-1])


def test_a_summary_has_a_line_for_each_night_and_a_column_for_each_kind() -> None:
    totals = {"lines": 3, "payments": 2, "payments_fen": 1990, "fee_mfen": 5500,
              "pairs": 2, "waiting": 1, "differences": {"amount": 4}}  # fmt: skip
    night = Night(
        account_id="a1", day=DAY, version=3, state=NightState.DONE, totals_json=json.dumps(totals)
    )
    head, row = cells(summary_csv([night]))
    found = dict(zip(head, row, strict=True))
    assert found["支付金额 payments_yuan"] == "19.90"
    assert found["手续费 fees_yuan"] == "0.05500"
    assert (found["amount"], found["status"]) == ("4", "0")


def test_files_are_whole_named_in_the_manifest_and_the_same_again(tmp_path: Path) -> None:
    files = {"b.csv": b"2", "a.csv": b"1"}
    write_files(tmp_path / "x", files)
    write_files(tmp_path / "x", files)
    write_files(tmp_path / "y", files)
    assert sorted(file.name for file in (tmp_path / "x").iterdir()) == [
        "a.csv", "b.csv", "manifest.json",
    ]  # fmt: skip
    first, second = ((tmp_path / name / "manifest.json").read_bytes() for name in "xy")
    assert first == second
    assert json.loads(first)["a.csv"] == {"bytes": 1, "sha256": hashlib.sha256(b"1").hexdigest()}
