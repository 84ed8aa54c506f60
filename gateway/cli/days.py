"""Days as options of commands."""

from datetime import date

import typer


def day_of(text: str, option: str = "--date") -> date:
    """``YYYY-MM-DD``; what is none is told with the option's name."""
    try:
        if len(text) != len("2026-11-29"):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{option}: write YYYY-MM-DD") from None
