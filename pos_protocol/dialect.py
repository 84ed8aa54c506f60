"""What one terminal (or one vendor's terminals) does otherwise than the usual one.

Rules: reading is lenient whatever the dialect says (any pad nibble, with or without
header, F60 of any length, F64 in either form, for both are eight bytes); a dialect
decides what is *written*, and which vendor fields have a length at all. It is data:
the MAC and the track cipher that it names are handed in by whoever holds the keys.
Sources: reference §1 (variants), §2 (pad nibbles, F60), §4 and §9.3.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as option
from types import MappingProxyType
from typing import Final

from pos_protocol.spec import FIELDS, Content, FieldSpec, Size

FIELD_60_DIGITS: Final = (8, 11, 12, 13, 14, 17)
"""Whole parts of F60: batch; management; read capability; chip; partial approval; account."""
_NO_FIELDS: Final[Mapping[int, FieldSpec]] = MappingProxyType({})


class MacAlgorithm(enum.Enum):
    """How F64 is made; the values are the names that settings use."""

    CUP_ECB = "cup-ecb"
    """CUP's own; single DES with a MAK of 8 bytes, 3DES with 16 or 24."""
    X99 = "x9.9"
    X919 = "x9.19"
    CUP_SM4 = "cup-sm4"


class MacForm(enum.Enum):
    """How the MAC stands in the eight bytes of F64."""

    HEX = "hex"
    """Its first four bytes as eight upper-case hexadecimal characters: the usual form."""
    RAW = "raw"
    """Its first eight bytes as they are."""


class TpduRule(enum.Enum):
    """What an answer does with the request's addresses."""

    SWAP = "swap"
    ECHO = "echo"


class HeaderForm(enum.Enum):
    """What stands between TPDU and MTI; the value is its length in bytes."""

    STANDARD = 6
    NONE = 0
    ROUTED = 20
    """A private routing block of 14 zero bytes, then the usual header."""


MAK_BYTES: Final[Mapping[MacAlgorithm, tuple[int, ...]]] = MappingProxyType(
    {
        MacAlgorithm.CUP_ECB: (8, 16, 24),
        MacAlgorithm.X99: (8,),
        MacAlgorithm.X919: (16,),
        MacAlgorithm.CUP_SM4: (16,),
    }
)
"""The lengths of key that each algorithm takes."""


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """The options of §9.3 and a vendor's own fields.

    Compared by identity, so that compiled plans can be cached by it: make one per
    configuration, not one per message.

    Raises:
        ValueError: an option that no terminal can have.
    """

    extra_fields: Mapping[int, FieldSpec] = option(default_factory=lambda: _NO_FIELDS)
    """Fields that are not in the table, or lie otherwise than it says."""
    pad: str = option(default="0", kw_only=True)
    """The nibble written beside an odd number of digits, ``0``–``9`` or ``A``–``F``."""
    tpdu: TpduRule = option(default=TpduRule.SWAP, kw_only=True)
    """What an answer does with the two addresses: ``swap`` or ``echo``."""
    header: HeaderForm = option(default=HeaderForm.STANDARD, kw_only=True)
    """The bytes between TPDU and MTI: 6, 0, or 20 with a routing block of 14 zeros."""
    mac: MacAlgorithm = option(default=MacAlgorithm.CUP_ECB, kw_only=True)
    """``cup-ecb``, ``x9.9``, ``x9.19`` or ``cup-sm4``."""
    mac_form: MacForm = option(default=MacForm.HEX, kw_only=True)
    """F64 as eight hexadecimal characters (``hex``), or eight bytes (``raw``)."""
    mak_bytes: int = option(default=8, kw_only=True)
    """The length of the MAC key that sign-in hands out."""
    encrypts_tracks: bool = option(default=False, kw_only=True)
    """F35 and F36 travel under the track key, and F53 says so in its third digit."""
    field_60_digits: int = option(default=13, kw_only=True)
    """How many digits a money message puts into F60, one of :data:`FIELD_60_DIGITS`."""

    def __post_init__(self) -> None:
        if len(self.pad) != 1 or self.pad not in "0123456789ABCDEF":
            raise ValueError("a pad is one upper-case hexadecimal digit")
        if self.mak_bytes not in MAK_BYTES[self.mac]:
            raise ValueError(f"{self.mac.value} takes no MAC key of {self.mak_bytes} bytes")
        if self.field_60_digits not in FIELD_60_DIGITS:
            raise ValueError(f"F60 has one of {FIELD_60_DIGITS} digits")

    def field(self, number: int) -> FieldSpec | None:
        """The layout of field ``number``, or ``None`` when nobody declared it."""
        return self.extra_fields.get(number) or FIELDS.get(number)


STANDARD: Final = Dialect()
"""The table as it stands and the usual options."""


def opaque(number: int, size: Size) -> FieldSpec:
    """A vendor's field of which only the layout is known: kept as bytes."""
    if number not in range(2, 65):
        raise ValueError(f"field {number} does not exist: 2 to 64")
    return FieldSpec(number, "Vendor field", "厂商自定义域", Content.BINARY, 999, size)
