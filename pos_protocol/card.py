"""A bank card as a terminal reads it.

Rules: ``repr`` is masked; nothing here is ever stored or logged. Test cards are
invented: they start with 99, outside every issuer's range, and pass Luhn.
"""

import enum
from dataclasses import dataclass

from pos_protocol.masking import masked_pan


class CardEntry(enum.Enum):
    """How the card was read; the value is digits 1–2 of F22 (reference §2)."""

    MANUAL = "01"
    MAGNETIC = "02"
    CHIP = "05"
    CONTACTLESS = "07"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What the reader gave. ``expiry`` is YYMM, ``track2`` has ``=``; ``""`` if absent.

    ``sends_pan`` puts the PAN into F2 too, as most chip sales and some swipes do.
    ``icc_data`` is F55, ``sequence`` F23 (three digits): chip only.
    """

    pan: str
    entry: CardEntry
    expiry: str = ""
    track2: str = ""
    sequence: str = ""
    icc_data: bytes = b""
    sends_pan: bool = True

    def __repr__(self) -> str:
        return f"Card({masked_pan(self.pan)}, {self.entry.name.lower()})"


def magnetic_card(pan: str, expiry: str, *, sends_pan: bool = False) -> Card:
    """A swipe: track 2 is ``PAN=YYMM``, service code 120, discretionary data of zeros."""
    track2 = f"{pan}={expiry}1200000000000"[:37]
    return Card(
        pan=pan, entry=CardEntry.MAGNETIC, expiry=expiry, track2=track2, sends_pan=sends_pan
    )


def typed_card(pan: str, expiry: str) -> Card:
    """A card that is not there: its number and expiry, typed."""
    return Card(pan=pan, entry=CardEntry.MANUAL, expiry=expiry)


def chip_card(pan: str, expiry: str, icc_data: bytes) -> Card:
    """A chip: PAN in F2, track 2 equivalent data in F35, F23 and F55."""
    return Card(
        pan=pan,
        entry=CardEntry.CHIP,
        expiry=expiry,
        track2=f"{pan}={expiry}201"[:37],
        sequence="001",
        icc_data=icc_data,
    )


def luhn_valid(pan: str) -> bool:
    """Whether the last digit of ``pan`` is its Luhn check digit."""
    if not (pan.isascii() and pan.isdigit()):
        return False
    total = 0
    for index, char in enumerate(reversed(pan)):
        digit = int(char) * (1 + index % 2)
        total += digit - 9 if digit > 9 else digit
    return total % 10 == 0
