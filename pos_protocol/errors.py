"""What can be wrong with bytes on the POS wire.

::

    PosProtocolError
    ├── FramingError    the byte stream itself: zero or oversized length
    ├── CodecError      one message: names the field, the byte and the reason
    └── TlvError        a tag list inside a field

Rule: a reason names places and lengths, never the content of a field, so that
every one of these may be logged as it stands.
"""


class PosProtocolError(Exception):
    """Root of this room's faults; the text is safe to log."""


class FramingError(PosProtocolError):
    """The stream cannot be cut into frames any more; the connection must end.

    ``frames`` are the whole frames that came before the fault in the same bytes.
    """

    def __init__(self, reason: str, frames: tuple[bytes, ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.frames = frames


class CodecError(PosProtocolError):
    """A message that the field table cannot read or write.

    ``field`` is the field number, ``1`` for the bitmap and ``0`` for TPDU, header,
    MTI or bytes after the last field; ``offset`` counts from the TPDU (-1: writing).
    """

    def __init__(self, field: int, offset: int, reason: str) -> None:
        place = f"field {field}" if field > 1 else ("bitmap" if field else "message")
        where = f" at byte {offset}" if offset >= 0 else ""
        super().__init__(f"{place}{where}: {reason}")
        self.field = field
        self.offset = offset
        self.reason = reason


class TlvError(PosProtocolError):
    """A tag list that does not add up; ``offset`` is the byte where it stops."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(f"tag list at byte {offset}: {reason}")
        self.offset = offset
        self.reason = reason
