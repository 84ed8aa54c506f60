"""What the store keeps of its archives, and what may go into one. Frozen, amounts in fen."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveCandidate:
    """A payment that is final, with nothing about it left open.

    ``version``, ``status`` and ``refunds`` (how many it has) are its standing's;
    ``last_at_ms`` is when it last moved.
    """

    payment_id: str
    account_id: str
    created_at_ms: int
    version: int
    status: str
    refunds: int
    last_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedSubject:
    """A payment or refund whose history up to ``version`` lies in ``archive``.

    Of a payment ``refunds`` is how many that history reserves.
    """

    subject: str
    archive: str
    version: int
    status: str
    refunds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A folder of files that was written, read again and found whole.

    ``manifest_sha256`` is the hash of its manifest, which holds the hash of every file.
    """

    name: str
    first_day: str
    last_day: str
    payments: int
    refunds: int
    manifest_sha256: str
    archived_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedNotice:
    """A notice as it was read: it goes only if it still stands so."""

    event_id: str
    state: str
    done_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """All that one commit takes out of the store, once its archive is written."""

    archive: Archive
    subjects: Sequence[ArchivedSubject]
    notices: Sequence[ArchivedNotice]
    first_id: str
    last_id: str
