"""The earlier transaction that a command means, and the card that it shows.

Rules: ``--trace`` names it, or it is the last one of its kind; the journal knows amount,
reference and date, and what it does not know (another batch, another day) must be told.
Test cards have one expiry and one chip; a card that this run has seen needs no number.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from domain.errors import InvalidRequest
from gateway.cli.terminal_given import Given
from gateway.cli.terminal_journal import JournalLine, LineState
from gateway.cli.terminal_till import Till
from pos_protocol import asks
from pos_protocol.card import Card, CardEntry, chip_card, magnetic_card
from pos_protocol.fields.original import Original
from pos_protocol.tlv import ber_build
from pos_protocol.transactions import TransactionKind

_SCANS: Final = frozenset(
    {TransactionKind.QR_SALE, TransactionKind.QR_VOID, TransactionKind.QR_REFUND}
)
_DONE: Final = (LineState.APPROVED,)
TEST_EXPIRY: Final = "3012"
_TEST_CHIP: Final = ber_build(
    (tag, bytes.fromhex(value))
    for tag, value in (
        ("9F26", "0102030405060708"), ("9F27", "80"), ("9F10", "07010103A0A802010A0100"),
        ("9F37", "0A0B0C0D"), ("9F36", "0001"), ("95", "0000000000"), ("9A", "260101"),
        ("9C", "00"), ("9F02", "000000000000"), ("5F2A", "0156"), ("82", "7C00"),
        ("9F1A", "0156"), ("9F03", "000000000000"), ("9F33", "E0F8C8"), ("9F34", "420300"),
        ("9F35", "22"), ("9F1E", "3132333435363738"), ("84", "A000000333010101"),
        ("9F09", "0030"), ("9F41", "00000001"),
    )
)  # fmt: skip
"""What the invented card's chip says."""
_NO_CARD: Final = Card(pan="", entry=CardEntry.MAGNETIC, sends_pan=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """The transaction that another one is about; ``line`` if the journal knows it."""

    original: Original
    amount_fen: int
    reference: str
    organisation: str
    is_scan: bool
    line: JournalLine | None


def card_of(till: Till, given: Given, line: JournalLine | None = None) -> Card:
    """The card: as given, or that of ``line`` in this run; none at all for a known line."""
    if given.pan:
        check_pan(given.pan)
        if given.chip:
            return chip_card(given.pan, TEST_EXPIRY, _TEST_CHIP)
        return magnetic_card(given.pan, TEST_EXPIRY)
    seen = till.card_of(line) if line is not None else None
    if seen is None and given.pin:
        raise InvalidRequest("no_pan", "a PIN goes with a card: give --pan too")
    return seen or _NO_CARD


def check_pan(pan: str) -> None:
    """Raise :class:`InvalidRequest` for what is no card number."""
    if not (12 <= len(pan) <= 19 and pan.isascii() and pan.isdigit()):
        raise InvalidRequest("wrong_pan", "a card number has 12 to 19 digits: mend --pan")


def earlier(
    till: Till,
    given: Given,
    kinds: Iterable[TransactionKind],
    states: tuple[LineState, ...] = _DONE,
) -> Earlier:
    """What ``--trace`` means, or the last transaction of these kinds.

    Raises:
        InvalidRequest: the journal has none, and too little is given to do without it.
    """
    journal, batch = till.journal, given.batch or till.terminal.batch
    if given.trace:
        line = journal.find(given.trace.rjust(6, "0"), batch)
    else:
        line = journal.last(kinds, *states)
    if line is not None:
        date = given.date or line.date
        return Earlier(
            original=asks.original_of(line.batch, line.trace, date),
            amount_fen=given.amount or line.amount_fen,
            reference=given.reference or line.reference,
            organisation=line.organisation or asks.NO_ORGANISATION,
            is_scan=line.kind in _SCANS,
            line=line,
        )
    if not given.trace:
        raise InvalidRequest(
            "nothing_earlier", "this terminal has done no such transaction: name it with --trace"
        )
    original = asks.original_of(batch, given.trace.rjust(6, "0"), given.date)
    return Earlier(
        original=original,
        amount_fen=given.amount,
        reference=given.reference,
        organisation=asks.NO_ORGANISATION,
        is_scan=bool(given.code or given.voucher),
        line=None,
    )


def with_amount(found: Earlier) -> Earlier:
    """``found``; :class:`InvalidRequest` if nobody knows how much it was."""
    if not found.amount_fen:
        raise InvalidRequest("no_amount", "the journal does not know it: give --amount")
    return found


def auth_code(till: Till, given: Given, line: JournalLine | None) -> str:
    """F38 of a hold, as given or as this run has seen it; else :class:`InvalidRequest`."""
    code = given.auth_code or (till.auth_code_of(line) if line is not None else "")
    if not code:
        raise InvalidRequest(
            "no_auth_code", "it needs the authorisation code of the hold's slip: give --auth-code"
        )
    return code


def reference_of(found: Earlier) -> str:
    """F37 of the original; :class:`InvalidRequest` if nobody knows it."""
    if not found.reference:
        raise InvalidRequest(
            "no_reference", "the journal does not know its reference: give --reference"
        )
    return found.reference
