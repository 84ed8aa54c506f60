"""``posgate reconcile``: the nights that are due, or one of them, and how they stand.

Rules: each account's night is on its own: one that is refused or waits holds up no other.
The exit status is 0 only if every night that was asked for is done. Files and what was
matched are where ``reconciliation.folder`` and ``reconciliation.exports`` say.
"""

import asyncio
import json as standard_json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from channels.http import HttpClient
from channels.port import ByteLink, ChannelServices, LinkReceiver, NotSent
from channels.registry import plugins
from domain.clock import beijing, iso_utc
from domain.errors import ConfigurationError, Conflict
from gateway.accounts import open_account
from gateway.batch_night import match_batches
from gateway.cli.days import day_of, day_over
from gateway.cli.known import account_of, plugin_of
from gateway.cli.session import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    Session,
    in_session,
    show,
)
from gateway.differences import Differences
from gateway.night_accounts import BuiltAccount, night_accounts
from gateway.night_exports import DayExporter
from gateway.night_fees import FeePoster
from gateway.sources import SystemClock
from gateway.store.order_source import order_source
from reconciliation.engine import EngineBounds
from reconciliation.job import NightJob, OutOfOrder
from reconciliation.night_account import NightAccount
from reconciliation.night_records import Night, NightState

reconcile = typer.Typer(invoke_without_command=True)

_PATIENCE_DAYS: Final = 1
_STEPS: Final = ("fetch", "match", "keep", "post", "export")
DateOption = Annotated[str, typer.Option("--date", help="A business day, YYYY-MM-DD.")]


@reconcile.callback()
def run_nights(
    context: typer.Context,
    day: DateOption = "",
    channel: Annotated[str, typer.Option(help="Only this channel's accounts.")] = "",
    account: Annotated[str, typer.Option(help="Only this account.")] = "",
    bill: Annotated[
        Path | None, typer.Option(help="A bill laid by hand, with --date and --account.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Match --date of --account anew, and the days since.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """The nightly match of channels' bills with our books.

    Of one day, or of every day that is due and not done; or of one anew whose bill has changed.

    Example: posgate reconcile --date 2026-11-29 --channel alipay
    """
    if context.invoked_subcommand is not None:
        return
    if again and not (day and account):
        raise typer.BadParameter("--again goes with --date and --account")
    if bill is not None and not (day and account and bill.is_file()):
        raise typer.BadParameter("--bill names a file and goes with --date and --account")
    # a file that is at hand may be of a clearing day that is not over
    asked = (day_of if bill else day_over)(day) if day else None

    async def work(session: Session) -> list[Night]:
        if channel:
            plugin_of(channel)
        if account:
            await account_of(session, account)
        await Differences(session.store, session.clock).carry_out_approved()
        async with _job(session, quiet=json) as (job, accounts):
            chosen = [
                one
                for one in accounts
                if channel in ("", one.channel) and account in ("", one.account_id)
            ]
            if not chosen:
                raise ConfigurationError("no account of that channel has bills that can be read")
            if again and asked is not None:
                return await _run_again(job, chosen[0], asked, bill)
            return await _run_all(session, job, chosen, asked, bill)

    nights = in_session(config, work)
    show([_night_row(night) for night in nights], as_json=json)
    if any(_needs_eyes(night, asked) for night in nights):
        raise typer.Exit(1)


def _needs_eyes(night: Night, asked: date | None) -> bool:
    """Not done, if it was asked for; by itself a bill may be late by a day."""
    if night.state is not NightState.WAITING or asked is not None:
        return night.state is not NightState.DONE
    return beijing(SystemClock().now_ms()).date() - night.day > timedelta(days=_PATIENCE_DAYS)


@reconcile.command("status")
def status(
    day: DateOption = "",
    days: Annotated[int, typer.Option(min=1, max=366, help="How many days back.")] = 7,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """How the last nights stand; the exit status is 0 only if none is refused or changed.

    Example: posgate reconcile status --days 3
    """
    asked = day_of(day) if day else None

    async def work(session: Session) -> list[Night]:
        last = asked or beijing(session.clock.now_ms()).date()
        return list(await session.store.nights(last - timedelta(days=days - 1), last))

    nights = in_session(config, work)
    show([_night_row(night) for night in nights], as_json=json)
    if any(night.state in (NightState.REFUSED, NightState.CHANGED) for night in nights):
        raise typer.Exit(1)


async def _run_again(
    job: NightJob, account: NightAccount, asked: date, bill: Path | None
) -> list[Night]:
    try:
        return await job.again(account, asked, bill)
    except OutOfOrder as fault:
        raise Conflict("night_out_of_order", str(fault)) from None


async def _run_all(
    session: Session,
    job: NightJob,
    accounts: Sequence[NightAccount],
    asked: date | None,
    bill: Path | None,
) -> list[Night]:
    nights = []
    for day in await _batch_days(session, asked):
        nights.append(await match_batches(session.store, session.clock, day))
    for account in accounts:
        if asked is None:
            nights += await _look_again(session, job, account)
        days = [asked] if asked is not None else await _due_days(session, account)
        for day in days:
            night = await _run_one(job, account, day, bill)
            nights.append(night)
            if night.state in (NightState.WAITING, NightState.REFUSED):
                break  # the next day begins with what this one leaves
    return nights


async def _look_again(session: Session, job: NightJob, account: NightAccount) -> list[Night]:
    """The bill of the day before yesterday once more; what is told of it only if it changed."""
    day = beijing(session.clock.now_ms()).date() - timedelta(days=2)
    night = await session.store.night(account.account_id, day)
    seen = job.place(account.account_id, day) / "seen-again"
    if night is None or seen.exists():
        return []
    again = await job.look_again(account, night)
    await asyncio.to_thread(seen.touch)
    return [again] if again.state is NightState.CHANGED else []


async def _batch_days(session: Session, asked: date | None) -> list[date]:
    """The days whose batches are compared: the one asked for, or yesterday."""
    today = beijing(session.clock.now_ms()).date()
    day = asked or today - timedelta(days=1)
    return [day] if day < today else []


async def _run_one(job: NightJob, account: NightAccount, day: date, bill: Path | None) -> Night:
    try:
        return await job.run(account, day, bill)
    except OutOfOrder as fault:
        return Night(
            account_id=account.account_id,
            day=day,
            version=0,
            state=NightState.WAITING,
            error=str(fault),
        )


async def _due_days(session: Session, account: NightAccount) -> list[date]:
    """The days of the last week whose bill is due and whose night is not done, oldest first.

    None for a channel that delivers no files: its nights come with ``--bill``.
    """
    if account.bills is None:
        return []
    now_ms = session.clock.now_ms()
    today = beijing(now_ms).date()
    back = session.loaded.config.reconciliation.catch_up_days
    kept = {
        night.day: night
        for night in await session.store.nights(today - timedelta(days=back), today)
        if night.account_id == account.account_id
    }
    days = [today - timedelta(days=ago) for ago in range(back, 0, -1)]
    first = min(kept, default=days[-1])  # an account's first night is yesterday's
    return [
        day
        for day in days
        if day >= first
        and account.bills.bill_due_ms(day) <= now_ms
        and (day not in kept or kept[day].state is not NightState.DONE)
    ]


@asynccontextmanager
async def _job(
    session: Session, *, quiet: bool
) -> AsyncIterator[tuple[NightJob, Sequence[NightAccount]]]:
    """A job over this installation; its HTTP client lives as long as it."""
    section = session.loaded.config.reconciliation
    http = _http_client(session)
    await http.start()
    try:
        with _steps(quiet=quiet) as told:
            job = NightJob(
                store=session.store,
                source=order_source(session.loaded.store_url()),
                clock=session.clock,
                folder=session.loaded.path(section.folder),
                bounds=EngineBounds(
                    memory_mb=section.memory_mb,
                    spill_mb=section.spill_mb,
                    threads=section.threads,
                ),
                post_fee=FeePoster(session.store, session.clock),
                export=DayExporter(session.store, session.loaded),
                told=told.step,
            )
            built = await _built_accounts(session, http)
            yield job, night_accounts(built, section)
    finally:
        await http.close()


def _http_client(session: Session) -> HttpClient:
    section = session.loaded.config.channels
    return HttpClient(
        max_concurrent_per_channel=section.max_concurrent_per_channel,
        connect_timeout_s=section.connect_timeout_s,
        ca_file=str(session.loaded.path(section.ca_file)) if section.ca_file else None,
    )


async def _built_accounts(session: Session, http: HttpClient) -> list[BuiltAccount]:
    """Every account with its channel, built and not started: files come over HTTP."""

    async def connect(_host: str, _port: int, _receiver: LinkReceiver) -> ByteLink:
        raise NotSent("only files are fetched here")

    services = ChannelServices(
        clock=session.clock,
        ids=session.ids,
        send=http.send,
        connect=connect,
        take_sequence=session.store.take_sequence,
        download=http.download,
    )
    known = plugins()
    built = []
    for account in await session.store.accounts():
        if account.channel not in known:
            continue
        try:
            opened = open_account(session.sealer, account)
            channel = known[account.channel].build(opened, services)
        except ConfigurationError as error:
            if not account.disabled:  # as a start has it
                raise
            typer.echo(f"posgate: disabled account left out: {error.message}", err=True)
            continue
        built.append(BuiltAccount(account.account_id, account.channel, channel))
    return built


class _Steps:
    """A bar over a night's steps on a terminal; nothing elsewhere."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._task = None if progress is None else progress.add_task("", total=len(_STEPS))

    def step(self, name: str) -> None:
        """``name`` begins."""
        if self._progress is not None and self._task is not None:
            done = _STEPS.index(name)
            self._progress.update(self._task, description=name, completed=done)

    def __enter__(self) -> "_Steps":
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()


def _steps(*, quiet: bool) -> _Steps:
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        return _Steps(None)
    columns = (TextColumn("{task.description:8}"), BarColumn(), TimeElapsedColumn())
    return _Steps(Progress(*columns, TimeRemainingColumn(), console=console, transient=True))


def _night_row(night: Night) -> dict[str, Any]:
    totals = standard_json.loads(night.totals_json)
    found = totals.get("differences", {})
    return {
        "account": night.account_id,
        "day": night.day.isoformat(),
        "state": night.state.value,
        "lines": totals.get("lines"),
        "matched": totals.get("pairs"),
        "waiting": totals.get("waiting"),
        "differences": sum(count for kind, count in found.items() if kind != "late"),
        "error": night.error or None,
        "updated_at": iso_utc(night.updated_at_ms) if night.updated_at_ms else None,
    }
