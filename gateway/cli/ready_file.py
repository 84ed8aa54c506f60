"""Telling another process what this one listens on: one JSON file, written atomically."""

import os
from pathlib import Path
from typing import Any

import orjson


def write_atomically(path: Path, data: Any) -> None:
    """Write ``data`` as JSON so that a reader sees all of it or nothing; owner-only."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(orjson.dumps(data, option=orjson.OPT_INDENT_2))
    temporary.replace(path)
