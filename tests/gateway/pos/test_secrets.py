"""Nothing of a card, a PIN, a code or a key rests in clear: not in logs, not in the database.

Every value that a terminal ever sent or was given is planted, then looked for in the
bytes of every file that the gateway wrote, in each form that it could take.
"""

import asyncio
import base64
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.scenarios import ALIPAY_CODES, CARDS, Scenario
from tests.gateway.pos.foreign_terminal import Fields, ForeignTerminal
from tests.gateway.pos.house import House

CHIP = bytes.fromhex("9F2608C0FFEE5EC2E7C0DE9F2701809F3602001A82021C00950500000000009A03261122")


def forms(name: str, value: bytes) -> Iterator[tuple[str, bytes]]:
    """A binary value as itself, as hex of both cases and as base64."""
    yield f"{name} raw", value
    yield f"{name} hex", value.hex().encode()
    yield f"{name} HEX", value.hex().upper().encode()
    yield f"{name} base64", base64.b64encode(value).rstrip(b"=")


def digits(name: str, text: str) -> Iterator[tuple[str, bytes]]:
    """A number as text and packed as BCD."""
    yield name, text.encode()
    if len(text) % 2 == 0:
        yield f"{name} BCD", bytes.fromhex(text)


class Planted:
    """Everything that must not be found."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def sale(self, till: ForeignTerminal, sale: Fields) -> None:
        """The secrets of one sale, and of the terminal that sends it."""
        number = f"{till.who.terminal_id}/{sale['11']}"
        for field in ("2", "35"):
            if field in sale:
                value = sale[field]
                self.values |= digits(f"{number} F{field}", value.partition("D")[0])
                self.values[f"{number} F{field} whole"] = value.encode()
                self.values[f"{number} F{field} ="] = value.replace("D", "=").encode()
                self.values[f"{number} track tail"] = b"10000012300"
        if "59" in sale:
            self.values |= digits(f"{number} code", sale["59"][-18:])
        for field in ("52", "55"):
            if field in sale:
                self.values |= forms(f"{number} F{field}", bytes.fromhex(sale[field]))
        self.keys(till)

    def keys(self, till: ForeignTerminal) -> None:
        """Master key and working keys of a terminal."""
        for name in ("pin_key", "mac_key", "track_key"):
            key = getattr(till, name)
            if key:
                self.values |= forms(f"{till.who.terminal_id} {name} {key[:1].hex()}", key)
        self.values |= forms(f"{till.who.terminal_id} tmk", till.who.tmk)

    def found_in(self, data: bytes) -> list[str]:
        return [name for name, value in self.values.items() if value in data]


def secrets_of_the_installation(folder: Path) -> dict[str, bytes]:
    """Keys that rest in files of their own and nowhere else."""
    master, link = ((folder / f"{name}.key").read_text() for name in ("master", "link-tmk"))
    values = dict(forms("master key", bytes.fromhex(master)))
    values |= forms("link key", bytes.fromhex(link))
    pem = (folder / "app-private.pem").read_text().splitlines()
    return values | {"app key": pem[5].encode()}


async def _everything_a_day_brings(house: House, planted: Planted) -> None:
    """Approved, declined, lost, refused, reversed and broken messages of three terminals."""
    tills = [
        await house.signed_in("99100001"),
        await house.signed_in("99100002", scheme="3des-tdk", mac="x9.19"),
        await house.signed_in("99100003", scheme="des"),
    ]
    await asyncio.gather(*(_a_tills_day(till, planted) for till in tills))


async def _a_tills_day(till: ForeignTerminal, planted: Planted) -> None:
    for scenario in CARDS:
        card = CARDS[scenario]
        sale = till.card_sale(card.pan, card.pin, chip=CHIP)
        planted.sale(till, sale)
        await till.ask("0200", sale)
    sale = till.card_sale(CARDS[Scenario.APPROVED].pan)
    planted.sale(till, sale)
    await till.ask("0200", sale)
    await till.ask("0400", till.reversal(sale))
    for code in (*ALIPAY_CODES.values(), "990000000000000008"):
        if code == ALIPAY_CODES[Scenario.NEVER_PAYS]:
            continue
        sale = till.scan_sale(code)
        planted.sale(till, sale)
        await till.ask("0200", sale)
    await till.sign_in()
    await _refused(till, planted)


async def _refused(till: ForeignTerminal, planted: Planted) -> None:
    card = CARDS[Scenario.APPROVED]
    for changes in ({"41": "99999999"}, {"4": ""}, {"49": "840"}, {"3": "310000"}, {"60": "1"}):
        sale = till.card_sale(card.pan, card.pin, chip=CHIP, changes=changes)
        planted.sale(till, sale)
        await till.ask("0200", sale)
        await till.ask("0200", sale, spoil_mac=True)
    sale = till.card_sale(card.pan, card.pin)
    frame = till.pack("0200", sale)
    for broken in (frame[:-1], frame + b"\0", frame.replace(b"156", b"\xff56")):
        await till.send((len(broken) - 2).to_bytes(2, "big") + broken[2:])
        await till.hears_hang_up()
        till.hang_up()


async def test_nothing_secret_rests_in_clear(house: House) -> None:
    """Not in the log at debug level, nor in the database file, its WAL or its index."""
    planted = Planted()
    await _everything_a_day_brings(house, planted)
    planted.values |= secrets_of_the_installation(house.folder)
    assert len(planted.values) > 150
    files = sorted(house.folder.glob("posgate.db*"))
    assert files[0].name == "posgate.db" and len(files) == 3
    for file in files:
        assert planted.found_in(file.read_bytes()) == [], file.name
    assert planted.found_in(house.log) == []
    assert len(house.events("pos message")) > 60
    await house.stop_gateway()
    assert planted.found_in((house.folder / "posgate.db").read_bytes()) == []
    assert planted.found_in(house.log) == []


async def test_the_search_would_find_what_is_there(house: House) -> None:
    """The probe of the test above sees a planted value in each form."""
    till = await house.signed_in()
    planted = Planted()
    sale = till.card_sale(CARDS[Scenario.APPROVED].pan, "123456", chip=CHIP)
    planted.sale(till, sale)
    for name, value in planted.values.items():
        assert name in planted.found_in(b"\0" + value + b"\0")


@pytest.mark.parametrize("method", ["card", "code"])
async def test_no_value_shows_a_secret_in_its_repr(house: House, method: str) -> None:
    """What a traceback or a debugger prints of live values holds no PAN, PIN, code or key."""
    till = await house.signed_in()
    card, code = CARDS[Scenario.APPROVED], ALIPAY_CODES[Scenario.APPROVED]
    await house.faults("unionpay_card", {"kind": "delay", "match": "0200", "delay_ms": 300})
    await house.faults("alipay", {"kind": "delay", "match": "alipay.trade.pay", "delay_ms": 300})
    sale = till.card_sale(card.pan, card.pin) if method == "card" else till.scan_sale(code)
    await till.send(till.pack("0200", sale))
    await house.begun(till, sale["11"])
    shown = [repr(value) for value in gc.get_objects() if _is_ours(value)]
    assert any("PayRequest" in text for text in shown)
    assert any("Exchange" in text for text in shown)
    hidden = (till.mac_key, till.pin_key, bytes.fromhex(sale.get("52", "AB" * 8)))
    for text in shown:
        assert card.pan not in text and code not in text
        for value in (*hidden, bytes.fromhex(card.pan)):
            assert value.hex() not in text.lower() and repr(value)[2:-1] not in text
    await till.receive()


def _is_ours(value: object) -> bool:
    module = str(getattr(type(value), "__module__", ""))
    is_a_help_text = module.startswith("gateway.cli.")  # it names the demo's own test cards
    is_ours = module.startswith(("gateway.", "channels.", "pos_prot"))
    return is_ours and not is_a_help_text and not isinstance(value, type)
