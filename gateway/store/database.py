"""The seam between the store's rules and an engine.

Rules: cold SQL is written once, with ``?`` for parameters, in the dialect that both
engines share; an engine runs it in a transaction of its own, one statement
(:meth:`Database.rows`) or several behind their guards (:meth:`Database.write`).
Hot changes go through an :class:`Applier`, one transaction per call.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from domain.errors import Conflict, PosgateError, Unavailable, Unprocessable
from gateway.store.port import Advance, Claim, TerminalReply
from gateway.store.rows import Row

Change = Claim | Advance | TerminalReply
Value = str | int | bytes | bool | None
Step = tuple[str, Sequence[Any]]
"""A statement that writes, and its values."""


class Refused(Exception):
    """The engine refused a statement and wrote nothing; the connection is sound.

    ``error`` is what the caller of a change that came alone is told.
    """

    def __init__(self, error: PosgateError) -> None:
        super().__init__(error.message)
        self.error = error


class Torn(Refused):
    """A part of what belongs together lost its guard: nothing of the batch was written.

    A change that came alone has lost; of several it is not known which.
    """

    def __init__(self) -> None:
        super().__init__(Unavailable("somebody else moved it; nothing was written"))


class Duplicate(Exception):
    """A cold insert met a unique key; nothing was written."""


class Database(Protocol):
    """Cold statements, durable when a call returns."""

    skip_locked: str
    """What a SELECT ends with that takes rows for an UPDATE and waits for nobody."""

    async def rows(self, sql: str, *values: Value) -> Sequence[Row]:
        """Run one statement and return its rows.

        Raises:
            Duplicate: a unique key refused it.
            domain.errors.Unavailable: the database cannot be reached, or it is
                not known whether a write happened.
        """
        ...

    async def write(self, steps: Sequence[Step], *, guards: int) -> int | None:
        """Run ``steps`` in one transaction; ``None`` when all of them are committed.

        The first ``guards`` of them must change one row each: the first that does not
        takes everything back, and its place is returned.

        Raises:
            domain.errors.Conflict: a unique key refused it; nothing was written.
            domain.errors.Unavailable: as in :meth:`rows`.
        """
        ...


class Applier(Protocol):
    """Hot changes, whole batches."""

    async def apply(self, changes: Sequence[Change]) -> Sequence[bool]:
        """Commit what wins its guard, and say which did; each change whole or not at all.

        Raises:
            Refused: one change broke a rule of the database; none was written.
            domain.errors.Unavailable: none is known to be written, nor to be not.
        """
        ...


def refusal(table: str) -> PosgateError:
    """What the caller of a change is told when a unique key of ``table`` refused it."""
    match table:
        case "terminal_replies":
            return Conflict("reply_exists", "a reply to this terminal message is kept already")
        case "attempts":
            return Conflict("channel_order_no_exists", "this channel order number was used before")
        case "payments":
            return Conflict("payment_id_exists", "this payment id was used before")
        case _:
            return Conflict("record_exists", "a record of this change exists already")


def not_storable() -> PosgateError:
    """What the caller is told when a value cannot be stored (NUL, lone surrogate, too long)."""
    return Unprocessable("not_storable", "a value of this request cannot be stored")
