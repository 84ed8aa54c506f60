"""Script results: what became of the commands that a card's issuer sent to its chip.

Rules:

* It moves no money. It is written down in the log, once, and answered; an identical
  repeat gets the kept reply, another content under its number 94.
* The transaction whose answer had the script is this terminal's own, found by F61 (batch
  and trace): a payment, or a void or refund. Without one it is 25.
* Of the chip's data only how its scripts went is ever said (DF31; EMV Book 3, "Issuer
  Script Results": five bytes for each, the first half byte of which is the result).

Sources: reference ``pos_protocol.md`` §2 (F55, F61), §3 and §6.
"""

import enum
from typing import Final

from domain.clock import Clock, beijing_texts
from gateway.logs import Log
from gateway.pos.exchange import Exchange
from gateway.pos.originals import named_original, original_key, payment_under
from gateway.pos.refused_numbers import REFUSED_METHOD
from gateway.pos.teller import KeptReplies, Teller
from gateway.pos.translate import RefusedError, fingerprint_text
from gateway.store.port import Store, pos_refund_number
from pos_protocol.errors import TlvError
from pos_protocol.response_codes import APPROVED, NO_ORIGINAL
from pos_protocol.tlv import ber_items
from signing.keywrap import Sealer

_RESULTS_TAG: Final = "DF31"
_RESULT_BYTES: Final = 5


class ScriptResult(enum.Enum):
    """How the scripts of one answer went, the worst of them."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NOT_PERFORMED = "not_performed"
    UNREADABLE = "unreadable"
    """The terminal says nothing that has the form."""


_BY_NIBBLE: Final = (ScriptResult.NOT_PERFORMED, ScriptResult.FAILED, ScriptResult.SUCCEEDED)
_WORST_FIRST: Final = (
    ScriptResult.UNREADABLE,
    ScriptResult.FAILED,
    ScriptResult.NOT_PERFORMED,
    ScriptResult.SUCCEEDED,
)


def read_result(chip_data: bytes) -> ScriptResult:
    """How the scripts went, by DF31 of a notice's F55."""
    try:
        values = [value for tag, value in ber_items(chip_data) if tag == _RESULTS_TAG]
    except TlvError:
        return ScriptResult.UNREADABLE
    said = b"".join(values)
    if not said or len(said) % _RESULT_BYTES:
        return ScriptResult.UNREADABLE
    nibbles = [octet >> 4 for octet in said[::_RESULT_BYTES]]
    if any(nibble >= len(_BY_NIBBLE) for nibble in nibbles):
        return ScriptResult.UNREADABLE
    return min((_BY_NIBBLE[nibble] for nibble in nibbles), key=_WORST_FIRST.index)


class Scripts:
    """0620 脚本结果通知."""

    def __init__(self, *, store: Store, sealer: Sealer, clock: Clock, log: Log) -> None:
        self._store = store
        self._replies = KeptReplies(store, sealer)
        self._sealer = sealer
        self._clock = clock
        self._log = log

    async def script_result(self, exchange: Exchange) -> bytes | None:
        """Write it down once and say 00.

        Raises:
            RefusedError: 25 no such transaction; 30 an F61 that names none; 94 another
                content under this number.
            Unavailable: the store cannot be reached; nothing was written down.
        """
        fingerprint = self._sealer.token(fingerprint_text(exchange.message))
        kept = await self._replies.find(exchange, fingerprint)
        if kept is not None:
            return kept
        exchange.payment_id = await self._original_id(exchange)
        now_ms = self._clock.now_ms()
        hhmmss, mmdd = beijing_texts(now_ms)
        teller = Teller(exchange, fingerprint, self._sealer, self._clock)
        reply = teller.kept(
            {
                12: hhmmss,
                13: mmdd,
                37: exchange.message.text(37) or exchange.payment_id[-12:],
                39: APPROVED,
            },
            now_ms,
        )
        frame = await self._replies.keep(exchange, teller, reply)
        if frame is teller.frame:
            self._log.info(
                "script result",
                payment_id=exchange.payment_id,
                terminal_id=exchange.known.terminal.terminal_id,
                result=read_result(exchange.message.data(55)).value,
            )
        return frame

    async def _original_id(self, exchange: Exchange) -> str:
        """The payment whose answer, or the answer to whose return, had the script."""
        key = original_key(exchange, named_original(exchange))
        payment = await payment_under(key, exchange, self._store)
        if payment is not None and payment.order.method != REFUSED_METHOD:
            return payment.order.id
        merchant_no = exchange.known.merchant.merchant_no
        refund = await self._store.refund_by_number(merchant_no, pos_refund_number(key))
        if refund is None:
            raise RefusedError(NO_ORIGINAL, "no transaction of this terminal for this script")
        return refund.order.payment_id
