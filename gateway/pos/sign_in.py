"""Sign-in: fresh working keys for a terminal, under its master key; and sign-out.

Rules: keys are unique per terminal and per sign-in; the previous ones stay good for
messages in flight; the state belongs to the terminal and is compare-and-set, so two
processes cannot hand out different keys as current. Sources: reference
``pos_protocol.md`` §3, §4, §6.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from domain.clock import Clock, beijing_texts
from domain.errors import Unavailable
from gateway.directory import Directory, KnownTerminal, seal_keys, session_context
from gateway.pos.batch_order import BatchOrder
from gateway.pos.exchange import Exchange
from gateway.pos.translate import RefusedError, managed
from gateway.store.port import ProvisioningStore, TerminalSession
from pos_protocol.response_codes import APPROVED, NOT_PERMITTED, NOT_SUPPORTED, UNKNOWN_TERMINAL
from pos_protocol.transactions import management_of
from signing.keywrap import Sealer
from signing.pos import KeyScheme, WorkingKeys, wrap_working_keys

_SCHEME_OF_MANAGEMENT: Final = {scheme.code: scheme for scheme in KeyScheme}
"""Every scheme whose layout is known; that of 005 is not published."""
_TRIES: Final = 5


class SignIn:
    """0800 签到 with 60.3 = 001, 003, 004 or 006, and 0820 签退."""

    def __init__(
        self,
        *,
        store: ProvisioningStore,
        directory: Directory,
        order: BatchOrder,
        instruction_for: Callable[[KnownTerminal], Awaitable[int]],
        sealer: Sealer,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        key_life_ms: int,
    ) -> None:
        self._store = store
        self._directory = directory
        self._order = order
        self._instruction_for = instruction_for
        self._sealer = sealer
        self._clock = clock
        self._random_bytes = random_bytes
        self._key_life_ms = key_life_ms

    async def sign_in(self, exchange: Exchange) -> bytes:
        """New keys, durable before the terminal hears of them.

        Raises:
            RefusedError: 97 unknown by now; 40 for a scheme that is not open, 57 for one that is
                not this terminal's (a downgrade).
        """
        message = exchange.message
        exchange.known = await self._as_stored(exchange)
        terminal = exchange.known.terminal
        management = management_of(message)
        scheme = _SCHEME_OF_MANAGEMENT.get(management)
        if scheme is None:
            raise RefusedError(NOT_SUPPORTED, "key scheme is not open")
        if scheme.value != terminal.key_scheme:
            raise RefusedError(NOT_PERMITTED, "not the key scheme of this terminal")
        master = self._directory.master_key(terminal)  # before the old keys are replaced
        keys = self._fresh_keys(scheme, exchange.known.dialect.mak_bytes)
        session = await self._save(exchange, keys)
        exchange.instruction = await self._instruction_for(exchange.known)
        return exchange.reply(
            {
                **managed(self._clock.now_ms()),
                60: f"00{session.batch_no:06d}{management}",
                62: wrap_working_keys(scheme, master, keys),
            }
        )

    async def _as_stored(self, exchange: Exchange) -> KnownTerminal:
        """The terminal with the master key that it has now: it may have been rotated."""
        message = exchange.message
        self._directory.terminal_doubted(message.text(42), message.text(41))
        known = await self._directory.terminal(message.text(42), message.text(41))
        if known is None:
            raise RefusedError(UNKNOWN_TERMINAL, "unknown or disabled terminal")
        return known

    def _still_good(self, before: TerminalSession | None) -> bytes:
        """The keys of the last sign-in, unless they ended by a sign-out or by their age."""
        if before is None or not before.signed_in:
            return b""
        age_ms = self._clock.now_ms() - before.signed_in_at_ms
        return before.keys_sealed if age_ms <= self._key_life_ms else b""

    async def sign_out(self, exchange: Exchange) -> bytes:
        """The working keys end here; a settled batch is left."""
        message = exchange.message
        self._directory.terminal_changed(message.text(42), message.text(41))
        for _ in range(_TRIES):
            known = await self._directory.terminal(message.text(42), message.text(41))
            before = None if known is None else known.session
            if before is None or not before.signed_in:
                break
            session = replace(
                before,
                version=before.version + 1,
                signed_in=False,
                batch_no=await self._order.batch_at_sign_out(before),
            )
            saved = await self._store.save_session(session)
            self._directory.terminal_changed(message.text(42), message.text(41))
            if saved:
                break
        else:
            raise Unavailable("this terminal signs in and out at several places at once")
        return exchange.reply(managed(self._clock.now_ms()))

    async def echo(self, exchange: Exchange) -> bytes:
        """0820 回响测试: somebody is there."""
        hhmmss, mmdd = beijing_texts(self._clock.now_ms())
        return exchange.reply({12: hhmmss, 13: mmdd, 39: APPROVED})

    def _fresh_keys(self, scheme: KeyScheme, mak_bytes: int) -> WorkingKeys:
        # a single-DES MAK is the usual one under 003 as well (reference §4)
        track = self._random_bytes(16) if scheme.has_track_key else b""
        return WorkingKeys(
            pin=self._random_bytes(scheme.key_bytes),
            mac=self._random_bytes(mak_bytes),
            track=track,
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
                batch_no=1 if before is None else await self._order.batch_at_sign_in(before),
                signed_in_at_ms=self._clock.now_ms(),
                keys_sealed=sealed,
                previous_keys_sealed=self._still_good(before),
            )
            saved = await self._store.save_session(session)
            self._directory.terminal_changed(message.text(42), message.text(41))
            if saved:
                return session
        raise Unavailable("this terminal signs in at several places at once")
