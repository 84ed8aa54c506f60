"""The same message twice: one effect, and the first reply byte for byte."""

import asyncio

import pytest

from sandbox.scenarios import ALIPAY_CODES, CARDS, Scenario
from tests.gateway.pos.foreign_terminal import Fields, ForeignTerminal, pin_block
from tests.gateway.pos.house import House

CARD = CARDS[Scenario.APPROVED]
CODE = ALIPAY_CODES[Scenario.APPROVED]
SLOW_HOST = {"kind": "delay", "match": "0200", "delay_ms": 400}
SLOW_PAY = {"kind": "delay", "match": "alipay.trade.pay", "delay_ms": 400}


def sale_of(till: ForeignTerminal, method: str) -> Fields:
    """A sale by ``card`` or ``code``."""
    return till.card_sale(CARD.pan, CARD.pin) if method == "card" else till.scan_sale(CODE)


@pytest.mark.parametrize("method", ["card", "code"])
async def test_an_identical_repeat_gets_the_stored_reply(
    house: House, till: ForeignTerminal, method: str
) -> None:
    """At once, on another connection, after another sign-in and after a restart."""
    frame = till.pack("0200", sale_of(till, method))
    first = await till.ask_raw(frame)
    assert first["39"] == "00"
    assert (await till.ask_raw(frame)).raw == first.raw
    till.hang_up()
    assert (await till.ask_raw(frame)).raw == first.raw
    await house.restart_gateway()
    assert (await till.ask_raw(frame)).raw == first.raw
    assert await house.charged_and_returned() == ([1990], [0])


@pytest.mark.parametrize("scenario", [Scenario.INSUFFICIENT_FUNDS, Scenario.WRONG_PIN])
async def test_a_repeated_decline_is_the_stored_decline(
    house: House, till: ForeignTerminal, scenario: Scenario
) -> None:
    """A repeat is not a second try at the card host."""
    frame = till.pack("0200", till.card_sale(CARDS[scenario].pan, CARDS[scenario].pin))
    first = await till.ask_raw(frame)
    assert first["39"] in ("51", "55")
    assert (await till.ask_raw(frame)).raw == first.raw


async def test_a_repeat_with_another_pin_block_and_mac_is_the_same_sale(
    house: House, till: ForeignTerminal
) -> None:
    """F52, F53, F55 and F64 do not count: keys may have changed in between.

    The reply is the same but for its MAC, which the terminal could not check any more.
    """
    sale = till.card_sale(CARD.pan, CARD.pin)
    first = await till.ask("0200", sale)
    await till.sign_in()
    again = await till.ask("0200", sale | {"52": pin_block(till.pin_key, CARD.pin, CARD.pan)})
    assert again.raw[:-8] == first.raw[:-8]
    assert again["64"] != first["64"]
    assert await house.charged_and_returned() == ([1990], [0])


@pytest.mark.parametrize("method", ["card", "code"])
async def test_repeats_while_the_first_is_in_flight(
    house: House, till: ForeignTerminal, method: str
) -> None:
    """Five copies on three connections while the channel thinks: one charge, one reply."""
    await house.faults("unionpay_card", SLOW_HOST)
    await house.faults("alipay", SLOW_PAY)
    frame = till.pack("0200", sale_of(till, method))
    others = [house.terminal(till.who), house.terminal(till.who)]
    for other in others:
        other.mac_key = till.mac_key
    await till.send(frame * 2)
    await asyncio.gather(*(other.send(frame) for other in others))
    await till.send(frame)
    replies = [await till.receive() for _ in range(3)]
    replies += [await other.receive() for other in others]
    assert {reply.raw for reply in replies} == {replies[0].raw}
    assert replies[0]["39"] == "00"
    assert await house.charged_and_returned() == ([1990], [0])


@pytest.mark.parametrize(
    "other", [{"4": "000000000100"}, {"22": "012"}, {"14": "2912"}, {"2": CARDS[Scenario.WRONG_PIN].pan}]
)  # fmt: skip
async def test_a_repeated_trace_with_other_content_is_94(
    house: House, till: ForeignTerminal, other: Fields
) -> None:
    """In flight and afterwards; the first sale is not disturbed."""
    await house.faults("unionpay_card", SLOW_HOST)
    sale = till.card_sale(CARD.pan, CARD.pin)
    await till.send(till.pack("0200", sale))
    await house.begun(till, sale["11"])
    assert (await till.ask("0200", sale | other))["39"] == "94"
    assert (await till.receive())["39"] == "00"
    assert (await till.ask("0200", sale | other))["39"] == "94"
    assert (await till.ask("0200", sale))["39"] == "00"
    assert await house.charged_and_returned() == ([1990], [0])


async def test_the_same_trace_by_card_and_by_code_is_94(
    house: House, till: ForeignTerminal
) -> None:
    """One trace is one sale, whatever it is paid with."""
    assert (await till.ask("0200", till.card_sale(CARD.pan, CARD.pin)))["39"] == "00"
    till.trace -= 1
    assert (await till.ask("0200", till.scan_sale(CODE)))["39"] == "94"
    assert await house.charged_and_returned() == ([1990], [0])


async def test_the_same_trace_at_another_terminal_is_another_sale(
    house: House, till: ForeignTerminal
) -> None:
    """The key holds the terminal."""
    other = await house.signed_in("99100002")
    sales = till.card_sale(CARD.pan, CARD.pin), other.card_sale(CARD.pan, CARD.pin)
    assert sales[0]["11"] == sales[1]["11"]
    assert (await till.ask("0200", sales[0]))["39"] == "00"
    assert (await other.ask("0200", sales[1]))["39"] == "00"
    assert await house.charged_and_returned() == ([1990, 1990], [0, 0])


@pytest.mark.parametrize("method", ["card", "code"])
async def test_a_terminal_that_hangs_up_in_the_middle_of_a_sale(
    house: House, till: ForeignTerminal, method: str
) -> None:
    """The sale is finished without it, and the repeat gets its reply."""
    await house.faults("unionpay_card", SLOW_HOST)
    await house.faults("alipay", SLOW_PAY)
    sale = sale_of(till, method)
    frame = till.pack("0200", sale)
    await till.send(frame)
    await house.begun(till, sale["11"])
    till.hang_up()
    assert await house.ended(till, sale["11"]) == "succeeded"
    assert (await till.ask_raw(frame))["39"] == "00"
    assert await house.charged_and_returned() == ([1990], [0])


async def test_a_peer_that_has_closed_its_half_still_gets_its_reply(
    house: House, till: ForeignTerminal
) -> None:
    """A terminal that sends one message and shuts its sending side hears the answer."""
    await house.faults("unionpay_card", SLOW_HOST)
    await till.send(till.pack("0200", till.card_sale(CARD.pan, CARD.pin)))
    _, writer = await till.connect()
    writer.write_eof()
    assert (await till.receive())["39"] == "00"
    assert await till.hears_hang_up() == b""
