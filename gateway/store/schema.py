"""Which migrations this code needs, and whether a database has them.

Rules: the check reads one small table and never imports the ORM, so it may run at
every start; a database that has *more* migrations than this code knows is accepted,
because an upgrade migrates first and replaces the processes one by one.
"""

import pkgutil
from pathlib import Path
from typing import Final

from domain.errors import ConfigurationError

APP: Final = "posgate"
APPLIED_SQL: Final = "SELECT name FROM tortoise_migrations WHERE app = 'posgate'"


def needed_migrations() -> frozenset[str]:
    """The names of the migrations shipped beside this file."""
    folder = Path(__file__).with_name("migrations")
    return frozenset(module.name for module in pkgutil.iter_modules([str(folder)]))


def check_schema(applied: frozenset[str]) -> None:
    """Refuse a database that lacks a migration.

    Raises:
        ConfigurationError: counts what is missing and names the command that mends it.
    """
    missing = sorted(needed_migrations() - applied)
    if missing:
        raise ConfigurationError(
            f"the database schema is not current ({len(missing)} migrations missing, from"
            f" {missing[0]} on); run posgate migrate with the same configuration (-c)"
        )
