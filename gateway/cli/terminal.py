"""``posgate terminal``: provisioning of terminals, and a terminal on the command line.

Rules: batch, trace, the *wrapped* working keys and the batch's journal are kept in a state
file between calls; never a card number, a code, a PIN or an authorisation code. A card
number or code that is given on the command line is a test one; keys come from files, the
environment or the demo's ``--info`` file. The transactions are a table
(``terminal_transactions.py``); here is what makes commands of it.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from domain.errors import ConfigurationError, PosgateError
from domain.money import MAX_AMOUNT_FEN
from gateway.cli import terminal_import, terminal_provisioning
from gateway.cli.session import fail, run
from gateway.cli.terminal_code import drawn, show_code
from gateway.cli.terminal_download import KINDS, download
from gateway.cli.terminal_given import Given, as_given, parameters
from gateway.cli.terminal_load import Load, Tally, print_tally, spread
from gateway.cli.terminal_place import MAX_TERMINALS, At, at_a_place
from gateway.cli.terminal_receipt import print_receipt, receipt
from gateway.cli.terminal_script import Day, Played, print_day, read_script
from gateway.cli.terminal_settlement import settle
from gateway.cli.terminal_till import Done, Till
from gateway.cli.terminal_transactions import PLAIN, SELLING, Row, card_for
from pos_protocol.fields.payment_status import PaymentState

terminals = typer.Typer()
terminals.command("add")(terminal_provisioning.add_terminal)
terminals.command("import")(terminal_import.import_terminals)
terminals.command("list")(terminal_provisioning.list_terminals)
terminals.command("show")(terminal_provisioning.show_terminal)
terminals.command("set")(terminal_provisioning.set_terminal)
terminals.command("rotate-key")(terminal_provisioning.rotate_key)
terminals.command("disable")(terminal_provisioning.disable_terminal)

CountOption = Annotated[int, typer.Option(min=1, help="So many sales.")]
RateOption = Annotated[float, typer.Option(min=0, help="Sales a second; 0: as fast as can be.")]
TerminalsOption = Annotated[
    int,
    typer.Option(
        min=1,
        max=MAX_TERMINALS,
        help="From so many terminals: the --info file's, or those after --terminal-id.",
    ),
]


def _till(at: At) -> Till:
    """The terminal with its state; a fault in the options leaves with its mend."""
    try:
        return Till(at.place(), at.state, at.patience)
    except PosgateError as error:
        fail(error)


def _do(at: At, row: Row, given: Given) -> None:
    """One transaction and its slip."""
    till = _till(at)

    async def work() -> Done:
        try:
            return await till.do(
                lambda it: row.build(it, given), card=card_for(till, row, given), clears=row.clears
            )
        finally:
            await till.close()

    done = run(work())
    print_receipt(receipt(till.place, row.name, done), as_json=at.json)
    if not done.outcome.approved:
        raise typer.Exit(1)


def _register(row: Row) -> None:
    """A row of the table as a command."""

    def command(at: At, **given: Any) -> None:
        _do(at, row, as_given(given))

    command.__doc__ = f"{row.text}\n\n{_example(row)}"
    options = parameters(row.needs, row.takes)
    terminals.command(row.name)(at_a_place(command, options))


def _register_selling(row: Row) -> None:
    """The same for what can be done many times."""

    def command(
        at: At,
        count: CountOption = 1,
        rate: RateOption = 0.0,
        terminals: TerminalsOption = 1,
        **given: Any,
    ) -> None:
        if count == 1 and terminals == 1:
            _do(at, row, as_given(given))
        else:
            _load(at, row, as_given(given), count=count, rate=rate, terminals=terminals)

    command.__doc__ = f"{row.text}\n\n{_example(row)}"
    options = parameters(row.needs, row.takes)
    terminals.command(row.name)(at_a_place(command, options))


def _example(row: Row) -> str:
    return f"Example: posgate terminal {row.name} --info demo.json {row.example}".rstrip()


def _load(at: At, row: Row, given: Given, *, count: int, rate: float, terminals: int) -> None:
    try:
        places = at.places(spread(count, terminals))
        if at.state is not None and len(places) > 1:
            raise ConfigurationError("--state is of one terminal: leave it out with --terminals")
        tills = [Till(place, at.state, at.patience, keeps_each=False) for place in places]
    except PosgateError as error:
        fail(error)

    async def work() -> Tally:
        return await Load(tills, row, given, count=count, rate=rate).run()

    tally = run(work())
    print_tally(tally, len(tills), as_json=at.json)
    if tally.approved != count or tally.left_open:
        raise typer.Exit(1)


for _row in SELLING.values():
    _register_selling(_row)
for _row in PLAIN.values():
    _register(_row)


@terminals.command("show-code")
@at_a_place
def show_code_of_order(
    at: At,
    amount: Annotated[int, typer.Option(min=1, max=MAX_AMOUNT_FEN, help="Fen.")],
    operator_id: Annotated[str, typer.Option(help="Who lets it through.")] = "",
    operator_pin: Annotated[str, typer.Option(help="That operator's PIN.")] = "",
) -> None:
    """Show a code that any wallet can pay, each minute the next, until it is paid or over.

    Example: posgate terminal show-code --info demo.json --amount 1990
    """
    till = _till(at)
    given = Given(amount=amount, operator_id=operator_id, operator_pin=operator_pin)

    async def work() -> tuple[Done, PaymentState | None]:
        try:
            return await show_code(till, given, lambda shown: typer.echo(drawn(shown.code)))
        finally:
            await till.close()

    done, state = run(work())
    print_receipt(receipt(till.place, "show-code", done), as_json=at.json)
    if state is not PaymentState.PAID:
        raise typer.Exit(1)


@terminals.command("settle")
@at_a_place
def settle_batch(
    at: At,
    pan: Annotated[
        list[str] | None,
        typer.Option(help="A card of this batch, for the upload; any number of times."),
    ] = None,
) -> None:
    """Settle the batch: totals, the upload that they ask for, the next batch.

    Example: posgate terminal settle --info demo.json --pan 9900000000000010
    """
    till = _till(at)

    async def work() -> Any:
        try:
            return await settle(till, pan or ())
        finally:
            await till.close()

    settled = run(work())
    row = receipt(till.place, "settle", settled.last)
    row |= {"kind": "settlement", "batch": settled.batch, **settled.as_dict()}
    print_receipt(row, as_json=at.json)
    if settled.hosts is None or not settled.last.outcome.approved:
        raise typer.Exit(1)


@terminals.command("download")
@at_a_place
def download_kind(
    at: At,
    kind: Annotated[str, typer.Argument(help=f"One of {', '.join(KINDS)}.")],
) -> None:
    """Fetch what the host has for a terminal, to the last block.

    Example: posgate terminal download keys --info demo.json
    """
    if kind not in KINDS:
        raise typer.BadParameter(f"one of {', '.join(KINDS)}", param_hint="KIND")
    till = _till(at)

    async def work() -> Any:
        try:
            return await download(till, KINDS[kind])
        finally:
            await till.close()

    downloaded = run(work())
    row = receipt(till.place, "download", downloaded.last)
    row |= {"kind": "download", **downloaded.as_dict()}
    print_receipt(row, as_json=at.json)
    if not downloaded.last.outcome.approved:
        raise typer.Exit(1)


def _play(at: At, file: Path) -> None:
    try:
        steps = read_script(file)
    except PosgateError as error:
        fail(error)
    till = _till(at)

    async def work() -> list[Played]:
        return await Day(till).play(steps)

    played = run(work())
    print_day(played, as_json=at.json)
    if not all(one.agrees for one in played):
        raise typer.Exit(1)


@terminals.command("run")
@at_a_place
def run_script(
    at: At, file: Annotated[Path, typer.Argument(help="A till's day, as YAML.")]
) -> None:
    """Replay a till's day and compare every answer with the one that had to come.

    Example: posgate terminal run docs/examples/day.yaml --info demo.json
    """
    _play(at, file)


@at_a_place
def _whole(
    at: At,
    context: typer.Context,
    script: Annotated[
        Path | None, typer.Option(help="Replay a till's day from this file, as terminal run does.")
    ] = None,
) -> None:
    """Provision terminals, or be one.

    Example: posgate terminal --script docs/examples/day.yaml --info demo.json
    """
    if context.invoked_subcommand is not None:
        if script is not None or at != At():
            raise typer.BadParameter("options stand after the transaction's name")
        return
    if script is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)
    _play(at, script)


terminals.callback(invoke_without_command=True)(_whole)
