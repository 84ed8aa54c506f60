"""The HTTP client against real sockets: what is certain, what is lost, what is bounded."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from channels.http import HttpBounds, HttpClient
from channels.port import AnswerLost, HttpRequest, NotSent
from domain.errors import ConfigurationError

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Server:
    """A raw HTTP server: answers each request with the next script, counts them."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.pause = asyncio.Event()
        self.pause.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                self.bodies.append(await reader.readexactly(length))
                self.heads.append(head)
                await self.pause.wait()
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[str]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/gateway.do?a=%2F"
    finally:
        server.pause.set()
        listening.close()


@asynccontextmanager
async def client(**options: object) -> AsyncIterator[HttpClient]:
    made = HttpClient(**options)  # type: ignore[arg-type]  # a test's options
    await made.start()
    try:
        yield made
    finally:
        await made.close()


def post(url: str, timeout_s: float = 5.0, method: str = "POST") -> HttpRequest:
    return HttpRequest(
        method=method, url=url, headers={"X-Test": "1"}, body=b"payload", timeout_s=timeout_s
    )


async def test_an_answer_comes_whole_and_the_connection_is_kept() -> None:
    server = Server(OK)
    async with serving(server) as url, client() as http:
        first, second = await http.send(post(url)), await http.send(post(url))
    assert (first.status, first.body, second.body) == (200, b"hi", b"hi")
    assert server.connections == 1
    assert server.bodies == [b"payload", b"payload"]


async def test_only_our_headers_go_out_and_the_path_as_written() -> None:
    server = Server(OK)
    async with serving(server) as url, client() as http:
        await http.send(post(url))
    head = server.heads[0].decode()
    assert head.startswith("POST /gateway.do?a=%2F HTTP/1.1\r\n")
    names = {line.split(":")[0].lower() for line in head.split("\r\n")[1:] if line}
    assert names == {"host", "x-test", "content-length"}


async def test_refused_is_not_sent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        async with client() as http:
            with pytest.raises(NotSent):
                await http.send(post(url))


async def test_an_unknown_host_is_not_sent() -> None:
    async with client() as http:
        with pytest.raises(NotSent):
            await http.send(post("https://no-such-host.invalid/"))


async def test_a_server_that_does_not_speak_tls_is_not_sent() -> None:
    server = Server(OK)
    async with serving(server) as url, client(connect_timeout_s=0.3) as http:
        with pytest.raises(NotSent):
            await http.send(post(url.replace("http:", "https:")))
    assert not server.bodies


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut",
        b"not http at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\n" + b"x" * 65536,
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
    ],
    ids=["closed", "cut", "garbage", "too large", "too large in chunks", "huge header"],
)
async def test_sent_without_a_whole_answer_is_lost(answer: bytes | None) -> None:
    server = Server(answer)
    async with serving(server) as url, client(bounds=HttpBounds(answer_bytes=4096)) as http:
        with pytest.raises(AnswerLost):
            await http.send(post(url, 0.3))
    assert len(server.bodies) == 1


async def test_a_reused_connection_that_closes_is_lost_and_never_sent_again() -> None:
    server = Server(OK, None)
    async with serving(server) as url, client() as http:
        await http.send(post(url))
        with pytest.raises(AnswerLost):
            await http.send(post(url))
    assert len(server.bodies) == 2
    assert server.connections == 1


async def test_silence_is_lost_after_the_timeout() -> None:
    server = Server(OK)
    server.pause.clear()
    async with serving(server) as url, client() as http:
        with pytest.raises(AnswerLost):
            await http.send(post(url, 0.05))


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    server = Server(b"HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n")
    async with serving(server) as url, client() as http:
        assert (await http.send(post(url))).status == 302
    assert len(server.bodies) == 1


async def test_a_compressed_answer_is_left_as_it_came() -> None:
    body = b"\x1f\x8b\x08\x00garbage"
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with serving(Server(head + body)) as url, client() as http:
        assert (await http.send(post(url))).body == body


async def test_over_the_limit_callers_wait_briefly_then_nothing_is_sent() -> None:
    server = Server(OK)
    server.pause.clear()
    bounds = HttpBounds(waiting=1, wait_s=0.05)
    async with (
        serving(server) as url,
        client(max_concurrent_per_channel=1, bounds=bounds) as http,
    ):
        first = asyncio.create_task(http.send(post(url)))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(http.send(post(url)))
        await asyncio.sleep(0)
        with pytest.raises(NotSent, match="too many"):
            await http.send(post(url))
        with pytest.raises(NotSent, match="limit"):
            await second
        server.pause.set()
        assert (await first).status == 200
        assert (await http.send(post(url))).status == 200
    assert len(server.bodies) == 2


async def test_a_waiting_caller_gets_the_place_that_comes_free() -> None:
    server = Server(OK)
    server.pause.clear()
    async with serving(server) as url, client(max_concurrent_per_channel=1) as http:
        calls = [asyncio.create_task(http.send(post(url))) for _ in range(5)]
        await asyncio.sleep(0.02)
        calls[1].cancel()
        server.pause.set()
        done = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(result).__name__ for result in done] == [
            "HttpResponse",
            "CancelledError",
            "HttpResponse",
            "HttpResponse",
            "HttpResponse",
        ]
        assert (await http.send(post(url))).status == 200


async def test_one_slow_channel_does_not_starve_another() -> None:
    slow, fast = Server(OK), Server(OK)
    slow.pause.clear()
    async with (
        serving(slow) as slow_url,
        serving(fast) as fast_url,
        client(max_concurrent_per_channel=1) as http,
    ):
        waiting = asyncio.create_task(http.send(post(slow_url)))
        await asyncio.sleep(0.01)
        assert (await http.send(post(fast_url))).status == 200
        slow.pause.set()
        await waiting


async def test_cancellation_passes_through() -> None:
    server = Server(OK)
    server.pause.clear()
    async with serving(server) as url, client() as http:
        sending = asyncio.create_task(http.send(post(url)))
        await asyncio.sleep(0.02)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        server.pause.set()
        assert (await http.send(post(url))).status == 200


@pytest.mark.parametrize(
    ("url", "method"),
    [
        ("http://192.0.2.1/", "POST"),
        ("ftp://127.0.0.1/", "POST"),
        ("https://user:pw@127.0.0.1/", "POST"),
        ("nonsense", "POST"),
        ("http://127.0.0.1:1/", "PUT"),
    ],
)
async def test_what_may_not_be_sent_is_not_sent(url: str, method: str) -> None:
    async with client() as http:
        with pytest.raises(NotSent):
            await http.send(post(url, method=method))


async def test_before_the_start_and_after_the_end_nothing_is_sent() -> None:
    http = HttpClient()
    with pytest.raises(NotSent):
        await http.send(post("http://127.0.0.1:1/"))
    await http.start()
    await http.close()
    with pytest.raises(NotSent):
        await http.send(post("http://127.0.0.1:1/"))


def test_a_ca_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="CA file"):
        HttpClient(ca_file=str(tmp_path / "ca.pem"))


def test_tls_is_at_least_1_2_and_verified() -> None:
    context = HttpClient()._tls
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


async def test_a_body_that_ends_with_the_connection_is_whole() -> None:
    """Told by its orderly end alone; the next request takes another connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"payload")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
    async with client() as http:
        assert [(await http.send(post(url))).body for _ in range(2)] == [b"all of it"] * 2
    listening.close()


async def test_what_was_half_there_when_we_close_is_lost() -> None:
    """Our own end of the connection ends no answer."""
    server = Server(b"HTTP/1.1 200 OK\r\n\r\nhalf")
    async with serving(server) as url, client() as http:
        sending = asyncio.create_task(http.send(post(url)))
        await asyncio.sleep(0.05)
        await http.close()
        with pytest.raises(AnswerLost):
            await sending


async def test_bytes_after_an_answer_are_nobodys() -> None:
    """A second answer that nobody asked for is not taken for the next one's."""
    server = Server(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong", OK)
    async with serving(server) as url, client() as http:
        assert [(await http.send(post(url))).body for _ in range(2)] == [b"hi", b"hi"]
    assert server.connections == 2


async def test_an_idle_connection_is_closed_in_time() -> None:
    server = Server(OK)
    async with serving(server) as url, client(bounds=HttpBounds(keep_alive_s=0.05)) as http:
        await http.send(post(url))
        await asyncio.sleep(0.2)
        await http.send(post(url))
    assert server.connections == 2


@pytest.mark.parametrize("value", ["a\r\nX: b", "a\nX: b", "a\0", "\udc80"])
async def test_a_header_that_would_be_another_one_is_not_sent(value: str) -> None:
    server = Server(OK)
    async with serving(server) as url, client() as http:
        request = HttpRequest(
            method="POST", url=url, headers={"X": value}, body=b"payload", timeout_s=1
        )
        with pytest.raises(NotSent):
            await http.send(request)
    assert not server.heads
