"""``posgate archive``: old payments and bills into Parquet, and back to the eye.

Rules: nothing younger than ``reconciliation.keep_days`` is taken. What stayed is counted by
its reason. Everything can be run again, stopped anywhere; ``verify`` proves that every
archive is whole.
"""

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import pyarrow.parquet
import typer

from domain.clock import beijing
from domain.errors import InvalidRequest, NotFound, Unavailable
from gateway.archive import ORDERS, ArchiveJob, verify_archives
from gateway.archive_bills import archive_nights
from gateway.archive_files import ArchiveFault, read_rows
from gateway.cli.days import day_of
from gateway.cli.known import account_of
from gateway.cli.session import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    Session,
    in_session,
    print_json,
    show,
)
from gateway.store.archive_records import Archive
from gateway.store.archive_tables import REFUND_EVENTS, REFUNDS, TABLES

archive = typer.Typer(invoke_without_command=True)
_PAGE: Final = 500


@archive.callback()
def run_archive(
    context: typer.Context,
    before: Annotated[
        str, typer.Option(help="Everything of before this day, YYYY-MM-DD, that may go.")
    ] = "",
    unmatched: Annotated[
        list[str] | None,
        typer.Option(help="An account whose nights are matched elsewhere; may be repeated."),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Old payments and bills, kept as Parquet files.

    Archive what is final, told and reconciled, and remove its history from the store.

    Example: posgate archive --before 2025-01-01
    """
    if context.invoked_subcommand is not None:
        return
    day = day_of(before, "--before")

    async def work(session: Session) -> dict[str, Any]:
        section = session.loaded.config.reconciliation
        _require_old(session, day, section.keep_days)
        for account_id in unmatched or ():
            await account_of(session, account_id)
        folder = session.loaded.path(section.archive)
        job = ArchiveJob(
            session.store,
            session.clock,
            folder,
            carry_days=section.carry_days,
            unmatched=frozenset(unmatched or ()),
        )
        left: Counter[str] = Counter()
        try:
            found = await job.run(day)
            nights = session.loaded.path(section.folder)
            went = await archive_nights(session.store, nights, folder, day, left)
        except ArchiveFault as fault:
            raise Unavailable(str(fault)) from fault
        return {
            "archives": len(found.archives),
            "payments": found.payments,
            "nights": went,
            "folder": str(folder),
            "left": {**+found.left, **+left},
        }

    show([in_session(config, work)], as_json=json)


@archive.command("list")
def list_archives(config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """List what was archived.

    Example: posgate archive list
    """

    async def work(session: Session) -> list[dict[str, Any]]:
        return [dataclasses.asdict(one) for one in await _archives(session)]

    show(in_session(config, work), as_json=json)


@archive.command("verify")
def verify(config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """Hold every archive against its manifest, and that against the store.

    Example: posgate archive verify
    """

    async def work(session: Session) -> list[str]:
        return await verify_archives(session.store, _folder(session))

    wrong = in_session(config, work)
    if json:
        print_json({"wrong": wrong})
    for line in wrong if not json else ():
        typer.echo(line, err=True)
    if wrong:
        raise typer.Exit(1)
    if not json:
        typer.echo("every archive is whole")


@archive.command("show")
def show_payment(
    number: Annotated[str, typer.Argument(help="Our id, the merchant's or the channel's number.")],
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Show all that an archive holds of a payment: its history, postings, refunds, notices.

    Example: posgate archive show pay_BNQHKLMACADFGHJKLMNPQRABCDEFGHJK
    """

    async def work(session: Session) -> list[dict[str, Any]]:
        archives = await _archives(session)
        places = [_folder(session) / ORDERS / one.name for one in archives]
        kept = await session.store.archived(number)
        if kept is not None:
            places = [_folder(session) / ORDERS / kept.archive]
        found = await asyncio.to_thread(_find, places, number)
        if not found:
            raise NotFound("not_archived", f"no archive holds {number}")
        return found

    found = in_session(config, work)
    if json:
        print_json(found)
        return
    for row in found:
        typer.echo("  ".join(f"{name}={value}" for name, value in row.items() if value != ""))


def _find(places: Sequence[Path], number: str) -> list[dict[str, Any]]:
    """Every row about the payments that bear this number."""
    rows: list[dict[str, Any]] = []
    asked: Any = [
        [(column, "=", number)]
        for column in ("id", "order_key", "channel_order_no", "channel_trade_no")
    ]
    for place in places:
        file = place / "payments.parquet"
        for payment in pyarrow.parquet.read_table(file, filters=asked).to_pylist():
            rows += _rows_of(place, payment["id"])
    return rows


def _rows_of(place: Path, payment_id: str) -> list[dict[str, Any]]:
    refunds = [one["id"] for one in read_rows(place, REFUNDS, payment_id)]
    rows = []
    for table in TABLES:
        owners = refunds if table is REFUND_EVENTS else [payment_id]
        for owner in owners:
            rows += [{"table": table.name} | one for one in read_rows(place, table, owner)]
    return [
        {
            name: value.decode(errors="replace") if isinstance(value, bytes) else value
            for name, value in row.items()
        }
        for row in rows
    ]


async def _archives(session: Session) -> Sequence[Archive]:
    found: list[Archive] = []
    after = ""
    while page := await session.store.archives(after, _PAGE):
        found += page
        after = page[-1].name
    return found


def _folder(session: Session) -> Path:
    return session.loaded.path(session.loaded.config.reconciliation.archive)


def _require_old(session: Session, before: date, keep_days: int) -> None:
    youngest = beijing(session.clock.now_ms()).date() - timedelta(days=keep_days)
    if before > youngest:
        raise InvalidRequest(
            "too_young",
            f"{keep_days} days are kept (reconciliation.keep_days): "
            f"--before may be {youngest} at the latest",
            field="before",
        )
