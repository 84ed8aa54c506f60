"""``posgate``: one command for everything the product does.

Rules: every command has ``--help`` with an example, ``--json`` where it prints data, and
an exit status that tells the truth. A command's module is imported when it is called:
``posgate serve`` must be up again as fast as it can, and needs none of the others.
"""

import gc
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Final

import typer

_COMPLETING: Final = "_POSGATE_COMPLETE"
"""Set by the shell that completes a word."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command is, ``module:name``, and what the list of commands says of it."""

    at: str
    says: str


PLACES: Final[Mapping[str, Place]] = {
    "serve": Place("gateway.cli.serve:serve", "Run the gateway until SIGTERM."),
    "sandbox": Place("gateway.cli.sandbox:sandbox", "Run the simulated channels until SIGTERM."),
    "demo": Place(
        "gateway.cli.demo:demo", "Start everything, pay through every door, show what came of it."
    ),
    "migrate": Place("gateway.cli.configuration:migrate", "Create or upgrade the schema."),
    "describe": Place(
        "gateway.cli.describe:describe",
        "Print a POS message; length prefix, TPDU and header are found by themselves.",
    ),
    "config": Place("gateway.cli.configuration:configuration", "The configuration file."),
    "merchant": Place("gateway.cli.provisioning:merchants", "Merchants."),
    "terminal": Place("gateway.cli.terminal:terminals", "Provision terminals, or be one."),
    "account": Place("gateway.cli.channel_accounts:accounts", "Accounts at channels."),
    "apikey": Place("gateway.cli.provisioning:api_keys", "API keys of merchants."),
    "qr": Place("gateway.cli.qr:codes", "Printed codes that any wallet can pay by."),
    "limit": Place("gateway.cli.limits:limits", "What merchants and their stores may take."),
    "operator": Place("gateway.cli.operators:operators", "Operators at tills, and their PINs."),
    "notify": Place("gateway.cli.notices:notices", "Notifications to merchants."),
    "batches": Place("gateway.cli.batches:batches", "Batches that terminals settled."),
    "cases": Place("gateway.cli.cases:cases", "What waits for a person, and settling it."),
    "jobs": Place("gateway.cli.jobs:jobs", "Background work that is open."),
    "ledger": Place("gateway.cli.ledger:ledger", "The double-entry ledger."),
    "bill": Place("gateway.cli.bills:bills", "Channels' files of a day."),
    "reconcile": Place(
        "gateway.cli.reconcile:reconcile", "The nightly match of channels' bills with our books."
    ),
    "export": Place("gateway.cli.exports:exports", "A day's files for other programs."),
    "archive": Place(
        "gateway.cli.archive:archive", "Old payments and bills, kept as Parquet files."
    ),
    "settle": Place(
        "gateway.cli.settlement:settle",
        "Settle a day: every merchant's gross, refunds, fees and what is paid out.",
    ),
    "rate": Place("gateway.cli.settlement:rates", "What merchants are charged."),
    "differences": Place(
        "gateway.cli.differences:differences", "Differences of the nightly match."
    ),
}
"""Each command: a function, or a group of its own. What it says is its own first line; a test
holds it so. It stands here too, so that the list is shown without importing them all."""


def application(names: Iterable[str] = PLACES) -> typer.Typer:
    """The command line with the commands of ``names``."""
    app = _empty()
    for name in names:
        module, _, attribute = PLACES[name].at.partition(":")
        command = getattr(import_module(module), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def outline() -> typer.Typer:
    """The list of commands alone: none of them is imported, and none of them works."""
    app = _empty()
    for name, place in PLACES.items():
        app.command(name, help=place.says)(_nothing)
    return app


def _empty() -> typer.Typer:
    app = typer.Typer(
        name="posgate",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help="Aggregated-payment POS gateway: one POS protocol and one API before every channel.",
    )
    app.callback()(_whole)
    return app


def _nothing() -> None:
    """A command of the outline."""


def _whole() -> None:
    """Keep a command's name needed, also where it is the only one that was imported."""


def main() -> None:
    """The entry point: what is asked for alone is imported; to complete a word, everything."""
    asked = sys.argv[1:2]
    gc.disable()  # what is imported stays: looking through it again and again takes a tenth of a start
    if asked and asked[0] in PLACES:
        app = application(asked)
    else:
        app = application() if _COMPLETING in os.environ else outline()
    gc.enable()
    app()


if __name__ == "__main__":
    main()
