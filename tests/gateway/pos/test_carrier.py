"""Messages in HTTPS bodies: the same bytes as over TCP, the same answers, the same silence."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from aiohttp import ClientConnectionError, ClientSession

from gateway.http.pos_carrier import CarrierBounds, PosCarrier
from gateway.logs import make_log
from gateway.metrics import Metrics
from pos_protocol.codec import Message
from sandbox.scenarios import CARDS, Scenario
from tests.gateway.pos.conftest import OpenHouse
from tests.gateway.pos.foreign_terminal import ForeignTerminal, Reply
from tests.gateway.pos.house import Plan, until
from tests.gateway.pos.lines import (
    ECHO,
    EVENT_LOOPS,
    Certificates,
    framed,
    hears_hang_up,
    make_certificates,
)

__all__ = ["EVENT_LOOPS"]

CARD = CARDS[Scenario.APPROVED]
HEADERS = {"Content-Type": "x-ISO-TPDU/x-auth", "User-Agent": "Donjin Http 0.1"}
BOUNDS = CarrierBounds(
    max_frame_bytes=4096,
    max_connections=10,
    max_in_flight=2,
    idle_timeout_s=60,
    frame_timeout_s=30,
    keepalive_s=60,
    handshake_timeout_s=5,
    max_handshakes=4,
)
PLANTED = b"9900000000000010"


class Door:
    """Answers with the request, after it was let; ``is_silent`` says nothing."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.begun = 0
        self.is_silent = False

    async def handle(self, payload: bytes, _message: Message) -> bytes | None:
        self.begun += 1
        await self.open.wait()
        return None if self.is_silent else payload


class Place:
    """A carrier of its own before that door."""

    def __init__(self, certificates: Certificates, **bounds: object) -> None:
        self.door = Door()
        self.metrics = Metrics()
        self.tls: ssl.SSLContext = certificates.client_side()
        self._side = certificates.server_side()
        self.carrier = PosCarrier(
            handle=self.door.handle,
            metrics=self.metrics,
            log=make_log("critical", "json"),
            bounds=replace(BOUNDS, **bounds),  # type: ignore[arg-type]
        )
        self.port = 0

    async def open(self) -> None:
        self.port = await self.carrier.start("127.0.0.1", 0, self._side)

    async def post(self, http: ClientSession, body: bytes) -> tuple[int, bytes]:
        url = f"https://127.0.0.1:{self.port}/unp/webtrans/WPOS"
        async with http.post(url, data=body, headers=HEADERS, ssl=self.tls) as answer:
            if answer.status == 200:
                assert answer.content_type.lower() == "x-iso-tpdu/x-auth"
            return answer.status, await answer.read()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self.tls)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("carrier"))


@contextlib.asynccontextmanager
async def opened(certificates: Certificates, **bounds: object) -> AsyncIterator[Place]:
    place = Place(certificates, **bounds)
    await place.open()
    try:
        yield place
    finally:
        place.door.open.set()
        await place.carrier.close()


@pytest.fixture
async def place(certificates: Certificates) -> AsyncIterator[Place]:
    async with opened(certificates) as made:
        yield made


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


async def test_a_posted_frame_is_answered_by_a_frame(place: Place, http: ClientSession) -> None:
    assert await place.post(http, ECHO) == (200, ECHO)


async def test_one_connection_carries_many_messages(place: Place, http: ClientSession) -> None:
    for _ in range(5):
        assert await place.post(http, ECHO) == (200, ECHO)
    assert place.carrier.connections() == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        b"\0\0",
        ECHO[:-1],
        ECHO + b"\0",
        ECHO * 2,
        ECHO[2:],
        framed(PLANTED * 2),
        PLANTED,
    ],
)
async def test_what_is_not_one_message_is_refused_without_showing_it(
    place: Place, http: ClientSession, body: bytes
) -> None:
    """400, nothing begun, nothing of the body said back, the connection closed."""
    status, said = await place.post(http, body)
    assert status == 400
    assert PLANTED not in said
    assert place.door.begun == 0
    assert b"posgate_bad_frames_total 1.0" in place.metrics.exposition()
    assert await place.post(http, ECHO) == (200, ECHO)


@pytest.mark.parametrize(
    "octets",
    [
        b"POST / HTTP/1.1\r\nHost: a\r\n\r\n" + PLANTED,
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + PLANTED + b"\xee",
        b"POST / HTTP/1.1\nHost: a\n\n" + PLANTED,
        b"POST / HTTP/1.1\r\nHost : " + PLANTED + b"\r\n\r\n",
        framed(PLANTED * 2),
    ],
)
async def test_what_is_no_http_is_refused_without_showing_it(
    place: Place, octets: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """400 in our own words, counted; a card may have been in it."""
    reader, writer = await place.connect()
    writer.write(octets)
    said = await hears_hang_up(reader)
    assert said.startswith(b"HTTP/1.0 400 ")
    assert said.endswith(b"\r\n\r\nnot HTTP\n")
    assert b"Server:" not in said
    assert b"posgate_bad_frames_total 1.0" in place.metrics.exposition()
    assert caplog.records == []
    assert place.door.begun == 0


async def test_a_message_that_breaks_off_is_no_fault_of_ours(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """As over TCP: counted, nothing begun, no traceback."""
    _, writer = await place.connect()
    writer.write(_request(ECHO)[:-5])
    await until(lambda: place.carrier.in_flight() == 1)
    writer.transport.abort()
    await until(lambda: place.carrier.connections() == 0)
    assert b"posgate_bad_frames_total 1.0" in place.metrics.exposition()
    assert caplog.records == []
    assert (place.door.begun, place.carrier.in_flight()) == (0, 0)


async def test_a_fault_of_ours_is_told_without_a_name(
    place: Place, http: ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    """Logged, and no more is said than that."""

    async def broken(_payload: bytes, _message: Message) -> bytes | None:
        raise RuntimeError(PLANTED.decode())

    place.carrier._handle = broken
    assert await place.post(http, ECHO) == (500, b"our fault\n")
    assert [one.name for one in caplog.records] == ["aiohttp.server"]


async def test_a_body_longer_than_a_frame_is_refused(place: Place, http: ClientSession) -> None:
    assert (await place.post(http, framed(b"\xee" * 4096)))[0] == 400
    assert (await place.post(http, framed(b"\xee" * 4097)))[0] == 413
    assert (await place.post(http, bytes(1_000_000)))[0] == 413
    assert place.door.begun == 0


async def test_silence_closes_the_connection_without_an_answer(place: Place) -> None:
    """No status line: a terminal must not take it for an answer of any kind."""
    place.door.is_silent = True
    reader, writer = await place.connect()
    writer.write(_request(ECHO))
    assert await hears_hang_up(reader) == b""
    assert place.door.begun == 1


async def test_only_post_carries_messages(place: Place, http: ClientSession) -> None:
    async with http.get(f"https://127.0.0.1:{place.port}/", ssl=place.tls) as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    assert place.door.begun == 0


async def test_more_than_the_bound_in_flight_is_refused(place: Place, http: ClientSession) -> None:
    place.door.open.clear()
    two = [asyncio.create_task(place.post(http, ECHO)) for _ in range(2)]
    await until(lambda: place.door.begun == 2)
    assert (await place.post(http, ECHO))[0] == 503
    place.door.open.set()
    assert await asyncio.gather(*two) == [(200, ECHO)] * 2
    assert place.carrier.in_flight() == 0


async def test_a_body_that_comes_too_slowly_is_given_up(certificates: Certificates) -> None:
    async with opened(certificates, frame_timeout_s=0.2) as place:
        reader, writer = await place.connect()
        writer.write(_request(ECHO)[:-5])
        assert (await hears_hang_up(reader)).startswith(b"HTTP/1.1 408 ")
        assert place.door.begun == 0


@pytest.mark.parametrize("said", [b"", b"POST / HT", b"POST / HTTP/1.1\r\nHost: a\r\n"])
async def test_a_silent_or_slow_head_is_hung_up_on(certificates: Certificates, said: bytes) -> None:
    """Before the first request, and in the middle of its head."""
    async with opened(certificates, idle_timeout_s=0.3) as place:
        reader, writer = await place.connect()
        writer.write(said)
        assert await hears_hang_up(reader) == b""


async def test_a_kept_connection_that_says_no_more_is_hung_up_on(
    certificates: Certificates,
) -> None:
    async with opened(certificates, idle_timeout_s=0.3) as place:
        reader, writer = await place.connect()
        writer.write(_request(ECHO))
        assert (await hears_hang_up(reader)).endswith(b"\r\n\r\n" + ECHO)


async def test_connections_above_the_bound_are_refused(certificates: Certificates) -> None:
    async with opened(certificates, max_connections=1) as place:
        _, first = await place.connect()
        await until(lambda: place.carrier.connections() == 1 and not place.carrier.handshakes())
        with pytest.raises(OSError):
            await place.connect()
        first.transport.abort()


async def test_a_message_goes_on_when_its_connection_is_gone(place: Place) -> None:
    """As over TCP: what was begun is finished, whoever waits for it."""
    place.door.open.clear()
    _, writer = await place.connect()
    writer.write(_request(ECHO))
    await until(lambda: place.door.begun == 1)
    writer.transport.abort()
    await until(lambda: place.carrier.connections() == 0 or place.carrier.in_flight() == 1)
    assert place.carrier.in_flight() == 1
    place.door.open.set()
    await until(lambda: place.carrier.in_flight() == 0)


async def test_who_drains_answers_what_is_in_flight(place: Place, http: ClientSession) -> None:
    place.door.open.clear()
    idle, _ = await place.connect()
    busy = asyncio.create_task(place.post(http, ECHO))
    await until(lambda: place.door.begun == 1 and place.carrier.connections() == 2)
    place.carrier.hang_up()
    assert await hears_hang_up(idle) == b""
    with pytest.raises(OSError):
        await place.connect()
    place.door.open.set()
    assert await busy == (200, ECHO)
    await until(lambda: place.carrier.connections() == 0)


def _request(body: bytes) -> bytes:
    """As an old terminal writes it."""
    return (
        b"POST /mjc/webtrans/VPB_lb HTTP/1.1\r\nHOST: 145.4.206.244:5000\r\n"
        b"User-Agent: Donjin Http 0.1\r\nCache-Control: no-cache\r\n"
        b"Content-Type:x-ISO-TPDU/x-auth\r\nAccept: */*\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    ) + body


class HttpsTerminal(ForeignTerminal):
    """The foreign terminal with its bytes in HTTPS bodies."""

    session: ClientSession
    tls: ssl.SSLContext

    async def ask_raw(self, frame: bytes) -> Reply:
        url = f"https://127.0.0.1:{self.port}/"
        async with self.session.post(url, data=frame, headers=HEADERS, ssl=self.tls) as answer:
            assert answer.status == 200
            body = await answer.read()
        reader = asyncio.StreamReader()
        reader.feed_data(body)
        self._streams = reader, None  # type: ignore[assignment]
        return await self.receive()


async def test_a_whole_shop_over_https_and_over_tls(
    open_shop: OpenHouse, certificates: Certificates, http: ClientSession
) -> None:
    """Sign-in, sale and its repeat over HTTPS; the session holds on the TLS port too."""
    tls = {
        "certificate_file": str(certificates.server),
        "key_file": str(certificates.server_key),
    }
    async with open_shop(Plan(pos={"tls": tls, "tls_port": 0, "https_port": 0})) as house:
        bound = house._bound
        assert bound is not None
        till = HttpsTerminal(await house.provision(), bound.pos_https_port)
        till.session, till.tls = http, certificates.client_side()
        await till.sign_in()
        sale = till.pack("0200", till.card_sale(CARD.pan, CARD.pin))
        answer = await till.ask_raw(sale)
        assert answer["39"] == "00"
        assert (await till.ask_raw(sale)).raw == answer.raw
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", bound.pos_tls_port, ssl=certificates.client_side()
        )
        writer.write(sale)
        assert (await reader.readexactly(len(answer.raw) + 2))[2:] == answer.raw
        writer.transport.abort()
        assert await house.charged_and_returned() == ([1990], [0])


async def test_a_gateway_without_tls_files_opens_neither(open_shop: OpenHouse) -> None:
    async with open_shop(Plan()) as house:
        assert house._bound is not None
        assert (house._bound.pos_tls_port, house._bound.pos_https_port) == (0, 0)


async def test_a_client_error_is_not_an_answer(place: Place, http: ClientSession) -> None:
    """What an HTTP library makes of silence: a fault of the connection, no status."""
    place.door.is_silent = True
    with pytest.raises(ClientConnectionError):
        await place.post(http, ECHO)
