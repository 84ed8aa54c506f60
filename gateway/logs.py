"""Structured logs: JSON, or pretty on a terminal; nothing sensitive, ever.

Rules: the event is a short fixed phrase and data is named; one canonical line per
request. Names that can only hold a secret are dropped whole; any run of 13 to 19
digits that passes the Luhn check is masked to first six/last four wherever it
stands, so that a card number cannot slip in through free text.
"""

import json
import logging
import os
import re
import sys
import time
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

import orjson
import structlog

from domain.clock import iso_utc
from pos_protocol.card import luhn_valid
from pos_protocol.masking import masked_pan

_FORBIDDEN: Final = frozenset(
    [
        "pan",
        "track",
        "track1",
        "track2",
        "track3",
        "pin",
        "pin_block",
        "key",
        "keys",
        "tmk",
        "secret",
        "auth_code",
        "icc_data",
        "signature",
        "authorization",
        "password",
        "mac_key",
        "private_key",
    ]
)
_CARD_LIKE = re.compile(r"(?<![0-9])[0-9]{13,19}(?![0-9])")
"""Letters may stand beside it: ``D`` after a card number in a track, ``n`` of an escape."""
_DIGITS_AS_ZEROS: Final = bytes(48 if chr(one) in "0123456789" else 46 for one in range(256))
_LONG_NUMBER: Final = b"0" * 13
"""A cheap first look, since almost no line has a long number: every digit made a zero."""

Log = structlog.typing.FilteringBoundLogger


def mask_text(text: str) -> str:
    """``text`` with every card-like number masked."""
    return _CARD_LIKE.sub(lambda match: _masked(match[0]), text)


def _masked(digits: str) -> str:
    return masked_pan(digits) if luhn_valid(digits) else digits


def stamp(_logger: object, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Level and UTC time; the whole second's text is made once, not for each line."""
    event["level"] = name
    event["timestamp"] = iso_utc(time.time_ns() // 1_000_000)
    return event


def drop_forbidden(
    _logger: object, _name: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """A structlog processor: a name that can only hold a secret is not logged."""
    if not _FORBIDDEN.isdisjoint(event):
        for name in _FORBIDDEN.intersection(event):
            event[name] = "[dropped]"
    return event


def render_json(_logger: object, _name: str, event: MutableMapping[str, Any]) -> bytes:
    """The last processor: one JSON line, whatever it is given, with every card number masked."""
    try:
        line = orjson.dumps(event, default=str)
        if _LONG_NUMBER not in line.translate(_DIGITS_AS_ZEROS):
            return line
    except TypeError:  # a lone surrogate, an integer beyond 64 bits: still a line
        pass
    return json.dumps(_mask(event)).encode()


def _mask(value: object) -> object:
    """The slow way, value by value, so that what comes out is JSON again."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, Mapping):
        return {mask_text(str(name)): _mask(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_mask(inner) for inner in value]
    text = str(value)
    masked = mask_text(text)
    return value if isinstance(value, int) and masked == text else masked


def mask_values(
    _logger: object, _name: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """The same masking for the pretty dress, value by value."""
    for name, value in event.items():
        event[name] = _mask(value)
    return event


def finish_json(logger: object, name: str, event: MutableMapping[str, Any]) -> bytes:
    """All of the JSON dress in one step: a line costs half of what a chain of steps does."""
    drop_forbidden(logger, name, stamp(logger, name, event))
    if "exc_info" in event:
        structlog.processors.format_exc_info(logger, name, event)
    return render_json(logger, name, event)


def _info_at_once(
    self: structlog.BoundLoggerBase, event: str, *args: object, **fields: object
) -> None:
    """``info`` as structlog has it, without its chain: one line of each request comes by here."""
    if self._context:
        fields = {**self._context, **fields}
    fields["event"] = event % args if args else event
    self._logger.msg(finish_json(None, "info", fields))


def _json_wrapper(level: int) -> type[Log]:
    """The bound logger of the JSON dress."""
    wrapper = structlog.make_filtering_bound_logger(level)
    if level > logging.INFO:
        return wrapper
    return type("JsonLog", (wrapper,), {"info": _info_at_once})


class _LineWriter:
    """Writes each line whole, by one system call, so that processes may share a file."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def msg(self, line: bytes) -> None:
        try:  # noqa: SIM105 - ``suppress`` costs as much as a third of a line's JSON
            os.write(self._descriptor, line + b"\n")
        except OSError:  # a full disk must not turn a paid sale into an error
            pass

    log = debug = info = warn = warning = error = critical = exception = fatal = msg


def make_log(level: str, dress: str) -> Log:
    """The root logger, writing to standard error; bound once, not anew for each line."""
    number = logging.getLevelNamesMapping()[level.upper()]
    pretty = dress == "pretty" or (dress == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [stamp, drop_forbidden]
    if pretty:
        console = structlog.dev.ConsoleRenderer()
        return structlog.wrap_logger(  # type: ignore[no-any-return]
            structlog.PrintLogger(sys.stderr),
            processors=[*shared, structlog.processors.format_exc_info, mask_values, console],
            wrapper_class=structlog.make_filtering_bound_logger(number),
        ).bind()
    return structlog.wrap_logger(  # type: ignore[no-any-return]
        _LineWriter(sys.stderr.fileno()),
        processors=[finish_json],
        wrapper_class=_json_wrapper(number),
    ).bind()


class _LibraryLog(logging.Handler):
    """What libraries say by the standard way, in our dress, without their arguments' values."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """The unfilled text and the fault's type: an argument may be a request's own bytes."""
        fault = record.exc_info[0] if record.exc_info else None
        self._log.warning(
            "library log",
            library=record.name,
            text=str(record.msg),
            fault="" if fault is None else fault.__name__,
        )


def adopt_library_logs(log: Log) -> None:
    """Let nothing reach standard error but through ``log``; for a process of its own."""
    logging.basicConfig(handlers=[_LibraryLog(log)], level=logging.WARNING, force=True)
    structlog.configure(logger_factory=lambda *_: log, processors=[], wrapper_class=None)
