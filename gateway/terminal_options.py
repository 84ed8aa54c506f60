"""A terminal's options (reference ``pos_protocol.md`` §9.3) as its dialect.

Rules: an option that is absent is the usual one; an unknown or impossible one is a
:class:`ConfigurationError` that names it. Equal options give the same dialect object,
because compiled codec plans hang on its identity; so many are kept at once.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import orjson

from domain.errors import ConfigurationError
from gateway.store.port import Terminal
from pos_protocol.dialect import (
    FIELD_60_DIGITS,
    MAK_BYTES,
    STANDARD,
    Dialect,
    HeaderForm,
    MacAlgorithm,
    MacForm,
    TpduRule,
)
from signing.pos import MAC_ALGORITHMS, RAW_MAC_ALGORITHMS, KeyScheme, MacFunction

MAX_DIALECTS: Final = 64
"""Different sets of options that are ready at once."""

_PUSH: Final = "push"
_LIVE_CODE: Final = "live_code"
_OPERATOR_PIN: Final = "operator_pin"
_EXTENSIONS: Final = (_PUSH, _LIVE_CODE, _OPERATOR_PIN)
"""Private extensions that a terminal knows; they change nothing of how a message is written."""
_HEADERS: Final = {form.name.lower(): form for form in HeaderForm}
_TRUTH: Final = {"true": True, "false": False}
_PADS: Final = {digit: digit for digit in "0123456789ABCDEF"}
_CHOICES: Final[Mapping[str, Mapping[str, Any]]] = {
    "pad": _PADS,
    "tpdu": {rule.value: rule for rule in TpduRule},
    "header": _HEADERS,
    "f64": {form.value: form for form in MacForm},
    "mak_bytes": {"8": 8, "16": 16, "24": 24},
    "encrypts_tracks": _TRUTH,
    "f60_digits": {str(digits): digits for digits in FIELD_60_DIGITS},
    **dict.fromkeys(_EXTENSIONS, _TRUTH),
}
"""Every option with the words that it takes."""
_NAMES: Final = {"f64": "mac_form", "f60_digits": "field_60_digits"}
"""Options that :class:`Dialect` calls otherwise."""


def option_words() -> Mapping[str, tuple[str, ...]]:
    """Every option and what it may be, for commands and documents."""
    return {name: tuple(words) for name, words in _CHOICES.items()}


def read_options(terminal: Terminal) -> Dialect:
    """The dialect of a terminal as provisioned.

    Raises:
        ConfigurationError: an option that no terminal can have.
    """
    return dialect_of(terminal.key_scheme, terminal.mac, terminal.options_json)


def is_pushed_to(terminal: Terminal) -> bool:
    """Whether a terminal knows messages that it did not ask for (option ``push``)."""
    return _knows(_PUSH, terminal.options_json)


def shows_codes(terminal: Terminal) -> bool:
    """Whether a terminal may ask for a code to show (option ``live_code``)."""
    return _knows(_LIVE_CODE, terminal.options_json)


def sends_operators(terminal: Terminal) -> bool:
    """Whether a terminal may send an operator's PIN (option ``operator_pin``)."""
    return _knows(_OPERATOR_PIN, terminal.options_json)


@lru_cache(maxsize=len(_EXTENSIONS) * MAX_DIALECTS)
def _knows(extension: str, options_json: str) -> bool:
    """Of what was provisioned and is known to be readable."""
    said = orjson.loads(options_json or "{}")
    return bool(_chosen(extension, said.get(extension, "false")))


@lru_cache(maxsize=MAX_DIALECTS)
def dialect_of(key_scheme: str, mac: str, options_json: str) -> Dialect:
    """As :func:`read_options`, of its three parts."""
    try:
        said = orjson.loads(options_json or "{}")
    except orjson.JSONDecodeError:
        raise ConfigurationError("terminal options: not JSON") from None
    if not isinstance(said, dict):
        raise ConfigurationError("terminal options: not a JSON object")
    algorithm = MacAlgorithm(mac)
    if (key_scheme == KeyScheme.SM4.value) is not (algorithm is MacAlgorithm.CUP_SM4):
        raise ConfigurationError("terminal options: the scheme sm4 and the MAC cup-sm4 go together")
    options = {str(_NAMES.get(name, name)): _chosen(name, word) for name, word in said.items()}
    most_bytes = KeyScheme(key_scheme).key_bytes
    for extension in _EXTENSIONS:
        options.pop(extension, None)
    if _mak_bytes(algorithm, options) > most_bytes:
        raise ConfigurationError(
            f"terminal options: mak_bytes is at most {most_bytes} under the scheme {key_scheme}"
        )
    if options.get("encrypts_tracks") and key_scheme != KeyScheme.TDES_TDK.value:
        raise ConfigurationError("terminal options: encrypts_tracks needs the scheme 3des-tdk")
    if algorithm is MacAlgorithm.CUP_ECB and not options:
        return STANDARD
    options["mak_bytes"] = _mak_bytes(algorithm, options)
    try:
        return Dialect(mac=algorithm, **options)
    except ValueError as error:
        raise ConfigurationError(f"terminal options: {error}") from None


def _mak_bytes(algorithm: MacAlgorithm, options: Mapping[str, Any]) -> int:
    """The length of the MAC key that a sign-in hands out."""
    return int(options.get("mak_bytes", MAK_BYTES[algorithm][0]))


def _chosen(name: str, word: object) -> Any:
    words = _CHOICES.get(name)
    if words is None:
        raise ConfigurationError(f"terminal options: {name} is none of {', '.join(_CHOICES)}")
    if not isinstance(word, str) or word not in words:
        raise ConfigurationError(f"terminal options: {name} is one of {', '.join(words)}")
    return words[word]


def mac_of(dialect: Dialect) -> MacFunction:
    """The function that makes F64 as this dialect wants it."""
    functions = RAW_MAC_ALGORITHMS if dialect.mac_form is MacForm.RAW else MAC_ALGORITHMS
    return functions[dialect.mac.value]
