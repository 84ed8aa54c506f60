"""Every reason has a text for the cashier in both languages."""

import re

import pytest

from domain.decline import CASHIER_TEXTS, Decline, DeclineReason

HAN = re.compile(r"[\u4e00-\u9fff]")


def test_the_texts_are_total() -> None:
    assert CASHIER_TEXTS.keys() == set(DeclineReason)


@pytest.mark.parametrize("reason", DeclineReason, ids=lambda one: one.value)
def test_both_languages_say_something(reason: DeclineReason) -> None:
    """English in ASCII with a full stop, Chinese in Chinese, both short enough for a till."""
    text = CASHIER_TEXTS[reason]
    assert text.en.isascii()
    assert text.en.endswith(".")
    assert HAN.search(text.zh)
    assert len(text.en) <= 80
    assert len(text.zh) <= 40


def test_no_two_reasons_say_the_same() -> None:
    """A cashier can tell them apart."""
    assert len({text.en for text in CASHIER_TEXTS.values()}) == len(DeclineReason)
    assert len({text.zh for text in CASHIER_TEXTS.values()}) == len(DeclineReason)


def test_a_reason_is_a_stable_code() -> None:
    """Lower case with underscores: clients compare it."""
    for reason in DeclineReason:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", reason.value)
        assert reason.value == reason.name.lower()


def test_a_decline_is_a_value() -> None:
    assert Decline(DeclineReason.RISK, "x") == Decline(DeclineReason.RISK, "x")
    assert not issubclass(Decline, Exception)
