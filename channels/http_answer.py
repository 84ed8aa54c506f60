"""One HTTP/1.1 answer out of the bytes of a connection. Pure.

Rules: strict, because an answer that is read in two ways could be somebody else's. What is
not plainly one answer is :class:`BadAnswer`, and so is one that is longer than its bound,
announced or not: a head of more than 16 KiB, a line that is folded or holds a bare line
break, two lengths, a length beside chunks, a coding that is not ``chunked``, an upgrade.
Interim answers (1xx) are passed over. Bytes after the answer's end belong to nobody: such a
connection is not kept.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from channels.port import HttpResponse

_HEAD_BYTES: Final = 16 * 1024
_LENGTH_DIGITS: Final = 15
_SIZE_LINE_BYTES: Final = 256
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [^\x00-\x08\x0a-\x1f\x7f]*)?")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00\r\n]*?)[ \t]*")
_PLAIN = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9]{2})(?: [\x20-\x7e]*+)?"
    rb"((?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t\x20-\x7e]*+)*+)"
)
"""A head of ASCII alone; any other is read line by line."""
_NAMED = re.compile(r"\r\n([^:]++):[ \t]*+([^\r]*+)")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\x00\r\n]*)?")
_WITHOUT_BODY: Final = frozenset({204, 304})
_UPGRADE: Final = 101


class BadAnswer(Exception):
    """What came is no answer that can be believed to be one; the text quotes nothing of it."""


class AnswerHeaders(Mapping[str, str]):
    """Header fields by name, whatever its case; of several with one name the first."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class AnswerReader:
    """Reads one answer; ``keeps`` says afterwards whether another request may follow it."""

    __slots__ = (
        "_body",
        "_buffer",
        "_headers",
        "_is_chunked",
        "_length",
        "_limit",
        "_status",
        "keeps",
    )

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._buffer = b""
        self._status = 0
        self._headers: dict[str, str] = {}
        self._length: int | None = None
        """Bytes of the body; ``None`` in chunks, and until the stream ends."""
        self._is_chunked = False
        self._body = bytearray()
        self.keeps = False

    def feed(self, data: bytes) -> HttpResponse | None:
        """The answer, once it is whole; raises :class:`BadAnswer`."""
        self._buffer = self._buffer + data if self._buffer else data
        while not self._status:
            end = self._buffer.find(b"\r\n\r\n", 0, _HEAD_BYTES)
            if end < 0:
                if len(self._buffer) >= _HEAD_BYTES:
                    raise BadAnswer("the answer's head is too long")
                return None
            head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
            self._read_head(head)
        if self._length is not None:
            return self._by_length(self._length)
        if self._is_chunked:
            return self._by_chunks()
        if len(self._buffer) > self._limit:
            raise BadAnswer("the answer is too large")
        return None

    def end(self) -> HttpResponse | None:
        """The stream ended in order: what is whole by that, or ``None``."""
        if not self._status or self._length is not None or self._is_chunked:
            return None
        return self._whole(self._buffer)

    def _read_head(self, head: bytes) -> None:
        plain = _PLAIN.fullmatch(head)
        if plain is None:
            self._read_any_head(head)
            return
        written = _NAMED.findall(plain[2].decode("ascii"))
        fields = {name.lower(): value.rstrip(" \t") for name, value in written}
        if len(fields) != len(written):
            self._read_any_head(head)
            return
        self._status = int(plain[1])
        self._headers = fields
        self._frame(fields.get("content-length"), fields.get("transfer-encoding"))
        self.keeps = "close" not in fields.get("connection", "").lower()

    def _read_any_head(self, head: bytes) -> None:
        first, *lines = head.split(b"\r\n")
        found = _STATUS.fullmatch(first)
        if found is None:
            raise BadAnswer("the answer is not HTTP")
        status = int(found[2])
        if status == _UPGRADE:
            raise BadAnswer("the answer changes the protocol")
        if status < 200:
            return
        several: dict[str, list[str]] = {}
        for line in lines:
            field = _FIELD.fullmatch(line)
            if field is None:
                raise BadAnswer("the answer has a malformed header")
            name = field[1].decode("ascii").lower()
            several.setdefault(name, []).append(field[2].decode("utf-8", "surrogateescape"))
        self._status = status
        self._headers = {name: values[0] for name, values in several.items()}
        joined = {name: ",".join(values) for name, values in several.items()}
        self._frame(joined.get("content-length"), joined.get("transfer-encoding"))
        self.keeps = found[1] == b"1" and "close" not in joined.get("connection", "").lower()

    def _frame(self, length: str | None, coding: str | None) -> None:
        """How long the body is, or what ends it; several fields of a name are one with commas."""
        if self._status in _WITHOUT_BODY:
            self._length = 0
        elif coding is not None:
            if length is not None or coding.lower() != "chunked":
                raise BadAnswer("the answer's length is not plain")
            self._is_chunked = True
        elif length is not None:
            if not (length.isascii() and length.isdigit()):
                raise BadAnswer("the answer's length is not plain")
            if len(length) > _LENGTH_DIGITS or int(length) > self._limit:
                raise BadAnswer("the answer is too large")
            self._length = int(length)

    def _by_length(self, length: int) -> HttpResponse | None:
        if len(self._buffer) < length:
            return None
        if len(self._buffer) > length:
            self.keeps = False
        return self._whole(self._buffer[:length])

    def _by_chunks(self) -> HttpResponse | None:
        """Take every chunk that is whole; the last one ends the answer after its trailers."""
        while True:
            line_end = self._buffer.find(b"\r\n", 0, _SIZE_LINE_BYTES)
            if line_end < 0:
                if len(self._buffer) >= _SIZE_LINE_BYTES:
                    raise BadAnswer("the answer has a malformed chunk")
                return None
            found = _SIZE.fullmatch(self._buffer, 0, line_end)
            if found is None:
                raise BadAnswer("the answer has a malformed chunk")
            size = int(found[1], 16)
            if len(self._body) + size > self._limit:
                raise BadAnswer("the answer is too large")
            begin = line_end + 2
            if not size:
                return self._trailers(begin)
            end = begin + size
            if len(self._buffer) < end + 2:
                return None
            if self._buffer[end : end + 2] != b"\r\n":
                raise BadAnswer("the answer has a malformed chunk")
            self._body += self._buffer[begin:end]
            self._buffer = self._buffer[end + 2 :]

    def _trailers(self, begin: int) -> HttpResponse | None:
        """Pass over what follows the last chunk, up to the empty line."""
        if self._buffer.startswith(b"\r\n", begin):
            end = begin
        else:
            end = self._buffer.find(b"\r\n\r\n", begin, begin + _HEAD_BYTES)
            if end < 0:
                if len(self._buffer) - begin >= _HEAD_BYTES:
                    raise BadAnswer("the answer's trailer is too long")
                return None
            end += 2
        if len(self._buffer) > end + 2:
            self.keeps = False
        return self._whole(bytes(self._body))

    def _whole(self, body: bytes) -> HttpResponse:
        return HttpResponse(self._status, AnswerHeaders(self._headers), body)
