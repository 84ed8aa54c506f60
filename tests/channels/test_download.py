"""Files that are fetched: whole at their path or not there, bounded in size and time."""

import asyncio
import socket
from pathlib import Path

import pytest

from channels.http import HttpBounds
from channels.port import AnswerLost, HttpRequest, NotSent, no_download
from tests.channels.test_http import Server, client, serving

LONG = bytes(range(256)) * 12_000  # three pieces of what is written at a time
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def asking(url: str, timeout_s: float = 5.0) -> HttpRequest:
    return HttpRequest(
        method="GET", url=url, headers={"Content-Length": "0"}, body=b"", timeout_s=timeout_s
    )


def whole(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status.encode(), len(body), body)


@pytest.mark.parametrize(
    "answer",
    [whole(LONG), CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(LONG), LONG)],
    ids=["with its length", "in chunks"],
)
async def test_a_long_file_comes_whole(answer: bytes, tmp_path: Path) -> None:
    """Longer than an answer may be, and not a byte of it in the answer."""
    async with serving(Server(answer)) as url, client(bounds=HttpBounds(answer_bytes=4096)) as http:
        got = await http.download(asking(url), tmp_path / "bill.zip", len(LONG))
    assert (got.status, got.body) == (200, b"")
    assert (tmp_path / "bill.zip").read_bytes() == LONG
    assert list(tmp_path.iterdir()) == [tmp_path / "bill.zip"]


async def test_a_refusal_is_at_the_path_too(tmp_path: Path) -> None:
    server = Server(whole(b"expired", "403 Forbidden"))
    async with serving(server) as url, client() as http:
        got = await http.download(asking(url), tmp_path / "bill.zip", 100)
    assert (got.status, (tmp_path / "bill.zip").read_bytes()) == (403, b"expired")


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"not http at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut",
        CHUNKED + b"5\r\nhello\r\n",
        whole(b"x" * 101),
        CHUNKED + b"65\r\n" + b"x" * 101 + b"\r\n0\r\n\r\n",
    ],
    ids=["closed", "garbage", "cut", "cut in chunks", "too large", "too large in chunks"],
)
async def test_what_is_not_whole_is_lost_and_leaves_nothing(
    answer: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "bill.zip"
    path.write_bytes(b"an earlier one")
    async with serving(Server(answer)) as url, client() as http:
        with pytest.raises(AnswerLost):
            await http.download(asking(url, 0.3), path, 100)
    assert path.read_bytes() == b"an earlier one"
    assert list(tmp_path.iterdir()) == [path]


async def test_a_file_of_exactly_the_bound_is_taken(tmp_path: Path) -> None:
    async with serving(Server(whole(b"x" * 100))) as url, client() as http:
        await http.download(asking(url), tmp_path / "bill.zip", 100)
    assert (tmp_path / "bill.zip").stat().st_size == 100


async def test_nobody_there_is_not_sent(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with client() as http:
            with pytest.raises(NotSent):
                url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
                await http.download(asking(url), tmp_path / "bill.zip", 100)
    assert not list(tmp_path.iterdir())


async def test_a_place_that_cannot_be_written_is_not_sent(tmp_path: Path) -> None:
    server = Server(whole(b"x"))
    async with serving(server) as url, client() as http:
        with pytest.raises(NotSent):
            await http.download(asking(url), tmp_path / "none" / "bill.zip", 100)
        with pytest.raises(NotSent):
            await http.download(asking("http://198.51.100.1/x"), tmp_path / "bill.zip", 100)
    assert not server.heads


async def test_cancelled_it_leaves_nothing(tmp_path: Path) -> None:
    server = Server(whole(b"x"))
    server.pause.clear()
    async with serving(server) as url, client() as http:
        fetching = asyncio.create_task(http.download(asking(url), tmp_path / "bill.zip", 100))
        await asyncio.sleep(0.1)
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
    assert not list(tmp_path.iterdir())


async def test_its_url_is_not_remembered(tmp_path: Path) -> None:
    """It is good once, and a key in it."""
    async with serving(Server(whole(b"x"))) as url, client() as http:
        await http.download(asking(url), tmp_path / "bill.zip", 100)
        assert not http._targets


async def test_without_a_network_nothing_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(NotSent):
        await no_download(asking("https://example.com/"), tmp_path / "bill.zip", 100)
