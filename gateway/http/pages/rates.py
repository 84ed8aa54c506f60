"""How often one code or one address may ask: a bucket each, in bounded memory. Pure.

Rules: the generic cell rate algorithm, one number for each key: when its bucket will be
empty again. A refusal costs nothing and changes nothing. What is full again is forgotten
first; at the bound the key that asked least lately goes, so that who sprays addresses
forgets their own buckets, and the other limit (the code's) still holds.
"""

from collections import OrderedDict
from typing import Final

_SWEPT: Final = 2
"""Old keys looked at for each new one: the table shrinks faster than it grows."""


class RateLimit:
    """At most ``burst`` at once and ``per_s`` in the long run, for each key."""

    __slots__ = ("_empty_at_s", "_interval_s", "_max_keys", "_slack_s")

    def __init__(self, *, per_s: float, burst: int, max_keys: int) -> None:
        self._interval_s = 1.0 / per_s
        self._slack_s = (burst - 1) * self._interval_s
        self._max_keys = max_keys
        self._empty_at_s: OrderedDict[str, float] = OrderedDict()

    def admit(self, key: str, now_s: float) -> bool:
        """Whether ``key`` may go on now; it is counted only then."""
        empty_at_s = max(self._empty_at_s.get(key, now_s), now_s)
        if empty_at_s - now_s > self._slack_s:
            return False
        self._empty_at_s[key] = empty_at_s + self._interval_s
        self._empty_at_s.move_to_end(key)
        self._sweep(now_s)
        return True

    def _sweep(self, now_s: float) -> None:
        for _ in range(_SWEPT):
            oldest = next(iter(self._empty_at_s))
            if self._empty_at_s[oldest] > now_s and len(self._empty_at_s) <= self._max_keys:
                return
            del self._empty_at_s[oldest]
            if not self._empty_at_s:
                return

    def kept(self) -> int:
        """Keys remembered, for ``/metrics``."""
        return len(self._empty_at_s)
