"""``posgate describe``: a POS message, field by field, masked."""

import sys
from typing import Annotated

import typer

from gateway.cli.session import JsonOption, print_json
from pos_protocol.describe import describe as describe_message


def describe(
    message: Annotated[str, typer.Argument(help="Hexadecimal, or - for standard input.")],
    json: JsonOption = False,
) -> None:
    """Print a POS message; length prefix, TPDU and header are found by themselves.

    Example: posgate describe 003C600601000060310031181208000020000000C00012…
    """
    text = sys.stdin.read() if message == "-" else message
    description = describe_message(text)
    if json:
        print_json(description.as_dict())
    else:
        typer.echo(description.as_text())
    if description.problem:
        raise typer.Exit(2)
