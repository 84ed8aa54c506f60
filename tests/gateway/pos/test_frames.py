"""What is no message, and what is too many: one connection suffers, the others do not."""

import asyncio
import socket

import pytest

from pos_protocol.codec import Message
from sandbox.scenarios import ALIPAY_CODES, CARDS, Scenario
from tests.gateway.pos.conftest import OpenHouse
from tests.gateway.pos.foreign_terminal import HEADER, SIGN_IN_AGAIN, TPDU, ForeignTerminal
from tests.gateway.pos.house import House, Plan, until
from tests.gateway.pos.lines import framed, message, open_listener

CARD = CARDS[Scenario.APPROVED]
PLANTED = "9900000000000010"
ENVELOPE = bytes.fromhex(TPDU + HEADER)


def bitmap(*numbers: int) -> str:
    return f"{sum(1 << (64 - number) for number in numbers):016X}"


WRONG = {
    "length zero": b"\0\0",
    "length zero after a planted card": b"\0\0" + PLANTED.encode(),
    "longer than the bound": b"\xff\xff" + PLANTED.encode() * 10,
    "one above the bound": (4097).to_bytes(2, "big") + bytes(100),
    "an HTTP request": b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "a TLS hello": bytes.fromhex("160301020001000001fc0303") + bytes(200),
    "one byte": framed(b"\x60"),
    "an envelope alone": framed(ENVELOPE),
    "a planted card as text": framed(PLANTED.encode() * 4),
    "random bytes": framed(bytes((i * 167 + 13) % 256 for i in range(300))),
    "an MTI that is not BCD": message("0A00", bitmap(3), "000000"),
    "no bitmap": framed(ENVELOPE + bytes.fromhex("0200")),
    "a second bitmap": message("0200", "8000000000000000", "00" * 8),
    "a field outside the table": message("0200", bitmap(3, 5), "000000" + "00" * 6),
    "an amount that is not BCD": message("0200", bitmap(4), "00000000000A"),
    "a length that is not BCD": message("0200", bitmap(2), "FF" + PLANTED),
    "a card number that is too long": message("0200", bitmap(2), "99" + PLANTED * 4),
    "a field that ends early": message("0200", bitmap(2, 3), "16" + PLANTED[:8]),
    "bytes after the last field": message("0200", bitmap(2), "16" + PLANTED + "00"),
    "a terminal number that is not text": message("0820", bitmap(41), "00FF" * 4),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_frame_closes_its_connection_only(
    house: House, till: ForeignTerminal, name: str
) -> None:
    """Closed without a word after one masked line; a neighbour sells before and after."""
    bad = house.terminal(till.who)
    await bad.ask("0820", bad.echo())
    await bad.send(WRONG[name])
    assert await bad.hears_hang_up() == b""
    (line,) = house.events("pos connection closed")
    assert line["level"] == "warning" and line["reason"]
    assert PLANTED.encode() not in house.log
    assert (await till.ask("0200", till.card_sale(CARD.pan, CARD.pin)))["39"] == "00"


async def test_what_came_before_a_wrong_frame_is_answered(
    house: House, till: ForeignTerminal
) -> None:
    """A sale, then garbage in the same write: the sale counts and its repeat is answered."""
    sale = till.card_sale(CARD.pan, CARD.pin)
    frame = till.pack("0200", sale)
    await till.send(frame + b"\0\0garbage")
    await till.hears_hang_up()
    till.hang_up()
    assert await house.ended(till, sale["11"]) == "succeeded"
    assert (await till.ask_raw(frame))["39"] == "00"
    assert await house.charged_and_returned() == ([1990], [0])


async def test_a_cut_off_frame_is_logged(house: House, till: ForeignTerminal) -> None:
    """Half a sale, then the end of the stream: nothing is sold, one masked line."""
    frame = till.pack("0200", till.card_sale(CARD.pan, CARD.pin))
    await till.send(frame[:-20])
    _, writer = await till.connect()
    writer.write_eof()
    assert await till.hears_hang_up() == b""
    assert len(house.events("pos connection closed")) == 1
    assert await house.charges() == []


async def test_one_byte_at_a_time(house: House, till: ForeignTerminal) -> None:
    """A sale in single-byte writes is a sale."""
    _, writer = await till.connect()
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for octet in till.pack("0200", till.card_sale(CARD.pan, CARD.pin)):
        writer.write(bytes([octet]))
        await asyncio.sleep(0)
    assert (await till.receive())["39"] == "00"
    assert await house.charged_and_returned() == ([1990], [0])


async def test_a_thousand_frames_in_one_write(house: House, till: ForeignTerminal) -> None:
    """Every one of them is answered, sales among them once each."""
    frames = []
    for number in range(1000):
        if number % 20:
            frames.append(till.pack("0820", till.echo()))
        else:
            frames.append(till.pack("0200", till.card_sale(CARD.pan, CARD.pin)))
    await till.send(b"".join(frames))
    answers = [await till.receive() for _ in frames]
    assert [a["t"] for a in answers].count("0210") == 50
    assert {a["39"] for a in answers} == {"00"}
    assert await house.charged_and_returned() == ([1990] * 50, [0] * 50)


async def test_more_in_flight_than_the_bound(open_shop: OpenHouse) -> None:
    """With room for four messages at a time a hundred are still all answered."""
    async with open_shop(Plan(pos={"max_in_flight_per_connection": 4})) as house:
        till = await house.signed_in()
        frames = [till.pack("0820", till.echo()) for _ in range(100)]
        await till.send(b"".join(frames[:50]))
        for frame in frames[50:]:
            await till.send(frame)
        assert {(await till.receive())["39"] for _ in frames} == {"00"}


async def test_connections_above_the_bound_are_refused(open_shop: OpenHouse) -> None:
    """The third of two is hung up on; when one leaves there is room again."""
    async with open_shop(Plan(pos={"max_connections": 2})) as house:
        who = await house.provision()
        first, second, third = (house.terminal(who) for _ in range(3))
        for terminal in (first, second):
            await terminal.ask("0820", terminal.echo())
        await third.connect()
        assert await third.hears_hang_up() == b""
        third.hang_up()
        first.hang_up()
        listener = house.gateway.pos_listener
        assert listener is not None
        await until(lambda: listener.connections() == 1)
        assert (await third.ask("0820", third.echo()))["39"] == "00"


@pytest.mark.parametrize("mti", ["0210", "0410", "0810", "0830", "0230", "0110"])
async def test_an_answer_sent_to_us_is_ignored(
    house: House, till: ForeignTerminal, mti: str
) -> None:
    """No reply, no effect, and the connection lives."""
    sale = till.card_sale(CARD.pan, CARD.pin)
    await till.send(till.pack(mti, sale | {"39": "00", "64": "00000000"}))
    assert (await till.ask("0820", till.echo()))["t"] == "0830"
    assert await house.payment(till, sale["11"]) is None


@pytest.mark.parametrize(
    "mti", ["0000", "0240", "0260", "0280", "0281", "0290", "0600", "9999", "1200"]
)
async def test_an_mti_that_nobody_uses(house: House, till: ForeignTerminal, mti: str) -> None:
    """Refused or ignored, never a fault of ours, and the connection lives."""
    sale = till.card_sale(CARD.pan, CARD.pin)
    await till.send(till.pack(mti, sale | {"64": "00000000"}))
    await till.send(till.pack("0820", till.echo()))
    answer = await till.receive()
    if answer["t"] != "0830":
        assert answer["39"] in ("30", "40")
        answer = await till.receive()
    assert answer["t"] == "0830"
    assert await house.payment(till, sale["11"]) is None
    assert not house.events("pos message fault")
    assert b"Traceback" not in house.log


async def test_the_header_and_tpdu_of_each_message_come_back(
    house: House, till: ForeignTerminal
) -> None:
    """TPDU: addresses change places. Header: repeated, with an instruction. Refusals have both."""
    answer = await till.ask("0820", till.echo())
    assert answer.raw[:11] == bytes.fromhex("6012340003" + HEADER)
    refused = await till.ask("0200", till.card_sale(CARD.pan), spoil_mac=True)
    assert refused.raw[:11] == bytes.fromhex("6012340003" + SIGN_IN_AGAIN)


async def test_a_peer_that_never_reads_is_not_read_from() -> None:
    """Replies that nobody fetches stop the reading, so memory is bounded; fetching goes on."""
    handled = 0

    async def handle(_payload: bytes, _message: Message) -> bytes:
        nonlocal handled
        handled += 1
        return bytes(60_000)

    listener = open_listener(handle, max_in_flight_per_connection=1000)
    port = await listener.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1000)
    frame, count = message("0820", bitmap(41), "31" * 8), 2000
    for _ in range(count):
        writer.write(frame)
        await asyncio.sleep(0)
    for _ in range(100):
        await asyncio.sleep(0.005)
    assert handled < count / 2
    for _ in range(count):
        await reader.readexactly(60_002)
    assert handled == count
    writer.close()
    await listener.close()


async def test_who_drains_hangs_up_the_idle_at_once_and_the_others_after_their_last_reply() -> None:
    """What was sent on a busy connection is all answered, beyond the bound in flight too."""
    opened, begun = asyncio.Event(), 0

    async def handle(_payload: bytes, _message: Message) -> bytes:
        nonlocal begun
        begun += 1
        await opened.wait()
        return b"reply"

    listener = open_listener(handle, max_in_flight_per_connection=2)
    port = await listener.start("127.0.0.1", 0)
    idle, idle_writer = await asyncio.open_connection("127.0.0.1", port)
    busy, busy_writer = await asyncio.open_connection("127.0.0.1", port)
    busy_writer.write(message("0820", bitmap(41), "31" * 8) * 5)
    await until(lambda: begun == 2 and listener.connections() == 2)
    listener.hang_up()
    assert await idle.read() == b""
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)
    assert listener.connections() == 1
    opened.set()
    async with asyncio.timeout(5):
        assert await busy.read() == framed(b"reply") * 5
    assert begun == 5
    await until(lambda: listener.connections() == 0)
    for writer in (idle_writer, busy_writer):
        writer.close()
    await listener.close()


async def test_a_connection_that_was_accepted_as_the_draining_began_is_hung_up() -> None:
    async def handle(_payload: bytes, _message: Message) -> bytes:
        raise AssertionError("nothing is answered")

    class Line(asyncio.Transport):
        is_closed = False

        def close(self) -> None:
            self.is_closed = True

    listener, line = open_listener(handle, max_in_flight_per_connection=2), Line()
    listener.hang_up()
    listener.connection().connection_made(line)
    assert line.is_closed
    assert listener.connections() == 0


async def test_a_terminal_that_waits_hears_its_sale_before_a_draining_gateway_hangs_up(
    house: House,
) -> None:
    """SIGTERM in the middle of a sale: approved and closed, while the idle neighbour is gone."""
    till = await house.signed_in()
    neighbour = house.terminal(till.who)
    await neighbour.ask("0820", neighbour.echo())
    acting = ALIPAY_CODES[Scenario.USER_PAYING]
    await till.send(till.pack("0200", till.scan_sale(acting)))
    await until(lambda: house.gateway.core.payments.in_flight() == 1)
    stopping = asyncio.create_task(house.gateway.stop())
    assert await neighbour.hears_hang_up() == b""
    assert not stopping.done()
    assert (await till.receive())["39"] == "00"
    assert await till.hears_hang_up() == b""
    await stopping
