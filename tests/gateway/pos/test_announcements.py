"""A terminal hears over its open connection what was paid for it elsewhere."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from domain.payment import Payment
from gateway.cli.installation import MERCHANT_NO
from gateway.draft import Draft
from gateway.store.port import Terminal, TillEvent
from gateway.terminal_options import dialect_of, is_pushed_to, sends_operators, shows_codes
from pos_protocol.codec import MAC_BYTES, decode, mac_input
from pos_protocol.dialect import STANDARD
from pos_protocol.fields.payment_status import PaymentState, parse_payment_status
from pos_protocol.message import Message
from sandbox.scenarios import ALIPAY_CODES, CARDS, Scenario
from tests.gateway.pos.conftest import OpenHouse
from tests.gateway.pos.foreign_terminal import ForeignTerminal, mac
from tests.gateway.pos.house import House, Plan

TERMINAL = "99100001"
KNOWS = '{"push":"true"}'
CARD = CARDS[Scenario.APPROVED]


@pytest.fixture
async def house(open_shop: OpenHouse) -> AsyncIterator[House]:
    """A shop whose gateway pushes."""
    async with open_shop(Plan(pos={"push": True})) as opened:
        yield opened


async def ready(house: House, options: str = KNOWS, terminal_id: str = TERMINAL) -> ForeignTerminal:
    """A signed-in terminal that has shown its key on its connection."""
    terminal = house.terminal(await house.provision(terminal_id, options_json=options))
    await terminal.sign_in()
    await terminal.ask("0200", terminal.card_sale(CARD.pan, CARD.pin))
    assert house.gateway.pos_listener.merchants_of(terminal_id)
    return terminal


async def pay(house: House, scenario: Scenario = Scenario.APPROVED, **changes: Any) -> Payment:
    """A payment through the API for a terminal, run to its end."""
    values: dict[str, Any] = {
        "merchant_no": MERCHANT_NO,
        "door": "api",
        "order_key": "n1",
        "fingerprint": b"f" * 16,
        "amount_fen": 1990,
        "currency": "CNY",
        "subject": "tea",
        "method": "auth_code",
        "channel": "alipay",
        "auth_code": ALIPAY_CODES[scenario],
        "terminal_id": TERMINAL,
    }
    payments = house.gateway.core.payments
    begun = await payments.begin(Draft(**(values | changes)))
    assert begun.live is not None
    await payments.run(begun.live)
    await house.settled(begun.payment.order.id)
    return begun.payment


async def pushed(terminal: ForeignTerminal) -> Message:
    """The next message, whose MAC must be right."""
    reader, _ = await terminal.connect()
    async with asyncio.timeout(10):
        size = int.from_bytes(await reader.readexactly(2), "big")
        raw = await reader.readexactly(size)
    assert raw[-MAC_BYTES:].decode() == mac(terminal.who.mac, terminal.mac_key, mac_input(raw))
    return decode(raw, STANDARD)


async def test_what_was_paid_for_a_terminal_is_pushed_to_it(house: House) -> None:
    """Amount, reference, batch and state under its own key, once."""
    terminal = await ready(house)
    payment = await pay(house)
    message = await pushed(terminal)
    assert message.mti == "0820"
    assert message.text(4) == "000000001990"
    assert (message.text(41), message.text(42)) == (TERMINAL, terminal.who.merchant)
    assert message.text(37) == payment.order.id[-12:]
    assert message.text(60) == f"00{terminal.batch}930"
    assert parse_payment_status(message.data(62)).state is PaymentState.PAID
    await pay(house, Scenario.DECLINED, order_key="n2")
    message = await pushed(terminal)
    assert parse_payment_status(message.data(62)).state is PaymentState.NOT_PAID
    assert [line["sent"] for line in house.events("terminal told")] == [True, True]


async def test_only_a_terminal_that_knows_pushes_gets_one(house: House) -> None:
    """What is not its own, and what it sold itself, it hears not of either."""
    plain = await ready(house, "{}", "99100002")
    knows = await ready(house)
    await pay(house, terminal_id="99100002")
    await pay(house, order_key="n2", merchant_no=MERCHANT_NO, terminal_id="99100009")
    sale = await knows.ask("0200", knows.card_sale(CARD.pan, CARD.pin))
    assert sale["39"] == "00"
    await pay(house, order_key="n3")
    assert (await pushed(knows)).text(4) == "000000001990"
    echo = await plain.ask("0820", plain.echo())
    assert echo["t"] == "0830"
    assert [line["terminal_id"] for line in house.events("terminal told")] == [TERMINAL]


async def test_another_merchants_terminal_of_this_number_is_not_told(house: House) -> None:
    """The number of a terminal alone says nothing."""
    await ready(house)
    payment = await pay(house, terminal_id="")
    feed = house.gateway.core.feed
    told = (await feed._followed.told([payment.order.id]))[payment.order.id]
    assert feed._push is not None
    for merchant_no, lines in (("M9999", 0), (MERCHANT_NO, 1)):
        event = TillEvent(
            position=1,
            merchant_no=merchant_no,
            store_id="",
            terminal_id=TERMINAL,
            payment_id=payment.order.id,
            previous="submitted",
            status="succeeded",
        )
        assert feed._push.reaches(event)
        await feed._push.push(event, told)
        assert len(house.events("terminal told")) == lines


def test_the_option_says_who_knows_and_changes_nothing_of_the_dialect() -> None:
    extensions = {"push": is_pushed_to, "live_code": shows_codes, "operator_pin": sends_operators}
    for name, knows in extensions.items():
        allowed = f'{{"{name}":"true"}}'
        assert [knows(provisioned(one)) for one in (allowed, "{}", f'{{"{name}":"false"}}')] == [
            True,
            False,
            False,
        ]
        assert dialect_of("3des", "cup-ecb", allowed) is STANDARD


def provisioned(options: str) -> Terminal:
    return Terminal(
        merchant_no=MERCHANT_NO,
        terminal_id=TERMINAL,
        key_scheme="3des",
        mac="cup-ecb",
        allow_weak_pin=False,
        tmk_sealed=b"",
        tmk_kcv="",
        created_at_ms=1,
        options_json=options,
    )
