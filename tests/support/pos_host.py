"""A scripted POS host on a real socket, for tests of the terminal on the command line.

It knows the codec and the keys and nothing of the gateway: it approves whatever comes,
unless a test has put a :class:`Turn` in its way. It runs in a thread of its own, because
a command has a loop of its own.
"""

import asyncio
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from gateway.terminal_options import dialect_of, mac_of
from pos_protocol.codec import decode, encode, encode_with_mac, mac_input
from pos_protocol.fields.balance import AdditionalAmount, build_amounts
from pos_protocol.fields.payment_status import PaymentState, PaymentStatus, build_payment_status
from pos_protocol.fields.scan_info import ScanInfo, build_scan_info
from pos_protocol.fields.totals import SettlementTotals, build_totals, parse_totals
from pos_protocol.framing import frame
from pos_protocol.message import Message
from pos_protocol.session import reply_to
from pos_protocol.transactions import Transaction, TransactionKind, identify, missing_fields
from signing.pos import MAC_KEY_BYTES, CipherKey, KeyScheme, WorkingKeys, wrap_working_keys

TMK = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
MERCHANT_ID = "990000000000001"
AUTH_CODE = "A1B2C3"
_K = TransactionKind
_MANAGEMENT = frozenset({_K.SIGN_IN, _K.SIGN_OUT, _K.ECHO})


@dataclass(frozen=True, kw_only=True)
class Turn:
    """How the host answers once: F39, nothing at all, a wrong MAC, other fields; what it pushes."""

    code: str = "00"
    is_silent: bool = False
    hangs_up: bool = False
    wrong_mac: bool = False
    fields: dict[int, str | bytes] = field(default_factory=dict)
    pushes: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Heard:
    """A message that came: what it is, whether its MAC was right, what it lacked."""

    row: Transaction
    message: Message
    mac_is_right: bool
    missing: tuple[int, ...]


class PosHost:
    """``with PosHost() as host:`` listens on ``host.port``."""

    def __init__(
        self, *, key_scheme: str = "3des", mac: str = "cup-ecb", options_json: str = "{}"
    ) -> None:
        self.scheme = KeyScheme(key_scheme)
        self.dialect = dialect_of(key_scheme, mac, options_json)
        algorithm = self.scheme.algorithm
        self._master = CipherKey(TMK, algorithm)
        mak_bytes = 8 if self.scheme is KeyScheme.DES else self.dialect.mak_bytes
        assert mak_bytes in MAC_KEY_BYTES[mac]
        self.keys = WorkingKeys(
            pin=bytes(range(1, 1 + (8 if self.scheme is KeyScheme.DES else 16))),
            mac=bytes(range(33, 33 + mak_bytes)),
            track=bytes(range(65, 81)) if self.scheme.has_track_key else b"",
        )
        self.batch = 7
        self.totals: Callable[[SettlementTotals], SettlementTotals] = lambda said: said
        self.status = PaymentStatus(PaymentState.PAID, "00")
        self.heard: list[Heard] = []
        self.port = 0
        self._turns: dict[TransactionKind, deque[Turn]] = defaultdict(deque)
        self._mac_key = CipherKey(self.keys.mac, algorithm)
        self._reference = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def script(self, kind: TransactionKind, *turns: Turn) -> None:
        """The next answers to this kind; after them it approves again."""
        self._turns[kind].extend(turns)

    def kinds(self) -> list[TransactionKind]:
        """What came, in order."""
        return [one.row.kind for one in self.heard]

    def last(self, kind: TransactionKind) -> Message:
        """The last message of a kind."""
        return next(one.message for one in reversed(self.heard) if one.row.kind is kind)

    def of(self, kind: TransactionKind) -> list[Message]:
        """Every message of a kind."""
        return [one.message for one in self.heard if one.row.kind is kind]

    def mac(self, data: bytes) -> bytes:
        """F64 over ``data``."""
        return mac_of(self.dialect)(self._mac_key, data)

    def __enter__(self) -> Self:
        self._thread.start()
        starting = asyncio.start_server(self._serve, "127.0.0.1", 0)
        server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)
        self.port = server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        others = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
        for one in others:
            one.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(2))
                payload = await reader.readexactly(size)
                turn, reply = self._answer(payload)
                if turn.hangs_up:
                    break
                for push in turn.pushes:
                    writer.write(frame(push))
                if not turn.is_silent:
                    writer.write(frame(reply))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    def _answer(self, payload: bytes) -> tuple[Turn, bytes]:
        message = decode(payload, self.dialect)
        row = identify(message)
        assert row is not None, message
        right = not row.has_mac or message.data(64) == self.mac(mac_input(payload))
        self.heard.append(Heard(row, message, right, missing_fields(message, row)))
        turns = self._turns[row.kind]
        turn = turns.popleft() if turns else Turn()
        fields = self._fields(row, message) if turn.code == "00" else {12: "120000", 13: "1122"}
        fields |= {39: turn.code, **turn.fields}
        if row.kind is _K.SETTLEMENT and turn.code == "00":
            del fields[39]
        answer = reply_to(message, fields, transaction=row, dialect=self.dialect)
        if not row.has_mac or turn.code != "00":
            return turn, encode(answer, self.dialect)
        mac = (lambda _: b"00000000") if turn.wrong_mac else self.mac
        return turn, encode_with_mac(answer, mac, self.dialect)

    def _fields(self, row: Transaction, message: Message) -> dict[int, str | bytes]:
        """What an approving answer of this kind has."""
        self._reference += 1
        fields: dict[int, str | bytes] = {12: "120000", 13: "1122"}
        if row.kind not in _MANAGEMENT:
            fields[37] = f"{self._reference:012d}"
        match row.kind:
            case _K.SIGN_IN:
                fields[60] = f"00{self.batch:06d}{self.scheme.code}"
                fields[62] = wrap_working_keys(self.scheme, self._master, self.keys)
            case _K.QR_SALE:
                fields[59] = build_scan_info(ScanInfo(voucher=f"V{self._reference:06d}"))
            case _K.PREAUTH | _K.COMPLETION | _K.SALE:
                fields[38] = AUTH_CODE
            case _K.BALANCE:
                fields[54] = build_amounts([AdditionalAmount(amount_fen=123_456)])
            case _K.STATUS_INQUIRY | _K.QR_QUERY:
                fields[62] = build_payment_status(self.status)
            case _K.SETTLEMENT:
                said = parse_totals(message.text(48))
                fields[48] = build_totals(said.judged_by(self.totals(said)))
            case _K.DOWNLOAD | _K.QUERY:
                fields[62] = b"0"
            case _:
                pass
        return fields


def otherwise(totals: SettlementTotals, debit_fen: int) -> SettlementTotals:
    """A host that counts a debit more."""
    return replace(totals, domestic=totals.domestic.plus(debit_fen=debit_fen))
