"""``posgate``: one command for everything the product does.

Every command has ``--help`` with an example, ``--json`` where it prints data, and an
exit status that tells the truth.
"""

import typer

from gateway.cli import provisioning
from gateway.cli.channel_accounts import accounts
from gateway.cli.configuration import configuration, migrate
from gateway.cli.demo import demo
from gateway.cli.describe import describe
from gateway.cli.sandbox import sandbox
from gateway.cli.serve import serve
from gateway.cli.terminal import terminals

app = typer.Typer(
    name="posgate",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Aggregated-payment POS gateway: one POS protocol and one API before every channel.",
)
app.command("serve")(serve)
app.command("sandbox")(sandbox)
app.command("demo")(demo)
app.command("migrate")(migrate)
app.command("describe")(describe)
app.add_typer(configuration, name="config")
app.add_typer(provisioning.merchants, name="merchant")
app.add_typer(terminals, name="terminal")
app.add_typer(accounts, name="account")
app.add_typer(provisioning.api_keys, name="apikey")


def main() -> None:
    """The entry point."""
    app()


if __name__ == "__main__":
    main()
