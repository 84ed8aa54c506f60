"""A second gateway on one SQLite file with nonces in memory is warned of; one alone is not."""

import errno
import fcntl
from contextlib import ExitStack
from pathlib import Path

import pytest
import structlog
import yaml
from structlog.testing import LogCapture

from gateway.cli.shared_store import marked_store
from gateway.config import LoadedConfig, load


def config_of(folder: Path, nonces: str = "memory") -> LoadedConfig:
    (folder / "posgate.db").touch()
    file = folder / "config.yaml"
    data = {
        "store": {"url": "sqlite:///posgate.db"},
        "keys": {"master_key": "env:POSGATE_MASTER_KEY"},
        "http": {"nonces": nonces},
    }
    file.write_text(yaml.safe_dump(data))
    return load(file)


@pytest.fixture
def said() -> LogCapture:
    return LogCapture()


def log_to(said: LogCapture) -> structlog.typing.FilteringBoundLogger:
    log: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(None, processors=[said])
    return log


def test_one_after_the_other_is_alone(tmp_path: Path, said: LogCapture) -> None:
    for _ in range(2):
        with marked_store(config_of(tmp_path), log_to(said)):
            pass
    assert said.entries == []


def test_a_second_one_is_warned_and_so_is_a_third_after_the_first(
    tmp_path: Path, said: LogCapture
) -> None:
    """An overlapping restart goes on, and the one that stays is known to whoever comes."""
    loaded = config_of(tmp_path)
    with ExitStack() as later:
        with marked_store(loaded, log_to(said)):
            assert said.entries == []
            later.enter_context(marked_store(loaded, log_to(said)))
            (warned,) = said.entries
            assert (warned["log_level"], warned["event"]) == ("warning", "store shared")
            assert "redis" in warned["next"]
        later.enter_context(marked_store(loaded, log_to(said)))
        assert len(said.entries) == 2


def test_who_shares_nonces_may_share_the_file(tmp_path: Path, said: LogCapture) -> None:
    loaded = config_of(tmp_path, "redis://127.0.0.1:6379/0")
    with marked_store(loaded, log_to(said)), marked_store(loaded, log_to(said)):
        pass
    assert said.entries == []


def test_a_file_system_without_locks_stops_no_start(
    tmp_path: Path, said: LogCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with marked_store(config_of(tmp_path), log_to(said)):
        pass
    assert said.entries == []
