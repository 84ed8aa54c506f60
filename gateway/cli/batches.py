"""``posgate batches list|show``: what terminals settled, and where they and the host differ.

Rules: what is shown is what was compared at the time, in fen; a batch stays for ever, and
nothing here changes one.
"""

from typing import Annotated, Any, Final

import typer

from domain.clock import iso_utc
from domain.errors import NotFound
from gateway.cli.known import require_terminal
from gateway.cli.session import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    Session,
    in_session,
    print_json,
    show,
)
from gateway.store.batch_records import Batch, BatchDifference, BatchKey, Sums
from gateway.store.port import Store

batches = typer.Typer(no_args_is_help=True, help="Batches that terminals settled.")

_PAGE: Final = 500


@batches.command("list")
def list_batches(
    terminal: Annotated[str, typer.Option(help="Only this terminal's.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 1000,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """List settled batches: both sides' net, whether the totals agree, how the upload ended.

    Example: posgate batches list --terminal 99100001
    """

    async def work(session: Session) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        after: BatchKey | None = None
        while len(rows) < limit:
            page = await session.store.batches(
                terminal_id=terminal, after=after, limit=min(_PAGE, limit - len(rows))
            )
            if not page:
                break
            rows += [_batch_row(batch) for batch in page]
            after = page[-1].key
        if terminal and not rows:
            await require_terminal(session, terminal)
        return rows

    show(in_session(config, work), as_json=json)


@batches.command("show")
def show_batch(
    merchant: str,
    terminal: str,
    batch: Annotated[int, typer.Argument(min=1, max=999_999)],
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Show a batch: the totals of both sides, card class by card class, and every difference.

    Example: posgate batches show M0001 99100001 7
    """

    async def work(session: Session) -> dict[str, Any]:
        key = BatchKey(merchant, terminal, batch)
        found = await session.store.batch(key)
        if found is None:
            raise NotFound("batch_not_found", "no such batch was settled")
        return {
            "batch": _batch_row(found),
            "totals": _totals_rows(found),
            "differences": await _differences(session.store, key),
        }

    shown = in_session(config, work)
    if json:
        print_json(shown)
        return
    for name, part in shown.items():
        if part:
            typer.echo(f"-- {name}")
            show(part if isinstance(part, list) else [part], as_json=False)


async def _differences(store: Store, key: BatchKey) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    last: BatchDifference | None = None
    while page := await store.differences_of_batch(key, last, _PAGE):
        rows += [_difference_row(found) for found in page]
        last = page[-1]
    return rows


def _batch_row(batch: Batch) -> dict[str, Any]:
    key = batch.key
    return {
        "merchant_no": key.merchant_no,
        "terminal_id": key.terminal_id,
        "batch_no": key.batch_no,
        "state": batch.state.value,
        "settled_at": iso_utc(batch.settled_at_ms),
        "settlements": batch.settlement_no,
        "totals_agree": batch.totals_agree,
        "terminal_fen": batch.terminal.net_fen,
        "host_fen": batch.host.net_fen,
        "lines_expected": batch.upload_expected,
        "lines_uploaded": None if batch.upload_expected is None else batch.uploaded,
    }


def _totals_rows(batch: Batch) -> list[dict[str, Any]]:
    """A row for each side and card class."""
    said, host = batch.terminal, batch.host
    sides = (
        ("terminal", "domestic", said.domestic),
        ("host", "domestic", host.domestic),
        ("terminal", "foreign", said.foreign),
        ("host", "foreign", host.foreign),
    )
    return [_sums_row(side, card_class, sums) for side, card_class, sums in sides]


def _sums_row(side: str, card_class: str, sums: Sums) -> dict[str, Any]:
    return {
        "side": side,
        "cards": card_class,
        "debit_fen": sums.debit_fen,
        "debits": sums.debit_count,
        "credit_fen": sums.credit_fen,
        "credits": sums.credit_count,
    }


def _difference_row(found: BatchDifference) -> dict[str, Any]:
    return {
        "trace": found.trace or None,
        "difference": found.kind.value,
        "terminal_fen": found.terminal_fen,
        "host_fen": found.host_fen,
        "payment_id": found.payment_id or None,
        "found_at": iso_utc(found.at_ms),
    }
