"""The POS door: one message in, one reply out, or silence.

Rules:

* Who is it (97), is it signed in (77), is its MAC right (A0), is the message whole
  (30), then what it asks; a refusal on the way changes nothing.
* A terminal is read again from the store before it is refused for its sign-in or
  MAC: it may have signed in at another process a moment ago.
* Silence is an answer too: when the outcome could not be made durable, the terminal
  hears nothing and reverses or repeats, and both are safe.
* One canonical log line per message; no field of a card in it.
"""

from collections.abc import Callable
from typing import Final

from domain.clock import Clock, beijing_texts
from domain.errors import PosgateError, Unavailable
from domain.ids import IdSource
from gateway.directory import Directory, KnownTerminal, OpenKeys
from gateway.logs import Log
from gateway.metrics import Metrics
from gateway.payments import Payments
from gateway.pos.exchange import Exchange
from gateway.pos.sales import Sales
from gateway.pos.sign_in import SignIn
from gateway.pos.translate import F39_OF_ERROR, RefusedError
from gateway.store.port import Store
from pos_protocol.codec import MAC_BYTES, Message, encode, mac_input
from pos_protocol.session import reply_to
from pos_protocol.transactions import (
    Transaction,
    TransactionKind,
    batch_of,
    identify,
    is_reply,
    missing_fields,
)
from signing.keywrap import Sealer
from signing.pos import mac_matches

_HOUR_MS: Final = 3_600_000
_UNKNOWN_TERMINAL: Final = "97"
_NOT_SIGNED_IN: Final = "77"
_BAD_MAC: Final = "A0"
_INCOMPLETE: Final = "30"
_NOT_SUPPORTED: Final = "40"
_SYSTEM_FAULT: Final = "96"
_NAME_FIELDS: Final = (3, 25, 60)
"""What names a money message; a management message is named by F60 alone."""
_MONEY_CLASSES: Final = ("01", "02", "04")


class PosDoor:
    """Everything a terminal can ask."""

    def __init__(
        self,
        *,
        store: Store,
        payments: Payments,
        directory: Directory,
        sealer: Sealer,
        clock: Clock,
        ids: IdSource,
        random_bytes: Callable[[int], bytes],
        metrics: Metrics,
        log: Log,
        working_key_hours: int,
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._key_life_ms = working_key_hours * _HOUR_MS
        self._sign_in = SignIn(
            store=store, directory=directory, sealer=sealer, clock=clock, random_bytes=random_bytes
        )
        self._sales = Sales(
            store=store, payments=payments, sealer=sealer, clock=clock, ids=ids, log=log
        )

    async def handle(self, payload: bytes, message: Message) -> bytes | None:
        """Answer one message; ``None`` is silence. Never raises."""
        started_s = self._clock.monotonic_s()
        if is_reply(message.mti):
            return None
        transaction = identify(message)
        code, why, payment_id, reply = "", "", "", None
        try:
            known = self._directory.fresh_terminal(message.text(42), message.text(41))
            if known is None:
                known = await self._known(message)
            exchange = Exchange(message, payload, known, transaction)
            reply = await self._answer(exchange, transaction)
            payment_id, code = exchange.payment_id, exchange.response_code
        except RefusedError as refused:
            code, why = refused.response_code, refused.why
        except PosgateError as error:
            code, why = F39_OF_ERROR[type(error)], error.message
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
            code, why = _SYSTEM_FAULT, "our fault"
        if why:
            reply = self._refusal(message, code)
        self._line(message, transaction, code, why, payment_id, reply, started_s)
        return reply

    async def _known(self, message: Message) -> KnownTerminal:
        known = await self._directory.terminal(message.text(42), message.text(41))
        if known is None:
            raise RefusedError(_UNKNOWN_TERMINAL, "unknown or disabled terminal")
        return known

    async def _answer(self, exchange: Exchange, transaction: Transaction | None) -> bytes | None:
        if transaction is None:
            _refuse_nameless(exchange.message)
            raise RefusedError(_NOT_SUPPORTED, "not a transaction of the dialect")
        missing = missing_fields(exchange.message, transaction)
        if transaction.has_mac and self._check(exchange, transaction):
            await self._check_again(exchange, transaction)
        if missing:
            raise RefusedError(_INCOMPLETE, f"fields missing: {', '.join(map(str, missing))}")
        match transaction.kind:
            case TransactionKind.SALE:
                return await self._sales.card_sale(exchange)
            case TransactionKind.QR_SALE:
                return await self._sales.qr_sale(exchange)
            case TransactionKind.REVERSAL:
                return await self._sales.reversal(exchange)
            case TransactionKind.SIGN_IN:
                return await self._sign_in.sign_in(exchange)
            case TransactionKind.ECHO:
                hhmmss, mmdd = beijing_texts(self._clock.now_ms())
                return exchange.reply({12: hhmmss, 13: mmdd, 39: "00"})
            case _:
                raise RefusedError(_NOT_SUPPORTED, "not open yet")

    async def _check_again(self, exchange: Exchange, transaction: Transaction) -> None:
        """Refuse (77 not signed in, A0 wrong MAC), unless the store knows better."""
        message = exchange.message
        self._directory.terminal_doubted(message.text(42), message.text(41))
        exchange.known = await self._known(message)
        code = self._check(exchange, transaction)
        if code:
            raise RefusedError(code, "sign in" if code == _NOT_SIGNED_IN else "wrong MAC")

    def _check(self, exchange: Exchange, transaction: Transaction) -> str:
        """``""`` and the exchange's keys set, or the F39 that refuses.

        A reversal may name an earlier batch.
        """
        known, message = exchange.known, exchange.message
        session, keys = known.session, known.keys
        if session is None or keys is None:
            return _NOT_SIGNED_IN
        if self._clock.now_ms() - session.signed_in_at_ms > self._key_life_ms:
            return _NOT_SIGNED_IN
        matched = self._matching(known, message, exchange.payload)
        if matched is None:
            return _BAD_MAC
        is_reversal = transaction.kind is TransactionKind.REVERSAL
        if not is_reversal and batch_of(message) != f"{session.batch_no:06d}":
            return _NOT_SIGNED_IN
        exchange.keys = matched
        return ""

    @staticmethod
    def _matching(known: KnownTerminal, message: Message, payload: bytes) -> OpenKeys | None:
        """The keys that made the MAC: today's, or those before the last sign-in."""
        code = message.data(64)
        if len(code) != MAC_BYTES:
            return None
        body = mac_input(payload)
        for keys in (known.keys, known.previous_keys):
            if keys is not None and mac_matches(known.mac(keys.mac, body), code):
                return keys
        return None

    def _refusal(self, message: Message, code: str) -> bytes:
        """A reply that changes nothing; without a MAC, since it may be for a stranger."""
        hhmmss, mmdd = beijing_texts(self._clock.now_ms())
        fields: dict[int, str | bytes] = {
            12: hhmmss,
            13: mmdd,
            39: code,
        }
        return encode(reply_to(message, fields))

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
            "kind": transaction.kind.value if transaction is not None else message.mti,
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


def _is_money(transaction: Transaction | None) -> bool:
    return transaction is not None and transaction.has_mac


def _refuse_nameless(message: Message) -> None:
    """Raise 30 for a message that lacks what would name its transaction."""
    names = _NAME_FIELDS if message.mti[:2] in _MONEY_CLASSES else _NAME_FIELDS[-1:]
    missing = [str(number) for number in names if number not in message.fields]
    if missing:
        raise RefusedError(_INCOMPLETE, f"fields missing: {', '.join(missing)}")
