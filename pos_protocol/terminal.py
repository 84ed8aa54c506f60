"""The terminal's side of the protocol, without I/O (reference §6).

For tests, the demo, the load generator and ``posgate terminal``. Rules:

* The trace number rises by one for every online transaction except reversal and
  echo, from 1 to 999999 and round again.
* A builder gives a :class:`Request`; its answer is read with it, so that several may
  be under way. Working keys stay inside the crypto that is handed in.
* An answer that cannot be read, that belongs to something else or whose MAC is wrong
  proves nothing: :attr:`Outcome.reversal_reason` says what F39 the reversal takes.
"""

import enum
from dataclasses import dataclass, field
from typing import Final, Protocol

from pos_protocol.card import Card, CardEntry
from pos_protocol.codec import decode, encode, encode_with_mac, mac_input
from pos_protocol.errors import CodecError, TlvError
from pos_protocol.header import instruction_of
from pos_protocol.message import Message
from pos_protocol.response_codes import (
    APPROVED,
    PARTIALLY_APPROVED,
    REVERSAL_DONE,
    SIGN_IN_AGAIN,
    is_success,
)
from pos_protocol.tlv import ber_build, ber_items, text_build
from pos_protocol.transactions import batch_of, reply_mti

NO_ANSWER: Final = "98"
BAD_MAC: Final = "A0"
OTHER_FAULT: Final = "06"

_LAST_TRACE: Final = 999_999
_CURRENCY: Final = "156"
_NOT_REVERSED: Final = frozenset({26, 35, 36, 37, 52, 53, 64})
_REVERSAL_TAGS: Final = frozenset({"95", "9F1E", "9F10", "9F36", "DF31"})
_COMPARED: Final = (3, 4, 11, 41, 42)
_DEFAULT_TPDU: Final = bytes.fromhex("6000030000")
_DEFAULT_HEADER: Final = bytes.fromhex("603100311108")


class TerminalScheme(enum.Enum):
    """How working keys come at sign-in: the value is 60.3 (reference §4)."""

    DES = "001"
    TDES = "003"
    TDES_TDK = "004"
    SM4 = "006"


_SECURITY_CONTROL: Final = {
    TerminalScheme.DES: "2000000000000000",
    TerminalScheme.TDES: "2600000000000000",
    TerminalScheme.TDES_TDK: "2600000000000000",
    TerminalScheme.SM4: "2300000000000000",
}
_READ_CAPABILITY: Final = {
    CardEntry.MAGNETIC: "2",
    CardEntry.CHIP: "5",
    CardEntry.CONTACTLESS: "6",
}


class TerminalCrypto(Protocol):
    """The terminal's security module: it holds the master key and the working keys."""

    def unwrap_keys(self, scheme: TerminalScheme, keys: bytes) -> bool:
        """Take the working keys of a sign-in answer (F62); ``False``: check values differ."""
        ...

    def mac(self, data: bytes) -> bytes:
        """The eight bytes of F64 over ``data`` (MTI to the field before F64)."""
        ...

    def pin_block(self, pin: str, pan: str) -> bytes:
        """The encrypted format 0 block of F52."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalIdentity:
    """What never changes about a terminal."""

    terminal_id: str
    merchant_id: str
    scheme: TerminalScheme = TerminalScheme.TDES
    tpdu: bytes = _DEFAULT_TPDU
    header: bytes = _DEFAULT_HEADER
    operator: str = "001"


@dataclass(frozen=True, slots=True)
class Request:
    """What was sent: the payload (unframed) and the message it says."""

    payload: bytes
    message: Message

    @property
    def trace(self) -> str:
        """F11, ``""`` for an echo."""
        return self.message.text(11)

    def __repr__(self) -> str:
        return f"Request({self.message!r})"


class AnswerFault(enum.Enum):
    """Why an answer proves nothing."""

    UNREADABLE = "unreadable"
    MISMATCH = "mismatch"
    BAD_MAC = "bad_mac"
    BAD_KEYS = "bad_keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an answer came to; ``approved`` only if nothing is wrong with it.

    ``reversal_reason`` is F39 of the reversal that a sale now needs, ``""`` when the
    answer can be believed. ``amount_fen`` is the host's (a partial approval differs).
    ``instruction`` is nibble 5 of the header.
    """

    approved: bool
    response_code: str = ""
    fault: AnswerFault | None = None
    detail: str = ""
    reference: str = ""
    auth_code: str = field(default="", repr=False)
    amount_fen: int = 0
    instruction: int = 0
    message: Message | None = None

    @property
    def reversal_reason(self) -> str:
        """A0 for a wrong MAC, 06 for anything else that cannot be believed, or ``""``."""
        if self.fault is None:
            return ""
        return BAD_MAC if self.fault is AnswerFault.BAD_MAC else OTHER_FAULT

    @property
    def is_reversal_done(self) -> bool:
        """Whether this answer to a reversal ends it (00, 12, 25)."""
        return self.fault is None and self.response_code in REVERSAL_DONE


class Terminal:
    """One terminal: builds requests, reads answers, keeps batch and trace."""

    def __init__(
        self,
        identity: TerminalIdentity,
        crypto: TerminalCrypto,
        *,
        trace: int = 1,
        batch: str = "000000",
    ) -> None:
        self.identity = identity
        self.trace = trace
        self.batch = batch
        self.signed_in = False
        self._crypto = crypto

    def sign_in(self) -> Request:
        """0800: ask for working keys and the batch number."""
        own = self.identity
        return self._plain(
            "0800",
            {11: self._next_trace(), 60: self._f60("00", own.scheme.value), 63: own.operator},
        )

    def sign_out(self) -> Request:
        """0820 with 60.3 = 002."""
        return self._plain("0820", {11: self._next_trace(), 60: self._f60("00", "002")})

    def echo(self) -> Request:
        """0820 with 60.3 = 301: is anybody there? Takes no trace number."""
        return self._plain("0820", {60: self._f60("00", "301")})

    def sale(self, card: Card, amount_fen: int, pin: str = "") -> Request:
        """0200 消费 by card, with PIN if one is given."""
        fields: dict[int, str | bytes] = {
            3: "000000",
            4: f"{amount_fen:012d}",
            11: self._next_trace(),
            22: card.entry.value + ("1" if pin else "2"),
            25: "00",
            49: _CURRENCY,
            60: self._f60("22", "000") + _READ_CAPABILITY[card.entry] + "0",
        }
        self._add_card(fields, card)
        if pin:
            fields[26] = "12"
            fields[52] = self._crypto.pin_block(pin, card.pan)
            fields[53] = _SECURITY_CONTROL[self.identity.scheme]
        return self._secured("0200", fields)

    def qr_sale(self, code: str, amount_fen: int) -> Request:
        """0200 by a code scanned from the payer's phone (F22 032, F59 A3)."""
        fields: dict[int, str | bytes] = {
            3: "000000",
            4: f"{amount_fen:012d}",
            11: self._next_trace(),
            22: "032",
            25: "00",
            49: _CURRENCY,
            59: text_build([("A3", code)]),
            60: self._f60("22", "000") + "60",
        }
        return self._secured("0200", fields)

    def reversal(self, of: Request, reason: str = NO_ANSWER, auth_code: str = "") -> Request:
        """0400 冲正 of a request: its own fields, ``reason`` in F39, no new trace number."""
        fields = {
            number: value
            for number, value in of.message.fields.items()
            if number not in _NOT_REVERSED
        }
        chip_data = of.message.data(55)
        if chip_data:
            fields.pop(55)
            kept = _reversal_chip_data(chip_data)
            if kept:
                fields[55] = kept
        if auth_code:
            fields[38] = auth_code
        fields[39] = reason
        return self._secured("0400", fields)

    def read(self, request: Request, payload: bytes) -> Outcome:
        """Check the answer to ``request`` (§6, "Terminal response checks") and take it.

        A valid sign-in answer sets keys and batch; 77, 99 and A0 end the sign-in.
        """
        try:
            answer = decode(payload)
        except CodecError as error:
            return Outcome(approved=False, fault=AnswerFault.UNREADABLE, detail=str(error))
        code = answer.text(39)
        fault, detail = self._check(request.message, answer, payload, code)
        if fault is None and code in SIGN_IN_AGAIN:
            self.signed_in = False
        if fault is None and code == APPROVED and request.message.mti == "0800":
            fault = self._take_keys(answer)
        amount = answer.text(4)
        return Outcome(
            approved=fault is None and is_success(code),
            response_code=code,
            fault=fault,
            detail=detail,
            reference=answer.text(37),
            auth_code=answer.text(38),
            amount_fen=int(amount) if amount else 0,
            instruction=instruction_of(answer.header),
            message=answer,
        )

    def _check(
        self, asked: Message, answer: Message, payload: bytes, code: str
    ) -> tuple[AnswerFault | None, str]:
        if answer.mti != reply_mti(asked.mti):
            return AnswerFault.MISMATCH, "another MTI"
        if not code:
            return AnswerFault.MISMATCH, "no F39"
        for number in _COMPARED:
            if number == 4 and code == PARTIALLY_APPROVED:
                continue
            if number in asked.fields and answer.fields.get(number) != asked.fields[number]:
                return AnswerFault.MISMATCH, f"another F{number}"
        if code == APPROVED and 64 in asked.fields:
            if 64 not in answer.fields:
                return AnswerFault.BAD_MAC, "approved without F64"
            if self._crypto.mac(mac_input(payload)) != answer.data(64):
                return AnswerFault.BAD_MAC, "F64 differs"
        return None, ""

    def _take_keys(self, answer: Message) -> AnswerFault | None:
        if not self._crypto.unwrap_keys(self.identity.scheme, answer.data(62)):
            return AnswerFault.BAD_KEYS
        self.batch = batch_of(answer) or self.batch
        self.signed_in = True
        return None

    def _add_card(self, fields: dict[int, str | bytes], card: Card) -> None:
        if card.sends_pan:
            fields[2] = card.pan
            if card.expiry:
                fields[14] = card.expiry
        if card.track2:
            fields[35] = card.track2
        if card.sequence:
            fields[23] = card.sequence
        if card.icc_data:
            fields[55] = card.icc_data

    def _f60(self, type_code: str, management: str) -> str:
        return type_code + self.batch + management

    def _next_trace(self) -> str:
        trace = self.trace
        self.trace = trace + 1 if trace < _LAST_TRACE else 1
        return f"{trace:06d}"

    def _message(self, mti: str, fields: dict[int, str | bytes]) -> Message:
        own = self.identity
        fields[41], fields[42] = own.terminal_id, own.merchant_id
        return Message(own.tpdu, own.header, mti, fields)

    def _plain(self, mti: str, fields: dict[int, str | bytes]) -> Request:
        message = self._message(mti, fields)
        return Request(encode(message), message)

    def _secured(self, mti: str, fields: dict[int, str | bytes]) -> Request:
        message = self._message(mti, fields)
        payload = encode_with_mac(message, self._crypto.mac)
        fields[64] = payload[-8:]
        return Request(payload, message)


def _reversal_chip_data(data: bytes) -> bytes:
    """The tags of F55 that a reversal repeats (§2); nothing of what is no tag list."""
    try:
        return ber_build(item for item in ber_items(data) if item[0] in _REVERSAL_TAGS)
    except TlvError:
        return b""
