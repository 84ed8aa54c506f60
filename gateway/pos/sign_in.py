"""Sign-in: fresh working keys for a terminal, under its master key.

Rules: keys are unique per terminal and per sign-in; the previous ones stay good for
messages in flight; the state belongs to the terminal and is compare-and-set, so two
processes cannot hand out different keys as current. Sources: reference
``pos_protocol.md`` §3, §4, §6.
"""

from collections.abc import Callable
from typing import Final

from domain.clock import Clock, beijing_texts
from domain.errors import Unavailable
from gateway.directory import Directory, seal_keys, session_context
from gateway.pos.exchange import Exchange
from gateway.pos.translate import RefusedError
from gateway.store.port import ProvisioningStore, TerminalSession
from signing.keywrap import Sealer
from signing.pos import MAC_KEY_BYTES, KeyScheme, WorkingKeys, wrap_working_keys

_SCHEME_OF_MANAGEMENT: Final = {
    "001": KeyScheme.DES,
    "003": KeyScheme.TDES,
    "004": KeyScheme.TDES_TDK,
}
_ACQUIRER: Final = "00000000"
_TRIES: Final = 5


class SignIn:
    """0800 with 60.3 = 001, 003 or 004."""

    def __init__(
        self,
        *,
        store: ProvisioningStore,
        directory: Directory,
        sealer: Sealer,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._store = store
        self._directory = directory
        self._sealer = sealer
        self._clock = clock
        self._random_bytes = random_bytes

    async def sign_in(self, exchange: Exchange) -> bytes:
        """New keys, durable before the terminal hears of them.

        Raises:
            RefusedError: 40 for a scheme that is not open, 57 for one that is not this
                terminal's (a downgrade).
        """
        message, terminal = exchange.message, exchange.known.terminal
        management = message.text(60)[8:11]
        scheme = _SCHEME_OF_MANAGEMENT.get(management)
        if scheme is None:
            raise RefusedError("40", "key scheme is not open")
        if scheme.value != terminal.key_scheme:
            raise RefusedError("57", "not the key scheme of this terminal")
        keys = self._fresh_keys(scheme, terminal.mac)
        session = await self._save(exchange, keys)
        now_ms = self._clock.now_ms()
        hhmmss, mmdd = beijing_texts(now_ms)
        return exchange.reply(
            {
                12: hhmmss,
                13: mmdd,
                32: _ACQUIRER,
                37: f"{now_ms % 10**12:012d}",
                39: "00",
                60: f"00{session.batch_no:06d}{management}",
                62: wrap_working_keys(scheme, self._directory.master_key(terminal), keys),
            }
        )

    def _fresh_keys(self, scheme: KeyScheme, mac: str) -> WorkingKeys:
        pin_bytes = 8 if scheme is KeyScheme.DES else 16
        # a single-DES MAK is the usual one under 003 as well (reference §4)
        mac_bytes = 8 if scheme is KeyScheme.DES else MAC_KEY_BYTES[mac][0]
        track = self._random_bytes(16) if scheme is KeyScheme.TDES_TDK else b""
        return WorkingKeys(
            pin=self._random_bytes(pin_bytes), mac=self._random_bytes(mac_bytes), track=track
        )

    async def _save(self, exchange: Exchange, keys: WorkingKeys) -> TerminalSession:
        message, terminal = exchange.message, exchange.known.terminal
        context = session_context(terminal.merchant_no, terminal.terminal_id)
        sealed = seal_keys(self._sealer, keys, context)
        for _ in range(_TRIES):
            known = await self._directory.terminal(message.text(42), message.text(41))
            before = None if known is None else known.session
            session = TerminalSession(
                merchant_no=terminal.merchant_no,
                terminal_id=terminal.terminal_id,
                version=1 if before is None else before.version + 1,
                signed_in=True,
                batch_no=1 if before is None else before.batch_no,
                signed_in_at_ms=self._clock.now_ms(),
                keys_sealed=sealed,
                previous_keys_sealed=b"" if before is None else before.keys_sealed,
            )
            saved = await self._store.save_session(session)
            self._directory.terminal_changed(message.text(42), message.text(41))
            if saved:
                return session
        raise Unavailable("this terminal signs in at several places at once")
