"""Unix ``compress`` (.Z), written: how an acquirer's files are delivered. Pure.

Rules: LZW with codes of 9 to 16 bits, the lowest bit first; codes of one width come in groups
of eight, and a group is filled up with zeros before the width grows. The table is never
cleared: once it is full, it stays.
"""

from typing import Final

_HEAD: Final = b"\x1f\x9d\x90"
"""Magic; at most 16 bits, and the code that clears the table is taken out."""
_FIRST_CODE: Final = 257
_FIRST_WIDTH: Final = 9
_MOST_WIDTH: Final = 16


class _Codes:
    """Codes as bits."""

    def __init__(self) -> None:
        self.out = bytearray(_HEAD)
        self.width = _FIRST_WIDTH
        self._group: list[int] = []

    def put(self, code: int) -> None:
        self._group.append(code)
        if len(self._group) == 8:
            self._flush()

    def widen(self) -> None:
        if self._group:
            self._group += [0] * (8 - len(self._group))
            self._flush()
        self.width += 1

    def finish(self) -> bytes:
        self._flush()
        return bytes(self.out)

    def _flush(self) -> None:
        bits = sum(code << place * self.width for place, code in enumerate(self._group))
        self.out += bits.to_bytes(-(-len(self._group) * self.width // 8), "little")
        self._group = []


def compressed(data: bytes) -> bytes:
    """``data`` as ``compress`` would leave it."""
    codes = _Codes()
    table = {bytes((byte,)): byte for byte in range(256)}
    free, run = _FIRST_CODE, b""
    for place in range(len(data)):
        longer = run + data[place : place + 1]
        if longer in table:
            run = longer
            continue
        codes.put(table[run])
        if codes.width < _MOST_WIDTH and free >= 1 << codes.width:
            codes.widen()
        if free < 1 << _MOST_WIDTH:
            table[longer] = free
            free += 1
        run = longer[-1:]
    if run:
        codes.put(table[run])
    return codes.finish()
