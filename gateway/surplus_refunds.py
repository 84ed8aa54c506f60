"""What a channel collected twice, or beyond an order, goes back to its payer.

Rules:

* It is the payer's money and never the merchant's: no line touches the merchant's account, its
  payment keeps what it has, and its statement does not change. Approved, the surplus is taken
  from the channel's account into *differences*; with the channel's word that the payer has it,
  it leaves both.
* Persisted, sent, persisted. The refund's number is written down before the first byte leaves
  and serves every repeat; what may have been sent is asked about before it is sent again, and
  its answer is believed by the rules of ``refund_answers.py``.
* Every step is repeatable under the approval's own number: whoever comes after a process that
  died does what is left, once. Two at once send under one number.
* Silence ends nothing: it stays approved and is asked about at the next look. A definitive "no"
  takes the surplus back out of *differences*, and opens the difference again for people. Approved
  anew, the channel is asked about what it refused before another number is used: a surplus that it
  returned after all is returned, and goes back once.
* A bill that tells such a refund otherwise is a difference of its own; a question about it is
  asked here. What the channel says moves the refund as any answer does; what it takes back of its
  own word moves nothing and is left to people.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from channels.port import RefundAnswer, RefundRequest, Refunds, Verdict, refunds_of
from domain.clock import Clock
from domain.errors import Conflict, NotFound
from domain.ledger import Posting
from domain.payment import Payment
from gateway.channel_requests import reference
from gateway.differences import BY_ITSELF, Differences
from gateway.logs import Log
from gateway.refund_answers import believed, contradiction
from gateway.routes import Routes
from gateway.store.port import LedgerEntry, Store
from reconciliation.differences import Repair
from reconciliation.night_records import (
    DifferenceState,
    StoredDifference,
    SurplusRefund,
    SurplusState,
    surplus_refund_ids,
)
from reconciliation.repairs import postings_of, surplus_fen

_REASON: Final = "多收款退回"
"""What the payer is told: returned, since more was collected than was owed."""


class SurplusRefunds:
    """Carries approved refunds of surpluses out, where the channels are."""

    def __init__(self, *, store: Store, routes: Routes, clock: Clock, log: Log) -> None:
        self._store = store
        self._routes = routes
        self._clock = clock
        self._log = log
        self._differences = Differences(store, clock)

    async def carry_out(self, one: StoredDifference) -> bool:
        """Bring an approved one as far as it goes now; ``False``: the channel said no end yet.

        Raises:
            NotFound: no such difference.
            Unavailable: the store is down; the next look goes on where this one was.
        """
        shown = await self._differences.show(one.id)
        one = shown.difference  # whoever was slow over another one has an old look at it
        if one.state is not DifferenceState.APPROVED or one.repair is not Repair.REFUND:
            return True
        work = await self._work(one)
        if work is None:
            return False
        *earlier, name = surplus_refund_ids(one.id, shown.decisions)
        kept = await self._store.surplus_refund(name)
        may_be_sent = kept is not None
        kept = kept or await self._told_of(earlier, work)
        if kept is None:
            kept = self._new(name, work)
            if not await self._store.add_surplus_refund(kept, one.version):
                return False  # another one is at it, or it was decided otherwise meanwhile
        if kept.id != name:
            return await self._close_with_earlier(one, kept)
        taken_in = _taken_in(one)
        await self._post(f"{name}.in", taken_in, "a surplus that goes back to its payer")
        if kept.state is SurplusState.SUBMITTED:
            kept = await self._settled(kept, work, may_be_sent)
        return await self._close(one, kept)

    async def ask(self, question: StoredDifference) -> bool | None:
        """Ask again about the refund of a surplus; whether what is kept is what the channel says.

        ``None``: ``question`` is about no such refund.

        Raises:
            Unavailable: the store is down.
        """
        kept = await self._store.surplus_refund(question.found.subject)
        if kept is None:
            return None
        work = await self._work((await self._differences.show(kept.difference_id)).difference)
        if work is None:
            return False
        request = work.request(kept)
        answer = await self._called(work.ability.query_refund, request)
        told = await self._booked(kept, request, answer)
        says = {Verdict.SUCCEEDED: SurplusState.SUCCEEDED, Verdict.DECLINED: SurplusState.FAILED}
        return told.state is says.get(answer.verdict) and not contradiction(request, answer)

    async def _close_with_earlier(self, one: StoredDifference, kept: SurplusRefund) -> bool:
        if kept.state is not SurplusState.SUCCEEDED:
            return False
        if kept.amount_fen != surplus_fen(one.found):
            why = "refund_before"
            self._log.error("refund of a surplus needs eyes", refund_id=kept.id, reason=why)
            return False
        return await self._close(one, kept)

    async def _told_of(self, earlier: Sequence[str], work: "_Work") -> SurplusRefund | None:
        """The earlier refund of it that was paid after all, or might have been.

        The channel refused each before the difference was approved anew; it is asked once more.
        """
        for name in earlier:
            kept = await self._store.surplus_refund(name)
            if kept is not None and kept.state is SurplusState.FAILED:
                request = work.request(kept)
                answer = await self._called(work.ability.query_refund, request)
                if answer.not_found or answer.verdict is Verdict.DECLINED:
                    continue
                kept = await self._booked(kept, request, answer)
            if kept is not None:
                return kept
        return None

    async def _work(self, one: StoredDifference) -> "_Work | None":
        """``None``: its channel cannot be asked now, or its payment is not here."""
        route = self._routes.find(one.channel, one.account_id)
        ability = refunds_of(route.channel) if route is not None else None
        payment = await self._store.payment(one.found.subject)
        if ability is None or payment is None or self._routes.holds_back(one.account_id):
            return None
        return _Work(one, payment, ability)

    def _new(self, name: str, work: "_Work") -> SurplusRefund:
        one = work.one
        return SurplusRefund(
            id=name,
            difference_id=one.id,
            payment_id=one.found.subject,
            channel=one.channel,
            account_id=one.account_id,
            channel_refund_no=work.ability.new_refund_no(),
            amount_fen=surplus_fen(one.found),
            currency=one.currency,
            created_at_ms=self._clock.now_ms(),
        )

    async def _settled(
        self, kept: SurplusRefund, work: "_Work", may_be_sent: bool
    ) -> SurplusRefund:
        """Ask or send, and keep what the channel says if that ends it."""
        request = work.request(kept)
        return await self._booked(kept, request, await self._answer(work, request, may_be_sent))

    async def _booked(
        self, kept: SurplusRefund, request: RefundRequest, answer: RefundAnswer
    ) -> SurplusRefund:
        if wrong := contradiction(request, answer):
            self._log.error("refund of a surplus needs eyes", refund_id=kept.id, reason=wrong)
            return kept
        match answer.verdict:
            case Verdict.SUCCEEDED:
                state = SurplusState.SUCCEEDED
            case Verdict.DECLINED:
                state = SurplusState.FAILED
            case Verdict.PENDING | Verdict.UNKNOWN | Verdict.NOT_SENT:
                self._log.warning(
                    "refund of a surplus waits",
                    refund_id=kept.id,
                    verdict=answer.verdict.value,
                    code=answer.channel_code,
                )
                return kept
        ended = replace(kept, state=state, done_at_ms=self._clock.now_ms())
        if await self._store.end_surplus_refund(ended):
            return ended
        return await self._store.surplus_refund(kept.id) or kept

    async def _answer(
        self, work: "_Work", request: RefundRequest, may_be_sent: bool
    ) -> RefundAnswer:
        ability = work.ability
        if may_be_sent:
            asked = await self._called(ability.query_refund, request)
            if not asked.not_found:
                return asked
        answer = await self._called(ability.refund, replace(request, repeated=may_be_sent))
        return await believed(answer, lambda: self._called(ability.query_refund, request))

    async def _called(
        self, call: Callable[[RefundRequest], Awaitable[RefundAnswer]], request: RefundRequest
    ) -> RefundAnswer:
        try:
            return await call(request)
        except Exception:
            self._log.exception("adapter fault", refund_no=request.refund_no)
            return RefundAnswer(verdict=Verdict.UNKNOWN)

    async def _close(self, one: StoredDifference, kept: SurplusRefund) -> bool:
        """Post what its end means, then say so in the difference; each once."""
        if kept.state is SurplusState.SUBMITTED:
            return False
        taken_out = [replace(line, amount_fen=-line.amount_fen) for line in _taken_in(one)]
        is_done = kept.state is SurplusState.SUCCEEDED
        why = "the payer has it" if is_done else "the channel refuses to return it"
        await self._post(f"{kept.id}.out", taken_out, f"{why}: {kept.channel_refund_no}")
        try:
            if is_done:
                said = f"returned to the payer under {kept.channel_refund_no}"
                await self._differences.carry_out(one.id, BY_ITSELF, said)
            else:
                said = f"the channel refuses the refund {kept.channel_refund_no}"
                await self._differences.reopen(one.id, BY_ITSELF, said)
        except (Conflict, NotFound):
            return True  # somebody closed it meanwhile
        return True

    async def _post(self, entry_id: str, postings: Sequence[Posting], why: str) -> None:
        await self._store.post(
            LedgerEntry(
                entry_id=entry_id,
                postings=tuple(postings),
                by=BY_ITSELF,
                why=why,
                at_ms=self._clock.now_ms(),
            )
        )  # False: an earlier try posted it


@dataclass(frozen=True, slots=True)
class _Work:
    """A surplus, the payment that it belongs to, and who returns it."""

    one: StoredDifference
    payment: Payment
    ability: Refunds

    def request(self, kept: SurplusRefund) -> RefundRequest:
        """Of the payment as its channel has it: where it collected more, that is the whole."""
        paid = reference(self.payment)
        collected_fen = max(paid.amount_fen, self.one.found.theirs_fen or 0)
        return RefundRequest(
            refund_no=kept.channel_refund_no,
            payment=replace(paid, amount_fen=collected_fen),
            amount_fen=kept.amount_fen,
            currency=kept.currency,
            reason=_REASON,
            created_at_ms=kept.created_at_ms,
        )


def _taken_in(one: StoredDifference) -> Sequence[Posting]:
    return postings_of(one.found, Repair.REFUND, one.channel, one.account_id, one.currency)
