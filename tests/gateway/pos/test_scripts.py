"""Script results: written down once, answered the same for ever, and no word of the card."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from gateway.pos.scripts import ScriptResult, Scripts, read_result
from gateway.pos.translate import RefusedError
from gateway.store.port import Store
from pos_protocol import management_asks
from pos_protocol.asks import Ask
from pos_protocol.card import chip_card
from pos_protocol.codec import Message
from pos_protocol.tlv import ber_build
from tests.gateway.pos.careful_till import CarefulTill
from tests.gateway.pos.corner_shop import CornerShop, Template, template
from tests.gateway.pos.lossy_link import Fate
from tests.gateway.pos.one_exchange import MERCHANT_NO, TERMINAL_ID, Counter, answered
from tests.support.payments import sample_claim

__all__ = ["template"]

PAN = "9900001234567899"
DONE = bytes.fromhex("2100000000")
FAILED = bytes.fromhex("1200000000")
LEFT = bytes.fromhex("0000000000")
CRYPTOGRAM = bytes.fromhex("1122334455667788")


def chip_data(results: bytes = DONE) -> bytes:
    """What a chip says after its script."""
    return ber_build([("9F26", CRYPTOGRAM), ("95", bytes(5)), ("DF31", results)])


class Desk:
    """A terminal whose issuers send scripts."""

    def __init__(self, counter: Counter) -> None:
        self.counter = counter
        self.capture = LogCapture()
        log: Any = structlog.wrap_logger(None, processors=[self.capture])
        self.scripts = Scripts(
            store=counter.store, sealer=counter.sealer, clock=counter.clock, log=log
        )

    async def sold(self, method: str = "card") -> tuple[Ask, str]:
        """A sale that the store holds, and the notice of the script in its answer."""
        terminal = self.counter.terminal
        request = terminal.sale(chip_card(PAN, "3012", chip_data()), 1990)
        claim = sample_claim(
            int(request.trace),
            merchant_no=MERCHANT_NO,
            order_key=f"{TERMINAL_ID}-{terminal.batch}-{request.trace}",
            method=method,
        )
        assert await self.counter.store.claim(claim)
        said: dict[int, str | bytes] = {37: "REF000000001", 13: "1122"}
        answer = Message(request.message.tpdu, request.message.header, "0210", said)
        return management_asks.script_result(request, answer, chip_data()), claim.order.id

    async def say(self, ask: Ask, *, trace: str = "", **fields: str | bytes) -> Message:
        """The answer to a notice, perhaps with other words in it (``f37=…``)."""
        more = {int(name[1:]): value for name, value in fields.items()}
        changed = Ask(row=ask.row, fields={**ask.fields, **more}, trace=trace)
        exchange = await self.counter.exchange(changed)
        return answered(await self.scripts.script_result(exchange))

    def said(self) -> list[Any]:
        """What went to the log."""
        return list(self.capture.entries)


@pytest.fixture
async def desk(store: Store) -> AsyncIterator[Desk]:
    counter = Counter(store)
    await counter.provision()
    yield Desk(counter)


async def test_a_result_is_written_down_and_answered(desk: Desk) -> None:
    notice, payment_id = await desk.sold()
    answer = await desk.say(notice)
    assert (answer.mti, answer.text(39), answer.text(37)) == ("0630", "00", "REF000000001")
    (line,) = desk.said()
    assert line["event"] == "script result"
    assert (line["payment_id"], line["result"]) == (payment_id, "succeeded")


async def test_a_repeat_gets_the_same_bytes_and_is_written_down_once(desk: Desk) -> None:
    notice, _ = await desk.sold()
    exchange = await desk.counter.exchange(notice)
    first = await desk.scripts.script_result(exchange)
    assert first is not None
    assert await desk.scripts.script_result(exchange) == first
    assert len(desk.said()) == 1


async def test_other_content_under_the_same_number_is_94(desk: Desk) -> None:
    notice, _ = await desk.sold()
    await desk.say(notice, trace="000100")
    with pytest.raises(RefusedError) as caught:
        await desk.say(notice, trace="000100", f4="000000000001")
    assert caught.value.response_code == "94"


async def test_a_script_of_no_transaction_is_25_and_keeps_nothing(desk: Desk) -> None:
    notice, _ = await desk.sold()
    for f61 in ("0000019999991122", "0000020000011122"):
        with pytest.raises(RefusedError) as caught:
            await desk.say(notice, trace="000100", f61=f61)
        assert caught.value.response_code == "25"
    assert (await desk.say(notice, trace="000100")).text(39) == "00"


async def test_a_sale_that_was_reversed_before_it_came_had_no_script(desk: Desk) -> None:
    notice, _ = await desk.sold(method="reversal")
    with pytest.raises(RefusedError) as caught:
        await desk.say(notice)
    assert caught.value.response_code == "25"


async def test_an_original_that_is_no_number_is_30(desk: Desk) -> None:
    notice, _ = await desk.sold()
    with pytest.raises(RefusedError) as caught:
        await desk.say(notice, f61="00000")
    assert caught.value.response_code == "30"


async def test_nothing_of_the_card_is_written_down(desk: Desk) -> None:
    notice, _ = await desk.sold()
    await desk.say(notice)
    text = repr(desk.said())
    assert PAN not in text
    assert CRYPTOGRAM.hex() not in text.lower()


@pytest.mark.parametrize(
    ("results", "read"),
    [
        (DONE, ScriptResult.SUCCEEDED),
        (FAILED, ScriptResult.FAILED),
        (LEFT, ScriptResult.NOT_PERFORMED),
        (DONE + DONE, ScriptResult.SUCCEEDED),
        (DONE + LEFT, ScriptResult.NOT_PERFORMED),
        (LEFT + FAILED + DONE, ScriptResult.FAILED),
        (b"", ScriptResult.UNREADABLE),
        (DONE[:4], ScriptResult.UNREADABLE),
        (bytes.fromhex("F000000000"), ScriptResult.UNREADABLE),
    ],
)
def test_the_worst_of_several_scripts_is_what_is_said(results: bytes, read: ScriptResult) -> None:
    assert read_result(chip_data(results)) is read


def test_chip_data_that_does_not_add_up_is_unreadable() -> None:
    assert read_result(b"\x9f") is ScriptResult.UNREADABLE
    assert read_result(b"") is ScriptResult.UNREADABLE


def test_the_door_answers_a_notice_under_its_mac(template: Template) -> None:
    """From the terminal's protocol to the store and back; without a MAC it is refused."""
    shop = CornerShop(template)

    async def day() -> None:
        till = CarefulTill(shop)
        await till.sign_in()
        sale = till.terminal.sale(chip_card(PAN, "3012", chip_data()), 1990)
        sold = await till.exchange(sale)
        assert sold is not None
        assert sold.message is not None
        notice = till.terminal.ask(management_asks.script_result(sale, sold.message, chip_data()))
        for _ in range(2):
            outcome = await till.exchange(notice)
            assert outcome is not None
            assert outcome.approved
        till.link.decide((Fate.GARBLED,))
        forged = await till.exchange(notice)
        assert forged is not None
        assert forged.response_code == "A0"

    shop.run(day)
    shop.close()
