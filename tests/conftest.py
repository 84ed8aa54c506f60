"""What every room shares: the public samples are read where they lie, or loudly not at all.

``POSGATE_SAMPLES`` names their folder (default ``../shared/samples`` beside the
checkout). Without it the tests marked ``samples`` are deselected and the summary says
so; nothing else is ever left out. No property test fails for being slow: machines are
shared, and speed is measured by ``make bench``.
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("posgate", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("posgate")

CHECKOUT = Path(__file__).resolve().parent.parent


def samples_folder() -> Path:
    """Where the public samples are expected."""
    return Path(os.environ.get("POSGATE_SAMPLES", CHECKOUT.parent / "shared" / "samples"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that need the samples when there are none."""
    if samples_folder().is_dir():
        return
    needing = [item for item in items if item.get_closest_marker("samples") is not None]
    if needing:
        items[:] = [item for item in items if item not in needing]
        config.hook.pytest_deselected(items=needing)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line that nobody overlooks."""
    folder = samples_folder()
    if not folder.is_dir():
        terminalreporter.write_line(
            f"WARNING: tests marked 'samples' were NOT RUN: {folder} does not exist"
            " (set POSGATE_SAMPLES)",
            red=True,
            bold=True,
        )
