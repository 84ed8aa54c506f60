"""Faults are data: counted, bounded, repeatable from a seed."""

import random

import pytest

from sandbox.effects import HANG_UP, SILENCE, Effect
from sandbox.faults import FaultError, FaultKind, FaultRule, Faults, Stage, parse_rules, strike

ANSWER = Effect(b"answer")


def never() -> float:
    raise AssertionError("no random rule was set")


def struck(faults: Faults, operation: str, times: int) -> list[int]:
    return [turn for turn in range(1, times + 1) if faults.draw(operation) is not None]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (FaultRule(kind=FaultKind.DROP), [1, 2, 3, 4, 5, 6, 7, 8]),
        (FaultRule(kind=FaultKind.DROP, every=3), [3, 6]),
        (FaultRule(kind=FaultKind.DROP, skip=2, every=2), [4, 6, 8]),
        (FaultRule(kind=FaultKind.DROP, skip=1, limit=2), [2, 3]),
        (FaultRule(kind=FaultKind.DROP, match="0400"), []),
        (FaultRule(kind=FaultKind.DROP, per_mille=0), []),
    ],
)
def test_a_rule_strikes_when_it_says(rule: FaultRule, expected: list[int]) -> None:
    """skip, every, limit and match decide by counting alone."""
    faults = Faults(lambda: 0.0)
    faults.replace([rule])
    assert struck(faults, "0200", 8) == expected


def test_the_first_rule_that_fires_wins_and_all_count() -> None:
    """A request counts against every rule it matches."""
    faults = Faults(never)
    faults.replace(
        [FaultRule(kind=FaultKind.DROP, every=2), FaultRule(kind=FaultKind.CLOSE, every=3)]
    )
    kinds = [rule and rule.kind for rule in (faults.draw("0200") for _ in range(6))]
    drop, close = FaultKind.DROP, FaultKind.CLOSE
    assert kinds == [None, drop, close, drop, None, drop]


def test_random_rules_repeat_from_their_seed() -> None:
    """The same seed strikes the same requests, and about as many as asked."""

    def run(seed: int) -> list[int]:
        faults = Faults(random.Random(seed).random)
        faults.replace([FaultRule(kind=FaultKind.DROP, per_mille=300)])
        return struck(faults, "0200", 1000)

    assert run(7) == run(7) != run(8)
    assert 200 < len(run(7)) < 400


def test_replacing_ends_the_old_rules() -> None:
    """An empty plan does nothing."""
    faults = Faults(never)
    faults.replace([FaultRule(kind=FaultKind.DROP)])
    faults.replace([])
    assert struck(faults, "0200", 3) == []


@pytest.mark.parametrize(
    ("rule", "expected", "acted"),
    [
        (None, ANSWER, True),
        (FaultRule(kind=FaultKind.DELAY, delay_ms=50), Effect(b"answer", delay_ms=50), True),
        (FaultRule(kind=FaultKind.DROP), SILENCE, True),
        (FaultRule(kind=FaultKind.DROP, stage=Stage.BEFORE), SILENCE, False),
        (FaultRule(kind=FaultKind.CLOSE), HANG_UP, True),
        (FaultRule(kind=FaultKind.CLOSE, stage=Stage.BEFORE), HANG_UP, False),
        (FaultRule(kind=FaultKind.DUPLICATE), Effect(b"answer", copies=2), True),
        (FaultRule(kind=FaultKind.CORRUPT), Effect(b"rewsna"), True),
    ],
)
def test_what_each_fault_does(rule: FaultRule | None, expected: Effect, acted: bool) -> None:
    """Only a fault before the channel keeps it from acting."""
    calls: list[None] = []

    def act() -> Effect:
        calls.append(None)
        return ANSWER

    def backwards(answer: bytes) -> bytes:
        return answer[::-1]

    assert strike(rule, act, backwards) == expected
    assert bool(calls) is acted


@pytest.mark.parametrize(
    "raw",
    [
        {},
        [1],
        [{}],
        [{"kind": "explode"}],
        [{"kind": "drop", "stage": "during"}],
        [{"kind": "delay", "stage": "before"}],
        [{"kind": "drop", "every": 0}],
        [{"kind": "drop", "limit": True}],
        [{"kind": "delay", "delay_ms": 600_001}],
        [{"kind": "drop", "match": 1}],
        [{"kind": "drop", "when": "now"}],
        [{"kind": "drop"}] * 65,
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(raw: object) -> None:
    """Unknown keys, values out of range, too many rules."""
    with pytest.raises(FaultError):
        parse_rules(raw)
