"""Whole days at the door: a terminal that shares no code with the product settles and goes on."""

from gateway.cli.installation import MERCHANT_NO
from gateway.store.batch_records import BatchKey, BatchState, DifferenceKind
from sandbox.scenarios import ALIPAY_CODES, CARDS, Scenario
from tests.gateway.pos.foreign_terminal import Fields, ForeignTerminal, Reply
from tests.gateway.pos.house import House

CODE = ALIPAY_CODES[Scenario.APPROVED]
CARD = CARDS[Scenario.APPROVED]
NOTHING = "0" * 31


def own(till: ForeignTerminal, management: str, more: Fields) -> Fields:
    """A message of a settlement in the terminal's batch."""
    return {
        "41": till.who.terminal_id,
        "42": till.who.merchant,
        "11": till.next_trace(),
        "60": f"00{till.batch}{management}",
        **more,
    }


def half(debit: int = 0, debits: int = 0, credit: int = 0, credits_: int = 0) -> str:
    """31 digits of F48, the result still open."""
    return f"{debit:012d}{debits:03d}{credit:012d}{credits_:03d}0"


async def settle(till: ForeignTerminal, domestic: str) -> Reply:
    """0500."""
    fields = own(till, "201", {"48": domestic + NOTHING, "49": "156", "63": "01 "})
    return await till.ask("0500", fields)


async def sold(till: ForeignTerminal, sale: Fields) -> Reply:
    answer = await till.ask("0200", sale)
    assert answer["39"] == "00"
    return answer


def key_of(till: ForeignTerminal, batch: int) -> BatchKey:
    return BatchKey(MERCHANT_NO, till.who.terminal_id, batch)


async def test_a_day_that_balances_is_closed_and_the_next_begins(
    house: House, till: ForeignTerminal
) -> None:
    """A card, a code and a void of it; flag 1, no F39; a sale in batch 2 right after."""
    card = till.card_sale(CARD.pan, CARD.pin, amount_fen=1990)
    scan = till.scan_sale(CODE, amount_fen=500)
    await sold(till, card)
    answer = await sold(till, scan)
    assert (await till.ask("0200", till.void(scan, answer)))["39"] == "00"
    host = await settle(till, half(2490, 2, 500, 1))
    assert (host["t"], "39" in host, "64" in host) == ("0510", False, False)
    assert host["48"] == half(2490, 2, 500, 1)[:-1] + "1" + "0" * 30 + "1"
    assert (await till.ask("0200", till.card_sale(CARD.pan, CARD.pin)))["39"] == "00"
    till.batch = "000003"
    assert (await till.ask("0200", till.card_sale(CARD.pan, CARD.pin)))["39"] == "77"
    till.batch = "000002"
    await sold(till, till.card_sale(CARD.pan, CARD.pin, amount_fen=10))
    till.batch = "000001"
    assert (await till.ask("0200", till.card_sale(CARD.pan, CARD.pin)))["39"] == "77"


async def test_a_day_that_does_not_balance_is_uploaded_and_its_difference_kept(
    house: House, till: ForeignTerminal
) -> None:
    """The terminal lost one of two sales: flag 2, its line, the end, and the next batch."""
    kept = till.card_sale(CARD.pan, CARD.pin, amount_fen=1990)
    lost = till.card_sale(CARD.pan, CARD.pin, amount_fen=70)
    await sold(till, kept)
    await sold(till, lost)
    host = await settle(till, half(1990, 1))
    assert host["48"] == half(2060, 2)[:-1] + "2" + "0" * 30 + "1"
    line = "00" + kept["11"] + CARD.pan.rjust(20, "0") + f"{1990:012d}"
    upload = till.pack("0320", own(till, "201", {"48": "01" + line}))
    for _ in range(2):
        answer = await till.ask_raw(upload)
        assert (answer["t"], answer["39"], answer["48"]) == ("0330", "00", "01" + line)
    end = till.pack("0320", own(till, "202", {"48": "0001"}))
    assert (await till.ask_raw(end))["39"] == "00"
    await house.restart_gateway()
    assert (await till.ask_raw(end))["39"] == "00"
    store = house.gateway.store
    found = await store.differences_of_batch(key_of(till, 1), None, 10)
    kinds = {one.kind: (one.trace, one.host_fen) for one in found}
    assert kinds == {
        DifferenceKind.TOTALS_DIFFER: ("", 2060),
        DifferenceKind.ONLY_HOST: (lost["11"], 70),
    }
    await till.sign_in()
    assert till.batch == "000002"
    await sold(till, till.card_sale(CARD.pan, CARD.pin))
    assert CARD.pan.encode() not in house.log


async def test_a_sign_out_after_a_settlement_counts_on(house: House, till: ForeignTerminal) -> None:
    """The terminal that does not count for itself is told its next batch."""
    assert (await settle(till, NOTHING))["48"] == ("0" * 30 + "1") * 2
    assert (await till.ask("0820", own(till, "002", {})))["39"] == "00"
    await till.sign_in()
    assert till.batch == "000002"
    batch = await house.gateway.store.batch(key_of(till, 1))
    assert batch is not None
    assert batch.state is BatchState.CLOSED


async def test_a_stranger_settles_nothing(house: House) -> None:
    """Not signed in is 77, a terminal that nobody knows 97; totals that are none are 30."""
    fresh = house.terminal(await house.provision("99100007"))
    assert (await settle(fresh, NOTHING))["39"] == "77"
    fresh.who = type(fresh.who)("99100008", fresh.who.tmk)
    assert (await settle(fresh, NOTHING))["39"] == "97"
    signed_in = await house.signed_in("99100009")
    assert (await settle(signed_in, "1"))["39"] == "30"
