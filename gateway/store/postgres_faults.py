"""Why PostgreSQL is not to be had, in an operator's words: where, why, what next; no password."""

import os
from typing import Final
from urllib.parse import parse_qs, urlsplit

import asyncpg

from domain.errors import ConfigurationError, PosgateError, Unavailable

_NEXT: Final = {
    asyncpg.InvalidPasswordError: "give the password in PGPASSWORD or ~/.pgpass, or mend store.url",
    asyncpg.InvalidCatalogNameError: "create it, or mend the database in store.url",
    asyncpg.InvalidAuthorizationSpecificationError: "mend the user in store.url, or pg_hba.conf there",
    asyncpg.ClientConfigurationError: "mend store.url",
}
"""Wrong user, password, database or DSN: the operator's."""


def connect_fault(url: str, error: Exception) -> PosgateError:
    """What kept us from connecting to ``url``, as an error of ours."""
    for kind, mend in _NEXT.items():
        if isinstance(error, kind):
            return ConfigurationError(f"the database at {_place(url)} refuses us: {error}; {mend}")
    return Unavailable(
        f"the database at {_place(url)} cannot be reached: {_reason(error)};"
        " see that it runs and that store.url names it"
    )


def _place(url: str) -> str:
    """``host:port``, of several the list; the socket's folder where it is one."""
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2]
    if not hosts:
        return parse_qs(parts.query).get("host", ["its usual place"])[0]
    has_port = ":" in hosts.rpartition("]")[2]
    return hosts if has_port else f"{hosts}:5432"


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError) and not error.args:
        return "no answer in time"
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno) if error.errno > 0 else str(error.strerror)
    return str(error) or type(error).__name__
