"""What is wrong with a configuration file, by line: the text of each fault and its mend."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from gateway.config_ports import clashes

if TYPE_CHECKING:
    from gateway.config import Config

_MENDS = {
    "extra_forbidden": "remove it, or check its spelling",
    "missing": "add it",
    "string_pattern_mismatch": "see its form in config.yaml",
    "string_type": "write text in quotes",
    "int_type": "write a whole number",
    "float_type": "write a number",
}


def repeated_keys(node: yaml.Node, place: str = "") -> Iterator[tuple[int, str]]:
    """Line and key of whatever a mapping has twice: YAML lets the last one win silently."""
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        name = f"{place}{key.value}"
        if name in seen:
            yield key.start_mark.line + 1, name
        seen.add(name)
        yield from repeated_keys(value, f"{name}.")


def faults(file: Path, root: yaml.Node, error: ValidationError) -> list[str]:
    """One line of text for each fault that the check of the whole file found."""
    lines = []
    for fault in error.errors(include_input=False, include_url=False):
        place = ".".join(str(part) for part in fault["loc"])
        mend = _MENDS.get(fault["type"], "change the value")
        message = fault["msg"][:1].lower() + fault["msg"][1:]
        line = line_of(root, fault["loc"])
        lines.append(f"{file}:{line}: {place}: {message}; {mend}")
    return lines


def port_faults(file: Path, root: yaml.Node, config: "Config") -> Iterator[str]:
    """One line of text for each port that another key has too."""
    for place, earlier in clashes(config):
        line = line_of(root, tuple(place.key.split(".")))
        yield f"{file}:{line}: {place.key}: {place.port} is {earlier.key} too; give it another port"


def line_of(root: yaml.Node, location: tuple[Any, ...]) -> int:
    """The line of the deepest part of ``location`` that the file has."""
    node, line = root, root.start_mark.line + 1
    for part in location:
        if not isinstance(node, yaml.MappingNode):
            break
        found = next((pair for pair in node.value if pair[0].value == str(part)), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line
