"""Which engine a store URL names."""

import re
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from domain.errors import ConfigurationError, Unavailable

_SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def sqlite_path(url: str) -> Path | None:
    """The file of ``sqlite:///absolute/path``; ``None`` for a ``postgresql://`` URL.

    Raises:
        ConfigurationError: another scheme, or an SQLite URL without an absolute path.
    """
    parts = urlsplit(url)
    if parts.scheme in ("postgresql", "postgres"):
        return None
    if parts.scheme != "sqlite" or parts.netloc or len(parts.path) < 2:
        raise ConfigurationError(
            "the store URL must be sqlite:///absolute/path or "
            "postgresql://user:password@host:port/database"
        )
    return Path(unquote(parts.path))


def check_store_url(url: str) -> None:
    """Raise ``ValueError`` for what no driver could read; nothing of the URL is quoted."""
    if not url.startswith("postgresql:"):
        return
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("not a URL") from None
    if "@" not in parts.netloc and "@" in url:
        raise ValueError("in a user or password write @ / ? # as %40 %2F %3F %23")
    for host in parts.netloc.rpartition("@")[2].split(","):
        port = host.rpartition("]")[2].partition(":")[2]
        if port and not (port.isascii() and port.isdecimal() and 0 < int(port) < 65_536):
            raise ValueError("the port must be from 1 to 65535")
    mode = parse_qs(parts.query).get("sslmode", ["prefer"])[0]
    if mode not in _SSL_MODES:
        raise ValueError(f"sslmode must be one of {', '.join(_SSL_MODES)}")


def without_password(url: str) -> str:
    """A URL as it may be shown."""
    shown = re.sub(r"://([^:@/]*):.*@", r"://\1:***@", url)
    return re.sub(r"([?&]password=)[^&]*", r"\1***", shown)


def file_fault(path: Path, error: Exception) -> Unavailable:
    """What keeps us from the file, with its name and what next."""
    return Unavailable(
        f"the database file {path} cannot be opened: {error};"
        " it and its folder must be there and writable for this user (store.url)"
    )
