"""Reports by dimension, and the ledger as somebody else reads it."""

import io
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ledger import capture, fee
from reconciliation.plain_ledger import LedgerDay, account_name, plain_ledger
from reconciliation.reports import DIMENSIONS, night_rows, report, report_csv, report_parquet

DAY = date(2026, 3, 14)


def row(**changes: object) -> dict[str, object]:
    """A line of a night's report."""
    usual: dict[str, object] = {
        "day": "2026-03-14", "channel": "alipay", "account_id": "a1", "merchant_no": "m1",
        "store_id": "s1", "terminal_id": "t1", "cashier": "li", "method": "auth_code", "hour": 9, "kind": "payment",
        "currency": "CNY", "lines": 2, "amount_fen": 1990, "fee_mfen": 5500,
    }  # fmt: skip
    return usual | changes


ROWS = [
    row(),
    row(hour=10, amount_fen=10),
    row(kind="refund", lines=1, amount_fen=500, fee_mfen=-1000),
    row(merchant_no="m2"),
]


def test_a_report_adds_up_by_what_is_asked_for() -> None:
    by_merchant = report(ROWS, ["merchant_no"])
    assert [(one["merchant_no"], one["payments"], one["payments_fen"]) for one in by_merchant] == [
        ("m1", 4, 2000), ("m2", 2, 1990),
    ]  # fmt: skip
    assert (by_merchant[0]["refunds"], by_merchant[0]["refunds_fen"]) == (1, 500)
    assert by_merchant[0]["fee_mfen"] == 10_000
    assert [one["hour"] for one in report(ROWS, ["hour"])] == [9, 10]


@pytest.mark.parametrize("name", DIMENSIONS)
def test_every_dimension_sums_to_the_same_whole(name: str) -> None:
    assert sum(one["payments_fen"] for one in report(ROWS, [name])) == 3990


def test_what_is_no_dimension_is_told() -> None:
    with pytest.raises(ValueError, match="cashiers"):
        report(ROWS, ["cashiers"])


def test_a_night_of_before_cashiers_were_known_has_none(tmp_path: Path) -> None:
    old = {name: value for name, value in row().items() if name not in ("cashier", "day")}
    pyarrow.parquet.write_table(pa.Table.from_pylist([old]), tmp_path / "report.parquet")
    rows = list(night_rows(tmp_path / "report.parquet", DAY, "alipay", "a1"))
    assert [one["cashier"] for one in report(rows, ["cashier"])] == [""]
    assert [one["cashier"] for one in report([*rows, row()], ["cashier"])] == ["", "li"]


def test_files_are_the_same_bytes_whatever_the_order_of_the_nights() -> None:
    dimensions = ["merchant_no", "hour"]
    for write in (report_csv, report_parquet):
        first = write(report(ROWS, dimensions), dimensions)
        assert first == write(report(ROWS[::-1], dimensions), dimensions)
    table = pyarrow.parquet.read_table(io.BytesIO(first))
    assert table.column_names[:2] == dimensions
    assert table.num_rows == 3


@given(st.lists(st.text(min_size=1, max_size=6), min_size=2, max_size=2, unique=True))
def test_two_accounts_never_have_one_name(parts: list[str]) -> None:
    first, second = (account_name(f"merchant:{part}") for part in parts)
    assert first != second


def test_the_ledger_is_text_that_sums_to_zero() -> None:
    sale = capture("channel:alipay:a-1", "merchant:m1", 1990, "CNY")
    kept = fee("channel:alipay:a-1", "fees:alipay:a-1", 12, "CNY")
    days = [
        LedgerDay(day=DAY, subject="pay_B", sequence=2, postings=sale),
        LedgerDay(day=DAY, subject="fee_A", sequence=1, postings=kept),
    ]
    text = "".join(plain_ledger(days))
    assert text == "".join(plain_ledger(days[::-1]))
    assert "2026-03-14 open Assets:Channel:Alipay:A-2d-1\n" in text
    assert '2026-03-14 * "capture" "pay_B/2"\n' in text
    assert "  Liabilities:Merchant:M1  -19.90 CNY\n" in text
    assert text.count(" open ") == 3
