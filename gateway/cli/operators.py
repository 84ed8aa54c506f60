"""``posgate operator add|list|set-pin|disable``: who lets large payments through at the till.

Rules: a PIN is typed unseen, or comes from a file or the environment, never as an argument
(a shell keeps its history); it rests hashed and is never shown again.
"""

from typing import Annotated, Any

import typer

from domain.clock import iso_utc
from domain.errors import ConfigurationError
from domain.operator_pin import is_operator_id, weakness
from gateway.cli.known import require_merchant
from gateway.cli.provisioning import MerchantOption
from gateway.cli.session import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    Session,
    in_session,
    show,
)
from gateway.keys import read_secret
from gateway.pin_hash import hash_pin
from gateway.store.shop_records import Operator

operators = typer.Typer(no_args_is_help=True, help="Operators at tills, and their PINs.")

OperatorOption = Annotated[str, typer.Option("--operator-id", help="1-16 letters or digits.")]
PinOption = Annotated[
    str, typer.Option(help="file:PATH or env:NAME; asked for, unseen, when it is not given.")
]


@operators.command("add")
def add_operator(
    merchant_no: MerchantOption,
    operator_id: OperatorOption,
    name: Annotated[str, typer.Option(help="Who it is.")] = "",
    pin: PinOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Add an operator with a PIN of 6 to 12 digits.

    Example: posgate operator add --merchant-no M1 --operator-id 01 --name "Ms Wang"
    """
    if not is_operator_id(operator_id):
        raise typer.BadParameter("must be 1-16 letters or digits", param_hint="--operator-id")
    typed = _typed(pin)

    async def work(session: Session) -> Operator:
        operator = Operator(
            merchant_no=merchant_no,
            operator_id=operator_id,
            name=name,
            pin_hash=hash_pin(_chosen(session, pin, typed)),
            created_at_ms=session.clock.now_ms(),
        )
        await session.store.add_operator(operator)
        return operator

    show([_row(in_session(config, work))], as_json=json)


@operators.command("list")
def list_operators(
    merchant_no: Annotated[str, typer.Option("--merchant-no", help="Only this merchant's.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """List operators, and who is locked.

    Example: posgate operator list --merchant-no M1
    """

    async def work(session: Session) -> list[dict[str, Any]]:
        await require_merchant(session, merchant_no)
        return [_row(one) for one in await session.store.operators(merchant_no)]

    show(in_session(config, work), as_json=json)


@operators.command("set-pin")
def set_pin(
    merchant_no: MerchantOption,
    operator_id: OperatorOption,
    pin: PinOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Give an operator another PIN; one that is locked is free again.

    Example: posgate operator set-pin --merchant-no M1 --operator-id 01
    """
    typed = _typed(pin)

    async def work(session: Session) -> None:
        pin_hash = hash_pin(_chosen(session, pin, typed))
        await session.store.set_operator_pin(merchant_no, operator_id, pin_hash)

    in_session(config, work)


@operators.command("disable")
def disable_operator(
    merchant_no: MerchantOption,
    operator_id: OperatorOption,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Stop an operator at once.

    Example: posgate operator disable --merchant-no M1 --operator-id 01
    """
    in_session(config, lambda session: session.store.disable_operator(merchant_no, operator_id))


def _typed(reference: str) -> str:
    """The PIN as a person types it, before the installation is opened; ``""``: it is a file's."""
    if reference:
        return ""
    typed: str = typer.prompt("PIN", hide_input=True, confirmation_prompt=True)
    return typed


def _chosen(session: Session, reference: str, typed: str) -> str:
    if reference and not reference.startswith(("file:", "env:")):
        raise ConfigurationError("--pin must be file:PATH or env:NAME")
    pin = read_secret(reference, session.loaded.folder) if reference else typed
    why = weakness(pin)
    if why:
        raise ConfigurationError(why)
    return pin


def _row(operator: Operator) -> dict[str, Any]:
    locked_until_ms = operator.locked_until_ms
    return {
        "merchant_no": operator.merchant_no,
        "operator_id": operator.operator_id,
        "name": operator.name or None,
        "wrong_tries": operator.tries,
        "locked_until": iso_utc(locked_until_ms) if locked_until_ms else None,
        "disabled": operator.disabled,
    }
