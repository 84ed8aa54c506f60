"""``posgate``: one command for everything the product does.

Rules: every command has ``--help`` with an example, ``--json`` where it prints data, and
an exit status that tells the truth. A command's module is imported when it is called:
``posgate serve`` must be up again as fast as it can, and needs none of the others.
"""

import gc
import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Final

import typer

COMMANDS: Final[Mapping[str, str]] = {
    "serve": "gateway.cli.serve:serve",
    "sandbox": "gateway.cli.sandbox:sandbox",
    "demo": "gateway.cli.demo:demo",
    "migrate": "gateway.cli.configuration:migrate",
    "describe": "gateway.cli.describe:describe",
    "config": "gateway.cli.configuration:configuration",
    "merchant": "gateway.cli.provisioning:merchants",
    "terminal": "gateway.cli.terminal:terminals",
    "account": "gateway.cli.channel_accounts:accounts",
    "apikey": "gateway.cli.provisioning:api_keys",
    "qr": "gateway.cli.qr:codes",
    "limit": "gateway.cli.limits:limits",
    "operator": "gateway.cli.operators:operators",
    "notify": "gateway.cli.notices:notices",
    "batches": "gateway.cli.batches:batches",
    "cases": "gateway.cli.cases:cases",
    "jobs": "gateway.cli.jobs:jobs",
    "ledger": "gateway.cli.ledger:ledger",
    "bill": "gateway.cli.bills:bills",
    "reconcile": "gateway.cli.reconcile:reconcile",
    "export": "gateway.cli.exports:exports",
    "archive": "gateway.cli.archive:archive",
    "settle": "gateway.cli.settlement:settle",
    "rate": "gateway.cli.settlement:rates",
    "differences": "gateway.cli.differences:differences",
}
"""Each command and where it is: a function, or a group of its own."""


def application(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """The command line with the commands of ``names``."""
    app = typer.Typer(
        name="posgate",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help="Aggregated-payment POS gateway: one POS protocol and one API before every channel.",
    )
    app.callback()(_whole)
    for name in names:
        module, _, attribute = COMMANDS[name].partition(":")
        command = getattr(import_module(module), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def _whole() -> None:
    """Keep a command's name needed, also where it is the only one that was imported."""


def main() -> None:
    """The entry point: what is asked for alone is imported, for help everything."""
    asked = sys.argv[1:2]
    gc.disable()  # what is imported stays: looking through it again and again takes a tenth of a start
    app = application(asked if asked and asked[0] in COMMANDS else COMMANDS)
    gc.enable()
    app()


if __name__ == "__main__":
    main()
