"""What is refused only for now is not sold later: the till was told no."""

from sandbox.scenarios import CARDS, Scenario
from tests.gateway.pos.foreign_terminal import ForeignTerminal
from tests.gateway.pos.house import House

CARD = CARDS[Scenario.APPROVED]


async def test_a_sale_that_was_refused_while_draining_is_not_sold_by_its_repeat(
    house: House, till: ForeignTerminal
) -> None:
    """96 with a MAC; the same bytes get the same answer, an inquiry says never seen."""
    payments = house.gateway.core.payments
    payments._accepting = False
    sale = till.card_sale(CARD.pan, CARD.pin)
    frame = till.pack("0200", sale)
    refused = await till.ask_raw(frame)
    assert (refused["39"], "64" in refused) == ("96", True)
    payments._accepting = True
    assert (await till.ask_raw(frame)).raw == refused.raw
    assert await house.charges() == []
    told = await till.ask("0200", till.inquiry(sale))
    assert bytes.fromhex(told["62"])[:5] == b"PGS13"
    assert (await till.ask("0400", till.reversal(sale)))["39"] == "00"
    assert (await till.ask("0200", till.card_sale(CARD.pan, CARD.pin)))["39"] == "00"


async def test_the_same_refund_is_not_begun_twice_while_its_end_is_not_known(
    house: House, till: ForeignTerminal
) -> None:
    """22: the cashier heard silence, and the first one is still on its way."""
    sale = till.scan_sale("280000000000000001")
    answer = await till.ask("0200", sale)
    await house.faults("alipay", {"kind": "close", "stage": "before"})
    await till.send(till.pack("0220", till.refund(sale, answer, 500)))
    payment = await house.begun(till, sale["11"])
    while not await house.gateway.store.refunds(payment.order.id):
        pass
    second = house.terminal(till.who)
    second.batch, second.mac_key, second.trace = till.batch, till.mac_key, 60
    assert (await second.ask("0220", second.refund(sale, answer, 500)))["39"] == "22"
    await house.faults("alipay")
    assert (await till.receive())["39"] == "00"
    assert await house.charged_and_returned() == ([1990], [500])
