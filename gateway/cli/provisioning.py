"""``posgate merchant|terminal|apikey add|list|show|disable``.

Rules: secrets enter as files or environment variables, never as arguments (a shell
keeps its history); what is generated is shown once and rests sealed. A disabled
thing stops within ``directory.fresh_s`` in every running gateway.
"""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from domain.errors import ConfigurationError, NotFound
from domain.ids import is_merchant_number
from gateway.cli.session import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    Session,
    in_session,
    show,
)
from gateway.directory import api_key_context, master_context
from gateway.keys import read_secret
from gateway.sources import random_bytes
from gateway.store.port import ApiKey, Merchant, Terminal
from signing.pos import MAC_ALGORITHMS, CipherKey, KeyScheme, combine_components

merchants = typer.Typer(no_args_is_help=True, help="Merchants.")
api_keys = typer.Typer(no_args_is_help=True, help="API keys of merchants.")

_OPEN_SCHEMES: Final = (KeyScheme.DES.value, KeyScheme.TDES.value, KeyScheme.TDES_TDK.value)

MerchantOption = Annotated[str, typer.Option("--merchant-no", help="The merchant's number.")]


def _is_alphanumeric(text: str, length: int) -> bool:
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
    if not _is_alphanumeric(pos_merchant_id, 15):
        raise typer.BadParameter("must be 15 letters or digits", param_hint="--pos-merchant-id")

    async def work(session: Session) -> Merchant:
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

    async def work(session: Session) -> Merchant:
        for one in await session.store.merchants():
            if one.merchant_no == merchant_no:
                return one
        raise NotFound("merchant_not_found", f"no merchant {merchant_no}")

    show([_merchant_row(in_session(config, work))], as_json=json)


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


def add_terminal(
    merchant_no: MerchantOption,
    terminal_id: Annotated[str, typer.Option(help="Field 41, 8 characters.")],
    first_component: Annotated[
        str, typer.Option(help="First component of the master key: file:PATH or env:NAME.")
    ] = "",
    second_component: Annotated[
        str, typer.Option(help="Second component: file:PATH or env:NAME.")
    ] = "",
    generate: Annotated[
        bool, typer.Option(help="Make both components and show them this once.")
    ] = False,
    key_scheme: Annotated[str, typer.Option(help="des, 3des or 3des-tdk.")] = "3des",
    mac: Annotated[str, typer.Option(help="cup-ecb, x9.9 or x9.19.")] = "cup-ecb",
    allow_weak_pin: Annotated[
        bool, typer.Option(help="Accept PINs under single DES (not recommended).")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Add a terminal; its master key comes in two components and rests sealed.

    Example: posgate terminal add --merchant-no M1 --terminal-id 99000001 --generate
    """
    if not _is_alphanumeric(terminal_id, 8):
        raise typer.BadParameter("must be 8 letters or digits", param_hint="--terminal-id")
    if key_scheme not in _OPEN_SCHEMES:
        raise typer.BadParameter(f"one of {', '.join(_OPEN_SCHEMES)}", param_hint="--key-scheme")
    if mac not in MAC_ALGORITHMS:
        raise typer.BadParameter(f"one of {', '.join(MAC_ALGORITHMS)}", param_hint="--mac")
    if generate == bool(first_component or second_component):
        raise typer.BadParameter("give both components, or --generate")

    async def work(session: Session) -> dict[str, Any]:
        folder = session.loaded.folder
        if generate:
            first, second = random_bytes(16), random_bytes(16)
        else:
            first = _component(first_component, folder)
            second = _component(second_component, folder)
        master = CipherKey(combine_components(first, second))
        context = master_context(merchant_no, terminal_id)
        terminal = Terminal(
            merchant_no=merchant_no,
            terminal_id=terminal_id,
            key_scheme=key_scheme,
            mac=mac,
            allow_weak_pin=allow_weak_pin,
            tmk_sealed=session.sealer.seal(master.raw(), context),
            tmk_kcv=master.kcv().hex().upper(),
            created_at_ms=session.clock.now_ms(),
        )
        await session.store.add_terminal(terminal)
        row = _terminal_row(terminal)
        if generate:
            row["first_component"] = first.hex().upper()
            row["second_component"] = second.hex().upper()
        return row

    show([in_session(config, work)], as_json=json)


def _component(reference: str, folder: Path) -> bytes:
    if not reference.startswith(("file:", "env:")):
        raise ConfigurationError("a component must be file:PATH or env:NAME")
    try:
        component = bytes.fromhex(read_secret(reference, folder))
    except ValueError:
        component = b""
    if len(component) != 16:
        raise ConfigurationError(f"{reference}: a component is 32 hexadecimal digits")
    return component


def list_terminals(config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """List terminals.

    Example: posgate terminal list --json
    """

    async def work(session: Session) -> list[Terminal]:
        return list(await session.store.terminals())

    show([_terminal_row(one) for one in in_session(config, work)], as_json=json)


def show_terminal(
    merchant_no: str,
    terminal_id: str,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Show one terminal.

    Example: posgate terminal show M1 99000001
    """

    async def work(session: Session) -> Terminal:
        for one in await session.store.terminals():
            if (one.merchant_no, one.terminal_id) == (merchant_no, terminal_id):
                return one
        raise NotFound("terminal_not_found", f"no terminal {terminal_id} of {merchant_no}")

    show([_terminal_row(in_session(config, work))], as_json=json)


def disable_terminal(
    merchant_no: str, terminal_id: str, config: ConfigOption = DEFAULT_CONFIG
) -> None:
    """Stop a terminal.

    Example: posgate terminal disable M1 99000001
    """
    in_session(config, lambda session: session.store.disable_terminal(merchant_no, terminal_id))


def _terminal_row(terminal: Terminal) -> dict[str, Any]:
    return {
        "merchant_no": terminal.merchant_no,
        "terminal_id": terminal.terminal_id,
        "key_scheme": terminal.key_scheme,
        "mac": terminal.mac,
        "tmk_kcv": terminal.tmk_kcv,
        "disabled": terminal.disabled,
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

    show([in_session(config, work)], as_json=json)


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
