"""The simulated UnionPay card host: ``handle(message, state, now_ms) -> Effect``.

It speaks the POS dialect to links that sign in as terminals of the acquirer
(reference ``pos_protocol.md`` §3–§6). Rules:

* Nothing financial happens before link, sign-in and MAC are right: 97 unknown
  terminal, 03 other merchant, 77 no sign-in or keys older than a day, A0 wrong MAC,
  30 a missing field. Every answer after a sign-in carries a MAC, approved or not.
* An order is terminal + batch + trace. Its identical repeat gets the same answer and
  no second charge; other content under the same number is 94. Any batch is taken:
  a link counts its own.
* A repeat of a sale that was reversed is 25.
* A reversal (0400) returns what its sale charged, once, and answers 00 however often
  it comes; an amount that differs is 64. Where nothing was charged it answers 25, and
  where no sale was seen it is remembered: the late sale is answered 25 and not charged.
* A card that is no scenario is approved if it is Luhn-valid, 16–19 digits starting 99,
  and its PIN block, if any, is well formed; anything else is 14.
"""

import hashlib
from collections.abc import Callable
from operator import itemgetter
from types import MappingProxyType
from typing import Final, cast

from domain.clock import beijing
from pos_protocol.codec import CodecError, Message, decode, encode, encode_with_mac, mac_input
from pos_protocol.framing import swap_tpdu
from sandbox.card_books import BooksFull, CardBooks, CardOrder
from sandbox.card_link import SCHEME, LinkTerminal, ZoneKeys
from sandbox.config import CardHostConfig
from sandbox.effects import HANG_UP, SILENCE, Effect
from sandbox.scenarios import CARD_BY_PAN, Scenario
from signing.pos import PinBlockError, translate_pin_block, verify_pin_block

ACQUIRER: Final = "99990000"
ISSUER_AND_ACQUIRER: Final = "99000000   99990000   "
HOST_BATCH: Final = "000001"

_FINANCIAL: Final = frozenset({3, 4, 11, 22, 25, 41, 42, 49, 60})
_REVERSAL: Final = _FINANCIAL | {39}
_KEY_FIELDS: Final = itemgetter(3, 4, 11, 22, 25, 41, 49, 60)
_REPLY_MTI: Final = MappingProxyType(
    {"0200": "0210", "0400": "0410", "0800": "0810", "0820": "0830"}
)
Fields = dict[int, str | bytes]


class CardState:
    """Links, books and counters; lives as long as the sandbox."""

    def __init__(
        self, config: CardHostConfig, *, max_orders: int, random_bytes: Callable[[int], bytes]
    ) -> None:
        self.links = {
            link.terminal_id: LinkTerminal(link, config, random_bytes) for link in config.links
        }
        self.books = CardBooks(max_orders)
        self._serial = 0
        self._stamp_s = -1
        self._stamp = ("", "")

    def next_serial(self) -> int:
        """A number for F37 and F38."""
        self._serial += 1
        return self._serial

    def stamp(self, now_ms: int) -> tuple[str, str]:
        """F12 and F13 in Beijing; made once a second, because every answer needs them."""
        second = now_ms // 1000
        if second != self._stamp_s:
            local = beijing(now_ms)
            self._stamp, self._stamp_s = (f"{local:%H%M%S}", f"{local:%m%d}"), second
        return self._stamp


def read_request(payload: bytes) -> Message | None:
    """A frame's payload as a message; ``None`` if it is none (the host hangs up)."""
    try:
        return decode(payload)
    except CodecError:
        return None


def handle(payload: bytes, message: Message | None, state: CardState, now_ms: int) -> Effect:
    """Answer one message; ``payload`` is what ``message`` was read from."""
    if message is None or message.mti not in _REPLY_MTI:
        return HANG_UP
    link = state.links.get(message.text(41))
    if link is None:
        return _plain(message, state, now_ms, "97")
    if message.text(42) != link.merchant_id:
        return _plain(message, state, now_ms, "03")
    match message.mti:
        case "0800":
            return _sign_in(message, link, state, now_ms)
        case "0820":
            code = "00" if message.text(60)[8:11] == "301" else "40"
            return _plain(message, state, now_ms, code)
        case _:
            return _financial(payload, message, link, state, now_ms)


def _sign_in(message: Message, link: LinkTerminal, state: CardState, now_ms: int) -> Effect:
    if message.text(60)[8:11] != SCHEME.code:
        return _plain(message, state, now_ms, "40")
    keys = link.sign_in(now_ms)
    return _plain(message, state, now_ms, "00", {60: f"00{HOST_BATCH}{SCHEME.code}", 62: keys.f62})


def _plain(
    message: Message, state: CardState, now_ms: int, code: str, extra: Fields | None = None
) -> Effect:
    """An answer without a MAC: management messages, and refusals before a sign-in."""
    time, date = state.stamp(now_ms)
    fields: Fields = {}
    if message.text(11):
        fields = {11: message.text(11), 32: ACQUIRER, 37: f"{state.next_serial():012d}"}
    fields |= {12: time, 13: date, 39: code}
    for number in (41, 42, 60):
        if number in message.fields:
            fields[number] = message.fields[number]
    return Effect(encode(_reply(message, fields | (extra or {}))))


def _reply(message: Message, fields: Fields) -> Message:
    return Message(swap_tpdu(message.tpdu), message.header, _REPLY_MTI[message.mti], fields)


def _financial(
    payload: bytes, message: Message, link: LinkTerminal, state: CardState, now_ms: int
) -> Effect:
    """Sale or reversal: verified, carried out, answered under the keys of the request."""
    current = link.keys(now_ms)
    if current is None:
        return _plain(message, state, now_ms, "77")
    keys = link.verify(mac_input(payload), message.data(64), now_ms)
    if keys is None:
        answer = _echo(message, state, now_ms, "A0")
    elif message.mti == "0200":
        sale = _sale(message, keys, state, now_ms)
        if sale is None:
            return SILENCE
        answer = sale
    else:
        answer = _reversal(message, state, now_ms)
    signer = keys or current
    return Effect(
        encode_with_mac(_reply(message, answer), lambda covered: link.mac(signer, covered))
    )


def _echo(
    message: Message, state: CardState, now_ms: int, code: str, reference: str = ""
) -> Fields:
    """The fields that every financial answer has; those the request lacks are left out."""
    time, date = state.stamp(now_ms)
    sent = message.fields
    fields: Fields = {
        12: time,
        13: date,
        15: date,
        32: ACQUIRER,
        37: reference or f"{state.next_serial():012d}",
        39: code,
        44: ISSUER_AND_ACQUIRER,
    }
    for number in (3, 4, 11, 14, 25, 41, 42, 49, 53, 60):
        if number in sent:
            fields[number] = sent[number]
    return fields


def _key_fields(message: Message, required: frozenset[int]) -> tuple[str, ...] | None:
    """F3, F4, F11, F22, F25, F41, F49 and F60 of a complete message (all text by the codec)."""
    if not required <= message.fields.keys():
        return None
    values = cast("tuple[str, ...]", _KEY_FIELDS(message.fields))
    f60 = values[-1]
    return values if len(f60) >= 11 and f60.isdecimal() else None


def _sale(message: Message, keys: ZoneKeys, state: CardState, now_ms: int) -> Fields | None:
    """The fields of 0210, or ``None`` for silence."""
    values = _key_fields(message, _FINANCIAL)
    if values is None:
        return _echo(message, state, now_ms, "30")
    processing, amount, trace, entry, condition, terminal, currency, f60 = values
    if processing != "000000" or condition != "00":
        return _echo(message, state, now_ms, "40")
    order_no, pan = terminal + f60[2:8] + trace, _pan(message)
    fingerprint = (pan, amount, entry, currency)
    order = state.books.find(order_no)
    if order is not None:
        if order.fingerprint != fingerprint:
            return _echo(message, state, now_ms, "94")
        return _sale_answer(message, order, pan, state, now_ms)
    if state.books.is_refused(order_no):
        return _echo(message, state, now_ms, "25")
    amount_fen = int(amount) if currency == "156" else 0
    scenario, code = _judge(message, pan, amount_fen, keys)
    if scenario is Scenario.LOST_RESPONSE_NOT_CHARGED and code == "00":
        return None
    try:
        order = _book(order_no, fingerprint, int(amount), code, state)
    except BooksFull:
        return _echo(message, state, now_ms, "96")
    order.silent = scenario is Scenario.LOST_RESPONSE_CHARGED and code == "00"
    return _sale_answer(message, order, pan, state, now_ms)


def _book(
    order_no: str, fingerprint: tuple[str, ...], amount_fen: int, code: str, state: CardState
) -> CardOrder:
    state.books.make_room()
    serial = state.next_serial()
    approved = code == "00"
    order = CardOrder(
        order_no,
        fingerprint,
        amount_fen,
        code,
        f"{serial:012d}",
        f"{serial % 1_000_000:06d}" if approved else "",
        amount_fen if approved else 0,
    )
    state.books.add(order)
    return order


def _sale_answer(
    message: Message, order: CardOrder, pan: str, state: CardState, now_ms: int
) -> Fields | None:
    if order.silent:
        return None
    if order.returned_fen:
        # Its money went back: a late repeat must never look approved.
        return _echo(message, state, now_ms, "25", order.reference)
    fields = _echo(message, state, now_ms, order.response_code, order.reference)
    if pan:
        fields[2] = pan
    if order.auth_code:
        fields[38] = order.auth_code
        fields[63] = "CUP"
        chip = message.data(55)
        if chip:
            # Issuer authentication data: an invented ARPC and its response code.
            fields[55] = b"\x91\x0a" + hashlib.sha256(chip).digest()[:8] + b"00"
    return fields


def _pan(message: Message) -> str:
    """The card number from F2 or track 2; empty when there is none or they differ."""
    pan, track_pan = message.text(2), message.text(35).partition("=")[0]
    if pan and track_pan and pan != track_pan:
        return ""
    return pan or track_pan


def _judge(message: Message, pan: str, amount_fen: int, keys: ZoneKeys) -> tuple[Scenario, str]:
    """The scenario that the card plays and the F39 it leads to."""
    scenario, card = CARD_BY_PAN.get(pan, (Scenario.APPROVED, None))
    if not amount_fen:
        return scenario, "13"
    if card is None and not _is_sandbox_pan(pan):
        return scenario, "14"
    code = _check_pin(message, pan, card.issuer_pin if card else "", keys)
    if code == "00" and scenario is Scenario.WRONG_PIN:
        # Its payer never knows the right PIN; without a PIN it stays a wrong one.
        code = "55" if not message.data(52) else code
    if code == "00" and scenario is Scenario.INSUFFICIENT_FUNDS:
        code = "51"
    return scenario, code


def _check_pin(message: Message, pan: str, issuer_pin: str, keys: ZoneKeys) -> str:
    """00, 55 for a wrong PIN, 99 for a block that is none; no block is no question."""
    block = message.data(52)
    if not block:
        return "00"
    if message.text(53)[:1] != "2":
        return "99"
    try:
        if issuer_pin:
            return "00" if verify_pin_block(block, issuer_pin, pan, keys.pin) else "55"
        # Whatever the PIN is, the block must be one: translating it proves its form.
        translate_pin_block(block, pan, source=keys.pin, target=keys.pin)
    except PinBlockError:
        return "99"
    return "00"


_DOUBLED: Final = str.maketrans("0123456789", "0246813579")
"""Luhn: a digit doubled, the digits of the result added."""


def _is_sandbox_pan(pan: str) -> bool:
    if not (16 <= len(pan) <= 19 and pan.startswith("99") and pan.isdecimal()):
        return False
    # As ASCII codes, each 48 above its digit: summing bytes needs no loop in Python.
    total = sum(pan[-1::-2].encode()) + sum(pan[-2::-2].translate(_DOUBLED).encode())
    return (total - 48 * len(pan)) % 10 == 0


def _reversal(message: Message, state: CardState, now_ms: int) -> Fields:
    """The fields of 0410."""
    values = _key_fields(message, _REVERSAL)
    if values is None:
        return _echo(message, state, now_ms, "30")
    _, amount, trace, _, _, terminal, _, f60 = values
    order_no = terminal + f60[2:8] + trace
    order = state.books.find(order_no)
    if order is None:
        try:
            state.books.refuse(order_no)
        except BooksFull:
            return _echo(message, state, now_ms, "96")
        return _echo(message, state, now_ms, "25")
    if int(amount) != order.amount_fen:
        return _echo(message, state, now_ms, "64", order.reference)
    if not order.charged_fen:
        return _echo(message, state, now_ms, "25", order.reference)
    order.returned_fen = order.charged_fen
    return _echo(message, state, now_ms, "00", order.reference)


def spoil(answer: bytes) -> bytes:
    """The answer with its last byte, the MAC's, changed (for :mod:`sandbox.faults`)."""
    if not answer:
        return answer
    return answer[:-1] + (b"0" if answer[-1:] != b"0" else b"1")
