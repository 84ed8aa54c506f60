"""Working keys that all processes of one account use, kept where each of them looks.

Rules:

* Keys are kept as they came, wrapped under the link's own master key: whoever reads the store
  has no key.
* Their version moves by compare-and-set, and one process at a time fetches new ones: it holds a
  lease while it does. So two that need keys at once do not overwrite each other's, at a host
  that makes new ones at each sign-on.
* A lease ends by itself: a process that died holds nobody up for long. Its owner may claim again.
"""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptKeys:
    """The keys of one link; ``made_at_ms`` is when the host made them, by our clock."""

    version: int
    wrapped: bytes = field(repr=False)
    made_at_ms: int


class KeyKeeper(Protocol):
    """Where they are kept; every method raises ``domain.errors.Unavailable`` when it is away."""

    async def kept_keys(self, name: str) -> KeptKeys | None:
        """The keys of this link that were kept last."""
        ...

    async def claim_keys(
        self, name: str, version: int, owner: str, now_ms: int, until_ms: int
    ) -> bool:
        """Take the lease until ``until_ms``; ``version`` is what was read (0: nothing kept).

        ``False`` when another owner holds it or the keys are others by now.
        """
        ...

    async def keep_keys(self, name: str, version: int, wrapped: bytes, now_ms: int) -> bool:
        """Keep new keys as ``version`` + 1 and end the lease; ``False`` when others were kept."""
        ...
