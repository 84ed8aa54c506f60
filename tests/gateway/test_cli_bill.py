"""``posgate bill inspect``: the contract's document, or the line and the reason."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli.bills import _whole_fen
from gateway.cli.main import application
from tests.bills.alipay_files import Bill, Row

BILL = Bill((Row("order0001", 1990, fee_fen=12), Row("order0001", 990, "refund0001", fee_fen=6)))


def inspect(*arguments: str | Path) -> Result:
    return CliRunner().invoke(application(["bill"]), ["bill", "inspect", *map(str, arguments)])


def test_the_document_of_the_contract(tmp_path: Path) -> None:
    result = inspect(BILL.write(tmp_path), "--channel", "alipay", "--date", "2026-09-16", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "lines": 2,
        "payments": {"count": 1, "amount_fen": 1990},
        "refunds": {"count": 1, "amount_fen": 990},
        "fees_fen": 6,
        "footer_agrees": True,
    }


def test_for_people(tmp_path: Path) -> None:
    result = inspect(BILL.write(tmp_path), "--channel", "alipay", "--kind", "trade")
    assert result.exit_code == 0
    assert "payments_fen      1990" in result.stdout


def test_a_bad_file_is_status_2_with_line_and_reason(tmp_path: Path) -> None:
    path = BILL.write(tmp_path)
    path.write_bytes(BILL.data.replace(b"19.90", b"19.9x", 1))
    result = inspect(path, "--channel", "alipay", "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "bill.csv, line 6: 订单金额(元) is not an amount" in result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--channel", "nobody"], "nobody reads bills of 'nobody'; installed: alipay"),
        (["--channel", "alipay", "--kind", "zm"], "alipay has trade, summary"),
        (["--channel", "alipay", "--date", "today"], "--date"),
        (["--channel", "alipay", "--date", "2026-09-20"], "line 3"),
    ],
)
def test_what_cannot_be_meant_is_status_2(options: list[str], words: str, tmp_path: Path) -> None:
    result = inspect(BILL.write(tmp_path), *options)
    assert result.exit_code == 2
    assert words in result.stderr


def test_a_missing_file_is_status_2(tmp_path: Path) -> None:
    result = inspect(tmp_path / "none.zip", "--channel", "alipay")
    assert result.exit_code == 2
    assert "none.zip" in result.stderr


@pytest.mark.parametrize(
    ("mfen", "fen"), [(0, 0), (499, 0), (500, 1), (-500, -1), (1499, 1), (-1499, -1)]
)
def test_fees_are_shown_to_the_nearest_fen(mfen: int, fen: int) -> None:
    assert _whole_fen(mfen) == fen
