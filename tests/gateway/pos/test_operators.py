"""An operator lets a terminal's payment through: by an encrypted PIN, tried a few times only."""

import pytest

from domain.limits import Limit
from gateway.cli.installation import MERCHANT_NO
from gateway.pin_hash import hash_pin
from gateway.store.shop_records import Operator
from sandbox.scenarios import ALIPAY_CODES, CARDS, Scenario
from tests.gateway.pos.foreign_terminal import Fields, ForeignTerminal, pin_block
from tests.gateway.pos.house import House

CARD = CARDS[Scenario.APPROVED]
CODE = ALIPAY_CODES[Scenario.APPROVED]
PIN = "402718"
TERMINAL = "99100001"
KNOWS = '{"operator_pin":"true"}'


@pytest.fixture
async def till(house: House) -> ForeignTerminal:
    """A terminal that knows operators, above a small-amount limit."""
    clerk = Operator(
        merchant_no=MERCHANT_NO, operator_id="01", name="Wang", pin_hash=hash_pin(PIN),
        created_at_ms=1,
    )  # fmt: skip
    await house.gateway.store.add_operator(clerk)
    await house.gateway.store.set_limit(Limit(merchant_no=MERCHANT_NO, small_fen=1989), 1)
    house.clock.ahead_s += 11
    terminal = house.terminal(await house.provision(TERMINAL, options_json=KNOWS))
    await terminal.sign_in()
    return terminal


def with_operator(
    till: ForeignTerminal, fields: Fields, pin: str = PIN, operator: str = "01", of: str = ""
) -> Fields:
    """A request with F58; ``of`` binds its block to another trace."""
    block = pin_block(till.pin_key, pin, f"{till.batch}{of or fields['11']}0")
    return {**fields, "58": f"PGO1{block.upper()}{operator}"}


async def test_the_right_pin_sells_by_card_and_by_code(house: House, till: ForeignTerminal) -> None:
    """Once for each message; a repeat is the kept answer, and no PIN is in the log."""
    for sale in (till.card_sale(CARD.pan, CARD.pin), till.scan_sale(CODE)):
        frame = till.pack("0200", with_operator(till, sale))
        sold = await till.ask_raw(frame)
        assert sold["39"] == "00"
        assert (await till.ask_raw(frame)).raw == sold.raw
    assert [one["charged_fen"] for one in await house.charges()] == [1990, 1990]
    assert {line["operator_id"] for line in house.events("operator let it through")} == {"01"}
    assert PIN.encode() not in house.log


async def test_wrong_pins_lock_the_operator(house: House, till: ForeignTerminal) -> None:
    """61 each, as without a PIN; after five the right one is 61 as well."""
    assert (await till.ask("0200", till.card_sale(CARD.pan, CARD.pin)))["39"] == "61"
    for _ in range(5):
        wrong = with_operator(till, till.card_sale(CARD.pan, CARD.pin), pin="111222")
        assert (await till.ask("0200", wrong))["39"] == "61"
    right = with_operator(till, till.card_sale(CARD.pan, CARD.pin))
    assert (await till.ask("0200", right))["39"] == "61"
    assert await house.charges() == []
    rules = [line["rule"] for line in house.events("over a limit")]
    assert rules == ["operator_pin_needed", *["operator_pin_wrong"] * 5, "operator_locked"]


async def test_a_message_sent_again_neither_costs_nor_forgets_tries(
    house: House, till: ForeignTerminal
) -> None:
    """Whoever recorded a right PIN's message cannot buy tries, nor a wrong one's lock anybody."""
    sold = till.pack("0200", with_operator(till, till.card_sale(CARD.pan, CARD.pin)))
    assert (await till.ask_raw(sold))["39"] == "00"
    frames = []
    for _ in range(3):
        wrong = with_operator(till, till.card_sale(CARD.pan, CARD.pin), pin="111222")
        frames.append(till.pack("0200", wrong))
        assert (await till.ask_raw(frames[-1]))["39"] == "61"
        assert (await till.ask_raw(sold))["39"] == "00"
    operator = await house.gateway.store.operator(MERCHANT_NO, "01")
    assert operator is not None
    assert operator.tries == 3, "a right PIN that was heard before forgets none"
    for frame in frames:
        assert (await till.ask_raw(frame))["39"] == "61"
    operator = await house.gateway.store.operator(MERCHANT_NO, "01")
    assert operator is not None
    assert operator.tries == 3, "a wrong PIN that was heard before costs none"
    assert len(house.events("operator let it through")) == 1


async def test_a_block_is_good_for_its_own_message_alone(
    house: House, till: ForeignTerminal
) -> None:
    """Taken from another message, under another key or of no form: nothing is tried or sold."""
    sale = till.card_sale(CARD.pan, CARD.pin)
    moved = with_operator(till, sale, of="999999")
    assert (await till.ask("0200", moved))["39"] in ("99", "61")
    for bad in ("PGO1", "PGO1" + "0" * 16, "PGO2" + "0" * 16 + "01", "PGO1" + "G" * 16 + "01"):
        refused = await till.ask("0200", {**till.card_sale(CARD.pan, CARD.pin), "58": bad})
        assert refused["39"] == "30", bad
    assert await house.charges() == []


async def test_a_terminal_without_the_option_is_not_listened_to(
    house: House, till: ForeignTerminal
) -> None:
    plain = house.terminal(await house.provision("99100002", options_json="{}"))
    await plain.sign_in()
    sale = with_operator(plain, plain.card_sale(CARD.pan, CARD.pin))
    assert (await plain.ask("0200", sale))["39"] == "61"
    assert await house.charges() == []
