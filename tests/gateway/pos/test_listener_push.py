"""Pushes: to whom, when, how many, and never in anybody's way."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.pos.listener import PosListener
from pos_protocol.codec import Message, encode, encode_with_mac
from pos_protocol.session import reply_to
from sandbox.scenarios import CARDS, Scenario
from tests.gateway.pos.conftest import OpenHouse
from tests.gateway.pos.house import Plan, until
from tests.gateway.pos.lines import framed, open_listener

CARD = CARDS[Scenario.APPROVED]
MERCHANT, TERMINAL = "990000000000001", "99100001"
PUSH = b"a push"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def _from_terminal(terminal_id: str = TERMINAL) -> bytes:
    fields = {11: "000001", 41: terminal_id, 42: MERCHANT, 60: "00000001000"}
    return framed(encode(Message(bytes.fromhex("6000031234"), b"", "0820", dict(fields))))


class Door:
    """Answers with a MAC, or without when the message was not authenticated."""

    def __init__(self) -> None:
        self.has_mac = True
        self.open = asyncio.Event()
        self.open.set()
        self.begun = 0

    async def handle(self, _payload: bytes, message: Message) -> bytes:
        self.begun += 1
        await self.open.wait()
        answer = reply_to(message, {39: "00"})
        return encode_with_mac(answer, lambda _: b"0" * 8) if self.has_mac else encode(answer)


class Place:
    """A listener that pushes, and its peers."""

    def __init__(self, **bounds: Any) -> None:
        self.door = Door()
        self.listener: PosListener = open_listener(self.door.handle, **{"max_pushes": 3, **bounds})
        self.port = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def peer(self, terminal_id: str = TERMINAL) -> Streams:
        """A peer that has sent one message and heard its answer."""
        streams = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(streams[1])
        await self.ask(streams, terminal_id)
        return streams

    async def ask(self, streams: Streams, terminal_id: str = TERMINAL) -> bytes:
        streams[1].write(_from_terminal(terminal_id))
        return await hears(streams[0])

    def push(self, payload: bytes = PUSH, terminal_id: str = TERMINAL) -> bool:
        return self.listener.push(MERCHANT, terminal_id, payload)


async def hears(reader: asyncio.StreamReader) -> bytes:
    """The next frame."""
    async with asyncio.timeout(5):
        return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    made = Place()
    made.port = await made.listener.start("127.0.0.1", 0)
    yield made
    for writer in made.writers:
        writer.transport.abort()
    made.door.open.set()
    await made.listener.close()


async def test_a_push_reaches_the_terminal_that_is_connected(place: Place) -> None:
    reader, _ = await place.peer()
    assert place.push()
    assert await hears(reader) == PUSH
    assert place.listener.reachable() == 1


async def test_it_goes_to_the_connection_that_spoke_last(place: Place) -> None:
    first, second = await place.peer(), await place.peer()
    assert place.push()
    assert await hears(second[0]) == PUSH
    await place.ask(first)
    assert place.push(b"another")
    assert await hears(first[0]) == b"another"
    assert place.listener.reachable() == 1


async def test_two_terminals_on_one_connection_are_both_reached(place: Place) -> None:
    """A concentrator carries many."""
    streams = await place.peer()
    await place.ask(streams, "99100002")
    assert place.push(b"one") and place.push(b"two", "99100002")
    assert [await hears(streams[0]), await hears(streams[0])] == [b"one", b"two"]


async def test_who_showed_no_key_is_not_pushed_to(place: Place) -> None:
    """A message that was answered without a MAC proves nothing of who sent it."""
    place.door.has_mac = False
    await place.peer()
    assert not place.push()
    assert place.listener.reachable() == 0


async def test_an_unauthenticated_message_does_not_take_a_terminal_over(place: Place) -> None:
    first = await place.peer()
    place.door.has_mac = False
    await place.peer()
    assert place.push()
    assert await hears(first[0]) == PUSH


async def test_a_push_waits_until_nothing_is_in_flight(place: Place) -> None:
    """A terminal that waits for an answer hears that first."""
    streams = await place.peer()
    place.door.open.clear()
    streams[1].write(_from_terminal())
    await until(lambda: place.door.begun == 2)
    assert place.push()
    place.door.open.set()
    assert await hears(streams[0]) != PUSH
    assert await hears(streams[0]) == PUSH


async def test_a_terminal_that_has_begun_to_ask_is_answered_first(place: Place) -> None:
    streams = await place.peer()
    request = _from_terminal()
    streams[1].write(request[:10])
    (connection,) = place.listener._connections
    await until(lambda: connection._session.buffered_bytes == 10)
    assert place.push()
    streams[1].write(request[10:])
    assert await hears(streams[0]) != PUSH
    assert await hears(streams[0]) == PUSH


async def test_only_so_many_wait(place: Place) -> None:
    streams = await place.peer()
    place.door.open.clear()
    streams[1].write(_from_terminal())
    await until(lambda: place.door.begun == 2)
    assert [place.push(b"%d" % number) for number in range(5)] == [True] * 3 + [False] * 2
    place.door.open.set()
    assert len(await hears(streams[0])) > 1
    assert [await hears(streams[0]) for _ in range(3)] == [b"0", b"1", b"2"]


async def test_a_terminal_that_left_is_forgotten(place: Place) -> None:
    _, writer = await place.peer()
    writer.close()
    await until(lambda: place.listener.connections() == 0)
    assert not place.push()
    assert place.listener.reachable() == 0


async def test_an_unknown_terminal_is_told_at_once(place: Place) -> None:
    assert not place.push()


async def test_only_so_many_terminals_are_remembered() -> None:
    """As many as there may be connections; who is over is asked for by nobody."""
    place = Place(max_connections=2)
    place.port = await place.listener.start("127.0.0.1", 0)
    streams = await place.peer()
    for terminal_id in ("99100002", "99100003"):
        await place.ask(streams, terminal_id)
    assert place.listener.reachable() == 2
    assert not place.push(terminal_id="99100003")
    streams[1].transport.abort()
    await place.listener.close()


async def test_off_by_default() -> None:
    listener = open_listener(Door().handle)
    assert not listener.push(MERCHANT, TERMINAL, PUSH)


@pytest.mark.parametrize("on", [True, False])
async def test_a_real_terminal_is_reached_after_its_sale(open_shop: OpenHouse, on: bool) -> None:
    """A sign-in proves nothing, a sale does; and only where it is switched on."""
    async with open_shop(Plan(pos={"push": on})) as house:
        till = await house.signed_in()
        listener = house.gateway.pos_listener
        assert not listener.push(MERCHANT, TERMINAL, PUSH)
        assert (await till.ask("0200", till.card_sale(CARD.pan, CARD.pin)))["39"] == "00"
        await till.ask("0820", till.echo())
        assert listener.push(MERCHANT, TERMINAL, PUSH) is on
        if on:
            reader, _ = await till.connect()
            assert await hears(reader) == PUSH
        assert (await till.ask("0200", till.card_sale(CARD.pan, CARD.pin)))["39"] == "00"
