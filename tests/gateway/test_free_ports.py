"""Ports for an installation made from nothing."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from gateway.cli import free_ports as chosen
from gateway.cli.free_ports import free_port, free_ports
from gateway.cli.installation import Installation

LOWEST = 32_768
"""The first port that Linux gives away by itself, unless it was told otherwise."""


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that a server listens on."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_the_system_gives_none_of_them_away() -> None:
    """Or the sandbox, which lets it choose, would sit on the gateway's before that is up."""
    assert all(1024 <= port < LOWEST for port in free_ports(200))


def test_each_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both of two, where there are two."""
    one, other = free_ports(2)
    monkeypatch.setattr(chosen, "_QUIET", (one, other))
    assert sorted(free_ports(2)) == sorted((one, other))


def test_one_that_is_taken_is_not_given(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other is; where there is no other, that is said."""
    free = free_port()
    monkeypatch.setattr(chosen, "_QUIET", (taken, free))
    assert {free_port() for _ in range(20)} == {free}
    monkeypatch.setattr(chosen, "_QUIET", (taken,))
    with pytest.raises(OSError, match="no port is free"):
        free_port()


def test_an_installation_has_two(tmp_path: Path) -> None:
    """One for its terminals, one for its API."""
    place = Installation(tmp_path)
    place.write()
    config = yaml.safe_load(place.config_file.read_text())
    assert config["pos"]["port"] != config["http"]["port"]
    assert max(config["pos"]["port"], config["http"]["port"]) < LOWEST
