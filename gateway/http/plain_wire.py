r"""A plain signed call and its answer as HTTP/1.1 octets. Pure.

Rules: only what can be read in one way is read here: one whole ``POST`` of a payment's, its
path without a query or an escape, fields of printable ASCII that each come once, its length
in digits. ``None`` is no refusal: whoever asked lets the general server judge the same octets.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from gateway.http.call import ApiRequest, ApiResponse

_MOST_HEAD_BYTES: Final = 4096
_MOST_FIELDS: Final = 100
_HEAD: Final = re.compile(
    rb"POST (/v1/payments(?:/[A-Za-z0-9_-]{1,64}/[a-z]{1,16})?) HTTP/1\.1\r\n"
    rb"((?:[A-Za-z0-9-]++:[\x20-\x7e]*+\r\n)++)"
)
_FIELD: Final = re.compile(r"([^:]++): *+([^\r]*+)\r\n")
_LENGTH: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_NOT_PLAIN: Final = frozenset(
    (
        "connection",
        "content-encoding",
        "expect",
        "proxy-connection",
        "sec-websocket-key1",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
"""What changes how a message is framed, or what becomes of its connection."""
_LAST: Final = "Connection: close\r\n\r\n"
_REASONS: Final[Mapping[int, str]] = {status.value: status.phrase for status in HTTPStatus}


def read_plain(octets: bytes, max_body_bytes: int) -> tuple[ApiRequest, int] | None:
    """The call that ``octets`` begin with, and how many of them it has; ``None``: not plain."""
    end = octets.find(b"\r\n\r\n", 0, _MOST_HEAD_BYTES)
    head = _HEAD.fullmatch(octets, 0, end + 2) if end > 0 else None
    if head is None:
        return None
    written = _FIELD.findall(head[2].decode("ascii"))
    fields = {name.lower(): value.rstrip(" ") for name, value in written}
    if len(fields) != len(written) or len(fields) > _MOST_FIELDS:
        return None
    if "host" not in fields or not _NOT_PLAIN.isdisjoint(fields):
        return None
    length = fields.get("content-length", "")
    if _LENGTH.fullmatch(length) is None:
        return None
    begin, size = end + 4, int(length)
    if size > max_body_bytes or len(octets) < begin + size:
        return None
    asked = ApiRequest(
        method="POST",
        raw_path=head[1].decode("ascii"),
        headers={
            "Authorization": fields.get("authorization", ""),
            "Content-Type": fields.get("content-type", ""),
        },
        body=octets[begin : begin + size],
    )
    return asked, begin + size


def written(answer: ApiResponse, date: str, *, is_last: bool) -> bytes:
    """The answer as it leaves; ``is_last``: the connection ends with it.

    Raises:
        ValueError: a header that would be another one.
    """
    lines = [f"{name}: {value}\r\n" for name, value in answer.headers.items()]
    fields = "".join(lines)
    if not fields.count("\n") == fields.count("\r") == len(lines):
        raise ValueError("a header that would be another one")
    end = _LAST if is_last else "\r\n"
    return (
        f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}\r\n{fields}"
        f"Content-Length: {len(answer.body)}\r\nDate: {date}\r\n{end}"
    ).encode() + answer.body
