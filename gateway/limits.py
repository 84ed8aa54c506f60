"""Whether a merchant's limits let a payment through, before it is claimed.

Rules:

* A merchant without limits costs a look into a dictionary. Limits are read from the store
  whole, and again after ``fresh_s``: a new limit holds everywhere within that time.
* What is judged here is refused or let through before anything is begun. The day's sum is
  only looked at here; it is counted, and decided, in the commit of the claim
  (``gateway/store/limits.py``).
* An operator's PIN is asked for last, so that a payment that cannot be costs no try.
* Refusals are logged and counted; no PIN is in any text.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from domain.clock import Clock
from domain.doors import ATTEMPT_DOOR, PAGE_DOOR
from domain.errors import OverLimit, Unavailable
from domain.limits import (
    UNJUDGED_METHODS,
    Asked,
    Limit,
    LimitRule,
    broken_by,
    limit_day,
    limits_of,
    needs_pin,
    over_limit,
)
from gateway.draft import Draft
from gateway.logs import Log
from gateway.metrics import Metrics
from gateway.operator_pins import OperatorPins
from gateway.store.port import Spend
from gateway.store.shop_port import LimitStore

PAYERS_DOORS: Final = frozenset((ATTEMPT_DOOR, PAGE_DOOR))
"""Doors of a payer who pays by himself."""
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Judged:
    """Why a payment is refused, if it is, and what its claim adds to days' sums."""

    refusal: OverLimit | None = None
    spends: Sequence[Spend] = ()


FREE: Final = Judged()
"""What no limit concerns."""


class Judge(Protocol):
    """Who says what a merchant's limits make of a payment."""

    def concern(self, merchant_no: str) -> bool:
        """Whether the merchant's limits have to be looked at; free where there are none."""
        ...

    async def judge(self, asked: Asked) -> Judged:
        """Judge a payment; raises ``Unavailable`` when the store is down."""
        ...

    def stopped(self, merchant_no: str, refusal: OverLimit) -> OverLimit:
        """Log and count a refusal that is told; the same comes back, to be raised."""
        ...


class NoLimits:
    """For where there are none."""

    def concern(self, merchant_no: str) -> bool:
        """Nobody's."""
        return False

    async def judge(self, asked: Asked) -> Judged:
        """Everything is let through."""
        return FREE

    def stopped(self, merchant_no: str, refusal: OverLimit) -> OverLimit:
        """Nothing is counted."""
        return refusal


def asked_of(draft: Draft) -> Asked | None:
    """What is judged of a payment; ``None`` for one that no limit stops."""
    if draft.method in UNJUDGED_METHODS:
        return None
    return Asked(
        merchant_no=draft.merchant_no,
        store_id=draft.store_id,
        amount_fen=draft.amount_fen,
        at_till=draft.door not in PAYERS_DOORS,
        operator_id=draft.operator_id,
        operator_pin=draft.operator_pin,
    )


class Limits:
    """The limits of every merchant, as far as they are known here."""

    def __init__(
        self,
        *,
        store: LimitStore,
        pins: OperatorPins,
        clock: Clock,
        metrics: Metrics,
        log: Log,
        fresh_s: float,
    ) -> None:
        self._store = store
        self._pins = pins
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._fresh_s = fresh_s
        self._known: Mapping[str, Sequence[Limit]] = {}
        self._until_s = float("-inf")
        self._tidied: dict[str, str] = {}  # merchants with limits, and the day of it
        self._reading = asyncio.Lock()

    def known(self) -> int:
        """Merchants with limits."""
        return len(self._known)

    def concern(self, merchant_no: str) -> bool:
        """Whether the merchant's limits have to be looked at, or be read again."""
        return merchant_no in self._known or self._clock.monotonic_s() >= self._until_s

    async def judge(self, asked: Asked) -> Judged:
        """What the merchant's limits make of a payment.

        Raises:
            Unavailable: the store is down, or too many PINs wait; nothing was begun.
        """
        of_merchant = (await self._limits()).get(asked.merchant_no)
        if of_merchant is None:
            return FREE
        limits = limits_of(of_merchant, asked.store_id)
        now_ms = self._clock.now_ms()
        rule = broken_by(limits, asked, now_ms)
        spends = [] if rule else _spends(limits, asked, limit_day(now_ms))
        if rule is None and not await self._fits(spends):
            rule = LimitRule.DAILY
        if rule is None and needs_pin(limits, asked):
            rule = await self._pins.refusal(
                asked.merchant_no, asked.operator_id, asked.operator_pin
            )
            if rule is None:
                self._log.info(
                    "operator let it through",
                    merchant_no=asked.merchant_no,
                    operator_id=asked.operator_id,
                    amount_fen=asked.amount_fen,
                )
        if spends and self._tidied.get(asked.merchant_no) != spends[0].day:
            await self._tidy(asked.merchant_no, spends[0].day, now_ms)
        return Judged(None, spends) if rule is None else Judged(over_limit(rule))

    async def _tidy(self, merchant_no: str, day: str, now_ms: int) -> None:
        """Once a day, and never in a payment's way; yesterday stays, for what is under way."""
        self._tidied[merchant_no] = day
        with suppress(Unavailable):
            await self._store.forget_days(merchant_no, limit_day(now_ms - _DAY_MS))

    def stopped(self, merchant_no: str, refusal: OverLimit) -> OverLimit:
        """Log and count a refusal that is told; the same comes back, to be raised."""
        self._metrics.over_limit(refusal.code)
        self._log.info("over a limit", merchant_no=merchant_no, rule=refusal.code)
        return refusal

    async def _limits(self) -> Mapping[str, Sequence[Limit]]:
        if self._clock.monotonic_s() < self._until_s:
            return self._known
        async with self._reading:
            if self._clock.monotonic_s() >= self._until_s:
                known: dict[str, list[Limit]] = {}
                for limit in await self._store.limits():
                    known.setdefault(limit.merchant_no, []).append(limit)
                self._known = known
                self._tidied = {one: day for one, day in self._tidied.items() if one in known}
                self._until_s = self._clock.monotonic_s() + self._fresh_s
        return self._known

    async def _fits(self, spends: Sequence[Spend]) -> bool:
        """Whether the days have room, what was not paid after all taken off first."""
        for spend in spends:
            key = (spend.merchant_no, spend.store_id, spend.day)
            room_fen = spend.limit_fen - spend.amount_fen
            if await self._store.spent(*key) <= room_fen:
                continue
            await self._store.free_unpaid(*key)
            if await self._store.spent(*key) > room_fen:
                return False
        return True


def _spends(limits: Sequence[Limit], asked: Asked, day: str) -> list[Spend]:
    return [
        Spend(
            merchant_no=limit.merchant_no,
            store_id=limit.store_id,
            day=day,
            amount_fen=asked.amount_fen,
            limit_fen=limit.daily_fen,
        )
        for limit in limits
        if limit.daily_fen
    ]
