"""A codec, MAC and PIN block that are not ours talk to the simulated card host."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sandbox.scenarios import CARDS, Scenario
from tests.sandbox.foreign_link import MERCHANT, TERMINAL, ForeignLink, order_no, pin_block


async def test_sign_in_hands_out_keys_that_check(link: ForeignLink) -> None:
    """0810 has the table's fields, and both key check values are right."""
    answer = await link.sign_in()
    assert answer["t"] == "0810"
    assert {"11", "12", "13", "32", "37", "39", "41", "42", "60", "62"} <= answer.keys()
    assert (answer["39"], answer["60"]) == ("00", "00000001003")


async def test_two_processes_share_the_links_keys(
    link: ForeignLink, connect: Callable[[], Any]
) -> None:
    """A second sign-in of the same terminal gets the same keys; both go on selling."""
    second: ForeignLink = await connect()
    await second.sign_in()
    assert (second.pin_key, second.mac_key) == (link.pin_key, link.mac_key)
    assert (await link.ask("0200", link.sale(Scenario.APPROVED, 1)))["39"] == "00"
    assert (await second.ask("0200", second.sale(Scenario.APPROVED, 2)))["39"] == "00"


async def test_echo(link: ForeignLink) -> None:
    """0820 with 301 needs 41, 42 and 60 only."""
    answer = await link.ask("0820", {"41": TERMINAL, "42": MERCHANT, "60": "00000001301"})
    assert (answer["t"], answer["39"]) == ("0830", "00")


async def test_a_sale_with_pin(link: ForeignLink, sandbox: Any) -> None:
    """0210 echoes the sale, adds the host's fields and is charged once."""
    sale = link.sale(Scenario.APPROVED, 1)
    answer = await link.ask("0200", sale)
    assert answer["t"] == "0210"
    for field in ("2", "3", "4", "11", "14", "25", "41", "42", "49", "53", "60"):
        assert answer[field] == sale[field]
    assert (answer["39"], answer["12"], answer["13"], answer["15"]) == (
        "00",
        "120000",
        "1122",
        "1122",
    )
    assert len(answer["37"]) == 12 and len(answer["38"]) == 6 and len(answer["44"]) == 22
    assert "64" in answer
    assert await sandbox.charges() == [
        {
            "channel": "unionpay_card",
            "order_no": order_no(1),
            "charged_fen": 1990,
            "returned_fen": 0,
        }
    ]


@pytest.mark.parametrize(
    ("scenario", "code"), [(Scenario.INSUFFICIENT_FUNDS, "51"), (Scenario.WRONG_PIN, "55")]
)
async def test_a_decline_carries_a_mac_too(
    link: ForeignLink, sandbox: Any, scenario: Scenario, code: str
) -> None:
    """Declined, without an authorisation code, with a MAC, and nothing is charged."""
    answer = await link.ask("0200", link.sale(scenario, 1))
    assert (answer["39"], "38" in answer, "64" in answer) == (code, False, True)
    assert await sandbox.charges() == []


async def test_the_pin_is_checked_under_the_zone_key(link: ForeignLink) -> None:
    """The approved card with another PIN is 55; a block under another key is no PIN block."""
    card = CARDS[Scenario.APPROVED]
    wrong = pin_block(link.pin_key, "111111", card.pan)
    assert (await link.ask("0200", link.sale(Scenario.APPROVED, 1, f52=wrong)))["39"] == "55"
    pan = "9900000000001000001"
    sale = link.sale(Scenario.APPROVED, 2, f2=pan, f52=pin_block(link.mac_key, "1234", pan))
    del sale["35"]
    assert (await link.ask("0200", sale))["39"] == "99"
    sale |= {"11": "000003", "52": pin_block(link.pin_key, "1234", pan)}
    assert (await link.ask("0200", sale))["39"] == "00"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"f2": "9900000000000011", "f35": "9900000000000011D3012"}, "14"),
        ({"f2": "6200000000000005", "f35": "6200000000000005D3012"}, "14"),
        ({"f35": "9900000000000028D3012"}, "14"),
        ({"f4": "000000000000"}, "13"),
        ({"f49": "840"}, "13"),
        ({"f3": "200000"}, "40"),
        ({"f60": "2200000"}, "30"),
    ],
)
async def test_a_sale_that_cannot_be(
    link: ForeignLink, sandbox: Any, changes: dict[str, str], code: str
) -> None:
    """Each fault has its own F39 and charges nothing."""
    answer = await link.ask("0200", link.sale(Scenario.APPROVED, 1, **changes))
    assert answer["39"] == code
    assert await sandbox.charges() == []


async def test_a_repeat_is_answered_without_charging_twice(link: ForeignLink, sandbox: Any) -> None:
    """Same content: the same answer; other content under the same trace: 94."""
    sale = link.sale(Scenario.APPROVED, 1)
    first = await link.ask("0200", sale)
    again = await link.ask("0200", sale)
    assert again == first
    other = await link.ask("0200", link.sale(Scenario.APPROVED, 1, f4="000000002000"))
    assert other["39"] == "94"
    [charge] = await sandbox.charges()
    assert (charge["charged_fen"], charge["returned_fen"]) == (1990, 0)


async def test_a_reversal_returns_the_money_once(link: ForeignLink, sandbox: Any) -> None:
    """00 however often it comes; the sale's late repeat is refused afterwards."""
    sale = link.sale(Scenario.APPROVED, 1)
    await link.ask("0200", sale)
    assert (await link.ask("0400", link.reversal(sale, f4="000000001991")))["39"] == "64"
    for _ in range(3):
        answer = await link.ask("0400", link.reversal(sale))
        assert (answer["t"], answer["39"], "38" in answer, "64" in answer) == (
            "0410",
            "00",
            False,
            True,
        )
    assert (await link.ask("0200", sale))["39"] == "25"
    [charge] = await sandbox.charges()
    assert (charge["charged_fen"], charge["returned_fen"]) == (1990, 1990)


async def test_a_reversal_before_its_sale_refuses_the_sale(link: ForeignLink, sandbox: Any) -> None:
    """25, remembered: the late original is not charged."""
    sale = link.sale(Scenario.APPROVED, 1)
    assert (await link.ask("0400", link.reversal(sale)))["39"] == "25"
    assert (await link.ask("0400", link.reversal(sale)))["39"] == "25"
    assert (await link.ask("0200", sale))["39"] == "25"
    assert await sandbox.charges() == []


async def test_a_reversal_of_a_declined_sale_finds_no_charge(link: ForeignLink) -> None:
    """Nothing was taken, so there is nothing to give back: 25."""
    sale = link.sale(Scenario.INSUFFICIENT_FUNDS, 1)
    await link.ask("0200", sale)
    assert (await link.ask("0400", link.reversal(sale)))["39"] == "25"


async def test_a_wrong_mac_changes_nothing(link: ForeignLink, sandbox: Any) -> None:
    """A0 for a sale and for a reversal, and the books stay as they were."""
    sale = link.sale(Scenario.APPROVED, 1)
    assert (await link.ask("0200", sale, spoil_mac=True))["39"] == "A0"
    assert await sandbox.charges() == []
    await link.ask("0200", sale)
    assert (await link.ask("0400", link.reversal(sale), spoil_mac=True))["39"] == "A0"
    [charge] = await sandbox.charges()
    assert charge["returned_fen"] == 0


@pytest.mark.parametrize(
    ("scenario", "charged_fen", "code"),
    [
        (Scenario.LOST_RESPONSE_CHARGED, 1990, "00"),
        (Scenario.LOST_RESPONSE_NOT_CHARGED, 0, "25"),
    ],
)
async def test_lost_answers(
    link: ForeignLink, sandbox: Any, scenario: Scenario, charged_fen: int, code: str
) -> None:
    """No answer, no hang-up, not even to a repeat; the reversal tells and settles it."""
    sale = link.sale(scenario, 1)
    await link.send("0200", sale)
    await link.send("0200", sale)
    echo = await link.ask("0820", {"41": TERMINAL, "42": MERCHANT, "60": "00000001301"})
    assert echo["t"] == "0830"  # the next thing that came back: the sales got nothing
    assert sum(charge["charged_fen"] for charge in await sandbox.charges()) == charged_fen
    assert (await link.ask("0400", link.reversal(sale)))["39"] == code
    assert all(c["charged_fen"] == c["returned_fen"] for c in await sandbox.charges())


async def test_who_may_not_sell(connect: Callable[[], Any], sandbox: Any) -> None:
    """97 for an unknown terminal, 03 for another merchant, 77 before the sign-in."""
    stranger: ForeignLink = await connect()
    stranger.pin_key = stranger.mac_key = bytes(range(16))
    sale = stranger.sale(Scenario.APPROVED, 1)
    await stranger.send("0200", sale)
    assert (await stranger.receive())["39"] == "77"
    assert (await stranger.ask("0200", sale | {"41": "99000009"}))["39"] == "97"
    assert (await stranger.ask("0200", sale | {"42": "999000000000009"}))["39"] == "03"
    assert await sandbox.charges() == []


async def test_keys_are_good_for_a_day(link: ForeignLink, sandbox: Any) -> None:
    """After 24 hours 77, and a new sign-in brings new keys."""
    old = link.mac_key
    sandbox.clock.ms += 24 * 3_600_000
    assert (await link.ask("0200", link.sale(Scenario.APPROVED, 1)))["39"] == "77"
    await link.sign_in()
    assert link.mac_key != old
    assert (await link.ask("0200", link.sale(Scenario.APPROVED, 2)))["39"] == "00"


async def test_rotation_keeps_messages_in_flight(
    run: Callable[..., Any], change: Callable[..., Any]
) -> None:
    """With rotation each sign-in has new keys; the previous ones still work, older do not."""
    async with run(change({"rotate_keys_each_sign_in": True})) as sandbox:
        streams = await asyncio.open_connection("127.0.0.1", sandbox.ports.card)
        link = ForeignLink(*streams)
        await link.sign_in()
        first = (link.pin_key, link.mac_key)
        await link.sign_in()
        assert (link.pin_key, link.mac_key) != first
        link.pin_key, link.mac_key = first
        assert (await link.ask("0200", link.sale(Scenario.APPROVED, 1)))["39"] == "00"
        await link.sign_in()
        current = link.mac_key
        link.pin_key, link.mac_key = first
        await link.send("0200", link.sale(Scenario.APPROVED, 2))
        link.mac_key = current
        assert (await link.receive())["39"] == "A0"
        link.close()


async def test_answers_overtake_each_other(
    run: Callable[..., Any], change: Callable[..., Any]
) -> None:
    """With a reordering window every sale is answered once, in another order."""
    async with run(change({"reorder_window_ms": 60})) as sandbox:
        streams = await asyncio.open_connection("127.0.0.1", sandbox.ports.card)
        link = ForeignLink(*streams)
        await link.sign_in()
        for trace in range(1, 21):
            await link.send("0200", link.sale(Scenario.APPROVED, trace))
        order = [(await link.receive())["11"] for _ in range(20)]
        sent = [f"{trace:06d}" for trace in range(1, 21)]
        assert sorted(order) == sent and order != sent
        link.close()


async def test_garbage_ends_the_connection_only(link: ForeignLink, sandbox: Any) -> None:
    """A frame that is no message, or too long, closes that connection; others go on."""
    for raw in (b"\x00\x03abc", b"\xff\xff" + bytes(40)):
        reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.ports.card)
        writer.write(raw)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
    assert (await link.ask("0200", link.sale(Scenario.APPROVED, 1)))["39"] == "00"


@pytest.mark.parametrize(
    ("rule", "copies", "good_mac"),
    [
        ({"kind": "duplicate"}, 2, True),
        ({"kind": "corrupt"}, 1, False),
        ({"kind": "drop"}, 0, True),
        ({"kind": "drop", "stage": "before"}, 0, True),
    ],
)
async def test_faults_of_a_sale(
    link: ForeignLink, sandbox: Any, rule: dict[str, object], copies: int, good_mac: bool
) -> None:
    """The fault strikes the first sale only; before or after the charge as told."""
    body = {"channel": "unionpay_card", "rules": [{"match": "0200", "limit": 1, **rule}]}
    assert (await sandbox.control("POST", "/faults", body))[0] == 200
    await link.send("0200", link.sale(Scenario.APPROVED, 1))
    for _ in range(copies):
        if good_mac:
            assert (await link.receive())["11"] == "000001"
        else:
            with pytest.raises(AssertionError):
                await link.receive()
    assert (await link.ask("0200", link.sale(Scenario.APPROVED, 2)))["11"] == "000002"
    struck = [c for c in await sandbox.charges() if c["order_no"] == order_no(1)]
    assert len(struck) == (0 if rule.get("stage") == "before" else 1)
