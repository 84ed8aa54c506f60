"""Holds from a terminal's first byte to the card host's books, with a shop that restarts."""

import pytest

from sandbox.scenarios import CARDS, Scenario
from tests.gateway.pos.foreign_terminal import Fields, ForeignTerminal, Reply
from tests.gateway.pos.house import House

CARD = CARDS[Scenario.APPROVED]
HELD_FEN = 50_000


def preauth(till: ForeignTerminal, scenario: Scenario = Scenario.APPROVED) -> Fields:
    """A 0100 预授权."""
    card = CARDS[scenario]
    changes = {"3": "030000", "25": "06", "60": f"10{till.batch}00020"}
    return till.card_sale(card.pan, card.pin, amount_fen=HELD_FEN, changes=changes)


def later(
    till: ForeignTerminal, hold: Fields, answer: Reply, type_code: str, **changes: str
) -> Fields:
    """A message of type 60.1 about a hold: its card, F38 and F61."""
    named = {name.removeprefix("f"): value for name, value in changes.items()}
    special = {
        "25": "06",
        "38": answer["38"],
        "60": f"{type_code}{till.batch}00020",
        "61": hold["60"][2:8] + hold["11"],
    }
    return till.card_sale(CARD.pan, amount_fen=HELD_FEN, changes=special | named)


def completion(till: ForeignTerminal, hold: Fields, answer: Reply, amount_fen: int) -> Fields:
    """A 0200 预授权完成."""
    return later(till, hold, answer, "20", f4=f"{amount_fen:012d}")


def hold_void(till: ForeignTerminal, hold: Fields, answer: Reply) -> Fields:
    """A 0100 预授权撤销."""
    return later(till, hold, answer, "11", f3="200000")


async def held(till: ForeignTerminal) -> tuple[Fields, Reply]:
    """An approved hold."""
    hold = preauth(till)
    answer = await till.ask("0100", hold)
    assert (answer["t"], answer["39"], "64" in answer) == ("0110", "00", True)
    return hold, answer


async def taken(house: House) -> list[int]:
    """What the host took and kept, one figure for each order that it ever took money for."""
    charges = await house.charges()
    return [c["charged_fen"] - c["returned_fen"] for c in charges if c["charged_fen"]]


async def test_a_stay_at_a_hotel(house: House, till: ForeignTerminal) -> None:
    """Held, completed, reversed, completed again after a restart, and voided at last."""
    hold, answer = await held(till)
    assert await taken(house) == []
    first = completion(till, hold, answer, 30_000)
    assert (await till.ask("0200", first))["39"] == "00"
    assert (await till.ask("0200", completion(till, hold, answer, 100)))["39"] == "25"
    assert (await till.ask("0100", hold_void(till, hold, answer)))["39"] == "22"
    assert (await till.ask("0400", till.reversal(hold)))["39"] == "22"
    assert await taken(house) == [30_000]
    assert (await till.ask("0400", till.reversal(first)))["39"] == "00"
    assert await house.ended(till, first["11"]) == "reversed"
    await house.restart_gateway()
    second = completion(till, hold, answer, HELD_FEN)
    frame = till.pack("0200", second)
    done = await till.ask_raw(frame)
    assert done["39"] == "00"
    assert (await till.ask_raw(frame)).raw == done.raw
    assert await taken(house) == [0, HELD_FEN]
    void = later(till, second, done, "21", f3="200000", f37=done["37"])
    assert (await till.ask("0200", void))["39"] == "00"
    assert await taken(house) == [0, 0]
    assert (await till.ask("0200", completion(till, hold, answer, 1)))["39"] == "25"


async def test_a_hold_that_is_voided(house: House, till: ForeignTerminal) -> None:
    """Released once; its repeat is the kept reply; its reversal comes too late: 22."""
    hold, answer = await held(till)
    void = hold_void(till, hold, answer)
    frame = till.pack("0100", void)
    first = await till.ask_raw(frame)
    assert (first["t"], first["39"]) == ("0110", "00")
    await house.restart_gateway()
    assert (await till.ask_raw(frame)).raw == first.raw
    assert (await till.ask("0400", till.reversal(void)))["39"] == "22"
    assert await house.ended(till, hold["11"]) == "closed"
    assert (await till.ask("0200", completion(till, hold, answer, 1)))["39"] == "25"
    assert await taken(house) == []


async def test_a_void_that_is_reversed_before_it_comes(house: House, till: ForeignTerminal) -> None:
    """The reversal hears 00, the late void 25, and the hold stands."""
    hold, answer = await held(till)
    void = hold_void(till, hold, answer)
    assert (await till.ask("0400", till.reversal(void)))["39"] == "00"
    assert (await till.ask("0100", void))["39"] == "25"
    assert (await till.ask("0200", completion(till, hold, answer, HELD_FEN)))["39"] == "00"
    assert await taken(house) == [HELD_FEN]


async def test_a_hold_that_is_reversed(house: House, till: ForeignTerminal) -> None:
    """00 however often it comes; nothing is held and nothing can be taken."""
    hold, answer = await held(till)
    for _ in range(2):
        assert (await till.ask("0400", till.reversal(hold)))["39"] == "00"
    assert await house.ended(till, hold["11"]) == "closed"
    assert (await till.ask("0200", completion(till, hold, answer, 1)))["39"] == "25"
    assert await taken(house) == []


async def test_a_hold_that_is_reversed_before_it_comes(house: House, till: ForeignTerminal) -> None:
    hold = preauth(till)
    assert (await till.ask("0400", till.reversal(hold)))["39"] == "00"
    assert (await till.ask("0100", hold))["39"] not in ("00", "96")
    assert await house.charges() == []


@pytest.mark.parametrize(
    "scenario", [Scenario.LOST_RESPONSE_CHARGED, Scenario.LOST_RESPONSE_NOT_CHARGED]
)
async def test_a_hold_whose_answer_is_lost(
    house: House, till: ForeignTerminal, scenario: Scenario
) -> None:
    """98, released by the gateway itself, whether the host held it or never heard of it."""
    hold = preauth(till, scenario)
    assert (await till.ask("0100", hold))["39"] == "98"
    assert await house.ended(till, hold["11"]) == "closed"
    assert await taken(house) == []


async def test_a_completion_whose_answer_is_lost(house: House, till: ForeignTerminal) -> None:
    """98, given back to the hold, which is completed by the next one."""
    hold, answer = await held(till)
    await house.faults("unionpay_card", {"kind": "drop", "match": "0200", "limit": 1})
    lost = completion(till, hold, answer, 20_000)
    assert (await till.ask("0200", lost))["39"] == "98"
    assert await house.ended(till, lost["11"]) in ("reversed", "closed")
    assert (await till.ask("0200", completion(till, hold, answer, 20_000)))["39"] == "00"
    assert [fen for fen in await taken(house) if fen] == [20_000]


async def test_an_advice(house: House, till: ForeignTerminal) -> None:
    """00, and its repeat is the kept reply."""
    hold, answer = await held(till)
    frame = till.pack("0220", later(till, hold, answer, "24", f4=f"{40_000:012d}"))
    first = await till.ask_raw(frame)
    assert (first["t"], first["39"], "38" in first) == ("0230", "00", True)
    assert (await till.ask_raw(frame)).raw == first.raw
    assert await taken(house) == [40_000]


async def test_completions_and_voids_at_once(house: House, till: ForeignTerminal) -> None:
    """Eight messages about one hold in one write: one of them gets it."""
    hold, answer = await held(till)
    frames = [till.pack("0200", completion(till, hold, answer, 100)) for _ in range(4)]
    frames += [till.pack("0100", hold_void(till, hold, answer)) for _ in range(4)]
    await till.send(b"".join(frames))
    codes = sorted([(await till.receive())["39"] for _ in frames])
    assert codes.count("00") == 1
    assert set(codes) <= {"00", "22", "25"}
    payment = await house.payment(till, hold["11"])
    assert payment is not None
    if await taken(house):
        assert await taken(house) == [100]
        assert payment.standing.status.value == "authorized"
    else:
        assert await house.ended(till, hold["11"]) == "closed"
