"""Calls in their plain form, which the general server never sees, and those it must see."""

import asyncio

import orjson
import pytest

from gateway.http.call import ApiRequest, ApiResponse
from gateway.http.plain_calls import PlainCalls, PlainConnection
from gateway.http.plain_wire import read_plain, written
from gateway.sources import SystemClock
from sandbox.scenarios import ALIPAY_CODES, Scenario
from tests.http.line import Line, signed_payment
from tests.support.gateway import Running
from tests.support.waiting import eventually

APPROVED = ALIPAY_CODES[Scenario.APPROVED]
MOST = 1000
HEAD = (
    b"POST /v1/payments HTTP/1.1\r\nHost: pos.example\r\ncontent-type:application/json \r\n"
    b"Authorization: us\r\nContent-Length: 2\r\n\r\n"
)
PLAIN = HEAD + b"{}"


def test_a_plain_call_is_read() -> None:
    """Names in any case, blanks around values; what follows it is left."""
    found = read_plain(PLAIN + b"POST", MOST)
    assert found is not None
    asked, size = found
    assert (asked.method, asked.raw_path, asked.body) == ("POST", "/v1/payments", b"{}")
    assert asked.headers == {"Authorization": "us", "Content-Type": "application/json"}
    assert size == len(PLAIN)


@pytest.mark.parametrize("path", [b"/v1/payments/pay_A/cancel", b"/v1/payments/pay_A/refunds"])
def test_the_calls_about_a_payment_are_plain_too(path: bytes) -> None:
    """Its id stands in the path as it was signed."""
    found = read_plain(PLAIN.replace(b"/v1/payments", path), MOST)
    assert found is not None
    assert found[0].raw_path == path.decode()


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(HEAD[:-2], id="half a head"),
        pytest.param(PLAIN[:-1], id="half a body"),
        pytest.param(b"\x16\x03\x01", id="not HTTP"),
        *(
            pytest.param(PLAIN.replace(old, new), id=repr(new))
            for old, new in (
                (b"Host: pos.example\r\n", b""),
                (b"Host:", b"".join(b"X-%d:\r\n" % n for n in range(110)) + b"Host:"),
                (b"Host:", b"Sec-WebSocket-Key1: a\r\nHost:"),
                (b"POST", b"GET"),
                (b"POST", b"post"),
                (b"POST ", b"POST  "),
                (b"HTTP/1.1", b"HTTP/1.0"),
                (b"HTTP/1.1", b"HTTP/1.1 "),
                (b"/v1/payments", b"/v1/payments?a=b"),
                (b"/v1/payments", b"/v1/%70ayments"),
                (b"/v1/payments", b"/v1/payments/"),
                (b"/v1/payments", b"/v1/payments/x/../y"),
                (b"/v1/payments", b"https://pos.example/v1/payments"),
                (b"/v1/payments", b"/notify/alipay/alipay-1"),
                (b"\r\n", b"\n"),
                (b"Host: ", b" Host: "),
                (b"Host:", b"Host :"),
                (b"Host: ", b"Ho_st: "),
                (b"pos.example", b"pos.example\r\n more"),
                (b"pos.example", b"pos.\xc3\xa9xample"),
                (b"pos.example", b"pos.\x00example"),
                (b"pos.example", b"pos.\texample"),
                (b"pos.example", b"pos.\rexample"),
                (b"pos.example", b"p" * 5000),
                (b"Length: 2", b"Length: -2"),
                (b"Length: 2", b"Length: +2"),
                (b"Length: 2", b"Length: 2, 2"),
                (b"Length: 2", b"Length: 0x2"),
                (b"Length: 2", b"Length: "),
                (b"Length: 2", b"Length: 2\r\nContent-Length: 2"),
                (b"Length: 2", b"Length: 2\r\ncontent-length: 3"),
                (b"Length: 2", b"Length: 1001"),
                (b"Length: 2", b"Length: 9999999999"),
                (b"Content-Length: 2\r\n", b""),
                (b"Length: 2", b"Length: 2\r\nTransfer-Encoding: chunked"),
                (b"Length: 2", b"Length: 2\r\nTRANSFER-ENCODING: identity"),
                (b"Length: 2", b"Length: 2\r\nExpect: 100-continue"),
                (b"Length: 2", b"Length: 2\r\nUpgrade: websocket"),
                (b"Length: 2", b"Length: 2\r\nConnection: close"),
                (b"Length: 2", b"Length: 2\r\nContent-Encoding: gzip"),
                (b"Length: 2", b"Length: 2\r\nAuthorization: us"),
            )
        ),
    ],
)
def test_what_is_not_plain_is_left_to_the_server_behind(octets: bytes) -> None:
    """Whatever could be read in another way is not read here at all."""
    assert octets != PLAIN
    assert read_plain(octets, MOST) is None


def test_an_answer_is_written_once_and_whole() -> None:
    """Its own headers, its length, the time; the last one says so."""
    answer = ApiResponse(201, {"Content-Type": "application/json", "Request-Id": "r"}, b"{}")
    head = (
        b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nRequest-Id: r\r\n"
        b"Content-Length: 2\r\nDate: now\r\n"
    )
    assert written(answer, "now", is_last=False) == head + b"\r\n{}"
    assert written(answer, "now", is_last=True) == head + b"Connection: close\r\n\r\n{}"


@pytest.mark.parametrize("value", ["a\r\nB: c", "a\n", "a\r"])
def test_no_header_becomes_two(value: str) -> None:
    """A line break in a value is a fault of ours, not another header."""
    with pytest.raises(ValueError, match="header"):
        written(ApiResponse(200, {"A": value}, b""), "now", is_last=False)


def served(running: Running) -> tuple[int, int]:
    """Connections that are served here, and by the server behind."""
    api = running.gateway._api
    assert api is not None
    assert api._plain is not None
    assert api._runner is not None
    assert api._runner.server is not None
    return len(api._plain.open), len(api._runner.server.connections)


async def test_both_ways_answer_the_same(running: Running) -> None:
    """The same payment, plain and not: the same status, headers and body."""
    plain, other = await Line.to(running), await Line.to(running)
    plain.writer.write(signed_payment(running, "one"))
    first = await plain.answer()
    plain.writer.write(signed_payment(running, "one"))
    again = await plain.answer()
    assert served(running) == (2, 0)
    other.writer.write(signed_payment(running, "one", "Connection: keep-alive"))
    behind = await other.answer()
    assert served(running) == (1, 1)
    assert first[0] == b"HTTP/1.1 201 Created"
    assert again[0] == behind[0] == b"HTTP/1.1 200 OK"
    assert first[2] == again[2] == behind[2]
    assert set(behind[1]) == set(again[1])
    changing = {"Request-Id", "Posgate-Timestamp", "Posgate-Nonce", "Posgate-Signature", "Date"}
    assert all(again[1][name] == behind[1][name] for name in set(again[1]) - changing)


async def test_calls_that_come_at_once_are_answered_in_order(running: Running) -> None:
    """A hundred in one write, one of them not plain: each once, in its turn."""
    line = await Line.to(running)
    octets = [signed_payment(running, f"n{count}") for count in range(100)]
    octets[70] = signed_payment(running, "n70", "Connection: keep-alive")
    line.writer.write(b"".join(octets))
    for count in range(100):
        first, _, body = await line.answer()
        assert first == b"HTTP/1.1 201 Created"
        assert orjson.loads(body)["merchant_order_no"] == f"n{count}"
    assert served(running) == (0, 1)
    assert len(await running.place.charges()) == 100


@pytest.mark.parametrize("cut", [1, 30, -9, -1])
async def test_a_call_that_comes_in_pieces_is_the_same_call(running: Running, cut: int) -> None:
    """The server behind waits for the rest; what came before is not lost."""
    line = await Line.to(running)
    octets = signed_payment(running, "pieces")
    line.writer.write(octets[:cut])
    await eventually(lambda: served(running) == (0, 1))
    line.writer.write(octets[cut:])
    first, _, body = await line.answer()
    assert (first, orjson.loads(body)["status"]) == (b"HTTP/1.1 201 Created", "succeeded")


async def test_who_is_gone_is_charged_and_booked_once(running: Running) -> None:
    """A caller that hangs up ends nothing."""
    line = await Line.to(running)
    line.writer.write(signed_payment(running, "gone"))
    await line.writer.drain()
    await eventually(lambda: running.gateway.api_door.in_flight() == 1 or bool(running.lines()))
    line.writer.close()
    await eventually(lambda: served(running) == (0, 0))

    async def is_paid() -> bool:
        found = await running.api.find("gone")
        return found.status == 200 and bool(found.json["status"] == "succeeded")

    await eventually(is_paid)
    assert len(await running.place.charges()) == 1


async def test_an_unsigned_plain_call_is_refused(running: Running) -> None:
    """As the server behind refuses it, and the connection stays."""
    line = await Line.to(running)
    for _ in range(2):
        line.writer.write(PLAIN)
        first, headers, body = await line.answer()
        assert first == b"HTTP/1.1 401 Unauthorized"
        assert orjson.loads(body)["error"]["code"] == "authorization_malformed"
        assert "Posgate-Signature" not in headers
    assert served(running) == (1, 0)


async def test_a_connection_that_says_nothing_is_closed(running: Running) -> None:
    """After its time, whether or not it ever asked; one that is being answered is not."""
    api = running.gateway._api
    assert api is not None
    assert api._plain is not None
    silent = await Line.to(running)
    await eventually(lambda: served(running) == (1, 0))
    (connection,) = api._plain.open
    connection._idle_since_s -= 100
    connection._look()
    async with asyncio.timeout(10):
        assert await silent.reader.read() == b""
    await eventually(lambda: served(running) == (0, 0))


class Wire(asyncio.Transport):
    """A transport that remembers what was done with it."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[bytes] = []
        self.reads = True
        self.is_cut = self.is_aborted = False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.said.append(bytes(data))

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def is_closing(self) -> bool:
        return self.is_cut

    def close(self) -> None:
        self.is_cut = True

    def abort(self) -> None:
        self.is_cut = self.is_aborted = True


class Door:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.begun = 0
        self.may_answer = asyncio.Semaphore(0)
        self.fault: Exception | None = None

    async def handle(self, _asked: ApiRequest) -> ApiResponse:
        self.begun += 1
        await self.may_answer.acquire()
        if self.fault is not None:
            raise self.fault
        return ApiResponse(200, {}, b"")


def calls_of(door: Door) -> PlainCalls:
    return PlainCalls(
        handle=door.handle,
        behind=asyncio.Protocol,
        clock=SystemClock(),
        max_body_bytes=MOST,
        keep_alive_s=75,
    )


def feed(connection: asyncio.BufferedProtocol, octets: bytes) -> None:
    """Let ``octets`` come, as a transport does."""
    memoryview(connection.get_buffer(len(octets)))[: len(octets)] = octets
    connection.buffer_updated(len(octets))


async def turns() -> None:
    """Let what can go on go on."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_does_not_read_is_answered_no_further() -> None:
    """One call at a time; no more is read meanwhile, and none begun before the answer left."""
    door, wire = Door(), Wire()
    connection = calls_of(door).connection()
    connection.connection_made(wire)
    feed(connection, PLAIN)
    await turns()
    feed(connection, PLAIN)
    assert (door.begun, wire.reads) == (1, False)
    connection.pause_writing()
    door.may_answer.release()
    await turns()
    assert (door.begun, len(wire.said), wire.reads) == (1, 1, False)
    connection.resume_writing()
    await turns()
    assert (door.begun, wire.reads) == (2, True)
    door.may_answer.release()
    await turns()
    assert len(wire.said) == 2
    connection.connection_lost(None)


async def test_a_fault_of_ours_cuts_that_connection_off() -> None:
    """No answer is better than half of one."""
    door, wire = Door(), Wire()
    calls = calls_of(door)
    connection = calls.connection()
    connection.connection_made(wire)
    door.fault = RuntimeError("ours")
    feed(connection, PLAIN)
    (task,) = calls.tasks
    door.may_answer.release()
    with pytest.raises(RuntimeError, match="ours"):
        await task
    assert (wire.is_cut, wire.said, calls.tasks) == (True, [], set())
    connection.connection_lost(None)


async def test_what_does_not_end_in_time_is_cancelled() -> None:
    """Also what is being answered to a caller who is gone; nothing is left behind."""
    door, here, gone = Door(), Wire(), Wire()
    calls = calls_of(door)
    for wire in (here, gone):
        connection = calls.connection()
        connection.connection_made(wire)
        feed(connection, PLAIN)
    connection.connection_lost(None)
    await turns()
    assert (door.begun, len(calls.open), len(calls.tasks)) == (2, 1, 2)
    await calls.close(0.01)
    assert here.is_cut
    assert (here.said, gone.said, calls.tasks) == ([], [], set())


async def test_nothing_begins_on_a_connection_that_is_closing() -> None:
    """Its caller asked twice and did not read; it reads on once we have hung up."""
    door, wire = Door(), Wire()
    calls = calls_of(door)
    connection = calls.connection()
    connection.connection_made(wire)
    feed(connection, PLAIN)
    await turns()
    feed(connection, PLAIN)
    connection.pause_writing()
    door.may_answer.release()
    await turns()
    calls.hang_up()
    assert wire.is_cut
    connection.resume_writing()
    feed(connection, PLAIN)
    await turns()
    assert (door.begun, calls.tasks) == (1, set())


async def test_who_never_reads_is_cut_off_after_its_time() -> None:
    """Closing would wait for the answers to leave."""
    door, wire = Door(), Wire()
    connection = calls_of(door).connection()
    assert isinstance(connection, PlainConnection)
    connection.connection_made(wire)
    connection.pause_writing()
    connection._idle_since_s -= 100
    connection._look()
    assert wire.is_aborted
    connection.connection_lost(None)


async def test_who_comes_while_we_leave_is_not_served() -> None:
    """A handshake may end after the listener is closed."""
    door, wire = Door(), Wire()
    calls = calls_of(door)
    calls.hang_up()
    calls.connection().connection_made(wire)
    assert (wire.is_cut, calls.open) == (True, set())


async def test_what_does_not_even_end_when_cancelled_is_left_behind() -> None:
    """A process must end: what it began is booked or left to recovery."""
    calls = calls_of(Door())
    ends = asyncio.Event()

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await ends.wait()

    task = asyncio.create_task(stubborn())
    calls.tasks.add(task)
    await turns()
    await calls.close(0.01)
    assert not task.done()
    ends.set()
    with pytest.raises(asyncio.CancelledError):
        await task
