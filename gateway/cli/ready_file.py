"""Telling another process what this one listens on: one JSON file, written atomically."""

import os
from pathlib import Path
from typing import Any

import orjson

from domain.errors import ConfigurationError


def require_writable(path: Path) -> None:
    """Try it before anything is begun: a file beside ``path``, gone at once.

    Raises:
        ConfigurationError: ``path`` could not be written.
    """
    trial = _beside(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        trial.touch(0o600)
        trial.unlink()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written ({error.strerror})") from None


def write_atomically(path: Path, data: Any) -> None:
    """Write ``data`` as JSON so that a reader sees all of it or nothing; owner-only."""
    temporary = _beside(path)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(orjson.dumps(data, option=orjson.OPT_INDENT_2))
    temporary.replace(path)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}")
