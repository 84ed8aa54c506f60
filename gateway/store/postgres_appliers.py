"""The appliers of PostgreSQL's committers: which statement a batch is, and who won in it.

Rules:

* A batch is one autocommit statement. Only what is plain may need two more, in one
  transaction, where the first was refused.
* An applier asks the statements of its own table here: those its connection prepares.
"""

from collections.abc import Mapping, Sequence, Set
from types import MappingProxyType
from typing import Any, Final

from gateway.store.database import Change, Refused, Torn
from gateway.store.port import Advance, Claim, TerminalReply
from gateway.store.postgres_checkouts import ADVANCE_ALL, BEGIN_ATTEMPT, OPEN_CHECKOUT
from gateway.store.postgres_link import PostgresLink
from gateway.store.postgres_plain import PLAIN_ADVANCE, PLAIN_BOTH, PLAIN_CLAIM
from gateway.store.postgres_plain_rows import PLAIN_ADVANCES, PLAIN_CLAIMS
from gateway.store.postgres_rows import (
    ADVANCES,
    CHECKOUTS,
    CLAIMS,
    NOTICES,
    POSTINGS,
    REPLIES,
    RowType,
    advance_rows,
    checkout_advance_rows,
    checkout_claim_rows,
    claim_rows,
    reply_rows,
)
from gateway.store.postgres_statements import ADVANCE, CLAIM, SAVE_REPLY

CLAIMING: Final[Mapping[str, Sequence[RowType]]] = MappingProxyType(
    {
        CLAIM: (CLAIMS, REPLIES),
        OPEN_CHECKOUT: (CLAIMS, CHECKOUTS),
        BEGIN_ATTEMPT: (CLAIMS, CHECKOUTS),
        SAVE_REPLY: (REPLIES,),
    }
)
"""The claims' statements, with the rows that each takes."""
ADVANCING: Final[Mapping[str, Sequence[RowType]]] = MappingProxyType(
    {
        ADVANCE: (ADVANCES, POSTINGS, NOTICES),
        ADVANCE_ALL: (ADVANCES, POSTINGS, NOTICES, CHECKOUTS),
    }
)
"""The same of the advances."""
PLAIN: Final[Mapping[str, Sequence[RowType]]] = MappingProxyType(
    {
        PLAIN_CLAIM: (PLAIN_CLAIMS,),
        PLAIN_ADVANCE: (PLAIN_ADVANCES,),
        PLAIN_BOTH: (PLAIN_CLAIMS, PLAIN_ADVANCES),
        CLAIM: (CLAIMS, REPLIES),
        ADVANCE: (ADVANCES, POSTINGS, NOTICES),
    }
)
"""The same of what is plain, and of what decides where that is refused."""


def claim_kind(change: Change) -> str:
    """The statement of a claim; of a lone reply its own."""
    if not isinstance(change, Claim):
        return SAVE_REPLY
    if change.moves is None:
        return CLAIM
    return OPEN_CHECKOUT if change.moves.checkout.version == 1 else BEGIN_ATTEMPT


class ClaimApplier:
    """The applier of claims and of replies that go with no transition."""

    def __init__(self, link: PostgresLink) -> None:
        self._link = link

    async def apply(self, changes: Sequence[Change]) -> Sequence[bool]:
        """One kind per call: whatever the first change is."""
        claims = [change for change in changes if isinstance(change, Claim)]
        if claims:
            return await self._claim(claims)
        replies = [change for change in changes if isinstance(change, TerminalReply)]
        rows = await self._link.fetch(SAVE_REPLY, reply_rows(replies))
        kept = {tuple(row) for row in rows}
        return [(reply.merchant_no, reply.key) in kept for reply in replies]

    async def _claim(self, claims: Sequence[Claim]) -> Sequence[bool]:
        statement = claim_kind(claims[0])
        rows_of = claim_rows if statement is CLAIM else checkout_claim_rows
        won = _ids(await self._link.fetch(statement, rows_of(claims)))
        return [claim.order.id in won for claim in claims]


def advance_kind(change: Change) -> str:
    """The statement of an advance."""
    return ADVANCE if isinstance(change, Advance) and change.moves is None else ADVANCE_ALL


class AdvanceApplier:
    """The applier of advances."""

    def __init__(self, link: PostgresLink) -> None:
        self._link = link

    async def apply(self, changes: Sequence[Change]) -> Sequence[bool]:
        """One kind per call; a move with a checkout is whole or lost."""
        advances = [change for change in changes if isinstance(change, Advance)]
        try:
            statement = advance_kind(advances[0])
            rows_of = advance_rows if statement is ADVANCE else checkout_advance_rows
            rows = await self._link.fetch(statement, rows_of(advances))
        except Torn:
            if len(advances) == 1:
                return [False]
            raise
        moved = _ids(rows)
        return [change.payment_id in moved for change in advances]


_Outcome = tuple[Set[str], Set[str]]
"""Whose claims won, and whose advances moved."""


def _ids(rows: Sequence[Any]) -> Set[str]:
    """The payments that a statement answers."""
    return {row[0] for row in rows}


class PlainApplier:
    """The applier of plain claims and plain advances, together."""

    def __init__(self, link: PostgresLink) -> None:
        self._link = link

    async def apply(self, changes: Sequence[Change]) -> Sequence[bool]:
        """All of them at once; where that is refused, the whole statements tell who is first."""
        claims = [change for change in changes if isinstance(change, Claim)]
        advances = [change for change in changes if isinstance(change, Advance)]
        try:
            won, moved = await self._plainly(claims, advances)
        except Refused:  # nothing was written
            won, moved = await self._wholly(claims, advances)
        return [
            change.order.id in won
            if isinstance(change, Claim)
            else isinstance(change, Advance) and change.payment_id in moved
            for change in changes
        ]

    async def _plainly(self, claims: Sequence[Claim], advances: Sequence[Advance]) -> _Outcome:
        moved: Sequence[Any] = ()
        if not advances:
            await self._link.fetch(PLAIN_CLAIM, (claims,))
        elif not claims:
            moved = await self._link.fetch(PLAIN_ADVANCE, (advances,))
        else:
            moved = await self._link.fetch(PLAIN_BOTH, (claims, advances))
        return {claim.order.id for claim in claims}, _ids(moved)

    async def _wholly(self, claims: Sequence[Claim], advances: Sequence[Advance]) -> _Outcome:
        """In one transaction: a claim that had won alone would lose to itself when tried again."""
        won: Sequence[Any] = ()
        moved: Sequence[Any] = ()
        if not advances:
            won = await self._link.fetch(CLAIM, claim_rows(claims))
        elif not claims:
            moved = await self._link.fetch(ADVANCE, advance_rows(advances))
        else:
            won, moved = await self._link.fetch_all(
                ((CLAIM, claim_rows(claims)), (ADVANCE, advance_rows(advances)))
            )
        return _ids(won), _ids(moved)
