"""What is no HTTP, and bodies that break off: our own error, nothing quoted, no fault of ours."""

import re
import socket
import struct
from collections.abc import Iterator

import orjson
import pytest

from tests.http.line import Line
from tests.support.gateway import Running
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

CODE = b"280000000000000099"
SIGNATURE = b"5161728394a5b6c7d8e9f0"
BODY = b'{"method":{"auth_code":"%b"}}' % CODE
SIGNED = b'Authorization: POSGATE-HMAC-SHA256 key_id="k",signature="%b"\r\n' % SIGNATURE
POST = b"POST /v1/payments HTTP/1.1\r\n"
HEAD = POST + b"Host: a\r\nContent-Type: application/json\r\n" + SIGNED
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
WHOLE = HEAD + LENGTH + b"\r\n" + BODY

MALFORMED = {
    "no length": HEAD + b"\r\n" + BODY,
    "bare line feeds": WHOLE.replace(b"\r\n", b"\n"),
    "a space before the colon": WHOLE.replace(b"Authorization:", b"Authorization :"),
    "a space in a name": WHOLE.replace(b"Authorization:", b"Author ization:"),
    "chunked and not": HEAD + CHUNKED + b"\r\n" + BODY,
    "a chunk of no size": HEAD + CHUNKED + b"\r\nzz\r\n" + BODY,
    "a chunk longer than it says": HEAD + CHUNKED + b"\r\n5\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunked and a length": HEAD + LENGTH + CHUNKED + b"\r\n" + BODY,
    "two lengths": HEAD + LENGTH * 2 + b"\r\n" + BODY,
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\n" + BODY,
    "a length of letters": HEAD + b"Content-Length: ten\r\n\r\n" + BODY,
    "two hosts": HEAD + b"Host: b\r\n" + LENGTH + b"\r\n" + BODY,
    "two types": HEAD + b"Content-Type: application/json\r\n" + LENGTH + b"\r\n" + BODY,
    "no host": POST + SIGNED + LENGTH + b"\r\n" + BODY,
    "a flood of headers": HEAD + b"X-A: b\r\n" * 200 + LENGTH + b"\r\n" + BODY,
    "a header without end": HEAD + b"X-A: " + CODE * 1000 + b"\r\n" + LENGTH + b"\r\n" + BODY,
    "a nul in a header": HEAD + b"X-A: \0" + CODE + b"\r\n" + LENGTH + b"\r\n" + BODY,
    "a long address": HEAD.replace(b"payments", b"payments?a=" + CODE * 500) + b"\r\n",
    "another version": WHOLE.replace(b"HTTP/1.1", b"HTTP/9.9"),
    "another method": WHOLE.replace(b"POST", b"PAY" + CODE),
    "only a body": BODY,
    "TLS in TLS": b"\x16\x03\x01" + CODE + b"\r\n\r\n",
    "on the payer's page": b"GET /q/x HTTP/1.1\r\nHost : a\r\nCookie: c=" + SIGNATURE + b"\r\n\r\n",
    "behind a whole one": b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n" + BODY,
}


def answers(heard: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Status, head and body of each answer in turn."""
    while heard:
        head, _, heard = heard.partition(b"\r\n\r\n")
        length = re.search(rb"\r\nContent-Length: ([0-9]+)", head)
        assert length is not None, head
        size = int(length[1])
        yield int(head.split()[1]), head, heard[:size]
        heard = heard[size:]


async def counted(running: Running) -> dict[str, int]:
    """Answers of the API by status so far."""
    text = (await running.api.send("GET", "/metrics")).raw.decode()
    found = re.findall(r'posgate_requests_total\{code="(\w+)",door="api"\} ([0-9]+)', text)
    return {code: int(count) for code, count in found}


def reading(running: Running) -> int:
    """Requests that the server behind is at."""
    api = running.gateway._api
    assert api is not None
    assert api._runner is not None
    assert api._runner.server is not None
    return sum(one._request_in_progress for one in api._runner.server.connections)


def check_last(heard: bytes, status: int, code: str) -> None:
    """The last answer is our own error and the end of its connection; nothing is quoted."""
    assert CODE not in heard
    assert SIGNATURE not in heard
    assert b"aiohttp" not in heard.lower()
    *_, (found, head, body) = answers(heard)
    assert found == status, head
    assert b"\r\nContent-Type: application/json" in head
    assert b"\r\nServer:" not in head
    assert b"\r\nConnection: close" in head or head.startswith(b"HTTP/1.0")
    error = orjson.loads(body)["error"]
    assert error.keys() == {"code", "message", "request_id"}
    assert error["code"] == code
    assert error["request_id"].startswith("req_")


@pytest.mark.parametrize("octets", MALFORMED.values(), ids=MALFORMED.keys())
async def test_what_is_no_http_gets_our_own_error(
    standing: Running, octets: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """400 malformed_request, counted as a refusal, logged by nobody; the connection ends."""
    before, logged = await counted(standing), len(standing.lines())
    line = await Line.to(standing)
    line.writer.write(octets)
    check_last(await line.heard(), 400, "malformed_request")
    assert (standing.lines()[logged:], caplog.records) == ([], [])
    assert await counted(standing) == before | {"400": before.get("400", 0) + 1}


async def test_what_follows_an_answered_call_is_not_quoted(standing: Running) -> None:
    """A body without a length is no part of its call, and no call of its own."""
    line = await Line.to(standing)
    line.writer.write(HEAD + b"\r\n")
    first, headers, _ = await line.answer()
    assert first == b"HTTP/1.1 401 Unauthorized"
    assert "Server" not in headers
    line.writer.write(BODY)
    check_last(await line.heard(), 400, "malformed_request")


@pytest.mark.parametrize("path", [b"/v1/payments", b"/healthz", b"/q/x", b"/nowhere"])
async def test_an_expectation_that_is_not_met(standing: Running, path: bytes) -> None:
    """417 in our own form, whatever was asked for."""
    line = await Line.to(standing)
    asked = HEAD.replace(b"/v1/payments", path) + LENGTH
    line.writer.write(asked + b"Expect: " + SIGNATURE + b"\r\n\r\n" + BODY)
    check_last(await line.heard(), 417, "expectation_failed")


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/docs", "/nowhere", "/v1/payments"])
async def test_no_answer_names_the_software(standing: Running, path: str) -> None:
    """Of a page, of the router, of a call."""
    assert "Server" not in (await standing.api.send("GET", path)).headers


@pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize(
    ("octets", "call"),
    [
        (HEAD + b"Content-Length: 100\r\n\r\n" + BODY, "create"),
        (HEAD + CHUNKED + b"\r\n5\r\n{", "create"),
        (HEAD + CHUNKED + b"\r\n1\r\n{\r\n", "create"),
        (HEAD.replace(b" HTTP", b"/pay_x/cancel HTTP") + LENGTH + b"\r\n{", "cancel"),
        (HEAD.replace(b" HTTP", b"/pay_x/refunds HTTP") + LENGTH + b"\r\n{", "refund"),
        (HEAD.replace(b"v1/payments", b"notify/alipay/alipay-1") + LENGTH + b"\r\n{", ""),
    ],
)
async def test_a_body_that_breaks_off_is_no_fault_of_ours(
    standing: Running,
    octets: bytes,
    call: str,
    *,
    is_reset: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Counted like one that comes too slowly; one line at most, no traceback."""
    before, logged = await counted(standing), len(standing.lines())
    line = await Line.to(standing)
    line.writer.write(octets)
    await eventually(lambda: reading(standing) == 1)
    if is_reset:
        now = struct.pack("ii", 1, 0)
        line.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
    line.writer.transport.abort()
    await eventually(lambda: reading(standing) == 0)
    lines = standing.lines()[logged:]
    told = [(one["event"], one["level"], one["call"], one["code"]) for one in lines]
    assert told == ([("api request", "info", call, "body_incomplete")] if call else [])
    assert caplog.records == []
    assert await counted(standing) == before | {"400": before.get("400", 0) + 1}


async def test_a_fault_of_ours_outside_the_doors(
    standing: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """500 in our own form, counted and logged; its words stay here."""

    async def broken() -> bool:
        raise RuntimeError(CODE.decode())

    api = standing.gateway._api
    assert api is not None
    monkeypatch.setattr(api._operations, "_store_ready", broken)
    before = await counted(standing)
    line = await Line.to(standing)
    line.writer.write(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
    check_last(await line.heard(), 500, "internal_error")
    assert [one.name for one in caplog.records] == ["aiohttp.server"]
    assert await counted(standing) == before | {"500": before.get("500", 0) + 1}
