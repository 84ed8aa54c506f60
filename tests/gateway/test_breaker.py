"""A breaker's turns, fed with times of the test's own."""

import pytest

from channels.port import Answer, RefundAnswer, UndoAnswer, Verdict
from gateway.breaker import Breaker, BreakerState, is_failure

CLOSED, HALF_OPEN, OPEN = BreakerState.CLOSED, BreakerState.HALF_OPEN, BreakerState.OPEN


def breaker() -> Breaker:
    """Three failures, five seconds open."""
    return Breaker(failures=3, open_s=5)


def opened(at_s: float = 110) -> Breaker:
    one = breaker()
    for failed_s in (at_s - 1, at_s - 1, at_s):
        one.failed(one.mark, failed_s)
    assert one.state is OPEN
    return one


def test_it_opens_after_failures_in_a_row() -> None:
    one = breaker()
    for failed_s, state in ((110, CLOSED), (111, CLOSED), (112, OPEN)):
        one.failed(one.mark, failed_s)
        assert one.state is state
    assert not one.admit(112)


def test_an_answer_in_between_begins_the_count_again() -> None:
    one = breaker()
    for _ in range(4):
        one.failed(one.mark, 110)
        one.failed(one.mark, 120)
        one.answered()
    assert one.state is CLOSED
    assert one.admit(120)


def test_a_burst_that_our_own_bounds_refuse_opens_nothing() -> None:
    """A second must pass without an answer: the channel may be there, and busy."""
    one = breaker()
    for number in range(50):
        one.failed(one.mark, 110 + number / 100)
    assert one.state is CLOSED
    one.failed(one.mark, 111)
    assert one.state is OPEN


def test_a_call_that_was_on_its_way_while_another_was_answered_says_nothing() -> None:
    one = breaker()
    mark = one.mark
    one.answered()
    for failed_s in range(110, 120):
        one.failed(mark, failed_s)
    assert one.state is CLOSED


def test_nothing_goes_through_while_it_is_open_and_then_one_does() -> None:
    one = opened(110)
    assert not one.lets_through(114.9)
    assert not one.admit(114.9)
    assert one.lets_through(115)
    assert one.state is OPEN
    assert one.admit(115)
    assert one.state is HALF_OPEN
    assert not one.lets_through(115)
    assert not one.admit(119)


def test_a_probe_that_is_answered_closes_it() -> None:
    one = opened(110)
    one.admit(115)
    one.answered()
    assert one.state is CLOSED
    assert one.admit(116)


def test_a_probe_that_fails_opens_it_again() -> None:
    one = opened(110)
    one.admit(115)
    one.failed(one.mark, 117)
    assert one.state is OPEN
    assert not one.admit(121.9)
    assert one.admit(122)


def test_a_probe_that_is_not_heard_of_makes_way_for_the_next() -> None:
    """And when it fails at last, it says nothing of the next."""
    one = opened(110)
    one.admit(115)
    first = one.mark
    assert not one.admit(119.9)
    assert one.admit(120)
    assert one.state is HALF_OPEN
    one.failed(first, 121)
    assert one.state is HALF_OPEN
    one.failed(one.mark, 122)
    assert one.state is OPEN


def test_a_probe_does_not_fail_by_a_call_that_was_begun_before_it() -> None:
    one = opened(110)
    old = one.mark
    one.admit(115)
    one.failed(old, 116)
    assert one.state is HALF_OPEN


def test_an_answer_to_an_old_call_closes_it_too() -> None:
    """The channel speaks."""
    one = opened(110)
    one.answered()
    assert one.state is CLOSED


def test_time_outs_of_an_outage_that_is_over_do_not_open_it_again() -> None:
    one = opened(110)
    one.admit(115)
    old = one.mark
    one.answered()
    for late_s in range(120, 140):
        one.failed(old, late_s)
    assert one.state is CLOSED


def test_failures_while_it_is_open_do_not_prolong_it() -> None:
    one = opened(110)
    one.failed(one.mark, 114)
    assert one.admit(115)


@pytest.mark.parametrize("verdict", Verdict, ids=lambda one: one.value)
def test_what_a_failure_is(verdict: Verdict) -> None:
    """Not sent, or unknown; "not found" is an answer."""
    failed = verdict in (Verdict.NOT_SENT, Verdict.UNKNOWN)
    assert is_failure(Answer(verdict=verdict)) == failed
    assert is_failure(Answer(verdict=verdict, channel_code="SYSTEM_ERROR")) == failed
    assert is_failure(UndoAnswer(verdict=verdict)) == failed
    assert is_failure(RefundAnswer(verdict=verdict)) == failed
    assert not is_failure(Answer(verdict=verdict, not_found=True))
    assert not is_failure(RefundAnswer(verdict=verdict, not_found=True))


def test_what_could_not_be_written_says_nothing_of_the_channel() -> None:
    """One terminal that sends nonsense must not close an account to all others."""
    for kind in (Answer, RefundAnswer):
        assert not is_failure(kind(verdict=Verdict.NOT_SENT, unwritable=True))
        assert is_failure(kind(verdict=Verdict.NOT_SENT))


def test_what_the_channel_itself_said_is_an_answer_though_it_settles_nothing() -> None:
    """A closed trade or an empty purse, verified: the channel is there."""
    for kind in (Answer, UndoAnswer, RefundAnswer):
        assert is_failure(kind(verdict=Verdict.UNKNOWN))
        assert not is_failure(kind(verdict=Verdict.UNKNOWN, answered=True))


def test_a_line_that_is_gone_opens_it_at_once_and_its_return_lets_a_probe_through() -> None:
    """No failures are counted first; only an answer closes it."""
    one = breaker()
    one.line_lost(110)
    assert one.state is OPEN
    assert not one.admit(111)
    one.line_back(111)
    assert one.lets_through(111)
    assert one.admit(111)
    assert one.state is HALF_OPEN
    assert not one.admit(111)
    one.answered()
    assert one.state is CLOSED


def test_a_line_that_comes_for_the_first_time_changes_nothing() -> None:
    one = breaker()
    one.line_back(110)
    assert one.state is CLOSED
    assert one.admit(110)
