"""``posgate cases``, ``jobs`` and ``ledger`` on a real installation: output and exit status."""

import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from domain.payment import Event
from gateway.cli.installation import Installation
from gateway.cli.main import application
from gateway.cli.session import session, show
from gateway.store.port import Account, Merchant
from reconciliation.night_records import DifferenceState, NightState
from tests.gateway.booked import Shop
from tests.store.test_nights import FIRST, stored
from tests.support.postgres import in_a_thread

Run = Callable[..., Any]
WHO = ("--by", "wang", "--why", "seen in the portal")


@pytest.fixture
def installed(installation_template: Path, tmp_path: Path) -> Installation:
    """An installation with a paid payment, a refund under way and a case."""
    shutil.copytree(installation_template, tmp_path / "here")
    installation = Installation(tmp_path / "here")

    async def fill() -> None:
        async with session(installation.config_file) as opened:
            await opened.store.add_merchant(
                Merchant(
                    merchant_no="m1",
                    name="Shop",
                    pos_merchant_id="990000000000001",
                    created_at_ms=1,
                )
            )
            await opened.store.add_account(
                Account(
                    account_id="a1",
                    channel="unionpay_card",
                    merchant_no="",
                    settings_json="{}",
                    secrets_sealed=b"",
                    created_at_ms=1,
                )
            )
            shop = Shop(opened.store)
            await shop.refunded(await shop.move(await shop.submitted(), Event.PAID), 500)
            await shop.park(await shop.submitted(), Event.PAID, "amount_mismatch")

    in_a_thread(fill)
    return installation


@pytest.fixture
def posgate(installed: Installation) -> Run:
    """Runs a command; returns its JSON, or its result when it must fail or prints no JSON."""

    def run(*arguments: str, status: int = 0) -> Any:
        full = [*arguments, "-c", str(installed.config_file)]
        result = CliRunner().invoke(application(), full, catch_exceptions=False)
        assert result.exit_code == status, result.output
        assert "Traceback" not in result.output
        return orjson.loads(result.stdout) if "--json" in arguments and not status else result

    return run


def the_case(posgate: Run) -> str:
    [row] = posgate("cases", "list", "--json")
    return str(row["case_id"])


def test_a_case_from_list_to_resolved(posgate: Run) -> None:
    found = the_case(posgate)
    shown = posgate("cases", "show", found, "--json")
    assert shown["case"]["reason"] == "amount_mismatch"
    assert [choice["as"] for choice in shown["possible"]] == [
        "retry",
        "paid",
        "not-paid",
        "returned",
    ]
    assert shown["possible"][1]["books"] == (
        "capture channel:unionpay_card:a1 +1990 CNY; capture merchant:m1 -1990 CNY"
    )
    after = posgate("cases", "resolve", found, "--as", "paid", *WHO, "--json")
    assert (after["payment"]["status"], after["possible"]) == ("succeeded", [])
    [kept] = after["decisions"]
    assert (kept["as"], kept["by"], kept["why"]) == ("paid", "wang", "seen in the portal")
    assert posgate("cases", "list", "--json") == []
    [settled] = posgate("cases", "list", "--all", "--json")
    assert (settled["case_id"], settled["open"]) == (found, False)


def test_people_read_the_same(posgate: Run) -> None:
    found = the_case(posgate)
    assert "amount_mismatch" in posgate("cases", "list", "--merchant", "m1").output
    output = posgate("cases", "show", found).output
    for part in ("-- case", "-- payment", "-- history", "-- possible", "not-paid"):
        assert part in output
    assert "-- refund" not in output


def test_what_cannot_be_decided_is_one_line_and_status_1(posgate: Run) -> None:
    found = the_case(posgate)
    posgate("cases", "resolve", found, "--as", "not-paid", *WHO)
    refused = posgate("cases", "resolve", found, "--as", "paid", *WHO, status=1)
    assert refused.stderr == f"posgate: {found} is settled already\n"
    assert posgate("cases", "show", "case_none", status=1).stderr == "posgate: no case case_none\n"
    posgate("cases", "resolve", found, "--as", "perhaps", *WHO, status=2)
    posgate("cases", "resolve", found, "--as", "paid", "--by", "wang", status=2)


def test_open_jobs_are_listed_by_kind(posgate: Run) -> None:
    rows = posgate("jobs", "list", "--json")
    assert [row["kind"] for row in rows] == ["notify", "refund"]
    assert posgate("jobs", "list", "--kind", "settle", "--json") == []
    [refund] = posgate("jobs", "list", "--kind", "refund", "--json")
    assert (refund["lane"], refund["taken"]) == ("a1", 0)
    assert len(posgate("jobs", "list", "--limit", "1", "--json")) == 1
    assert "refund" in posgate("jobs", "list").output


def test_true_books_verify_with_one_line_of_figures(posgate: Run) -> None:
    result = posgate("ledger", "verify")
    assert result.stdout == (
        "2 payments, 1 refunds, 2 lines in 1 entries on 2 accounts: all agree\n"
    )
    assert posgate("ledger", "verify", "--json")["wrong"] == 0


def test_wrong_books_are_named_with_status_1(posgate: Run, installed: Installation) -> None:
    with sqlite3.connect(installed.folder / "posgate.db") as file:
        file.execute("UPDATE payments SET captured_fen = 1991 WHERE captured_fen > 0")
    result = posgate("ledger", "verify", status=1)
    assert result.stdout.endswith("2 do not agree\n")
    assert "captured 1991 and returned 0, posted 1990 and 0" in result.stderr
    found = orjson.loads(posgate("ledger", "verify", "--json", status=1).stdout)
    assert (found["wrong"], len(found["named"])) == (2, 2)


def test_an_adjustment_moves_a_balance_and_still_verifies(posgate: Run) -> None:
    adjust = ("ledger", "adjust", "--debit", "merchant:m1", "--credit", "suspense", "--amount",
              "90", *WHO, "--entry-id", "2026-11-22")  # fmt: skip
    rows = posgate(*adjust, "--json")
    assert [row["amount_fen"] for row in rows] == [90, -90]
    balances = {
        row["account"]: row["balance_fen"] for row in posgate("ledger", "balances", "--json")
    }
    assert balances == {"channel:unionpay_card:a1": 1990, "merchant:m1": -1900, "suspense": -90}
    assert "posted already" in posgate(*adjust, status=1).stderr
    assert posgate("ledger", "verify", "--json")["wrong"] == 0


def test_a_card_number_in_the_reason_of_an_adjustment_is_kept_masked(
    posgate: Run, installed: Installation
) -> None:
    posgate("ledger", "adjust", "--debit", "merchant:m1", "--credit", "suspense", "--amount", "90",
            "--by", "wang", "--why", "card 9900000000000010")  # fmt: skip
    whole = b"".join(file.read_bytes() for file in installed.folder.rglob("*") if file.is_file())
    assert b"card 990000******0010" in whole
    assert b"9900000000000010" not in whole


def test_what_others_wrote_is_text_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither markup of ours nor a command to the terminal."""
    row = {"endpoint": "m1:[fd12::5]:9", "why": "[/b]\x9b2J\x1b[2J奶茶"}
    for rows in ([row], [row, row]):
        show(rows, as_json=False)
        said = capsys.readouterr().out
        assert "m1:[fd12::5]:9" in said
        assert "[/b]\\x9b2J\\x1b[2J奶茶" in said
        assert "\x9b" not in said and "\x1b" not in said


@pytest.mark.parametrize(
    ("debit", "credit", "amount", "status"),
    [
        ("merchant:m2", "suspense", "1", 1),
        ("suspense", "suspense", "1", 2),
        ("merchant:m1", "suspense", "0", 2),
        ("merchant:m1", "suspense", "1.5", 2),
        ("merchant:m1", "suspense", "-5", 2),
    ],
)
def test_an_adjustment_that_makes_no_sense_posts_nothing(
    posgate: Run, debit: str, credit: str, amount: str, status: int
) -> None:
    posgate("ledger", "adjust", "--debit", debit, "--credit", credit, "--amount", amount, *WHO,
            status=status)  # fmt: skip
    accounts = [row["account"] for row in posgate("ledger", "balances", "--json")]
    assert accounts == ["channel:unionpay_card:a1", "merchant:m1"]


def test_what_a_night_found_is_listed_beside_the_cases_and_decided_by_two(
    posgate: Run, installed: Installation
) -> None:
    one, closed = stored("A"), replace(stored("B"), state=DifferenceState.CLOSED)

    async def matched() -> None:
        async with session(installed.config_file) as opened:
            night = replace(FIRST, state=NightState.MATCHED)
            await opened.store.save_match(night, [one, closed], ())

    in_a_thread(matched)
    listed = posgate("cases", "list", "--json")
    assert [(row["reason"], row["open"]) for row in listed] == [
        ("amount_mismatch", True), ("amount", True),
    ]  # fmt: skip
    assert listed[1]["case_id"] == one.id
    assert len(posgate("cases", "list", "--limit", "1", "--json")) == 1
    assert [row["reason"] for row in posgate("cases", "list", "--merchant", "m1", "--json")] == [
        "amount_mismatch"
    ]
    everything = [row["case_id"] for row in posgate("cases", "list", "--all", "--json")]
    assert everything[1:] == [one.id, closed.id]
    shown = posgate("cases", "show", one.id, "--json")
    assert shown == posgate("differences", "show", one.id, "--json")
    refused = posgate("cases", "resolve", one.id, "--as", "paid", *WHO, status=1)
    assert f"posgate differences show {one.id}" in refused.stderr
