"""The host's side of one connection, without I/O.

Rules: bytes in, events out. One bad frame ends the session, because nothing after
it can be trusted to be a frame; everything before it is still delivered. No MAC is
checked here: whoever knows the terminal's key does that over the event's payload.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pos_protocol.codec import decode
from pos_protocol.dialect import STANDARD, Dialect, TpduRule
from pos_protocol.errors import CodecError, FramingError
from pos_protocol.framing import MAX_FRAME_BYTES, FrameReader, swap_tpdu
from pos_protocol.header import with_instruction
from pos_protocol.message import Message
from pos_protocol.transactions import MONEY_ECHOED, Transaction, identify, reply_mti

__all__ = ["BadFrame", "HostSession", "Received", "reply_to"]

_SWAP: Final = TpduRule.SWAP
_NO_INSTRUCTION: Final = frozenset(bytes([nibble << 4]) for nibble in range(16)) | {b""}
"""The header's third byte, four before its end, when it asks for nothing."""
CUT_OFF: Final = "the stream ended inside a frame"


# Not frozen, like Message: it is made for every message.
@dataclass(slots=True)
class Received:
    """A whole message, and the payload it was read from (the MAC covers those bytes)."""

    payload: bytes
    message: Message

    def __repr__(self) -> str:
        return f"Received({self.message!r}, {len(self.payload)} bytes)"


@dataclass(frozen=True, slots=True)
class BadFrame:
    """What came is no message; log ``reason`` (no content in it) and close.

    ``field`` as in :class:`CodecError`, -1 when the framing itself is broken;
    ``size_bytes`` is the length of the unreadable payload, 0 if unknown.
    """

    reason: str
    field: int = -1
    size_bytes: int = 0


class HostSession:
    """Turns what one terminal connection sends into events."""

    __slots__ = ("_dialect", "_reader", "closed")

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES, dialect: Dialect = STANDARD) -> None:
        self._reader = FrameReader(max_frame_bytes)
        self._dialect = dialect
        self.closed = False

    @property
    def buffered_bytes(self) -> int:
        """Bytes of a frame that is not whole yet."""
        return self._reader.buffered_bytes

    def receive_data(self, data: bytes) -> list[Received | BadFrame]:
        """What ``data`` completes; ``b""`` is the end of the stream. Never raises."""
        if self.closed:
            return []
        if not data:
            return self._end()
        fault: BadFrame | None = None
        try:
            frames = self._reader.feed(data)
        except FramingError as error:
            frames = list(error.frames)
            fault = BadFrame(error.reason)
        events: list[Received | BadFrame] = []
        for payload in frames:
            try:
                events.append(Received(payload, decode(payload, self._dialect)))
            except CodecError as error:
                fault = BadFrame(str(error), error.field, len(payload))
                break
        if fault is not None:
            self.closed = True
            events.append(fault)
        return events

    def _end(self) -> list[Received | BadFrame]:
        self.closed = True
        cut_off = self._reader.buffered_bytes
        return [BadFrame(CUT_OFF, size_bytes=cut_off)] if cut_off else []


def reply_to(
    request: Message,
    fields: Mapping[int, str | bytes],
    *,
    processing: int = 0,
    transaction: Transaction | None = None,
    dialect: Dialect = STANDARD,
) -> Message:
    """The answer to ``request``: TPDU swapped (or echoed), header echoed, MTI + 10.

    The fields that its transaction repeats are taken from the request, then
    ``fields`` is laid over them. ``processing`` is the host's instruction
    (:class:`pos_protocol.header.HostInstruction`). Whoever has identified the request
    already hands in its ``transaction``.

    Raises:
        CodecError: ``request`` is not a request, or ``processing`` no nibble.
    """
    row = transaction or identify(request)
    echoed = row.echoed if row is not None else MONEY_ECHOED
    asked, header, tpdu = request.fields, request.header, request.tpdu
    answer = {number: asked[number] for number in echoed if number in asked}
    answer.update(fields)
    if processing or header[-4:-3] not in _NO_INSTRUCTION:
        header = with_instruction(header, processing)
    if dialect.tpdu is _SWAP:
        tpdu = swap_tpdu(tpdu)
    return Message(tpdu, header, reply_mti(request.mti), answer)
