"""A second gateway on one SQLite file, each with nonces of its own in memory.

Rule: said and never refused, as with ports, since a restart may overlap. By mistake a signed
request could be sent to both and be good at each: idempotency keys still stand, nonces do not.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.config import LoadedConfig
from gateway.logs import Log
from gateway.store.location import sqlite_path


@contextmanager
def marked_store(loaded: LoadedConfig, log: Log) -> Iterator[None]:
    """Hold a mark beside the file while it is served; warn where somebody holds one already."""
    path = sqlite_path(loaded.store_url())
    if path is None or loaded.config.http.nonces != "memory" or not path.is_file():
        yield
        return
    try:
        mark = os.open(f"{path}.serving", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:  # what is wrong with the folder, the store says when it is opened
        yield
        return
    try:
        if not _is_alone(mark):
            log.warning(
                "store shared",
                file=str(path),
                why="another gateway serves it, and neither knows the other's nonces",
                next="right where a restart overlaps; else stop one, or set http.nonces: redis://…",
            )
        yield
    finally:
        os.close(mark)


def _is_alone(mark: int) -> bool:
    """Whether nobody held it; it is held from here on, shared. Where nobody can lock, all are."""
    try:
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(mark, fcntl.LOCK_SH)
        return False
    except OSError:  # a file system without locks
        return True
    fcntl.flock(mark, fcntl.LOCK_SH)
    return True
