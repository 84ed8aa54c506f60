"""The terminal's side of the protocol, without I/O (reference §6).

For tests, the demo, the load generator and ``posgate terminal``. Rules:

* The trace number rises by one for every online transaction except reversal, echo and
  downloads, from 1 to 999999 and round again.
* A builder gives a :class:`Request`; its answer is read with it, so that several may
  be under way. Working keys stay inside the crypto that is handed in.
* What there is to ask for is in ``asks.py`` and ``management_asks.py``; what an answer
  proves is in ``answer_check.py`` and ``outcome.py``.
"""

from typing import Final

from pos_protocol import asks
from pos_protocol.answer_check import check_answer, code_of
from pos_protocol.asks import Ask, Fields
from pos_protocol.card import Card
from pos_protocol.codec import decode, encode, encode_with_mac
from pos_protocol.errors import CodecError, TlvError
from pos_protocol.fields.operator_pin import OperatorPin, binding_of, build_operator_pin
from pos_protocol.fields.transaction_type import TransactionType, build_transaction_type
from pos_protocol.header import instruction_of
from pos_protocol.message import Message
from pos_protocol.numbering import following, takes_a_trace
from pos_protocol.outcome import (
    BAD_MAC,
    NO_ANSWER,
    OTHER_FAULT,
    AnswerFault,
    Outcome,
    Request,
)
from pos_protocol.response_codes import APPROVED, SIGN_IN_AGAIN, is_success
from pos_protocol.terminal_identity import (
    TerminalCrypto,
    TerminalIdentity,
    TerminalScheme,
    TrackCipher,
)
from pos_protocol.tlv import ber_build, ber_items
from pos_protocol.transactions import TransactionKind, batch_of, identify, row_of

__all__ = [
    "BAD_MAC",
    "NO_ANSWER",
    "OTHER_FAULT",
    "AnswerFault",
    "Ask",
    "Outcome",
    "Request",
    "Terminal",
    "TerminalCrypto",
    "TerminalIdentity",
    "TerminalScheme",
    "TrackCipher",
]

_NOT_REVERSED: Final = frozenset({26, 35, 36, 37, 52, 53, 58, 64})
_REVERSAL_TAGS: Final = frozenset({"95", "9F1E", "9F10", "9F36", "DF31"})
_PIN_CAPTURE: Final = "12"
_K = TransactionKind


class Terminal:
    """One terminal: builds requests, reads answers, keeps batch and trace.

    Raises:
        ValueError: its dialect encrypts tracks and there is no ``track_cipher``.
    """

    def __init__(
        self,
        identity: TerminalIdentity,
        crypto: TerminalCrypto,
        *,
        trace: int = 1,
        batch: str = "000000",
        track_cipher: TrackCipher | None = None,
    ) -> None:
        if identity.dialect.encrypts_tracks and track_cipher is None:
            raise ValueError("this dialect encrypts tracks: a track cipher is needed")
        self.identity = identity
        self.trace = trace
        self.batch = batch
        self.signed_in = False
        self._crypto = crypto
        self._tracks = track_cipher

    def sign_in(self) -> Request:
        """0800: ask for working keys and the batch number."""
        own = self.identity
        row = row_of(_K.SIGN_IN, own.scheme.value)
        return self.ask(Ask(row=row, fields={63: own.operator}))

    def sign_out(self) -> Request:
        """0820 with 60.3 = 002."""
        return self.ask(Ask(row=row_of(_K.SIGN_OUT)))

    def echo(self) -> Request:
        """0820 with 60.3 = 301: is anybody there? Takes no trace number."""
        return self.ask(Ask(row=row_of(_K.ECHO)))

    def sale(self, card: Card, amount_fen: int, pin: str = "") -> Request:
        """0200 消费 by card, with PIN if one is given."""
        return self.ask(asks.sale(card, amount_fen, pin))

    def qr_sale(self, code: str, amount_fen: int) -> Request:
        """0200 by a code scanned from the payer's phone (F22 032, F59 A3)."""
        return self.ask(asks.qr_sale(code, amount_fen))

    def ask(self, ask: Ask) -> Request:
        """Whatever ``asks.py`` and ``management_asks.py`` describe.

        Raises:
            CodecError: a value that has no form on the wire.
        """
        row = ask.row
        fields: Fields = dict(ask.fields)
        if ask.trace:
            fields[11] = ask.trace
        elif takes_a_trace(row.kind):
            fields[11] = self._next_trace()
        fields.setdefault(60, self._field_60(ask))
        if ask.card is not None:
            self._add_card(fields, ask.card, ask.pin)
        if ask.operator_id:
            binding = binding_of(self.batch, str(fields[11]))
            block = self._crypto.pin_block(ask.operator_pin, binding)
            fields[58] = build_operator_pin(OperatorPin(ask.operator_id, block))
        return self._secured(row.mti, fields) if row.has_mac else self._plain(row.mti, fields)

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

    def close_batch(self) -> None:
        """After a settlement and its upload: the next batch (§6)."""
        self.batch = f"{following(int(self.batch)):06d}"

    def read(self, request: Request, payload: bytes) -> Outcome:
        """Check the answer to ``request`` (§6, "Terminal response checks") and take it.

        A valid sign-in answer sets keys and batch; 77, 99 and A0 end the sign-in, a
        sign-out does.
        """
        try:
            answer = decode(payload, self.identity.dialect)
        except CodecError as error:
            return Outcome(approved=False, fault=AnswerFault.UNREADABLE, detail=str(error))
        asked = request.message
        code = code_of(asked, answer)
        fault, detail = check_answer(asked, answer, payload, self._crypto.mac)
        if fault is None:
            fault = self._take(asked, answer, code)
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

    def _take(self, asked: Message, answer: Message, code: str) -> AnswerFault | None:
        """What a believable answer changes here."""
        row = identify(asked)
        kind = row.kind if row is not None else None
        if code in SIGN_IN_AGAIN or (kind is _K.SIGN_OUT and code == APPROVED):
            self.signed_in = False
        if kind is not _K.SIGN_IN or code != APPROVED:
            return None
        if not self._crypto.unwrap_keys(self.identity.scheme, answer.data(62)):
            return AnswerFault.BAD_KEYS
        self.batch = batch_of(answer) or self.batch
        self.signed_in = True
        return None

    def _add_card(self, fields: Fields, card: Card, pin: str) -> None:
        encrypts = self.identity.dialect.encrypts_tracks and bool(card.track2)
        if card.sends_pan:
            fields[2] = card.pan
            if card.expiry:
                fields[14] = card.expiry
        if card.track2:
            tracks = self._tracks if encrypts else None
            fields[35] = card.track2 if tracks is None else tracks.encrypt_track(card.track2)
        if card.sequence:
            fields[23] = card.sequence
        if card.icc_data:
            fields[55] = card.icc_data
        if pin:
            fields[26] = _PIN_CAPTURE
            fields[52] = self._crypto.pin_block(pin, card.pan)
        if pin or encrypts:
            fields[53] = self.identity.security_control(has_pin=bool(pin))

    def _field_60(self, ask: Ask) -> str:
        row = ask.row
        has_reader = bool(ask.read_capability)
        parts = TransactionType(
            row.type_code,
            self.batch,
            row.management,
            ask.read_capability,
            ask.chip_condition if has_reader else "",
        )
        digits = self.identity.dialect.field_60_digits if has_reader else None
        return build_transaction_type(parts, digits)

    def _next_trace(self) -> str:
        trace = self.trace
        self.trace = following(trace)
        return f"{trace:06d}"

    def _message(self, mti: str, fields: Fields) -> Message:
        own = self.identity
        fields[41], fields[42] = own.terminal_id, own.merchant_id
        return Message(own.tpdu, own.sent_header, mti, fields)

    def _plain(self, mti: str, fields: Fields) -> Request:
        message = self._message(mti, fields)
        return Request(encode(message, self.identity.dialect), message)

    def _secured(self, mti: str, fields: Fields) -> Request:
        message = self._message(mti, fields)
        payload = encode_with_mac(message, self._crypto.mac, self.identity.dialect)
        fields[64] = payload[-8:]
        return Request(payload, message)


def _reversal_chip_data(data: bytes) -> bytes:
    """The tags of F55 that a reversal repeats (§2); nothing of what is no tag list."""
    try:
        return ber_build(item for item in ber_items(data) if item[0] in _REVERSAL_TAGS)
    except TlvError:
        return b""
