"""One message of a provisioned terminal, as the POS door hands it to a handler.

Rule: no MAC and no sign-in: the door has checked both before a handler is called.
"""

import structlog

from gateway.directory import Directory, master_context
from gateway.pos.exchange import Exchange
from gateway.sources import SystemClock
from gateway.store.port import Merchant, Store, Terminal
from pos_protocol.asks import Ask
from pos_protocol.codec import Message, decode
from pos_protocol.terminal import Request, TerminalIdentity, TerminalScheme
from pos_protocol.terminal import Terminal as TerminalSide
from pos_protocol.transactions import identify
from signing.keywrap import Sealer
from signing.pos import CipherKey

MERCHANT_NO = "M0001"
POS_MERCHANT_ID = "990000000000001"
TERMINAL_ID = "99100001"
_TMK = bytes(range(16))


class NoKeys:
    """A security module that signs nothing."""

    def unwrap_keys(self, scheme: TerminalScheme, keys: bytes) -> bool:
        return True

    def mac(self, data: bytes) -> bytes:
        return b"00000000"

    def pin_block(self, pin: str, pan: str) -> bytes:
        return bytes(8)


def a_sealer() -> Sealer:
    """One whose nonces are all the same: nothing here is a secret."""
    return Sealer(bytes(32), bytes)


class Counter:
    """A terminal's own side, and the gateway's view of what it sends."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.sealer = a_sealer()
        self.clock = SystemClock()
        self._directory = Directory(
            store=store,
            sealer=self.sealer,
            clock=self.clock,
            max_entries=10,
            fresh_s=1,
            log=structlog.get_logger(),
        )
        identity = TerminalIdentity(terminal_id=TERMINAL_ID, merchant_id=POS_MERCHANT_ID)
        self.terminal = TerminalSide(identity, NoKeys(), batch="000001")

    async def provision(self) -> None:
        """The merchant and its terminal."""
        await self.store.add_merchant(
            Merchant(
                merchant_no=MERCHANT_NO,
                name="Corner Shop",
                pos_merchant_id=POS_MERCHANT_ID,
                created_at_ms=1,
            )
        )
        await self.store.add_terminal(
            Terminal(
                merchant_no=MERCHANT_NO,
                terminal_id=TERMINAL_ID,
                key_scheme="3des",
                mac="cup-ecb",
                allow_weak_pin=False,
                tmk_sealed=self.sealer.seal(_TMK, master_context(MERCHANT_NO, TERMINAL_ID)),
                tmk_kcv=CipherKey(_TMK).kcv().hex().upper(),
                created_at_ms=1,
            )
        )

    async def exchange(self, request: Request | Ask) -> Exchange:
        """What the door makes of a request."""
        if isinstance(request, Ask):
            request = self.terminal.ask(request)
        message = decode(request.payload)
        known = await self._directory.terminal(message.text(42), message.text(41))
        assert known is not None
        return Exchange(message, request.payload, known, identify(message))


def answered(payload: bytes | None) -> Message:
    """The answer, read."""
    assert payload is not None
    return decode(payload)
