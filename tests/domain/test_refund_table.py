"""The refund table is total, and no history of refunds returns more than was captured."""

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.decline import Decline, DeclineReason
from domain.ledger import Entry, Posting, is_balanced
from domain.payment import Event, Payment, Standing, Status
from domain.refund import (
    ILLEGAL,
    REFUND_FINAL,
    SAME,
    TRANSITIONS,
    IllegalRefundTransition,
    Refund,
    RefundEvent,
    RefundHappened,
    RefundOrder,
    RefundStanding,
    RefundStatus,
    RefundStep,
    apply,
    decided_refund,
    parked_refund,
    refund_step,
    refundable_fen,
    reserve,
)
from domain.settle import Decision, Happened, Step, decided, has_refunds, parked, step
from tests.support.payments import sample_order

ORDER = sample_order(1, amount_fen=1990, notify_url="https://shop.example/hook")
QUIET = sample_order(2, amount_fen=1990)
CELLS = list(itertools.product(RefundStatus, RefundEvent))
OF_THE_CHANNEL = [event for event in RefundEvent if event is not RefundEvent.SUBMIT]
OPEN = set(RefundStatus) - REFUND_FINAL
NO = Decline(DeclineReason.AMOUNT_LIMIT, "ACQ.REASON_TRADE_REFUND_FEE_ERR")


def refund_of(
    amount_fen: int, status: RefundStatus = RefundStatus.SUBMITTED, number: int = 1, **more: object
) -> Refund:
    """A refund of the sample payment."""
    order = RefundOrder(
        id=f"ref_{number}",
        payment_id=ORDER.id,
        merchant_no=ORDER.merchant_no,
        merchant_refund_no=f"R{number}",
        fingerprint=b"f" * 32,
        amount_fen=amount_fen,
        currency="CNY",
        reason="",
        channel=ORDER.channel,
        account_id=ORDER.account_id,
        channel_refund_no=f"REFUND{number:04}",
        created_at_ms=1,
    )
    return Refund(order, RefundStanding(status=status, version=1, **more))  # type: ignore[arg-type]


def paid(order: object = ORDER, **changes: object) -> Payment:
    """The sample payment, succeeded."""
    values = {"status": Status.SUCCEEDED, "version": 2, "captured_fen": 1990} | changes
    return Payment(order, Standing(**values))  # type: ignore[arg-type]


def at(event: RefundEvent, decline: Decline | None = None) -> RefundHappened:
    """Something happened to a refund."""
    return RefundHappened(event=event, at_ms=9, decline=decline)


def test_every_state_meets_every_event() -> None:
    """The cell is a state, SAME or ILLEGAL; nothing is missing and nothing is extra."""
    assert TRANSITIONS.keys() == set(RefundStatus)
    for row in TRANSITIONS.values():
        assert row.keys() == set(RefundEvent)
        assert all(isinstance(c, RefundStatus) or c in (SAME, ILLEGAL) for c in row.values())


@pytest.mark.parametrize(("status", "event"), CELLS, ids=lambda one: one.value)
def test_apply_follows_its_cell(status: RefundStatus, event: RefundEvent) -> None:
    cell = TRANSITIONS[status][event]
    if cell == ILLEGAL:
        with pytest.raises(IllegalRefundTransition, match=f"{event.value}.*{status.value}"):
            apply(status, event)
    else:
        assert apply(status, event) is (status if cell == SAME else cell)


def test_only_our_own_submit_can_be_illegal() -> None:
    assert {e for s, e in CELLS if TRANSITIONS[s][e] == ILLEGAL} == {RefundEvent.SUBMIT}


@pytest.mark.parametrize("status", RefundStatus, ids=lambda one: one.value)
def test_only_the_channels_words_end_a_refund(status: RefundStatus) -> None:
    """Silence, "not sent" and "accepted" never do."""
    ending = {RefundEvent.RETURNED, RefundEvent.DECLINE}
    for event in set(OF_THE_CHANNEL) - ending:
        assert (apply(status, event) in REFUND_FINAL) == (status in REFUND_FINAL)
    assert apply(status, RefundEvent.RETURNED) is RefundStatus.SUCCEEDED


def test_returned_money_stays_returned() -> None:
    """A late no does not take a yes back; a late yes corrects a no."""
    for event in OF_THE_CHANNEL:
        assert apply(RefundStatus.SUCCEEDED, event) is RefundStatus.SUCCEEDED
    assert apply(RefundStatus.FAILED, RefundEvent.RETURNED) is RefundStatus.SUCCEEDED


@given(st.sampled_from(RefundStatus), st.lists(st.sampled_from(OF_THE_CHANNEL)))
def test_a_final_refund_never_opens_again(start: RefundStatus, events: list[RefundEvent]) -> None:
    history = [start, *itertools.accumulate(events, apply, initial=start)]
    for before, after in itertools.pairwise(history):
        assert before not in REFUND_FINAL or after in REFUND_FINAL
        assert before is not RefundStatus.SUCCEEDED or after is RefundStatus.SUCCEEDED


@pytest.mark.parametrize("amount_fen", [0, -1, 1991])
def test_what_is_not_there_is_not_reserved(amount_fen: int) -> None:
    assert reserve(paid(), amount_fen) is None


def test_a_reservation_holds_its_amount_against_the_next_one() -> None:
    first = reserve(paid(), 1500)
    assert first is not None
    assert (first.version, first.refunding_fen, first.notices) == (3, 1500, 0)
    after = Payment(ORDER, first)
    assert refundable_fen(first) == 490
    assert reserve(after, 491) is None
    assert reserve(after, 490) is not None


@pytest.mark.parametrize(
    "status", [s for s in Status if s is not Status.SUCCEEDED], ids=lambda one: one.value
)
def test_only_a_succeeded_payment_is_refunded(status: Status) -> None:
    assert reserve(paid(status=status), 1) is None


def test_a_parked_payment_is_not_refunded() -> None:
    assert reserve(paid(parked_reason="amount_mismatch"), 1) is None


def test_a_yes_books_the_refund_and_frees_its_reservation() -> None:
    moved = refund_step(paid(refunding_fen=700), refund_of(500), at(RefundEvent.RETURNED))
    assert moved is not None
    assert (moved.standing.status, moved.standing.version, moved.standing.done_at_ms) == (
        RefundStatus.SUCCEEDED, 2, 9,
    )  # fmt: skip
    assert moved.payment is not None
    assert (moved.payment.returned_fen, moved.payment.refunding_fen) == (500, 200)
    assert (moved.payment.version, moved.payment.notices) == (3, 1)
    assert moved.notice == "refund.succeeded"
    assert list(moved.postings) == [
        Posting(Entry.REFUND, "merchant:m1", 500, "CNY"),
        Posting(Entry.REFUND, "channel:unionpay_card:a1", -500, "CNY"),
    ]


def test_a_no_frees_the_reservation_and_books_nothing() -> None:
    happened = at(RefundEvent.DECLINE, NO)
    moved = refund_step(paid(refunding_fen=700), refund_of(500), happened)
    assert moved is not None
    assert (moved.standing.status, moved.standing.decline) == (RefundStatus.FAILED, NO)
    assert moved.payment is not None
    assert (moved.payment.returned_fen, moved.payment.refunding_fen) == (0, 200)
    assert (moved.notice, list(moved.postings)) == ("refund.failed", [])


def test_nobody_is_told_who_did_not_ask_to_be() -> None:
    moved = refund_step(paid(QUIET, refunding_fen=500), refund_of(500), at(RefundEvent.RETURNED))
    assert moved is not None
    assert moved.payment is not None
    assert (moved.notice, moved.payment.notices) == ("", 0)


@pytest.mark.parametrize("event", [RefundEvent.ANSWER_LOST, RefundEvent.ACCEPTED])
def test_silence_moves_the_refund_alone(event: RefundEvent) -> None:
    start = RefundStatus.UNKNOWN if event is RefundEvent.ACCEPTED else RefundStatus.SUBMITTED
    moved = refund_step(paid(refunding_fen=500), refund_of(500, start), at(event))
    assert moved is not None
    assert (moved.payment, list(moved.postings), moved.notice) == (None, [], "")
    assert moved.standing.status not in REFUND_FINAL


def test_a_late_yes_to_a_refused_refund_is_booked_without_a_reservation() -> None:
    failed = refund_of(500, RefundStatus.FAILED, decline=NO)
    moved = refund_step(paid(refunding_fen=300), failed, at(RefundEvent.RETURNED))
    assert moved is not None
    assert moved.payment is not None
    assert (moved.payment.returned_fen, moved.payment.refunding_fen) == (500, 300)
    assert moved.standing.decline is None


def test_money_returned_beyond_the_capture_is_parked_once() -> None:
    """Booked it would break the ledger, dropped it would be lost: a person must look."""
    failed = refund_of(500, RefundStatus.FAILED, decline=NO)
    payment = paid(returned_fen=1600)
    moved = refund_step(payment, failed, at(RefundEvent.RETURNED))
    assert moved is not None
    assert (moved.payment, list(moved.postings)) == (None, [])
    assert moved.standing.parked_reason == "returned_beyond_capture"
    aside = Refund(failed.order, moved.standing)
    assert refund_step(payment, aside, at(RefundEvent.RETURNED)) is None
    assert decided_refund(payment, aside, Decision.RETURNED, 9) is None
    assert decided_refund(payment, aside, Decision.RETRY, 9) is None
    ended = decided_refund(payment, aside, Decision.NOT_PAID, 9)
    assert ended is not None
    assert (ended.standing.status, ended.standing.parked_reason) == (RefundStatus.FAILED, "")
    assert ended.payment is None


def aside(status: RefundStatus = RefundStatus.UNKNOWN) -> Refund:
    """A parked refund of 500."""
    moved = parked_refund(refund_of(500, status), "refund_not_answered")
    return Refund(refund_of(500).order, moved.standing)


def test_a_parked_refund_keeps_its_reservation_and_hears_only_a_yes() -> None:
    payment = paid(refunding_fen=500)
    for event in set(OF_THE_CHANNEL) - {RefundEvent.RETURNED}:
        assert refund_step(payment, aside(), at(event)) is None
    moved = refund_step(payment, aside(), at(RefundEvent.RETURNED))
    assert moved is not None
    assert (moved.standing.status, moved.standing.parked_reason) == (RefundStatus.SUCCEEDED, "")


def test_a_person_ends_a_parked_refund_either_way_or_sends_it_back() -> None:
    payment = paid(refunding_fen=500)
    returned = decided_refund(payment, aside(), Decision.RETURNED, 9)
    assert returned is not None
    assert returned.standing.status is RefundStatus.SUCCEEDED
    assert returned.notice == "refund.succeeded"
    kept = decided_refund(payment, aside(), Decision.NOT_PAID, 9)
    assert kept is not None
    assert kept.standing.status is RefundStatus.FAILED
    assert kept.standing.decline is not None
    assert kept.payment is not None
    assert kept.payment.refunding_fen == 0
    again = decided_refund(payment, aside(), Decision.RETRY, 9)
    assert again is not None
    assert (again.standing.status, again.standing.parked_reason) == (RefundStatus.UNKNOWN, "")
    assert again.payment is None
    assert decided_refund(payment, aside(), Decision.PAID, 9) is None
    assert decided_refund(payment, refund_of(500), Decision.RETURNED, 9) is None


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.integers(1, 1200)),
        st.tuples(st.just("refund"), st.integers(0, 5), st.sampled_from(OF_THE_CHANNEL)),
        st.tuples(st.just("park"), st.integers(0, 5)),
        st.tuples(st.just("decide"), st.integers(0, 5), st.sampled_from(Decision)),
        st.tuples(
            st.just("payment"),
            st.sampled_from([event for event in Event if event is not Event.SUBMIT]),
        ),
        st.tuples(st.just("park payment")),
        st.tuples(st.just("decide payment"), st.sampled_from(Decision)),
    ),
    max_size=30,
)


class Books:
    """One payment, its refunds, and everything that was posted and told."""

    def __init__(self) -> None:
        self.payment = Payment(ORDER, Standing(status=Status.SUBMITTED, version=1))
        self.refunds: list[Refund] = []
        self.posted: list[Posting] = []
        self.told = 0
        self.play(("payment", Event.PAID))

    def play(self, move: tuple[object, ...]) -> None:
        match move:
            case ("reserve", int(amount_fen)):
                reserved = reserve(self.payment, amount_fen)
                if reserved is not None and len(self.refunds) < 6:
                    self._pay(reserved)
                    self.refunds.append(refund_of(amount_fen, number=len(self.refunds)))
            case ("payment", Event() as event):
                self._step(step(self.payment, Happened(event=event, at_ms=5)))
            case ("park payment",) if self._may_be_parked():
                self._step(parked(self.payment, "why"))
            case ("decide payment", Decision() as decision):
                self._step(decided(self.payment, decision, 6))
            case (str(kind), int(number), *rest) if number < len(self.refunds):
                self._refund_step(number, self._moved(kind, self.refunds[number], rest))

    def _may_be_parked(self) -> bool:
        """A contradiction parks what an answer would have moved; what is settled it cannot."""
        now = self.payment.standing
        return not now.parked_reason and now.status not in (Status.SUCCEEDED, Status.REVERSED)

    def _moved(self, kind: str, refund: Refund, rest: list[object]) -> RefundStep | None:
        match kind, rest:
            case "refund", [RefundEvent() as event]:
                return refund_step(self.payment, refund, at(event, NO))
            case "park", [] if not refund.standing.parked_reason:
                if refund.standing.status in REFUND_FINAL:
                    return None
                return parked_refund(refund, "refund_not_answered")
            case "decide", [Decision() as decision]:
                return decided_refund(self.payment, refund, decision, 7)
        return None

    def _pay(self, standing: Standing) -> None:
        assert standing.version == self.payment.standing.version + 1
        self.payment = Payment(ORDER, standing)

    def _step(self, moved: Step | None) -> None:
        if moved is not None:
            self._pay(moved.standing)
            self._book(list(moved.postings), moved.notice)

    def _refund_step(self, number: int, moved: RefundStep | None) -> None:
        if moved is None:
            return
        before = self.refunds[number]
        assert moved.standing.version == before.standing.version + 1
        self.refunds[number] = Refund(before.order, moved.standing)
        if moved.payment is not None:
            self._pay(moved.payment)
        self._book(list(moved.postings), moved.notice)

    def _book(self, postings: list[Posting], notice: str) -> None:
        assert is_balanced(postings)
        self.posted += postings
        self.told += bool(notice)

    def of(self, *statuses: RefundStatus) -> int:
        return sum(one.order.amount_fen for one in self.refunds if one.standing.status in statuses)

    def sums(self, *entries: Entry) -> Counter[str]:
        sums: Counter[str] = Counter()
        for posting in self.posted:
            if posting.entry in entries:
                sums[posting.account] += posting.amount_fen
        return sums


@given(MOVES)
def test_no_history_returns_more_than_was_captured(moves: list[tuple[object, ...]]) -> None:
    """I4 and I5, after every step of several refunds, undos and decisions of one payment."""
    books = Books()
    for move in moves:
        books.play(move)
        now = books.payment.standing
        assert min(now.captured_fen, now.returned_fen, now.refunding_fen) >= 0
        assert now.returned_fen + now.refunding_fen <= now.captured_fen <= ORDER.amount_fen
        assert now.refunding_fen == books.of(*OPEN), "each reservation is freed exactly once"
        returned_fen = books.of(RefundStatus.SUCCEEDED)
        if now.status is not Status.REVERSED:
            assert now.returned_fen == returned_fen
        else:
            assert now.returned_fen == now.captured_fen
        held = now.captured_fen - now.returned_fen
        sums = books.sums(*Entry)
        assert (sums["channel:unionpay_card:a1"], sums["merchant:m1"]) == (held, -held)
        assert books.sums(Entry.REFUND)["merchant:m1"] == returned_fen
        assert books.sums(Entry.CAPTURE)["merchant:m1"] == -now.captured_fen
        assert now.notices == books.told


@given(MOVES)
def test_a_payment_with_refunds_is_not_undone(moves: list[tuple[object, ...]]) -> None:
    """What is left of it is refunded instead."""
    books = Books()
    for move in moves:
        books.play(move)
    if has_refunds(books.payment.standing):
        assert step(books.payment, Happened(event=Event.UNDO, at_ms=5)) is None
