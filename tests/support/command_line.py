"""``posgate terminal`` as a test calls it: in this process, in an empty folder.

Rule: the command tree is made once, since that takes longer than a command does.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import typer
from typer.testing import CliRunner

from gateway.cli.main import application
from tests.support.pos_host import MERCHANT_ID, TMK, PosHost

COMMAND: Any = typer.main.get_command(application(["terminal"]))
TERMINAL_ID = "99000001"
At = Callable[..., Any]


def caller(host: PosHost, folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> At:
    """Runs ``posgate terminal`` there; its JSON, or its result where there is none."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("typer.testing._get_command", lambda app: app)
    (folder / "tmk.hex").write_text(TMK.hex())

    def at(*words: str, status: int = 0, as_json: bool = True) -> Any:
        place = ("--port", str(host.port), "--merchant-id", MERCHANT_ID, "--terminal-id",
                 TERMINAL_ID, "--tmk", "file:tmk.hex", "--patience", "10", *more)  # fmt: skip
        json = ("--json",) if as_json else ()
        name, rest = (words[:1], words[1:]) if words[0][:2] != "--" else ((), words)
        arguments = ["terminal", *name, *place, *rest, *json]
        result = CliRunner().invoke(COMMAND, arguments, catch_exceptions=False)
        assert result.exit_code == status, result.output
        assert "Traceback" not in result.output
        is_data = as_json and result.stdout.startswith(("{", "["))
        return orjson.loads(result.stdout) if is_data else result

    return at


def state_of(folder: Path, terminal_id: str = TERMINAL_ID) -> Any:
    """A terminal's state file."""
    return orjson.loads((folder / f".posgate-terminal-{terminal_id}.json").read_bytes())
