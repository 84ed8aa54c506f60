"""Which engine a store URL names."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from domain.errors import ConfigurationError


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
