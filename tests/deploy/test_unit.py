"""The files of ``deploy/`` are what they say: options that exist, commands that exist."""

import configparser
import shlex
from pathlib import Path

import pytest
import typer

from gateway.cli.main import application

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def unit() -> dict[str, list[str]]:
    """The ``[Service]`` section; a key may stand several times."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / "posgate.service").read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def environment() -> dict[str, str]:
    """The environment file's variables."""
    parser = configparser.ConfigParser()
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # names keep their case
    parser.read_string("[env]\n" + (DEPLOY / "posgate.env").read_text())
    return dict(parser["env"])


@pytest.mark.parametrize("key", ["ExecStartPre", "ExecStart"])
def test_the_unit_runs_commands_that_exist(key: str) -> None:
    root = typer.main.get_command(application())
    for line in unit()[key]:
        program, *words = shlex.split(line)
        assert program == "/opt/posgate/venv/bin/posgate"
        assert "-m venv /opt/posgate/venv\n" in (DEPLOY.parent / "docs/operations.md").read_text()
        command = root
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]  # type: ignore[attr-defined]  # a group
        known = {name for option in command.params for name in option.opts}
        assert {word for word in words if word.startswith("-")} <= known


def test_every_variable_of_the_unit_is_in_the_environment_file() -> None:
    text = "".join(unit()["ExecStart"] + unit()["ExecStartPre"])
    used = {part.partition("}")[0] for part in text.split("${")[1:]}
    assert used == set(environment())


def test_a_stop_is_a_drain_and_keys_leave_no_core() -> None:
    found = unit()
    assert found["KillSignal"] == ["SIGTERM"]
    assert int(found["TimeoutStopSec"][0]) > 50  # payments.till_wait_s and its margin
    assert found["LimitCORE"] == ["0"]
