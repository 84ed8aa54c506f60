"""A POS message as values.

Rule: ``repr`` names the fields and shows none of them.
"""

from dataclasses import dataclass


# Not frozen: a frozen constructor alone would cost a tenth of decoding a message.
@dataclass(slots=True, repr=False)
class Message:
    """TPDU (5 bytes), header (6 bytes, or 0 or 20), MTI (4 digits) and fields.

    Values: BCD fields are ``str`` of digits; tracks ``str`` with ``=`` for the
    separator nibble D (an encrypted track may hold A–F); F60 and F61 ``str``, digits
    in all but non-conforming messages; ASCII and text fields ``str``; F52, F55, F62,
    F64 and opaque vendor fields ``bytes``. ``pads`` keeps field and pad nibble of each
    odd-length field whose pad was not the dialect's, so that encoding gives the same bytes.
    """

    tpdu: bytes
    header: bytes
    mti: str
    fields: dict[int, str | bytes]
    pads: tuple[tuple[int, str], ...] = ()

    def text(self, number: int) -> str:
        """The value of a ``str`` field, ``""`` when it is absent or binary."""
        value = self.fields.get(number)
        return value if isinstance(value, str) else ""

    def data(self, number: int) -> bytes:
        """The value of a ``bytes`` field, ``b""`` when it is absent or text."""
        value = self.fields.get(number)
        return value if isinstance(value, bytes) else b""

    def __repr__(self) -> str:
        return f"Message(mti={self.mti!r}, fields={sorted(self.fields)})"
