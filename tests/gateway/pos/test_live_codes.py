"""A terminal that shows a code: asked for, renewed, paid by any wallet, told and asked about."""

from collections.abc import AsyncIterator

import orjson
import pytest
from aiohttp import ClientSession

from domain.limits import Limit
from gateway.checkout.port import Payer, Start
from gateway.cli.installation import MERCHANT_NO
from pos_protocol.fields.live_code import parse_shown_code
from pos_protocol.fields.payment_status import PaymentState, parse_payment_status
from sandbox.scenarios import CARDS, Scenario
from tests.gateway.pos.conftest import OpenHouse
from tests.gateway.pos.foreign_terminal import Fields, ForeignTerminal, Reply
from tests.gateway.pos.house import House, Plan
from tests.gateway.pos.test_announcements import pushed

TERMINAL = "99100001"
KNOWS = '{"live_code":"true","push":"true"}'
CARD = CARDS[Scenario.APPROVED]
PAYER = Payer(wallet="alipay", payer_id="2088100000000001")


@pytest.fixture
async def house(open_shop: OpenHouse) -> AsyncIterator[House]:
    """A shop with a public address, which pushes."""
    plan = Plan(pos={"push": True}, http={"public_url": "https://pay.example"})
    async with open_shop(plan) as opened:
        yield opened


async def ready(house: House, options: str = KNOWS) -> ForeignTerminal:
    terminal = house.terminal(await house.provision(TERMINAL, options_json=options))
    await terminal.sign_in()
    return terminal


def asking(terminal: ForeignTerminal, amount_fen: int = 1990, trace: str = "") -> Fields:
    """The 0200 that asks for a code."""
    return {
        **terminal._self(),
        "3": "390000",
        "4": f"{amount_fen:012d}",
        "11": trace or terminal.next_trace(),
        "25": "00",
        "49": "156",
        "60": f"93{terminal.batch}000",
    }


def shown(answer: Reply) -> str:
    """The code that an answer brings."""
    assert answer["39"] == "00"
    return parse_shown_code(bytes.fromhex(answer["62"])).code


def state(answer: Reply) -> PaymentState:
    """What an answer says of an order."""
    assert answer["39"] == "00"
    return parse_payment_status(bytes.fromhex(answer["62"])).state


async def pays(house: House, code: str) -> None:
    """A payer scans it, and pays."""
    pages = house.gateway.core.checkouts
    order = await pages.scanned(code.rpartition("/")[2])
    assert order is not None
    begun = await pages.begin(order.checkout_id, PAYER)
    assert begun.start is Start.READY
    body = orjson.dumps({"order": begun.parameters["tradeNO"]})
    url = f"http://127.0.0.1:{house.ports.control}/pay"
    async with ClientSession() as http, http.post(url, data=body) as answer:
        assert answer.status == 200
    await pages.ask(order.checkout_id)


async def test_a_code_is_shown_paid_and_told(house: House) -> None:
    """By a push, by the inquiry, and by asking for the code again; charged once."""
    terminal = await ready(house)
    fields = asking(terminal)
    code = shown(await terminal.ask("0200", fields))
    assert code.startswith("https://pay.example/q/L")
    assert state(await terminal.ask("0200", terminal.inquiry(fields))) is PaymentState.ASKING
    await pays(house, code)
    message = await pushed(terminal)
    assert message.text(4) == "000000001990"
    assert parse_payment_status(message.data(62)).state is PaymentState.PAID
    assert state(await terminal.ask("0200", terminal.inquiry(fields))) is PaymentState.PAID
    assert state(await terminal.ask("0200", fields)) is PaymentState.PAID
    assert [one["charged_fen"] for one in await house.charges()] == [1990]
    order_no = f"{TERMINAL}-{terminal.batch}-{fields['11']}"
    found = await house.gateway.core.payments.find_by_order(MERCHANT_NO, order_no)
    assert (found.order.terminal_id, found.standing.status.value) == (TERMINAL, "succeeded")


async def test_the_next_code_is_had_by_asking_again(house: House) -> None:
    """After a minute another code of the same order; another amount under its number is 94."""
    terminal = await ready(house)
    fields = asking(terminal)
    first = shown(await terminal.ask("0200", fields))
    assert shown(await terminal.ask("0200", fields)) == first
    house.clock.ahead_s += 61
    second = shown(await terminal.ask("0200", fields))
    pages = house.gateway.core.checkouts
    views = [await pages.scanned(code.rpartition("/")[2]) for code in (first, second)]
    assert first != second
    assert len({view.checkout_id for view in views if view is not None}) == 1
    other = asking(terminal, 1991, fields["11"])
    assert (await terminal.ask("0200", other))["39"] == "94"
    house.clock.ahead_s += 300
    ended = state(await terminal.ask("0200", fields))
    assert ended in (PaymentState.ASKING, PaymentState.NOT_PAID)  # nobody can pay it any more


@pytest.mark.parametrize("options", ["{}", '{"live_code":"false"}'])
async def test_only_a_terminal_that_knows_codes_gets_one(house: House, options: str) -> None:
    terminal = await ready(house, options)
    assert (await terminal.ask("0200", asking(terminal)))["39"] == "40"


async def test_what_was_never_seen_is_not_shown_any_more(house: House) -> None:
    """An inquiry that found nothing took the number, and a sale's number is no order's."""
    terminal = await ready(house)
    lost = asking(terminal)
    assert state(await terminal.ask("0200", terminal.inquiry(lost))) is PaymentState.NEVER_SEEN
    assert (await terminal.ask("0200", lost))["39"] == "94"
    sale = terminal.card_sale(CARD.pan, CARD.pin)
    assert (await terminal.ask("0200", sale))["39"] == "00"
    assert (await terminal.ask("0200", asking(terminal, trace=sale["11"])))["39"] == "94"


async def test_a_code_is_no_line_of_the_batch_and_is_not_reversed(house: House) -> None:
    """The terminal counts what it sold itself; a reversal of an order is not there."""
    terminal = await ready(house, '{"live_code":"true"}')  # a push would be read as an answer
    fields = asking(terminal)
    await pays(house, shown(await terminal.ask("0200", fields)))
    reversal = {**fields, "22": "000", "39": "98"}
    assert (await terminal.ask("0400", reversal))["39"] == "40"
    assert state(await terminal.ask("0200", terminal.inquiry(fields))) is PaymentState.PAID


async def test_nothing_is_made_of_no_amount(house: House) -> None:
    """13, and no order."""
    terminal = await ready(house)
    fields = asking(terminal, 0)
    assert (await terminal.ask("0200", fields))["39"] == "13"
    key = f"{TERMINAL}-{terminal.batch}-{fields['11']}"
    assert await house.gateway.store.payment_by_order(MERCHANT_NO, "screen", key) is None


async def test_a_code_that_a_limit_stops_has_used_up_its_number(house: House) -> None:
    """As a sale's: the message, late or recorded, opens nothing once the limit lets it through."""
    await house.gateway.store.set_limit(Limit(merchant_no=MERCHANT_NO, single_fen=1989), 1)
    house.clock.ahead_s += 11
    terminal = await ready(house)
    fields = asking(terminal)
    frame = terminal.pack("0200", fields)
    assert (await terminal.ask_raw(frame))["39"] == "61"
    await house.gateway.store.set_limit(Limit(merchant_no=MERCHANT_NO, single_fen=1990), 1)
    house.clock.ahead_s += 11
    assert (await terminal.ask_raw(frame))["39"] == "94"
    assert state(await terminal.ask("0200", terminal.inquiry(fields))) is PaymentState.NEVER_SEEN
