"""The workbook as somebody else's reader opens it."""

import io
import json
from dataclasses import replace

import openpyxl
import pytest

from reconciliation import workbook as workbook_module
from reconciliation.differences import DifferenceKind
from reconciliation.night_records import Night, NightState
from reconciliation.workbook import workbook
from tests.reconciliation.nights import DAY
from tests.store.test_nights import stored

TOTALS = {"lines": 3, "payments": 2, "payments_fen": 1990, "refunds": 1, "refunds_fen": 5,
          "fee_mfen": 5500, "pairs": 2, "waiting": 1, "differences": {"amount": 4, "late": 7}}  # fmt: skip
NIGHT = Night(
    account_id="a1", day=DAY, version=3, state=NightState.DONE, totals_json=json.dumps(TOTALS)
)


def opened(data: bytes) -> openpyxl.Workbook:
    return openpyxl.load_workbook(io.BytesIO(data))


def test_a_summary_and_a_sheet_for_each_kind_that_was_found() -> None:
    some = [stored("A"), stored("B"), stored("C", DifferenceKind.STATUS)]
    book = opened(workbook([NIGHT], some))
    assert book.sheetnames == ["汇总 Summary", "金额不符 amount", "状态不符 status"]
    summary = book["汇总 Summary"]
    assert [cell.value for cell in summary[2]] == [
        "a1", DAY.isoformat(), 3, 2, 19.9, 1, 0.05, 0.055, 2, 1, 4,
    ]  # fmt: skip
    assert summary["A3"].value == "合计 Total"
    assert summary["E3"].value == pytest.approx(19.9)
    assert summary.freeze_panes == "C2"
    assert summary.row_dimensions[1].height == 33  # two lines of heading
    sheet = book["金额不符 amount"]
    assert sheet.freeze_panes == "B3"
    assert sheet.row_dimensions[2].height == 33
    assert (sheet["G3"].value, sheet["G3"].number_format) == (10, "#,##0.00")
    assert sheet["H3"].value in (None, "")
    assert sheet["A5"].value == "合计 Total: 2"
    assert sheet["G5"].value == 20


def test_every_kind_has_a_sheet_that_a_spreadsheet_accepts() -> None:
    some = [stored(f"N{kind.value}", kind) for kind in DifferenceKind]
    names = opened(workbook([], some)).sheetnames
    assert len(names) == len(set(names)) == len(DifferenceKind) + 1
    assert all(len(name) <= 31 for name in names)


def test_what_looks_like_a_formula_is_text() -> None:
    found = replace(stored("A").found, order_no="=1+1", trade_no="http://x")
    sheet = opened(workbook([], [replace(stored("A"), found=found)]))["金额不符 amount"]
    assert (sheet["E3"].value, sheet["E3"].data_type) == ("=1+1", "s")
    assert sheet["K3"].hyperlink is None


def test_the_same_day_makes_the_same_bytes() -> None:
    some = [stored("A"), stored("B", DifferenceKind.FEE)]
    assert workbook([NIGHT], some) == workbook([NIGHT], some[::-1])


def test_a_sheet_has_a_bound_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook_module, "MOST_ROWS", 2)
    sheet = opened(workbook([], [stored(f"N{n}") for n in range(5)]))["金额不符 amount"]
    assert "前 2 行" in str(sheet["A1"].value)
    assert sheet["A5"].value == "合计 Total: 5"
