"""F39 at the till: a text in both languages for what is the card's, none for what is ours."""

from channels.port import Verdict
from channels.unionpay.card_codes import COMPLETION_CODES, REFUND_CODES, SALE_CODES
from channels.unionpay.card_texts import CARD_TEXTS, OF_OUR_LINK, is_listed
from channels.unionpay.plugin import CARD_PLUGIN
from domain.decline import Decline, DeclineReason, payment_text, refund_text
from tests.channels.rigs import CardRig, answering

TEXTS = {"unionpay_card": CARD_TEXTS}


def test_every_refusal_of_a_card_has_its_own_words_in_both_languages() -> None:
    ours = {DeclineReason.CONFIGURATION, DeclineReason.CHANNEL_UNAVAILABLE}
    for codes, texts in ((SALE_CODES, CARD_TEXTS.payments), (REFUND_CODES, CARD_TEXTS.refunds)):
        for code, rule in codes.items():
            is_cards = rule.verdict is Verdict.DECLINED and rule.reason not in ours
            assert (code in texts) == (is_cards and code not in OF_OUR_LINK), code
    for text in (*CARD_TEXTS.payments.values(), *CARD_TEXTS.refunds.values()):
        assert text.en.isascii() and len(text.en) > 5
        assert any("\u4e00" <= character <= "\u9fff" for character in text.zh)
    assert CARD_PLUGIN.texts is CARD_TEXTS


def test_the_code_decides_and_not_its_reason_alone() -> None:
    """A lost card and a stolen one are one reason, and two sentences."""
    lost, stolen = (
        payment_text(Decline(DeclineReason.CARD_CAPTURE, code), "unionpay_card", TEXTS)
        for code in ("41", "43")
    )
    assert (lost.en, stolen.en) == ("Lost card, keep it", "Stolen card, keep it")
    assert (lost.zh, stolen.zh) == ("挂失卡，没收卡", "被窃卡，没收卡")
    at_link = payment_text(Decline(DeclineReason.CHANNEL_UNAVAILABLE, "77"), "unionpay_card", TEXTS)
    assert "sign in" not in at_link.en.lower()
    late = refund_text(Decline(DeclineReason.NOT_PERMITTED, "25"), "unionpay_card", TEXTS)
    assert late is not None
    assert late.en == "Original transaction not found"


async def test_a_code_that_no_table_knows_is_told_as_such() -> None:
    """It is unknown either way; only the one that nobody lists is counted."""
    rig = CardRig()
    await rig.start()
    for code, is_known in (("96", True), ("94", True), ("A0", True), ("Z9", False)):
        rig.host.answer = answering(code)
        answer = await rig.channel.pay(rig.request())
        assert (answer.verdict, answer.unlisted) == (Verdict.UNKNOWN, not is_known), code
        assert is_listed(code) is is_known
    await rig.close()
    assert all(is_listed(code) for code in COMPLETION_CODES)
