"""Who is calling: terminals with their keys, and API keys, cached and bounded.

Rules: a cached entry is fresh for ``fresh_s``, then read again, so that a disabled
terminal or key stops within that time everywhere; what does not exist is
remembered for as long. A terminal whose MAC or batch does not fit is read again
before it is refused: it may have signed in at another process. Opened keys live in
memory only; what does not open is the operator's fault: logged with its name, and refused.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, TypeVar

import orjson

from domain.clock import Clock
from domain.errors import ConfigurationError
from gateway.logs import Log
from gateway.store.port import ApiKey, Merchant, ProvisioningStore, Terminal, TerminalSession
from gateway.terminal_options import mac_of, read_options
from pos_protocol.dialect import Dialect
from signing.keywrap import Sealer, SealError
from signing.merchant import MerchantSecret
from signing.pos import CipherKey, KeyScheme, MacFunction, WorkingKeys

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenKeys:
    """A terminal's working keys, ready for use."""

    pin: CipherKey
    mac: CipherKey
    track: CipherKey | None = None


class KeptKeys:
    """Working keys that are opened when they are first needed: most terminals are silent."""

    __slots__ = ("_opened", "_read")

    def __init__(self, read: Callable[[], OpenKeys]) -> None:
        self._read = read
        self._opened: OpenKeys | None = None

    def open(self) -> OpenKeys:
        """The keys, opened once; ``ConfigurationError`` when they do not open."""
        if self._opened is None:
            self._opened = self._read()
        return self._opened


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTerminal:
    """A terminal, its merchant and its sign-in state; ``keys`` only while signed in."""

    merchant: Merchant
    terminal: Terminal
    session: TerminalSession | None
    mac: MacFunction
    dialect: Dialect
    keys: KeptKeys | None
    previous_keys: KeptKeys | None


@dataclass(frozen=True, slots=True)
class KnownKey:
    """An API key that may be used, with its merchant and opened secret."""

    key_id: str
    merchant: Merchant
    secret: MerchantSecret

    def __repr__(self) -> str:
        return f"KnownKey({self.key_id!r})"


@dataclass(frozen=True, slots=True, repr=False)
class SigningKey:
    """The key that signs what we send to a merchant by ourselves."""

    key_id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id!r})"


_DOUBT_S: Final = 0.2
_ROTATE: Final = (
    "start with the keys.master_key it was added under, or: posgate terminal rotate-key"
)
_ADD: Final = "start with the keys.master_key it was added under, or: posgate apikey add"


class _FreshCache(Generic[K, V]):
    """A bounded cache whose entries age; the oldest goes first."""

    def __init__(self, clock: Clock, max_entries: int, fresh_s: float) -> None:
        self._clock = clock
        self._max_entries = max_entries
        self._fresh_s = fresh_s
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def get(self, key: K) -> tuple[V] | None:
        """The fresh value in a one-tuple, or ``None``."""
        entry = self._entries.get(key)
        if entry is None or entry[0] < self._clock.monotonic_s():
            return None
        return (entry[1],)

    async def read(self, key: K, load: Callable[[K], Awaitable[V]]) -> V:
        """The value, loaded when it is missing or stale."""
        found = self.get(key)
        if found is not None:
            return found[0]
        value = await load(key)
        self._entries[key] = (self._clock.monotonic_s() + self._fresh_s, value)
        self._entries.move_to_end(key)
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)
        return value

    def forget(self, key: K, older_than_s: float = 0.0) -> None:
        """Read it again next time, unless it was read less than ``older_than_s`` ago."""
        entry = self._entries.get(key)
        if entry is None:
            return
        age_s = self._clock.monotonic_s() + self._fresh_s - entry[0]
        if age_s >= older_than_s:
            del self._entries[key]

    def __len__(self) -> int:
        return len(self._entries)


def seal_keys(sealer: Sealer, keys: WorkingKeys, context: bytes) -> bytes:
    """Working keys as they rest."""
    plain = orjson.dumps([keys.pin.hex(), keys.mac.hex(), keys.track.hex()])
    return sealer.seal(plain, context)


def session_context(merchant_no: str, terminal_id: str) -> bytes:
    """What binds sealed working keys to their terminal."""
    return f"working-keys:{merchant_no}:{terminal_id}".encode()


def master_context(merchant_no: str, terminal_id: str) -> bytes:
    """What binds a sealed master key to its terminal."""
    return f"tmk:{merchant_no}:{terminal_id}".encode()


def api_key_context(key_id: str) -> bytes:
    """What binds a sealed API secret to its key."""
    return f"api-key:{key_id}".encode()


class Directory:
    """Terminals and API keys as the doors ask for them."""

    def __init__(
        self,
        *,
        store: ProvisioningStore,
        sealer: Sealer,
        clock: Clock,
        max_entries: int,
        fresh_s: float,
        log: Log,
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._log = log
        self._terminals: _FreshCache[tuple[str, str], KnownTerminal | None] = _FreshCache(
            clock, max_entries, fresh_s
        )
        self._keys: _FreshCache[str, KnownKey | None] = _FreshCache(clock, max_entries, fresh_s)
        self._signing: _FreshCache[str, SigningKey | None] = _FreshCache(
            clock, max_entries, fresh_s
        )

    def cached(self) -> int:
        """Entries held, for ``/metrics``."""
        return len(self._terminals) + len(self._keys) + len(self._signing)

    def fresh_terminal(self, pos_merchant_id: str, terminal_id: str) -> KnownTerminal | None:
        """A terminal that is cached and fresh; ``None`` means: ask :meth:`terminal`."""
        found = self._terminals.get((pos_merchant_id, terminal_id))
        return None if found is None else found[0]

    async def terminal(self, pos_merchant_id: str, terminal_id: str) -> KnownTerminal | None:
        """A terminal by F42 and F41; ``None`` when unknown or disabled."""
        return await self._terminals.read((pos_merchant_id, terminal_id), self._load_terminal)

    def terminal_changed(self, pos_merchant_id: str, terminal_id: str) -> None:
        """Read this terminal again next time."""
        self._terminals.forget((pos_merchant_id, terminal_id))

    def terminal_doubted(self, pos_merchant_id: str, terminal_id: str) -> None:
        """Read it again, but five times a second at most: a forger must not cost a query each."""
        self._terminals.forget((pos_merchant_id, terminal_id), older_than_s=_DOUBT_S)

    async def _load_terminal(self, key: tuple[str, str]) -> KnownTerminal | None:
        found = await self._store.terminal(*key)
        if found is None:
            return None
        merchant, terminal, session = found
        if merchant.disabled or terminal.disabled:
            return None
        keys = previous = None
        if session is not None and session.signed_in:
            keys = self._kept_keys(terminal, session.keys_sealed)
            previous = self._kept_keys(terminal, session.previous_keys_sealed)
        dialect = read_options(terminal)
        return KnownTerminal(
            merchant=merchant,
            terminal=terminal,
            session=session,
            mac=mac_of(dialect),
            dialect=dialect,
            keys=keys,
            previous_keys=previous,
        )

    def _kept_keys(self, terminal: Terminal, sealed: bytes) -> KeptKeys | None:
        return KeptKeys(partial(self._open_keys, terminal, sealed)) if sealed else None

    def _open_keys(self, terminal: Terminal, sealed: bytes) -> OpenKeys:
        context = session_context(terminal.merchant_no, terminal.terminal_id)
        name = {"terminal_id": terminal.terminal_id, "merchant_no": terminal.merchant_no}
        pin, mac, track = orjson.loads(self._open(sealed, context, name, _ROTATE))
        algorithm = "sm4" if terminal.key_scheme == "sm4" else "des"
        has_track_key = terminal.key_scheme == KeyScheme.TDES_TDK.value
        return OpenKeys(
            pin=CipherKey(bytes.fromhex(pin), algorithm),
            mac=CipherKey(bytes.fromhex(mac), algorithm),
            track=CipherKey(bytes.fromhex(track), algorithm) if has_track_key and track else None,
        )

    def master_key(self, terminal: Terminal) -> CipherKey:
        """A terminal's master key, opened for one sign-in."""
        context = master_context(terminal.merchant_no, terminal.terminal_id)
        algorithm = "sm4" if terminal.key_scheme == "sm4" else "des"
        name = {"terminal_id": terminal.terminal_id, "merchant_no": terminal.merchant_no}
        return CipherKey(self._open(terminal.tmk_sealed, context, name, _ROTATE), algorithm)

    def fresh_key(self, key_id: str) -> KnownKey | None:
        """An API key that is cached and fresh; ``None`` means: ask :meth:`api_key`."""
        found = self._keys.get(key_id)
        return None if found is None else found[0]

    async def api_key(self, key_id: str) -> KnownKey | None:
        """An API key; ``None`` when unknown or disabled."""
        return await self._keys.read(key_id, self._load_key)

    async def _load_key(self, key_id: str) -> KnownKey | None:
        found = await self._store.api_key(key_id)
        if found is None:
            return None
        merchant, key = found
        if merchant.disabled or key.disabled:
            return None
        name = {"key_id": key_id, "merchant_no": key.merchant_no}
        secret = self._open(key.secret_sealed, api_key_context(key_id), name, _ADD)
        return KnownKey(key_id, merchant, MerchantSecret(secret))

    def _open(self, sealed: bytes, context: bytes, name: Mapping[str, str], mend: str) -> bytes:
        """What is sealed.

        Raises:
            ConfigurationError: it does not open; whose it is was logged, the caller hears little.
        """
        try:
            return self._sealer.open(sealed, context)
        except SealError:
            self._log.error("sealed under another master key", **name, next=mend)
            raise ConfigurationError("the operator's keys do not fit; ask the operator") from None

    async def signing_key(self, merchant_no: str) -> SigningKey | None:
        """The merchant's oldest API key that is not disabled; ``None`` when it has none."""
        return await self._signing.read(merchant_no, self._load_signing_key)

    async def _load_signing_key(self, merchant_no: str) -> SigningKey | None:
        return choose_signing_key(await self._store.merchant_api_keys(merchant_no), self._sealer)


def choose_signing_key(keys: Sequence[ApiKey], sealer: Sealer) -> SigningKey | None:
    """The first of ``keys`` (oldest first) that is not disabled, opened."""
    for key in keys:
        if not key.disabled:
            try:
                secret = sealer.open(key.secret_sealed, api_key_context(key.key_id))
            except SealError:
                raise ConfigurationError(
                    f"API key {key.key_id}: sealed under another master key;"
                    " check keys.master_key, or disable it and add another"
                ) from None
            return SigningKey(key.key_id, secret)
    return None
