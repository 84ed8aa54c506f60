"""Fees in integers: a channel's, ours, what a refund gives back."""

from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.bills import BillKind
from reconciliation.rates import NO_RATE, ChannelRate, MerchantRate, half_even, rate_for
from reconciliation.settlement import SettledItem, our_fee_fen, settle

LONG_AGO = date(2020, 1, 1)
amounts = st.integers(1, 10_000_000)
ppms = st.integers(0, 50_000)


@given(amounts, ppms, st.sampled_from([1, 1000]))
def test_a_channels_fee_is_rounded_half_up_to_its_unit(fen: int, ppm: int, unit: int) -> None:
    exact = Decimal(fen) * ppm / 1000  # in thousandths of a fen
    units = (exact / unit).to_integral_value(rounding=ROUND_HALF_UP)
    assert ChannelRate(rate_ppm=ppm, unit_mfen=unit).fee_mfen(fen) == int(units) * unit


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6))
def test_half_even_is_the_books_rounding(numerator: int, denominator: int) -> None:
    """``round`` of a fraction is exact, and goes to the even one from a half."""
    assert half_even(numerator, denominator) == round(Fraction(numerator, denominator))


@pytest.mark.parametrize(
    ("numerator", "expected"), [(5, 0), (15, 2), (25, 2), (35, 4), (-5, 0), (-15, -2), (26, 3)]
)
def test_a_half_goes_to_the_even_fen(numerator: int, expected: int) -> None:
    assert half_even(numerator, 10) == expected


def test_minimum_and_cap_hold_a_fee() -> None:
    rate = MerchantRate(rate_ppm=6000, since=LONG_AGO, min_fen=10, cap_fen=2000)
    assert [rate.fee_fen(fen) for fen in (1, 1667, 10_000, 1_000_000)] == [10, 10, 60, 2000]


@pytest.mark.parametrize(
    "wrong",
    [{"rate_ppm": -1}, {"rate_ppm": 1_000_001}, {"min_fen": 5, "cap_fen": 4}, {"min_fen": -1}],
)
def test_a_rate_that_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"rate|minimum"):
        MerchantRate(**({"rate_ppm": 1, "since": LONG_AGO} | wrong))  # type: ignore[arg-type]


def test_the_most_particular_rate_in_force_is_taken_then_the_youngest() -> None:
    everyone = MerchantRate(rate_ppm=1, since=LONG_AGO)
    younger = MerchantRate(rate_ppm=2, since=date(2026, 2, 1))
    wechat = MerchantRate(rate_ppm=3, since=LONG_AGO, channel="wechat")
    by_code = MerchantRate(rate_ppm=4, since=LONG_AGO, channel="wechat", method="auth_code")
    rates = [by_code, everyone, wechat, younger]

    def chosen(channel: str, method: str, day: date) -> int:
        return rate_for(rates, channel, method, day).rate_ppm

    assert chosen("alipay", "auth_code", date(2026, 1, 31)) == 1
    assert chosen("alipay", "auth_code", date(2026, 2, 1)) == 2
    assert chosen("wechat", "jsapi", date(2026, 3, 1)) == 3
    assert chosen("wechat", "auth_code", date(2026, 3, 1)) == 4
    assert rate_for([], "alipay", "qr", LONG_AGO) is NO_RATE
    assert rate_for([younger], "alipay", "qr", date(2026, 1, 31)) is NO_RATE


def refund(fen: int, paid_fen: int, before_fen: int) -> SettledItem:
    """A part of a payment that goes back."""
    return SettledItem(
        kind=BillKind.REFUND, amount_fen=fen, channel="alipay", method="auth_code",
        paid_on=LONG_AGO, paid_fen=paid_fen, returned_before_fen=before_fen,
    )  # fmt: skip


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=6), ppms, st.integers(0, 300))
def test_the_parts_of_a_whole_refund_give_back_exactly_the_fee(
    parts: list[int], ppm: int, min_fen: int
) -> None:
    rate = MerchantRate(rate_ppm=ppm, since=LONG_AGO, min_fen=min_fen)
    paid_fen, before_fen, back_fen = sum(parts), 0, 0
    for part in parts:
        given_fen = our_fee_fen(refund(part, paid_fen, before_fen), [rate])
        assert given_fen <= 0
        back_fen -= given_fen
        before_fen += part
    assert back_fen == rate.fee_fen(paid_fen)


def test_a_rate_may_keep_its_fee_when_money_goes_back() -> None:
    rate = MerchantRate(rate_ppm=6000, since=LONG_AGO, returns_fee=False)
    assert our_fee_fen(refund(10_000, 10_000, 0), [rate]) == 0


def payment(fen: int) -> SettledItem:
    """A sale of the day."""
    return SettledItem(
        kind=BillKind.PAYMENT, amount_fen=fen, channel="alipay", method="auth_code",
        paid_on=LONG_AGO,
    )  # fmt: skip


def test_a_statement_adds_up_and_a_debt_is_carried() -> None:
    rates = [MerchantRate(rate_ppm=6000, since=LONG_AGO)]
    day = [payment(10_000), payment(5_000), refund(40_000, 40_000, 0)]
    first = settle(day, rates, channel_fee_mfen=30_500, bears_channel_fee=False, carried_in_fen=0)
    assert (first.payments, first.refunds) == (2, 1)
    assert (first.gross_fen, first.refunds_fen) == (15_000, 40_000)
    assert first.our_fee_fen == 60 + 30 - 240
    assert first.channel_fee_fen == 30  # 30.5 fen, half to even
    assert first.net_fen == 15_000 - 40_000 + 150
    assert (first.payable_fen, first.carried_out_fen) == (0, -24_850)
    second = settle(
        [payment(30_000)], rates, channel_fee_mfen=60_000, bears_channel_fee=True,
        carried_in_fen=first.carried_out_fen,
    )  # fmt: skip
    assert second.net_fen == 30_000 - 180 - 60
    assert (second.payable_fen, second.carried_out_fen) == (29_760 - 24_850, 0)


def test_a_merchant_never_begins_a_day_with_a_credit() -> None:
    with pytest.raises(ValueError, match="owes"):
        settle([], [], channel_fee_mfen=0, bears_channel_fee=False, carried_in_fen=1)
