"""A card's balance: told in F54, kept nowhere."""

from sandbox.scenarios import CARDS, Scenario
from tests.gateway.pos.foreign_terminal import Fields, ForeignTerminal
from tests.gateway.pos.house import House, until

CARD = CARDS[Scenario.APPROVED]


def inquiry(till: ForeignTerminal) -> Fields:
    """A 0200 余额查询."""
    sale = till.card_sale(CARD.pan, CARD.pin, changes={"4": "", "3": "310000"})
    return sale | {"60": f"01{till.batch}00020"}


async def test_a_balance_is_told_and_nothing_is_kept(house: House, till: ForeignTerminal) -> None:
    """00 with F54 and a MAC; no payment, no charge."""
    asked = inquiry(till)
    answer = await till.ask("0200", asked)
    assert (answer["39"], "64" in answer, len(answer["54"]) % 20) == ("00", True, 0)
    assert answer["54"][4:8] == "156C"
    assert await house.payment(till, asked["11"]) is None
    assert await house.charges() == []
    assert answer["54"].encode() not in house.log


async def test_a_card_host_that_is_away_is_91(house: House, till: ForeignTerminal) -> None:
    """Said at once, and the next one is answered when it is back."""
    await house.stop_sandbox()
    await until(lambda: not house.card_link_is_up())
    assert (await till.ask("0200", inquiry(till)))["39"] == "91"
    await house.start_sandbox()
    await until(house.card_link_is_up)
    assert (await till.ask("0200", inquiry(till)))["39"] == "00"
