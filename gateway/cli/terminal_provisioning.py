"""``posgate terminal add|list|show|set|rotate-key|disable``.

Rules: a master key comes in two components, from files or environment variables, never as
arguments (a shell keeps its history), and rests sealed; what is generated is shown once.
What no terminal can have is refused before it is kept. A change reaches every running
gateway within ``directory.fresh_s``; a signed-in terminal keeps its working keys until its
next sign-in.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.errors import ConfigurationError, NotFound
from gateway.cli.provisioning import MerchantOption, is_alphanumeric
from gateway.cli.session import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    Session,
    fail,
    in_session,
    show,
)
from gateway.cli.terminal_dialect import (
    EncryptTracksOption,
    Field60Option,
    Field64Option,
    HeaderOption,
    LiveCodeOption,
    MakBytesOption,
    OperatorPinOption,
    PadOption,
    PushOption,
    TpduOption,
    check_options,
    options_json,
    read_json,
)
from gateway.directory import master_context
from gateway.keys import read_secret
from gateway.sources import random_bytes
from gateway.store.port import Terminal
from signing.pos import CipherKey, KeyScheme, combine_components

FirstOption = Annotated[
    str, typer.Option(help="First component of the master key: file:PATH or env:NAME.")
]
SecondOption = Annotated[str, typer.Option(help="Second component: file:PATH or env:NAME.")]
GenerateOption = Annotated[bool, typer.Option(help="Make both components and show them this once.")]


MacOption = Annotated[
    str, typer.Option(help="cup-ecb, x9.9, x9.19 or cup-sm4; the scheme's own if absent.")
]


def add_terminal(
    merchant_no: MerchantOption,
    terminal_id: Annotated[str, typer.Option(help="Field 41, 8 characters.")],
    first_component: FirstOption = "",
    second_component: SecondOption = "",
    generate: GenerateOption = False,
    key_scheme: Annotated[
        str, typer.Option(help=f"{', '.join(one.value for one in KeyScheme)}.")
    ] = KeyScheme.TDES.value,
    mac: MacOption = "",
    f64: Field64Option = "",
    header: HeaderOption = "",
    tpdu: TpduOption = "",
    pad: PadOption = "",
    mak_bytes: MakBytesOption = "",
    encrypt_tracks: EncryptTracksOption = None,
    f60_digits: Field60Option = "",
    push: PushOption = None,
    live_code: LiveCodeOption = None,
    operator_pin: OperatorPinOption = None,
    allow_weak_pin: Annotated[
        bool, typer.Option(help="Accept PINs under single DES or SM4 (not recommended).")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Add a terminal; its master key comes in two components and rests sealed.

    Example: posgate terminal add --merchant-no M1 --terminal-id 99000001 --generate
    """
    if not is_alphanumeric(terminal_id, 8):
        raise typer.BadParameter("must be 8 letters or digits", param_hint="--terminal-id")
    _one_way(first_component, second_component, generate=generate)
    options = options_json(
        {},
        f64=f64,
        header=header,
        tpdu=tpdu,
        pad=pad,
        mak_bytes=mak_bytes,
        encrypt_tracks=encrypt_tracks,
        f60_digits=f60_digits,
        push=push,
        live_code=live_code,
        operator_pin=operator_pin,
    )
    try:
        mac = check_options(key_scheme, mac, options)
    except ConfigurationError as error:
        fail(error)

    async def work(session: Session) -> dict[str, Any]:
        first, second = _components(session, first_component, second_component)
        master = master_key(first, second, key_scheme)
        terminal = Terminal(
            merchant_no=merchant_no,
            terminal_id=terminal_id,
            key_scheme=key_scheme,
            mac=mac,
            allow_weak_pin=allow_weak_pin,
            tmk_sealed=seal_master(session, merchant_no, terminal_id, master),
            tmk_kcv=master.kcv().hex().upper(),
            created_at_ms=session.clock.now_ms(),
            options_json=options,
        )
        await session.store.add_terminal(terminal)
        return {**terminal_row(terminal, as_json=json), **_shown(first, second, generate=generate)}

    show([in_session(config, work, seals=True)], as_json=json)


def _one_way(first: str, second: str, *, generate: bool) -> None:
    if generate == bool(first or second):
        raise typer.BadParameter(
            "give both --first-component and --second-component, or --generate"
        )


def _components(session: Session, first: str, second: str) -> tuple[bytes, bytes]:
    """Both components: fresh ones where none are named."""
    if not (first or second):
        return random_bytes(16), random_bytes(16)
    folder = session.loaded.folder
    return _component(first, folder), _component(second, folder)


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


def master_key(first: bytes, second: bytes, key_scheme: str) -> CipherKey:
    """A master key from its components.

    Raises:
        ConfigurationError: they are the same, or differ in length.
    """
    try:
        return CipherKey(combine_components(first, second), KeyScheme(key_scheme).algorithm)
    except ValueError as error:
        raise ConfigurationError(f"a master key: {error}; give two different ones") from None


def seal_master(session: Session, merchant_no: str, terminal_id: str, master: CipherKey) -> bytes:
    """A master key as it rests."""
    return session.sealer.seal(master.raw(), master_context(merchant_no, terminal_id))


def _shown(first: bytes, second: bytes, *, generate: bool) -> dict[str, str]:
    if not generate:
        return {}
    return {
        "first_component": first.hex().upper(),
        "second_component": second.hex().upper(),
    }


def list_terminals(config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """List terminals.

    Example: posgate terminal list --json
    """

    async def work(session: Session) -> list[Terminal]:
        return list(await session.store.terminals())

    show([terminal_row(one, as_json=json) for one in in_session(config, work)], as_json=json)


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
        return await _find(session, merchant_no, terminal_id)

    show([terminal_row(in_session(config, work), as_json=json)], as_json=json)


async def _find(session: Session, merchant_no: str, terminal_id: str) -> Terminal:
    for one in await session.store.terminals():
        if (one.merchant_no, one.terminal_id) == (merchant_no, terminal_id):
            return one
    raise NotFound("terminal_not_found", f"no terminal {terminal_id} of {merchant_no}")


def _changed(
    config: Path,
    merchant_no: str,
    terminal_id: str,
    change: Callable[[Session, Terminal], Awaitable[dict[str, str]]],
    *,
    as_json: bool,
    seals: bool = False,
) -> None:
    """Change one terminal and show it as it is then, with what ``change`` says besides."""

    async def work(session: Session) -> dict[str, Any]:
        said = await change(session, await _find(session, merchant_no, terminal_id))
        after = await _find(session, merchant_no, terminal_id)
        return {**terminal_row(after, as_json=as_json), **said}

    show([in_session(config, work, seals=seals)], as_json=as_json)


def set_terminal(
    merchant_no: str,
    terminal_id: str,
    f64: Field64Option = "",
    header: HeaderOption = "",
    tpdu: TpduOption = "",
    pad: PadOption = "",
    mak_bytes: MakBytesOption = "",
    encrypt_tracks: EncryptTracksOption = None,
    f60_digits: Field60Option = "",
    push: PushOption = None,
    live_code: LiveCodeOption = None,
    operator_pin: OperatorPinOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Change a terminal's options; those not given stay as they are.

    Example: posgate terminal set M1 99000001 --f64 raw --pad F
    """

    async def change(session: Session, terminal: Terminal) -> dict[str, str]:
        options = options_json(
            read_json(terminal.options_json),
            f64=f64,
            header=header,
            tpdu=tpdu,
            pad=pad,
            mak_bytes=mak_bytes,
            encrypt_tracks=encrypt_tracks,
            f60_digits=f60_digits,
            push=push,
            live_code=live_code,
            operator_pin=operator_pin,
        )
        check_options(terminal.key_scheme, terminal.mac, options)
        await session.store.set_terminal_options(merchant_no, terminal_id, options)
        return {}

    _changed(config, merchant_no, terminal_id, change, as_json=json)


def rotate_key(
    merchant_no: str,
    terminal_id: str,
    first_component: FirstOption = "",
    second_component: SecondOption = "",
    generate: GenerateOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Replace a terminal's master key; its next sign-in is under the new one.

    Example: posgate terminal rotate-key M1 99000001 --generate
    """
    _one_way(first_component, second_component, generate=generate)

    async def change(session: Session, terminal: Terminal) -> dict[str, str]:
        first, second = _components(session, first_component, second_component)
        master = master_key(first, second, terminal.key_scheme)
        sealed = seal_master(session, merchant_no, terminal_id, master)
        kcv = master.kcv().hex().upper()
        await session.store.set_terminal_key(merchant_no, terminal_id, sealed, kcv)
        return {"kcv_before": terminal.tmk_kcv, **_shown(first, second, generate=generate)}

    _changed(config, merchant_no, terminal_id, change, as_json=json, seals=True)


def disable_terminal(
    merchant_no: str, terminal_id: str, config: ConfigOption = DEFAULT_CONFIG
) -> None:
    """Stop a terminal.

    Example: posgate terminal disable M1 99000001
    """
    in_session(config, lambda session: session.store.disable_terminal(merchant_no, terminal_id))


def terminal_row(terminal: Terminal, *, as_json: bool) -> dict[str, Any]:
    """A terminal as it is shown; its options by name, or in words."""
    options = read_json(terminal.options_json)
    words = " ".join(f"{name}={word}" for name, word in options.items()) or "usual"
    return {
        "merchant_no": terminal.merchant_no,
        "terminal_id": terminal.terminal_id,
        "key_scheme": terminal.key_scheme,
        "mac": terminal.mac,
        "options": options if as_json else words,
        "allow_weak_pin": terminal.allow_weak_pin,
        "tmk_kcv": terminal.tmk_kcv,
        "disabled": terminal.disabled,
    }
