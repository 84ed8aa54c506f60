"""The options of a terminal's dialect, as commands take them and the store keeps them.

Rules: an option that is not given is the usual one and is not kept; what no terminal can
have is refused before it is kept. The words and their meaning are those of
``gateway/terminal_options.py``.
"""

from collections.abc import Mapping
from typing import Annotated, Final

import orjson
import typer

from domain.errors import ConfigurationError
from gateway.terminal_options import dialect_of, option_words
from signing.pos import MAC_ALGORITHMS, KeyScheme

_WORDS: Final = option_words()
_SM4_MAC: Final = "cup-sm4"
_USUAL_MAC: Final = "cup-ecb"


def _one_of(name: str) -> str:
    return f"one of {', '.join(_WORDS[name])}"


Field64Option = Annotated[
    str, typer.Option("--f64", help=f"How the MAC stands in F64: {_one_of('f64')}.")
]
HeaderOption = Annotated[
    str, typer.Option("--header", help=f"Between TPDU and MTI: {_one_of('header')}.")
]
TpduOption = Annotated[
    str, typer.Option("--tpdu", help=f"The addresses of an answer: {_one_of('tpdu')}.")
]
PadOption = Annotated[
    str, typer.Option("--pad", help="The nibble beside an odd number of digits: 0-9 or A-F.")
]
MakBytesOption = Annotated[
    str, typer.Option("--mak-bytes", help="The length of the MAC key: 8 or 16.")
]
EncryptTracksOption = Annotated[
    bool | None,
    typer.Option(
        "--encrypt-tracks/--clear-tracks", help="Whether F35 travels under the track key."
    ),
]
Field60Option = Annotated[
    str, typer.Option("--f60-digits", help=f"Digits of F60 in a sale: {_one_of('f60_digits')}.")
]
PushOption = Annotated[
    bool | None,
    typer.Option("--push/--no-push", help="Whether it may be sent what it did not ask for."),
]
LiveCodeOption = Annotated[
    bool | None,
    typer.Option("--live-code/--no-live-code", help="Whether it may ask for a code to show."),
]
OperatorPinOption = Annotated[
    bool | None,
    typer.Option("--operator-pin/--no-operator-pin", help="Whether it sends operators' PINs."),
]


def options_json(
    before: Mapping[str, str],
    *,
    f64: str = "",
    header: str = "",
    tpdu: str = "",
    pad: str = "",
    mak_bytes: str = "",
    encrypt_tracks: bool | None = None,
    f60_digits: str = "",
    push: bool | None = None,
    live_code: bool | None = None,
    operator_pin: bool | None = None,
) -> str:
    """``before`` with what is given laid over it, as the store keeps it."""
    given = {
        "f64": f64.lower(),
        "header": header.lower(),
        "tpdu": tpdu.lower(),
        "pad": pad.upper(),
        "mak_bytes": mak_bytes,
        "encrypts_tracks": _word(encrypt_tracks),
        "f60_digits": f60_digits,
        "push": _word(push),
        "live_code": _word(live_code),
        "operator_pin": _word(operator_pin),
    }
    said = {**before, **{name: word for name, word in given.items() if word}}
    return orjson.dumps(said, option=orjson.OPT_SORT_KEYS).decode()


def _word(flag: bool | None) -> str:
    return "" if flag is None else str(flag).lower()


def read_json(options: str) -> dict[str, str]:
    """The options of a store's row."""
    said: dict[str, str] = orjson.loads(options or "{}")
    return said


def check_options(key_scheme: str, mac: str, options: str) -> str:
    """The MAC algorithm: ``mac``, or the scheme's usual one where it is ``""``.

    Raises:
        ConfigurationError: a scheme, algorithm or option that does not exist, or that does
            not go with the others.
    """
    schemes = [scheme.value for scheme in KeyScheme]
    if key_scheme not in schemes:
        raise ConfigurationError(f"--key-scheme is one of {', '.join(schemes)}")
    is_sm4 = key_scheme == KeyScheme.SM4.value
    mac = mac or (_SM4_MAC if is_sm4 else _USUAL_MAC)
    if mac not in MAC_ALGORITHMS:
        raise ConfigurationError(f"--mac is one of {', '.join(MAC_ALGORITHMS)}")
    if (mac == _SM4_MAC) != is_sm4:
        raise ConfigurationError(f"--mac {mac} does not go with --key-scheme {key_scheme}")
    dialect = dialect_of(key_scheme, mac, options)
    if dialect.mak_bytes > KeyScheme(key_scheme).key_bytes:
        raise ConfigurationError(
            f"a MAC key of {dialect.mak_bytes} bytes does not go with --key-scheme {key_scheme}"
        )
    return mac
