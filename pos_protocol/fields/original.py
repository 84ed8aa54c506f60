"""F61: which earlier transaction is meant (reference §2).

61.1 batch n6 · 61.2 trace n6 · 61.3 date MMDD n4 · 61.4 authorisation mode n2 · 61.5
authorising organisation n11. Voids send 12 or 16 digits, refunds 16 (``0000`` for a date
that nobody remembers), offline sales all.
"""

from dataclasses import dataclass
from typing import Final

from pos_protocol.errors import CodecError
from pos_protocol.fields.digits import exactly

_LEAST: Final = 12
_ORGANISATION: Final = 11
NO_DATE: Final = "0000"


@dataclass(frozen=True, slots=True)
class Original:
    """The parts in order, ``""`` for each that is not there; ``date`` is MMDD."""

    batch: str
    trace: str
    date: str = ""
    authorisation_mode: str = ""
    organisation: str = ""

    @property
    def has_date(self) -> bool:
        """Whether the terminal knows the day."""
        return self.date not in ("", NO_DATE)


def parse_original(field_61: str) -> Original:
    """At least batch and trace; raises :class:`CodecError` without them."""
    if len(field_61) < _LEAST:
        raise CodecError(61, -1, "the original's batch and trace have 12 digits")
    return Original(
        exactly(61, "the batch", field_61[:6], 6),
        exactly(61, "the trace", field_61[6:12], 6),
        field_61[12:16],
        field_61[16:18],
        field_61[18:29].rstrip(),
    )


def build_original(original: Original) -> str:
    """12, 16, 18 or 29 digits; raises :class:`CodecError` for what has no form."""
    text = exactly(61, "the batch", original.batch, 6) + exactly(61, "the trace", original.trace, 6)
    if original.date or original.authorisation_mode:
        text += exactly(61, "the date", original.date or NO_DATE, 4)
    if original.authorisation_mode:
        text += exactly(61, "the authorisation mode", original.authorisation_mode, 2)
    if original.organisation:
        if len(text) != 18 or len(original.organisation) != _ORGANISATION:
            raise CodecError(61, -1, "an organisation has 11 digits and follows its mode")
        text += exactly(61, "the organisation", original.organisation, _ORGANISATION)
    return text
