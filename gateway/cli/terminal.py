"""``posgate terminal``: provisioning of terminals, and a terminal on the command line.

Rules: batch, trace and the *wrapped* working keys are kept in a state file between
calls; of the last sale only what a reversal repeats, never a card, PIN or code. A
card number or code that is given on the command line is a test one; keys come from
files, the environment or the demo's ``--info`` file.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer
from rich.console import Console
from rich.table import Table

from domain.errors import ConfigurationError, InvalidRequest
from gateway.cli import provisioning
from gateway.cli.ready_file import write_atomically
from gateway.cli.session import JsonOption, fail, print_json, run
from gateway.cli.terminal_client import SCHEMES, TerminalClient, TerminalPlace
from gateway.keys import read_secret
from pos_protocol.card import magnetic_card
from pos_protocol.message import Message
from pos_protocol.response_codes import meaning
from pos_protocol.terminal import Outcome, Request

terminals = typer.Typer(no_args_is_help=True, help="Provision terminals, or be one.")
terminals.command("add")(provisioning.add_terminal)
terminals.command("list")(provisioning.list_terminals)
terminals.command("show")(provisioning.show_terminal)
terminals.command("disable")(provisioning.disable_terminal)

_KEPT_FIELDS: Final = (3, 4, 11, 22, 25, 41, 42, 49, 60)
_TEST_EXPIRY: Final = "3012"

InfoOption = Annotated[
    Path | None, typer.Option(help="The demo's --info file: everything else comes from it.")
]
HostOption = Annotated[str, typer.Option(help="The gateway's POS address.")]
PortOption = Annotated[int, typer.Option(help="The gateway's POS port.")]
MerchantOption = Annotated[str, typer.Option(help="Field 42, 15 characters.")]
TerminalOption = Annotated[str, typer.Option(help="Field 41, 8 characters.")]
TmkOption = Annotated[str, typer.Option(help="The master key: file:PATH or env:NAME.")]
SchemeOption = Annotated[str, typer.Option(help="des, 3des or 3des-tdk.")]
MacOption = Annotated[str, typer.Option(help="cup-ecb, x9.9 or x9.19.")]
StateOption = Annotated[Path | None, typer.Option(help="Where batch and trace are kept.")]
AmountOption = Annotated[int, typer.Option("--amount", min=1, help="Fen.")]

Build = Callable[[TerminalClient, dict[str, Any]], Request]


def _place(
    info: Path | None,
    host: str,
    port: int,
    merchant_id: str,
    terminal_id: str,
    tmk: str,
    key_scheme: str,
    mac: str,
) -> TerminalPlace:
    """Where to sell; a fault in the options leaves with its mend."""
    try:
        if info is not None:
            return _place_from(info, terminal_id)
        if not (merchant_id and terminal_id and tmk):
            raise ConfigurationError("give --info, or --merchant-id, --terminal-id and --tmk")
        if key_scheme not in SCHEMES:
            raise ConfigurationError(f"--key-scheme is one of {', '.join(SCHEMES)}")
        return TerminalPlace(
            host=host,
            port=port,
            merchant_id=merchant_id,
            terminal_id=terminal_id,
            tmk=bytes.fromhex(read_secret(tmk, Path.cwd())),
            key_scheme=key_scheme,
            mac=mac,
        )
    except ConfigurationError as error:
        fail(error)
    except ValueError:
        fail(ConfigurationError(f"{tmk}: a master key is 32 hexadecimal digits"))


def _place_from(info: Path, terminal_id: str) -> TerminalPlace:
    """The wanted terminal of an ``--info`` file, or its first one."""
    try:
        pos = orjson.loads(info.read_bytes())["pos"]
        wanted = [t for t in pos["terminals"] if terminal_id in ("", t["terminal_id"])]
        if not wanted:
            raise ConfigurationError(f"{info} has no terminal {terminal_id}")
        return TerminalPlace(
            host=pos["host"],
            port=pos["port"],
            merchant_id=pos["merchant_id"],
            terminal_id=wanted[0]["terminal_id"],
            tmk=bytes.fromhex(wanted[0]["tmk"]),
            key_scheme=wanted[0]["key_scheme"],
            mac=wanted[0]["mac"],
        )
    except OSError as error:
        raise ConfigurationError(f"{info}: cannot be read ({error.strerror})") from None
    except (KeyError, TypeError, ValueError):
        raise ConfigurationError(f"{info}: not a file of posgate demo --info") from None


class _Till:
    """A terminal with its state file."""

    def __init__(self, place: TerminalPlace, state: Path | None) -> None:
        self._file = state or Path(f".posgate-terminal-{place.terminal_id}.json")
        self._state: dict[str, Any] = {"trace": 1, "batch": "000000", "keys": "", "last": None}
        if self._file.exists():
            self._state.update(orjson.loads(self._file.read_bytes()))
        self.client = TerminalClient(place, trace=self._state["trace"], batch=self._state["batch"])
        if self._state["keys"]:
            scheme = self.client.terminal.identity.scheme
            self.client.security.unwrap_keys(scheme, bytes.fromhex(self._state["keys"]))

    async def do(self, build: Build) -> Outcome:
        """One exchange; the state is kept before sending and after."""
        request = build(self.client, self._state)
        self._keep(request)
        try:
            return await self.client.exchange(request)
        finally:
            self._keep(request)
            await self.client.close()

    def _keep(self, request: Request) -> None:
        terminal = self.client.terminal
        self._state["trace"], self._state["batch"] = terminal.trace, terminal.batch
        self._state["keys"] = self.client.security.wrapped_keys.hex()
        if request.message.mti == "0200":
            fields = request.message.fields
            self._state["last"] = {str(n): fields[n] for n in _KEPT_FIELDS if n in fields}
        write_atomically(self._file, self._state)


def _last_sale(client: TerminalClient, state: dict[str, Any]) -> Request:
    if not state["last"]:
        raise InvalidRequest("nothing_to_reverse", "this terminal has made no sale yet")
    own = client.terminal.identity
    fields: dict[int, str | bytes] = {int(n): value for n, value in state["last"].items()}
    return Request(b"", Message(own.tpdu, own.header, "0200", fields))


def _command(name: str, build: Build, text: str) -> None:
    """Register a transaction that needs nothing but the terminal."""

    def command(
        info: InfoOption = None,
        host: HostOption = "127.0.0.1",
        port: PortOption = 8583,
        merchant_id: MerchantOption = "",
        terminal_id: TerminalOption = "",
        tmk: TmkOption = "",
        key_scheme: SchemeOption = "3des",
        mac: MacOption = "cup-ecb",
        state: StateOption = None,
        json: JsonOption = False,
    ) -> None:
        place = _place(info, host, port, merchant_id, terminal_id, tmk, key_scheme, mac)
        _do(place, state, build, name, as_json=json)

    command.__doc__ = f"{text}\n\nExample: posgate terminal {name} --info demo.json"
    terminals.command(name)(command)


_command("sign-in", lambda till, _: till.terminal.sign_in(), "Ask for working keys.")
_command("echo", lambda till, _: till.terminal.echo(), "Ask whether anybody is there.")
_command(
    "reverse",
    lambda till, state: till.terminal.reversal(_last_sale(till, state)),
    "Reverse this terminal's last sale.",
)


@terminals.command("sale")
def sale(
    amount_fen: AmountOption,
    pan: Annotated[str, typer.Option(help="A test card's number.")],
    pin: Annotated[str, typer.Option(help="The payer's PIN, if one is typed.")] = "",
    info: InfoOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8583,
    merchant_id: MerchantOption = "",
    terminal_id: TerminalOption = "",
    tmk: TmkOption = "",
    key_scheme: SchemeOption = "3des",
    mac: MacOption = "cup-ecb",
    state: StateOption = None,
    json: JsonOption = False,
) -> None:
    """Sell by card.

    Example: posgate terminal sale --info demo.json --amount 1990 --pan 9900000000000010 --pin 123456
    """
    place = _place(info, host, port, merchant_id, terminal_id, tmk, key_scheme, mac)
    card = magnetic_card(pan, _TEST_EXPIRY)
    _do(
        place,
        state,
        lambda till, _: till.terminal.sale(card, amount_fen, pin),
        "sale",
        as_json=json,
    )


@terminals.command("scan")
def scan(
    amount_fen: AmountOption,
    code: Annotated[str, typer.Option(help="The payer's code as scanned.")],
    info: InfoOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8583,
    merchant_id: MerchantOption = "",
    terminal_id: TerminalOption = "",
    tmk: TmkOption = "",
    key_scheme: SchemeOption = "3des",
    mac: MacOption = "cup-ecb",
    state: StateOption = None,
    json: JsonOption = False,
) -> None:
    """Sell by a scanned code.

    Example: posgate terminal scan --info demo.json --amount 500 --code 280000000000000001
    """
    place = _place(info, host, port, merchant_id, terminal_id, tmk, key_scheme, mac)
    _do(place, state, lambda till, _: till.terminal.qr_sale(code, amount_fen), "scan", as_json=json)


def _do(
    place: TerminalPlace, state: Path | None, build: Build, name: str, *, as_json: bool
) -> None:
    async def work() -> Outcome:
        return await _Till(place, state).do(build)

    outcome = run(work())
    row = _receipt(place, name, outcome)
    if as_json:
        print_json(row)
    else:
        table = Table(show_header=False, title="POSGATE")
        for label, value in row.items():
            table.add_row(label, str(value))
        Console().print(table)
    if not outcome.approved:
        raise typer.Exit(1)


def _receipt(place: TerminalPlace, name: str, outcome: Outcome) -> dict[str, Any]:
    known = meaning(outcome.response_code)
    return {
        "transaction": name,
        "terminal_id": place.terminal_id,
        "trace": outcome.message.text(11) if outcome.message is not None else "",
        "approved": outcome.approved,
        "response_code": outcome.response_code,
        "text": f"{known.zh} / {known.en}" if known is not None else "",
        "reference": outcome.reference,
        "amount_fen": outcome.amount_fen,
        "fault": outcome.fault.value if outcome.fault is not None else None,
    }
