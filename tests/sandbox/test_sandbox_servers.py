"""The sandbox's servers: control, connections, bounds, shutdown."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from sandbox.config import AlipaySandboxConfig, SandboxConfig
from sandbox.scenarios import CARDS, EXPECTED, SCENARIOS, Scenario, scenarios_json

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
NO_CALL = b"POST /gateway.do HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"


async def open_stream(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


async def read_answer(reader: asyncio.StreamReader) -> bytes:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    length = re.search(rb"Content-Length: (\d+)", head)
    assert length is not None
    return head + await reader.readexactly(int(length[1]))


async def test_control_answers(sandbox: Any) -> None:
    """Health, empty charges, and clear refusals."""
    assert await sandbox.control("GET", "/healthz") == (200, {"status": "ok"})
    assert await sandbox.control("GET", "/charges") == (200, [])
    assert await sandbox.control("GET", "/calls") == (200, {"alipay": 0, "unionpay_card": 0})
    assert (await sandbox.control("GET", "/faults"))[0] == 405
    assert (await sandbox.control("GET", "/elsewhere"))[0] == 404


@pytest.mark.parametrize(
    "body",
    [
        {"channel": "alipay"},
        {"channel": "paypal", "rules": []},
        {"channel": ["alipay"], "rules": []},
        {"channel": "alipay", "rules": [{"kind": "nothing"}]},
        [],
    ],
)
async def test_faults_that_cannot_be_set(sandbox: Any, body: object) -> None:
    """400 with a reason."""
    status, answer = await sandbox.control("POST", "/faults", body)
    assert (status, answer["error"]["code"]) == (400, "invalid_request")


async def test_requests_are_counted_whatever_becomes_of_them(sandbox: Any) -> None:
    """Also those that a fault swallows."""
    rules = [{"kind": "close", "stage": "before", "skip": 1}]
    await sandbox.control("POST", "/faults", {"channel": "alipay", "rules": rules})
    reader, writer = await open_stream(sandbox.ports.alipay)
    writer.write(NO_CALL)
    await read_answer(reader)
    writer.write(NO_CALL)
    assert await reader.read() == b""
    writer.close()
    assert (await sandbox.control("GET", "/calls"))[1]["alipay"] == 2


async def test_a_delayed_answer_keeps_its_place(sandbox: Any) -> None:
    """Pipelined calls are answered in order though the first one is delayed."""
    rules = [{"kind": "delay", "delay_ms": 80, "limit": 1}]
    await sandbox.control("POST", "/faults", {"channel": "alipay", "rules": rules})
    reader, writer = await open_stream(sandbox.ports.alipay)
    writer.write(NO_CALL + b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"isv.missing-method" in await read_answer(reader)
    assert (await read_answer(reader)).startswith(b"HTTP/1.1 404 ")
    writer.close()


async def test_a_dropped_answer_leaves_the_connection_mute(sandbox: Any) -> None:
    """Nothing comes any more on that connection; a new one works; leaving is noticed."""
    rules = [{"kind": "drop", "limit": 1}]
    await sandbox.control("POST", "/faults", {"channel": "alipay", "rules": rules})
    mute, mute_writer = await open_stream(sandbox.ports.alipay)
    mute_writer.write(NO_CALL)
    await mute_writer.drain()
    mute_writer.write(NO_CALL)
    reader, writer = await open_stream(sandbox.ports.alipay)
    writer.write(NO_CALL)
    assert b"isv.missing-method" in await read_answer(reader)
    mute_writer.write_eof()
    assert await asyncio.wait_for(mute.read(), 5) == b""
    for stream in (writer, mute_writer):
        stream.close()


async def test_a_duplicated_answer_comes_twice(sandbox: Any) -> None:
    """Two whole answers to one call."""
    rules = [{"kind": "duplicate"}]
    await sandbox.control("POST", "/faults", {"channel": "alipay", "rules": rules})
    reader, writer = await open_stream(sandbox.ports.alipay)
    writer.write(NO_CALL)
    assert await read_answer(reader) == await read_answer(reader)
    writer.close()


async def test_a_bad_http_request_is_answered_and_closed(sandbox: Any) -> None:
    """The status, then the end of the connection."""
    reader, writer = await open_stream(sandbox.ports.control)
    writer.write(b"POST /faults HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 413 ")
    writer.close()


async def test_connections_are_bounded(run: Callable[..., Any], change: Callable[..., Any]) -> None:
    """One too many is aborted, and a place becomes free when another leaves."""
    async with run(change(max_connections=1)) as sandbox:
        first, first_writer = await open_stream(sandbox.ports.control)
        first_writer.write(HEALTH)
        await read_answer(first)
        second, second_writer = await open_stream(sandbox.ports.control)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            second_writer.write(HEALTH)
            await read_answer(second)
        first_writer.write(HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        await asyncio.wait_for(first.read(), 5)
        third, third_writer = await open_stream(sandbox.ports.control)
        third_writer.write(HEALTH)
        assert b"200 OK" in await read_answer(third)
        for stream in (first_writer, second_writer, third_writer):
            stream.close()


async def test_shutdown_closes_what_is_open(run: Callable[..., Any], config: SandboxConfig) -> None:
    """Open connections end, and the ports are free again."""
    async with run(config) as sandbox:
        reader, writer = await open_stream(sandbox.ports.card)
    assert await asyncio.wait_for(reader.read(), 5) == b""
    with pytest.raises(OSError):
        await open_stream(sandbox.ports.card)
    writer.close()


def test_scenarios_are_complete_and_shaped_like_the_real_thing() -> None:
    """Every scenario has an expected end; codes and cards keep prefix, length and Luhn."""
    words = {(channel, word) for channel, inputs in SCENARIOS.items() for word in inputs}
    assert words == EXPECTED.keys()
    assert all(
        isinstance(code, str) and re.fullmatch(r"28\d{16}", code)
        for code in SCENARIOS["alipay"].values()
    )
    assert all(
        isinstance(code, str) and re.fullmatch(r"13\d{16}", code)
        for code in SCENARIOS["wechat"].values()
    )
    assert all(
        isinstance(code, str) and re.fullmatch(r"62\d{17}", code)
        for code in SCENARIOS["unionpay_qr"].values()
    )
    for card in CARDS.values():
        digits = [int(digit) for digit in reversed(card.pan)]
        doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
        assert card.pan.startswith("99") and 16 <= len(digits) <= 19
        assert (sum(digits[::2]) + sum(doubled)) % 10 == 0
    assert {key for key, value in EXPECTED.items() if value.waits_for_payer} == {
        (channel, word)
        for channel in ("alipay", "wechat", "unionpay_qr")
        for word in ("user_paying", "never_pays")
    }
    assert scenarios_json()["card"]["wrong_pin"] == {
        "pan": CARDS[Scenario.WRONG_PIN].pan,
        "pin": CARDS[Scenario.WRONG_PIN].pin,
    }


def test_no_text_shows_a_secret(config: SandboxConfig) -> None:
    """repr of the configuration and of a card hides keys, PAN and PIN."""
    text = repr(config) + repr(CARDS[Scenario.APPROVED])
    assert "PRIVATE" not in text
    assert repr(config.card.links[0].tmk) not in text
    assert CARDS[Scenario.APPROVED].pan not in text and "123456" not in text
    assert isinstance(config.alipay, AlipaySandboxConfig)
