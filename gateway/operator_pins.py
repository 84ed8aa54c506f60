"""Operators' PINs: looked at so often and no oftener.

Rules:

* A try is counted in the store before the PIN is looked at; the last one locks the operator
  for a while, in every process. A right PIN forgets the tries; one of a message that was
  heard before is not looked at again (``payments.py``, ``checkout/opening.py``).
* Who is not there costs as much time as who is, and is told the same.
* Hashing runs in threads, a few at a time, and so many wait: its memory is bounded.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from domain.clock import Clock
from domain.errors import Unavailable
from domain.limits import LimitRule
from domain.operator_pin import is_operator_id, is_pin
from gateway.store.shop_port import OperatorStore
from gateway.store.shop_records import Operator

MAX_WAITING: Final = 64
"""PINs that may wait to be looked at; one more is told to come back."""
_NOBODYS: Final = (
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)
"""What the PIN of an operator that is not there is compared with: no PIN's."""

Hashing = Callable[[str, str], bool]
"""Whether a hash is a PIN's."""


def _argon2(pin_hash: str, pin: str) -> bool:
    from gateway.pin_hash import matches  # noqa: PLC0415 (only who has operators pays its start)

    return matches(pin_hash, pin)


class OperatorPins:
    """Who may let a payment through."""

    def __init__(
        self,
        *,
        store: OperatorStore,
        clock: Clock,
        tries: int,
        lock_s: float,
        max_at_once: int,
        hashing: Hashing = _argon2,
    ) -> None:
        self._store = store
        self._clock = clock
        self._tries = tries
        self._lock_ms = int(lock_s * 1000)
        self._slots = asyncio.Semaphore(max_at_once)
        self._hashing = hashing
        self._waiting = 0

    def waiting(self) -> int:
        """PINs that are looked at or wait for it."""
        return self._waiting

    async def refusal(self, merchant_no: str, operator_id: str, pin: str) -> LimitRule | None:
        """Why this operator may not let a payment through now; ``None`` when it may.

        Raises:
            Unavailable: too many PINs wait, or the store is down.
        """
        if not operator_id or not pin:
            return LimitRule.PIN_NEEDED
        operator = None
        if is_operator_id(operator_id) and is_pin(pin):  # nothing else reaches the store
            operator = await self._store.operator(merchant_no, operator_id)
        if operator is None or operator.disabled:
            await self._is_right(_NOBODYS, pin)
            return LimitRule.PIN_WRONG
        return await self._try(operator, pin)

    async def _try(self, operator: Operator, pin: str) -> LimitRule | None:
        now_ms = self._clock.now_ms()
        taken = await self._store.take_try(
            operator.merchant_no,
            operator.operator_id,
            now_ms=now_ms,
            tries=self._tries,
            lock_until_ms=now_ms + self._lock_ms,
        )
        if not taken:
            return LimitRule.OPERATOR_LOCKED
        if not await self._is_right(operator.pin_hash, pin):
            return LimitRule.PIN_WRONG
        await self._store.pin_was_right(
            operator.merchant_no, operator.operator_id, operator.pin_hash
        )
        return None

    async def _is_right(self, pin_hash: str, pin: str) -> bool:
        if self._waiting >= MAX_WAITING:
            raise Unavailable("too many PINs are being looked at: send the payment again")
        self._waiting += 1
        try:
            async with self._slots:
                return await asyncio.to_thread(self._hashing, pin_hash, pin)
        finally:
            self._waiting -= 1
