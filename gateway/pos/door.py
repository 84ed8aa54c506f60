"""The POS door: one message in, one reply out, or silence.

Rules:

* Who is it (97), is it signed in (77), is its MAC right (A0), is the message whole
  (30), then what it asks; a refusal on the way changes nothing.
* Settlement and upload have no MAC: of them only sign-in and batch are demanded.
* A terminal is read again from the store before it is refused for its sign-in or
  MAC: it may have signed in at another process a moment ago.
* Silence is an answer too: when the outcome could not be made durable, the terminal
  hears nothing and reverses or repeats, and both are safe.
* One canonical log line per message; no field of a card in it.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from domain.clock import Clock, beijing_texts
from domain.errors import PosgateError, Unavailable
from gateway.directory import Directory, KeptKeys, KnownTerminal, OpenKeys
from gateway.logs import Log
from gateway.metrics import Metrics
from gateway.pos.exchange import Exchange
from gateway.pos.translate import RefusedError, f39_of_error
from pos_protocol.codec import MAC_BYTES, Message, encode, mac_input
from pos_protocol.dialect import STANDARD
from pos_protocol.header import HostInstruction
from pos_protocol.numbering import is_in_batch
from pos_protocol.response_codes import (
    FORMAT_ERROR,
    MAC_ERROR,
    NOT_SIGNED_IN,
    NOT_SUPPORTED,
    SIGN_IN_AGAIN,
    SYSTEM_FAULT,
    UNKNOWN_TERMINAL,
)
from pos_protocol.session import reply_to
from pos_protocol.transactions import (
    SETTLEMENT_KINDS,
    Transaction,
    TransactionKind,
    identify,
    is_request,
    missing_fields,
)
from signing.pos import mac_matches

_IN_FLIGHT_MS: Final = 120_000
"""How long after a sign-in a message under the keys before it is taken: twice a terminal's wait."""
_NAME_FIELDS: Final = (3, 25, 60)
"""What names a money message; a management message is named by F60 alone."""
_MONEY_CLASSES: Final = ("01", "02", "04")
_OTHER_BATCH: Final = "another batch"
_REASONS: Final = {NOT_SIGNED_IN: "sign in", MAC_ERROR: "wrong MAC"}

Handler = Callable[[Exchange], Awaitable[bytes | None]]
"""Answers a whole message of a known terminal; ``None`` is silence.

Raises ``RefusedError``, or a ``PosgateError``; ``f39_of_error`` has the codes.
"""
Handlers = Mapping[TransactionKind, Handler]
Admit = Callable[[Exchange], Awaitable[None]]
"""Lets in a message that names another batch than its terminal's, or raises ``RefusedError``."""


class PosDoor:
    """Everything a terminal can ask."""

    def __init__(
        self,
        *,
        handlers: Handlers,
        admit: Admit,
        directory: Directory,
        clock: Clock,
        metrics: Metrics,
        log: Log,
        key_life_ms: int,
    ) -> None:
        self._handlers = handlers
        self._admit = admit
        self._directory = directory
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._key_life_ms = key_life_ms

    async def handle(self, payload: bytes, message: Message) -> bytes | None:
        """Answer one message; ``None`` is silence. Never raises."""
        started_s = self._clock.monotonic_s()
        if not is_request(message.mti):  # an answer, or what no answer has a number for
            return None
        transaction = identify(message)
        code, why, payment_id, reply, known = "", "", "", None, None
        try:
            known = self._directory.fresh_terminal(message.text(42), message.text(41))
            if known is None:
                known = await self._known(message)
            exchange = Exchange(message, payload, known, transaction)
            if self._check(exchange):
                await self._check_again(exchange)
            reply = await self._handler(exchange)(exchange)
            payment_id, code = exchange.payment_id, exchange.response_code
        except RefusedError as refused:
            code, why = refused.response_code, refused.why
        except PosgateError as error:
            code, why = f39_of_error(error), error.message
            if (
                isinstance(error, Unavailable)
                and not error.nothing_begun
                and _is_money(transaction)
            ):
                # a refusal would be a guess: silence makes the terminal repeat or reverse
                self._line(message, transaction, code, why, payment_id, None, started_s)
                return None
        except Exception:
            self._log.exception("pos message fault", mti=message.mti)
            code, why = SYSTEM_FAULT, "our fault"
        if why:
            reply = self._refusal(message, code, known)
        self._line(message, transaction, code, why, payment_id, reply, started_s)
        return reply

    async def _known(self, message: Message) -> KnownTerminal:
        known = await self._directory.terminal(message.text(42), message.text(41))
        if known is None:
            raise RefusedError(UNKNOWN_TERMINAL, "unknown or disabled terminal")
        return known

    def _handler(self, exchange: Exchange) -> Handler:
        """Who answers a message that was checked; raises :class:`RefusedError` for nobody."""
        transaction = exchange.transaction
        if transaction is None:
            _refuse_nameless(exchange.message)
            raise RefusedError(NOT_SUPPORTED, "not a transaction of the dialect")
        missing = missing_fields(exchange.message, transaction)
        if missing:
            raise RefusedError(FORMAT_ERROR, f"fields missing: {', '.join(map(str, missing))}")
        handler = self._handlers.get(transaction.kind)
        if handler is None:
            raise RefusedError(NOT_SUPPORTED, f"{transaction.kind.value} is not open here")
        return handler

    async def _check_again(self, exchange: Exchange) -> None:
        """Refuse (77 not signed in or another batch, A0 wrong MAC) unless the store knows more."""
        message = exchange.message
        self._directory.terminal_doubted(message.text(42), message.text(41))
        exchange.known = await self._known(message)
        code = self._check(exchange)
        if code == _OTHER_BATCH:
            await self._admit(exchange)
        elif code:
            raise RefusedError(code, _REASONS[code])

    def _check(self, exchange: Exchange) -> str:
        """``""`` and the exchange's keys set where there is a MAC, or the F39 that refuses."""
        transaction, known = exchange.transaction, exchange.known
        if transaction is None:
            return ""
        if not (transaction.has_mac or transaction.kind in SETTLEMENT_KINDS):
            return ""
        session, keys = known.session, known.keys
        if session is None or keys is None:
            return NOT_SIGNED_IN
        age_ms = self._clock.now_ms() - session.signed_in_at_ms
        if age_ms > self._key_life_ms:
            return NOT_SIGNED_IN
        if transaction.has_mac:
            previous = known.previous_keys if age_ms <= _IN_FLIGHT_MS else None
            exchange.keys = _matching(exchange, keys, previous)
            if exchange.keys is None:
                return MAC_ERROR
        is_ours = is_in_batch(exchange.message, transaction, session.batch_no)
        return "" if is_ours else _OTHER_BATCH

    def _refusal(self, message: Message, code: str, known: KnownTerminal | None) -> bytes:
        """A reply that changes nothing; without a MAC, since it may be for a stranger."""
        hhmmss, mmdd = beijing_texts(self._clock.now_ms())
        fields: dict[int, str | bytes] = {12: hhmmss, 13: mmdd, 39: code}
        dialect = STANDARD if known is None else known.dialect
        told = HostInstruction.SIGN_IN_AGAIN if code in SIGN_IN_AGAIN else HostInstruction.NONE
        return encode(reply_to(message, fields, processing=told, dialect=dialect), dialect)

    def _line(
        self,
        message: Message,
        transaction: Transaction | None,
        code: str,
        why: str,
        payment_id: str,
        reply: bytes | None,
        started_s: float,
    ) -> None:
        """The one canonical line of a message."""
        outcome = "silent" if reply is None else code or "repeated"
        fields: dict[str, object] = {
            "kind": transaction.kind._value_ if transaction is not None else message.mti,
            "terminal_id": message.text(41),
            "trace": message.text(11),
            "outcome": outcome,
            "ms": round((self._clock.monotonic_s() - started_s) * 1000, 1),
        }
        if payment_id:
            fields["payment_id"] = payment_id
        if why:
            fields["reason"] = why
        self._metrics.request("pos", outcome)
        self._log.info("pos message", **fields)


def _matching(exchange: Exchange, keys: KeptKeys, previous: KeptKeys | None) -> OpenKeys | None:
    """The keys that made the MAC: today's, or for what was on its way those before them."""
    code, mac = exchange.message.data(64), exchange.known.mac
    if len(code) != MAC_BYTES:
        return None
    body, opened = mac_input(exchange.payload), keys.open()
    if mac_matches(mac(opened.mac, body), code):
        return opened
    if previous is None:
        return None
    opened = previous.open()
    return opened if mac_matches(mac(opened.mac, body), code) else None


def _is_money(transaction: Transaction | None) -> bool:
    return transaction is not None and transaction.has_mac


def _refuse_nameless(message: Message) -> None:
    """Raise 30 for a message that lacks what would name its transaction."""
    names = _NAME_FIELDS if message.mti[:2] in _MONEY_CLASSES else _NAME_FIELDS[-1:]
    missing = [str(number) for number in names if number not in message.fields]
    if missing:
        raise RefusedError(FORMAT_ERROR, f"fields missing: {', '.join(missing)}")
