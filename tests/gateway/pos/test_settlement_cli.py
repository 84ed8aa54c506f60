"""``posgate batches`` on a real installation: output and exit status."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from gateway.cli.installation import Installation
from gateway.cli.main import application
from gateway.cli.session import session
from tests.support.batches import BATCH_KEY, sample_batch, sample_difference
from tests.support.postgres import in_a_thread

Run = Callable[..., Any]
OTHER_TILL = BATCH_KEY._replace(terminal_id="T0000002")


@pytest.fixture
def posgate(installation_template: Path, tmp_path: Path) -> Run:
    """Runs a command where two terminals have settled; returns its JSON or its result."""
    shutil.copytree(installation_template, tmp_path / "here")
    installation = Installation(tmp_path / "here")

    async def fill() -> None:
        async with session(installation.config_file) as opened:
            found = [sample_difference("000001", payment_id="pay_1"), sample_difference("")]
            await opened.store.save_batch(sample_batch(), found)
            equal = sample_batch(key=OTHER_TILL, host=sample_batch().terminal)
            await opened.store.save_batch(equal)

    in_a_thread(fill)

    def run(*arguments: str, status: int = 0) -> Any:
        full = [*arguments, "-c", str(installation.config_file)]
        result = CliRunner().invoke(application(), full, catch_exceptions=False)
        assert result.exit_code == status, result.output
        return orjson.loads(result.stdout) if "--json" in arguments and not status else result

    return run


def test_batches_are_listed_with_what_they_came_to(posgate: Run) -> None:
    rows = posgate("batches", "list", "--json")
    assert [(r["terminal_id"], r["batch_no"], r["totals_agree"]) for r in rows] == [
        ("T0000001", 7, False),
        ("T0000002", 7, True),
    ]
    assert (rows[0]["terminal_fen"], rows[0]["host_fen"]) == (1490, 1488)
    [row] = posgate("batches", "list", "--terminal", "T0000002", "--json")
    assert row["lines_uploaded"] is None
    assert len(posgate("batches", "list", "--limit", "1", "--json")) == 1
    assert "T0000002" in posgate("batches", "list", "--terminal", "T0000002").output


def test_a_batch_shows_both_sides_and_every_difference(posgate: Run) -> None:
    shown = posgate("batches", "show", *BATCH_KEY[:2], "7", "--json")
    sides = [(row["side"], row["cards"], row["debit_fen"]) for row in shown["totals"]]
    assert sides == [
        ("terminal", "domestic", 1990),
        ("host", "domestic", 1990),
        ("terminal", "foreign", 0),
        ("host", "foreign", 3),
    ]
    traces = [(row["trace"], row["payment_id"]) for row in shown["differences"]]
    assert traces == [(None, None), ("000001", "pay_1")]
    assert "only_terminal" in posgate("batches", "show", *BATCH_KEY[:2], "7").output


def test_a_batch_that_was_never_settled_is_told(posgate: Run) -> None:
    result = posgate("batches", "show", *BATCH_KEY[:2], "8", status=1)
    assert "no such batch" in result.output
