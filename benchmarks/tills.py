"""What a caller of the load generator is: it makes requests and judges their answers.

Rules: requests are made before the clock starts and judged after it stopped, so that
the load generator takes as little as possible of the cores it shares with what it
measures. Every answer is judged, and whole: amount, number, signature or MAC.
"""

from typing import Protocol


class Till(Protocol):
    """One caller's requests."""

    def build(self) -> bytes:
        """The next request as it goes on the wire; never the same twice."""
        ...

    def cut(self, data: bytes) -> int:
        """The length of the first whole answer in ``data``, 0 if there is none yet."""
        ...

    def judge(self, request: bytes, answer: bytes) -> str:
        """``""`` for an approval that can be believed, else what is wrong with it."""
        ...
