"""Two length bytes, binary big-endian, then the payload (reference §1).

Rules: the buffer never holds more than one unfinished frame besides what one
``feed`` brings; a length of zero or above the bound is a fault of the stream and
final, for nobody knows where the next frame begins.
"""

from functools import lru_cache
from typing import Final

from pos_protocol.errors import FramingError

__all__ = ["MAX_FRAME_BYTES", "FrameReader", "FramingError", "frame", "swap_tpdu"]

MAX_FRAME_BYTES: Final = 4096
PREFIX_BYTES: Final = 2
LARGEST_BYTES: Final = 0xFFFF


class FrameReader:
    """Cuts a byte stream into payloads; one per connection."""

    __slots__ = ("_buffer", "_fault", "_max_frame_bytes")

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()
        self._fault = ""

    @property
    def buffered_bytes(self) -> int:
        """Bytes of an unfinished frame; more than zero at the end means a cut-off one."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Add what came in; give the payloads that are now whole.

        Raises:
            FramingError: a bad length (``frames`` holds the payloads before it); again
                for everything fed afterwards.
        """
        if self._fault:
            raise FramingError(self._fault)
        if not self._buffer:
            size = len(data) - PREFIX_BYTES
            if size > 0 and (data[0] << 8 | data[1]) == size <= self._max_frame_bytes:
                return [data[PREFIX_BYTES:]]
        self._buffer += data
        return self._cut()

    def _cut(self) -> list[bytes]:
        buffer, frames, start = self._buffer, [], 0
        with memoryview(buffer) as view:
            while len(view) - start >= PREFIX_BYTES:
                size = view[start] << 8 | view[start + 1]
                if not 0 < size <= self._max_frame_bytes:
                    self._fault = self._reason(size)
                    break
                end = start + PREFIX_BYTES + size
                if end > len(view):
                    break
                frames.append(bytes(view[start + PREFIX_BYTES : end]))
                start = end
        if self._fault:
            buffer.clear()
            raise FramingError(self._fault, tuple(frames))
        del buffer[:start]
        return frames

    def _reason(self, size: int) -> str:
        if not size:
            return "a frame of length zero"
        return f"a frame of {size} bytes, above the bound of {self._max_frame_bytes}"


def frame(payload: bytes) -> bytes:
    """``payload`` with its length before it; raises :class:`FramingError` if it has none."""
    if not 0 < len(payload) <= LARGEST_BYTES:
        raise FramingError(f"a payload of {len(payload)} bytes cannot be framed")
    return len(payload).to_bytes(PREFIX_BYTES, "big") + payload


@lru_cache(maxsize=256)
def swap_tpdu(tpdu: bytes) -> bytes:
    """The TPDU of the answer: id, then source and destination exchanged."""
    return tpdu[:1] + tpdu[3:5] + tpdu[1:3]
