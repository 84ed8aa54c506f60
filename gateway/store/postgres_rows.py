"""The rows of the hot path's statements, as PostgreSQL takes them.

Rules:

* A list of rows travels as one binary parameter, an array of a row type. Measured
  against an array per column: half the server's work per claim, at the same cost here.
* The row types are the connection's own (temporary tables that stay empty), so no
  migration ever meets a type that an older process still sends.
* An advance brings its reply and the first entry of its ledger lines in its own row: a row
  of another list costs as much as a dozen columns, on both sides.
* The driver asks of every element of a list whether it is a list too, and a tuple would
  be one. Hence it is handed the change itself, and makes the row by the type's ``row``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain.ledger import Posting
from gateway.store.port import Advance, Claim, TerminalReply
from gateway.store.rows import (
    CHECKOUT_COLUMNS,
    CLAIM_COLUMNS,
    NO_LANE,
    NOTICE_COLUMNS,
    ORDER_COLUMNS,
    POSTING_COLUMNS,
    REPLY_COLUMNS,
    STANDING_COLUMNS,
    checkout_row,
    notice_row,
    order_row,
    posting_row,
    reply_row,
    standing_row,
)

Parameters = tuple[Sequence[Any], ...]

_CLAIMED: Final = len(CLAIM_COLUMNS) - len(ORDER_COLUMNS)
_ENTRY_LINES: Final = 2
"""What an entry has: one line debits, the other credits the same amount."""
_NO_ENTRY: Final = (None,) * 6
_NO_REPLY: Final = (None,) * len(REPLY_COLUMNS)


@dataclass(frozen=True, slots=True)
class RowType:
    """A row type of the hot path's connections, and what makes such a row.

    The columns have the very types of the tables' (``table.column``), so the server
    converts nothing when it writes them.
    """

    name: str
    columns: tuple[str, ...]
    row: Callable[[Any], tuple[Any, ...]]

    def creation(self) -> str:
        """The statement that makes it for a connection."""
        tables = sorted({column.partition(".")[0] for column in self.columns})
        columns, froms = ", ".join(self.columns), ", ".join(tables)
        return f"CREATE TEMP TABLE {self.name} AS SELECT {columns} FROM {froms} WITH NO DATA"

    def rows(self, parameter: int) -> str:
        """The rows of a parameter, as what a FROM takes."""
        return f"unnest(${parameter}::pg_temp.{self.name}[])"


@dataclass(frozen=True, slots=True)
class _PostingLine:
    """A posting and where it belongs."""

    change: Advance
    line: int


def prefixed(table: str, *columns: str) -> tuple[str, ...]:
    """The columns of a row type that have the types of a table's."""
    return tuple(f"{table}.{column}" for column in columns)


def _claim_row(claim: Claim) -> tuple[Any, ...]:
    return (
        *order_row(claim.order),
        *standing_row(claim.standing)[:_CLAIMED],
        claim.due_at_ms,
        claim.event._value_,
    )


def _checkout_row(change: Claim | Advance) -> tuple[Any, ...]:
    payment_id = change.order.id if isinstance(change, Claim) else change.payment_id
    move = change.moves
    if move is None:
        raise ValueError("a change that moves no checkout")
    return (payment_id, *checkout_row(move.checkout), move.due_at_ms)


def _advance_row(change: Advance) -> tuple[Any, ...]:
    reply, postings = change.reply, change.postings
    return (
        change.payment_id,
        change.merchant_no,
        *standing_row(change.standing),
        change.due_at_ms,
        change.account_id or NO_LANE,
        change.event._value_,
        change.previous._value_,
        change.at_ms,
        *(_entry_row(postings[0], postings[1]) if _in_the_row(postings) else _NO_ENTRY),
        *(_NO_REPLY if reply is None else reply_row(reply)),
    )


def further_lines(change: Advance) -> range:
    """Which of an advance's ledger lines its own row does not bring."""
    return range(_in_the_row(change.postings), len(change.postings))


def _in_the_row(postings: Sequence[Posting]) -> int:
    """How many of an advance's lines its own row brings: the two of an entry, or none."""
    if len(postings) < _ENTRY_LINES:
        return 0
    first, second = postings[0], postings[1]
    is_entry = first.entry is second.entry and first.currency == second.currency
    return _ENTRY_LINES if is_entry else 0


def _entry_row(first: Posting, second: Posting) -> tuple[Any, ...]:
    """Both lines of an entry; entry and currency are theirs together."""
    return (
        first.account,
        first.amount_fen,
        second.account,
        second.amount_fen,
        first.currency,
        first.entry._value_,
    )


def _posting_row(posted: _PostingLine) -> tuple[Any, ...]:
    change, line = posted.change, posted.line
    return posting_row(
        change.payment_id, change.standing.version, line, change.postings[line], change.at_ms
    )


def _notice_row(change: Advance) -> tuple[Any, ...]:
    row: tuple[Any, ...] = notice_row(change.notice)
    return row


def _reply_row(kept: Claim | TerminalReply) -> tuple[Any, ...]:
    """The reply of a claim, with its payment's id, or one that goes with none."""
    if isinstance(kept, TerminalReply):
        return ("", *reply_row(kept))
    return (kept.order.id, *reply_row(kept.reply))


CLAIMS: Final = RowType(
    "posgate_claims",
    (*prefixed("payments", *CLAIM_COLUMNS), "jobs.due_at_ms", "payment_events.event"),
    _claim_row,
)
ADVANCES: Final = RowType(
    "posgate_advances",
    (
        *prefixed("payments", "id", "merchant_no", *STANDING_COLUMNS),
        *prefixed("jobs", "due_at_ms", "lane"),
        *prefixed("payment_events", "event", "previous", "at_ms"),
        "postings.account AS account_0",
        "postings.amount_fen AS amount_fen_0",
        "postings.account AS account_1",
        "postings.amount_fen AS amount_fen_1",
        *prefixed("postings", "currency", "entry"),
        *(f"terminal_replies.{column} AS reply_{column}" for column in REPLY_COLUMNS),
    ),
    _advance_row,
)
POSTINGS: Final = RowType("posgate_postings", prefixed("postings", *POSTING_COLUMNS), _posting_row)
NOTICES: Final = RowType("posgate_notices", prefixed("notices", *NOTICE_COLUMNS), _notice_row)
CHECKOUTS: Final = RowType(
    "posgate_checkouts",
    (
        "payment_events.payment_id",
        *prefixed("checkouts", *CHECKOUT_COLUMNS),
        "jobs.due_at_ms",
    ),
    _checkout_row,
)
"""The checkout that a claim makes, or that a change of an attempt moves."""
REPLIES: Final = RowType(
    "posgate_replies",
    ("payment_events.payment_id", *prefixed("terminal_replies", *REPLY_COLUMNS)),
    _reply_row,
)


async def make_row_types(connection: Any, types: Sequence[RowType]) -> None:
    """Give an asyncpg connection its row types, before it prepares a statement."""
    await connection.execute("; ".join(kind.creation() for kind in types))
    schema = await connection.fetchval(
        "SELECT nspname FROM pg_namespace WHERE oid = pg_my_temp_schema()"
    )
    for kind in types:
        await connection.set_type_codec(
            kind.name, schema=schema, encoder=kind.row, decoder=tuple, format="tuple"
        )


def claim_rows(claims: Sequence[Claim]) -> Parameters:
    """The parameters of the claims' statement."""
    return claims, _with_reply(claims)


def checkout_claim_rows(claims: Sequence[Claim]) -> Parameters:
    """The parameters of the statements of checkouts and their attempts."""
    return claims, claims


def advance_rows(advances: Sequence[Advance]) -> Parameters:
    """The parameters of the advances' statement."""
    further = [_PostingLine(change, line) for change in advances for line in further_lines(change)]
    telling = [change for change in advances if change.notice is not None]
    return advances, further, telling


def checkout_advance_rows(advances: Sequence[Advance]) -> Parameters:
    """The parameters of the statement of attempts that their checkouts follow."""
    every: list[Advance] = []
    for change in advances:
        every.append(change)
        if change.moves is not None and change.moves.base is not None:
            every.append(change.moves.base)
    return *advance_rows(every), advances


def reply_rows(replies: Sequence[TerminalReply]) -> Parameters:
    """The parameters of the lone replies' statement."""
    return (replies,)


def _with_reply(claims: Sequence[Claim]) -> Sequence[Claim]:
    return [claim for claim in claims if claim.reply is not None]
