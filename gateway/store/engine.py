"""Which implementation of the store a URL asks for."""

import structlog

from gateway.logs import Log
from gateway.store.location import sqlite_path
from gateway.store.options import StoreOptions
from gateway.store.port import Store

__all__ = ["StoreOptions", "store_for"]


def store_for(url: str, *, options: StoreOptions | None = None, log: Log | None = None) -> Store:
    """A store, not yet opened, for ``sqlite:///absolute/path`` or ``postgresql://…``.

    ``log`` is where it tells of lost connections and of its own defects.

    Raises:
        domain.errors.ConfigurationError: the URL is neither.
    """
    chosen = options or StoreOptions()
    chosen_log: Log = structlog.get_logger() if log is None else log
    path = sqlite_path(url)
    if path is None:
        from gateway.store.postgres import PostgresStore  # noqa: PLC0415 (one driver is loaded)

        return PostgresStore(url, chosen, chosen_log)
    from gateway.store.sqlite import SqliteStore  # noqa: PLC0415

    return SqliteStore(path, chosen, chosen_log)
