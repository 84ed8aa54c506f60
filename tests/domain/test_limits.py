"""What limits make of a payment: amounts, hours in Beijing, and who needs a PIN."""

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.clock import BEIJING
from domain.limits import (
    DAY_MINUTES,
    LIMIT_TEXTS,
    Asked,
    Limit,
    LimitRule,
    broken_by,
    is_open,
    limit_day,
    limits_of,
    minute_of_day,
    needs_pin,
    over_limit,
)

NOON = int(datetime(2026, 11, 30, 12, 0, tzinfo=BEIJING).timestamp() * 1000)


def asked(amount_fen: int = 1000, *, at_till: bool = True, store_id: str = "S1") -> Asked:
    return Asked(merchant_no="M1", store_id=store_id, amount_fen=amount_fen, at_till=at_till)


def limit(store_id: str = "", **values: Any) -> Limit:
    return Limit(merchant_no="M1", store_id=store_id, **values)


@pytest.mark.parametrize("name", ["single_fen", "daily_fen"])
def test_an_amount_may_reach_its_limit_and_not_pass_it(name: str) -> None:
    """0 limits nothing."""
    values: dict[str, Any] = {name: 1000}
    limits = [limit(**values)]
    assert broken_by(limits, asked(1000), NOON) is None
    rule = LimitRule.SINGLE if name == "single_fen" else LimitRule.DAILY
    assert broken_by(limits, asked(1001), NOON) is rule
    assert broken_by([limit()], asked(10**12), NOON) is None
    assert broken_by([], asked(10**12), NOON) is None


@pytest.mark.parametrize(("merchants", "stores"), [(500, 2000), (2000, 500)])
def test_a_merchants_and_its_stores_limits_both_hold(merchants: int, stores: int) -> None:
    """The stricter decides, and another store's does not."""
    limits = [limit(single_fen=merchants), limit("S1", single_fen=stores)]
    assert broken_by(limits_of(limits, "S1"), asked(501), NOON) is LimitRule.SINGLE
    assert broken_by(limits_of(limits, "S1"), asked(500), NOON) is None
    elsewhere = broken_by(limits_of(limits, "S2"), asked(501), NOON)
    assert elsewhere is (LimitRule.SINGLE if merchants == 500 else None)
    assert limits_of(limits, "") == [limits[0]]


def test_hours_come_first() -> None:
    """A closed shop takes nothing, whatever the amount."""
    closed = [limit(single_fen=1, opens_min=0, closes_min=60)]
    assert broken_by(closed, asked(1000), NOON) is LimitRule.HOURS


@pytest.mark.parametrize(
    ("opens", "closes", "inside", "outside"),
    [
        (480, 1320, (480, 1319), (479, 1320)),
        (1320, 120, (1320, 1439, 0, 119), (120, 1319)),
        (600, 600, (0, 599, 600, 1439), ()),
    ],
    ids=["a day", "past midnight", "always"],
)
def test_a_shop_is_open_from_its_first_minute_to_before_its_last(
    opens: int, closes: int, inside: tuple[int, ...], outside: tuple[int, ...]
) -> None:
    of_shop = limit(opens_min=opens, closes_min=closes)
    assert all(is_open(of_shop, minute) for minute in inside)
    assert not any(is_open(of_shop, minute) for minute in outside)


@given(
    opens=st.integers(0, DAY_MINUTES - 1),
    closes=st.integers(0, DAY_MINUTES - 1),
    minute=st.integers(0, DAY_MINUTES - 1),
)
@settings(max_examples=200, deadline=None)
def test_a_shop_is_open_when_the_turned_round_one_is_closed(
    opens: int, closes: int, minute: int
) -> None:
    """Every minute belongs to one of the two, past midnight or not."""
    if opens == closes:
        return
    day, night = (
        limit(opens_min=opens, closes_min=closes),
        limit(opens_min=closes, closes_min=opens),
    )
    assert is_open(day, minute) != is_open(night, minute)


def test_days_and_hours_are_beijings() -> None:
    """Half past four in the afternoon in London's winter is half past midnight there."""
    at_ms = int(datetime.fromisoformat("2026-12-31T16:30:00+00:00").timestamp() * 1000)
    assert limit_day(at_ms) == "2027-01-01"
    assert minute_of_day(at_ms) == 30


def test_a_pin_is_needed_above_the_small_amount_at_the_till_only() -> None:
    """The payer on the page pays by himself; the strictest limit counts."""
    limits = [limit(small_fen=50_000), limit("S1", small_fen=1000)]
    assert not needs_pin(limits, asked(1000))
    assert needs_pin(limits, asked(1001))
    assert not needs_pin(limits, asked(10**9, at_till=False))
    assert not needs_pin([limit()], asked(10**9))


@pytest.mark.parametrize(
    "wrong",
    [{"single_fen": -1}, {"daily_fen": True}, {"opens_min": DAY_MINUTES}, {"closes_min": -1}],
    ids=str,
)
def test_a_limit_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"a limit|an hour"):
        limit(**wrong)


def test_every_rule_has_its_text_in_both_languages() -> None:
    """And its refusal carries them, under the rule's own code."""
    assert LIMIT_TEXTS.keys() == set(LimitRule)
    for rule, text in LIMIT_TEXTS.items():
        refusal = over_limit(rule)
        assert (refusal.code, refusal.message, refusal.message_zh) == (rule.value, text.en, text.zh)
        assert text.en.isascii()
        assert any("\u4e00" <= sign <= "\u9fff" for sign in text.zh)


def test_no_pin_is_in_what_is_shown_of_a_question() -> None:
    shown = repr(
        Asked(merchant_no="M1", store_id="", amount_fen=1, at_till=True, operator_pin="739201")
    )
    assert "739201" not in shown
