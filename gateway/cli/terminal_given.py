"""What a transaction on the command line can be told: its options, and a script's words.

Rule: one field is one option and one word; which of them a transaction takes is in
``terminal_transactions.py``. Amounts are fen.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Final, get_args, get_type_hints

import typer
from typer.models import OptionInfo

from domain.errors import InvalidRequest
from domain.money import MAX_AMOUNT_FEN


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Given:
    """Each at its default where it was not given."""

    amount: Annotated[int, typer.Option(min=1, max=MAX_AMOUNT_FEN, help="Fen.")] = 0
    pan: Annotated[str, typer.Option(help="A test card's number.")] = ""
    pin: Annotated[str, typer.Option(help="The payer's PIN, if one is typed.")] = ""
    chip: Annotated[
        bool, typer.Option("--chip", help="The card's chip is read, not its stripe.")
    ] = False
    code: Annotated[str, typer.Option(help="The payer's code as scanned.")] = ""
    voucher: Annotated[
        str, typer.Option(help="The voucher number of a payment by code, as on its slip.")
    ] = ""
    trace: Annotated[
        str, typer.Option(help="Of which transaction: its trace number (default: the last one).")
    ] = ""
    batch: Annotated[str, typer.Option(help="Of which batch, if it is not the open one.")] = ""
    date: Annotated[str, typer.Option(help="The original's date, MMDD.")] = ""
    reference: Annotated[str, typer.Option(help="The original's reference, as on its slip.")] = ""
    auth_code: Annotated[
        str, typer.Option(help="The authorisation code, as on the slip of the hold.")
    ] = ""
    tip: Annotated[int, typer.Option(min=1, max=MAX_AMOUNT_FEN, help="Fen of the tip.")] = 0
    reason: Annotated[
        str, typer.Option(help="F39 of the reversal: 98 no answer, A0 wrong MAC, 06 other.")
    ] = ""
    chip_data: Annotated[str, typer.Option(help="F55 as the chip gives it now, hexadecimal.")] = ""

    operator_id: Annotated[
        str, typer.Option(help="Who lets it through above the small-amount limit.")
    ] = ""
    operator_pin: Annotated[str, typer.Option(help="That operator's PIN.")] = ""

    def __repr__(self) -> str:
        return f"Given({[one.name for one in fields(self) if getattr(self, one.name)]})"


WORDS: Final[Mapping[str, str]] = {one.name.replace("_", "-"): one.name for one in fields(Given)}
"""A script's word for each field."""
_TYPES: Final = get_type_hints(Given)
_SHOWN: Final = get_type_hints(Given, include_extras=True)
_TRUTH: Final = {"true": True, "yes": True, "false": False, "no": False}


def parameters(needs: tuple[str, ...], takes: tuple[str, ...]) -> tuple[inspect.Parameter, ...]:
    """The options of these fields as Typer reads them; ``needs`` have no default.

    One that is not given may come as ``None``.
    """
    made = []
    for one in fields(Given):
        if one.name not in (*needs, *takes):
            continue
        absent = None if _TYPES[one.name] is int else one.default
        default = inspect.Parameter.empty if one.name in needs else absent
        made.append(
            inspect.Parameter(
                one.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=default,
                annotation=_SHOWN[one.name],
            )
        )
    return tuple(made)


def as_given(options: Mapping[str, Any]) -> Given:
    """What Typer read."""
    return Given(**{name: value for name, value in options.items() if value is not None})


def read_given(words: Mapping[str, str], needs: tuple[str, ...], takes: tuple[str, ...]) -> Given:
    """A script's words.

    Raises:
        InvalidRequest: a word that this transaction does not take, a missing or an
            impossible one.
    """
    values: dict[str, Any] = {}
    for word, text in words.items():
        name = WORDS.get(word.replace("_", "-"), "")
        if name not in (*needs, *takes):
            known = ", ".join(one.replace("_", "-") for one in (*needs, *takes)) or "nothing"
            raise InvalidRequest("unknown_word", f"it takes no {word}; it takes {known}")
        values[name] = _read(name, text)
    missing = [one.replace("_", "-") for one in needs if one not in values]
    if missing:
        raise InvalidRequest("missing_word", f"it needs {', '.join(missing)}")
    return Given(**values)


def _read(name: str, text: str) -> object:
    kind = _TYPES[name]
    if kind is bool:
        if text not in _TRUTH:
            raise InvalidRequest("wrong_word", f"{name} is true or false")
        return _TRUTH[text]
    if kind is not int:
        return text
    least, most = _bounds(name)
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise InvalidRequest("wrong_word", f"{name} is a whole number of fen from {least} on")
    return int(text)


def _bounds(name: str) -> tuple[int, int]:
    option = next(one for one in get_args(_SHOWN[name]) if isinstance(one, OptionInfo))
    return int(option.min or 0), int(option.max or MAX_AMOUNT_FEN)
