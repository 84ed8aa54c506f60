"""One batch of changes in one SQLite transaction.

Rules: the guard of each change (the unique order key, the version) is tested by the
statement that writes it, row by row; what hangs on it is written in bulk for the
winners only. The caller owns the transaction.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any, assert_never

from gateway.store.database import Change, Step
from gateway.store.port import Advance, Claim, TerminalReply
from gateway.store.rows import reply_row
from gateway.store.statements import SAVE_REPLY
from gateway.store.steps import advance_guard, advance_rest, claim_guard, claim_rest


def apply_changes(connection: sqlite3.Connection, changes: Sequence[Change]) -> list[bool]:
    """Write the changes that win their guard, and say which did.

    Raises:
        sqlite3.IntegrityError: a rule other than a guard refused one of them.
    """
    hanging: dict[str, list[Sequence[Any]]] = {}
    outcomes: list[bool] = []
    for change in changes:
        if isinstance(change, Claim):
            won = _wins(connection, claim_guard(change))
            rest = claim_rest(change) if won else ()
        elif isinstance(change, Advance):
            won = _wins(connection, advance_guard(change))
            rest = advance_rest(change) if won else ()
        elif isinstance(change, TerminalReply):
            won = _wins(connection, (SAVE_REPLY, reply_row(change)))
            rest = ()
        else:
            assert_never(change)
        outcomes.append(won)
        for sql, row in rest:
            hanging.setdefault(sql, []).append(row)
    for sql, rows in hanging.items():
        connection.executemany(sql, rows)
    return outcomes


def _wins(connection: sqlite3.Connection, guard: Step) -> bool:
    sql, row = guard
    return connection.execute(sql, row).rowcount == 1
