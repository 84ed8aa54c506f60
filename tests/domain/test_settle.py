"""A step: postings balance, captured and returned follow the ledger, contradictions park."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.decline import Decline, DeclineReason
from domain.ledger import Entry, Posting, is_balanced
from domain.payment import (
    HOLD_METHOD,
    Event,
    IllegalTransition,
    Payment,
    Standing,
    Status,
    apply,
)
from domain.settle import (
    Decision,
    Happened,
    Step,
    contradiction,
    decided,
    has_refunds,
    meant,
    parked,
    step,
)
from tests.support.payments import sample_order

ORDER = sample_order(1, amount_fen=1990)
LATE = [event for event in Event if event is not Event.SUBMIT]
WRONG = Decline(DeclineReason.WRONG_PIN, "55")
happenings = st.lists(
    st.builds(
        Happened,
        event=st.sampled_from(LATE),
        at_ms=st.integers(1, 10**9),
        trade_no=st.sampled_from(["", "T1", "T2"]),
        paid_at_ms=st.sampled_from([0, 7]),
        decline=st.sampled_from([None, WRONG]),
    ),
    max_size=12,
)


def payment(status: Status, **changes: object) -> Payment:
    """A payment as it stands."""
    return Payment(ORDER, Standing(status=status, version=3, **changes))  # type: ignore[arg-type]


def at(event: Event, **said: object) -> Happened:
    """Something happened."""
    return Happened(event=event, at_ms=5, **said)  # type: ignore[arg-type]


def balances(postings: list[Posting]) -> Counter[str]:
    """What each account holds."""
    sums: Counter[str] = Counter()
    for posting in postings:
        sums[posting.account] += posting.amount_fen
    return sums


@given(happenings)
def test_books_and_standing_agree_over_any_history(history: list[Happened]) -> None:
    """I5: every entry sums to zero, and the balances are captured minus returned, always."""
    now = Payment(ORDER, Standing(status=Status.SUBMITTED, version=1))
    posted: list[Posting] = []
    for happened in history:
        moved = step(now, happened)
        if moved is None:
            continue
        assert is_balanced(moved.postings)
        assert moved.standing.version == now.standing.version + 1
        posted += moved.postings
        now = Payment(ORDER, moved.standing)
        standing = now.standing
        assert 0 <= standing.returned_fen <= standing.captured_fen <= ORDER.amount_fen
        held = standing.captured_fen - standing.returned_fen
        sums = balances(posted)
        assert sums["channel:unionpay_card:a1"] == held
        assert sums["merchant:m1"] == -held
        if standing.status is Status.SUCCEEDED:
            assert held == ORDER.amount_fen
        if standing.status in (Status.CLOSED, Status.FAILED, Status.REVERSED):
            assert held == 0
        if standing.parked_reason:
            return  # a person decides from here


HOLD = sample_order(2, method=HOLD_METHOD)


def hold(status: Status, **changes: object) -> Payment:
    """A hold as it stands."""
    return Payment(HOLD, payment(status, **changes).standing)


@given(happenings)
def test_of_a_hold_nothing_is_ever_taken(history: list[Happened]) -> None:
    """Whatever its channel says and in whatever order: no posting, and an undo ends closed."""
    now = Payment(HOLD, Standing(status=Status.SUBMITTED, version=1))
    for happened in history:
        event = meant(HOLD, happened.event)
        moved = step(now, replace(happened, event=event, paid_at_ms=0))
        if moved is None:
            continue
        assert list(moved.postings) == []
        assert not moved.standing.parked_reason
        standing = moved.standing
        assert (standing.captured_fen, standing.returned_fen, standing.paid_at_ms) == (0, 0, 0)
        assert standing.status not in (Status.SUCCEEDED, Status.REVERSED)
        now = Payment(HOLD, standing)
    undone = now
    for event in (Event.UNDO, Event.UNDONE_PAID):
        moved = step(undone, at(meant(HOLD, event)))
        undone = undone if moved is None else Payment(HOLD, moved.standing)
    assert undone.standing.status in (Status.CLOSED, Status.FAILED)


@pytest.mark.parametrize("event", Event, ids=lambda one: one.value)
def test_only_a_hold_hears_another_meaning(event: Event) -> None:
    """Yes is "held", "it went back" is "nothing was taken"; everything else is what it says."""
    assert meant(ORDER, event) is event
    other = {Event.PAID: Event.AUTHORIZE, Event.UNDONE_PAID: Event.UNDONE_UNPAID}
    assert meant(HOLD, event) is other.get(event, event)


def test_a_contradicted_hold_is_decided_as_held_or_not() -> None:
    """A person can book neither a capture nor a return."""
    proof = at(Event.AUTHORIZE, trade_no="T9", reference="R9")
    waiting = Payment(HOLD, parked(hold(Status.SUBMITTED), "amount_mismatch", proof).standing)
    standing = waiting.standing
    assert (standing.channel_trade_no, standing.channel_reference) == ("T9", "R9")
    assert standing.paid_at_ms == 0
    held = resolved(waiting, Decision.PAID)
    assert (held.standing.status, list(held.postings)) == (Status.AUTHORIZED, [])
    for decision in (Decision.NOT_PAID, Decision.RETURNED):
        ended = resolved(waiting, decision)
        assert (ended.standing.status, list(ended.postings)) == (Status.CLOSED, [])
        assert ended.standing.paid_at_ms == 0


def test_a_hold_that_is_being_released_is_not_decided_as_held() -> None:
    waiting = Payment(HOLD, parked(hold(Status.REVERSING), "undo_refused").standing)
    assert decided(waiting, Decision.PAID, 9) is None


@pytest.mark.parametrize("status", Status, ids=lambda one: one.value)
@pytest.mark.parametrize("event", LATE, ids=lambda one: one.value)
def test_a_step_follows_the_table(status: Status, event: Event) -> None:
    """``None`` where the table says that nothing changes, but for a "yes" heard while undoing."""
    captured = 1990 if status in (Status.SUCCEEDED, Status.REVERSED) else 0
    before = payment(status, captured_fen=captured)
    moved = step(before, at(event))
    after = apply(status, event)
    heard_yes = status is Status.REVERSING and event in (Event.PAID, Event.AUTHORIZE)
    assert (moved is None) == (after is status and not heard_yes)
    if moved is not None:
        assert moved.standing.status is after


def test_an_illegal_event_is_our_own_fault() -> None:
    with pytest.raises(IllegalTransition):
        step(payment(Status.SUCCEEDED, captured_fen=1990), at(Event.SUBMIT))


def test_paid_posts_one_capture() -> None:
    """Debit what the channel owes us, credit what we owe the merchant."""
    moved = step(payment(Status.SUBMITTED), at(Event.PAID, trade_no="T9", paid_at_ms=4))
    assert moved is not None
    assert moved.postings == (
        Posting(Entry.CAPTURE, "channel:unionpay_card:a1", 1990, "CNY"),
        Posting(Entry.CAPTURE, "merchant:m1", -1990, "CNY"),
    )
    standing = moved.standing
    assert (standing.channel_trade_no, standing.paid_at_ms, standing.captured_fen) == (
        "T9", 4, 1990,
    )  # fmt: skip
    assert standing.decline is None


def test_undone_after_capture_posts_it_back() -> None:
    moved = step(payment(Status.REVERSING, captured_fen=1990), at(Event.UNDONE_PAID))
    assert moved is not None
    assert balances(list(moved.postings)) == {
        "channel:unionpay_card:a1": -1990,
        "merchant:m1": 1990,
    }
    assert (moved.standing.captured_fen, moved.standing.returned_fen) == (1990, 1990)


def test_undone_paid_without_a_capture_books_both() -> None:
    """The charge was never seen, its return was: the ledger shows both and holds nothing."""
    moved = step(payment(Status.REVERSING), at(Event.UNDONE_PAID))
    assert moved is not None
    assert len(moved.postings) == 4
    assert set(balances(list(moved.postings)).values()) == {0}
    assert (moved.standing.captured_fen, moved.standing.returned_fen) == (1990, 1990)


def test_undone_as_unpaid_after_a_capture_is_a_contradiction() -> None:
    """The ledger says paid, the channel says it never was: parked, nothing posted."""
    moved = step(payment(Status.REVERSING, captured_fen=1990), at(Event.UNDONE_UNPAID))
    assert moved is not None
    assert moved.standing.parked_reason == "undone_as_unpaid_after_payment"
    assert moved.standing.status is Status.REVERSING
    assert list(moved.postings) == []


def test_paid_while_reversing_is_remembered_once() -> None:
    """Signed proof of a charge must outlast an undo that finds nothing: it parks, never closes."""
    heard = step(payment(Status.REVERSING), at(Event.PAID, trade_no="T9", paid_at_ms=4))
    assert heard is not None
    assert (heard.standing.status, heard.standing.paid_at_ms) == (Status.REVERSING, 4)
    assert list(heard.postings) == []
    after = Payment(payment(Status.REVERSING).order, heard.standing)
    assert step(after, at(Event.PAID)) is None
    closed = step(after, at(Event.UNDONE_UNPAID))
    assert closed is not None
    assert closed.standing.parked_reason == "undone_as_unpaid_after_payment"


@pytest.mark.parametrize("event", [Event.PAID, Event.DECLINE, Event.GIVE_UP, Event.PAYER_ACTING])
def test_only_a_person_moves_a_parked_payment(event: Event) -> None:
    before = payment(Status.UNKNOWN)
    aside = Payment(before.order, parked(before, "amount_mismatch").standing)
    assert step(aside, at(event)) is None
    undone = step(aside, at(Event.UNDO))
    assert undone is not None
    assert undone.standing.status is Status.REVERSING


def test_a_decline_is_kept_where_a_payment_ends_unpaid() -> None:
    moved = step(payment(Status.PENDING), at(Event.DECLINE, decline=WRONG))
    assert moved is not None
    assert moved.standing.decline == WRONG


def test_an_earlier_reason_survives_the_end_of_the_undo() -> None:
    """Closed says why the undo began."""
    moved = step(payment(Status.REVERSING, decline=WRONG), at(Event.UNDONE_UNPAID))
    assert moved is not None
    assert (moved.standing.status, moved.standing.decline) == (Status.CLOSED, WRONG)


def test_what_the_channel_said_once_is_not_lost() -> None:
    """A later answer without a number keeps the earlier one."""
    before = payment(Status.PENDING, channel_trade_no="T1", channel_reference="R1")
    moved = step(before, at(Event.PAID))
    assert moved is not None
    assert (moved.standing.channel_trade_no, moved.standing.channel_reference) == ("T1", "R1")


GOOD = {"amount_fen": 1990, "currency": "CNY", "order_no": ORDER.channel_order_no}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({}, ""),
        ({"amount_fen": None, "currency": "", "order_no": ""}, ""),
        ({"amount_fen": 1989}, "amount_mismatch"),
        ({"amount_fen": 0}, "amount_mismatch"),
        ({"amount_fen": -1990}, "amount_mismatch"),
        ({"currency": "USD"}, "currency_mismatch"),
        ({"currency": "cny"}, "currency_mismatch"),
        ({"order_no": "OTHER"}, "order_mismatch"),
        ({"amount_fen": 1, "currency": "USD"}, "amount_mismatch"),
        ({"amount_fen": 1, "currency": "USD", "order_no": "OTHER"}, "order_mismatch"),
    ],
)
def test_what_the_channel_says_is_compared(said: dict[str, object], reason: str) -> None:
    """Amount, currency and number; what it does not say is no contradiction."""
    words = GOOD | said
    assert contradiction(ORDER, **words) == reason  # type: ignore[arg-type]


@pytest.mark.parametrize("status", Status, ids=lambda one: one.value)
def test_parked_is_never_paid_and_posts_nothing(status: Status) -> None:
    """Unknown, or reversing once the till heard "not paid"; one version on; the reason stands."""
    moved = parked(payment(status, channel_trade_no="T1", captured_fen=3), "why")
    told = (Status.REVERSING, Status.FAILED, Status.CLOSED)
    expected = Status.REVERSING if status in told else Status.UNKNOWN
    assert moved.standing.status is expected
    assert (moved.standing.version, moved.standing.parked_reason) == (4, "why")
    assert (moved.standing.channel_trade_no, moved.standing.captured_fen) == ("T1", 3)
    assert list(moved.postings) == []


PROOF = {"trade_no": "T9", "reference": "R9", "paid_at_ms": 4}


def test_a_parked_proof_of_payment_is_kept_until_a_person_decides() -> None:
    """An undo that finds nothing parks it again; it does not close it."""
    proven = parked(payment(Status.SUBMITTED), "amount_mismatch", at(Event.PAID, **PROOF))
    standing = proven.standing
    assert (standing.channel_trade_no, standing.channel_reference, standing.paid_at_ms) == (
        "T9", "R9", 4,
    )  # fmt: skip
    undoing = step(Payment(ORDER, standing), at(Event.UNDO))
    assert undoing is not None
    undone = step(Payment(ORDER, undoing.standing), at(Event.UNDONE_UNPAID))
    assert undone is not None
    assert undone.standing.parked_reason == "undone_as_unpaid_after_payment"


def test_a_parked_proof_takes_nothing_from_what_was_known() -> None:
    """It has no number and no time of its own; and what proves nothing leaves all as it was."""
    before = payment(Status.PENDING, channel_trade_no="T1", channel_reference="R1")
    bare = parked(before, "why", at(Event.PAID)).standing
    assert (bare.channel_trade_no, bare.channel_reference, bare.paid_at_ms) == ("T1", "R1", 5)
    earlier = payment(Status.PENDING, paid_at_ms=2)
    assert parked(earlier, "why", at(Event.PAID, **PROOF)).standing.paid_at_ms == 2
    lost = parked(before, "why", at(Event.ANSWER_LOST, **PROOF)).standing
    assert (lost.channel_trade_no, lost.paid_at_ms) == ("T1", 0)


NOTICES = [
    (Status.SUBMITTED, Event.PAID, "payment.succeeded"),
    (Status.SUBMITTED, Event.DECLINE, "payment.failed"),
    (Status.REVERSING, Event.UNDONE_UNPAID, "payment.closed"),
    (Status.REVERSING, Event.UNDONE_PAID, "payment.reversed"),
    (Status.SUBMITTED, Event.ANSWER_LOST, ""),
    (Status.UNKNOWN, Event.UNDO, ""),
]


@pytest.mark.parametrize(("status", "event", "notice"), NOTICES)
def test_every_final_state_is_told_to_whom_asked(status: Status, event: Event, notice: str) -> None:
    """I9: counted with the move, so that the sequence is dense; nothing without a URL."""
    standing = Standing(status=status, version=3, notices=4)
    asked = replace(ORDER, notify_url="https://shop.example/hook")
    moved = step(Payment(asked, standing), at(event))
    assert moved is not None
    assert (moved.notice, moved.standing.notices) == (notice, 5 if notice else 4)
    silent = step(Payment(ORDER, standing), at(event))
    assert silent is not None
    assert (silent.notice, silent.standing.notices) == ("", 4)


REFUNDED = [{"returned_fen": 1}, {"refunding_fen": 1}]


@pytest.mark.parametrize("numbers", REFUNDED)
@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.UNKNOWN], ids=lambda one: one.value)
def test_a_payment_with_refunds_is_not_undone(numbers: dict[str, int], status: Status) -> None:
    before = payment(status, captured_fen=1990, **numbers)
    assert has_refunds(before.standing)
    for event in (Event.UNDO, Event.GIVE_UP):
        assert step(before, at(event)) is None


def test_a_reversed_payment_has_no_refunds() -> None:
    """What went back went back by the undo."""
    assert not has_refunds(
        Standing(status=Status.REVERSED, version=3, captured_fen=1990, returned_fen=1990)
    )
    assert not has_refunds(Standing(status=Status.SUCCEEDED, version=3, captured_fen=1990))


def test_the_whole_back_while_a_part_is_on_its_way_is_a_contradiction() -> None:
    before = payment(Status.SUCCEEDED, captured_fen=1990, refunding_fen=500)
    moved = step(before, at(Event.UNDONE_PAID))
    assert moved is not None
    assert moved.standing.parked_reason == "undone_with_open_refunds"
    assert list(moved.postings) == []
    aside = Payment(ORDER, moved.standing)
    assert step(aside, at(Event.UNDONE_PAID)) is None
    assert decided(aside, Decision.RETURNED, 9) is None


def aside(status: Status = Status.UNKNOWN, **changes: object) -> Payment:
    """A payment that waits for a person."""
    return payment(status, parked_reason="amount_mismatch", **changes)


def resolved(before: Payment, decision: Decision) -> Step:
    """The decision's step, which there must be."""
    moved = decided(before, decision, 9)
    assert moved is not None
    assert moved.standing.version == before.standing.version + 1
    assert moved.standing.parked_reason == ""
    assert is_balanced(moved.postings)
    return moved


def test_a_person_says_that_it_is_paid() -> None:
    moved = resolved(aside(), Decision.PAID)
    assert (moved.standing.status, moved.standing.paid_at_ms) == (Status.SUCCEEDED, 9)
    assert balances(list(moved.postings))["merchant:m1"] == -1990


def test_a_person_says_that_nothing_was_paid() -> None:
    """Even where the channel had been heard to say so once."""
    for status in (Status.UNKNOWN, Status.REVERSING):
        moved = resolved(aside(status, paid_at_ms=4), Decision.NOT_PAID)
        assert (moved.standing.status, moved.standing.paid_at_ms) == (Status.CLOSED, 0)
        assert list(moved.postings) == []


def test_a_person_says_that_the_money_went_back() -> None:
    for status in (Status.UNKNOWN, Status.REVERSING):
        moved = resolved(aside(status), Decision.RETURNED)
        assert moved.standing.status is Status.REVERSED
        assert set(balances(list(moved.postings)).values()) == {0}


@pytest.mark.parametrize("status", [Status.UNKNOWN, Status.REVERSING], ids=lambda one: one.value)
def test_a_person_sends_it_back_to_be_asked_about(status: Status) -> None:
    moved = resolved(aside(status, channel_trade_no="T1"), Decision.RETRY)
    assert (moved.standing.status, moved.standing.channel_trade_no) == (status, "T1")
    assert (list(moved.postings), moved.notice) == ([], "")


@pytest.mark.parametrize("told", [Status.FAILED, Status.CLOSED, Status.REVERSING])
def test_what_was_told_as_not_paid_can_no_more_be_decided_as_paid(told: Status) -> None:
    """The goods stayed in the shop: a late success goes back, whoever decides."""
    waiting = Payment(ORDER, parked(payment(told), "amount_mismatch").standing)
    assert decided(waiting, Decision.PAID, 9) is None
    assert resolved(waiting, Decision.RETURNED).standing.status is Status.REVERSED
    assert resolved(waiting, Decision.NOT_PAID).standing.status is Status.CLOSED


def test_what_the_ledger_holds_is_not_decided_away_and_not_booked_twice() -> None:
    held = aside(captured_fen=1990)
    assert decided(held, Decision.NOT_PAID, 9) is None
    assert list(resolved(held, Decision.PAID).postings) == []
    assert resolved(held, Decision.RETURNED).standing.returned_fen == 1990


@pytest.mark.parametrize("decision", Decision, ids=lambda one: one.value)
def test_only_a_parked_payment_is_decided(decision: Decision) -> None:
    assert decided(payment(Status.UNKNOWN), decision, 9) is None
