"""What operators mistype: told in a line or two, and nothing half done."""

import asyncio
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import typer
import yaml
from rich.console import Console
from typer.testing import CliRunner

from domain.clock import beijing
from gateway.cli import session as cli_session
from gateway.cli.installation import Installation
from gateway.cli.main import application
from gateway.cli.session import Session, session, show
from gateway.sources import SystemClock

COMMAND: Any = typer.main.get_command(application())
ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = "alipay-1"
Say = Callable[..., str]


@pytest.fixture(scope="module")
def installed(
    installation_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Installation:
    """An installation with the accounts of every simulated channel, and the merchant M0001."""
    folder = tmp_path_factory.mktemp("mistakes") / "here"
    shutil.copytree(installation_template, folder)
    place = Installation(folder)
    config = yaml.safe_load(place.config_file.read_text())
    config.setdefault("http", {})["public_url"] = "https://pay.shop.example"
    place.config_file.write_text(yaml.safe_dump(config))

    async def provide(opened: Session) -> None:
        addresses = {"alipay": "http://127.0.0.1:9/gateway.do"}
        await place.provision(opened, channels=addresses, terminals=1)

    async def whole() -> None:
        async with session(place.config_file) as opened:
            await provide(opened)

    asyncio.run(whole())
    return place


@pytest.fixture
def say(installed: Installation, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Runs a command; what it said, in one line."""
    monkeypatch.setattr("typer.testing._get_command", lambda app: app)

    def run(*words: str, status: int = 2) -> str:
        full = [*words, "-c", str(installed.config_file)]
        result = CliRunner().invoke(COMMAND, full, catch_exceptions=False)
        assert result.exit_code == status, (words, result.output)
        return re.sub(r"[\s│]+", " ", result.output)

    return run


def test_a_secret_is_no_argument_and_is_not_quoted(say: Say) -> None:
    add = ("account", "add", "--account-id", "a9", "--channel", "alipay", "--secret")
    for given in ("k=pass:SESAME", "k=SESAME", "k=bogus:SESAME", "k=file:", "SESAME"):
        said = say(*add, given)
        assert "file:PATH or" in said and "env:VARIABLE" in said, said
        assert "SESAME" not in said
    assert "a9" not in say("account", "list", status=0)


def test_what_nothing_can_use_is_not_kept(say: Say) -> None:
    account = ("account", "add", "--channel", "alipay", "--account-id")
    for wrong in ("", "a/b c", "../a"):
        assert "--account-id" in say(*account, wrong)
    merchant = ("merchant", "add", "--pos-merchant-id", "990000000000009", "--merchant-no", "M9")
    for wrong in ("", " ", "a\x1b[2J", "a" * 129):
        assert "--name" in say(*merchant, "--name", wrong)
    assert "--store" in say("limit", "set", "M0001", "--single", "1", "--store", "s" * 33)
    for wrong in ("", ",", "weather"):
        assert "--by" in say("export", "report", "--date", "2026-09-16", "--by", wrong)
    said = say("archive", "--before", "2025-01-01", "--unmatched", "nope", status=1)
    assert "no account nope" in said


def test_a_rate_that_matches_nothing_is_refused(say: Say) -> None:
    rate = ("rate", "add", "M0001", "--ppm", "1")
    wrong = (
        ("--since", "2026-01-01", "--channel", "nope"),
        ("--since", "2026-01-01", "--method", "nope"),
        ("--since", "2026-01-01", "--minimum", "9999999999999999"),
        ("--since", "0001-01-01"),
    )
    for words in wrong:
        say(*rate, *words)
    say(*rate, "--since", "2026-01-01", "--channel", "alipay", "--method", "auth_code", status=0)


def test_another_merchants_number_is_named(say: Say) -> None:
    add = ("merchant", "add", "--name", "Shop", "--pos-merchant-id")
    say(*add, "990000000000011", "--merchant-no", "M11", status=0)
    said = say(*add, "990000000000011", "--merchant-no", "M12", status=1)
    assert "--pos-merchant-id: 990000000000011 is merchant M11's" in said


def test_a_picture_that_cannot_be_written_leaves_no_code(say: Say) -> None:
    before = say("qr", "list", "--json", status=0)
    say("qr", "create", "--merchant-no", "M0001", "--pdf", "/nonexistent/p.pdf")
    assert say("qr", "list", "--json", status=0) == before


def test_a_day_that_cannot_be_is_refused(say: Say) -> None:
    """By one reader: out of any business's time, or not over where it must be."""
    today = beijing(SystemClock().now_ms()).date()
    for day in ("0001-01-01", "9999-12-31", "2026-13-45", "2026-1-1"):
        for words in (
            ("reconcile", "--date"),
            ("reconcile", "status", "--days", "366", "--date"),
            ("archive", "--before"),
            ("account", "settle", ACCOUNT, "--day"),
            ("settle", "--date"),
            ("export", "ledger", "--date"),
        ):
            assert words[-1] in say(*words, day)
    for day in (str(today), str(today + timedelta(days=1)), "2099-01-01"):
        for words in (("reconcile", "--date"), ("account", "settle", ACCOUNT, "--day"),
                      ("settle", "--date")):  # fmt: skip
            assert f"{day} is not over" in say(*words, day)
    say("reconcile", "status", "--days", "366", "--date", str(date(2000, 1, 1)), status=0)


def test_a_misspelt_name_is_no_empty_list(say: Say) -> None:
    for words in (
        ("rate", "list", "NOPE"),
        ("qr", "list", "--merchant-no", "NOPE"),
        ("operator", "list", "--merchant-no", "NOPE"),
        ("notify", "list", "--merchant", "NOPE"),
        ("notify", "replay", "--state", "dead", "--merchant", "NOPE"),
        ("cases", "list", "--merchant", "NOPE"),
    ):
        assert "no merchant NOPE" in say(*words, status=1)
    assert "no terminal NOPE" in say("batches", "list", "--terminal", "NOPE", status=1)
    assert "no account NOPE" in say("reconcile", "--account", "NOPE", status=1)
    assert "no channel 'NOPE'" in say("reconcile", "--channel", "NOPE")
    terminals = orjson.loads(say("terminal", "list", "--json", status=0))
    say("batches", "list", "--terminal", terminals[0]["terminal_id"], status=0)
    say("qr", "list", "--merchant-no", "M0001", status=0)


def test_a_wrong_command_line_is_status_2(say: Say) -> None:
    adjust = ("ledger", "adjust", "--amount", "1", "--why", "x", "--credit", "suspense")
    assert "--by" in say(*adjust, "--debit", "merchant:M0001", "--by", "")
    assert "must differ" in say(*adjust, "--debit", "suspense", "--by", "wang")
    account = ("account", "add", "--account-id", "a9", "--channel", "alipay")
    assert "NAME=VALUE" in say(*account, "--set", "app_id")


def test_small_words_are_true(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no address is given" in say("notify", "test", "", "--merchant", "M0001", status=1)
    monkeypatch.setattr("typer.testing._get_command", lambda app: app)
    said = CliRunner().invoke(COMMAND, ["describe", "/tmp"])
    assert said.exit_code == 2 and "Is a directory" in said.stderr


def test_a_file_that_cannot_be_written_stops_before_the_start(
    installed: Installation, say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing listens, and the demo has not run."""
    for command in ("serve", "sandbox"):
        for wrong in ("/nonexistent/x", str(tmp_path)):
            assert f"{wrong}: cannot be written" in say(command, "--ready-file", wrong)
    monkeypatch.setattr("typer.testing._get_command", lambda app: app)
    (tmp_path / "file").touch()
    for words in (("--info", "/nonexistent/x.json"), ("--data", str(tmp_path / "file" / "d"))):
        result = CliRunner().invoke(COMMAND, ["demo", "--once", *words], catch_exceptions=False)
        assert result.exit_code == 2 and "cannot be written" in result.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_a_sandbox_whose_port_is_taken_says_so(installed: Installation, tmp_path: Path) -> None:
    """In a process of its own, as it sets the collector."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = yaml.safe_load(installed.config_file.read_text())
        config["sandbox"]["control_port"] = taken.getsockname()[1]
        file = installed.folder / "taken.yaml"
        file.write_text(yaml.safe_dump(config))
        words = [sys.executable, "-m", "gateway.cli.main", "sandbox", "-c", str(file)]
        result = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "cannot start" in result.stderr and "in use" in result.stderr
    assert len(result.stderr.splitlines()) == 1


IDENTIFIERS = [f"{number:02}{'abcdefghijklmnopqrstuvwxyz' * 2}" for number in range(2)]


@pytest.mark.parametrize("width", [None, 40, 200])
def test_no_identifier_of_a_list_is_cut(
    width: int | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through a pipe a line for each row; on a terminal a table, or blocks if it is too narrow."""

    def console(**options: Any) -> Console:
        given = {"width": width, "force_terminal": True} if width else {}
        return Console(**(given | options))

    monkeypatch.setattr(cli_session, "Console", console)
    show(
        [{"code_id": one, "number": f"{one}x", "name": "奶茶店"} for one in IDENTIFIERS],
        as_json=False,
    )
    said = capsys.readouterr().out
    for one in IDENTIFIERS:
        assert one in said and f"{one}x" in said
    assert ("┃" in said) is (width == 200)
    assert len(said.splitlines()) == {None: 3, 40: 7, 200: 6}[width]
