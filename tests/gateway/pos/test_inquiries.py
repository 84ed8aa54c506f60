"""What a terminal that heard nothing is told: paid, not paid, still asking."""

import pytest

from sandbox.scenarios import ALIPAY_CODES, CARDS, Scenario
from tests.gateway.pos.foreign_terminal import ForeignTerminal, Reply
from tests.gateway.pos.house import House

CODE = ALIPAY_CODES[Scenario.APPROVED]
CARD = CARDS[Scenario.APPROVED]


def said(answer: Reply) -> str:
    """F62 of an inquiry that was understood."""
    assert answer["39"] == "00"
    return bytes.fromhex(answer["62"]).decode()


async def test_a_paid_sale(till: ForeignTerminal) -> None:
    sale = till.card_sale(CARD.pan, CARD.pin)
    await till.ask("0200", sale)
    assert said(await till.ask("0200", till.inquiry(sale))) == "PGS1100"


async def test_a_declined_sale_says_its_code(till: ForeignTerminal) -> None:
    card = CARDS[Scenario.INSUFFICIENT_FUNDS]
    sale = till.card_sale(card.pan, card.pin)
    await till.ask("0200", sale)
    assert said(await till.ask("0200", till.inquiry(sale))) == "PGS1051"


async def test_a_sale_that_the_channel_has_not_answered(
    house: House, till: ForeignTerminal
) -> None:
    """Asking, until it is known; never "not paid" before."""
    sale = till.scan_sale(ALIPAY_CODES[Scenario.USER_PAYING])
    await till.send(till.pack("0200", sale))
    await house.begun(till, sale["11"])
    second = house.terminal(till.who)
    second.batch, second.mac_key, second.trace = till.batch, till.mac_key, 50
    assert said(await second.ask("0200", second.inquiry(sale))) == "PGS12  "
    assert (await till.receive())["39"] == "00"
    assert said(await second.ask("0200", second.inquiry(sale))) == "PGS1100"


async def test_a_reversed_sale_is_not_paid(house: House, till: ForeignTerminal) -> None:
    sale = till.card_sale(CARD.pan, CARD.pin)
    await till.ask("0200", sale)
    await till.ask("0400", till.reversal(sale))
    assert said(await till.ask("0200", till.inquiry(sale)))[4] == "0"


@pytest.mark.parametrize("asks_twice", [False, True])
async def test_never_seen_is_a_promise(
    house: House, till: ForeignTerminal, asks_twice: bool
) -> None:
    """The sale that comes after it was said is refused, and nobody is charged."""
    sale = till.card_sale(CARD.pan, CARD.pin)
    for _ in range(1 + asks_twice):
        assert said(await till.ask("0200", till.inquiry(sale))) == "PGS13  "
    assert (await till.ask("0200", sale))["39"] == "94"
    assert await house.charged_and_returned() == ([], [])
    assert (await till.ask("0400", till.reversal(sale)))["39"] == "00"


async def test_a_query_by_code_finds_the_newest_sale_with_it(till: ForeignTerminal) -> None:
    first, second = till.scan_sale(CODE), till.scan_sale(CODE, amount_fen=5)
    for sale in (first, second):
        await till.ask("0200", sale)
    answer = await till.ask("0200", till.qr_query(f"A3{len(CODE):03d}{CODE}"))
    assert said(answer) == "PGS1100"
    voucher = f"99100001{till.batch}{first['11']}"
    assert said(await till.ask("0200", till.qr_query(f"A4020{voucher}"))) == "PGS1100"


@pytest.mark.parametrize(
    "tags", ["A3018280000000000009999", "A402099100009000001000001", "A4003123"]
)
async def test_a_query_for_nothing_of_ours_is_25(till: ForeignTerminal, tags: str) -> None:
    assert (await till.ask("0200", till.qr_query(tags)))["39"] == "25"


async def test_a_void_can_be_asked_about(till: ForeignTerminal) -> None:
    """Its money is with the payer; one that was reversed before it came was never seen."""
    sale = till.scan_sale(CODE)
    answer = await till.ask("0200", sale)
    late, void = till.void(sale, answer), till.void(sale, answer)
    await till.ask("0400", till.reversal(late))
    await till.ask("0200", void)
    assert said(await till.ask("0200", till.inquiry(void))) == "PGS1100"
    assert said(await till.ask("0200", till.inquiry(late))) == "PGS13  "
