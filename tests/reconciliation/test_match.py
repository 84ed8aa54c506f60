"""The rules of the match, one at a time."""

from dataclasses import replace

import pytest

from reconciliation.differences import DifferenceKind
from reconciliation.entries import OurState, Pool, Side, Waiting
from tests.reconciliation.nights import RULES, day, key, night, ours, theirs, told


def test_what_agrees_is_a_pair_and_no_difference() -> None:
    found = night([ours("A"), ours("A", "R1", fen=300)], [theirs("A"), theirs("A", "R1", fen=300)])
    assert (told(found), found.pairs, found.pool) == ([], 2, Pool())


def test_what_we_alone_have_waits_three_days_and_is_missing_there_then() -> None:
    entries, pool = [ours("A")], Pool()
    for on in range(3):
        found = night(entries, [], pool, on=on)
        assert told(found) == []
        assert found.pool.ours == {Waiting(side=Side.OURS, key=key("A"), first_day=day(0))}
        pool = found.pool
    found = night(entries, [], pool, on=3)
    assert told(found) == [("missing_there", "A", "")]
    assert found.differences[0].subject == "pay_A"
    assert {one.side for one in found.pool.ours} == {Side.REPORTED}


def test_a_bill_that_names_it_after_it_was_reported_makes_it_late_not_a_duplicate() -> None:
    reported = Pool(ours=frozenset({Waiting(side=Side.REPORTED, key=key("A"), first_day=day(0))}))
    found = night([ours("A")], [theirs("A", on=6)], reported, on=6)
    assert told(found) == [("late", "A", "")]
    assert found.pool == Pool()


def test_a_reported_entry_is_forgotten_after_thirty_days() -> None:
    reported = Pool(ours=frozenset({Waiting(side=Side.REPORTED, key=key("A"), first_day=day(0))}))
    assert night([ours("A")], [], reported, on=29).pool == reported
    assert night([ours("A")], [], reported, on=30).pool == Pool()


def test_what_is_open_waits_as_long_as_it_is_and_then_its_days() -> None:
    pool = Pool()
    for on in range(10):
        pool = night([ours("A", state=OurState.OPEN)], [], pool, on=on).pool
        assert pool.ours == {Waiting(side=Side.OURS, key=key("A"), first_day=day(0))}
    for on in range(10, 13):
        found = night([ours("A", on=10)], [], pool, on=on)
        assert (told(found), found.pool) == ([], pool)
    assert told(night([ours("A", on=10)], [], pool, on=13)) == [("missing_there", "A", "")]
    late = night([ours("A", on=10)], [theirs("A", on=11)], pool, on=11)
    assert (told(late), late.pool) == ([("late", "A", "")], Pool())


def test_what_was_named_while_it_was_open_is_not_expected_once_it_is_paid() -> None:
    entry = ours("A", state=OurState.OPEN)
    pool = night([entry], [theirs("A")]).pool
    assert night([entry], [], pool, on=40).pool == pool
    paid = night([ours("A", on=40)], [], pool, on=40)
    assert (told(paid), paid.pool) == ([], Pool())
    again = night([ours("A", on=40)], [theirs("A", on=40)], pool, on=40)
    assert told(again) == [("duplicate", "A", "")]


def test_what_waits_and_is_not_found_is_missing_there_not_forgotten() -> None:
    pool = night([ours("A")], []).pool
    for on in (1, 2):
        assert night([], [], pool, on=on).pool == pool
    found = night([], [], pool, on=3)
    assert told(found) == [("missing_there", "A", "")]
    assert (found.differences[0].ours_fen, found.differences[0].subject) == (None, "")


def test_what_falls_into_the_next_day_is_late_and_no_mistake() -> None:
    first = night([ours("A")], [])
    second = night([ours("A")], [theirs("A", on=1)], first.pool, on=1)
    assert told(second) == [("late", "A", "")]
    assert (second.pairs, second.pool) == (1, Pool())


def test_what_the_bill_names_a_day_early_is_not_asked_for_again() -> None:
    """Our clock was behind the channel's, or the answer came past midnight."""
    tomorrow = ours("A", on=1)
    first = night([tomorrow], [theirs("A")])
    assert told(first) == [("late", "A", "")]
    second = night([tomorrow], [], first.pool, on=1)
    assert (told(second), second.pool) == ([], Pool())


def test_a_second_line_of_one_payment_is_a_duplicate_on_the_same_day_or_another() -> None:
    entry = ours("A")
    same = night([entry], [theirs("A"), theirs("A", line=2), theirs("A", line=3)])
    assert told(same) == [("duplicate", "A", "")] * 2
    assert [one.number for one in same.differences] == [1, 2]
    other = night([entry], [theirs("A", on=1)], same.pool, on=1)
    assert told(other) == [("duplicate", "A", "")]


def test_a_line_of_a_day_before_the_account_was_matched_is_late_only() -> None:
    old = ours("A", on=-5)
    rules = replace(RULES, since=day(-2))
    assert told(night([old], [theirs("A")], rules=rules)) == [("late", "A", "")]


@pytest.mark.parametrize(
    "line", [theirs("A", fen=999), theirs("A", currency="USD")], ids=["amount", "currency"]
)
def test_another_amount_or_currency_is_a_difference(line: object) -> None:
    found = night([ours("A")], [line])  # type: ignore[list-item]  # both are lines
    assert told(found) == [("amount", "A", "")]


def test_a_fee_is_compared_within_its_tolerance_and_only_of_what_agrees() -> None:
    def kinds(fee_mfen: int, fen: int = 1000) -> list[str]:
        bill = [theirs("A", fen=fen, fee_mfen=fee_mfen)]
        return [kind for kind, *_ in told(night([ours("A", fee_mfen=6000)], bill))]

    assert kinds(6000) == kinds(6500) == kinds(5500) == []
    assert kinds(6501) == kinds(0) == ["fee"]
    assert kinds(0, fen=999) == ["amount"]


def test_a_fee_difference_tells_both_fees() -> None:
    found = night([ours("A", fee_mfen=6000)], [theirs("A", fee_mfen=60_000)])
    (one,) = found.differences
    assert (one.ours_fen, one.theirs_fen, one.unit) == (6000, 60_000, "mfen")


def test_what_nobody_here_knows_waits_and_is_missing_here_then() -> None:
    pool = night([], [theirs("X")]).pool
    for on in (1, 2):
        found = night([], [], pool, on=on)
        assert told(found) == []
        pool = found.pool
    found = night([], [], pool, on=3)
    assert (told(found), found.pool) == ([("missing_here", "X", "")], Pool())


def test_two_lines_that_nobody_knows_are_one_missing_and_one_duplicate() -> None:
    rules = replace(RULES, carry_days=0)
    found = night([], [theirs("X"), theirs("X", line=2)], rules=rules)
    assert told(found) == [("duplicate", "X", ""), ("missing_here", "X", "")]


def test_an_order_that_was_booked_while_its_line_waited_is_a_pair() -> None:
    """A case was settled by a person: the line finds its payment."""
    pool = night([], [theirs("X")]).pool
    found = night([ours("X", on=1)], [], pool, on=1)
    assert told(found) == [("late", "X", "")]


@pytest.mark.parametrize("state", [OurState.NEVER, OurState.OPEN])
def test_money_of_what_is_not_paid_here_is_told_at_once(state: OurState) -> None:
    found = night([ours("A", state=state)], [theirs("A")])
    assert told(found) == [("status", "A", "")]
    assert (found.differences[0].ours_fen, found.differences[0].theirs_fen) == (0, 1000)


@pytest.mark.parametrize("state", [OurState.NEVER, OurState.OPEN, OurState.UNDONE])
@pytest.mark.parametrize("refund_no", ["UNDO", "A"])
def test_a_charge_and_its_return_cancel_out(state: OurState, refund_no: str) -> None:
    found = night([ours("A", state=state)], [theirs("A"), theirs("A", refund_no, line=2)])
    assert (told(found), found.pool) == ([], Pool())


def test_a_return_past_midnight_is_waited_for() -> None:
    entry = ours("A", state=OurState.UNDONE)
    first = night([entry], [theirs("A")])
    assert (told(first), len(first.pool.theirs)) == ([], 1)
    second = night([entry], [theirs("A", "UNDO", on=1)], first.pool, on=1)
    assert (told(second), second.pool) == ([], Pool())


def test_a_return_that_never_comes_is_a_difference_of_status() -> None:
    entry = ours("A", state=OurState.UNDONE)
    pool = night([entry], [theirs("A")]).pool
    for on in (1, 2):
        pool = night([entry], [], pool, on=on).pool
    found = night([entry], [], pool, on=3)
    assert (told(found), found.pool) == ([("status", "A", "")], Pool())


def test_an_undone_payment_that_the_bill_does_not_list_is_no_difference() -> None:
    assert told(night([ours("A", state=OurState.UNDONE)], [])) == []


def test_refunds_have_differences_of_their_own() -> None:
    rules = replace(RULES, carry_days=0)
    entries = [ours("A", on=-1)]
    waited = [*entries, ours("A", "R1", fen=300)]
    assert told(night(waited, [], rules=rules)) == [("refund_missing_there", "A", "R1")]
    bill = [theirs("A", "R9", fen=300)]
    assert told(night(entries, bill, rules=rules)) == [("refund_missing_here", "A", "R9")]
    bill = [theirs("A", "R1", fen=299)]
    assert told(night(waited, bill, rules=rules)) == [("refund_amount", "A", "R1")]
    failed = [*entries, ours("A", "R1", fen=300, state=OurState.NEVER)]
    assert told(night(failed, bill, rules=rules)) == [("refund_status", "A", "R1")]
    twice = [theirs("A", "R1", fen=300), theirs("A", "R1", fen=300, line=2)]
    assert told(night(waited, twice, rules=rules)) == [("refund_duplicate", "A", "R1")]


def test_a_refund_in_the_channels_console_is_missing_here_though_its_payment_stands() -> None:
    rules = replace(RULES, carry_days=0)
    found = night([ours("A")], [theirs("A"), theirs("A", "CONSOLE", fen=100, line=2)], rules=rules)
    assert told(found) == [("refund_missing_here", "A", "CONSOLE")]


def test_every_kind_that_a_match_can_find_is_found_here() -> None:
    """A new kind must come with a rule and a test: the batch's totals have their own."""
    text = open(__file__, encoding="utf-8").read()  # noqa: SIM115, PTH123
    for kind in DifferenceKind:
        assert kind is DifferenceKind.BATCH_TOTAL or f'"{kind.value}"' in text
