"""``posgate limit`` and ``operator``: set, shown, stopped; no PIN is ever shown."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import typer
from typer.testing import CliRunner

from gateway.cli.installation import Installation
from gateway.cli.main import application

Run = Callable[..., Any]
COMMAND: Any = typer.main.get_command(application(["limit", "operator", "merchant"]))
PIN = "739201"


@pytest.fixture
def here(installation_template: Path, tmp_path: Path) -> Path:
    """An installation of this test's own."""
    folder = tmp_path / "here"
    shutil.copytree(installation_template, folder)
    return folder


@pytest.fixture
def posgate(here: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command on an installation with the merchant M1; its rows, or its result."""
    monkeypatch.setattr("typer.testing._get_command", lambda app: app)

    def run(*arguments: str, status: int = 0, typed: str | None = None) -> Any:
        full = [*arguments, "-c", str(Installation(here).config_file)]
        result = CliRunner().invoke(COMMAND, full, input=typed, catch_exceptions=False)
        assert result.exit_code == status, result.output
        assert "Traceback" not in result.output
        return orjson.loads(result.stdout) if "--json" in arguments and not status else result

    run("merchant", "add", "--merchant-no", "M1", "--name", "奶茶店", "--pos-merchant-id",
        "990000000000001")  # fmt: skip
    return run


def test_a_limit_is_set_piece_by_piece(posgate: Run) -> None:
    """What is not named stays; each store has its own."""
    (row,) = posgate("limit", "set", "M1", "--single", "50000", "--json")
    assert row == {"merchant_no": "M1", "store_id": None, "single_fen": 50000,
                   "daily_fen": None, "small_fen": None, "hours": "all-day"}  # fmt: skip
    (row,) = posgate("limit", "set", "M1", "--daily", "900", "--hours", "22:00-02:30", "--json")
    assert (row["single_fen"], row["daily_fen"], row["hours"]) == (50000, 900, "22:00-02:30")
    posgate("limit", "set", "M1", "--store", "S1", "--small", "1")
    assert [one["store_id"] for one in posgate("limit", "list", "--json")] == [None, "S1"]
    (row,) = posgate("limit", "show", "M1", "--json")
    assert row["today_fen"] == 0
    (row,) = posgate("limit", "set", "M1", "--single", "0", "--hours", "all-day", "--json")
    assert (row["single_fen"], row["hours"]) == (None, "all-day")
    posgate("limit", "remove", "M1", "--store", "S1")
    assert len(posgate("limit", "list", "--json")) == 1


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("set", "M1"), 2),
        (("set", "M9", "--single", "1"), 1),
        (("set", "M1", "--single", "-1"), 2),
        (("set", "M1", "--hours", "8-22"), 2),
        (("set", "M1", "--hours", "24:00-01:00"), 2),
        (("set", "M1", "--hours", "08:00-08:00"), 2),
        (("show", "M1"), 1),
        (("remove", "M1"), 1),
    ],
    ids=str,
)
def test_a_limit_that_cannot_be_is_refused(
    posgate: Run, arguments: tuple[str, ...], status: int
) -> None:
    posgate("limit", *arguments, status=status)
    assert posgate("limit", "list", "--json") == []


def test_an_operator_from_beginning_to_end(posgate: Run, here: Path) -> None:
    """The PIN is typed or a file's; neither it nor its hash is shown."""
    (here / "pin").write_text(f"{PIN}\n")
    who = ("--merchant-no", "M1", "--operator-id", "01")
    added = posgate("operator", "add", *who, "--name", "王", typed=f"{PIN}\n{PIN}\n")
    assert PIN not in added.output
    (row,) = posgate("operator", "list", "--json")
    assert row == {"merchant_no": "M1", "operator_id": "01", "name": "王", "wrong_tries": 0,
                   "locked_until": None, "disabled": False}  # fmt: skip
    posgate("operator", "set-pin", *who, "--pin", "file:pin")
    posgate("operator", "disable", *who)
    (row,) = posgate("operator", "list", "--merchant-no", "M1", "--json")
    assert row["disabled"] is True
    for file in here.glob("posgate.db*"):
        assert PIN.encode() not in file.read_bytes()


@pytest.mark.parametrize(
    ("pin", "why"),
    [("12345", "6 to 12 digits"), ("111111", "one digit"), ("654321", "in a row")],
)
def test_a_weak_pin_is_refused_and_not_quoted(posgate: Run, here: Path, pin: str, why: str) -> None:
    (here / "pin").write_text(pin)
    result = posgate(
        "operator", "add", "--merchant-no", "M1", "--operator-id", "01", "--pin", "file:pin",
        status=2,
    )  # fmt: skip
    assert why in result.output
    assert not re.search(rf"\b{pin}\b", result.output)
    assert posgate("operator", "list", "--json") == []


def test_a_pin_is_no_argument(posgate: Run) -> None:
    """A shell keeps its history."""
    who = ("--merchant-no", "M1", "--operator-id", "01")
    result = posgate("operator", "add", *who, "--pin", PIN, status=2)
    assert "file:PATH or env:NAME" in result.output
    assert PIN not in result.output
