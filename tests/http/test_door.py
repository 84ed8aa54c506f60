"""The API door without a server: routed, bounded and told the same, whatever carries the call."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import orjson
import pytest

from channels.port import Answer, ChannelPlugin, HttpRequest, HttpResponse, Verdict
from domain.errors import InvalidRequest
from gateway.bootstrap import Gateway
from gateway.cli.terminal_client import TerminalClient, TerminalPlace
from gateway.config import load
from gateway.http.call import ApiRequest, ApiResponse
from pos_protocol.framing import frame
from sandbox.scenarios import ALIPAY_CODES, Scenario
from tests.gateway.fakes import FakeChannel
from tests.support.gateway import Caller, Place, scanned
from tests.support.waiting import eventually

APPROVED = ALIPAY_CODES[Scenario.APPROVED]
JSON = {"Content-Type": "application/json"}


class DoorCaller:
    """Cashier software that speaks to the door itself."""

    def __init__(self, gateway: Gateway, caller: Caller) -> None:
        self._gateway = gateway
        self._caller = caller

    async def call(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] = JSON
    ) -> ApiResponse:
        """One signed call."""
        raw = b"" if body is None else orjson.dumps(body)
        signed = {"Authorization": self._caller.authorization(method, path, raw), **headers}
        request = ApiRequest(method=method, raw_path=path, headers=signed, body=raw)
        return await self._gateway.api_door.handle(request)


def code_of(answer: ApiResponse) -> str:
    """The code of an error."""
    return str(orjson.loads(answer.body)["error"]["code"])


class Core:
    """A gateway without a socket, its channels faked."""

    def __init__(self, gateway: Gateway, api: DoorCaller, channel: FakeChannel) -> None:
        self.gateway = gateway
        self.api = api
        self.channel = channel


@contextlib.asynccontextmanager
async def core_of(place: Place) -> AsyncIterator[Core]:
    """Started as a simulation does it."""
    channel = FakeChannel()

    async def nowhere(_request: HttpRequest) -> HttpResponse:
        raise AssertionError("no channel here uses the network")

    plugins = {
        name: ChannelPlugin(name, (), lambda _account, _services: channel)
        for name in ("alipay", "unionpay_card")
    }
    seams = replace(place.seams, plugins=lambda: plugins, send=nowhere)
    gateway = Gateway(load(place.installation.config_file), seams)
    try:
        await gateway.start_core()
        caller = Caller.__new__(Caller)
        caller.key = place.key
        yield Core(gateway, DoorCaller(gateway, caller), channel)
    finally:
        await gateway.stop(1)


@pytest.fixture
async def core(place: Place) -> AsyncIterator[Core]:
    """The core on the installation of this test."""
    async with core_of(place) as it:
        yield it


async def test_a_whole_payment_without_a_socket(core: Core) -> None:
    """Claimed, paid by the channel, booked, found, signed; no client and no server was made."""
    answer = await core.api.call("POST", "/v1/payments", scanned(APPROVED, "door"))
    payment = orjson.loads(answer.body)
    assert (answer.status, payment["status"]) == (201, "succeeded")
    assert answer.headers.keys() >= {"Request-Id", "Posgate-Signature", "Content-Type"}
    found = await core.api.call("GET", "/v1/payments?merchant_order_no=door")
    assert (found.status, orjson.loads(found.body)) == (200, payment)
    assert core.gateway._http_client is None
    assert core.gateway._api is None
    assert core.gateway.pos_listener._server is None


@pytest.mark.parametrize(
    "path",
    [
        "https://pos.example/v1/payments?merchant_order_no=same",
        "/v1/%70ayments?merchant_order_no=%73ame",
        "/v1/payments?x=1&merchant_order_no=same&merchant_order_no=other",
    ],
)
async def test_a_path_in_another_form_is_the_same_call(core: Core, path: str) -> None:
    """As a proxy or a client may write it; the signature is over what was written."""
    paid = await core.api.call("POST", "/v1/payments", scanned(APPROVED, "same"))
    found = await core.api.call("GET", path)
    assert (found.status, found.body) == (200, paid.body)


@pytest.mark.parametrize("path", ["", "*", "?", "//", "/v1/payments/{id}x/", "https://", "x://y"])
async def test_what_is_no_path_is_not_found(core: Core, path: str) -> None:
    """404, unsigned, before anything is asked of the store."""
    answer = await core.api.call("GET", path)
    assert (answer.status, code_of(answer)) == (404, "route_not_found")
    assert "Posgate-Signature" not in answer.headers


async def test_a_template_is_no_way_in(core: Core) -> None:
    """``{id}`` in a path is an id like any other strange one."""
    for path in ("/v1/payments/{id}", "/v1/refunds/{id}", "/v1/payments/{id}/refunds"):
        answer = await core.api.call("GET", path)
        assert (answer.status, code_of(answer)[-10:]) == (404, "_not_found")
        assert "Posgate-Signature" in answer.headers


async def test_a_look_by_head_is_a_look(core: Core) -> None:
    """Answered as GET is, signed for what was asked."""
    paid = await core.api.call("POST", "/v1/payments", scanned(APPROVED))
    path = f"/v1/payments/{orjson.loads(paid.body)['id']}"
    assert (await core.api.call("HEAD", path)).body == (await core.api.call("GET", path)).body


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 201),
        ("application/json; charset=utf-8", 201),
        ("Application/JSON ;charset=utf-8", 201),
        ("application/json-patch+json", 415),
        ("text/json", 415),
        ("", 415),
    ],
)
async def test_the_type_of_a_body(core: Core, kind: str, status: int) -> None:
    """JSON in any dress, and nothing else."""
    headers = {"Content-Type": kind}
    answer = await core.api.call("POST", "/v1/payments", scanned(APPROVED), headers)
    assert answer.status == status


async def test_what_cannot_be_read_is_answered_as_a_call(core: Core) -> None:
    """A fault of the reader is the call's own, and it gives its place back."""

    async def broken() -> bytes:
        raise InvalidRequest("body_too_slow", "the body did not arrive in time")

    request = ApiRequest(method="POST", raw_path="/v1/payments", headers={})
    answer = await core.gateway.api_door.handle(request, broken)
    assert (answer.status, code_of(answer)) == (400, "body_too_slow")
    assert core.gateway.api_door.in_flight() == 0


async def test_one_call_too_many_is_refused_unread(place: Place) -> None:
    """503 at ``http.max_in_flight``, before its body is read; the first is served on."""
    place.configure(http={"max_in_flight": 1})
    async with core_of(place) as core:
        opened = asyncio.Event()

        async def held() -> Answer:
            await opened.wait()
            return Answer(verdict=Verdict.SUCCEEDED)

        core.channel.pays = [held]
        first = asyncio.create_task(core.api.call("POST", "/v1/payments", scanned(APPROVED)))
        await eventually(lambda: core.gateway.api_door.in_flight() == 1)

        async def unread() -> bytes:
            raise AssertionError("over the bound nothing is read")

        request = ApiRequest(method="POST", raw_path="/v1/payments", headers=JSON)
        answer = await core.gateway.api_door.handle(request, unread)
        assert (answer.status, code_of(answer)) == (503, "unavailable")
        opened.set()
        assert (await first).status == 201
        assert core.gateway.api_door.in_flight() == 0


async def test_a_defect_of_ours_is_told_without_its_reason(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 internal_error, signed; the text of the fault is in the log alone."""

    async def broken(*_values: object) -> Any:
        raise RuntimeError("a secret thing")

    monkeypatch.setattr(core.gateway.store, "payment_by_order", broken)
    answer = await core.api.call("GET", "/v1/payments?merchant_order_no=a")
    assert (answer.status, code_of(answer)) == (500, "internal_error")
    assert b"secret" not in answer.body
    assert "Posgate-Signature" in answer.headers


class FakeTransport(asyncio.Transport):
    """Keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True


async def test_a_terminal_without_a_socket(core: Core, place: Place) -> None:
    """A connection of the listener on any transport: a sign-in is answered, byte for byte."""
    installed = place.terminals[0]
    terminal = TerminalClient(
        TerminalPlace(
            host="nowhere",
            port=0,
            merchant_id="990000000000001",
            terminal_id=installed.terminal_id,
            tmk=bytes.fromhex(installed.tmk),
        )
    ).terminal
    protocol, transport = core.gateway.pos_listener.connection(), FakeTransport()
    protocol.connection_made(transport)
    assert core.gateway.pos_listener.connections() == 1
    request = terminal.sign_in()
    for byte in frame(request.payload):
        protocol.data_received(bytes((byte,)))
    await eventually(lambda: bool(transport.written))
    reply = transport.written[2:]
    assert int.from_bytes(transport.written[:2]) == len(reply)
    assert terminal.read(request, reply).approved
    protocol.connection_lost(None)
    assert core.gateway.pos_listener.connections() == 0


def test_the_door_needs_no_aiohttp() -> None:
    """What a simulation imports to call it brings no HTTP library with it."""
    program = (
        "import sys, gateway.http.door, gateway.http.payment_calls, gateway.http.refund_calls;"
        "sys.exit('aiohttp' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_start_without_pages_loads_nothing_that_draws_them() -> None:
    """Jinja2 and segno are a tenth of a second of every start: no use to who has no page."""
    program = "import sys, gateway.bootstrap; sys.exit(bool({'jinja2', 'segno', 'fpdf'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
