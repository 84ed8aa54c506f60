"""What precedes the MTI, found by trying (reference §1, "Variants").

Rule: an envelope is right when the field table reads what follows it to the last
byte; the usual one is tried first. Only ``describe`` guesses: a server knows its own.
"""

from dataclasses import dataclass
from typing import Final

from pos_protocol.codec import BODY_OFFSET, decode
from pos_protocol.dialect import Dialect
from pos_protocol.errors import CodecError
from pos_protocol.message import Message

_TPDU_BYTES: Final = 5
_HEADER_BYTES: Final = 6
_ROUTING_BYTES: Final = 14
_MTI_BYTES: Final = frozenset(b"\x01\x02\x03\x04\x05\x06\x08\x09")
_TPDU_ID: Final = 0x60


@dataclass(frozen=True, slots=True)
class Envelope:
    """One way to cut the bytes: ``before`` counts those ahead of ``body``, prefix included."""

    tpdu: bytes
    skipped: bytes
    header: bytes
    body: bytes
    before: int

    @property
    def payload(self) -> bytes:
        """The body behind eleven zero bytes, as the codec wants it."""
        return bytes(BODY_OFFSET) + self.body

    def place(self, error: CodecError) -> CodecError:
        """``error`` with its offset counted from the first byte given."""
        return CodecError(error.field, error.offset - BODY_OFFSET + self.before, error.reason)


@dataclass(frozen=True, slots=True)
class Opened:
    """The envelope that fits best, and either the message or why there is none."""

    envelope: Envelope
    message: Message | None
    error: CodecError | None
    prefix_fault: str = ""


def open_envelope(raw: bytes, dialect: Dialect) -> Opened:
    """Find prefix, TPDU and header of ``raw``; never raises."""
    declared, follow = int.from_bytes(raw[:2], "big"), len(raw) - 2
    if declared == follow:
        return _best(raw[2:], 2, dialect)
    plain = _best(raw, 0, dialect)
    if plain.message is not None or raw[2:3] != bytes([_TPDU_ID]) or raw[0] == _TPDU_ID:
        return plain
    inner = _best(raw[2:], 2, dialect)
    fault = f"the length prefix says {declared} bytes, {follow} follow"
    return Opened(inner.envelope, inner.message, inner.error, fault)


def _best(raw: bytes, prefix: int, dialect: Dialect) -> Opened:
    """The first envelope that reads, otherwise the one that reads furthest."""
    first, *others = _cuts(raw, prefix)
    best = _read(first, dialect)
    for envelope in others:
        if best.message is not None:
            break
        read = _read(envelope, dialect)
        if read.message is not None or _progress(read.error) > _progress(best.error):
            best = read
    return best


def _read(envelope: Envelope, dialect: Dialect) -> Opened:
    try:
        return Opened(envelope, _decoded(envelope, dialect), None)
    except CodecError as error:
        return Opened(envelope, None, error)


def _progress(error: CodecError | None) -> int:
    return error.offset if error is not None else 0


def _cuts(raw: bytes, prefix: int) -> tuple[Envelope, ...]:
    tpdu, after_tpdu = raw[:_TPDU_BYTES], raw[_TPDU_BYTES:]
    routing, rest = after_tpdu[:_ROUTING_BYTES], after_tpdu[_ROUTING_BYTES:]
    cuts = (
        (tpdu, b"", after_tpdu[:_HEADER_BYTES], after_tpdu[_HEADER_BYTES:]),
        (tpdu, b"", b"", after_tpdu),
        (b"", b"", b"", raw),
        (tpdu, routing, rest[:_HEADER_BYTES], rest[_HEADER_BYTES:]),
    )
    return tuple(
        Envelope(start, skipped, header, body, prefix + len(raw) - len(body))
        for start, skipped, header, body in cuts
        if not any(skipped)
    )


def _decoded(envelope: Envelope, dialect: Dialect) -> Message:
    if envelope.body[:1] and envelope.body[0] not in _MTI_BYTES:
        raise CodecError(0, BODY_OFFSET - 1, "no MTI where one should be")
    return decode(envelope.payload, dialect)
