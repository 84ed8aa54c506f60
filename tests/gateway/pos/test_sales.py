"""Sales by card and by scanned code, and what is refused before anything happens."""

import pytest

from sandbox.scenarios import ALIPAY_CODES, CARDS, Scenario
from tests.gateway.pos.conftest import OpenHouse
from tests.gateway.pos.foreign_terminal import Fields, ForeignTerminal, pin_block
from tests.gateway.pos.house import House, Plan, until

CARD = CARDS[Scenario.APPROVED]
CODE = ALIPAY_CODES[Scenario.APPROVED]
CHIP = bytes.fromhex("9F2608A1B2C3D4E5F607189F2701809F3602001A82021C009505000000000084")[:-1]


async def test_a_magnetic_sale_with_pin(house: House, till: ForeignTerminal) -> None:
    """0210 repeats what was asked, adds the host's fields, and is charged once."""
    sale = till.card_sale(CARD.pan, CARD.pin)
    answer = await till.ask("0200", sale)
    assert (answer["t"], answer["39"]) == ("0210", "00")
    for name in ("2", "3", "4", "11", "14", "25", "41", "42", "49", "53", "60"):
        assert answer[name] == sale[name]
    assert len(answer["37"]) == 12 and len(answer["38"]) == 6 and "64" in answer
    assert not {"35", "36", "52"} & answer.fields.keys()
    assert await house.charged_and_returned() == ([1990], [0])
    assert await house.ended(till, sale["11"]) == "succeeded"


async def test_a_chip_sale_gets_the_issuers_data(house: House, till: ForeignTerminal) -> None:
    """F55 goes to the host and its answer comes back with tag 91."""
    answer = await till.ask("0200", till.card_sale(CARD.pan, CARD.pin, chip=CHIP))
    assert answer["39"] == "00"
    assert answer["55"].startswith("910A")
    assert await house.charged_and_returned() == ([1990], [0])


async def test_a_pin_block_without_the_pan(house: House, till: ForeignTerminal) -> None:
    """F53 beginning 1: the block is opened without the PAN; the right PIN is approved."""
    for pin, code in ((CARD.pin, "00"), ("999999", "55")):
        block = pin_block(till.pin_key, pin, CARD.pan, with_pan=False)
        changes = {"52": block, "53": "1600000000000000"}
        sale = till.card_sale(CARD.pan, pin, changes=changes)
        assert (await till.ask("0200", sale))["39"] == code


async def test_a_sale_with_the_pan_in_track_2_only(house: House, till: ForeignTerminal) -> None:
    """Many terminals send no F2 for a swipe."""
    answer = await till.ask("0200", till.card_sale(CARD.pan, CARD.pin, changes={"2": ""}))
    assert answer["39"] == "00"


async def test_a_sale_by_scanned_code(house: House, till: ForeignTerminal) -> None:
    """F22 = 032 and F59 A3: charged at Alipay once, answered with a MAC."""
    sale = till.scan_sale(CODE)
    answer = await till.ask("0200", sale)
    assert (answer["t"], answer["39"]) == ("0210", "00")
    for name in ("3", "4", "11", "25", "41", "42", "49", "60"):
        assert answer[name] == sale[name]
    (charge,) = await house.charges()
    payment = await house.begun(till, sale["11"])
    assert (charge["channel"], charge["charged_fen"]) == ("alipay", 1990)
    assert charge["order_no"] == payment.order.channel_order_no
    assert await house.ended(till, sale["11"]) == "succeeded"


@pytest.mark.parametrize(
    ("scenario", "code"), [(Scenario.INSUFFICIENT_FUNDS, "51"), (Scenario.WRONG_PIN, "55")]
)
async def test_a_declined_card(
    house: House, till: ForeignTerminal, scenario: Scenario, code: str
) -> None:
    """The host's own code reaches the terminal; the order has failed and cost nothing."""
    card = CARDS[scenario]
    sale = till.card_sale(card.pan, card.pin)
    answer = await till.ask("0200", sale)
    assert (answer["39"], "38" in answer) == (code, False)
    assert await house.ended(till, sale["11"]) == "failed"
    assert await house.charges() == []


async def test_a_declined_code(house: House, till: ForeignTerminal) -> None:
    """Alipay's "balance not enough" is 51."""
    sale = till.scan_sale(ALIPAY_CODES[Scenario.DECLINED])
    assert (await till.ask("0200", sale))["39"] == "51"
    assert await house.ended(till, sale["11"]) == "failed"


async def test_a_payer_who_types_a_password(house: House, till: ForeignTerminal) -> None:
    """The terminal waits while the payer acts, and hears 00 when he has paid."""
    sale = till.scan_sale(ALIPAY_CODES[Scenario.USER_PAYING])
    assert (await till.ask("0200", sale))["39"] == "00"
    assert await house.ended(till, sale["11"]) == "succeeded"
    assert await house.charged_and_returned() == ([1990], [0])


async def test_a_bad_mac_is_a0_and_nothing_happens(house: House, till: ForeignTerminal) -> None:
    """One wrong letter of F64: refused, not stored, not charged; the right one still sells."""
    for sale in (till.card_sale(CARD.pan, CARD.pin), till.scan_sale(CODE)):
        assert (await till.ask("0200", sale, spoil_mac=True))["39"] == "A0"
        assert await house.payment(till, sale["11"]) is None
        assert await house.charges() == []
    assert (await till.ask("0200", sale))["39"] == "00"


async def test_a_changed_amount_under_the_old_mac_is_a0(
    house: House, till: ForeignTerminal
) -> None:
    """The MAC covers the amount: a frame altered on its way sells nothing."""
    sale = till.card_sale(CARD.pan)
    frame = till.pack("0200", sale)
    altered = frame.replace(bytes.fromhex("000000001990"), bytes.fromhex("000000000001"))
    assert altered != frame
    assert (await till.ask_raw(altered))["39"] == "A0"
    assert await house.payment(till, sale["11"]) is None


async def test_a_sale_without_a_mac_is_a0(house: House, till: ForeignTerminal) -> None:
    """F64 left out altogether."""
    sale = till.card_sale(CARD.pan)
    assert (await till.ask_raw(till.pack("0200", sale | {"64": ""})))["39"] == "A0"
    assert await house.charges() == []


async def test_a_mac_of_another_terminal_is_a0(house: House, till: ForeignTerminal) -> None:
    """Keys are the terminal's own: another's MAC is no MAC."""
    other = await house.signed_in("99100002")
    till.mac_key = other.mac_key
    assert (await till.ask("0200", till.card_sale(CARD.pan)))["39"] == "A0"
    assert await house.charges() == []


async def test_an_unknown_terminal_is_97(house: House, till: ForeignTerminal) -> None:
    """Another F41, or a known F41 under another merchant, whatever it asks."""
    stranger: Fields
    for stranger in ({"41": "99999999"}, {"42": "990000000000002"}):
        for mti, fields in (
            ("0800", till.sign_in_fields()),
            ("0820", till.echo()),
            ("0200", till.card_sale(CARD.pan)),
            ("0400", till.reversal(till.card_sale(CARD.pan))),
        ):
            assert (await till.ask(mti, fields | stranger))["39"] == "97"
    assert await house.charges() == []


async def test_no_sign_in_is_77(house: House) -> None:
    """A sale and a reversal before the first sign-in."""
    terminal = house.terminal(await house.provision())
    for sale in (terminal.card_sale(CARD.pan), terminal.scan_sale(CODE)):
        assert (await terminal.ask("0200", sale))["39"] == "77"
        assert (await terminal.ask("0400", terminal.reversal(sale)))["39"] == "77"
        assert await house.payment(terminal, sale["11"]) is None


async def test_another_batch_is_77(house: House, till: ForeignTerminal) -> None:
    """The batch is the one that the sign-in told."""
    till.batch = "000002"
    sale = till.card_sale(CARD.pan)
    assert (await till.ask("0200", sale))["39"] == "77"
    assert await house.payment(till, sale["11"]) is None
    assert await house.charges() == []


@pytest.mark.parametrize("field", ["3", "4", "11", "22", "25", "49", "60"])
async def test_a_missing_field_is_30(house: House, till: ForeignTerminal, field: str) -> None:
    """Every field that a sale must have, left out under a right MAC; then a whole one sells."""
    assert (await till.ask("0200", till.card_sale(CARD.pan, changes={field: ""})))["39"] == "30"
    missing = "2" if field == "35" else field
    assert f"fields missing: {missing}" in house.events("pos message")[-1]["reason"]
    assert await house.charges() == []
    assert (await till.ask("0200", till.card_sale(CARD.pan)))["39"] == "00"


async def test_a_scan_without_a_code_is_30(house: House, till: ForeignTerminal) -> None:
    """No F59, or one without A3."""
    for changes in ({"59": ""}, {"59": "A200501001"}, {"59": "A3099281"}):
        answer = await till.ask("0200", till.scan_sale(CODE, changes=changes))
        assert answer["39"] == "30"
    assert await house.charges() == []


async def test_a_card_sale_without_a_card_is_30(house: House, till: ForeignTerminal) -> None:
    """Neither F2 nor track 2."""
    sale = till.card_sale(CARD.pan, changes={"2": "", "35": ""})
    assert (await till.ask("0200", sale))["39"] == "30"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"4": "000000000000"}, "13"),
        ({"49": "840"}, "40"),
        ({"49": "CNY"}, "40"),
    ],
)
async def test_an_amount_that_cannot_be_paid(
    house: House, till: ForeignTerminal, changes: Fields, code: str
) -> None:
    """Zero is 13, another currency than 156 is refused; nothing is stored."""
    for sale in (
        till.card_sale(CARD.pan, changes=changes),
        till.scan_sale(CODE, changes=changes),
    ):
        assert (await till.ask("0200", sale))["39"] == code
        assert await house.payment(till, sale["11"]) is None


@pytest.mark.parametrize(
    ("code", "refusal"),
    [
        ("990000000000000001", "14"),
        ("4111111111111111", "14"),
        ("0" * 24, "14"),
        ("x8000000000000001", "30"),
        ("2", "30"),
        ("28" * 30, "30"),
    ],
)
async def test_a_code_of_no_wallet_is_a_clear_decline(
    house: House, till: ForeignTerminal, code: str, refusal: str
) -> None:
    """14 (30 for what is no code at all), nothing stored, and the till goes on selling."""
    sale = till.scan_sale(code)
    assert (await till.ask("0200", sale))["39"] == refusal
    assert await house.payment(till, sale["11"]) is None
    assert (await till.ask("0200", till.scan_sale(CODE)))["39"] == "00"


async def test_a_wallet_that_has_no_account_here_is_a_clear_decline(
    house: House, till: ForeignTerminal
) -> None:
    """WeChat and UnionPay codes are known; without an account they are refused, not stored."""
    for code in ("134567890123456789", "6212345678901234567"):
        sale = till.scan_sale(code)
        assert (await till.ask("0200", sale))["39"] not in ("00", "96")
        assert await house.payment(till, sale["11"]) is None


async def test_a_malformed_pin_block_is_99(house: House, till: ForeignTerminal) -> None:
    """A block under another key is no PIN block: 99, and the host is not asked."""
    sale = till.card_sale(CARD.pan, CARD.pin, changes={"52": "0123456789ABCDEF"})
    assert (await till.ask("0200", sale))["39"] == "99"
    assert await house.charges() == []


@pytest.mark.parametrize("pan", ["990000000000001", "99000000000", "4" * 19])
async def test_a_card_that_is_none(house: House, till: ForeignTerminal, pan: str) -> None:
    """Too short, wrong check digit, another issuer's range: a decline, never 00 or 96."""
    sale = till.card_sale(pan, changes={"2": pan, "35": ""})
    assert (await till.ask("0200", sale))["39"] in ("14", "15")
    assert await house.charges() == []


@pytest.mark.parametrize(
    ("mti", "changes"),
    [
        ("0200", {"25": "64"}),  # instalments
        ("0200", {"25": "65"}),  # points
        ("0200", {"3": "990000"}),  # nothing of the dialect
        ("0200", {"60": "9900000100050"}),
    ],
)
async def test_what_is_not_open_is_40(
    house: House, till: ForeignTerminal, mti: str, changes: Fields
) -> None:
    """A transaction that this gateway does not take is refused and charges nothing."""
    sale = till.card_sale(CARD.pan) | changes
    assert (await till.ask(mti, sale))["39"] == "40"
    assert await house.charges() == []
    assert (await till.ask("0200", till.card_sale(CARD.pan)))["39"] == "00"


async def test_management_that_is_not_open_is_40(house: House, till: ForeignTerminal) -> None:
    """Master keys over the air, electronic receipts: refused, the terminal stays signed in."""
    own = {"41": till.who.terminal_id, "42": till.who.merchant}
    for mti, fields in (
        ("0800", own | {"60": "00000001400"}),
        ("0820", own | {"60": "00000001800"}),
    ):  # fmt: skip
        assert (await till.ask(mti, fields))["39"] == "40"
    assert (await till.ask("0200", till.card_sale(CARD.pan)))["39"] == "00"


async def test_a_card_host_that_is_down_is_91_at_once(open_shop: OpenHouse) -> None:
    """No link, no waiting: 91, and it cannot come any more; codes still sell; then cards again."""
    async with open_shop(Plan(card_timeout_s="7")) as house:
        till = await house.signed_in()
        await house.stop_sandbox()
        await until(lambda: not house.card_link_is_up())
        sale = till.card_sale(CARD.pan, CARD.pin)
        assert (await till.ask("0200", sale))["39"] == "91"
        payment = await house.begun(till, sale["11"])
        assert payment.standing.status.value == "closed"
        await house.start_sandbox()
        assert (await till.ask("0200", till.scan_sale(CODE)))["39"] == "00"
        await until(house.card_link_is_up)
        assert (await till.ask("0200", till.card_sale(CARD.pan, CARD.pin)))["39"] == "00"
