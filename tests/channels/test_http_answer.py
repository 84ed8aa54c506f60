"""An HTTP answer out of a stream: read in one way or not at all."""

from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.http_answer import AnswerReader, BadAnswer
from channels.port import HttpResponse

LIMIT = 64
HEAD = b"HTTP/1.1 200 OK\r\n"


def read(raw: bytes, cuts: Sequence[int] = ()) -> tuple[HttpResponse | None, bool]:
    """What a reader makes of ``raw`` that comes in pieces, and whether it keeps the connection."""
    reader = AnswerReader(LIMIT)
    places = [0, *sorted(cut for cut in cuts if 0 < cut < len(raw)), len(raw)]
    answer = None
    for begin, end in pairwise(places):
        answer = answer or reader.feed(raw[begin:end])
    return answer or reader.end(), reader.keeps


WHOLE = {
    "length": (HEAD + b"Content-Length: 5\r\n\r\nhello", b"hello", True),
    "empty": (HEAD + b"Content-Length: 0\r\n\r\n", b"", True),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", b"x", True),
    "chunks": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
        b"abcde",
        True,
    ),
    "chunks, trailers": (
        HEAD + b"transfer-encoding: Chunked\r\n\r\n1\r\na\r\n0\r\nX: 1\r\nY: 2\r\n\r\n",
        b"a",
        True,
    ),
    "interim": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: a\r\n\r\n"
        + HEAD
        + b"Content-Length: 2\r\n\r\nok",
        b"ok",
        True,
    ),
    "closes": (HEAD + b"Connection: Close\r\nContent-Length: 2\r\n\r\nok", b"ok", False),
    "old": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok", False),
    "to the end": (HEAD + b"\r\nall of it", b"all of it", True),
    "more than asked": (HEAD + b"Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK", b"ok", False),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
}


@pytest.mark.parametrize("name", WHOLE)
@given(cuts=st.lists(st.integers(1, 150), max_size=6))
def test_an_answer_is_the_same_however_it_is_cut(name: str, cuts: list[int]) -> None:
    """By length, in chunks, until the end; after interim answers; what follows is nobody's."""
    raw, body, keeps = WHOLE[name]
    answer, kept = read(raw, cuts)
    assert answer is not None
    assert answer.body == body
    if name != "more than asked":  # the rest may not have come yet
        assert kept is keeps


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
        HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        HEAD + b"Content-Length: 2, 2\r\n\r\nok",
        HEAD + b"Content-Length: +2\r\n\r\nok",
        HEAD + b"Content-Length: -2\r\n\r\nok",
        HEAD + b"Content-Length: 0x2\r\n\r\nok",
        HEAD + b"Content-Length: \xd9\xa2\r\n\r\nok",
        HEAD + b"Content-Length:\r\n\r\nok",
        HEAD + b"Content-Length: 65\r\n\r\n",
        HEAD + b"Content-Length: 99999999999999999999\r\n\r\n",
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: identity\r\n\r\nok",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nx\r\nok\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nokk\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-2\r\nok\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 300,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n30\r\n" + b"x" * 48 + b"\r\n11\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"y" * 20_000,
        HEAD + b"X: 1\r\n folded\r\n\r\n",
        HEAD + b"X : 1\r\n\r\n",
        HEAD + b"X\r\n\r\n",
        HEAD + b"X: a\nY: b\r\n\r\n",
        HEAD + b"X: a\x00\r\n\r\n",
        HEAD + b"X: " + b"y" * 20_000,
        HEAD + b"\r\n" + b"x" * 65,
    ],
)
def test_what_is_not_plainly_one_answer_is_none(raw: bytes) -> None:
    """Two lengths, foreign codings, folded lines, too much of anything."""
    with pytest.raises(BadAnswer):
        read(raw)


@pytest.mark.parametrize("name", [name for name in WHOLE if name != "to the end"])
def test_a_cut_answer_is_none(name: str) -> None:
    """At every place but behind its end, where the stream tells its length."""
    raw, body, _ = WHOLE[name]
    whole = next(size for size in range(len(raw) + 1) if read(raw[:size])[0] is not None)
    answer, _ = read(raw[:whole])
    assert answer is not None
    assert answer.body == body


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_none(raw: bytes) -> None:
    """Nothing else is raised."""
    for start in (b"", HEAD, HEAD + b"Transfer-Encoding: chunked\r\n\r\n"):
        with suppress(BadAnswer):
            read(start + raw)


def test_headers_are_found_in_any_case() -> None:
    answer, _ = read(HEAD + b"Wechatpay-Serial:  A1 \r\nX: 1\r\nx: 2\r\nContent-Length: 0\r\n\r\n")
    assert answer is not None
    assert answer.headers["wechatpay-SERIAL"] == "A1"
    assert answer.headers.get("X") == "1"
    assert "y" not in answer.headers
