"""``posgate terminal import``: many terminals at once, from files.

A CSV file with a header has one terminal a line::

    merchant_no,terminal_id,key_scheme,mac,f64,tmk_wrapped,kcv
    M0001,99000001,3des,cup-ecb,hex,0F1E…,A1B2C3D4

``merchant_no`` and ``terminal_id`` are needed; ``key_scheme``, ``mac``, ``allow_weak_pin``
and the options of a terminal are the usual ones where they are absent or empty. Master keys
never stand in clear in one file. They come in either of two ways:

* ``tmk_wrapped`` under a transport key (3DES-ECB), whose own two halves nobody needs to
  type: ``--transport-key file:PATH``; ``kcv`` (6 or 8 digits) is needed and must agree;
* two files of components, one of each custodian, with ``terminal_id,component`` (and
  ``merchant_no`` where two merchants have the same number); ``kcv`` is compared if it is
  there.

Rules: everything is read and checked before anything is kept, all faults are told with
their lines, and then all terminals are added or none. No fault shows a key.
"""

import csv
import hmac
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from domain.errors import ConfigurationError
from gateway.cli.provisioning import is_alphanumeric
from gateway.cli.session import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    Session,
    in_session,
    print_json,
)
from gateway.cli.terminal_dialect import check_options, options_json
from gateway.cli.terminal_provisioning import master_key, seal_master
from gateway.keys import read_secret
from gateway.store.port import Terminal
from gateway.terminal_options import option_words
from signing.pos import CipherKey, KeyScheme

MAX_TERMINALS: Final = 200_000
_NEEDED: Final = ("merchant_no", "terminal_id")
_KNOWN: Final = frozenset(
    {*_NEEDED, "key_scheme", "mac", "allow_weak_pin", "tmk_wrapped", "kcv", *option_words()}
)
_IN_CLEAR: Final = frozenset({"tmk", "component", "component_1", "component_2"})
_COMPONENT_COLUMNS: Final = frozenset({"merchant_no", "terminal_id", "component"})
_TRUTH: Final = {"true": True, "false": False, "": False}
_KCV_DIGITS: Final = (6, 8)
_Row = Mapping[str, str]
_Name = tuple[str, str]
_MasterKey = Callable[["Line"], CipherKey]
"""A line's master key; raises :class:`ConfigurationError`."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file: its number, and its values by column, without blanks around them."""

    number: int
    values: _Row

    def __repr__(self) -> str:
        return f"Line({self.number})"

    def __getitem__(self, column: str) -> str:
        return self.values.get(column, "")

    @property
    def name(self) -> _Name:
        """Which terminal."""
        return self["merchant_no"], self["terminal_id"]


def import_terminals(
    file: Annotated[Path, typer.Argument(help="CSV with a header, one terminal a line.")],
    component_1: Annotated[
        Path | None,
        typer.Option("--component-1", help="First custodian's CSV file: terminal_id,component."),
    ] = None,
    component_2: Annotated[
        Path | None,
        typer.Option("--component-2", help="Second custodian's CSV file: terminal_id,component."),
    ] = None,
    transport_key: Annotated[
        str, typer.Option(help="What tmk_wrapped is wrapped under: file:PATH or env:NAME.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check all and keep nothing.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Add many terminals at once, all of them or none.

    Example: posgate terminal import fleet.csv --component-1 anna.csv --component-2 bo.csv
    """
    has_components = component_1 is not None and component_2 is not None
    is_half = (component_1 is None) != (component_2 is None)
    if is_half or has_components == bool(transport_key):
        raise typer.BadParameter("give --component-1 and --component-2, or --transport-key")

    async def work(session: Session) -> list[Terminal]:
        lines, faults = _read(file, _KNOWN, frozenset(_NEEDED))
        if component_1 is not None and component_2 is not None:
            keys = _from_components(_components(component_1), _components(component_2))
        else:
            keys = _wrapped(_transport_key(transport_key))
        terminals = await _checked(session, file, lines, faults, keys)
        if not dry_run:
            await session.store.add_terminals(terminals)
        return terminals

    terminals = in_session(config, work, seals=True)
    if json:
        print_json(_summary(terminals, is_dry=dry_run))
    else:
        typer.echo(f"{len(terminals)} terminals {'could be' if dry_run else 'were'} added")


def _summary(terminals: list[Terminal], *, is_dry: bool) -> dict[str, Any]:
    return {
        "added": 0 if is_dry else len(terminals),
        "checked": len(terminals),
        "terminals": [
            {
                "merchant_no": one.merchant_no,
                "terminal_id": one.terminal_id,
                "tmk_kcv": one.tmk_kcv,
            }
            for one in terminals
        ],
    }


async def _checked(
    session: Session, file: Path, lines: list[Line], faults: list[str], keys: _MasterKey
) -> list[Terminal]:
    """Every line as a terminal.

    Raises:
        ConfigurationError: all faults, a line each.
    """
    merchants = {one.merchant_no for one in await session.store.merchants()}
    seen = {(one.merchant_no, one.terminal_id): 0 for one in await session.store.terminals()}
    now_ms = session.clock.now_ms()
    terminals = []
    for line in lines:
        try:
            _refuse_twin(line, seen)
            if line["merchant_no"] not in merchants:
                raise ConfigurationError(
                    f"no merchant {line['merchant_no'] or '(empty)'}; add it first"
                )
            terminals.append(_terminal(session, line, keys(line), now_ms))
        except ConfigurationError as error:
            faults.append(f"{file}:{line.number}: {error.message}")
    if faults:
        raise ConfigurationError("\n".join((*faults, "nothing was added")))
    return terminals


def _refuse_twin(line: Line, seen: dict[_Name, int]) -> None:
    first = seen.setdefault(line.name, line.number)
    if first == line.number:
        return
    place = f"is on line {first} too" if first else "exists already"
    raise ConfigurationError(f"terminal {line['terminal_id']} {place}; remove the line")


def _terminal(session: Session, line: Line, master: CipherKey, now_ms: int) -> Terminal:
    if not is_alphanumeric(line["terminal_id"], 8):
        raise ConfigurationError("terminal_id must be 8 letters or digits")
    key_scheme, options = _scheme(line), _options(line)
    mac = check_options(key_scheme, line["mac"], options)
    allow_weak_pin = _TRUTH.get(line["allow_weak_pin"].lower())
    if allow_weak_pin is None:
        raise ConfigurationError("allow_weak_pin is true or false")
    return Terminal(
        merchant_no=line["merchant_no"],
        terminal_id=line["terminal_id"],
        key_scheme=key_scheme,
        mac=mac,
        allow_weak_pin=allow_weak_pin,
        tmk_sealed=seal_master(session, *line.name, master),
        tmk_kcv=master.kcv().hex().upper(),
        created_at_ms=now_ms,
        options_json=options,
    )


def _scheme(line: Line) -> str:
    key_scheme = line["key_scheme"] or KeyScheme.TDES.value
    schemes = [one.value for one in KeyScheme]
    if key_scheme not in schemes:
        raise ConfigurationError(f"key_scheme is one of {', '.join(schemes)}")
    return key_scheme


def _options(line: Line) -> str:
    said = {name: line[name] for name in option_words() if line[name]}
    cased = {name: word.upper() if name == "pad" else word.lower() for name, word in said.items()}
    return options_json(cased)


def _wrapped(transport: CipherKey) -> _MasterKey:
    """Master keys that the file has, wrapped."""

    def key(line: Line) -> CipherKey:
        try:
            wrapped = bytes.fromhex(line["tmk_wrapped"])
        except ValueError:
            wrapped = b""
        if len(wrapped) != 16:
            raise ConfigurationError("tmk_wrapped must be 32 hexadecimal digits")
        if not line["kcv"]:
            raise ConfigurationError("kcv is empty; without it nobody knows the key is right")
        master = CipherKey(transport.decrypt(wrapped), KeyScheme(_scheme(line)).algorithm)
        _check(line, master)
        return master

    return key


def _from_components(first: Mapping[_Name, bytes], second: Mapping[_Name, bytes]) -> _MasterKey:
    """Master keys that two other files have, half and half."""

    def half(line: Line, components: Mapping[_Name, bytes], which: str) -> bytes:
        component = components.get(line.name) or components.get(("", line["terminal_id"]))
        if component is None:
            raise ConfigurationError(
                f"terminal {line['terminal_id']} is not in --component-{which}"
            )
        return component

    def key(line: Line) -> CipherKey:
        if line["tmk_wrapped"]:
            raise ConfigurationError("tmk_wrapped needs --transport-key, not components")
        master = master_key(half(line, first, "1"), half(line, second, "2"), _scheme(line))
        if line["kcv"]:
            _check(line, master)
        return master

    return key


def _check(line: Line, master: CipherKey) -> None:
    said, kcv = line["kcv"].upper(), master.kcv().hex().upper()
    if len(said) not in _KCV_DIGITS:
        raise ConfigurationError("kcv must be 6 or 8 hexadecimal digits")
    if not hmac.compare_digest(said.encode(), kcv[: len(said)].encode()):
        raise ConfigurationError("kcv differs: another key, or another transport key")


def _transport_key(reference: str) -> CipherKey:
    if not reference.startswith(("file:", "env:")):
        raise ConfigurationError("--transport-key must be file:PATH or env:NAME")
    try:
        key = bytes.fromhex(read_secret(reference, Path.cwd()))
    except ValueError:
        key = b""
    if len(key) not in (16, 24):
        raise ConfigurationError(f"{reference}: a transport key is 32 or 48 hexadecimal digits")
    return CipherKey(key)


def _components(file: Path) -> dict[_Name, bytes]:
    """A custodian's file; raises :class:`ConfigurationError` with all its faults."""
    lines, faults = _read(file, _COMPONENT_COLUMNS, frozenset({"terminal_id", "component"}))
    components: dict[_Name, bytes] = {}
    for line in lines:
        try:
            component = bytes.fromhex(line["component"])
        except ValueError:
            component = b""
        if len(component) != 16:
            faults.append(f"{file}:{line.number}: component must be 32 hexadecimal digits")
        if line.name in components:
            faults.append(f"{file}:{line.number}: terminal {line['terminal_id']} is there twice")
        components[line.name] = component
    if faults:
        raise ConfigurationError("\n".join(faults))
    return components


def _read(
    file: Path, known: frozenset[str], needed: frozenset[str]
) -> tuple[list[Line], list[str]]:
    """The lines of a CSV file, and what is wrong with single ones.

    Raises:
        ConfigurationError: the file or its header cannot be read.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as source:
            reader = csv.reader(source, strict=True)
            columns = [name.strip().lower() for name in next(reader, [])]
            _check_header(file, columns, known, needed)
            return _lines(file, columns, reader)
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file}: not UTF-8; save it as UTF-8") from None
    except csv.Error as error:
        raise ConfigurationError(f"{file}: not CSV ({error})") from None


def _check_header(
    file: Path, columns: list[str], known: frozenset[str], needed: frozenset[str]
) -> None:
    clear = _IN_CLEAR.intersection(columns) - known
    if clear:
        raise ConfigurationError(
            f"{file}:1: {', '.join(sorted(clear))}: a master key must not stand in clear in one"
            " file; give two files of components, or tmk_wrapped under a transport key"
        )
    unknown = [name for name in columns if name not in known]
    missing = sorted(needed.difference(columns))
    twice = len(set(columns)) != len(columns)
    if unknown or missing or twice:
        faults = [f"unknown column {name or '(empty)'}" for name in unknown]
        faults += [f"no column {name}" for name in missing]
        faults += ["a column is there twice"] if twice else []
        raise ConfigurationError(
            f"{file}:1: {'; '.join(faults)}; the columns are {', '.join(sorted(known))}"
        )


def _lines(
    file: Path, columns: list[str], reader: Iterator[list[str]]
) -> tuple[list[Line], list[str]]:
    lines: list[Line] = []
    faults: list[str] = []
    for number, cells in enumerate(reader, 2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(lines) >= MAX_TERMINALS:
            raise ConfigurationError(f"{file}: more than {MAX_TERMINALS} lines; divide it")
        if len(cells) != len(columns):
            faults.append(f"{file}:{number}: {len(cells)} values, the header has {len(columns)}")
            continue
        values = {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}
        lines.append(Line(number, values))
    if not lines and not faults:
        raise ConfigurationError(f"{file}: has no terminal")
    return lines, faults
