"""The simulated UnionPay card host: ``handle(message, state, now_ms) -> Effect``.

It speaks the POS dialect to links that sign in as terminals of the acquirer
(reference ``pos_protocol.md`` §3–§6). Rules:

* Nothing financial happens before link, sign-in and MAC are right: 97 unknown
  terminal, 03 other merchant, 77 no sign-in or keys older than a day, A0 wrong MAC,
  30 a missing field, 40 no transaction of ours. Every answer after a sign-in carries a
  MAC, approved or not.
* An order is terminal + batch + trace. Any batch is taken: a link counts its own.
* What happens to orders is in ``card_orders.py`` (sales, holds, completions, balances)
  and ``card_returns.py`` (voids, refunds, reversals); what a batch came to is in
  ``card_totals.py``. A settlement (0500) has no MAC and moves nothing.
"""

from typing import Final

from pos_protocol.codec import CodecError, Message, decode, encode, encode_with_mac, mac_input
from pos_protocol.fields.totals import build_totals, parse_totals
from pos_protocol.framing import swap_tpdu
from pos_protocol.transactions import management_of
from sandbox.card_acts import REPLY_MTI, REVERSAL, Act, Asked, read_asked
from sandbox.card_link import SCHEME, LinkTerminal, ZoneKeys
from sandbox.card_orders import balance, order
from sandbox.card_returns import give_back, reversal
from sandbox.card_state import ACQUIRER, CardState, Fields, echo
from sandbox.card_totals import totals_of
from sandbox.effects import HANG_UP, SILENCE, Effect

HOST_BATCH: Final = "000001"
_SETTLE: Final = "201"


def read_request(payload: bytes) -> Message | None:
    """A frame's payload as a message; ``None`` if it is none (the host hangs up)."""
    try:
        return decode(payload)
    except CodecError:
        return None


def handle(payload: bytes, message: Message | None, state: CardState, now_ms: int) -> Effect:
    """Answer one message; ``payload`` is what ``message`` was read from."""
    if message is None or message.mti not in REPLY_MTI:
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
            code = "00" if management_of(message) == "301" else "40"
            return _plain(message, state, now_ms, code)
        case "0500":
            return _settlement(message, state, now_ms)
        case _:
            return _financial(payload, message, link, state, now_ms)


def _sign_in(message: Message, link: LinkTerminal, state: CardState, now_ms: int) -> Effect:
    if management_of(message) != SCHEME.code:
        return _plain(message, state, now_ms, "40")
    keys = link.sign_in(now_ms)
    return _plain(message, state, now_ms, "00", {60: f"00{HOST_BATCH}{SCHEME.code}", 62: keys.f62})


def _settlement(message: Message, state: CardState, now_ms: int) -> Effect:
    """Both sides' totals of the batch in 60.2: the answer has no F39, F48 tells it all."""
    try:
        said = parse_totals(message.text(48))
    except CodecError:
        return _plain(message, state, now_ms, "30")
    if management_of(message) != _SETTLE:
        return _plain(message, state, now_ms, "40")
    ours = totals_of(state.books, message.text(41) + message.text(60)[2:8])
    time, date = state.stamp(now_ms)
    fields: Fields = {
        12: time,
        13: date,
        15: date,
        32: ACQUIRER,
        37: f"{state.next_serial():012d}",
        48: build_totals(said.judged_by(ours)),
    }
    fields |= {n: message.fields[n] for n in (11, 41, 42, 49, 60, 63) if n in message.fields}
    return Effect(encode(_reply(message, fields)))


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
    return Message(swap_tpdu(message.tpdu), message.header, REPLY_MTI[message.mti], fields)


def _financial(
    payload: bytes, message: Message, link: LinkTerminal, state: CardState, now_ms: int
) -> Effect:
    """Verified, carried out, answered under the keys of the request."""
    current = link.keys(now_ms)
    if current is None:
        return _plain(message, state, now_ms, "77")
    keys = link.verify(mac_input(payload), message.data(64), now_ms)
    answer = (
        echo(message, state, now_ms, "A0") if keys is None else _act(message, keys, state, now_ms)
    )
    if answer is None:
        return SILENCE
    signer = keys or current
    return Effect(
        encode_with_mac(_reply(message, answer), lambda covered: link.mac(signer, covered))
    )


def _act(message: Message, keys: ZoneKeys, state: CardState, now_ms: int) -> Fields | None:
    """The fields of the answer, or ``None`` for silence."""
    asked = read_asked(message)
    if not isinstance(asked, Asked):
        return echo(message, state, now_ms, asked)
    if message.mti == REVERSAL:
        return reversal(asked, state, now_ms)
    if asked.kind is not None:
        return order(asked, asked.kind, keys, state, now_ms)
    if asked.act is Act.BALANCE:
        return balance(asked, keys, state, now_ms)
    return give_back(asked, state, now_ms)


def spoil(answer: bytes) -> bytes:
    """The answer with its last byte, the MAC's, changed (for :mod:`sandbox.faults`)."""
    if not answer:
        return answer
    return answer[:-1] + (b"0" if answer[-1:] != b"0" else b"1")
