"""A gateway's link to the card host: the terminal it signs in as, and its zone keys.

Rules (reference ``pos_protocol.md`` §4, §6): working keys are good for 24 hours and
belong to the link, not to a connection: several gateway processes sign in as the same
terminal and get the same keys. After a rotation the previous keys still verify, for
messages that were in flight.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from sandbox.config import CardHostConfig, CardLink
from signing.pos import (
    MAC_ALGORITHMS,
    CipherKey,
    KeyScheme,
    WorkingKeys,
    mac_matches,
    wrap_working_keys,
)

SCHEME: Final = KeyScheme.TDES
_PIK_BYTES: Final = 16
_MAK_BYTES: Final = MappingProxyType({"cup-ecb": 16, "x9.9": 8, "x9.19": 16})
"""By MAC algorithm; the 3DES key scheme issues no SM4 keys."""


class ZoneKeys:
    """One issue of working keys, ready to use; ``f62`` is how they travel."""

    __slots__ = ("f62", "issued_at_ms", "mac", "pin")

    def __init__(self, pin: bytes, mac: bytes, master: CipherKey, issued_at_ms: int) -> None:
        self.pin = CipherKey(pin)
        self.mac = CipherKey(mac)
        self.f62 = wrap_working_keys(SCHEME, master, WorkingKeys(pin, mac))
        self.issued_at_ms = issued_at_ms


class LinkTerminal:
    """One configured link and its keys; ``random_bytes`` makes them."""

    def __init__(
        self, link: CardLink, host: CardHostConfig, random_bytes: Callable[[int], bytes]
    ) -> None:
        if host.mac_algorithm not in _MAK_BYTES:
            raise ValueError(f"mac_algorithm must be one of {sorted(_MAK_BYTES)}")
        self.merchant_id = link.merchant_id
        self._master = CipherKey(link.tmk)
        self._life_ms = host.working_key_life_s * 1000
        self._rotates = host.rotate_keys_each_sign_in
        self._mac = MAC_ALGORITHMS[host.mac_algorithm]
        self._mak_bytes = _MAK_BYTES[host.mac_algorithm]
        self._random_bytes = random_bytes
        self._current: ZoneKeys | None = None
        self._previous: ZoneKeys | None = None

    def sign_in(self, now_ms: int) -> ZoneKeys:
        """The keys for a sign-in now: the current ones, or new ones when it is time."""
        current = self.keys(now_ms)
        if current is not None and not self._rotates:
            return current
        self._previous = current
        pin, mac = self._random_bytes(_PIK_BYTES), self._random_bytes(self._mak_bytes)
        self._current = ZoneKeys(pin, mac, self._master, now_ms)
        return self._current

    def keys(self, now_ms: int) -> ZoneKeys | None:
        """The current keys; ``None`` before a sign-in and once they are too old."""
        current = self._current
        if current is None or now_ms - current.issued_at_ms >= self._life_ms:
            return None
        return current

    def verify(self, covered: bytes, received: bytes, now_ms: int) -> ZoneKeys | None:
        """The keys under which ``received`` is the MAC of ``covered``, if any are."""
        for keys in (self.keys(now_ms), self._previous):
            if keys is not None and mac_matches(self._mac(keys.mac, covered), received):
                return keys
        return None

    def mac(self, keys: ZoneKeys, covered: bytes) -> bytes:
        """F64 of an answer."""
        return self._mac(keys.mac, covered)
