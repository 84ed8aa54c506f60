"""What every command shares: reading the configuration, running, and failing clearly."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, TypeVar

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from domain.errors import ConfigurationError, InvalidRequest, PosgateError
from gateway.config import LoadedConfig, load
from gateway.keys import check_sealer, open_sealer
from gateway.sources import RandomIds, SystemClock, random_bytes
from gateway.store.engine import store_for
from gateway.store.port import Store
from signing.keywrap import Sealer

T = TypeVar("T")

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", help="The configuration file.", show_default=True)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
DEFAULT_CONFIG = Path("config.yaml")
_UNBOUNDED: Final = 100_000
"""More columns than any row of ours has."""


@dataclass(frozen=True, slots=True)
class Session:
    """An opened installation: configuration, keys and store."""

    loaded: LoadedConfig
    sealer: Sealer
    store: Store
    clock: SystemClock
    ids: RandomIds


@asynccontextmanager
async def session(config: Path) -> AsyncIterator[Session]:
    """Open the installation that ``config`` describes, and close it again."""
    loaded = load(config)
    sealer = open_sealer(loaded.config.keys.master_key, loaded.folder, random_bytes)
    store = store_for(loaded.store_url())
    await store.open()
    try:
        yield Session(loaded, sealer, store, SystemClock(), RandomIds())
    finally:
        await store.close()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; a fault is one clear line and a true exit status."""
    try:
        return asyncio.run(work)
    except PosgateError as error:
        fail(error)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def fail(error: PosgateError) -> NoReturn:
    """Say what is wrong and leave: 2 for a wrong configuration or command line, 1 otherwise."""
    print(f"posgate: {error.message}", file=sys.stderr)  # noqa: T201 - the command's own words
    raise typer.Exit(2 if isinstance(error, ConfigurationError | InvalidRequest) else 1)


def in_session(config: Path, work: Callable[[Session], Awaitable[T]], *, seals: bool = False) -> T:
    """Open the installation, do ``work``, close it.

    Work that ``seals`` is refused under another master key than the store's.
    """

    async def whole() -> T:
        async with session(config) as opened:
            if seals:
                await check_sealer(opened.sealer, opened.store, await opened.store.accounts())
            return await work(opened)

    return run(whole())


def show(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """Rows of data as a table for people or a JSON list for programs.

    No value is ever cut to the width of the terminal: a single row, and rows that are too
    wide, stand one value a line; what another program reads has a line for each row. A value
    is text, never markup or a command to the terminal: much of it is what others wrote.
    """
    if as_json:
        print_json(rows)
        return
    table = Table(*(rows[0] if rows else ("nothing here yet",)))
    for row in rows:
        table.add_row(*(Text(_plain(value)) for value in row.values()))
    console = Console()
    if not console.is_terminal:
        table.box, table.pad_edge = None, False
        console = Console(width=_UNBOUNDED)
    if len(rows) == 1 or Console(width=_UNBOUNDED).measure(table).maximum > console.width:
        _show_one_by_one(rows)
    else:
        console.print(table)


def _show_one_by_one(rows: list[dict[str, Any]]) -> None:
    for number, row in enumerate(rows):
        if number:
            typer.echo()
        for name, value in row.items():
            typer.echo(f"{name:17} {_plain(value)}")


def _plain(value: object) -> str:
    """A value as text that moves no cursor and colours nothing."""
    text = "" if value is None else str(value)
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def print_json(data: object) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(orjson.dumps(data, option=orjson.OPT_INDENT_2).decode() + "\n")
