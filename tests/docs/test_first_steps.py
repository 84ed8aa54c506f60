"""The steps that the documents show are run as they stand, from an empty folder.

Only the ports are changed, to free ones.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.free_ports import free_ports

CHECKOUT = Path(__file__).resolve().parents[2]
PORTS = ("8583", "8443", "9001", "9002", "9003")
START_S = 60
pytestmark = pytest.mark.timeout(300)
"""Several processes start one after another, each with imports of its own."""


def with_free_ports(text: str, ports: dict[str, str]) -> str:
    """``text`` with every default port replaced."""
    return re.sub(rf"\b({'|'.join(PORTS)})\b", lambda match: ports[match[1]], text)


@pytest.fixture
def ports() -> dict[str, str]:
    """A free port for each default one."""
    return {port: str(free) for port, free in zip(PORTS, free_ports(len(PORTS)), strict=True)}


def block(document: str, label: str) -> str:
    """The one fenced block of a document that opens with ``label``."""
    text = (CHECKOUT / document).read_text(encoding="utf-8")
    found = re.findall(rf"^```{re.escape(label)}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"{document} has {len(found)} blocks {label!r}"
    return str(found[0])


def environment() -> dict[str, str]:
    """This interpreter's ``posgate`` and ``python3`` go first."""
    folder = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def run_shell(script: str, folder: Path) -> str:
    """What the script printed; it stops at the first step that fails."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def prepared(tmp_path: Path, ports: dict[str, str]) -> Path:
    """A folder in which the first start of ``docs/operations.md`` was done."""
    shutil.copy(CHECKOUT / "config.yaml", tmp_path)
    config = tmp_path / "config.yaml"
    config.write_text(with_free_ports(config.read_text(), ports))
    script = with_free_ports(block("docs/operations.md", "sh first-start"), ports)
    assert "config.yaml: in order" in run_shell(script, tmp_path)
    return tmp_path


@pytest.fixture
def running(prepared: Path) -> Iterator[Path]:
    """The same folder with its sandbox and gateway running."""
    with (prepared / "processes.log").open("wb") as log:
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "gateway.cli.main", name, "--ready-file", f"{name}.json"],
                cwd=prepared,
                env={**environment(), "PYTHONPATH": str(CHECKOUT)},
                stderr=log,
            )
            for name in ("sandbox", "serve")
        ]
        try:
            until = time.monotonic() + START_S
            while not all((prepared / f"{n}.json").exists() for n in ("sandbox", "serve")):
                dead = any(process.poll() is not None for process in processes)
                assert not dead, (prepared / "processes.log").read_text()
                assert time.monotonic() < until, (prepared / "processes.log").read_text()
                time.sleep(0.05)
            yield prepared
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(START_S)


@pytest.mark.slow
def test_first_start_leads_to_a_sale_and_the_readme_snippet_pays(
    running: Path, ports: dict[str, str]
) -> None:
    """Keys, certificate, provisioning, serving, a terminal's sales, then the API by hand."""
    script = block("docs/operations.md", "sh first-sale")
    printed = run_shell(with_free_ports(script, ports), running)
    assert printed.count("Approved") == 4
    assert '"ready":true' in printed
    key = json.loads((running / "data" / "api-key.json").read_text())[0]
    address = json.loads((running / "serve.json").read_text())["api"]["base_url"]
    info = {"api": {**key, "base_url": address, "ca_file": str(running / "data" / "server.pem")}}
    (running / "demo.json").write_text(json.dumps(info))
    (running / "by_hand.py").write_text(block("README.md", "python"))
    assert run_shell("python3 by_hand.py", running) == "succeeded reversed\n"


def test_an_unprepared_folder_is_told_all_that_is_missing(tmp_path: Path) -> None:
    """``posgate config check`` names every missing file at once, and where to read on."""
    shutil.copy(CHECKOUT / "config.yaml", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli.main", "config", "check"],
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    for key in ("keys.master_key", "http.tls.certificate_file", "http.tls.key_file"):
        assert key in done.stderr
    assert "docs/operations.md" in done.stderr
