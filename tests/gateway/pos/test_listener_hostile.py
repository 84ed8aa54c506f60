"""Connections that mean no good: what each of them may hold is bounded, the others go on.

The door is a fake here, so that every message that was begun can be counted.
"""

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from gateway.metrics import Metrics
from gateway.pos.connection import PosConnection
from gateway.pos.listener import PosListener
from pos_protocol.codec import Message
from sandbox.scenarios import CARDS, Scenario
from tests.gateway.pos.conftest import OpenHouse
from tests.gateway.pos.house import Plan, until
from tests.gateway.pos.lines import (
    BOUNDS,
    ECHO,
    EVENT_LOOPS,
    AheadClock,
    framed,
    hears_hang_up,
    message,
    open_listener,
)

__all__ = ["EVENT_LOOPS"]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
CARD = CARDS[Scenario.APPROVED]
READ_BYTES = 256 * 1024
"""What a transport reads at once, at most."""


class Door:
    """Answers with the request's own bytes; holds the answers back while it is shut."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.begun = self.under_way = self.most = 0
        self.reply_bytes = 0

    async def handle(self, payload: bytes, _message: Message) -> bytes:
        self.begun += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await self.open.wait()
        await asyncio.sleep(0)
        self.under_way -= 1
        return bytes(self.reply_bytes) if self.reply_bytes else payload


class Place:
    """A door, its listener, and peers that are hung up at the end."""

    def __init__(self, **bounds: object) -> None:
        self.door = Door()
        self.metrics = Metrics()
        self.clock = AheadClock()
        self.listener: PosListener = open_listener(
            self.door.handle, self.metrics, self.clock, **bounds
        )
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def peer(self, limit: int = 1 << 20) -> Streams:
        streams = await asyncio.open_connection("127.0.0.1", self.port, limit=limit)
        self._writers.append(streams[1])
        return streams

    async def neighbour_is_served(self) -> None:
        """Another terminal's message is answered."""
        reader, writer = await self.peer()
        async with asyncio.timeout(5):
            writer.write(ECHO)
            assert await reader.readexactly(len(ECHO)) == ECHO
        writer.close()

    def connection(self) -> PosConnection:
        """The only one."""
        (connection,) = self.listener._connections
        return connection

    async def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self.door.open.set()
        await self.listener.close()


Opened = Callable[..., Awaitable[Place]]


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    """Opens a listener with other bounds than the usual."""
    places: list[Place] = []

    async def open_place(**bounds: object) -> Place:
        place = Place(**bounds)
        places.append(place)
        place.port = await place.listener.start("127.0.0.1", 0)
        return place

    yield open_place
    for place in places:
        await place.close()


def held_bytes(connection: PosConnection) -> int:
    """What one connection keeps of what came in."""
    waiting = sum(len(event.payload) for event in connection._backlog)
    return waiting + len(connection._unread) + connection._session.buffered_bytes


async def test_a_thousand_frames_in_one_write_begin_no_more_than_the_bound(
    opened: Opened,
) -> None:
    """In any order of reads: at most eight under way, all answered, in their order."""
    place = await opened()
    reader, writer = await place.peer()
    frames = [message("0820", "0000000000800000", f"{n:08}".encode().hex()) for n in range(1000)]
    writer.write(b"".join(frames))
    async with asyncio.timeout(10):
        heard = await reader.readexactly(sum(map(len, frames)))
    assert heard == b"".join(frames)
    assert place.door.begun == 1000
    assert place.door.most == BOUNDS.max_in_flight_per_connection


async def test_all_connections_together_begin_no_more_than_the_bound(opened: Opened) -> None:
    """Ten with ten messages each and room for six: each has its turn, all are answered."""
    place = await opened(max_in_flight=6, max_connections=20)
    place.door.open.clear()
    peers = [await place.peer() for _ in range(10)]
    for _, writer in peers:
        writer.write(ECHO * 10)
    await until(lambda: len(place.listener._waiting) >= 9)
    assert (place.door.begun, place.listener.in_flight()) == (6, 6)
    peers[3][1].transport.abort()
    place.door.open.set()
    for number, (reader, _) in enumerate(peers):
        if number != 3:
            async with asyncio.timeout(5):
                assert await reader.readexactly(10 * len(ECHO)) == ECHO * 10
    assert place.door.most == 6
    await until(lambda: not place.listener._waiting)


async def test_what_waits_beyond_the_bound_waits_as_bytes_of_one_read(opened: Opened) -> None:
    """Two megabytes of messages at a door that answers nobody: one read is taken, no more."""
    place = await opened()
    place.door.open.clear()
    reader, writer = await place.peer(limit=1 << 24)
    count = 2 * 1024 * 1024 // len(ECHO)
    writer.write(ECHO * count)
    await until(lambda: place.door.under_way == BOUNDS.max_in_flight_per_connection)
    for _ in range(20):
        await asyncio.sleep(0.01)
    connection = place.connection()
    assert place.door.begun == BOUNDS.max_in_flight_per_connection
    assert len(connection._backlog) <= 4096 // len(ECHO) + 1
    assert held_bytes(connection) <= READ_BYTES
    assert connection._paused
    place.door.open.set()
    async with asyncio.timeout(30):
        await reader.readexactly(len(ECHO) * count)
    assert place.door.most == BOUNDS.max_in_flight_per_connection
    assert held_bytes(connection) == 0


async def test_a_peer_that_does_not_read_gets_nothing_more_begun(opened: Opened) -> None:
    """Its messages wait although there is room in flight; they are begun when it reads."""
    place = await opened()
    place.door.reply_bytes = 60_000
    reader, writer = await place.peer(limit=1000)
    count = 3000
    writer.write(ECHO * count)
    before = -1
    while before != place.door.begun:
        before = place.door.begun
        for _ in range(20):
            await asyncio.sleep(0.005)
    assert place.door.begun < count / 2
    assert held_bytes(place.connection()) <= READ_BYTES
    async with asyncio.timeout(30):
        for _ in range(count):
            await reader.readexactly(60_002)
    assert place.door.begun == count


async def test_a_frame_that_comes_too_slowly_closes_its_connection(opened: Opened) -> None:
    """A byte now and then: bounded in time however it is spread, counted as a bad frame."""
    place = await opened(frame_timeout_s=0.3)
    reader, writer = await place.peer()

    async def drip() -> None:
        for octet in ECHO[:-1]:
            writer.write(bytes((octet,)))
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())
    assert await hears_hang_up(reader) == b""
    dripping.cancel()
    assert place.door.begun == 0
    assert b"posgate_bad_frames_total 1.0" in place.metrics.exposition()
    await place.neighbour_is_served()


async def test_slow_frames_one_after_the_other_are_each_given_their_time(opened: Opened) -> None:
    """Half a frame with the end of the one before: the clock starts with each first byte."""
    place = await opened()
    reader, writer = await place.peer()
    writer.write(ECHO[:10])
    for number in range(6):
        writer.write(ECHO[10:] + ECHO[:10])
        async with asyncio.timeout(5):
            assert await reader.readexactly(len(ECHO)) == ECHO
        place.clock.ahead_s += 0.7 * BOUNDS.frame_timeout_s
        await place.listener.sweep()
        assert place.listener.connections() == 1, number
    place.clock.ahead_s += 0.7 * BOUNDS.frame_timeout_s
    await place.listener.sweep()
    assert await hears_hang_up(reader) == b""


async def test_a_silent_peer_is_hung_up_on(opened: Opened) -> None:
    """Connected, sold, then silent for longer than the bound."""
    place = await opened(idle_timeout_s=0.3)
    reader, writer = await place.peer()
    writer.write(ECHO)
    assert await hears_hang_up(reader) == ECHO
    assert place.listener.connections() == 0


async def test_who_waits_for_an_answer_is_not_silent(opened: Opened) -> None:
    """A sale that takes longer than the idle bound is answered on its connection."""
    place = await opened()
    place.door.open.clear()
    reader, writer = await place.peer()
    writer.write(ECHO)
    await until(lambda: place.door.under_way == 1)
    place.clock.ahead_s += 2 * BOUNDS.idle_timeout_s
    await place.listener.sweep()
    place.door.open.set()
    async with asyncio.timeout(5):
        assert await reader.readexactly(len(ECHO)) == ECHO
    await place.listener.sweep()
    assert await hears_hang_up(reader) == b""


async def test_a_peer_that_reads_nothing_is_cut_off_in_the_end(opened: Opened) -> None:
    """What is written and never read cannot hold a closed connection open."""
    place = await opened(idle_timeout_s=0.5, frame_timeout_s=0.2)
    place.door.reply_bytes = 60_000
    quiet = socket.create_connection(("127.0.0.1", place.port))
    quiet.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    quiet.sendall(ECHO * 400)
    await until(lambda: place.door.begun > 8)
    await until(lambda: place.listener.connections() == 0)
    quiet.close()


async def test_the_system_asks_whether_a_half_open_peer_lives(opened: Opened) -> None:
    """A peer that vanished without a word is found out by TCP itself."""
    place = await opened(keepalive_s=90)
    await place.peer()
    await until(lambda: place.listener.connections() == 1)
    transport = place.connection()._transport
    assert transport is not None
    sock = transport.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 90
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 30
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 180_000


async def test_single_bytes_are_a_frame_in_the_end(opened: Opened) -> None:
    place = await opened()
    reader, writer = await place.peer()
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for octet in ECHO * 3:
        writer.write(bytes((octet,)))
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        assert await reader.readexactly(3 * len(ECHO)) == ECHO * 3


async def test_frames_of_every_wrong_length(opened: Opened) -> None:
    """From 0 to the bound and above, of bytes that are no message: closed, nothing begun."""
    place = await opened(max_connections=10_000)
    lengths = [*range(BOUNDS.max_frame_bytes + 2), 0xFFFF]
    for at in range(0, len(lengths), 200):
        hung_up = [
            _sends_and_hears(place, struct.pack(">H", size) + b"\xee" * size)
            for size in lengths[at : at + 200]
        ]
        assert await asyncio.gather(*hung_up) == [b""] * len(hung_up)
    assert place.door.begun == 0
    await until(lambda: place.listener.connections() == 0)
    expected = f"posgate_bad_frames_total {len(lengths)}.0"
    assert expected.encode() in place.metrics.exposition()
    await place.neighbour_is_served()


async def _sends_and_hears(place: Place, data: bytes) -> bytes:
    reader, writer = await place.peer()
    writer.write(data)
    return await hears_hang_up(reader)


async def test_garbage_of_every_kind(opened: Opened) -> None:
    """Random bytes, whole frames of them and a right beginning: hung up on, each alone."""
    place = await opened(max_connections=10_000)
    rng = random.Random(7)
    for _ in range(10):
        streams = []
        for _ in range(20):
            junk = rng.randbytes(rng.randrange(8, 300))
            streams += [b"\0\0" + junk, framed(junk), framed(ECHO[2:20] + junk)]
        heard = await asyncio.gather(*(_sends_and_hears(place, stream) for stream in streams))
        assert heard == [b""] * len(streams)
    assert place.door.begun == 0
    await place.neighbour_is_served()


async def test_five_hundred_slow_peers_leave_the_neighbour_alone(opened: Opened) -> None:
    """Each holds a few bytes of a frame; what they cost is that, and they are closed in time."""
    place = await opened(max_connections=1000, frame_timeout_s=1.0)
    readers = []
    for number in range(500):
        reader, writer = await place.peer()
        writer.write(ECHO[: 1 + number % (len(ECHO) - 1)])
        readers.append(reader)
    await until(lambda: place.listener.connections() == 500)
    await place.neighbour_is_served()
    assert sum(map(held_bytes, place.listener._connections)) <= 500 * len(ECHO)
    assert await asyncio.gather(*(hears_hang_up(reader, 10) for reader in readers)) == [b""] * 500
    await place.neighbour_is_served()


async def test_what_only_waited_is_forgotten_with_its_connection(opened: Opened) -> None:
    """The bound in flight goes on; what was never begun stays so."""
    place = await opened()
    place.door.open.clear()
    _, writer = await place.peer()
    writer.write(ECHO * 100)
    await until(lambda: place.door.under_way == BOUNDS.max_in_flight_per_connection)
    place.connection().close()
    await until(lambda: place.listener.connections() == 0)
    place.door.open.set()
    await until(lambda: place.door.under_way == 0)
    assert place.door.begun == BOUNDS.max_in_flight_per_connection


async def test_a_half_closed_peer_hears_every_answer(opened: Opened) -> None:
    """It sends a hundred messages and ends its side: all are answered, then it is hung up on."""
    place = await opened()
    reader, writer = await place.peer()
    writer.write(ECHO * 100)
    writer.write_eof()
    assert await hears_hang_up(reader) == ECHO * 100
    assert b"posgate_bad_frames_total 0.0" in place.metrics.exposition()


async def test_a_half_closed_peer_with_half_a_frame_hears_the_whole_ones(opened: Opened) -> None:
    place = await opened()
    reader, writer = await place.peer()
    writer.write(ECHO * 100 + ECHO[:20])
    writer.write_eof()
    assert await hears_hang_up(reader) == ECHO * 100
    assert b"posgate_bad_frames_total 1.0" in place.metrics.exposition()


async def test_a_terminal_sells_while_all_of_them_do_their_worst(open_shop: OpenHouse) -> None:
    """Slow ones, deaf ones, floods and garbage at once, each on connections of its own."""
    async with open_shop(Plan(pos={"max_in_flight_per_connection": 4})) as house:
        till = await house.signed_in()
        writers = []

        async def peer(data: bytes) -> None:
            _, writer = await asyncio.open_connection("127.0.0.1", house.pos_port, limit=1000)
            writers.append(writer)
            writer.write(data)

        echo = till.pack("0820", till.echo())
        for number in range(60):
            await peer(echo[: 1 + number % 40])  # the beginning of a frame
            await peer(framed(random.Random(number).randbytes(200)))
        for _ in range(10):
            await peer(echo * 2000)  # a flood, whose answers nobody reads
        for _ in range(5):
            sale = till.card_sale(CARD.pan, CARD.pin)
            assert (await till.ask("0200", sale))["39"] == "00"
        assert await house.charged_and_returned() == ([1990] * 5, [0] * 5)
        for connection in house.gateway.pos_listener._connections:
            assert held_bytes(connection) <= READ_BYTES
        for writer in writers:
            writer.transport.abort()
