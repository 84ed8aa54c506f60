"""Reversals, and sales whose outcome is not known: nobody is left charged."""

import asyncio
from dataclasses import replace

import pytest

from domain.payment import Event, Status
from gateway.store.port import Advance, Store
from sandbox.scenarios import ALIPAY_CODES, CARDS, Scenario
from tests.gateway.pos.conftest import OpenHouse
from tests.gateway.pos.foreign_terminal import Fields, ForeignTerminal
from tests.gateway.pos.house import House, Plan

CARD = CARDS[Scenario.APPROVED]
CODE = ALIPAY_CODES[Scenario.APPROVED]
SLOW_HOST = {"kind": "delay", "match": "0200", "delay_ms": 400}
SLOW_PAY = {"kind": "delay", "match": "alipay.trade.pay", "delay_ms": 400}


def sale_of(till: ForeignTerminal, method: str) -> Fields:
    """A sale by ``card`` or ``code``."""
    return till.card_sale(CARD.pan, CARD.pin) if method == "card" else till.scan_sale(CODE)


@pytest.mark.parametrize("method", ["card", "code"])
async def test_reversing_an_approved_sale(house: House, till: ForeignTerminal, method: str) -> None:
    """00, the money goes back, and the repeated reversal gets the identical reply."""
    sale = sale_of(till, method)
    assert (await till.ask("0200", sale))["39"] == "00"
    frame = till.pack("0400", till.reversal(sale))
    answer = await till.ask_raw(frame)
    assert (answer["t"], answer["39"], "64" in answer) == ("0410", "00", True)
    for name in ("3", "4", "11", "25", "41", "42", "49", "60"):
        assert answer[name] == sale[name]
    assert await house.ended(till, sale["11"]) == "reversed"
    assert await house.charged_and_returned() == ([1990], [1990])
    assert (await till.ask_raw(frame)).raw == answer.raw
    await house.restart_gateway()
    assert (await till.ask_raw(frame)).raw == answer.raw
    assert await house.charged_and_returned() == ([1990], [1990])


async def test_reversal_with_another_amount_is_64(house: House, till: ForeignTerminal) -> None:
    """Refused, and the sale stands."""
    sale = till.card_sale(CARD.pan, CARD.pin)
    await till.ask("0200", sale)
    wrong = till.reversal(sale, {"4": "000000001989"})
    assert (await till.ask("0400", wrong))["39"] == "64"
    assert await house.ended(till, sale["11"]) == "succeeded"
    assert await house.charged_and_returned() == ([1990], [0])
    assert (await till.ask("0400", till.reversal(sale)))["39"] == "00"
    assert await house.ended(till, sale["11"]) == "reversed"


async def test_reversal_with_a_bad_mac_changes_nothing(house: House, till: ForeignTerminal) -> None:
    """A0, and the sale stands."""
    sale = till.card_sale(CARD.pan, CARD.pin)
    await till.ask("0200", sale)
    assert (await till.ask("0400", till.reversal(sale), spoil_mac=True))["39"] == "A0"
    assert await house.ended(till, sale["11"]) == "succeeded"
    assert await house.charged_and_returned() == ([1990], [0])


async def test_another_terminal_cannot_reverse_it(house: House, till: ForeignTerminal) -> None:
    """A reversal of the same batch and trace from next door finds nothing here."""
    other = await house.signed_in("99100002")
    sale = till.card_sale(CARD.pan, CARD.pin)
    await till.ask("0200", sale)
    foreign = other.reversal(sale | {"41": "99100002"})
    assert (await other.ask("0400", foreign))["39"] == "00"
    assert await house.ended(till, sale["11"]) == "succeeded"
    assert await house.charged_and_returned() == ([1990], [0])


async def test_reversing_a_declined_sale(house: House, till: ForeignTerminal) -> None:
    """00 and nothing moves: there was nothing to give back."""
    card = CARDS[Scenario.INSUFFICIENT_FUNDS]
    sale = till.card_sale(card.pan, card.pin)
    await till.ask("0200", sale)
    assert (await till.ask("0400", till.reversal(sale)))["39"] == "00"
    assert await house.ended(till, sale["11"]) == "failed"
    assert await house.charges() == []


@pytest.mark.parametrize("method", ["card", "code"])
async def test_a_reversal_that_comes_before_its_sale(
    house: House, till: ForeignTerminal, method: str
) -> None:
    """00; the sale that comes later is refused and not charged, after a restart too."""
    sale = sale_of(till, method)
    frame = till.pack("0400", till.reversal(sale))
    answer = await till.ask_raw(frame)
    assert answer["39"] == "00"
    assert (await till.ask("0200", sale))["39"] not in ("00", "96")
    await house.restart_gateway()
    assert (await till.ask("0200", sale))["39"] not in ("00", "96")
    assert (await till.ask_raw(frame)).raw == answer.raw
    assert await house.charges() == []
    till_again = sale_of(till, method)
    assert (await till.ask("0200", till_again))["39"] == "00"


async def test_a_number_that_is_only_taken_has_none_at_a_channel(
    house: House, till: ForeignTerminal
) -> None:
    """It was never there: its merchant is shown no number to ask the channel about."""
    for _ in range(2):
        sale = sale_of(till, "card")
        assert (await till.ask("0400", till.reversal(sale)))["39"] == "00"
        taken = await house.begun(till, sale["11"])
        assert (taken.standing.status, taken.order.channel_order_no) == (Status.CLOSED, "")


@pytest.mark.parametrize("method", ["card", "code"])
async def test_a_reversal_while_its_sale_is_in_flight(
    house: House, till: ForeignTerminal, method: str
) -> None:
    """The slow channel charges, the reversal wins: no approval is told, nothing is kept."""
    await house.faults("unionpay_card", SLOW_HOST)
    await house.faults("alipay", SLOW_PAY)
    sale = sale_of(till, method)
    await till.send(till.pack("0200", sale))
    await house.begun(till, sale["11"])
    await till.send(till.pack("0400", till.reversal(sale)))
    answers = [await till.receive(), await till.receive()]
    codes = {answer["t"]: answer["39"] for answer in answers}
    assert codes == {"0210": "98", "0410": "00"}
    assert await house.ended(till, sale["11"]) in ("reversed", "closed")
    charged, returned = await house.charged_and_returned()
    assert charged == returned


class _ReversalWins:
    """A store in which an undo is committed just before the first approval would be."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.raced = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def advance(self, change: Advance) -> bool:
        if change.event.value == "paid" and not self.raced:
            self.raced += 1
            await self._undo(change)
        return await self._store.advance(change)

    async def _undo(self, change: Advance) -> None:

        standing = replace(change.standing, status=Status.REVERSING, captured_fen=0, paid_at_ms=0)
        undo = replace(
            change, event=Event.UNDO, standing=standing, postings=(), reply=None, due_at_ms=1
        )
        assert await self._store.advance(undo)


async def test_an_approval_that_lost_the_race_is_never_told(open_shop: OpenHouse) -> None:
    """Another process begins the undo while the approval is on its way into the store: 98."""
    async with open_shop(Plan(wrap_store=_ReversalWins)) as house:  # type: ignore[arg-type]
        till = await house.signed_in()
        sale = till.card_sale(CARD.pan, CARD.pin)
        frame = till.pack("0200", sale)
        answer = await till.ask_raw(frame)
        assert answer["39"] == "98"
        assert await house.ended(till, sale["11"]) == "reversed"
        assert (await till.ask_raw(frame)).raw == answer.raw
        assert await house.charged_and_returned() == ([1990], [1990])


@pytest.mark.parametrize(
    ("scenario", "status", "charged"),
    [
        (Scenario.LOST_RESPONSE_CHARGED, "reversed", [1990]),
        (Scenario.LOST_RESPONSE_NOT_CHARGED, "closed", []),
    ],
)
async def test_a_card_answer_that_is_lost(
    house: House, till: ForeignTerminal, scenario: Scenario, status: str, charged: list[int]
) -> None:
    """The terminal hears 98, the gateway reverses by itself, a repeat hears the same."""
    sale = till.card_sale(CARDS[scenario].pan, CARDS[scenario].pin)
    frame = till.pack("0200", sale)
    answer = await till.ask_raw(frame)
    assert answer["39"] == "98"
    assert await house.ended(till, sale["11"]) == status
    assert await house.charged_and_returned() == (charged, charged)
    assert (await till.ask_raw(frame)).raw == answer.raw
    assert (await till.ask("0400", till.reversal(sale)))["39"] == "00"
    assert await house.charged_and_returned() == (charged, charged)


@pytest.mark.parametrize(
    ("scenario", "code", "status", "kept"),
    [
        (Scenario.LOST_RESPONSE_CHARGED, "00", "succeeded", [1990]),
        (Scenario.LOST_RESPONSE_NOT_CHARGED, "98", "closed", []),
    ],
)
async def test_an_alipay_answer_that_is_lost(
    house: House,
    till: ForeignTerminal,
    scenario: Scenario,
    code: str,
    status: str,
    kept: list[int],
) -> None:
    """A query finds the truth: charged is approved, never arrived is closed and 98."""
    sale = till.scan_sale(ALIPAY_CODES[scenario])
    assert (await till.ask("0200", sale))["39"] == code
    assert await house.ended(till, sale["11"]) == status
    assert await house.charged_and_returned() == (kept, [0] * len(kept))


@pytest.mark.parametrize("kind", ["corrupt", "close", "drop"])
async def test_a_card_answer_that_cannot_be_trusted(
    house: House, till: ForeignTerminal, kind: str
) -> None:
    """A wrong MAC, a lost link or silence after the charge: 98 and the money goes back."""
    await house.faults("unionpay_card", {"kind": kind, "match": "0200", "limit": 1})
    sale = till.card_sale(CARD.pan, CARD.pin)
    assert (await till.ask("0200", sale))["39"] == "98"
    assert await house.ended(till, sale["11"]) == "reversed"
    assert await house.charged_and_returned() == ([1990], [1990])


async def test_a_reversal_that_the_host_does_not_answer_is_repeated(
    house: House, till: ForeignTerminal
) -> None:
    """The gateway goes on until the host has answered; the terminal need not."""
    await house.faults("unionpay_card", {"kind": "drop", "match": "0400", "stage": "before", "limit": 1})  # fmt: skip
    sale = till.card_sale(CARD.pan, CARD.pin)
    await till.ask("0200", sale)
    assert (await till.ask("0400", till.reversal(sale)))["39"] == "00"
    assert await house.ended(till, sale["11"]) == "reversed"
    assert await house.charged_and_returned() == ([1990], [1990])


async def test_many_reversals_at_once_return_once(house: House, till: ForeignTerminal) -> None:
    """Eight copies of a reversal: identical replies, one return."""
    sale = till.card_sale(CARD.pan, CARD.pin)
    await till.ask("0200", sale)
    frame = till.pack("0400", till.reversal(sale))
    await till.send(frame * 8)
    replies = [await till.receive() for _ in range(8)]
    assert {reply["39"] for reply in replies} == {"00"}
    assert await house.ended(till, sale["11"]) == "reversed"
    assert await house.charged_and_returned() == ([1990], [1990])
    assert {(await till.ask_raw(frame)).raw for _ in range(2)} <= {reply.raw for reply in replies}
    assert len({reply.raw for reply in replies}) == 1


async def test_sale_and_reversal_in_one_write(house: House, till: ForeignTerminal) -> None:
    """Whichever the gateway takes first, nothing stays charged and the reversal hears 00."""
    frames, traces = b"", []
    for _ in range(10):
        sale = till.card_sale(CARD.pan, CARD.pin)
        traces.append(sale["11"])
        frames += till.pack("0200", sale) + till.pack("0400", till.reversal(sale))
    await till.send(frames)
    answers = [await till.receive() for _ in range(20)]
    assert [a["39"] for a in answers if a["t"] == "0410"] == ["00"] * 10
    assert "96" not in {a["39"] for a in answers}
    ends = await asyncio.gather(*(house.ended(till, trace) for trace in traces))
    assert set(ends) <= {"reversed", "closed", "failed"}
    charged, returned = await house.charged_and_returned()
    assert charged == returned


class _SlowToGiveUp:
    """A store that takes its time over the commit that begins an undo at the deadline."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def advance(self, change: Advance) -> bool:
        if change.event is Event.GIVE_UP:
            await asyncio.sleep(1)
        return await self._store.advance(change)


@pytest.mark.slow
async def test_the_till_is_told_at_the_deadline(open_shop: OpenHouse) -> None:
    """A payer who never pays: 98, never silence, and the order is closed; on a slow store too."""
    plan = Plan(till_wait_s=4.5, alipay_timeout_s="0.2", wrap_store=_SlowToGiveUp)  # type: ignore[arg-type]
    async with open_shop(plan) as house:
        till = await house.signed_in()
        sale = till.scan_sale(ALIPAY_CODES[Scenario.NEVER_PAYS])
        assert (await till.ask("0200", sale))["39"] == "98"
        assert await house.ended(till, sale["11"]) == "closed"
        assert await house.charges() == []


@pytest.mark.slow
async def test_a_success_after_the_deadline_is_returned(open_shop: OpenHouse) -> None:
    """The payer pays after the till was told 98, before a cancel arrives: the money goes back."""
    plan = Plan(till_wait_s=4.5, alipay_timeout_s="0.2", user_paying_after_s=5)
    async with open_shop(plan) as house:
        till = await house.signed_in()
        await house.faults("alipay", {"kind": "drop", "match": "alipay.trade.cancel", "stage": "before", "limit": 1})  # fmt: skip
        sale = till.scan_sale(ALIPAY_CODES[Scenario.USER_PAYING])
        frame = till.pack("0200", sale)
        answer = await till.ask_raw(frame)
        assert answer["39"] == "98"
        assert await house.ended(till, sale["11"]) == "reversed"
        assert await house.charged_and_returned() == ([1990], [1990])
        assert (await till.ask_raw(frame)).raw == answer.raw
