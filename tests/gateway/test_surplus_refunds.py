"""What was collected beyond an order goes back once, whoever dies at whichever step."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from channels.port import RefundAnswer, RefundRequest, Verdict
from domain.decline import DeclineReason
from domain.errors import Conflict, InvalidRequest
from domain.ledger import is_balanced
from gateway.differences import Differences
from gateway.store.order_source import order_source
from gateway.store.port import Store
from gateway.surplus_refunds import SurplusRefunds
from reconciliation.differences import Difference, DifferenceKind, Repair
from reconciliation.night_records import (
    Deed,
    DifferenceState,
    NightState,
    StoredDifference,
    SurplusState,
    surplus_refund_ids,
)
from reconciliation.repairs import allowed, postings_of, surplus_fen
from tests.reconciliation.fakes import SetClock
from tests.store.conftest import OpenStore, migrated_file, open_store, sqlite_url, url
from tests.store.test_nights import FIRST, stored
from tests.support.payments import MERCHANT, sample_advance, sample_claim, sample_order
from tests.support.postgres import (
    emptied_postgres_url,
    postgres_server,
    postgres_url,
    shared_postgres_url,
)

__all__ = [
    "emptied_postgres_url", "migrated_file", "open_store", "postgres_server", "postgres_url",
    "shared_postgres_url", "sqlite_url", "url",
]  # fmt: skip
RECEIVABLE, PAYABLE = "channel:unionpay_card:a1", f"merchant:{MERCHANT}"
PAID_FEN, SURPLUS_FEN = 1990, 710
NOT_FOUND = RefundAnswer(verdict=Verdict.UNKNOWN, not_found=True)
REFUSED = RefundAnswer(verdict=Verdict.DECLINED, reason=DeclineReason.DECLINED)


class Dies(Exception):
    """The process ends here."""


@dataclass
class PayingChannel:
    """Pays a refund out once for each number, as the sandbox's do; its answers may be lost."""

    paid_out: dict[str, int] = field(default_factory=dict)
    sent: list[RefundRequest] = field(default_factory=list)
    made: int = 0
    refuses: bool = False
    is_silent: bool = False
    forgets: int = 0
    """How many questions it answers with "no such refund", whatever it paid."""
    denies: bool = False
    """It answers questions with a "no", whatever it paid."""
    dies: str = ""
    """``before`` or ``after`` the channel took it."""

    def new_refund_no(self) -> str:
        self.made += 1
        return f"SR{self.made}"

    async def refund(self, request: RefundRequest) -> RefundAnswer:
        if self.dies == "before":
            raise asyncio.CancelledError
        self.sent.append(request)
        if self.refuses:
            return REFUSED
        self.paid_out[request.refund_no] = request.amount_fen
        if self.dies == "after":
            raise asyncio.CancelledError
        if self.is_silent:
            return RefundAnswer(verdict=Verdict.UNKNOWN)
        return self._said(request)

    async def query_refund(self, request: RefundRequest) -> RefundAnswer:
        if self.is_silent:
            return RefundAnswer(verdict=Verdict.UNKNOWN)
        if self.denies:
            return REFUSED
        if self.forgets or request.refund_no not in self.paid_out:
            self.forgets -= bool(self.forgets)
            return NOT_FOUND
        return self._said(request)

    def _said(self, request: RefundRequest) -> RefundAnswer:
        amount_fen = self.paid_out[request.refund_no]
        return RefundAnswer(
            verdict=Verdict.SUCCEEDED, amount_fen=amount_fen, refund_no=request.refund_no
        )


class DyingStore:
    """A store whose process dies before or after its ``place``-th commit."""

    COMMITS = ("post", "add_surplus_refund", "end_surplus_refund", "decide_difference")

    def __init__(self, store: Store, place: int, *, is_committed: bool) -> None:
        self._store, self._left, self._is_committed = store, place, is_committed
        self.is_dead = False

    def __getattr__(self, name: str) -> Any:
        found: Callable[..., Any] = getattr(self._store, name)
        return self._dying(found) if name in self.COMMITS else found

    def _dying(self, commit: Callable[..., Any]) -> Callable[..., Any]:
        async def dies(*words: Any) -> Any:
            self._left -= 1
            if self._left:
                return await commit(*words)
            if self._is_committed:
                await commit(*words)
            self.is_dead = True
            raise Dies

        return dies


@dataclass
class Desk:
    """An approved refund of a surplus, and the channel that shall pay it."""

    store: Store
    one: StoredDifference
    channel: PayingChannel = field(default_factory=PayingChannel)

    def at_work(self, store: Any = None) -> SurplusRefunds:
        route = SimpleNamespace(channel=self.channel, channel_name="unionpay_card")
        routes: Any = SimpleNamespace(find=lambda *_: route, holds_back=lambda _: False)
        return SurplusRefunds(
            store=store or self.store, routes=routes, clock=SetClock(9_000),
            log=structlog.get_logger(),
        )  # fmt: skip

    async def carry_out(self, store: Any = None) -> bool:
        found = await self.store.difference(self.one.id)
        assert found is not None
        return await self.at_work(store).carry_out(found[0])

    async def approve(self, repair: Repair = Repair.REFUND) -> StoredDifference:
        use = Differences(self.store, SetClock(7_000))
        await use.propose(self.one.id, repair, "Li", "the payer was charged more")
        return await use.approve(self.one.id, "Wang", "seen in the bill")

    async def now(self) -> StoredDifference:
        found = await self.store.difference(self.one.id)
        assert found is not None
        return found[0]

    async def state(self) -> tuple[DifferenceState, Sequence[Deed]]:
        found = await self.store.difference(self.one.id)
        assert found is not None
        return found[0].state, [each.deed for each in found[1]]

    async def balances(self) -> dict[str, int]:
        return {name: fen for (name, _), fen in (await self.store.balances()).items() if fen}


def surplus(kind: DifferenceKind = DifferenceKind.AMOUNT) -> StoredDifference:
    """The channel has 7.10 yuan more of the sample payment than the order asked for."""
    order = sample_order(1)
    found = Difference(
        kind=kind, day=FIRST.day, order_no=order.channel_order_no, subject=order.id,
        ours_fen=PAID_FEN, theirs_fen=PAID_FEN + SURPLUS_FEN,
    )  # fmt: skip
    return replace(stored("A"), channel="unionpay_card", found=found)


@pytest.fixture
async def desk(sqlite_url: str, open_store: OpenStore) -> Desk:
    return await desk_of(await open_store(sqlite_url))


async def desk_of(store: Store) -> Desk:
    """A desk with one captured payment, and an open difference about it."""
    await store.claim(sample_claim(1))
    await store.advance(sample_advance(1))
    one = surplus()
    await store.save_match(replace(FIRST, state=NightState.MATCHED), [one], ())
    return Desk(store, one)


async def test_the_surplus_goes_back_and_the_merchant_notices_nothing(desk: Desk) -> None:
    before = await desk.balances()
    payment = await desk.store.payment(desk.one.found.subject)
    await desk.approve()
    assert await desk.balances() == before
    assert await desk.carry_out()
    assert await desk.balances() == before
    assert desk.channel.paid_out == {"SR1": SURPLUS_FEN}
    assert desk.channel.sent[0].payment.amount_fen == PAID_FEN + SURPLUS_FEN
    assert await desk.store.payment(desk.one.found.subject) == payment
    deeds = [Deed.PROPOSE, Deed.APPROVE, Deed.CARRY_OUT]
    assert await desk.state() == (DifferenceState.CLOSED, deeds)


async def test_until_the_channel_answers_the_surplus_is_told_as_owed(desk: Desk) -> None:
    before = await desk.balances()
    await desk.approve()
    desk.channel.is_silent = True
    for _ in range(3):
        assert not await desk.carry_out()
    owed = {RECEIVABLE: before[RECEIVABLE] + SURPLUS_FEN, "differences": -SURPLUS_FEN}
    assert await desk.balances() == before | owed
    assert len(desk.channel.sent) == 1, "what may have been sent is asked about, not sent again"
    desk.channel.is_silent = False
    assert await desk.carry_out()
    assert (desk.channel.paid_out, await desk.balances()) == ({"SR1": SURPLUS_FEN}, before)


@pytest.mark.parametrize("is_committed", [False, True])
@pytest.mark.parametrize("place", range(1, 6))
async def test_whoever_dies_at_a_commit_leaves_the_rest_to_the_next(
    desk: Desk, place: int, is_committed: bool
) -> None:
    """Number, in, end, out, closed: five commits, and a death before and after each."""
    before = await desk.balances()
    await desk.approve()
    dying = DyingStore(desk.store, place, is_committed=is_committed)
    with pytest.raises(Dies):
        await desk.carry_out(dying)
    state, _ = await desk.state()
    if state is DifferenceState.APPROVED:
        assert await desk.carry_out()
    assert list(desk.channel.paid_out.values()) == [SURPLUS_FEN]
    assert len(desk.channel.sent) == 1
    assert await desk.balances() == before
    deeds = [Deed.PROPOSE, Deed.APPROVE, Deed.CARRY_OUT]
    assert await desk.state() == (DifferenceState.CLOSED, deeds)


@pytest.mark.parametrize("dies", ["before", "after"])
async def test_whoever_dies_in_the_call_never_pays_twice(desk: Desk, dies: str) -> None:
    before = await desk.balances()
    await desk.approve()
    desk.channel.dies = dies
    with pytest.raises(asyncio.CancelledError):
        await desk.carry_out()
    desk.channel.dies = ""
    assert await desk.carry_out()
    assert (desk.channel.paid_out, desk.channel.made) == ({"SR1": SURPLUS_FEN}, 1)
    assert await desk.balances() == before


async def test_a_no_to_a_repeat_is_believed_only_where_nothing_was_paid(desk: Desk) -> None:
    """Paid unheard, then unknown for a moment, then refused as a repeat: the payer has it."""
    before = await desk.balances()
    await desk.approve()
    desk.channel.is_silent = True
    await desk.carry_out()
    desk.channel.is_silent, desk.channel.forgets, desk.channel.refuses = False, 1, True
    assert await desk.carry_out()
    assert [request.repeated for request in desk.channel.sent] == [False, True]
    assert (await desk.state())[0] is DifferenceState.CLOSED
    assert await desk.balances() == before


async def test_two_at_once_pay_once(desk: Desk) -> None:
    before = await desk.balances()
    await desk.approve()
    await asyncio.gather(desk.carry_out(), desk.carry_out())
    while (await desk.state())[0] is DifferenceState.APPROVED:
        await desk.carry_out()
    assert list(desk.channel.paid_out.values()) == [SURPLUS_FEN]
    assert await desk.balances() == before


async def test_a_definitive_no_opens_it_again_and_another_approval_is_another_refund(
    desk: Desk,
) -> None:
    before = await desk.balances()
    await desk.approve()
    desk.channel.refuses = True
    assert await desk.carry_out()
    assert await desk.state() == (DifferenceState.OPEN, [Deed.PROPOSE, Deed.APPROVE, Deed.FAIL])
    assert await desk.balances() == before
    desk.channel.refuses = False
    await desk.approve()
    assert await desk.carry_out()
    assert desk.channel.paid_out == {"SR2": SURPLUS_FEN}
    assert (await desk.state())[0] is DifferenceState.CLOSED
    assert await desk.balances() == before


async def test_who_reads_too_late_that_it_was_approved_sends_nothing(desk: Desk) -> None:
    """A worker that was slow over another one finds this one decided otherwise meanwhile."""
    approved = await desk.approve()
    desk.channel.refuses = True
    await desk.carry_out()
    await desk.approve(Repair.ADJUST)
    desk.channel.refuses = False
    balances = await desk.balances()
    assert await desk.at_work().carry_out(approved)
    assert (desk.channel.paid_out, len(desk.channel.sent)) == ({}, 1)
    assert await desk.balances() == balances


async def test_a_no_that_was_none_is_found_out_before_another_refund_is_sent(desk: Desk) -> None:
    """What the channel paid after its "no" is the payer's; it closes the next approval."""
    before = await desk.balances()
    await desk.approve()
    desk.channel.refuses = True
    await desk.carry_out()
    desk.channel.refuses = False
    desk.channel.paid_out["SR1"] = SURPLUS_FEN
    await desk.approve()
    desk.channel.is_silent = True
    assert not await desk.carry_out(), "whether the first was paid is not known yet"
    desk.channel.is_silent = False
    assert await desk.carry_out()
    assert desk.channel.paid_out == {"SR1": SURPLUS_FEN}
    assert len(desk.channel.sent) == 1
    assert (await desk.state())[0] is DifferenceState.CLOSED
    assert await desk.balances() == before


async def question(desk: Desk) -> StoredDifference:
    """A bill tells the refund of the surplus otherwise than it is kept."""
    _, decisions = await desk.store.difference(desk.one.id) or (None, [])
    *_, name = surplus_refund_ids(desk.one.id, decisions)
    found = replace(desk.one.found, kind=DifferenceKind.REFUND_STATUS, subject=name)
    return replace(stored("Q"), channel="unionpay_card", found=found)


async def test_a_question_about_a_refused_refund_finds_that_it_was_paid(desk: Desk) -> None:
    await desk.approve()
    desk.channel.refuses = True
    await desk.carry_out()
    asked = await question(desk)
    assert await desk.at_work().ask(asked) is False, "the channel does not know it"
    desk.channel.paid_out["SR1"] = SURPLUS_FEN + 1
    assert await desk.at_work().ask(asked) is False, "another amount is left to people"
    desk.channel.paid_out["SR1"] = SURPLUS_FEN
    assert await desk.at_work().ask(asked) is True
    kept = await desk.store.surplus_refund(asked.found.subject)
    assert kept is not None
    assert kept.state is SurplusState.SUCCEEDED
    await desk.approve()
    assert await desk.carry_out()
    assert (len(desk.channel.sent), (await desk.state())[0]) == (1, DifferenceState.CLOSED)


async def test_a_question_never_takes_back_what_the_payer_has(desk: Desk) -> None:
    await desk.approve()
    assert await desk.carry_out()
    asked = await question(desk)
    assert await desk.at_work().ask(asked) is True
    desk.channel.denies = True
    assert await desk.at_work().ask(asked) is False
    kept = await desk.store.surplus_refund(asked.found.subject)
    assert kept is not None
    assert kept.state is SurplusState.SUCCEEDED


async def test_a_question_about_an_order_is_none_of_a_surplus(desk: Desk) -> None:
    assert await desk.at_work().ask(desk.one) is None


async def test_what_was_paid_of_other_figures_waits_for_eyes(desk: Desk) -> None:
    """Matched again since, the surplus is another one: nothing is sent, nothing closed."""
    await desk.approve()
    desk.channel.refuses = True
    await desk.carry_out()
    desk.channel.refuses, desk.channel.paid_out = False, {"SR1": SURPLUS_FEN}
    one, (_, decisions) = await desk.now(), await desk.store.difference(desk.one.id) or (None, [])
    more = replace(one.found, theirs_fen=PAID_FEN + SURPLUS_FEN + 1)
    moved = replace(one, found=more, version=one.version + 1)
    again = replace(decisions[-1], number=len(decisions) + 1, deed=Deed.SUPERSEDE)
    assert await desk.store.decide_difference(again, moved)
    await desk.approve()
    for _ in range(2):
        assert not await desk.carry_out()
    assert desk.channel.paid_out == {"SR1": SURPLUS_FEN}
    assert (await desk.state())[0] is DifferenceState.APPROVED


async def test_of_a_no_and_a_yes_under_one_number_the_yes_stands(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two at once: the channel refuses the one and pays the other."""
    before = await desk.balances()
    await desk.approve()
    slow = desk.at_work()
    found = await desk.store.difference(desk.one.id)
    assert found is not None
    desk.channel.refuses = True
    quick = desk.at_work()
    sends = desk.channel.refund

    async def late(request: RefundRequest) -> RefundAnswer:
        """While this one is on its way, the other is refused and says so."""
        monkeypatch.setattr(desk.channel, "refund", sends)
        await quick.carry_out(found[0])
        desk.channel.refuses = False
        return await sends(request)

    monkeypatch.setattr(desk.channel, "refund", late)
    await slow.carry_out(found[0])
    assert desk.channel.paid_out == {"SR1": SURPLUS_FEN}
    assert (await desk.state())[0] is DifferenceState.OPEN
    await desk.approve()
    assert await desk.carry_out()
    assert desk.channel.paid_out == {"SR1": SURPLUS_FEN}
    assert await desk.balances() == before


async def test_after_a_no_the_surplus_may_be_adjusted(desk: Desk) -> None:
    before = await desk.balances()
    await desk.approve()
    desk.channel.refuses = True
    await desk.carry_out()
    await desk.approve(Repair.ADJUST)
    moved = {RECEIVABLE: before[RECEIVABLE] + SURPLUS_FEN, "suspense": -SURPLUS_FEN}
    assert await desk.balances() == before | moved


async def test_a_yes_that_does_not_fit_ends_nothing(desk: Desk) -> None:
    await desk.approve()
    desk.channel.is_silent = True
    await desk.carry_out()
    desk.channel.is_silent = False
    desk.channel.paid_out["SR1"] = SURPLUS_FEN - 1
    assert not await desk.carry_out()
    assert (await desk.state())[0] is DifferenceState.APPROVED


async def test_nothing_leaves_before_a_second_person_or_after_the_wrong_one(desk: Desk) -> None:
    use = Differences(desk.store, SetClock(7_000))
    await use.propose(desk.one.id, Repair.REFUND, "Li", "seen")
    with pytest.raises(Conflict):
        await use.approve(desk.one.id, " li", "mine")
    assert await use.carry_out_approved() == 0
    assert desk.channel.sent == []
    await use.approve(desk.one.id, "Wang", "agreed")
    with pytest.raises(Conflict):
        await use.approve(desk.one.id, "Zhao", "again")
    assert await use.carry_out_approved() == 0, "only where the channels are"
    assert (await desk.state())[0] is DifferenceState.APPROVED


async def test_the_next_bill_finds_the_refund_in_our_books(url: str, open_store: OpenStore) -> None:
    """On both engines: written once, ended once, and read with the day's orders."""
    desk = await desk_of(await open_store(url))
    await desk.approve()
    assert await desk.carry_out()

    def rows() -> list[dict[str, Any]]:
        source = order_source(url)
        with source.made_between("a1", 8_000, 10_000) as batches:
            made = [row for batch in batches for row in batch.to_pylist()]
        named = source.named("a1", [desk.one.found.order_no])
        found = [row for batch in named for row in batch.to_pylist() if row["kind"] == "refund"]
        assert found == made
        return found

    (row,) = await asyncio.to_thread(rows)
    assert (row["order_no"], row["refund_no"]) == (desk.one.found.order_no, "SR1")
    assert (row["status"], row["amount_fen"]) == ("succeeded", SURPLUS_FEN)
    kept = await desk.store.surplus_refund(row["subject"])
    assert kept is not None
    other = replace(kept, channel_refund_no="other")
    assert not await desk.store.add_surplus_refund(other, (await desk.now()).version)
    assert not await desk.store.end_surplus_refund(kept)
    assert await desk.store.surplus_refund("dif_none.2") is None


async def test_only_a_surplus_of_ours_can_be_refunded(desk: Desk) -> None:
    short = replace(
        stored("B"), found=replace(desk.one.found, order_no="B", theirs_fen=PAID_FEN - 1)
    )
    await desk.store.save_match(
        replace(FIRST, account_id="a2", state=NightState.MATCHED), [short], ()
    )
    with pytest.raises(InvalidRequest, match="adjust, write_off"):
        await Differences(desk.store, SetClock(1)).propose(short.id, Repair.REFUND, "Li", "x")


@given(
    st.sampled_from(DifferenceKind), st.one_of(st.none(), st.integers(0, 9)),
    st.one_of(st.none(), st.integers(0, 9)), st.sampled_from(["", "pay_1"]),
)  # fmt: skip
def test_a_refund_is_possible_just_where_the_channel_has_more_of_a_payment_of_ours(
    kind: DifferenceKind, ours_fen: int | None, theirs_fen: int | None, subject: str
) -> None:
    found = replace(surplus(kind).found, ours_fen=ours_fen, theirs_fen=theirs_fen, subject=subject)
    beyond = kind in (DifferenceKind.AMOUNT, DifferenceKind.DUPLICATE)
    more_fen = (theirs_fen or 0) - (ours_fen or 0)
    assert (Repair.REFUND in allowed(found)) == (beyond and more_fen > 0 and subject != "")
    if Repair.REFUND in allowed(found):
        lines = postings_of(found, Repair.REFUND, "alipay", "a1", "CNY")
        assert is_balanced(lines)
        assert surplus_fen(found) == more_fen == lines[0].amount_fen
        assert {line.account for line in lines} == {"channel:alipay:a1", "differences"}
