"""The nonces that came to a simulated channel.

Rule: a nonce is good once; the oldest are forgotten, long after their time has run out.
"""

from collections import OrderedDict
from typing import Final

_MOST: Final = 100_000


class Nonces:
    """Those that came, the oldest forgotten."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, None] = OrderedDict()

    def is_new(self, nonce: str) -> bool:
        """Whether it never came, and from now on it did."""
        if nonce in self._seen:
            return False
        self._seen[nonce] = None
        if len(self._seen) > _MOST:
            self._seen.popitem(last=False)
        return True
