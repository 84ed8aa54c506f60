"""The payment table is total, and holds the rules that are written above it."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.payment import (
    FINAL,
    ILLEGAL,
    RESTING,
    SAME,
    TRANSITIONS,
    UNDECIDED,
    UNSETTLED,
    Event,
    IllegalTransition,
    Status,
    apply,
)

CELLS = list(itertools.product(Status, Event))
LEGAL = [(s, e) for s, e in CELLS if TRANSITIONS[s][e] != ILLEGAL]
events = st.lists(st.sampled_from([event for event in Event if event is not Event.SUBMIT]))
BY_TIME = {Event.GIVE_UP, Event.ANSWER_LOST, Event.PAYER_ACTING}


def run(status: Status, happened: list[Event]) -> list[Status]:
    """Every state on the way."""
    return [status, *itertools.accumulate(happened, apply, initial=status)]


def test_every_state_meets_every_event() -> None:
    """The cell is a state, SAME or ILLEGAL; nothing is missing and nothing is extra."""
    assert TRANSITIONS.keys() == set(Status)
    for row in TRANSITIONS.values():
        assert row.keys() == set(Event)
        assert all(isinstance(cell, Status) or cell in (SAME, ILLEGAL) for cell in row.values())


@pytest.mark.parametrize(("status", "event"), CELLS, ids=lambda one: one.value)
def test_apply_follows_its_cell(status: Status, event: Event) -> None:
    """The state, the same state, or IllegalTransition that names both."""
    cell = TRANSITIONS[status][event]
    if cell == ILLEGAL:
        with pytest.raises(IllegalTransition, match=f"{event.value}.*{status.value}"):
            apply(status, event)
    else:
        assert apply(status, event) is (status if cell == SAME else cell)


def test_only_our_own_submit_can_be_illegal() -> None:
    """No word of a channel, a till or a timer is ever an error."""
    illegal = {event for status, event in CELLS if TRANSITIONS[status][event] == ILLEGAL}
    assert illegal == {Event.SUBMIT}


def test_final_and_unsettled_do_not_overlap() -> None:
    """What is neither is not yet sent, or held for a capture."""
    assert not FINAL & UNSETTLED
    assert {Status.REVERSING} == UNSETTLED - UNDECIDED
    assert set(Status) - FINAL - UNSETTLED == {Status.CREATED, Status.AUTHORIZED}
    assert {Status.AUTHORIZED} == RESTING - FINAL


def test_a_hold_is_left_only_by_taking_or_releasing_it() -> None:
    """No late word, no silence and no timer ends it."""
    leaving = {
        event: cell
        for event, cell in TRANSITIONS[Status.AUTHORIZED].items()
        if isinstance(cell, Status)
    }
    assert leaving == {
        Event.PAID: Status.SUCCEEDED,
        Event.UNDO: Status.REVERSING,
        Event.UNDONE_UNPAID: Status.CLOSED,
        Event.UNDONE_PAID: Status.REVERSED,
    }


@pytest.mark.parametrize("status", Status, ids=lambda one: one.value)
@pytest.mark.parametrize("event", sorted(BY_TIME, key=str), ids=lambda one: one.value)
def test_nothing_ends_unpaid_by_time(status: Status, event: Event) -> None:
    """A timer, silence or a payer who dawdles never fails or closes what was sent."""
    after = apply(status, event)
    if status is not Status.CREATED:
        assert after is status or after not in FINAL
    assert after is not Status.FAILED or status is Status.FAILED


@pytest.mark.parametrize("status", [Status.FAILED, Status.CLOSED])
@pytest.mark.parametrize("event", [Event.PAID, Event.AUTHORIZE])
def test_late_money_goes_back(status: Status, event: Event) -> None:
    """Paid or held after failed or closed: a return is due, the word is not dropped."""
    assert apply(status, event) is Status.REVERSING


def test_an_undo_ends_closed_or_reversed_only() -> None:
    """Whatever comes while it runs, a late success above all."""
    outcomes = {apply(Status.REVERSING, event) for event in Event if event is not Event.SUBMIT}
    assert outcomes == {Status.REVERSING, Status.CLOSED, Status.REVERSED}
    assert apply(Status.REVERSING, Event.PAID) is Status.REVERSING
    assert apply(Status.REVERSING, Event.DECLINE) is Status.REVERSING


def test_reversed_is_the_end() -> None:
    """Nothing leaves it."""
    for event in set(Event) - {Event.SUBMIT}:
        assert apply(Status.REVERSED, event) is Status.REVERSED


def test_paid_is_left_only_by_giving_the_money_back() -> None:
    """Neither a late decline, a time-out, nor the till's patience unmakes it."""
    leaving = {event for event, cell in TRANSITIONS[Status.SUCCEEDED].items()
               if isinstance(cell, Status)}  # fmt: skip
    assert leaving == {Event.UNDO, Event.UNDONE_PAID}


def test_paid_twice_is_once() -> None:
    assert TRANSITIONS[Status.SUCCEEDED][Event.PAID] == SAME


@given(st.sampled_from(Status), events)
def test_no_history_regresses(start: Status, happened: list[Event]) -> None:
    """No state comes after one that excludes it."""
    never_after = {
        Status.SUCCEEDED: {Status.CREATED, Status.SUBMITTED, Status.PENDING, Status.UNKNOWN,
                           Status.FAILED, Status.AUTHORIZED},
        Status.REVERSED: set(Status) - {Status.REVERSED},
        Status.FAILED: set(Status) - {Status.FAILED, Status.REVERSING, Status.REVERSED,
                                      Status.CLOSED},
        Status.CLOSED: set(Status) - {Status.CLOSED, Status.REVERSING, Status.REVERSED},
        Status.REVERSING: set(Status) - {Status.REVERSING, Status.CLOSED, Status.REVERSED},
        Status.PENDING: {Status.CREATED, Status.SUBMITTED, Status.UNKNOWN},
    }  # fmt: skip
    history = run(start, happened)
    for before, after in itertools.combinations(history, 2):
        assert after not in never_after.get(before, set()), history


@given(st.sampled_from(sorted(UNSETTLED, key=str)), events)
def test_whatever_happened_an_undo_still_ends_it(start: Status, happened: list[Event]) -> None:
    """I3: from any open state, an undo and the channel's answer reach a final state."""
    status = run(start, happened)[-1]
    for answer in (Event.UNDONE_PAID, Event.UNDONE_UNPAID):
        assert apply(apply(status, Event.UNDO), answer) in FINAL


@given(st.sampled_from(Status), st.sampled_from([e for e in Event if e is not Event.SUBMIT]))
def test_a_repeat_changes_nothing_more(status: Status, event: Event) -> None:
    """Delivered twice is delivered once, but that late money first reopens and then rests."""
    once = apply(status, event)
    assert apply(once, event) is once or (once, event) in LEGAL
    thrice = apply(apply(once, event), event)
    assert thrice is apply(once, event)
