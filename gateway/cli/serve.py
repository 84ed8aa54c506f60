"""``posgate serve``: the gateway, in one process or several on one port.

Rules: SIGTERM and SIGINT drain (no new payments, what is in flight finishes or is
left to recovery); a second signal leaves at once. Workers share the ports through
the kernel and everything else through the store, so nonces must be in Redis then. A
worker that dies is started again; a worker whose keeper is gone (killed, so that it
could tell nobody) drains and leaves: its standard input is a pipe that ends with the
keeper.
"""

import asyncio
import contextlib
import gc
import resource
import signal
import sys
from pathlib import Path
from typing import Annotated, Final

import typer
import uvloop

from domain.errors import ConfigurationError
from gateway.bootstrap import Bound, Gateway
from gateway.cli.ready_file import require_writable, write_atomically
from gateway.cli.session import DEFAULT_CONFIG, ConfigOption, run
from gateway.cli.shared_ports import warn_of_shared_ports
from gateway.cli.shared_store import marked_store
from gateway.config import LoadedConfig, load
from gateway.logs import adopt_library_logs, make_log
from gateway.nightly import Nightly, NightlyPace
from gateway.sources import SystemClock

_RESTART_PAUSE_S: Final = 1.0


def serve(
    config: ConfigOption = DEFAULT_CONFIG,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes on one port.")] = 1,
    ready_file: Annotated[
        Path | None, typer.Option(help="Write the real addresses here once ready (JSON).")
    ] = None,
    kept: Annotated[
        bool, typer.Option(hidden=True, help="Leave when standard input ends: the keeper is gone.")
    ] = False,
) -> None:
    """Run the gateway until SIGTERM.

    Example: posgate serve -c config.yaml --workers 2
    """

    async def work() -> None:
        loaded = load(config)
        if ready_file is not None:
            if workers > 1:
                raise ConfigurationError("--ready-file needs one worker: ports are fixed anyway")
            require_writable(ready_file)
        if workers == 1:
            gateway = Gateway(loaded)
            if not kept:
                warn_of_shared_ports(loaded, gateway.log)
            with marked_store(loaded, gateway.log):
                await serve_here(gateway, ready_file, kept=kept, nights_of=config)
        else:
            _check_workers(loaded)
            warn_of_shared_ports(
                loaded, make_log(loaded.config.logs.level, loaded.config.logs.format)
            )
            await _serve_with_workers(config, workers)

    uvloop.install()
    run(work())


async def serve_here(
    gateway: Gateway,
    ready_file: Path | None,
    *,
    kept: bool = False,
    nights_of: Path | None = None,
) -> None:
    """Run one gateway in this process until it is told to stop, or its keeper is gone.

    ``nights_of`` is the configuration whose nights it may run, if that says so.
    """
    adopt_library_logs(gateway.log)
    _allow_many_files()
    stop = _stop_event()
    if kept:
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _keeper_gone, stop)
    nights: asyncio.Task[None] | None = None
    try:
        bound = await gateway.start()
        _calm_collector()
        if nights_of is not None and gateway.runs_nights:
            nights = asyncio.get_running_loop().create_task(_nightly(gateway, nights_of).run())
        if ready_file is not None:
            scheme = "https" if bound.api_tls else "http"
            write_atomically(
                ready_file,
                {
                    "pos": _pos_place(bound),
                    "api": {"base_url": f"{scheme}://{bound.api_host}:{bound.api_port}"},
                },
            )
        await stop.wait()
    finally:
        if nights is not None:
            nights.cancel()
            await asyncio.gather(nights, return_exceptions=True)
        await gateway.stop()


def _nightly(gateway: Gateway, config: Path) -> Nightly:
    """The nights of this installation, each run in a process of its own."""

    async def spawn() -> asyncio.subprocess.Process:
        arguments = ("-m", "gateway.cli.main", "reconcile", "-c", str(config), "--json")
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
        )

    surplus_refunds = gateway.surplus_refunds()
    return Nightly(
        store=gateway.store,
        spawn=spawn,
        ask=gateway.core.inbound.ask,
        give_back=surplus_refunds.carry_out,
        ask_surplus=surplus_refunds.ask,
        clock=SystemClock(),
        log=gateway.log,
        pace=NightlyPace(),
    )


def _pos_place(bound: Bound) -> dict[str, str | int]:
    """Where terminals may connect; a port that is closed is left out."""
    ports = {
        "port": bound.pos_port,
        "tls_port": bound.pos_tls_port,
        "https_port": bound.pos_https_port,
    }
    return {"host": bound.pos_host} | {name: port for name, port in ports.items() if port}


def _allow_many_files() -> None:
    """As many file descriptors as the system lets us have: each terminal takes one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _calm_collector() -> None:
    """Let the garbage collector run every few hundred payments, and pass over the program itself.

    A payment leaves no cycles: what it makes is freed by counting references.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _stop_event() -> asyncio.Event:
    """Set by the first signal; the second one leaves at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def told() -> None:
        if stop.is_set():
            sys.exit(1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)
    return stop


def _keeper_gone(stop: asyncio.Event) -> None:
    """The keeper writes nothing: the pipe is readable only at its end."""
    asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
    stop.set()


def _check_workers(loaded: LoadedConfig) -> None:
    config = loaded.config
    if config.http.nonces == "memory":
        raise ConfigurationError(
            "http.nonces: several workers need a shared nonce store; set redis://HOST:6379/0"
        )
    pos = config.pos
    if 0 in (pos.port, pos.tls_port, pos.https_port, config.http.port):
        raise ConfigurationError(
            "pos.port, pos.tls_port, pos.https_port and http.port must be fixed for several workers"
        )


async def _serve_with_workers(config: Path, workers: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    keepers = [loop.create_task(_keep_worker(config, stop)) for _ in range(workers)]
    await stop.wait()
    await asyncio.gather(*keepers)


async def _keep_worker(config: Path, stop: asyncio.Event) -> None:
    """Run one worker, and another one if it dies, until told to stop."""
    while not stop.is_set():
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.cli.main", "serve", "--kept", "-c", str(config)),
            stdin=asyncio.subprocess.PIPE,
        )
        ended = asyncio.ensure_future(process.wait())
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait((ended, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if stop.is_set():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await ended
            return
        await asyncio.sleep(_RESTART_PAUSE_S)
