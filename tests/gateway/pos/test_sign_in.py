"""Sign-in and echo: working keys for every scheme, made and checked on both ends."""

import asyncio
from dataclasses import replace

import pytest

from gateway.cli.installation import MERCHANT_NO
from gateway.directory import master_context
from sandbox.scenarios import CARDS, Scenario
from signing.pos import CipherKey
from tests.gateway.pos.foreign_terminal import ForeignTerminal
from tests.gateway.pos.house import House

CARD = CARDS[Scenario.APPROVED]
HOUR_S = 3600
DAY_S = 24 * HOUR_S


async def test_sign_in_answers_what_the_field_table_says(house: House) -> None:
    """0810 has 11, 12, 13, 32, 37, 39, 41, 42, 60, 62, the batch in 60.2 and keys that check."""
    terminal = house.terminal(await house.provision())
    answer = await terminal.sign_in()
    present = {"11", "12", "13", "32", "37", "39", "41", "42", "60", "62"}
    assert present <= answer.fields.keys()
    assert answer["60"] == "00000001003"
    assert answer["11"] == "000001"
    assert terminal.mac_key_is_half and len(terminal.mac_key) == 8  # the usual single-DES MAK


@pytest.mark.parametrize(
    ("scheme", "algorithm", "pin_bytes", "mac_bytes"),
    [
        ("des", "cup-ecb", 8, 8),
        ("des", "x9.9", 8, 8),
        ("3des", "cup-ecb", 16, 8),
        ("3des", "x9.9", 16, 8),
        ("3des", "x9.19", 16, 16),
        ("3des-tdk", "cup-ecb", 16, 8),
        ("3des-tdk", "x9.19", 16, 16),
    ],
)
async def test_every_scheme_and_mac_sells(
    house: House, scheme: str, algorithm: str, pin_bytes: int, mac_bytes: int
) -> None:
    """Keys of the right length, and a sale whose MAC verifies in both directions."""
    till = await house.signed_in(scheme=scheme, mac=algorithm)
    assert (len(till.pin_key), len(till.mac_key)) == (pin_bytes, mac_bytes)
    assert len(till.track_key) == (16 if scheme == "3des-tdk" else 0)
    pin = CARD.pin if scheme != "des" else ""
    answer = await till.ask("0200", till.card_sale(CARD.pan, pin))
    assert (answer["39"], "64" in answer) == ("00", True)
    assert await house.ended(till, answer["11"]) == "succeeded"


async def test_a_pin_under_single_des_is_refused(house: House) -> None:
    """57, and the card host hears nothing; without the PIN the same card sells."""
    till = await house.signed_in(scheme="des")
    sale = till.card_sale(CARD.pan, CARD.pin)
    assert (await till.ask("0200", sale))["39"] == "57"
    assert await house.payment(till, sale["11"]) is None
    assert (await till.ask("0200", till.card_sale(CARD.pan)))["39"] == "00"


async def test_a_pin_under_single_des_where_an_option_allows_it(house: House) -> None:
    """The PIN is translated to the channel's key: right one approved, wrong one 55."""
    till = await house.signed_in(scheme="des", weak_pin=True)
    assert (await till.ask("0200", till.card_sale(CARD.pan, CARD.pin)))["39"] == "00"
    assert (await till.ask("0200", till.card_sale(CARD.pan, "000000")))["39"] == "55"


async def test_another_scheme_than_the_terminals_is_refused(house: House) -> None:
    """A terminal with 3DES keys that asks for single DES gets none."""
    terminal = house.terminal(await house.provision())
    for code in ("001", "004", "005", "006"):
        fields = terminal.sign_in_fields() | {"60": f"00000001{code}"}
        answer = await terminal.ask("0800", fields)
        assert answer["39"] in ("40", "57")
        assert "62" not in answer


async def test_keys_are_fresh_at_each_sign_in_and_unlike_anothers(house: House) -> None:
    """No two sign-ins share a key."""
    first, second = await house.signed_in("99100001"), await house.signed_in("99100002")
    keys = {first.pin_key, first.mac_key, second.pin_key, second.mac_key}
    await first.sign_in()
    assert len(keys | {first.pin_key, first.mac_key}) == 6


async def test_the_keys_before_the_last_sign_in_are_good_for_what_is_in_flight(
    house: House, till: ForeignTerminal
) -> None:
    """A sale under the previous keys is taken, PIN included, and answered under them."""
    old = till.pin_key, till.mac_key
    await till.sign_in()
    new = till.pin_key, till.mac_key
    till.pin_key, till.mac_key = old
    assert (await till.ask("0200", till.card_sale(CARD.pan, CARD.pin)))["39"] == "00"
    till.pin_key, till.mac_key = new
    assert (await till.ask("0200", till.card_sale(CARD.pan, CARD.pin)))["39"] == "00"
    await till.sign_in()
    till.pin_key, till.mac_key = old
    sale = till.card_sale(CARD.pan, CARD.pin)
    assert (await till.ask("0200", sale))["39"] == "A0"
    assert await house.payment(till, sale["11"]) is None


async def test_keys_older_than_a_day_are_refused(house: House, till: ForeignTerminal) -> None:
    """77 once working_key_hours have passed; a sign-in mends it."""
    house.clock.ahead_s += DAY_S - HOUR_S
    assert (await till.ask("0200", till.card_sale(CARD.pan)))["39"] == "00"
    house.clock.ahead_s += 2 * HOUR_S
    sale = till.card_sale(CARD.pan)
    assert (await till.ask("0200", sale))["39"] == "77"
    assert await house.payment(till, sale["11"]) is None
    await till.sign_in()
    assert (await till.ask("0200", till.card_sale(CARD.pan)))["39"] == "00"


async def test_sign_in_outlives_the_connection_and_the_process(
    house: House, till: ForeignTerminal
) -> None:
    """Keys and batch belong to the terminal: a new connection and a new process know them."""
    till.hang_up()
    assert (await till.ask("0200", till.card_sale(CARD.pan, CARD.pin)))["39"] == "00"
    await house.restart_gateway()
    assert (await till.ask("0200", till.card_sale(CARD.pan, CARD.pin)))["39"] == "00"


async def test_echo_needs_no_sign_in(house: House) -> None:
    """0830, with the date and time in Beijing and no MAC."""
    terminal = house.terminal(await house.provision())
    answer = await terminal.ask("0820", terminal.echo())
    assert (answer["t"], answer["39"]) == ("0830", "00")
    assert len(answer["12"]) == 6 and len(answer["13"]) == 4
    assert "64" not in answer


async def test_fifty_terminals_at_once(house: House) -> None:
    """All sign in and sell at the same time, each under keys of its own."""
    people = [await house.provision(f"9920{number:04d}") for number in range(50)]

    async def work(number: int) -> str:
        terminal = house.terminal(people[number])
        await terminal.sign_in()
        sale = terminal.card_sale(CARD.pan, CARD.pin, amount_fen=100 + number)
        return (await terminal.ask("0200", sale))["39"]

    assert await asyncio.gather(*map(work, range(50))) == ["00"] * 50
    charged, returned = await house.charged_and_returned()
    assert sorted(charged) == list(range(100, 150)) and not any(returned)


async def test_after_a_sign_out_nothing_is_sold(house: House, till: ForeignTerminal) -> None:
    """00, then 77 until the next sign-in; signing out twice is no fault."""
    out = {"41": till.who.terminal_id, "42": till.who.merchant, "60": f"00{till.batch}002"}
    for _ in range(2):
        answer = await till.ask("0820", out | {"11": till.next_trace()})
        assert (answer["t"], answer["39"]) == ("0830", "00")
    assert (await till.ask("0200", till.card_sale(CARD.pan)))["39"] == "77"
    await till.sign_in()
    assert (await till.ask("0200", till.card_sale(CARD.pan)))["39"] == "00"


async def test_keys_change_under_load_and_no_sale_fails(
    house: House, till: ForeignTerminal
) -> None:
    """Sales that were sent under the keys of a moment ago are taken, sign-in after sign-in."""
    second = house.terminal(till.who)
    for _ in range(4):
        sales = [till.card_sale(CARD.pan, CARD.pin, amount_fen=100 + n) for n in range(5)]
        frames = [till.pack("0200", sale) for sale in sales]
        second.trace = till.trace
        signing = asyncio.create_task(second.sign_in())
        for frame in frames:
            await till.send(frame)
        codes = [(await till.receive())["39"] for _ in frames]
        assert codes == ["00"] * 5
        await signing
        till.trace = second.trace
        till.mac_key, till.pin_key = second.mac_key, second.pin_key


async def test_a_new_master_key_counts_from_the_next_sign_in(
    house: House, till: ForeignTerminal
) -> None:
    """Sales go on under the working keys; the next ones come under the new master key."""
    tmk = bytes(range(16))
    async with house.session() as opened:
        sealed = opened.sealer.seal(tmk, master_context(MERCHANT_NO, till.who.terminal_id))
        kcv = CipherKey(tmk).kcv().hex().upper()
        await opened.store.set_terminal_key(MERCHANT_NO, till.who.terminal_id, sealed, kcv)
    assert (await till.ask("0200", till.card_sale(CARD.pan, CARD.pin)))["39"] == "00"
    house.clock.ahead_s = 60
    till.who = replace(till.who, tmk=tmk)
    await till.sign_in()
    assert (await till.ask("0200", till.card_sale(CARD.pan, CARD.pin)))["39"] == "00"


async def test_master_keys_rotate_under_load_and_no_sale_fails(house: House) -> None:
    """Tills that sell all the while get a new master key and sign in under it, again and again."""
    tills = [await house.signed_in(f"9910000{number}") for number in range(1, 4)]
    sold = await asyncio.gather(*(rotated_while_selling(house, till) for till in tills))
    assert [codes for codes in sold if set(codes) != {"00"}] == []
    assert all(len(codes) >= 3 * 6 for codes in sold)
    charged, returned = await house.charged_and_returned()
    assert len(charged) == sum(map(len, sold))
    assert set(returned) == {0}


async def rotated_while_selling(house: House, till: ForeignTerminal) -> list[str]:
    """F39 of every sale: some are on their way at each moment of three rotations."""
    second, codes = house.terminal(till.who), list[str]()
    for number in range(3):
        sales = [till.card_sale(CARD.pan, CARD.pin, amount_fen=100 + n) for n in range(6)]
        frames = [till.pack("0200", sale) for sale in sales]
        second.trace = till.trace
        rotating = asyncio.create_task(rotate(house, second, bytes(range(number, number + 32, 2))))
        for frame in frames:
            await till.send(frame)
            await asyncio.sleep(0.05)
        codes += [(await till.receive())["39"] for _ in frames]
        await rotating
        till.trace = second.trace
        till.mac_key, till.pin_key = second.mac_key, second.pin_key
    return codes


async def rotate(house: House, till: ForeignTerminal, tmk: bytes) -> None:
    """As ``posgate terminal rotate-key`` does, and the till with the key that was loaded."""
    async with house.session() as opened:
        sealed = opened.sealer.seal(tmk, master_context(MERCHANT_NO, till.who.terminal_id))
        kcv = CipherKey(tmk).kcv().hex().upper()
        await opened.store.set_terminal_key(MERCHANT_NO, till.who.terminal_id, sealed, kcv)
    await asyncio.sleep(0.25)
    till.who = replace(till.who, tmk=tmk)
    await till.sign_in()


async def test_keys_of_long_ago_sell_nothing(house: House, till: ForeignTerminal) -> None:
    """After days without a sign-in the keys before are gone: A0, and sign in again."""
    old = replace_keys(house, till)
    house.clock.ahead_s = 3 * DAY_S
    await till.sign_in()
    answer = await old.ask("0200", old.card_sale(CARD.pan, CARD.pin))
    assert (answer["39"], answer["h"][-7]) == ("A0", "3")  # nibble 5: sign in again


async def test_the_keys_before_are_for_what_was_on_its_way(
    house: House, till: ForeignTerminal
) -> None:
    """Two minutes after a sign-in nothing can be on its way any more."""
    old = replace_keys(house, till)
    await till.sign_in()
    assert (await old.ask("0200", old.card_sale(CARD.pan, CARD.pin)))["39"] == "00"
    house.clock.ahead_s = 121
    assert (await old.ask("0200", old.card_sale(CARD.pan, CARD.pin)))["39"] == "A0"


def replace_keys(house: House, till: ForeignTerminal) -> ForeignTerminal:
    """The same terminal as it is now, on a connection of its own."""
    old = house.terminal(till.who)
    old.batch, old.trace = till.batch, 500
    old.mac_key, old.pin_key = till.mac_key, till.pin_key
    return old
