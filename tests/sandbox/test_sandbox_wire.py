"""The sandbox's HTTP and form readers: bytes in, requests out, bounds held."""

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.form import FormError, parse_form
from sandbox.http_wire import HttpError, HttpReader, HttpRequest

POST = (
    b"POST /gateway.do?a=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nb=2"
    b"GET http://127.0.0.1/charges HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
)


def read_all(reader: HttpReader) -> list[HttpRequest]:
    found = []
    while (request := reader.next_request()) is not None:
        found.append(request)
    return found


@given(st.lists(st.integers(1, 40), max_size=8))
def test_any_slicing_gives_the_same_requests(sizes: list[int]) -> None:
    """Two pipelined requests, one in absolute form, cut anywhere."""
    reader, found, rest = HttpReader(100), [], POST
    for size in [*sizes, len(POST)]:
        reader.feed(rest[:size])
        rest = rest[size:]
        found += read_all(reader)
    assert found == [
        HttpRequest("POST", "/gateway.do", b"a=1", b"b=2", True),
        HttpRequest("GET", "/charges", b"", b"", False),
    ]


def test_headers_are_found_by_name_whatever_their_case() -> None:
    """The first of two; empty when absent; no other line's tail is taken for it."""
    reader = HttpReader(100)
    reader.feed(b'GET /v3 HTTP/1.1\r\nX-A:  one \r\nAuthorization: W a="b:c"\r\nx-a: two\r\n\r\n')
    (request,) = read_all(reader)
    assert request.header("x-A") == "one"
    assert request.header("authorization") == 'W a="b:c"'
    assert request.header("A") == ""


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"POST / HTTP/1.1\r\nContent-Length: 101\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length : 1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"POST / HTTP/2\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 17_000, 431),
    ],
)
def test_an_unclear_request_is_refused(raw: bytes, status: int) -> None:
    """Nothing that two readers could cut differently is accepted."""
    reader = HttpReader(100)
    reader.feed(raw)
    with pytest.raises(HttpError) as caught:
        reader.next_request()
    assert caught.value.status == status


def test_a_client_that_waits_is_told_to_continue() -> None:
    """Expect: 100-continue, until the first byte of the body is there."""
    reader = HttpReader(100)
    reader.feed(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert reader.next_request() is None and reader.wants_continue
    reader.feed(b"a")
    assert reader.next_request() is None and not reader.wants_continue


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=30), min_size=1, max_size=8))
def test_a_form_comes_back_as_it_was(params: dict[str, str]) -> None:
    """Whatever a standard encoder writes is read as meant."""
    assert parse_form(urlencode(params).encode()) == params


@given(st.binary(max_size=80))
def test_any_bytes_are_a_form_or_a_form_error(raw: bytes) -> None:
    """No other exception, and never more names than pairs."""
    try:
        params = parse_form(raw)
    except FormError:
        return
    assert len(params) == raw.count(b"&") + 1


def test_a_form_is_bounded_and_names_come_once() -> None:
    """65 parameters are too many; a second value under one name is refused."""
    many = "&".join(f"k{n}=v" for n in range(65)).encode()
    for raw in (many, b"a=1&a=2", b"a=1&%61=2"):
        with pytest.raises(FormError):
            parse_form(raw)
