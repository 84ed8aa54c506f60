"""A template installation with TLS, and the program that forks mortal gateways."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.crash.mortals import Mortals
from tests.gateway.pos.house import make_template
from tests.support.postgres import in_a_thread, postgres_server

__all__ = ["postgres_server"]

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def crash_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation that every crash copies."""
    folder = tmp_path_factory.mktemp("crash") / "template"
    in_a_thread(lambda: make_template(folder))
    return folder


@pytest.fixture(scope="session")
def mortals() -> Iterator[Mortals]:
    """Where mortal gateways come from; whoever is left is killed at the end."""
    program = [sys.executable, "-m", "tests.gateway.crash.crashing_gateway"]
    with subprocess.Popen(
        program, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        source = Mortals(process)
        yield source
        source.close()
