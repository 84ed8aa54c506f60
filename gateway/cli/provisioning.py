"""``posgate merchant|apikey add|list|show|disable``; terminals: ``terminal_provisioning.py``.

Rules: what is generated is shown once and rests sealed. A disabled thing stops within
``directory.fresh_s`` in every running gateway.
"""

from typing import Annotated, Any, Final

import typer

from domain.errors import Conflict, NotFound
from domain.ids import is_merchant_number
from gateway.cli.known import merchant_of
from gateway.cli.session import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    Session,
    in_session,
    show,
)
from gateway.directory import api_key_context
from gateway.sources import random_bytes
from gateway.store.port import ApiKey, Merchant

merchants = typer.Typer(no_args_is_help=True, help="Merchants.")
api_keys = typer.Typer(no_args_is_help=True, help="API keys of merchants.")

MAX_NAME: Final = 128
"""It is the subject of a terminal's sales."""
MerchantOption = Annotated[str, typer.Option("--merchant-no", help="The merchant's number.")]


def is_alphanumeric(text: str, length: int) -> bool:
    """Whether ``text`` can be a fixed field of a POS message: ASCII letters and digits."""
    return len(text) == length and text.isascii() and text.isalnum()


@merchants.command("add")
def add_merchant(
    merchant_no: MerchantOption,
    name: Annotated[str, typer.Option(help="The name on receipts.")],
    pos_merchant_id: Annotated[str, typer.Option(help="Field 42 of its terminals, 15 characters.")],
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Add a merchant.

    Example: posgate merchant add --merchant-no M1 --name "Corner Shop" --pos-merchant-id 990000000000001
    """
    if not is_merchant_number(merchant_no):
        raise typer.BadParameter("must be 1-64 of A-Z a-z 0-9 _ -", param_hint="--merchant-no")
    if not (name.strip() and len(name) <= MAX_NAME and name.isprintable()):
        raise typer.BadParameter(f"must be 1-{MAX_NAME} printable characters", param_hint="--name")
    if not is_alphanumeric(pos_merchant_id, 15):
        raise typer.BadParameter("must be 15 letters or digits", param_hint="--pos-merchant-id")

    async def work(session: Session) -> Merchant:
        for one in await session.store.merchants():
            if one.pos_merchant_id == pos_merchant_id and one.merchant_no != merchant_no:
                raise Conflict(
                    "already_exists",
                    f"--pos-merchant-id: {pos_merchant_id} is merchant {one.merchant_no}'s",
                )
        merchant = Merchant(
            merchant_no=merchant_no,
            name=name,
            pos_merchant_id=pos_merchant_id,
            created_at_ms=session.clock.now_ms(),
        )
        await session.store.add_merchant(merchant)
        return merchant

    show([_merchant_row(in_session(config, work))], as_json=json)


@merchants.command("list")
def list_merchants(config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """List merchants.

    Example: posgate merchant list --json
    """

    async def work(session: Session) -> list[Merchant]:
        return list(await session.store.merchants())

    show([_merchant_row(one) for one in in_session(config, work)], as_json=json)


@merchants.command("show")
def show_merchant(
    merchant_no: str, config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False
) -> None:
    """Show one merchant.

    Example: posgate merchant show M1
    """
    found = in_session(config, lambda session: merchant_of(session, merchant_no))
    show([_merchant_row(found)], as_json=json)


@merchants.command("disable")
def disable_merchant(merchant_no: str, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Stop a merchant's doors.

    Example: posgate merchant disable M1
    """
    in_session(config, lambda session: session.store.disable_merchant(merchant_no))


def _merchant_row(merchant: Merchant) -> dict[str, Any]:
    return {
        "merchant_no": merchant.merchant_no,
        "name": merchant.name,
        "pos_merchant_id": merchant.pos_merchant_id,
        "disabled": merchant.disabled,
    }


@api_keys.command("add")
def add_api_key(
    merchant_no: MerchantOption, config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False
) -> None:
    """Make an API key; the secret is shown this once.

    Example: posgate apikey add --merchant-no M1 --json
    """

    async def work(session: Session) -> dict[str, Any]:
        key_id = session.ids.new("key_")
        secret = random_bytes(32).hex()
        sealed = session.sealer.seal(secret.encode(), api_key_context(key_id))
        await session.store.add_api_key(
            ApiKey(
                key_id=key_id,
                merchant_no=merchant_no,
                secret_sealed=sealed,
                created_at_ms=session.clock.now_ms(),
            )
        )
        return {"key_id": key_id, "merchant_no": merchant_no, "secret": secret}

    show([in_session(config, work, seals=True)], as_json=json)


@api_keys.command("list")
def list_api_keys(config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """List API keys, without secrets.

    Example: posgate apikey list
    """

    async def work(session: Session) -> list[ApiKey]:
        return list(await session.store.api_keys())

    show([_key_row(one) for one in in_session(config, work)], as_json=json)


@api_keys.command("show")
def show_api_key(
    key_id: str, config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False
) -> None:
    """Show one API key, without its secret.

    Example: posgate apikey show key_…
    """

    async def work(session: Session) -> ApiKey:
        found = await session.store.api_key(key_id)
        if found is None:
            raise NotFound("api_key_not_found", f"no API key {key_id}")
        return found[1]

    show([_key_row(in_session(config, work))], as_json=json)


@api_keys.command("disable")
def disable_api_key(key_id: str, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Stop an API key.

    Example: posgate apikey disable key_…
    """
    in_session(config, lambda session: session.store.disable_api_key(key_id))


def _key_row(key: ApiKey) -> dict[str, Any]:
    return {"key_id": key.key_id, "merchant_no": key.merchant_no, "disabled": key.disabled}
