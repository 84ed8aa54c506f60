"""The appliers of PostgreSQL's committers: which statement a batch is, and who won in it.

Rules:

* A batch is one autocommit statement, so what it refuses it has not written.
* Plain claims are trusted to be first. Where one was not, the batch is asked again by the statement
  that decides; and for a while every batch is, at once: a merchant's program that repeats payments
  all day must not hold up everybody's.
* Claims are written in the order of their keys, advances in that of their payments: processes
  that are sent the same ones at once wait for each other in turn, never both.
* An applier asks the statements of its own table here: those its connection prepares.
"""

import asyncio
from collections.abc import Mapping, Sequence, Set
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final

from domain.errors import Unprocessable
from gateway.store.database import Change, Refused, Torn
from gateway.store.port import Advance, Claim, TerminalReply
from gateway.store.postgres_checkouts import ADVANCE_ALL, BEGIN_ATTEMPT, OPEN_CHECKOUT
from gateway.store.postgres_link import PostgresLink
from gateway.store.postgres_plain import (
    DECIDED_BOTH,
    DECIDED_CLAIM,
    PLAIN_ADVANCE,
    PLAIN_BOTH,
    PLAIN_CLAIM,
)
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
        DECIDED_CLAIM: (PLAIN_CLAIMS,),
        DECIDED_BOTH: (PLAIN_CLAIMS, PLAIN_ADVANCES),
        ADVANCE: (ADVANCES, POSTINGS, NOTICES),
    }
)
"""The same of what is plain, and of a move that turns out not to be."""

_order_key = attrgetter("order.merchant_no", "order.door", "order.order_key")
_payment_id = attrgetter("payment_id")


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
        won = _ids(await self._link.fetch(statement, rows_of(sorted(claims, key=_order_key))))
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
            rows = await self._link.fetch(statement, rows_of(sorted(advances, key=_payment_id)))
        except Torn:
            if len(advances) == 1:
                return [False]
            raise
        moved = _ids(rows)
        return [change.payment_id in moved for change in advances]


_Outcome = tuple[Set[str], Set[str]]
"""Whose claims won, and whose advances moved."""
_NOBODY: Final[Set[str]] = frozenset()
_REPEATS_EXPECTED_S: Final = 1.0
"""How long after a repeat another is expected."""


def _ids(rows: Sequence[Any]) -> Set[str]:
    """The payments that a statement answers."""
    return {row[0] for row in rows}


class PlainApplier:
    """The applier of plain claims and plain advances, together."""

    def __init__(self, link: PostgresLink) -> None:
        self._link = link
        self._trusts_from_s = 0.0
        """Until then somebody repeats payments: every batch decides who is first."""

    async def apply(self, changes: Sequence[Change]) -> Sequence[bool]:
        """All of them at once; a batch that trusted and was refused is decided."""
        claims = sorted([one for one in changes if isinstance(one, Claim)], key=_order_key)
        advances = sorted([one for one in changes if isinstance(one, Advance)], key=_payment_id)
        if not claims:
            won, moved = _NOBODY, await self._move(advances)
        elif asyncio.get_running_loop().time() < self._trusts_from_s:
            won, moved = await self._decide(claims, advances)
        else:
            try:
                won, moved = await self._trust(claims, advances)
            except Refused as refusal:  # nothing was written
                if isinstance(refusal, Torn) or isinstance(refusal.error, Unprocessable):
                    raise  # whoever is first
                won, moved = await self._decide(claims, advances)
        return [
            change.order.id in won
            if isinstance(change, Claim)
            else isinstance(change, Advance) and change.payment_id in moved
            for change in changes
        ]

    async def _trust(self, claims: Sequence[Claim], advances: Sequence[Advance]) -> _Outcome:
        moved: Sequence[Any] = ()
        if advances:
            moved = await self._link.fetch(PLAIN_BOTH, (claims, advances))
        else:
            await self._link.fetch(PLAIN_CLAIM, (claims,))
        return {claim.order.id for claim in claims}, _ids(moved)

    async def _decide(self, claims: Sequence[Claim], advances: Sequence[Advance]) -> _Outcome:
        if advances:
            rows = await self._link.fetch(DECIDED_BOTH, (claims, advances))
        else:
            rows = await self._link.fetch(DECIDED_CLAIM, (claims,))
        won = {id_ for id_, is_claim in rows if is_claim}
        if len(won) < len(claims):
            self._trusts_from_s = asyncio.get_running_loop().time() + _REPEATS_EXPECTED_S
        return won, {id_ for id_, is_claim in rows if not is_claim}

    async def _move(self, advances: Sequence[Advance]) -> Set[str]:
        try:
            return _ids(await self._link.fetch(PLAIN_ADVANCE, (advances,)))
        except Torn:
            if len(advances) > 1:
                raise
            # tills are told of it after all, which the whole statement does
            return _ids(await self._link.fetch(ADVANCE, advance_rows(advances)))
