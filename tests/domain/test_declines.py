"""Every reason has a text for the cashier in both languages."""

import re

import pytest

from domain.decline import (
    CASHIER_TEXTS,
    CashierText,
    ChannelTexts,
    Decline,
    DeclineReason,
    payment_text,
    refund_text,
)

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


def test_a_channels_own_code_has_its_own_text() -> None:
    """Every other code has its reason's; a code of another channel is another code."""
    own, of_refund = CashierText("Own.", "自己"), CashierText("Of a refund.", "退款")
    texts = {"alipay": ChannelTexts(payments={"X": own}, refunds={"X": of_refund})}
    known, other = Decline(DeclineReason.RISK, "X"), Decline(DeclineReason.RISK, "Y")
    assert payment_text(known, "alipay", texts) is own
    assert payment_text(other, "alipay", texts) is CASHIER_TEXTS[DeclineReason.RISK]
    assert payment_text(known, "wechat", texts) is CASHIER_TEXTS[DeclineReason.RISK]
    assert refund_text(known, "alipay", texts) is of_refund
    assert refund_text(other, "alipay", texts) is None
    assert refund_text(known, "wechat", texts) is None
