"""``posgate bill inspect``: what a channel's file adds up to, and whether it is whole.

Rules: nothing is kept; a file that is not believed is one line with its place and reason,
and exit status 2.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from channels.bill_formats import bill_format
from channels.bills import BillRefused, BillTotals
from domain.errors import ConfigurationError, InvalidRequest
from gateway.cli.days import day_of
from gateway.cli.session import JsonOption, fail, print_json, show

bills = typer.Typer(no_args_is_help=True, help="Channels' files of a day.")

_MFEN: Final = 1000


@bills.callback()
def _whole() -> None:
    """Keep the command's name needed, also while it is the only one."""


@bills.command("inspect")
def inspect(
    file: Annotated[Path, typer.Argument(help="As the channel delivered it; zip and gzip too.")],
    channel: Annotated[str, typer.Option(help="alipay, wechat or unionpay.")],
    kind: Annotated[
        str, typer.Option(help="trade, fundflow, zm, … (default: what the file says it is).")
    ] = "",
    day: Annotated[
        str, typer.Option("--date", help="The day it is of (YYYY-MM-DD), compared where it says.")
    ] = "",
    json: JsonOption = False,
) -> None:
    """Read a channel's file to its end and print what it adds up to.

    Example: posgate bill inspect 2088…0156_20260901.csv.zip --channel alipay
    """
    with _faults():
        format_ = bill_format(channel)
        if kind and kind not in format_.kinds:
            raise ConfigurationError(f"--kind: {channel} has {', '.join(format_.kinds)}")
        reader = format_.open(kind or format_.kind_of(file), file, day_of(day) if day else None)
        for _ in reader:
            pass
        totals = reader.totals()
    if json:
        print_json(_document(totals))
    else:
        show([_row(totals)], as_json=False)


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except BillRefused as refused:
        print(f"posgate: {refused}", file=sys.stderr)  # noqa: T201 - the command's own words
        raise typer.Exit(2) from None
    except (ConfigurationError, InvalidRequest) as error:
        fail(error)


def _document(totals: BillTotals) -> dict[str, Any]:
    return {
        "lines": totals.lines,
        "payments": {"count": totals.payments, "amount_fen": totals.payments_fen},
        "refunds": {"count": totals.refunds, "amount_fen": totals.refunds_fen},
        "fees_fen": _whole_fen(totals.fee_mfen),
        "footer_agrees": totals.footer_agrees,
    }


def _row(totals: BillTotals) -> dict[str, Any]:
    return {
        "lines": totals.lines,
        "payments": totals.payments,
        "payments_fen": totals.payments_fen,
        "refunds": totals.refunds,
        "refunds_fen": totals.refunds_fen,
        "fees_fen": _whole_fen(totals.fee_mfen),
        "footer_agrees": "no footer" if totals.footer_agrees is None else totals.footer_agrees,
    }


def _whole_fen(mfen: int) -> int:
    """To the nearest fen, a half away from zero."""
    whole = (abs(mfen) + _MFEN // 2) // _MFEN
    return whole if mfen >= 0 else -whole
