"""Our error tree, mapped once to HTTP.

Rules: every leaf of ``domain/errors.py`` has exactly one status (a test walks the
tree); the body is ``{"error": {"code", "message", "message_zh"?, "field"?, "request_id"}}``;
codes are stable, messages say what is wrong and never quote a secret. What the person at
the till must read is there in Chinese too.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import orjson

from domain.errors import (
    ChannelDown,
    ConfigurationError,
    Conflict,
    InvalidRequest,
    NotFound,
    OverLimit,
    PosgateError,
    RequestError,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unprocessable,
    UnsupportedMedia,
)

STATUSES: Final[Mapping[type[PosgateError], int]] = MappingProxyType(
    {
        InvalidRequest: 400,
        Unauthorized: 401,
        OverLimit: 403,
        NotFound: 404,
        Conflict: 409,
        TooLarge: 413,
        UnsupportedMedia: 415,
        Unprocessable: 422,
        Unavailable: 503,
        ChannelDown: 503,
        ConfigurationError: 503,
    }
)


def status_of(error: PosgateError) -> int:
    """The HTTP status of ``error``."""
    return STATUSES[type(error)]


def code_of(error: PosgateError) -> str:
    """The stable code of ``error``."""
    if isinstance(error, RequestError):
        return error.code
    return "channel_unavailable" if isinstance(error, ChannelDown) else "unavailable"


def error_body(error: PosgateError, request_id: str) -> bytes:
    """The JSON body of ``error``."""
    field = error.field if isinstance(error, RequestError) else ""
    chinese = error.message_zh if isinstance(error, OverLimit) else ""
    return _body(code_of(error), error.message, field, request_id, chinese)


def plain_error_body(code: str, message: str, request_id: str) -> bytes:
    """The JSON body of an answer that no error of ours stands for (404 route, 405, 500)."""
    return _body(code, message, "", request_id)


def _body(code: str, message: str, field: str, request_id: str, chinese: str = "") -> bytes:
    error = {"code": code, "message": message}
    if chinese:
        error["message_zh"] = chinese
    if field:
        error["field"] = field
    error["request_id"] = request_id
    return orjson.dumps({"error": error})
