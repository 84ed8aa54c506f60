"""The working keys of one link terminal: fetched by a sign-on, or taken over from a neighbour.

Rules:

* Without a keeper a process signs on for itself. With one, all processes of the account use the
  same keys: newer ones that a neighbour kept are taken, and only who holds the lease signs on
  (``channels/kept_keys.py``). Keys that the host did not take are not taken again: their
  version is the one held.
* Kept keys are as old as the sign-on that brought them. Too old ones, and ones that do not
  open under our master key, are as none.
* With the store away a process signs on for itself: its sales need keys, and the version tells
  the neighbours nothing wrong.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from channels.kept_keys import KeptKeys, KeyKeeper
from channels.unionpay.card_wire import (
    CardAccount,
    LinkRefused,
    ZoneKeys,
    read_sign_on,
    zone_keys,
)
from domain.clock import Clock
from domain.errors import Unavailable
from pos_protocol.codec import Message
from signing.pos import KeyCheckError

SIGN_ON_EVERY_S: Final = 8 * 3600.0
"""Well inside the 24 hours that working keys are valid for."""
LEASE_MS: Final = 12_000
"""Longer than a sign-on may take."""
WAIT_S: Final = 15.0
"""For a neighbour's sign-on: longer than its lease."""
POLL_S: Final = 0.2

Ask = Callable[[], Awaitable[Message]]
"""Sends a sign-on and returns its answer."""


class KeyRing:
    """The keys of one terminal, for all of its lines."""

    def __init__(
        self, account: CardAccount, clock: Clock, keeper: KeyKeeper | None = None, owner: str = ""
    ) -> None:
        """``owner`` names this process among those that share the keys."""
        self._account = account
        self._clock = clock
        self._keeper = keeper
        self._owner = owner
        self._name = f"unionpay_card:{account.merchant_id}:{account.terminal_id}"
        self._version = 0
        self._made_at_ms = 0

    @property
    def is_shared(self) -> bool:
        """Whether neighbours may bring newer keys."""
        return self._keeper is not None

    @property
    def age_s(self) -> float:
        """Since the host made the keys that were obtained last."""
        return max(0.0, (self._clock.now_ms() - self._made_at_ms) / 1000)

    async def newer(self) -> ZoneKeys | None:
        """What a neighbour has kept since; ``None`` while nothing, or the store is away."""
        if self._keeper is None:
            return None
        try:
            return self._taken(await self._keeper.kept_keys(self._name))
        except Unavailable:
            return None

    async def obtain(self, ask: Ask) -> ZoneKeys:
        """Keys to use from now on: a neighbour's newer ones, or those of a sign-on.

        Raises:
            LinkRefused, KeyCheckError: as :func:`read_sign_on`; or nobody gets done.
            what ``ask`` raises.
        """
        if self._keeper is None:
            return await self._sign_on(ask, None, None)
        until_s = self._clock.monotonic_s() + WAIT_S
        while self._clock.monotonic_s() < until_s:
            try:
                kept = await self._keeper.kept_keys(self._name)
                taken = self._taken(kept)
                if taken is not None:
                    return taken
                version = kept.version if kept is not None else 0
                claimed = await self._claim(self._keeper, version)
            except Unavailable:
                return await self._sign_on(ask, None, None)
            if claimed:
                return await self._sign_on(ask, self._keeper, version)
            await asyncio.sleep(POLL_S)
        raise LinkRefused("another process signs on and does not get done")

    async def _claim(self, keeper: KeyKeeper, version: int) -> bool:
        now_ms = self._clock.now_ms()
        return await keeper.claim_keys(self._name, version, self._owner, now_ms, now_ms + LEASE_MS)

    async def _sign_on(self, ask: Ask, keeper: KeyKeeper | None, version: int | None) -> ZoneKeys:
        reply = await ask()
        keys = read_sign_on(reply, self._account)
        self._made_at_ms = self._clock.now_ms()
        if keeper is None or version is None:
            return keys
        try:
            if await keeper.keep_keys(self._name, version, reply.data(62), self._made_at_ms):
                self._version = version + 1
                return keys
            # our lease was over and a neighbour was quicker: its keys are the later ones
            taken = self._taken(await keeper.kept_keys(self._name))
        except Unavailable:
            return keys
        return keys if taken is None else taken

    def _taken(self, kept: KeptKeys | None) -> ZoneKeys | None:
        if kept is None or kept.version <= self._version:
            return None
        if self._clock.now_ms() - kept.made_at_ms >= SIGN_ON_EVERY_S * 1000:
            return None
        try:
            keys = zone_keys(kept.wrapped, self._account)
        except KeyCheckError:
            return None
        self._version, self._made_at_ms = kept.version, kept.made_at_ms
        return keys
