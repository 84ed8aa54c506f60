"""``posgate ledger verify|balances|adjust``: the books proved, read and corrected.

Rules: nothing is ever changed or deleted, a mistake is posted back; an adjustment names
two known accounts, a person and a reason.
"""

import dataclasses
from typing import Annotated, Any

import typer

from domain.errors import Conflict, InvalidRequest, NotFound
from domain.ids import is_merchant_number
from domain.ledger import (
    SURPLUS,
    SUSPENSE,
    adjustment,
    channel_fees,
    channel_receivable,
    merchant_payable,
)
from domain.money import CNY, MAX_AMOUNT_FEN
from gateway.cases import require_text
from gateway.cli.session import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    Session,
    in_session,
    print_json,
    show,
)
from gateway.ledger_proof import Findings, LedgerProof
from gateway.logs import mask_text
from gateway.store.port import LedgerEntry

ledger = typer.Typer(no_args_is_help=True, help="The double-entry ledger.")


@ledger.command("verify")
def verify(config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """Replay the whole ledger and every payment's history; exit status 1 if anything is wrong.

    Example: posgate ledger verify --json
    """
    findings = in_session(config, lambda session: LedgerProof(session.store).run())
    if json:
        print_json(dataclasses.asdict(findings))
    else:
        typer.echo(_figures(findings))
        for wrong in findings.named:
            typer.echo(wrong, err=True)
        if findings.wrong > len(findings.named):
            typer.echo(f"and {findings.wrong - len(findings.named)} more", err=True)
    if findings.wrong:
        raise typer.Exit(1)


def _figures(found: Findings) -> str:
    agree = "all agree" if not found.wrong else f"{found.wrong} do not agree"
    moving = "; balances were moving and are not compared" if found.is_moving else ""
    return (
        f"{found.payments} payments, {found.refunds} refunds, {found.lines} lines in "
        f"{found.entries} entries on {found.accounts} accounts: {agree}{moving}"
    )


@ledger.command("balances")
def balances(config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """Show every account's balance in fen; a debit is positive.

    Example: posgate ledger balances
    """

    async def work(session: Session) -> list[dict[str, Any]]:
        found = await session.store.balances()
        return [
            {"account": account, "currency": currency, "balance_fen": balance}
            for (account, currency), balance in found.items()
        ]

    show(in_session(config, work), as_json=json)


@ledger.command("adjust")
def adjust(
    debit: Annotated[str, typer.Option(help="The account that receives, e.g. suspense.")],
    credit: Annotated[str, typer.Option(help="The account that gives, e.g. merchant:M0001.")],
    amount: Annotated[int, typer.Option(min=1, max=MAX_AMOUNT_FEN, help="In fen.")],
    by: Annotated[str, typer.Option(help="Your name.")],
    why: Annotated[str, typer.Option(help="The reason, in one line.")],
    entry_id: Annotated[
        str, typer.Option(help="A number of your own, so that a repeat posts nothing.")
    ] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Move an amount from one account to another, for good; a mistake is posted back.

    Example: posgate ledger adjust --debit merchant:M0001 --credit suspense --amount 500 --by wang --why "found in the bank statement"
    """

    async def work(session: Session) -> LedgerEntry:
        require_text("--by", by, 64)
        require_text("--why", why, 500)
        await _require_accounts(session, debit, credit)
        entry = LedgerEntry(
            entry_id=_entry_id(session, entry_id),
            postings=adjustment(debit, credit, amount, CNY),
            by=mask_text(by),
            why=mask_text(why),
            at_ms=session.clock.now_ms(),
        )
        if not await session.store.post(entry):
            raise Conflict("entry_exists", f"{entry.entry_id} is posted already")
        return entry

    entry = in_session(config, work)
    rows = [
        {
            "entry_id": entry.entry_id,
            "account": posting.account,
            "amount_fen": posting.amount_fen,
            "currency": posting.currency,
        }
        for posting in entry.postings
    ]
    show(rows, as_json=json)


def _entry_id(session: Session, given: str) -> str:
    if not given:
        return session.ids.new("adj_")
    if not is_merchant_number(given):
        raise InvalidRequest("invalid_option", "--entry-id: 1-64 of A-Z a-z 0-9 _ -")
    return f"adj_{given}"


async def _require_accounts(session: Session, debit: str, credit: str) -> None:
    """A misspelt account would be a new one, silently."""
    if debit == credit:
        raise InvalidRequest("invalid_option", "--debit and --credit must differ")
    known = {SUSPENSE, SURPLUS}
    known |= {merchant_payable(one.merchant_no) for one in await session.store.merchants()}
    for account in await session.store.accounts():
        known.add(channel_receivable(account.channel, account.account_id))
        known.add(channel_fees(account.channel, account.account_id))
    for name in (debit, credit):
        if name not in known:
            raise NotFound("account_not_found", f"no ledger account {name!r}")
