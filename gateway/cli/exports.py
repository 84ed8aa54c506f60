"""``posgate export``: a day's reports and its ledger as files for other programs.

Rules: files are named ``DAY/NAME``, by rename, with a manifest: what takes them away (SFTP, a
mounted folder) sees whole files only, and knows that a day is complete by its manifest.
"""

import asyncio
from datetime import date
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from domain.clock import beijing
from gateway.archive_bills import night_folder
from gateway.cli.days import day_of
from gateway.cli.session import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    Session,
    in_session,
    show,
)
from gateway.store.port import LedgerLine, Store
from reconciliation.day_figures import REPORT_FILE
from reconciliation.exports import write_files
from reconciliation.plain_ledger import LedgerDay, plain_ledger
from reconciliation.reports import DIMENSIONS, Row, night_rows, report, report_csv, report_parquet

exports = typer.Typer(no_args_is_help=True, help="A day's files for other programs.")

_PAGE: Final = 2000
DateOption = Annotated[str, typer.Option("--date", help="A business day, YYYY-MM-DD.")]


@exports.command("report")
def export_report(
    day: DateOption,
    by: Annotated[
        str, typer.Option(help=f"Dimensions, by commas: {', '.join(DIMENSIONS)}.")
    ] = "merchant_no,channel",
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Add the day's bills up by merchant, store, terminal, cashier, channel, method or hour.

    Example: posgate export report --date 2026-11-29 --by merchant_no,hour
    """
    on, dimensions = day_of(day), [name.strip() for name in by.split(",") if name.strip()]
    if not dimensions or not {*dimensions} <= {*DIMENSIONS}:
        raise typer.BadParameter(f"some of {', '.join(DIMENSIONS)}", param_hint="--by")

    async def work(session: Session) -> list[dict[str, Any]]:
        accounts = {one.account_id: one.channel for one in await session.store.accounts()}
        section = session.loaded.config.reconciliation
        nights, kept = session.loaded.path(section.folder), session.loaded.path(section.archive)
        rows: list[Row] = []
        for account_id, channel in sorted(accounts.items()):
            file = night_folder(nights, kept, account_id, on) / REPORT_FILE
            if file.is_file():
                read = partial(_read, file, on, channel, account_id)
                rows += await asyncio.to_thread(read)
        summed = report(rows, dimensions)
        name = f"report-by-{'-'.join(dimensions)}"
        files = {
            f"{name}.csv": report_csv(summed, dimensions),
            f"{name}.parquet": report_parquet(summed, dimensions),
        }
        return await asyncio.to_thread(_write, _target(session, on), files)

    show(in_session(config, work), as_json=json)


@exports.command("ledger")
def export_ledger(
    day: DateOption,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Write the day's ledger as plain text that beancount reads.

    Example: posgate export ledger --date 2026-11-29
    """
    on = day_of(day)

    async def work(session: Session) -> list[dict[str, Any]]:
        entries = await _entries(session.store, on)
        text = "".join(plain_ledger(entries)).encode()
        files = {"ledger.beancount": text}
        return await asyncio.to_thread(_write, _target(session, on), files)

    show(in_session(config, work), as_json=json)


async def _entries(store: Store, on: date) -> list[LedgerDay]:
    """The entries of one Beijing day."""
    grouped: dict[tuple[str, int], list[LedgerLine]] = {}
    after: tuple[str, int, int] | None = None
    while page := await store.ledger_lines(after, _PAGE):
        for line in page:
            if beijing(line.at_ms).date() == on:
                grouped.setdefault((line.subject, line.sequence), []).append(line)
        after = (page[-1].subject, page[-1].sequence, page[-1].line)
    return [
        LedgerDay(
            day=on,
            subject=subject,
            sequence=sequence,
            postings=[line.posting for line in sorted(lines, key=lambda one: one.line)],
        )
        for (subject, sequence), lines in grouped.items()
    ]


def _read(file: Path, on: date, channel: str, account_id: str) -> list[Row]:
    return list(night_rows(file, on, channel, account_id))


def _target(session: Session, on: date) -> Path:
    return session.loaded.path(session.loaded.config.reconciliation.exports) / on.isoformat()


def _write(target: Path, files: dict[str, bytes]) -> list[dict[str, Any]]:
    write_files(target, files)
    return [{"file": str(target / name), "bytes": len(data)} for name, data in files.items()]
