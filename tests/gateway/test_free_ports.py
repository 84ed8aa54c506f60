"""Ports for an installation made from nothing."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from gateway.cli import free_ports as chosen
from gateway.cli.free_ports import free_port, free_ports
from gateway.cli.installation import Installation

SYSTEMS_OWN = Path("/proc/sys/net/ipv4/ip_local_port_range")


@pytest.fixture
def lowest() -> int:
    """The first port that the system gives away by itself."""
    if not SYSTEMS_OWN.exists():
        pytest.skip("this system does not say which ports it gives away")
    first = int(SYSTEMS_OWN.read_text().split()[0])
    if first < chosen._QUIET[-1]:
        pytest.skip(f"this system was told to give away {first} and up")
    return first


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that a server listens on."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_the_system_gives_none_of_them_away(lowest: int) -> None:
    """Or the sandbox, which lets it choose, would sit on the gateway's before that is up."""
    assert all(1024 <= port < lowest for port in free_ports(200))


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


def test_an_installation_has_two(tmp_path: Path, lowest: int) -> None:
    """One for its terminals, one for its API."""
    place = Installation(tmp_path)
    place.write()
    config = yaml.safe_load(place.config_file.read_text())
    assert config["pos"]["port"] != config["http"]["port"]
    assert max(config["pos"]["port"], config["http"]["port"]) < lowest
