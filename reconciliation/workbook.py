"""A day's workbook for finance staff: a summary, and a sheet for each kind of difference.

Rules: amounts are numbers in yuan made from integers of fen (a spreadsheet's own number, for
reading; nothing here is computed with again), text is text whatever it begins with, every
sheet has a frozen heading and its totals. The same day makes the same bytes: the workbook
carries no time of its own.
"""

import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import xlsxwriter
from xlsxwriter.worksheet import Worksheet

from reconciliation.day_page import PAGE_NAME
from reconciliation.differences import MEANINGS, DifferenceKind
from reconciliation.exports import DIFFERENCE_HEADINGS, difference_row, in_order
from reconciliation.night_records import Night, StoredDifference

_MADE: Final = datetime(2000, 1, 1, tzinfo=UTC)
_WIDTHS: Final = (22, 26, 16, 12, 36, 36, 14, 14, 8, 40, 32, 12, 14, 60)
_OURS, _THEIRS = 6, 7
_HEAD_HEIGHT: Final = 33
"""Two lines: not every program makes room by itself."""
_SUMMARY: Final = (
    ("渠道账户", "Account"),
    ("业务日", "Day"),
    ("账单行数", "Bill lines"),
    ("支付笔数", "Payments"),
    ("支付金额", "Payments (yuan)"),
    ("退款笔数", "Refunds"),
    ("退款金额", "Refunds (yuan)"),
    ("手续费", "Fees (yuan)"),
    ("匹配", "Matched"),
    ("结转", "Waiting"),
    ("差异", "Differences"),
)
MOST_ROWS: Final = 100_000
"""Of one kind on a sheet; the CSV has them all, and the sheet says so."""


def workbook(nights: Sequence[Night], differences: Sequence[StoredDifference]) -> bytes:
    """The day's workbook."""
    out = io.BytesIO()
    book = xlsxwriter.Workbook(
        out,
        {
            "in_memory": True,
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "strings_to_numbers": False,
        },
    )
    book.set_properties({"title": "Posgate reconciliation", "created": _MADE})
    styles = {
        "head": book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"}),
        "yuan": book.add_format({"num_format": "#,##0.00"}),
        "fee": book.add_format({"num_format": "#,##0.00000"}),
        "count": book.add_format({"num_format": "#,##0"}),
        "total": book.add_format({"bold": True, "top": 1, "num_format": "#,##0.00"}),
        "total_count": book.add_format({"bold": True, "top": 1, "num_format": "#,##0"}),
        "note": book.add_format({"italic": True, "text_wrap": True, "valign": "top"}),
    }
    _write_summary(book.add_worksheet("汇总 Summary"), nights, styles)
    ordered = in_order(differences)
    for kind in DifferenceKind:
        found = [one for one in ordered if one.found.kind is kind]
        if found:
            _write_kind(book.add_worksheet(_sheet_name(kind)), kind, found, styles)
    book.close()
    return out.getvalue()


def _sheet_name(kind: DifferenceKind) -> str:
    """At most 31 characters, none of which a spreadsheet refuses."""
    return f"{MEANINGS[kind].title_zh} {kind.value}"[:31]


def _write_summary(sheet: Worksheet, nights: Sequence[Night], styles: dict[str, Any]) -> None:
    for column, (chinese, english) in enumerate(_SUMMARY):
        sheet.write_string(0, column, f"{chinese}\n{english}", styles["head"])
    sheet.set_row(0, _HEAD_HEIGHT)
    sheet.freeze_panes(1, 2)
    sheet.set_column(0, len(_SUMMARY) - 1, 16)
    sums = [0] * len(_SUMMARY)
    ordered = sorted(nights, key=lambda one: (one.day, one.account_id))
    for row, night in enumerate(ordered, 1):
        totals = json.loads(night.totals_json)
        sheet.write_string(row, 0, night.account_id)
        sheet.write_string(row, 1, night.day.isoformat())
        for column, amount in enumerate(_summary_amounts(totals), 2):
            sums[column] += amount
            _write_amount(sheet, row, column, amount, styles)
    last = len(ordered) + 1
    sheet.write_string(last, 0, "合计 Total", styles["total"])
    for column in range(2, len(_SUMMARY)):
        _write_amount(sheet, last, column, sums[column], styles, total=True)
    sheet.write_url(last + 2, 0, f"external:{PAGE_NAME}", string="图表 Charts: the day at a glance")


def _summary_amounts(totals: dict[str, Any]) -> tuple[int, ...]:
    kinds = totals.get("differences", {})
    return (
        totals.get("lines", 0),
        totals.get("payments", 0),
        totals.get("payments_fen", 0),
        totals.get("refunds", 0),
        totals.get("refunds_fen", 0),
        totals.get("fee_mfen", 0),
        totals.get("pairs", 0),
        totals.get("waiting", 0),
        sum(count for kind, count in kinds.items() if kind != DifferenceKind.LATE.value),
    )


def _write_amount(
    sheet: Worksheet,
    row: int,
    column: int,
    amount: int,
    styles: dict[str, Any],
    *,
    total: bool = False,
) -> None:
    if column in (4, 6):
        sheet.write_number(row, column, _yuan(amount, 2), styles["total" if total else "yuan"])
    elif column == 7:
        sheet.write_number(row, column, _yuan(amount, 5), styles["total" if total else "fee"])
    else:
        sheet.write_number(row, column, amount, styles["total_count" if total else "count"])


def _yuan(amount: int, places: int) -> Decimal:
    """An integer amount as the yuan that a cell shows."""
    return Decimal(amount).scaleb(-places)


def _write_kind(
    sheet: Worksheet,
    kind: DifferenceKind,
    found: Sequence[StoredDifference],
    styles: dict[str, Any],
) -> None:
    meaning = MEANINGS[kind]
    note = f"{meaning.sentence_zh} {meaning.sentence_en}"
    if len(found) > MOST_ROWS:
        note += f" (前 {MOST_ROWS} 行，全部见 CSV; the first {MOST_ROWS} rows, the CSV has all)"
    sheet.write_string(0, 0, note)
    for column, (english, chinese) in enumerate(DIFFERENCE_HEADINGS):
        sheet.write_string(1, column, f"{chinese}\n{english}", styles["head"])
        sheet.set_column(column, column, _WIDTHS[column])
    sheet.set_row(1, _HEAD_HEIGHT)
    sheet.freeze_panes(2, 1)
    shown = found[:MOST_ROWS]
    for row, one in enumerate(shown, 2):
        for column, text in enumerate(difference_row(one)):
            sheet.write_string(row, column, text)
        _write_sides(sheet, row, one, styles)
    last = len(shown) + 2
    sheet.write_string(last, 0, f"合计 Total: {len(found)}", styles["total"])
    places = 5 if kind is DifferenceKind.FEE else 2
    for column, amounts in (
        (_OURS, [one.found.ours_fen or 0 for one in found]),
        (_THEIRS, [one.found.theirs_fen or 0 for one in found]),
    ):
        sheet.write_number(last, column, _yuan(sum(amounts), places), styles["total"])
    sheet.autofilter(1, 0, last - 1, len(DIFFERENCE_HEADINGS) - 1)


def _write_sides(sheet: Worksheet, row: int, one: StoredDifference, styles: dict[str, Any]) -> None:
    """Both amounts again, as numbers over the text."""
    places, style = (5, "fee") if one.found.unit == "mfen" else (2, "yuan")
    for column, amount in ((_OURS, one.found.ours_fen), (_THEIRS, one.found.theirs_fen)):
        if amount is not None:
            sheet.write_number(row, column, _yuan(amount, places), styles[style])
