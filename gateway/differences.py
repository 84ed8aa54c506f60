"""Differences repaired: proposed by one person, approved by another, carried out, recorded.

Rules:

* Maker-checker: whoever proposed a repair can neither approve nor refuse it. Each decision
  has a person and a reason, both masked, and moves the difference by compare-and-set.
* A repair that posts is one ledger entry under the difference's own id, so that carrying
  it out twice posts once. A question to the channel is carried out where the channels are
  (``posgate serve``), and what the channel says is booked like any other answer.
* What has moved nothing can be withdrawn: a proposal, by whoever made it too, and an approved
  question. What was approved to be posted is posted, and a refund may have been sent: neither can.
* A refund is carried out there too, by ``gateway/surplus_refunds.py``; one that the channel
  refuses opens its difference again.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, assert_never

from domain.clock import Clock
from domain.errors import Conflict, InvalidRequest, NotFound
from domain.ledger import Posting
from gateway.logs import mask_text
from gateway.store.port import LedgerEntry, Store
from reconciliation.differences import Repair
from reconciliation.night_records import (
    Deed,
    DifferenceDecision,
    DifferenceState,
    StoredDifference,
)
from reconciliation.repairs import allowed, postings_of

_POSTS: Final = frozenset({Repair.ADJUST, Repair.WRITE_OFF})
_IS_POSTED: Final = "it was approved and is posted, the latest by the next night: see carry-out"
_MAY_BE_SENT: Final = "an approved refund may have been sent: only its channel's word ends it"
_MOST_CHARACTERS: Final = 500
_PAGE: Final = 100
BY_ITSELF: Final = "posgate"
"""Who carries out what people have approved."""


@dataclass(frozen=True, slots=True)
class ShownDifference:
    """A difference, what was decided about it, and what its repair would post."""

    difference: StoredDifference
    decisions: Sequence[DifferenceDecision]
    would_post: Sequence[Posting]


class Differences:
    """The use case."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def show(self, difference_id: str) -> ShownDifference:
        """Raises :class:`NotFound`."""
        found = await self._store.difference(difference_id)
        if found is None:
            raise NotFound("difference_not_found", "no such difference")
        one, decisions = found
        return ShownDifference(one, decisions, _postings(one))

    async def propose(
        self, difference_id: str, repair: Repair, by: str, why: str
    ) -> StoredDifference:
        """The first person's word.

        Raises:
            NotFound: no such difference.
            Conflict: it is not open, or it moved meanwhile.
            InvalidRequest: this repair is none for its kind, or a name or reason is missing.
        """
        shown = await self.show(difference_id)
        one = shown.difference
        possible = allowed(one.found)
        if repair not in possible:
            names = ", ".join(sorted(each.value for each in possible)) or "nothing"
            raise InvalidRequest(
                "repair_not_allowed", f"for {one.found.kind.value} there may be proposed: {names}"
            )
        _require(one, DifferenceState.OPEN)
        moved = replace(one, repair=repair, state=DifferenceState.PROPOSED)
        return await self._decide(shown, moved, Deed.PROPOSE, by, why)

    async def approve(self, difference_id: str, by: str, why: str) -> StoredDifference:
        """The second person's yes; a repair that posts is carried out at once.

        Raises:
            NotFound, Conflict, InvalidRequest: as :meth:`propose`; also when the same person
                proposed it.
        """
        shown = await self.show(difference_id)
        self._require_another(shown, by)
        moved = replace(shown.difference, state=DifferenceState.APPROVED)
        approved = await self._decide(shown, moved, Deed.APPROVE, by, why)
        if approved.repair in _POSTS:
            return await self.carry_out(difference_id, by, why)
        return approved

    async def refuse(self, difference_id: str, by: str, why: str) -> StoredDifference:
        """The second person's no: it is open again. Raises as :meth:`approve`."""
        shown = await self.show(difference_id)
        self._require_another(shown, by)
        moved = replace(shown.difference, state=DifferenceState.OPEN)
        return await self._decide(shown, moved, Deed.REFUSE, by, why)

    async def withdraw(self, difference_id: str, by: str, why: str) -> StoredDifference:
        """Take back what has moved nothing yet: it is open again.

        Raises:
            NotFound: no such difference.
            Conflict: it moved meanwhile, there is nothing to withdraw, or what was approved can
                no longer be taken back.
            InvalidRequest: a name or reason is missing.
        """
        shown = await self.show(difference_id)
        one = shown.difference
        if one.state is not DifferenceState.APPROVED:
            _require(one, DifferenceState.PROPOSED)
        elif why_kept := _why_kept(one.repair):
            raise Conflict("repair_not_withdrawable", why_kept)
        moved = replace(one, state=DifferenceState.OPEN)
        return await self._decide(shown, moved, Deed.WITHDRAW, by, why)

    async def carry_out(self, difference_id: str, by: str, why: str) -> StoredDifference:
        """Post what was approved, once, and close; a question closes with its answer booked.

        Raises:
            NotFound, Conflict: as :meth:`propose`; it is not approved.
        """
        shown = await self.show(difference_id)
        one = shown.difference
        _require(one, DifferenceState.APPROVED)
        if one.repair in _POSTS and shown.would_post:
            entry = LedgerEntry(
                entry_id=one.id,
                postings=shown.would_post,
                by=_said(by, "by"),
                why=_said(why, "why"),
                at_ms=self._clock.now_ms(),
            )
            await self._store.post(entry)  # False: an earlier try posted it
        moved = replace(one, state=DifferenceState.CLOSED)
        return await self._decide(shown, moved, Deed.CARRY_OUT, by, why)

    async def reopen(self, difference_id: str, by: str, why: str) -> StoredDifference:
        """What was approved cannot be done: it is open again. Raises as :meth:`carry_out`."""
        shown = await self.show(difference_id)
        _require(shown.difference, DifferenceState.APPROVED)
        moved = replace(shown.difference, state=DifferenceState.OPEN)
        return await self._decide(shown, moved, Deed.FAIL, by, why)

    async def carry_out_approved(self) -> int:
        """Carry out everything that posts and was approved by someone who died before it; how many.

        The ledger's entry has the difference's own id: what was posted is only closed.
        """
        count = 0
        async for one in differences_in(self._store, DifferenceState.APPROVED):
            if one.repair in _POSTS:
                count += await self._carried_out(one.id)
        return count

    async def _carried_out(self, difference_id: str) -> bool:
        try:
            await self.carry_out(difference_id, BY_ITSELF, "approved, and not carried out then")
        except (Conflict, NotFound):
            return False  # somebody carried it out meanwhile
        return True

    async def _decide(
        self, shown: ShownDifference, moved: StoredDifference, deed: Deed, by: str, why: str
    ) -> StoredDifference:
        moved = replace(moved, version=shown.difference.version + 1)
        decision = DifferenceDecision(
            difference_id=moved.id,
            number=len(shown.decisions) + 1,
            deed=deed,
            repair=moved.repair,
            by=_said(by, "by"),
            why=_said(why, "why"),
            at_ms=self._clock.now_ms(),
        )
        if not await self._store.decide_difference(decision, moved):
            raise Conflict("difference_moved", "somebody decided about it meanwhile: look again")
        return moved

    def _require_another(self, shown: ShownDifference, by: str) -> None:
        _require(shown.difference, DifferenceState.PROPOSED)
        proposer = next(
            decision.by for decision in reversed(shown.decisions) if decision.deed is Deed.PROPOSE
        )
        if _said(by, "by").casefold() == proposer.casefold():
            raise Conflict(
                "second_person_needed", "whoever proposed a repair cannot decide about it"
            )


async def differences_in(store: Store, state: DifferenceState) -> AsyncIterator[StoredDifference]:
    """Every difference of a state, by id, read page by page; others may move them meanwhile."""
    after = ""
    while page := await store.differences(state, after, _PAGE):
        for one in page:
            yield one
        after = page[-1].id


def _why_kept(repair: Repair) -> str:
    """Why a repair is beyond recall once it is approved; ``""``: it has moved nothing."""
    match repair:
        case Repair.ADJUST | Repair.WRITE_OFF:
            return _IS_POSTED
        case Repair.REFUND:
            return _MAY_BE_SENT
        case Repair.QUERY_AGAIN | Repair.NONE:
            return ""
        case _:
            assert_never(repair)


def _postings(one: StoredDifference) -> Sequence[Posting]:
    if one.repair not in _POSTS and one.repair is not Repair.REFUND:
        return ()
    return postings_of(one.found, one.repair, one.channel, one.account_id, one.currency)


def _require(one: StoredDifference, state: DifferenceState) -> None:
    if one.state is not state:
        raise Conflict(
            "difference_not_" + state.value, f"it is {one.state.value}, not {state.value}"
        )


def _said(text: str, name: str) -> str:
    """What a person wrote, without a card number in it.

    Raises:
        InvalidRequest: empty or too long.
    """
    said = mask_text(" ".join(text.split()))
    if not said or len(said) > _MOST_CHARACTERS:
        raise InvalidRequest(
            "invalid_" + name, f"--{name}: 1 to {_MOST_CHARACTERS} characters", field=name
        )
    return said
