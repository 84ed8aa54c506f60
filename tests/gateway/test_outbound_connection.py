"""The client that posts to merchants, on real sockets: vetted, bounded, once."""

import asyncio
import functools
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp.client_proto import ResponseHandler

from channels.guarded_http import GuardedClient
from channels.port import AnswerLost, NotSent
from gateway.outbound import Refused, read_policy
from tests.gateway.raw_endpoint import OK, Endpoint, serving
from tests.support.waiting import eventually

LOCAL = read_policy(allow_http=True, ports=[80], allow=["127.0.0.0/8"])


@asynccontextmanager
async def client(policy: Any = LOCAL, **options: Any) -> AsyncIterator[GuardedClient]:
    made = GuardedClient(vet=policy.vet, **options)
    await made.start()
    try:
        yield made
    finally:
        await made.close()


class Names:
    """A name server that changes its mind."""

    def __init__(self, *answers: str | list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self, host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        self.asked += 1
        said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        addresses = [said] if isinstance(said, str) else said
        if addresses == [""]:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (one, port, 0, 0))
            if ":" in one
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port))
            for one in addresses
        ]


async def test_a_status_comes_back_and_the_connection_is_kept() -> None:
    async with serving(Endpoint()) as endpoint, client() as it:
        url = f"http://127.0.0.1:{endpoint.port}/paid?a=%2F"
        for _ in range(3):
            assert await it.post(url, {"X-A": "1"}, b"body") == 204
    assert endpoint.connections == 1
    assert len(endpoint.requests) == 3
    assert endpoint.requests[0].startswith(b"POST /paid?a=%2F HTTP/1.1\r\n")
    assert endpoint.requests[0].endswith(b"\r\n\r\nbody")


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async with serving(Endpoint()) as inner:
        away = b"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:%d/\r\nContent-Length: 0\r\n\r\n"
        async with serving(Endpoint(away % inner.port)) as outer, client() as it:
            assert await it.post(f"http://127.0.0.1:{outer.port}/", {}, b"x") == 307
    assert inner.requests == []


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"])
async def test_a_literal_address_is_vetted_although_nobody_resolves_it(host: str) -> None:
    closed = read_policy(allow_http=True, ports=[80], allow=[])
    async with serving(Endpoint()) as endpoint, client(closed) as it:
        with pytest.raises(Refused):
            await it.post(f"http://{host}:{endpoint.port}/", {}, b"x")
    assert endpoint.connections == 0


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0x7f.1", "0177.0.0.1"])
async def test_another_spelling_of_an_address_is_vetted_or_not_connected(host: str) -> None:
    """What the check of the text refuses is refused here too, were it ever asked."""
    closed = read_policy(allow_http=True, ports=[80], allow=[])
    async with serving(Endpoint()) as endpoint, client(closed) as it:
        with pytest.raises((Refused, NotSent, AnswerLost)):
            await it.post(f"http://{host}:{endpoint.port}/", {}, b"x")
    assert endpoint.connections == 0


async def test_a_name_is_connected_at_the_address_that_was_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = Names("127.0.0.1")
    monkeypatch.setattr(socket, "getaddrinfo", names)
    async with serving(Endpoint()) as endpoint, client() as it:
        assert await it.post(f"http://shop.example:{endpoint.port}/", {}, b"x") == 204
    assert names.asked == 1
    assert b"Host: shop.example" in endpoint.requests[0]


@pytest.mark.parametrize(
    "answer",
    ["10.0.0.1", "169.254.169.254", "::1", "fd00:ec2::254", "fe80::1", "::ffff:10.0.0.1",
     ["127.0.0.1", "10.0.0.1"], ["10.0.0.1", "127.0.0.1"]],
)  # fmt: skip
async def test_a_name_with_any_private_address_is_refused(
    monkeypatch: pytest.MonkeyPatch, answer: str | list[str]
) -> None:
    """One bad address among good ones is enough: which one is tried is not ours to say."""
    monkeypatch.setattr(socket, "getaddrinfo", Names(answer))
    async with serving(Endpoint()) as endpoint, client() as it:
        with pytest.raises(Refused, match="not a public one"):
            await it.post(f"http://shop.example:{endpoint.port}/", {}, b"x")
    assert endpoint.connections == 0


async def test_a_name_that_is_rebound_is_refused_when_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Looked up once for each connection: the second answer cannot slip under the first check."""
    names = Names("127.0.0.1", "127.0.0.1", "192.168.0.1")
    monkeypatch.setattr(socket, "getaddrinfo", names)
    closing = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    async with serving(Endpoint(closing)) as endpoint, client() as it:
        url = f"http://shop.example:{endpoint.port}/"
        assert await it.post(url, {}, b"x") == 204
        assert await it.post(url, {}, b"x") == 204
        with pytest.raises(Refused):
            await it.post(url, {}, b"x")
    assert (names.asked, endpoint.connections) == (3, 2)


async def test_a_name_that_is_not_there_is_not_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Names(""))
    async with client() as it:
        with pytest.raises(NotSent, match="the host name was not found"):
            await it.post("http://shop.example/", {}, b"x")


async def test_a_name_server_that_hangs_holds_one_thread_for_each_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever asks again waits for the same look-up, so that other names are still found."""
    answered = threading.Event()
    names, slow = Names("127.0.0.1"), Names("127.0.0.1")

    def ask(host: str, *rest: Any) -> list[Any]:
        if host == "slow.example":
            answered.wait(10)
            return slow(host, *rest)
        return names(host, *rest)

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    async with (
        serving(Endpoint()) as endpoint,
        client(connect_timeout_s=0.05, max_lookups=2) as it,
        client(max_lookups=2) as patient,
    ):
        for _ in range(5):
            with pytest.raises(NotSent, match="no connection in time"):
                await it.post(f"http://slow.example:{endpoint.port}/", {}, b"x")
        assert await it.post(f"http://shop.example:{endpoint.port}/", {}, b"x") == 204
        waiting = [
            asyncio.create_task(patient.post(f"http://slow.example:{endpoint.port}/", {}, b"x"))
            for _ in range(3)
        ]
        await asyncio.sleep(0.05)
        answered.set()
        assert await asyncio.gather(*waiting) == [204] * 3
        await eventually(lambda: slow.asked == 2)
    assert slow.asked == 2


async def test_a_closed_port_is_not_sent() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with client() as it:
        with pytest.raises(NotSent, match="no connection"):
            await it.post(f"http://127.0.0.1:{port}/", {}, b"x")


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-"])
async def test_an_answer_that_is_none_is_lost(answer: bytes) -> None:
    async def leave(writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with serving(Endpoint(answer, then=leave)) as endpoint, client() as it:
        with pytest.raises(AnswerLost, match="no answer"):
            await it.post(f"http://127.0.0.1:{endpoint.port}/", {}, b"x")
    assert len(endpoint.requests) == 1, "nothing is sent twice by itself"


async def test_silence_ends_in_time() -> None:
    async with serving(Endpoint(b"")) as endpoint, client(timeout_s=0.05) as it:
        with pytest.raises(AnswerLost, match="no answer in time"):
            await it.post(f"http://127.0.0.1:{endpoint.port}/", {}, b"x")
        await endpoint.is_left.wait()


async def test_an_endless_body_is_left_and_its_status_counts() -> None:
    """A bound in bytes: the connection goes, the acknowledgement stays."""
    written = 0

    async def pour(writer: asyncio.StreamWriter) -> None:
        nonlocal written
        while True:
            writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
            await writer.drain()
            written += 1024

    endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(Endpoint(endless, then=pour)) as endpoint, client(answer_bytes=1000) as it:
        assert await it.post(f"http://127.0.0.1:{endpoint.port}/", {}, b"x") == 200
        await endpoint.is_left.wait()
    assert written < 20_000_000


async def test_a_body_that_never_ends_in_time_is_left_and_its_status_counts() -> None:
    stalled = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"
    async with serving(Endpoint(stalled)) as endpoint, client(timeout_s=0.1) as it:
        assert await it.post(f"http://127.0.0.1:{endpoint.port}/", {}, b"x") == 200
        await endpoint.is_left.wait()


async def test_a_compressed_bomb_is_not_unpacked() -> None:
    packed = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nbomb"
    async with serving(Endpoint(packed)) as endpoint, client() as it:
        assert await it.post(f"http://127.0.0.1:{endpoint.port}/", {}, b"x") == 200


async def test_a_header_flood_is_no_answer() -> None:
    flood = b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 100_000 + b"\r\n\r\n"
    async with serving(Endpoint(flood)) as endpoint, client() as it:
        with pytest.raises(AnswerLost):
            await it.post(f"http://127.0.0.1:{endpoint.port}/", {}, b"x")


async def test_an_endless_answer_before_the_answer_comes_in_sips() -> None:
    """Interim answers without end: the loop is never busy with more than a small piece."""
    pieces: list[int] = []

    async def pour(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 103 \r\n\r\n" * 1000)
            await writer.drain()

    class Watched(ResponseHandler):
        def data_received(self, data: bytes) -> None:
            pieces.append(len(data))
            super().data_received(data)

    async with serving(Endpoint(b"", then=pour)) as endpoint, client(timeout_s=0.3) as it:
        assert it._session is not None
        connector = it._session.connector
        connector._factory = functools.partial(  # type: ignore[union-attr]
            Watched, loop=asyncio.get_running_loop()
        )
        with pytest.raises(AnswerLost, match="no answer in time"):
            await it.post(f"http://127.0.0.1:{endpoint.port}/", {}, b"x")
    assert len(pieces) > 10
    assert max(pieces) <= 16_384


async def test_a_certificate_is_verified(installation_template: Path) -> None:
    """An authority that nobody trusts gets no byte of the body; a configured one does."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(
        installation_template / "server.pem", installation_template / "server-key.pem"
    )
    ca_file = str(installation_template / "ca.pem")
    async with serving(Endpoint(), tls) as endpoint:
        url = f"https://127.0.0.1:{endpoint.port}/"
        async with client() as it:
            with pytest.raises(NotSent, match="the certificate is not trusted"):
                await it.post(url, {}, b"x")
        assert endpoint.requests == []
        async with client(ca_file=ca_file) as it:
            assert await it.post(url, {}, b"x") == 204


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(Endpoint()) as proxy, serving(Endpoint()) as endpoint:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with client() as it:
            assert await it.post(f"http://127.0.0.1:{endpoint.port}/", {}, b"x") == 204
    assert proxy.connections == 0


async def test_a_client_that_is_closed_sends_nothing() -> None:
    async with client() as it:
        pass
    with pytest.raises(NotSent):
        await it.post("http://127.0.0.1:1/", {}, b"x")
