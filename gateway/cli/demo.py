"""``posgate demo``: the whole product on this machine in one command.

Starts the simulated channels and the gateway in processes of their own on the
embedded default, pays through every door, prints expected beside actual, then keeps
serving. A gateway that is killed is started again, and its orders recover.
"""

import asyncio
import contextlib
import shutil
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import orjson
import typer
from rich.console import Console
from rich.table import Table

from channels.http import HttpClient
from domain.errors import ConfigurationError, Unavailable
from gateway.cli.demo_doors import DemoDoors, DemoRow, MerchantClient
from gateway.cli.installation import (
    MERCHANT_NO,
    POS_MERCHANT_ID,
    Installation,
    InstalledKey,
    InstalledTerminal,
)
from gateway.cli.installed_channels import info_sections
from gateway.cli.ready_file import require_writable, write_atomically
from gateway.cli.session import JsonOption, fail, print_json, run, session
from gateway.config import load
from gateway.sources import RandomIds
from gateway.store.migrate import migrate
from sandbox.scenarios import EXPECTED, scenarios_json

_MARKER: Final = ".posgate-demo"
_START_TIMEOUT_S: Final = 30.0
_STOP_TIMEOUT_S: Final = 10.0
_USERS_TERMINALS: Final = 16
_TABLE_WIDTH: Final = 130


def demo(
    once: Annotated[bool, typer.Option(help="Stop after the table.")] = False,
    info: Annotated[
        Path | None, typer.Option(help="Write addresses, keys and scenarios here (JSON).")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Keep the demo's files here (default: a temporary folder).")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Start everything, pay through every door, show what came of it.

    Example: posgate demo --once --json
    """
    try:
        if info is not None:
            require_writable(info)
        folder = _folder(data)
    except ConfigurationError as error:
        fail(error)
    try:
        agreed = run(_Demo(folder, info).run(once=once, as_json=json))
    finally:
        if data is None:
            shutil.rmtree(folder, ignore_errors=True)
    if not agreed:
        raise typer.Exit(1)


def _folder(data: Path | None) -> Path:
    """An empty folder: a temporary one, or ``data`` if it is new or an earlier demo's."""
    if data is None:
        return Path(tempfile.mkdtemp(prefix="posgate-demo-"))
    try:
        if data.exists() and any(data.iterdir()):
            if not (data / _MARKER).exists():
                raise ConfigurationError(f"{data} is not empty and not a demo's folder")
            shutil.rmtree(data)
        data.mkdir(parents=True, exist_ok=True)
        (data / _MARKER).touch()
    except OSError as error:
        raise ConfigurationError(f"{data}: cannot be written ({error.strerror})") from None
    return data


class _Demo:
    def __init__(self, folder: Path, info: Path | None) -> None:
        self._installation = Installation(folder)
        self._info_file = info
        self._sandbox: asyncio.subprocess.Process | None = None
        self._gateway: asyncio.subprocess.Process | None = None
        self._channels: dict[str, Any] = {}
        self._printed_url = ""
        self._ids = RandomIds()
        self._is_serving = False

    async def run(self, *, once: bool, as_json: bool) -> bool:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        work = loop.create_task(self._whole(stop, once=once, as_json=as_json))
        stopped = loop.create_task(stop.wait())
        try:
            await asyncio.wait((work, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and not self._is_serving:
                work.cancel()
            return await work
        except asyncio.CancelledError:
            return False
        finally:
            stopped.cancel()
            await self._stop()

    async def _whole(self, stop: asyncio.Event, *, once: bool, as_json: bool) -> bool:
        key, terminals = await self._start()
        rows = await self._pay(key, terminals[_USERS_TERMINALS:], once=once)
        _show(rows, as_json=as_json)
        if self._info_file is not None:
            self._write_info(key, terminals[:_USERS_TERMINALS])
        agreed = all(row.expected == row.actual for row in rows)
        if not once:
            self._what_next(as_json=as_json)
            self._is_serving = True
            await self._keep_serving(stop, key, terminals[:_USERS_TERMINALS])
        return agreed

    async def _start(self) -> tuple[InstalledKey, list[InstalledTerminal]]:
        place = self._installation
        place.write()
        migrated = asyncio.create_task(migrate(load(place.config_file).store_url()))
        sandbox_ready = place.folder / "sandbox.json"
        self._sandbox = await self._spawn("sandbox", sandbox_ready)
        await migrated
        self._channels = await _wait_for(sandbox_ready, self._sandbox, "sandbox")
        async with session(place.config_file) as opened:
            provisioned = await place.provision(
                opened,
                channels=self._channels,
                terminals=_USERS_TERMINALS + len(EXPECTED),
            )
            self._printed_url = await place.print_code(opened)
        await self._start_gateway()
        return provisioned

    async def _start_gateway(self) -> None:
        ready = self._installation.folder / "gateway.json"
        ready.unlink(missing_ok=True)
        self._gateway = await self._spawn("serve", ready)
        self._addresses = await _wait_for(ready, self._gateway, "gateway")

    async def _spawn(self, command: str, ready: Path) -> asyncio.subprocess.Process:
        log = (self._installation.folder / f"{command}.log").open("ab")
        config = str(self._installation.config_file)
        arguments = [command, "-c", config, "--ready-file", str(ready)]
        with log:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "gateway.cli.main",
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def _pay(
        self, key: InstalledKey, terminals: list[InstalledTerminal], *, once: bool
    ) -> list[DemoRow]:
        http = HttpClient(ca_file=str(self._installation.ca_file))
        await http.start()
        try:
            doors = DemoDoors(
                MerchantClient(http, self._addresses["api"]["base_url"], key, self._ids),
                self._addresses["pos"]["host"],
                self._addresses["pos"]["port"],
                POS_MERCHANT_ID,
                terminals,
                self._ids,
            )
            return await doors.run(once=once)
        finally:
            await http.close()

    def _write_info(self, key: InstalledKey, terminals: list[InstalledTerminal]) -> None:
        folder, channels = self._installation.folder, self._channels
        if self._info_file is None or self._gateway is None or self._sandbox is None:
            return
        write_atomically(
            self._info_file,
            {
                "pos": {
                    **self._addresses["pos"],
                    "merchant_id": POS_MERCHANT_ID,
                    "terminals": [
                        {
                            "terminal_id": terminal.terminal_id,
                            "tmk": terminal.tmk,
                            "key_scheme": "3des",
                            "mac": "cup-ecb",
                        }
                        for terminal in terminals
                    ],
                },
                "api": {
                    **self._addresses["api"],
                    "ca_file": str(self._installation.ca_file),
                    "merchant_no": MERCHANT_NO,
                    "key_id": key.key_id,
                    "secret": key.secret,
                },
                "sandbox": {
                    **info_sections(folder, channels),
                    "control_url": channels["control_url"],
                },
                "scenarios": scenarios_json(),
                "pids": {"gateway": self._gateway.pid, "sandbox": self._sandbox.pid},
            },
        )

    def _what_next(self, *, as_json: bool) -> None:
        """For a person, so beside a table that is for a program."""
        base_url = self._addresses["api"]["base_url"]
        info = self._info_file or "demo.json"
        Console(stderr=as_json).print(
            f"\nServing. API and its page: {base_url}/docs   POS: port "
            f"{self._addresses['pos']['port']}   channels: {self._channels['control_url']}/charges\n"
            f"Pay as a payer, in a browser: {self._payers_page()}\n"
            f"Files and logs: {self._installation.folder}\n\n"
            "Try next, in another shell"
            + ("" if self._info_file else f" (start me with --info {info} first)")
            + f":\n  posgate terminal sign-in --info {info}\n"
            f"  posgate terminal sale --info {info} --amount 1990"
            " --pan 9900000000000010 --pin 123456\n"
            f"  posgate terminal reverse --info {info}\n"
            f"  posgate terminal scan --info {info} --amount 500 --code 280000000000000001\n"
            "Ctrl-C stops everything.",
            highlight=False,
            soft_wrap=True,
        )

    def _payers_page(self) -> str:
        """Where a simulated app scans the demo's printed code."""
        return f"{self._channels['wallets']}/?{urlencode({'code': self._printed_url})}"

    async def _keep_serving(
        self, stop: asyncio.Event, key: InstalledKey, terminals: list[InstalledTerminal]
    ) -> None:
        """Until told to stop; a gateway that dies is started again on the same ports."""
        stopped = asyncio.create_task(stop.wait())
        while not stop.is_set() and self._gateway is not None:
            died = asyncio.create_task(self._gateway.wait())
            await asyncio.wait((died, stopped), return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set():
                died.cancel()
                return
            await self._start_gateway()
            self._write_info(key, terminals)

    async def _stop(self) -> None:
        """The gateway first, so that what is in flight still finds its channel."""
        for process in (self._gateway, self._sandbox):
            if process is None or process.returncode is not None:
                continue
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(_STOP_TIMEOUT_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def _wait_for(ready: Path, process: asyncio.subprocess.Process, name: str) -> dict[str, Any]:
    """The ready file's content, once it is there."""
    try:
        async with asyncio.timeout(_START_TIMEOUT_S):
            while not ready.exists():
                if process.returncode is not None:
                    log = ready.parent / f"{'serve' if name == 'gateway' else name}.log"
                    tail = log.read_text(errors="replace")[-2000:]
                    raise ConfigurationError(f"the {name} did not start:\n{tail}")
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise Unavailable(f"the {name} was not ready in {_START_TIMEOUT_S:.0f} s") from None
    data: dict[str, Any] = orjson.loads(ready.read_bytes())
    return data


def _show(rows: list[DemoRow], *, as_json: bool) -> None:
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    table = Table("door", "channel", "scenario", "amount (fen)", "expected", "actual", "")
    for column in table.columns:
        column.no_wrap = True
    for row in rows:
        agrees = row.expected == row.actual
        mark = "[green]agrees[/green]" if agrees else "[red]differs[/red]"
        table.add_row(
            row.door,
            row.channel,
            row.scenario,
            str(row.amount_fen),
            row.expected,
            row.actual,
            mark,
        )
    Console(width=max(Console().width, _TABLE_WIDTH)).print(table)
