"""``posgate reconcile`` and ``posgate differences`` over a real store and real Alipay files."""

import asyncio
import csv
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import orjson
import pytest
import yaml
from typer.testing import CliRunner

from channels.alipay.bill_fetch import AlipayBillFetch
from domain.clock import BEIJING
from domain.ids import number
from domain.ledger import capture, channel_receivable, merchant_payable
from gateway.cli.installation import Installation
from gateway.cli.main import application
from gateway.cli.session import Session, session
from tests.bills.alipay_files import Bill, Row
from tests.support.payments import sample_advance, sample_claim

Run = Callable[..., Any]
DAY = date(2026, 9, 16)
ACCOUNT = "alipay-1"
NOON_MS = int(datetime(2026, 9, 16, 12, tzinfo=BEIJING).timestamp()) * 1000


@pytest.fixture
def installed(installation_template: Path, tmp_path: Path) -> Installation:
    """A written and migrated installation with an Alipay account, and its rate."""
    shutil.copytree(installation_template, tmp_path / "here")
    place = Installation(tmp_path / "here")
    config = yaml.safe_load(place.config_file.read_text())
    config["reconciliation"] = {
        "folder": "nights", "exports": "exports", "carry_days": 0,
        "archive": "archive", "keep_days": 31, "memory_mb": 256, "threads": 1, "rates": {ACCOUNT: {"rate_ppm": 6000}},
    }  # fmt: skip
    place.config_file.write_text(yaml.safe_dump(config))

    async def provide(opened: Session) -> None:
        addresses = {"alipay": "http://127.0.0.1:9/gateway.do"}
        await place.provision(opened, channels=addresses, terminals=1)

    in_store(place, provide)
    return place


def in_store(place: Installation, work: Callable[[Session], Any]) -> Any:
    async def whole() -> Any:
        async with session(place.config_file) as opened:
            return await work(opened)

    return asyncio.run(whole())


@pytest.fixture
def posgate(installed: Installation) -> Run:
    """Runs a command; its JSON."""

    def run(*words: str, status: int = 0) -> Any:
        full = [*words, "-c", str(installed.config_file), "--json"]
        app = application([words[0]])
        result = CliRunner().invoke(app, full, catch_exceptions=False)
        assert result.exit_code == status, result.output
        return orjson.loads(result.stdout) if result.stdout.startswith(("[", "{")) else result

    return run


def sell(place: Installation, *order_nos: str, at_ms: int = NOON_MS, fen: int = 1990) -> None:
    """Captured payments of ours at the Alipay account."""

    async def work(opened: Session) -> None:
        for order_no in order_nos:
            serial = int(order_no[2:])
            identity = "pay_" + number(at_ms, serial.to_bytes(10))
            claim = sample_claim(
                serial, id=identity, created_at_ms=at_ms, channel="alipay", account_id=ACCOUNT,
                channel_order_no=order_no, amount_fen=fen, merchant_no="M0001",
                order_key=order_no, door="api",
            )  # fmt: skip
            assert await opened.store.claim(claim)
            paid = sample_advance(serial)
            standing = replace(paid.standing, paid_at_ms=at_ms, captured_fen=fen)
            receivable, payable = channel_receivable("alipay", ACCOUNT), merchant_payable("M0001")
            moved = replace(
                paid, payment_id=identity, merchant_no="M0001", standing=standing, at_ms=at_ms,
                postings=capture(receivable, payable, fen, "CNY"),
            )  # fmt: skip
            assert await opened.store.advance(moved)

    in_store(place, work)


def bill(folder: Path, *rows: Row) -> str:
    """A detail file as Alipay delivers it."""
    return str(Bill(rows=rows).write(folder, "2088000000000001_20260916.csv"))


def night(posgate: Run, file: str, status: int = 0) -> dict[str, Any]:
    """One night with a file laid by hand."""
    rows = posgate(
        "reconcile", "--date", str(DAY), "--account", ACCOUNT, "--bill", file, status=status
    )
    (found,) = [row for row in rows if row["account"] == ACCOUNT]
    return dict(found)


def test_a_night_from_the_file_to_the_workbook(
    installed: Installation, posgate: Run, tmp_path: Path
) -> None:
    sell(installed, "CH1", "CH2", "CH3", "CH4")
    file = bill(
        tmp_path,
        Row("CH1", 1990, fee_fen=12),
        Row("CH2", 1989, fee_fen=12),
        Row("CH3", 1990, fee_fen=99),
        Row("CH9", 700, fee_fen=4),
    )
    found = night(posgate, file)
    assert (found["state"], found["lines"], found["differences"]) == ("done", 4, 4)
    folder = installed.folder / "exports" / str(DAY)
    rows = list(csv.DictReader(io.StringIO((folder / "differences.csv").read_text("utf-8-sig"))))
    assert [(row["类型 kind"], row["渠道订单号 order_no"]) for row in rows] == [
        ("missing_here", "CH9"), ("missing_there", "CH4"), ("amount", "CH2"), ("fee", "CH3"),
    ]  # fmt: skip
    book = openpyxl.load_workbook(folder / "reconciliation.xlsx")
    assert len(book.sheetnames) == 5
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest) == {"day.html", "differences.csv", "reconciliation.xlsx", "summary.csv"}
    links = [cell.hyperlink for (cell,) in book.worksheets[0]["A1:A9"] if cell.hyperlink]
    assert [link.target for link in links] == ["day.html"]
    page = (folder / "day.html").read_text()
    assert "<td>alipay</td><td>4</td><td>66.69</td>" in page
    balances = {account: fen for (account, _), fen in in_store(installed, _balances).items()}
    assert balances[f"fees:alipay:{ACCOUNT}"] == 12 + 12 + 99 + 4
    assert night(posgate, file) == found
    assert json.loads((folder / "manifest.json").read_text()) == manifest


async def _balances(opened: Session) -> Any:
    return await opened.store.balances()


def test_a_bad_file_is_refused_with_its_line_and_nothing_is_loaded(
    installed: Installation, posgate: Run, tmp_path: Path
) -> None:
    sell(installed, "CH1")
    path = tmp_path / "cut.csv"
    whole = Bill(rows=(Row("CH1", 1990), Row("CH2", 5))).data
    path.write_bytes(whole[: len(whole) // 2])
    found = night(posgate, str(path), status=1)
    assert found["state"] == "refused"
    assert "cut.csv" in found["error"]
    status = posgate("reconcile", "status", "--date", str(DAY), status=1)
    assert [row["state"] for row in status if row["account"] == ACCOUNT] == ["refused"]
    assert posgate("differences", "list") == []
    assert night(posgate, bill(tmp_path, Row("CH1", 1990, fee_fen=12)))["state"] == "done"


def test_a_difference_is_repaired_by_two_people(
    installed: Installation, posgate: Run, tmp_path: Path
) -> None:
    sell(installed, "CH1")
    night(posgate, bill(tmp_path, Row("CH1", 1990, fee_fen=12), Row("CH9", 700)))
    (one,) = posgate("differences", "list")
    name = one["difference_id"]
    propose = ("--repair", "adjust", "--by", "Li", "--why", "seen in the bill")
    assert posgate("differences", "propose", name, *propose)[0]["state"] == "proposed"
    slip = ("--why", "a slip", "--by", "Li")
    assert posgate("differences", "withdraw", name, *slip)[0]["state"] == "open"
    posgate("differences", "propose", name, *propose)
    decide = ("--why", "agreed", "--by")
    posgate("differences", "approve", name, *decide, "Li", status=1)
    shown = posgate("differences", "show", name)
    assert [line["amount_fen"] for line in shown["would_post"]] == [700, -700]
    assert posgate("differences", "approve", name, *decide, "Wang")[0]["state"] == "closed"
    balances = {account: fen for (account, _), fen in in_store(installed, _balances).items()}
    assert balances["suspense"] == -700
    assert posgate("ledger", "verify")["wrong"] == 0


def test_a_day_that_is_no_day_and_a_bill_without_a_night_are_told(
    posgate: Run, tmp_path: Path
) -> None:
    assert "YYYY-MM-DD" in str(posgate("reconcile", "--date", "16.9.", status=2).output)
    file = tmp_path / "x.csv"
    file.write_text("x")
    assert "--bill" in posgate("reconcile", "--bill", str(file), status=2).output


def test_a_bill_that_is_not_due_is_waited_for(
    posgate: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AlipayBillFetch, "bill_due_ms", lambda _self, _day: 2**62)
    rows = posgate("reconcile", "--date", str(DAY), "--account", ACCOUNT, status=1)
    assert [(row["account"], row["state"]) for row in rows][-1] == (ACCOUNT, "waiting")


def test_a_disabled_account_that_cannot_be_opened_stops_nobodys_night(
    posgate: Run, installed: Installation, tmp_path: Path
) -> None:
    """As it stops no start; one in use is named and stops it."""
    sell(installed, "PN1")

    async def spoilt(opened: Session) -> None:
        (one,) = [each for each in await opened.store.accounts() if each.account_id == ACCOUNT]
        await opened.store.add_account(
            replace(one, account_id="old-1", secrets_sealed=bytes(64), disabled=False)
        )

    in_store(installed, spoilt)
    file = bill(tmp_path, Row("PN1", 1990, fee_fen=12))
    asked = ("reconcile", "--date", str(DAY), "--account", ACCOUNT, "--bill", file)
    assert "old-1" in posgate(*asked, status=2).stderr
    in_store(installed, lambda opened: opened.store.disable_account("old-1"))
    assert night(posgate, file)["state"] == "done"


def test_a_merchants_day_is_settled_by_its_rate(
    installed: Installation, posgate: Run, tmp_path: Path
) -> None:
    sell(installed, "CH1", "CH2")
    night(posgate, bill(tmp_path, Row("CH1", 1990, fee_fen=12), Row("CH2", 1990, fee_fen=12)))
    add = ("rate", "add", "M0001", "--ppm", "10000", "--since", "2026-01-01")
    assert posgate(*add)[0]["rate_ppm"] == 10000
    posgate(*add, status=1)
    assert len(posgate("rate", "list", "M0001")) == 1
    (statement,) = posgate("settle", "--date", str(DAY))
    assert (statement["gross"], statement["our_fee"]) == ("39.80", "0.40")
    assert (statement["channel_fee"], statement["payable"]) == ("0.24", "39.40")
    assert posgate("settle", "--date", str(DAY)) == [statement]
    folder = installed.folder / "exports" / str(DAY)
    assert "39.40" in (folder / "statements.csv").read_text("utf-8-sig")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {"statements.csv", "statement-M0001-CNY.pdf"} <= set(manifest)
    posgate("settle", "--date", str(DAY))
    assert json.loads((folder / "manifest.json").read_text()) == manifest
    assert posgate("ledger", "verify")["wrong"] == 0


def test_a_day_that_is_not_over_is_not_settled(posgate: Run) -> None:
    assert "not over" in posgate("settle", "--date", "2999-01-01", status=2).output
    posgate("rate", "add", "NOBODY", "--ppm", "1", "--since", "2026-01-01", status=1)


def test_a_days_reports_and_ledger_are_files_for_other_programs(
    installed: Installation, posgate: Run, tmp_path: Path
) -> None:
    sell(installed, "CH1", "CH2")
    night(posgate, bill(tmp_path, Row("CH1", 1990, fee_fen=12), Row("CH2", 1990, fee_fen=12)))
    written = posgate("export", "report", "--date", str(DAY), "--by", "merchant_no,channel")
    assert [Path(one["file"]).suffix for one in written] == [".csv", ".parquet"]
    (report,) = csv.DictReader(io.StringIO(Path(written[0]["file"]).read_text("utf-8-sig")))
    assert (report["商户 merchant"], report["支付金额 payments_yuan"]) == ("M0001", "39.80")
    posgate("export", "report", "--date", str(DAY), "--by", "weather", status=2)
    (ledger,) = posgate("export", "ledger", "--date", str(DAY))
    assert "Assets:Channel:Alipay:Alipay-2d-1  19.90 CNY" in Path(ledger["file"]).read_text()


def test_old_payments_and_bills_are_archived_and_still_found(
    installed: Installation, posgate: Run, tmp_path: Path
) -> None:
    """The history leaves the store; the payment, its report and its archive are there."""
    sell(installed, "CH1", "CH2")
    night(posgate, bill(tmp_path, Row("CH1", 1990, fee_fen=12), Row("CH2", 1990, fee_fen=12)))
    report = ("export", "report", "--date", str(DAY), "--by", "merchant_no")
    before = [Path(one["file"]).read_bytes() for one in posgate(*report)]
    assert "keep_days" in posgate("archive", "--before", "2999-01-01", status=2).output
    (found,) = posgate("archive", "--before", "2026-10-01")
    assert (found["payments"], found["left"], found["nights"]) == (0, {"not reconciled": 2}, 1)
    (found,) = posgate("archive", "--before", "2026-10-01", "--unmatched", ACCOUNT)
    assert (found["payments"], found["archives"], found["left"]) == (2, 1, {})
    assert [Path(one["file"]).read_bytes() for one in posgate(*report)] == before
    shown = posgate("archive", "show", "CH1")
    assert [row["table"] for row in shown].count("payment_events") == 2
    assert posgate("archive", "show", shown[0]["id"]) == shown
    posgate("archive", "show", "CH99", status=1)
    assert [one["payments"] for one in posgate("archive", "list")] == [2]
    assert posgate("ledger", "verify")["wrong"] == 0
    assert posgate("archive", "verify") == {"wrong": []}
    next(installed.folder.glob("archive/orders/*/refunds.parquet")).unlink()
    assert len(posgate("archive", "verify", status=1)["wrong"]) == 1
