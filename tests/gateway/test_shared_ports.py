"""A port that another process listens on is named before a gateway takes its share of it."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import yaml
from structlog.testing import LogCapture

from gateway.cli.free_ports import free_port
from gateway.cli.shared_ports import shared_ports, warn_of_shared_ports
from gateway.config import Config, LoadedConfig, load


def config_of(folder: Path, *, pos: dict[str, object], http: dict[str, object]) -> LoadedConfig:
    file = folder / "config.yaml"
    keys = {"master_key": "env:POSGATE_MASTER_KEY"}
    store = {"url": "sqlite:///posgate.db"}
    file.write_text(yaml.safe_dump({"store": store, "keys": keys, "pos": pos, "http": http}))
    return load(file)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port as another gateway listens on it."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_only_what_another_listens_on_is_named(tmp_path: Path, taken: int) -> None:
    """Whichever door it is; on every address, where one is asked for; 0 is the system's choice."""
    free = free_port()

    def shared(pos: dict[str, object], http: dict[str, object]) -> object:
        return shared_ports(config_of(tmp_path, pos=pos, http=http).config)

    assert shared({"port": free}, {"port": 0}) == []
    assert shared({"port": taken}, {"port": free}) == [taken]
    assert shared({"port": free}, {"port": taken}) == [taken]
    assert shared({"port": taken, "host": "0.0.0.0"}, {"port": 0}) == [taken]
    files = {"certificate_file": "server.pem", "key_file": "server-key.pem"}
    tls: dict[str, object] = {"plain": False, "port": taken, "tls": files}
    assert shared({**tls, "tls_port": free}, {"port": 0}) == []
    assert shared({**tls, "tls_port": taken}, {"port": 0}) == [taken]
    assert shared({**tls, "https_port": taken}, {"port": 0}) == [taken]


def test_the_one_that_is_looked_at_is_not_disturbed(tmp_path: Path, taken: int) -> None:
    """Nobody dials it, and the port can be shared as before."""
    config: Config = config_of(tmp_path, pos={"port": taken}, http={"port": 0}).config
    assert shared_ports(config) == shared_ports(config) == [taken]
    with socket.socket() as second:
        second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        second.bind(("127.0.0.1", taken))
        second.listen()


def test_a_program_that_shares_nothing_is_not_called_shared(tmp_path: Path) -> None:
    """The gateway cannot listen there at all, and says so itself."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        config = config_of(tmp_path, pos={"port": port}, http={"port": 0}).config
        assert shared_ports(config) == []


async def test_connections_that_still_end_are_nobody(tmp_path: Path) -> None:
    """Right after a restart the kernel keeps the old one's connections for a minute."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await reader.read() == b""
    server.close()
    await server.wait_closed()
    writer.close()
    await writer.wait_closed()
    assert shared_ports(config_of(tmp_path, pos={"port": port}, http={"port": 0}).config) == []


@pytest.mark.parametrize("host", ["", "no-such-host.invalid", "a..b", "::1", "203.0.113.1"])
def test_a_place_that_cannot_be_looked_at_stops_no_start(tmp_path: Path, host: str) -> None:
    """Whoever listens there says what is wrong with it."""
    pos: dict[str, object] = {"host": host, "port": free_port()}
    assert shared_ports(config_of(tmp_path, pos=pos, http={"port": 0}).config) == []


def test_without_a_host_it_is_every_address(tmp_path: Path, taken: int) -> None:
    pos: dict[str, object] = {"host": "", "port": taken}
    assert shared_ports(config_of(tmp_path, pos=pos, http={"port": 0}).config) == [taken]


def test_it_is_a_warning_that_says_what_next(tmp_path: Path, taken: int) -> None:
    capture = LogCapture()
    log = structlog.wrap_logger(None, processors=[capture])
    warn_of_shared_ports(config_of(tmp_path, pos={"port": taken}, http={"port": 0}), log)
    (said,) = capture.entries
    assert (said["log_level"], said["event"], said["port"]) == ("warning", "port shared", taken)
    assert "another port" in said["next"]
