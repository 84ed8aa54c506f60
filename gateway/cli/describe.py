"""``posgate describe``: a POS message, field by field, masked."""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from domain.errors import ConfigurationError
from gateway.cli.session import JsonOption, fail, print_json
from pos_protocol.describe import MAX_BYTES
from pos_protocol.describe import describe as describe_message

_MAX_FILE_BYTES: Final = 4 * MAX_BYTES
"""A message as spaced hexadecimal; of a longer file only so much is read."""


def describe(
    message: Annotated[
        str, typer.Argument(help="Hexadecimal, a file with it (or the bytes), or - for input.")
    ],
    json: JsonOption = False,
) -> None:
    """Print a POS message; length prefix, TPDU and header are found by themselves.

    Example: posgate describe 0034600601000060310031181208200000000000C0001039393030303030313939303030303030303030303030310011000000003010
    """
    description = describe_message(_source(message))
    if json:
        print_json(description.as_dict())
    else:
        typer.echo(description.as_text())
    if description.problem:
        raise typer.Exit(2)


def _source(message: str) -> str | bytes:
    """Hexadecimal text as it stands; of a file its text, or its bytes if it has none."""
    if message == "-":
        return sys.stdin.read(_MAX_FILE_BYTES)
    try:
        with Path(message).open("rb") as file:
            raw = file.read(_MAX_FILE_BYTES)
    except (OSError, ValueError) as error:  # most often hexadecimal, too long for a name
        _refuse_file(message, error)
        return message
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError:
        return raw
    if text.lstrip()[:1] in ("{", "["):
        fail(ConfigurationError(f"{message[:80]}: JSON; give the hexadecimal of one message"))
    return text if text.isprintable() or not text.strip("0123456789ABCDEFabcdef \t\r\n") else raw


def _refuse_file(message: str, error: OSError | ValueError) -> None:
    """Say why a file cannot be read, where a name is meant and no message."""
    if "/" not in message and "." not in message:
        return
    why = "no such file"
    if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
        why = f"cannot be read ({error.strerror})"
    fail(ConfigurationError(f"{message[:80]}: {why}, and not hexadecimal"))
