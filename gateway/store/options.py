"""The bounds of a store, as configuration hands them in."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """Bounds; the defaults suit one gateway process.

    ``max_batch`` changes are committed together at most, ``max_queued`` may wait per
    committer (beyond that a caller gets ``Unavailable`` at once). Commits begin
    ``commit_interval_s`` apart at least; the first after a pause never waits. ``pool_size``
    PostgreSQL connections serve reads and provisioning. A statement that takes
    longer than ``commit_timeout_s`` counts as a lost connection; ``busy_timeout_s``
    is how long SQLite waits for another process's write. A PostgreSQL that cannot
    be reached is tried again after ``reconnect_min_s``, doubling to
    ``reconnect_max_s``. ``inline`` runs SQLite in the event loop's own thread (for
    a simulation that must not have threads), and ``synchronous`` ``OFF`` lets SQLite
    acknowledge what a power cut would lose: for tests whose processes die, not the machine.
    """

    max_batch: int = 512
    max_queued: int = 8192
    commit_interval_s: float = 0.001
    pool_size: int = 4
    commit_timeout_s: float = 10.0
    busy_timeout_s: float = 5.0
    reconnect_min_s: float = 0.05
    reconnect_max_s: float = 1.0
    inline: bool = False
    synchronous: Literal["FULL", "OFF"] = "FULL"
