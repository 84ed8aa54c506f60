"""The card host's messages: requests built, answers read. Pure.

Rules:

* An answer counts only if it echoes what was asked: MTI + 10, F11, F41, F42, and F3
  and F4 where it carries them (an approval must carry them). A mismatch is
  ``UNKNOWN``, like silence (reference ``pos_protocol.md`` §6), and so is an approval
  of a part (10): the reversal gives the part back.
* An approval needs a valid MAC. A MAC that is present must verify.
* The order number is terminal, batch and trace: what a host knows a sale by. A
  completion names its hold in F61 (and F38), and so does the reversal of one.
* A track, a PIN block or chip data appear in the request's bytes and nowhere else.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from channels.card import CardAction, CardData
from channels.port import Answer, PaymentRef, PayRequest, UndoAnswer, Verdict
from channels.unionpay.card_advice_wire import Advised, a_repeat_refused, add_advice
from channels.unionpay.card_codes import (
    COMPLETION_CODES,
    REFUND_CODES,
    REVERSAL_CODES,
    REVERSED,
    SALE_CODES,
    UNLISTED,
)
from channels.unionpay.card_messages import REVERSALS, CardMessage, payment_row
from channels.unionpay.card_texts import is_listed
from channels.unionpay.card_time import host_time_ms
from domain.clock import beijing_texts
from domain.money import CNY, currency_numeric
from domain.record import brief
from pos_protocol.codec import MAC_BYTES, Message, encode, encode_with_mac, mac_input
from signing.pos import (
    CipherKey,
    KeyScheme,
    MacFunction,
    mac_matches,
    translate_pin_block,
    unwrap_working_keys,
)

SIGN_ON_REPLY: Final = "0810"
ECHO_REPLY: Final = "0830"
_MAC_FIELD: Final = 64
_NO_ANSWER: Final = "98"
_COMPLETE: Final = CardAction.COMPLETE
_SUCCEEDED: Final = Verdict.SUCCEEDED
_UNKNOWN: Final = Verdict.UNKNOWN
_CNY: Final = currency_numeric(CNY)
_TRACES: Final = 999_999
_BATCHES: Final = 999_999
_BATCH_UNIT: Final = 1_000_000
"""What one batch counts for in the twelve digits of batch and trace."""


class LinkRefused(Exception):
    """The host does not sign us on; the text names its code."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CardAccount:
    """A link's identity at its host and what its dialect does differently.

    ``tpdu`` has 5 bytes, ``header`` 6. ``reversal_00_means_paid``: the host answers 00
    only for a sale that it reversed, never for one it did not find.
    ``declines_need_mac``: the host signs its refusals too. ``repeats_answered_alike``:
    it answers the repeat of a refund as it answered the first.
    """

    merchant_id: str
    terminal_id: str
    tpdu: bytes
    header: bytes
    master: CipherKey
    mac: MacFunction
    reversal_00_means_paid: bool = True
    declines_need_mac: bool = False
    repeats_answered_alike: bool = False


class ZoneKeys:
    """The working keys of one sign-on: ``pin`` and the MAC function of ``mac``."""

    __slots__ = ("code", "pin")

    def __init__(self, pin: CipherKey, mac: CipherKey, algorithm: MacFunction) -> None:
        self.pin = pin
        self.code: Callable[[bytes], bytes] = partial(algorithm, mac)


@brief
class Reply:
    """An answer as it came (the MAC is over these bytes) and as it reads."""

    payload: bytes = field(repr=False)
    message: Message


def order_number(terminal_id: str, sequence: int) -> str:
    """The 20 characters of number ``sequence`` (from 0): terminal, batch, trace."""
    batch, trace = sequence // _TRACES % _BATCHES + 1, sequence % _TRACES + 1
    return f"{terminal_id}{batch * _BATCH_UNIT + trace:012}"


def is_order_number(text: str, terminal_id: str) -> bool:
    """Whether ``text`` is a number of this terminal."""
    return len(text) == 20 and text.startswith(terminal_id) and text[8:].isdecimal()


def reply_key(mti: str, terminal_id: str, trace: str) -> str:
    """What an answer is matched by."""
    return mti + terminal_id + trace


def key_of(message: Message) -> str:
    """:func:`reply_key` of an answer; an echo has no trace."""
    said, mti = message.fields.get, message.mti
    trace = "" if mti == ECHO_REPLY else str(said(11, ""))
    return reply_key(mti, str(said(41, "")), trace)


def build_sale(request: PayRequest, card: CardData, account: CardAccount, keys: ZoneKeys) -> bytes:
    """A sale, hold or completion with its MAC.

    Raises:
        signing.pos.PinBlockError: the terminal's PIN block cannot be read.
        pos_protocol.codec.CodecError: a value that the wire cannot carry.
        domain.money.MoneyError: a currency that the link does not speak.
    """
    row, order_no = payment_row(request.action), request.order_no
    fields: dict[int, str | bytes] = {
        2: card.pan,
        3: row.processing,
        4: f"{request.amount_fen:012}",
        11: order_no[14:],
        22: card.entry_mode,
        25: row.condition,
        41: account.terminal_id,
        42: account.merchant_id,
        49: currency_numeric(request.currency),
        60: row.type_code + order_no[8:14] + "000",
    }
    add_card(fields, card, keys)
    hold = request.original
    if hold is not None:
        fields[61] = original_of(hold.order_no, hold.held_at_ms)
        if hold.auth_code:
            fields[38] = hold.auth_code
    if request.advice is not None:
        add_advice(fields, request, request.advice)
    return encode_with_mac(Message(account.tpdu, account.header, row.mti, fields), keys.code)


def add_card(fields: dict[int, str | bytes], card: CardData, keys: ZoneKeys) -> None:
    """What was read from a card besides F2 and F22; the PIN comes under the zone's key.

    Raises:
        signing.pos.PinBlockError: the terminal's PIN block cannot be read.
    """
    if card.expiry:
        fields[14] = card.expiry
    if card.sequence:
        fields[23] = card.sequence
    if card.track2:
        fields[35] = card.track2
    if card.track3:
        fields[36] = card.track3
    if card.icc_data:
        fields[55] = card.icc_data
    pin = card.pin
    if pin is not None:
        fields[26] = "12"
        fields[52] = translate_pin_block(
            pin.block, card.pan, source=pin.key, target=keys.pin, source_with_pan=pin.with_pan
        )
        fields[53] = "2600000000000000"  # PAN in the block, double-length key


def original_of(order_no: str, at_ms: int) -> str:
    """F61 of a later message: batch and trace of an order, and its day in Beijing if known."""
    return order_no[8:20] + (beijing_texts(at_ms)[1] if at_ms else "")


def build_reversal(ref: PaymentRef, account: CardAccount, keys: ZoneKeys) -> bytes:
    """A 0400 with its MAC, reason 98 (no answer); same number, amount and entry mode.

    Raises:
        pos_protocol.codec.CodecError, domain.money.MoneyError: as :func:`build_sale`.
    """
    row = REVERSALS[ref.action]
    fields: dict[int, str | bytes] = {
        3: row.processing,
        4: f"{ref.amount_fen:012}",
        11: ref.order_no[14:],
        22: ref.entry_mode or "000",
        25: row.condition,
        39: _NO_ANSWER,
        41: account.terminal_id,
        42: account.merchant_id,
        49: currency_numeric(ref.currency),
        60: row.type_code + ref.order_no[8:14] + "000",
    }
    if ref.original_no:
        fields[61] = original_of(ref.original_no, 0)
    return encode_with_mac(Message(account.tpdu, account.header, row.mti, fields), keys.code)


def build_sign_on(account: CardAccount, trace: str) -> bytes:
    """A 0800 that asks for 3DES working keys (60.3 = 003); no MAC."""
    fields: dict[int, str | bytes] = {
        11: trace,
        41: account.terminal_id,
        42: account.merchant_id,
        60: "00000001" + KeyScheme.TDES.code,
        63: "001",
    }
    return encode(Message(account.tpdu, account.header, "0800", fields))


def build_echo(account: CardAccount) -> bytes:
    """A 0820 echo test (60.3 = 301); no MAC."""
    fields: dict[int, str | bytes] = {
        41: account.terminal_id,
        42: account.merchant_id,
        60: "00000001301",
    }
    return encode(Message(account.tpdu, account.header, "0820", fields))


def read_sign_on(reply: Message, account: CardAccount) -> ZoneKeys:
    """The working keys of a 0810.

    Raises:
        LinkRefused: another code than 00.
        signing.pos.KeyCheckError: the keys do not check under our master key.
    """
    if reply.text(39) != "00" or reply.text(42) != account.merchant_id:
        raise LinkRefused(f"sign-on refused, code {reply.text(39)!r}")
    return zone_keys(reply.data(62), account)


def zone_keys(wrapped: bytes, account: CardAccount) -> ZoneKeys:
    """The working keys in F62; raises ``signing.pos.KeyCheckError``."""
    keys = unwrap_working_keys(KeyScheme.TDES, account.master, wrapped)
    return ZoneKeys(CipherKey(keys.pin), CipherKey(keys.mac), account.mac)


def read_sale(
    reply: Reply, request: PayRequest, account: CardAccount, keys: Sequence[ZoneKeys]
) -> Answer:
    """What a 0210 or 0110 says; ``keys`` are the sign-ons that its MAC may be under."""
    row, advice = payment_row(request.action), request.advice
    said = reply.message.fields.get  # of these F55 alone is bytes, all others are text
    code = str(said(39, ""))
    codes = COMPLETION_CODES if request.action is _COMPLETE else SALE_CODES
    if advice is not None:
        codes = REFUND_CODES
    rule = codes.get(code, UNLISTED)
    if rule.verdict is _UNKNOWN:
        return Answer(verdict=_UNKNOWN, channel_code=code, unlisted=not is_listed(code))
    approved = rule.verdict is _SUCCEEDED
    asked = request if advice is None else Advised(request, advice)
    why = mistrust(
        reply, row, asked, account, keys, complete=approved, may_be_unsigned=rule.unsigned
    )
    if why:
        return Answer(verdict=Verdict.UNKNOWN, channel_code=code, channel_message=why)
    if not approved and request.repeated and not account.repeats_answered_alike:
        return a_repeat_refused(code)
    if not approved:
        return Answer(verdict=Verdict.DECLINED, reason=rule.reason, channel_code=code)
    reference = str(said(37, "")).strip()
    return Answer(
        verdict=_SUCCEEDED,
        amount_fen=int(said(4, "")) - (0 if advice is None else advice.base_fen),
        currency=CNY if said(49) else "",
        order_no=request.order_no,
        trade_no=reference,
        channel_code=code,
        paid_at_ms=host_time_ms(str(said(13, "")), str(said(12, "")), request.created_at_ms),
        reference=reference,
        auth_code=str(said(38, "")).strip(),
        icc_data=reply.message.data(55),
        card_organisation=_organisation(str(said(63, ""))),
    )


def _organisation(field_63: str) -> str:
    """63.1: whose card it is; nothing of what is none."""
    said = field_63[:3]
    return said if len(said) == 3 and said.isascii() and said.isalnum() else ""


def read_reversal(
    reply: Reply, ref: PaymentRef, account: CardAccount, keys: Sequence[ZoneKeys]
) -> UndoAnswer:
    """What a 0410 says; only 00, and on the original's day 12 and 25, end the reversal."""
    code = reply.message.text(39)
    rule = REVERSAL_CODES.get(code)
    if rule is None:
        return UndoAnswer(verdict=Verdict.UNKNOWN, channel_code=code)
    row = REVERSALS[ref.action]
    why = mistrust(reply, row, ref, account, keys, complete=False, may_be_unsigned=rule.unsigned)
    if why:
        return UndoAnswer(verdict=Verdict.UNKNOWN, channel_code=code, channel_message=why)
    host_day, own_day = reply.message.text(13), beijing_texts(ref.created_at_ms)[1]
    if code != REVERSED and host_day and host_day != own_day:
        # A host also refuses a reversal of another day so: that says nothing of the money, and
        # asking again will not help. A person has to look.
        why = "refused on another day than the original's"
        return UndoAnswer(verdict=Verdict.DECLINED, channel_code=code, channel_message=why)
    was_paid = rule.was_paid
    if code == REVERSED and not account.reversal_00_means_paid:
        was_paid = None
    return UndoAnswer(verdict=Verdict.SUCCEEDED, was_paid=was_paid, channel_code=code)


class Asked(Protocol):
    """What an answer must repeat of a request; no ``amount_fen`` where none was sent."""

    @property
    def order_no(self) -> str: ...
    @property
    def amount_fen(self) -> int | None: ...
    @property
    def currency(self) -> str: ...


def mistrust(
    reply: Reply,
    row: CardMessage,
    asked: Asked,
    account: CardAccount,
    keys: Sequence[ZoneKeys],
    *,
    complete: bool,
    may_be_unsigned: bool,
) -> str:
    """Why an answer cannot be believed, ``""`` if it can.

    ``complete``: F3, and F4 if an amount was asked, must be there; ``may_be_unsigned``:
    F64 may be absent, unless the host signs its refusals too.
    """
    if not _echoes(reply.message, row, asked, account, complete=complete):
        return "the answer does not belong to the request"
    may_be_absent = may_be_unsigned and not account.declines_need_mac
    if not _mac_holds(reply, keys, may_be_absent=may_be_absent):
        return "the answer's MAC is missing or wrong"
    return ""


def _echoes(
    message: Message, row: CardMessage, asked: Asked, account: CardAccount, *, complete: bool
) -> bool:
    """Whether the answer belongs to what was asked."""
    fields, amount_fen = message.fields, asked.amount_fen
    return (
        message.mti == row.reply_mti
        and fields.get(11) == asked.order_no[14:]
        and fields.get(41) == account.terminal_id
        and fields.get(42) == account.merchant_id
        and fields.get(3, "" if complete else row.processing) == row.processing
        and (
            amount_fen is None
            or ((not complete or 4 in fields) and int(fields.get(4) or amount_fen) == amount_fen)
        )
        and fields.get(49, _CNY) == currency_numeric(asked.currency)
    )


def _mac_holds(reply: Reply, keys: Sequence[ZoneKeys], *, may_be_absent: bool) -> bool:
    if _MAC_FIELD not in reply.message.fields:
        return may_be_absent
    covered, code = mac_input(reply.payload), reply.payload[-MAC_BYTES:]
    for key in keys:  # noqa: SIM110 - mostly one: a generator costs as much as the comparison
        if mac_matches(key.code(covered), code):
            return True
    return False
