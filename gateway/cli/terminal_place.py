"""Which terminal a command is, and at which gateway: the options that all of them share.

Rules: everything comes from the demo's ``--info`` file, or from options; a master key is
a file or an environment variable, never an argument. Every command takes these options
after its own, by :func:`at_a_place`.
"""

import functools
import inspect
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Final, get_args

import orjson
import typer

from domain.errors import ConfigurationError
from gateway.cli.session import JsonOption
from gateway.cli.terminal_client import ANSWER_TIMEOUT_S, SCHEMES, TerminalPlace
from gateway.cli.terminal_dialect import (
    EncryptTracksOption,
    Field60Option,
    Field64Option,
    HeaderOption,
    MakBytesOption,
    PadOption,
    TpduOption,
    check_options,
    options_json,
)
from gateway.keys import read_secret
from signing.pos import MAC_ALGORITHMS

MAX_TERMINALS: Final = 10_000
"""How many terminals one command can be at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """The shared options, as given."""

    info: Annotated[
        Path | None, typer.Option(help="The demo's --info file: everything else comes from it.")
    ] = None
    host: Annotated[str, typer.Option(help="The gateway's POS address.")] = "127.0.0.1"
    port: Annotated[int, typer.Option(help="The gateway's POS port.", min=1, max=65_535)] = 8583
    merchant_id: Annotated[str, typer.Option(help="Field 42, 15 characters.")] = ""
    terminal_id: Annotated[str, typer.Option(help="Field 41, 8 characters.")] = ""
    tmk: Annotated[str, typer.Option(help="The master key: file:PATH or env:NAME.")] = ""
    key_scheme: Annotated[str, typer.Option(help=f"One of {', '.join(SCHEMES)}.")] = "3des"
    mac: Annotated[
        str, typer.Option(help=f"One of {', '.join(MAC_ALGORITHMS)}; the scheme's own if absent.")
    ] = ""
    f64: Field64Option = ""
    header: HeaderOption = ""
    tpdu: TpduOption = ""
    pad: PadOption = ""
    mak_bytes: MakBytesOption = ""
    encrypt_tracks: EncryptTracksOption = None
    f60_digits: Field60Option = ""
    ca_file: Annotated[
        str, typer.Option(help="Speak TLS to a server of this authority (PEM file).")
    ] = ""
    certificate: Annotated[
        str, typer.Option(help="The terminal's own certificate for TLS, with its key (PEM file).")
    ] = ""
    https: Annotated[
        bool, typer.Option("--https", help="Send messages as HTTPS bodies (pos.https_port).")
    ] = False
    state: Annotated[Path | None, typer.Option(help="Where batch, trace and journal are kept.")] = (
        None
    )
    patience: Annotated[
        float, typer.Option(help="Seconds to wait for an answer.", min=0.05, max=600)
    ] = ANSWER_TIMEOUT_S
    json: JsonOption = False

    def place(self) -> TerminalPlace:
        """The terminal.

        Raises:
            ConfigurationError: an option, a file or a key that cannot be.
        """
        return self.places(1)[0]

    def places(self, count: int) -> list[TerminalPlace]:
        """The terminal and those after it: the file's next, or numbers that follow its own.

        Raises:
            ConfigurationError: as there, or there are not so many.
        """
        if self.info is not None:
            return [
                replace(
                    one,
                    ca_file=self.ca_file,
                    certificate_file=self.certificate,
                    https=self.https,
                )
                for one in self._of_file(self.info, count)
            ]
        if not (self.merchant_id and self.terminal_id and self.tmk):
            raise ConfigurationError("give --info, or --merchant-id, --terminal-id and --tmk")
        tmk = _master_key(self.tmk)
        mac = check_options(self.key_scheme, self.mac, self._options())
        return [
            TerminalPlace(
                host=self.host,
                port=self.port,
                merchant_id=self.merchant_id,
                terminal_id=number,
                tmk=tmk,
                key_scheme=self.key_scheme,
                mac=mac,
                options_json=self._options(),
                ca_file=self.ca_file,
                certificate_file=self.certificate,
                https=self.https,
            )
            for number in _following(self.terminal_id, count)
        ]

    def _options(self) -> str:
        return options_json(
            {},
            f64=self.f64,
            header=self.header,
            tpdu=self.tpdu,
            pad=self.pad,
            mak_bytes=self.mak_bytes,
            encrypt_tracks=self.encrypt_tracks,
            f60_digits=self.f60_digits,
        )

    def _of_file(self, info: Path, count: int) -> list[TerminalPlace]:
        """``count`` terminals of an ``--info`` file, from the wanted or the first one."""
        try:
            pos = orjson.loads(info.read_bytes())["pos"]
            numbers = [one["terminal_id"] for one in pos["terminals"]]
            start = numbers.index(self.terminal_id) if self.terminal_id else 0
            wanted = pos["terminals"][start : start + count]
            places = [_installed(pos, one) for one in wanted]
        except OSError as error:
            raise ConfigurationError(
                f"{info}: cannot be read ({error.strerror}); start posgate demo --info {info}"
            ) from None
        except ValueError as error:
            if isinstance(error, orjson.JSONDecodeError) or "list" not in str(error):
                raise ConfigurationError(f"{info}: not a file of posgate demo --info") from None
            raise ConfigurationError(f"{info} has no terminal {self.terminal_id}") from None
        except (KeyError, TypeError):
            raise ConfigurationError(f"{info}: not a file of posgate demo --info") from None
        if len(places) < count:
            raise ConfigurationError(
                f"{info} has {len(places)} terminals from there on, not {count}; take fewer"
            )
        return places


def _installed(pos: dict[str, Any], terminal: dict[str, Any]) -> TerminalPlace:
    return TerminalPlace(
        host=pos["host"],
        port=pos["port"],
        merchant_id=pos["merchant_id"],
        terminal_id=terminal["terminal_id"],
        tmk=bytes.fromhex(terminal["tmk"]),
        key_scheme=terminal["key_scheme"],
        mac=terminal["mac"],
        options_json=orjson.dumps(terminal.get("options", {})).decode(),
    )


def _master_key(reference: str) -> bytes:
    if not reference.startswith(("file:", "env:")):
        raise ConfigurationError("--tmk is file:PATH or env:NAME, never the key itself")
    try:
        key = bytes.fromhex(read_secret(reference, Path.cwd()))
    except ValueError:
        key = b""
    if len(key) != 16:
        raise ConfigurationError(f"{reference}: a master key is 32 hexadecimal digits")
    return key


def _following(terminal_id: str, count: int) -> list[str]:
    """``count`` terminal numbers from this one on, which must end in digits for more than one."""
    if count == 1:
        return [terminal_id]
    stem = terminal_id.rstrip("0123456789")
    digits = terminal_id[len(stem) :]
    if not digits or int(digits) + count > 10 ** len(digits):
        raise ConfigurationError(f"{terminal_id} is not followed by {count - 1} more numbers")
    return [f"{stem}{int(digits) + step:0{len(digits)}d}" for step in range(count)]


def _paneled(parameter: inspect.Parameter) -> inspect.Parameter:
    """A shared option, in a panel of its own below those of the command."""
    kind, option = get_args(parameter.annotation)
    option = copy(option)
    option.rich_help_panel = "Terminal and gateway"
    return parameter.replace(
        kind=inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[kind, option]
    )


_SHARED: Final = tuple(map(_paneled, inspect.signature(At).parameters.values()))


def at_a_place(
    command: Callable[..., None], more: tuple[inspect.Parameter, ...] = ()
) -> Callable[..., None]:
    """``command`` as Typer sees it: ``at`` is made of the shared options.

    ``more`` parameters (they arrive as keywords) come first, then its own, the shared
    ones last.
    """
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(command, eval_str=True).parameters.values()
        if parameter.name != "at" and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    shared = frozenset(field.name for field in fields(At))

    @functools.wraps(command)
    def whole(**given: Any) -> None:
        at = At(**{name: given.pop(name) for name in shared})
        command(at, **given)

    parameters = (*more, *own, *_SHARED)
    whole.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by inspect
    whole.__annotations__ = {one.name: one.annotation for one in parameters}
    return whole
