"""``posgate qr``: codes made, shown, stopped, and their pictures written."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import typer
import yaml
from typer.testing import CliRunner

from domain.qr_code import is_qr_code_id
from gateway.cli.installation import Installation
from gateway.cli.main import application

Run = Callable[..., Any]
COMMAND: Any = typer.main.get_command(application(["qr", "merchant"]))
PUBLIC_URL = "https://pay.shop.example"


@pytest.fixture
def here(installation_template: Path, tmp_path: Path) -> Path:
    """An installation with a public address."""
    folder = tmp_path / "here"
    shutil.copytree(installation_template, folder)
    file = Installation(folder).config_file
    data = yaml.safe_load(file.read_text())
    data.setdefault("http", {})["public_url"] = PUBLIC_URL
    file.write_text(yaml.safe_dump(data))
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


def test_a_code_from_beginning_to_end(posgate: Run) -> None:
    """Its number is unguessable and no other's; disabled, it is still listed."""
    (code,) = posgate("qr", "create", "--merchant-no", "M1", "--store", "S1", "--json")
    assert is_qr_code_id(code["code_id"])
    assert code["url"] == f"{PUBLIC_URL}/q/{code['code_id']}"
    assert (code["name"], code["store_id"], code["terminal_id"]) == ("奶茶店", "S1", None)
    assert (code["amount_fen"], code["disabled"]) == (None, False)
    (other,) = posgate(
        "qr", "create", "--merchant-no", "M1", "--till", "T1", "--name", "二号 till",
        "--amount", "1990", "--json",
    )  # fmt: skip
    assert other["code_id"] != code["code_id"]
    assert (other["name"], other["terminal_id"], other["amount_fen"]) == ("二号 till", "T1", 1990)
    assert len(posgate("qr", "list", "--json")) == 2
    posgate("qr", "disable", code["code_id"])
    (shown,) = posgate("qr", "show", code["code_id"], "--json")
    assert shown == code | {"disabled": True}
    assert len(posgate("qr", "list", "--merchant-no", "M1", "--json")) == 2


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("create", "--merchant-no", "M9"), 1),
        (("create", "--merchant-no", "M1", "--amount", "-1"), 2),
        (("create", "--merchant-no", "M1", "--name", "a\x1b[2J"), 2),
        (("create", "--merchant-no", "M1", "--name", "a" * 61), 2),
        (("create", "--merchant-no", "M1", "--size", "A0"), 2),
        (("create", "--merchant-no", "M1", "--pdf", "/no/such/folder/p.pdf"), 2),
        (("show", "a" * 26), 1),
        (("show", "../../etc"), 1),
        (("disable", "a" * 26), 1),
    ],
    ids=str,
)
def test_what_cannot_be_is_one_clear_line(
    posgate: Run, arguments: tuple[str, ...], status: int
) -> None:
    result = posgate("qr", *arguments, status=status)
    assert result.output.strip()


def test_a_code_needs_a_public_address(posgate: Run, here: Path) -> None:
    """It says which key to set; nothing is kept."""
    file = Installation(here).config_file
    data = yaml.safe_load(file.read_text())
    del data["http"]["public_url"]
    file.write_text(yaml.safe_dump(data))
    result = posgate("qr", "create", "--merchant-no", "M1", status=2)
    assert "http.public_url" in result.output
    assert posgate("qr", "list", "--json") == []


def test_the_pictures_of_a_code_are_written_again_alike(posgate: Run, tmp_path: Path) -> None:
    """SVG, PNG and PDF, on making it and later, byte for byte."""
    files = [tmp_path / f"code.{kind}" for kind in ("svg", "png", "pdf")]
    options = [text for file in files for text in (f"--{file.suffix[1:]}", str(file))]
    (code,) = posgate("qr", "create", "--merchant-no", "M1", *options, "--json")
    first = [file.read_bytes() for file in files]
    assert first[0].startswith(b"<svg")
    assert first[1].startswith(b"\x89PNG")
    assert first[2].startswith(b"%PDF")
    posgate("qr", "show", code["code_id"], *options)
    assert [file.read_bytes() for file in files] == first


def test_a_code_may_say_where_its_payments_are_told(posgate: Run) -> None:
    """Kept and changed; an address that would never be called makes no code and changes none."""
    told = ("--notify-url", "https://shop.example/paid")
    (code,) = posgate("qr", "create", "--merchant-no", "M1", *told, "--json")
    assert code["notify_url"] == told[1]
    for refused in ("https://10.0.0.8/x", "https://shop.internal/x", "ftp://shop.example", "x"):
        posgate("qr", "create", "--merchant-no", "M1", "--notify-url", refused, status=1)
        posgate("qr", "notify", code["code_id"], "--notify-url", refused, status=1)
    assert posgate("qr", "list", "--json") == [code]
    posgate("qr", "notify", code["code_id"], "--notify-url", "https://shop.example/new")
    assert posgate("qr", "list", "--json")[0]["notify_url"] == "https://shop.example/new"
    posgate("qr", "notify", code["code_id"])
    assert posgate("qr", "list", "--json") == [code | {"notify_url": None}]
