"""``posgate limit set|list|show|remove``: what a merchant, or one of its stores, may take.

Rules: amounts in fen, hours in Beijing time. A limit holds in every running gateway within
``limits.fresh_s``; what was begun before goes on.
"""

import re
from dataclasses import replace
from typing import Annotated, Any, Final

import typer

from domain.errors import NotFound
from domain.limits import Limit, limit_day
from domain.money import MAX_AMOUNT_FEN
from gateway.cli.session import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    Session,
    in_session,
    show,
)
from gateway.http.bodies import MAX_STORE_ID

limits = typer.Typer(no_args_is_help=True, help="What merchants and their stores may take.")

_HOURS = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
ALL_DAY: Final = "all-day"
StoreOption = Annotated[str, typer.Option(help="Only this store (default: the whole merchant).")]


@limits.command("set")
def set_limit(
    merchant_no: str,
    store: StoreOption = "",
    single: Annotated[
        int | None,
        typer.Option(min=0, max=MAX_AMOUNT_FEN, help="The most of one payment, in fen; 0: none."),
    ] = None,
    daily: Annotated[
        int | None,
        typer.Option(min=0, max=MAX_AMOUNT_FEN, help="The most of a day, in fen; 0: none."),
    ] = None,
    small: Annotated[
        int | None,
        typer.Option(
            min=0, max=MAX_AMOUNT_FEN, help="Above it a till needs an operator's PIN; 0: never."
        ),
    ] = None,
    hours: Annotated[
        str, typer.Option(help=f"HH:MM-HH:MM in Beijing, past midnight too, or {ALL_DAY}.")
    ] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Set a limit of a merchant or a store; what is not named stays as it is.

    Example: posgate limit set M1 --store S1 --single 500000 --daily 5000000 --hours 08:00-22:30
    """
    given = {"single_fen": single, "daily_fen": daily, "small_fen": small}
    changes: dict[str, Any] = {name: fen for name, fen in given.items() if fen is not None}
    if hours:
        changes |= _minutes(hours)
    if not changes:
        raise typer.BadParameter("give --single, --daily, --small or --hours")
    if len(store) > MAX_STORE_ID or not store.isprintable():
        raise typer.BadParameter(
            f"at most {MAX_STORE_ID} printable characters", param_hint="--store"
        )

    async def work(session: Session) -> Limit:
        before = await _find(session, merchant_no, store)
        limit = replace(before or Limit(merchant_no=merchant_no, store_id=store), **changes)
        await session.store.set_limit(limit, session.clock.now_ms())
        return limit

    show([_row(in_session(config, work))], as_json=json)


@limits.command("list")
def list_limits(config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """List every limit.

    Example: posgate limit list --json
    """

    async def work(session: Session) -> list[Limit]:
        return list(await session.store.limits())

    show([_row(one) for one in in_session(config, work)], as_json=json)


@limits.command("show")
def show_limit(
    merchant_no: str,
    store: StoreOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Show a limit, and what today has taken of it.

    Example: posgate limit show M1 --store S1
    """

    async def work(session: Session) -> dict[str, Any]:
        limit = await _find(session, merchant_no, store)
        if limit is None:
            raise NotFound("limit_not_found", "no such limit")
        row = _row(limit)
        if limit.daily_fen:
            day = limit_day(session.clock.now_ms())
            await session.store.free_unpaid(merchant_no, store, day)
            row["today_fen"] = await session.store.spent(merchant_no, store, day)
        return row

    show([in_session(config, work)], as_json=json)


@limits.command("remove")
def remove_limit(
    merchant_no: str, store: StoreOption = "", config: ConfigOption = DEFAULT_CONFIG
) -> None:
    """Limit nothing there any more.

    Example: posgate limit remove M1 --store S1
    """
    in_session(config, lambda session: session.store.remove_limit(merchant_no, store))


async def _find(session: Session, merchant_no: str, store_id: str) -> Limit | None:
    for limit in await session.store.limits():
        if (limit.merchant_no, limit.store_id) == (merchant_no, store_id):
            return limit
    return None


def _minutes(hours: str) -> dict[str, int]:
    if hours == ALL_DAY:
        return {"opens_min": 0, "closes_min": 0}
    match = _HOURS.fullmatch(hours)
    if match is None:
        raise typer.BadParameter(f"must be HH:MM-HH:MM or {ALL_DAY}", param_hint="--hours")
    opens_h, opens_m, closes_h, closes_m = map(int, match.groups())
    opens_min, closes_min = opens_h * 60 + opens_m, closes_h * 60 + closes_m
    if opens_min == closes_min:
        raise typer.BadParameter(f"for the whole day write {ALL_DAY}", param_hint="--hours")
    return {"opens_min": opens_min, "closes_min": closes_min}


def _row(limit: Limit) -> dict[str, Any]:
    hours = ALL_DAY
    if limit.opens_min != limit.closes_min:
        hours = f"{_clock(limit.opens_min)}-{_clock(limit.closes_min)}"
    return {
        "merchant_no": limit.merchant_no,
        "store_id": limit.store_id or None,
        "single_fen": limit.single_fen or None,
        "daily_fen": limit.daily_fen or None,
        "small_fen": limit.small_fen or None,
        "hours": hours,
    }


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
