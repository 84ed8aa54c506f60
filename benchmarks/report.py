"""The results for people: on the terminal, and as a Markdown table for the documents."""

from typing import Any, Final

from rich.console import Console
from rich.table import Table

_HEAD: Final = ("metric", "figure", "value")


def show(results: dict[str, Any]) -> None:
    """Machine and metrics as tables on the terminal."""
    console = Console()
    machine = Table("machine", "")
    for name, value in results["machine"].items():
        machine.add_row(name, str(value))
    console.print(machine)
    table = Table(_HEAD[0], _HEAD[1])
    table.add_column(_HEAD[2], justify="right")
    for metric, figures in results["metrics"].items():
        for number, (figure, value) in enumerate(figures.items()):
            table.add_row("" if number else metric, figure, _text(value))
        table.add_section()
    console.print(table)


def markdown(results: dict[str, Any]) -> str:
    """The same as Markdown."""
    machine = ", ".join(f"{name} {value}" for name, value in results["machine"].items())
    lines = [f"Machine: {machine}.", "", f"| {' | '.join(_HEAD)} |", "|---|---|--:|"]
    lines += [
        f"| {metric} | {figure} | {_text(value)} |"
        for metric, figures in results["metrics"].items()
        for figure, value in figures.items()
    ]
    return "\n".join(lines)


def _text(value: float) -> str:
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:,.2f}"
