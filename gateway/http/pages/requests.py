"""One request of a payer's browser and its answer: values in, values out, no aiohttp."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

HTML: Final = "text/html; charset=utf-8"
JSON: Final = "application/json"
COOKIE: Final = "posgate"
_MOST_FIELDS: Final = 16
_MOST_COOKIES: Final = 64


class Action(enum.Enum):
    """What is asked for below ``/q/ID``; the value is the last part of the path."""

    SHOW = ""
    BACK = "back"
    PAY = "pay"
    STATE = "state"
    RELEASE = "release"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """A request as it came; ``address`` is who it counts for, ``body`` a form."""

    action: Action
    code_id: str = field(repr=False)
    query: str = field(default="", repr=False)
    body: bytes = field(default=b"", repr=False)
    cookies: str = field(default="", repr=False)
    user_agent: str = field(default="", repr=False)
    accept_language: str = ""
    fetch_site: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageResponse:
    """The answer; ``cookie`` is a whole ``Set-Cookie``, ``location`` where to go instead."""

    status: int
    body: bytes = field(default=b"", repr=False)
    content_type: str = HTML
    location: str = field(default="", repr=False)
    cookie: str = field(default="", repr=False)
    state: str = ""
    checkout_id: str = ""


def fields_of(text: str) -> Mapping[str, str]:
    """The fields of a query or a form; one that comes twice, or too many, are none at all."""
    if not text:
        return {}
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
        )
    except ValueError:
        return {}
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else {}


def form_of(body: bytes) -> Mapping[str, str]:
    """The fields of an ``application/x-www-form-urlencoded`` body."""
    try:
        return fields_of(body.decode("ascii"))
    except UnicodeDecodeError:
        return {}


def cookie_of(header: str) -> str:
    """Our cookie in a ``Cookie`` header; the first is that of the longest path."""
    for part in header.split(";", _MOST_COOKIES):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value
    return ""


def set_cookie(code_id: str, value: str, max_age_s: int) -> str:
    """Sent back to this code's pages alone, never read by a script, never from another's form."""
    return (
        f"{COOKIE}={value}; Path=/q/{code_id}; Max-Age={max_age_s}; HttpOnly; Secure; SameSite=Lax"
    )
