"""``posgate settle`` and ``posgate rate``: what merchants are owed, and by which rates.

Rules: a day is settled an hour after its end, in order, and its statement never changes; what
was posted late is the next day's. A rate begins on a day and is never changed: a new one
begins later.
"""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from domain.checkout import CODE_ATTEMPT, PAGE_ATTEMPT
from domain.errors import Conflict, InvalidRequest
from domain.money import MAX_AMOUNT_FEN
from domain.payment import ADVICE_METHODS, COMPLETION_METHOD
from gateway.cli.days import day_of
from gateway.cli.known import merchant_of, plugin_of
from gateway.cli.session import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    Session,
    in_session,
    show,
)
from gateway.merchant_settlement import is_over, settle_day
from gateway.print_font import FONT_FILE
from gateway.store.order_source import order_source
from reconciliation.exports import amount_text, statements_csv, write_files, write_whole
from reconciliation.night_records import StoredRate, StoredStatement
from reconciliation.rates import MerchantRate
from reconciliation.statement_pdf import statement_pdfs

rates = typer.Typer(no_args_is_help=True, help="What merchants are charged.")

_METHODS: Final = tuple(
    sorted({"auth_code", "card", CODE_ATTEMPT, PAGE_ATTEMPT, COMPLETION_METHOD, *ADVICE_METHODS})
)
"""What a payment that was paid can have been paid by."""


def settle(
    day: Annotated[str, typer.Option("--date", help="A day that is over, YYYY-MM-DD.")],
    pdf: Annotated[bool, typer.Option(help="A PDF for each merchant too.")] = True,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Settle a day: every merchant's gross, refunds, fees and what is paid out.

    Example: posgate settle --date 2026-11-29
    """
    asked = day_of(day)

    async def work(session: Session) -> Sequence[StoredStatement]:
        if not is_over(asked, session.clock.now_ms()):
            why = f"{asked} is not over: it may be settled an hour after its end in Beijing"
            raise InvalidRequest("day_not_over", why, field="date")
        posted = order_source(session.loaded.store_url())
        section = session.loaded.config.reconciliation
        nights = session.loaded.path(section.folder)
        kept = await settle_day(session.store, session.clock, asked, posted, nights)
        target = session.loaded.path(section.exports) / asked.isoformat()
        names = {one.merchant_no: one.name for one in await session.store.merchants()}
        await asyncio.to_thread(_write, target, kept, names if pdf else None)
        return kept

    show([_row(one) for one in in_session(config, work)], as_json=json)


def _write(target: Path, kept: Sequence[StoredStatement], names: Mapping[str, str] | None) -> None:
    if names is not None and kept:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="posgate-font-") as work:
            for name, data in statement_pdfs(kept, names, FONT_FILE, Path(work)):
                write_whole(target / name, data)
    write_files(target, {"statements.csv": statements_csv(kept)})


@rates.command("add")
def add_rate(
    merchant_no: str,
    ppm: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="Parts per million: 6000 = 0.6 %.")
    ],
    since: Annotated[str, typer.Option(help="The first day, YYYY-MM-DD.")],
    minimum: Annotated[
        int, typer.Option(min=0, max=MAX_AMOUNT_FEN, help="Of each payment, in fen.")
    ] = 0,
    cap: Annotated[
        int, typer.Option(min=0, max=MAX_AMOUNT_FEN, help="Of each payment, in fen; 0: none.")
    ] = 0,
    channel: Annotated[str, typer.Option(help="Only at this channel.")] = "",
    method: Annotated[str, typer.Option(help=f"Only by: {', '.join(_METHODS)}.")] = "",
    keep_on_refund: Annotated[bool, typer.Option(help="A refund gives no fee back.")] = False,
    on_top: Annotated[bool, typer.Option(help="The channel's fee is the merchant's too.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Charge a merchant a rate from a day on.

    Example: posgate rate add M0001 --ppm 3800 --since 2026-12-01
    """
    if method and method not in _METHODS:
        raise typer.BadParameter(f"must be {', '.join(_METHODS)}", param_hint="--method")
    try:
        rate = MerchantRate(
            rate_ppm=ppm,
            since=day_of(since, "--since"),
            min_fen=minimum,
            cap_fen=cap,
            channel=channel,
            method=method,
            returns_fee=not keep_on_refund,
        )
    except ValueError as fault:
        raise typer.BadParameter(str(fault)) from None

    async def work(session: Session) -> StoredRate:
        if channel:
            plugin_of(channel)
        await merchant_of(session, merchant_no)
        kept = StoredRate(
            merchant_no=merchant_no,
            rate=rate,
            bears_channel_fee=on_top,
            created_at_ms=session.clock.now_ms(),
        )
        if not await session.store.add_rate(kept):
            raise Conflict("rate_exists", "a rate of that day, channel and method exists")
        return kept

    show([_rate_row(in_session(config, work))], as_json=json)


@rates.command("list")
def list_rates(
    merchant_no: str, config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False
) -> None:
    """List a merchant's rates, oldest first.

    Example: posgate rate list M0001
    """

    async def work(session: Session) -> Sequence[StoredRate]:
        await merchant_of(session, merchant_no)
        return await session.store.rates(merchant_no)

    show([_rate_row(one) for one in in_session(config, work)], as_json=json)


def _row(kept: StoredStatement) -> dict[str, Any]:
    one = kept.statement
    return {
        "merchant_no": kept.merchant_no,
        "day": kept.day.isoformat(),
        "currency": kept.currency,
        "payments": one.payments,
        "refunds": one.refunds,
        "gross": amount_text(one.gross_fen, "fen"),
        "refunded": amount_text(one.refunds_fen, "fen"),
        "late": amount_text(one.late_fen, "fen"),
        "channel_fee": amount_text(one.channel_fee_fen, "fen"),
        "our_fee": amount_text(one.our_fee_fen, "fen"),
        "carried_in": amount_text(one.carried_in_fen, "fen"),
        "payable": amount_text(one.payable_fen, "fen"),
        "carried_out": amount_text(one.carried_out_fen, "fen"),
    }


def _rate_row(kept: StoredRate) -> dict[str, Any]:
    rate = kept.rate
    return {
        "merchant_no": kept.merchant_no,
        "since": rate.since.isoformat(),
        "channel": rate.channel or None,
        "method": rate.method or None,
        "rate_ppm": rate.rate_ppm,
        "min_fen": rate.min_fen,
        "cap_fen": rate.cap_fen or None,
        "returns_fee": rate.returns_fee,
        "bears_channel_fee": kept.bears_channel_fee,
    }
