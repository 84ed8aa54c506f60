"""Pieces of SQL text, made of constants of ours alone: never of what somebody gave."""

from collections.abc import Iterable


def columns(names: Iterable[str], alias: str = "") -> str:
    """A list of columns."""
    return ", ".join(f"{alias}{name}" for name in names)


def literals(values: Iterable[str | int]) -> str:
    """A list of constants."""
    return ", ".join(f"'{value}'" if isinstance(value, str) else str(value) for value in values)


def numbered(sql: str) -> str:
    """``?`` → ``$1``, ``$2``, …: a statement of both engines as PostgreSQL takes it."""
    first, *others = sql.split("?")
    return first + "".join(f"${n}{text}" for n, text in enumerate(others, start=1))
