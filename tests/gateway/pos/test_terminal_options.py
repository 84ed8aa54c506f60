"""Each terminal is spoken to as its options say; what it may send is not narrowed by them."""

import pytest

from domain.errors import ConfigurationError
from gateway.terminal_options import dialect_of, option_words
from pos_protocol.card import magnetic_card
from pos_protocol.codec import body_offset
from pos_protocol.dialect import STANDARD
from sandbox.scenarios import ALIPAY_CODES, CARDS, Scenario
from tests.gateway.pos.house import House
from tests.gateway.pos.optional_terminal import OptionalTerminal

CARD = CARDS[Scenario.APPROVED]
CODE = ALIPAY_CODES[Scenario.APPROVED]


async def opened(house: House, options: str, scheme: str, mac: str) -> OptionalTerminal:
    """A signed-in terminal of these options."""
    who = await house.provision(weak_pin=True, options_json=options, scheme=scheme, mac=mac)
    till = OptionalTerminal(who, options, house.pos_port)
    assert (await till.exchange(till.terminal.sign_in())).approved
    return till


@pytest.mark.parametrize(
    ("options", "scheme", "mac"),
    [
        ("{}", "sm4", "cup-sm4"),
        ('{"f64":"raw"}', "3des", "cup-ecb"),
        ('{"f64":"raw"}', "sm4", "cup-sm4"),
        ('{"mak_bytes":"16"}', "3des", "cup-ecb"),
        ('{"header":"none"}', "3des", "cup-ecb"),
        ('{"header":"routed","tpdu":"echo"}', "3des", "x9.19"),
        ('{"pad":"F"}', "3des", "x9.9"),
        ('{"f60_digits":"12"}', "3des", "cup-ecb"),
        ('{"encrypts_tracks":"true"}', "3des-tdk", "cup-ecb"),
        ('{"encrypts_tracks":"true","mak_bytes":"16","f64":"raw","header":"none"}', "3des-tdk",
         "cup-ecb"),
    ],
)  # fmt: skip
async def test_every_option_sells_by_card_and_by_code(
    house: House, options: str, scheme: str, mac: str
) -> None:
    """Approved with a MAC that checks, and the whole card arrives at the card host."""
    till = await opened(house, options, scheme, mac)
    card = magnetic_card(CARD.pan, "3012")
    pin = CARD.pin if scheme != "sm4" else ""
    outcome = await till.exchange(till.terminal.sale(card, 1990, pin))
    assert (outcome.approved, outcome.fault) == (True, None)
    outcome = await till.exchange(till.terminal.qr_sale(CODE, 500))
    assert (outcome.approved, outcome.fault) == (True, None)
    reversed_ = await till.exchange(till.terminal.reversal(till.terminal.qr_sale(CODE, 7)))
    assert reversed_.is_reversal_done
    till.hang_up()
    charged, returned = await house.charged_and_returned()
    assert (sorted(charged), any(returned)) == ([500, 1990], False)


async def test_the_envelope_is_answered_as_the_options_say(house: House) -> None:
    """Without header, behind a routing block, with addresses as they came."""
    till = await opened(house, '{"header":"none"}', "3des", "cup-ecb")
    await till.exchange(till.terminal.echo())
    assert body_offset(till.came) == body_offset(till.sent) == 5
    till.hang_up()
    who = await house.provision("99100007", options_json='{"header":"routed","tpdu":"echo"}')
    routed = OptionalTerminal(who, '{"header":"routed","tpdu":"echo"}', house.pos_port)
    assert (await routed.exchange(routed.terminal.echo())).approved
    assert body_offset(routed.came) == 25
    assert routed.came[:5] == routed.sent[:5]
    routed.hang_up()


async def test_a_mac_of_the_other_form_is_not_taken(house: House) -> None:
    """A0: raw where characters are agreed, and the other way round."""
    who = await house.provision(options_json='{"f64":"raw"}')
    till = OptionalTerminal(who, "{}", house.pos_port)
    assert (await till.exchange(till.terminal.sign_in())).approved
    outcome = await till.exchange(till.terminal.qr_sale(CODE, 500))
    assert outcome.response_code == "A0"
    till.hang_up()


def test_equal_options_share_one_dialect_and_none_is_the_standard() -> None:
    assert dialect_of("3des", "cup-ecb", "{}") is STANDARD
    assert dialect_of("3des", "x9.19", "{}") is dialect_of("3des", "x9.19", "{}")
    assert dialect_of("3des", "x9.19", "{}").mak_bytes == 16


@pytest.mark.parametrize(
    ("scheme", "mac", "options", "said"),
    [
        ("3des", "cup-ecb", "[1]", "not a JSON object"),
        ("3des", "cup-ecb", "{", "not JSON"),
        ("3des", "cup-ecb", '{"colour":"red"}', "colour is none of"),
        ("3des", "cup-ecb", '{"pad":"f"}', "pad is one of"),
        ("3des", "cup-ecb", '{"mak_bytes":16}', "mak_bytes is one of"),
        ("3des", "x9.9", '{"mak_bytes":"16"}', "x9.9 takes no MAC key of 16 bytes"),
        ("des", "cup-ecb", '{"mak_bytes":"16"}', "mak_bytes is at most 8"),
        ("des", "x9.19", "{}", "mak_bytes is at most 8"),
        ("3des", "cup-ecb", '{"mak_bytes":"24"}', "mak_bytes is at most 16"),
        ("3des", "cup-ecb", '{"encrypts_tracks":"true"}', "needs the scheme 3des-tdk"),
        ("sm4", "cup-ecb", "{}", "go together"),
        ("3des", "cup-sm4", "{}", "go together"),
    ],
)
def test_an_option_that_cannot_be_is_named(scheme: str, mac: str, options: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        dialect_of(scheme, mac, options)


def test_every_option_has_words() -> None:
    assert all(option_words().values())
