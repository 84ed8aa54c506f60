"""What happened, as one hash: two runs of one seed must give the same."""

import hashlib
from collections.abc import Callable


class Trace:
    """Every line with its virtual time; the lines themselves are kept on demand."""

    def __init__(self, now_s: Callable[[], float], *, keep: bool) -> None:
        self._now_s = now_s
        self._hash = hashlib.blake2b(digest_size=16)
        self.lines: list[str] | None = [] if keep else None
        self.count = 0

    def line(self, what: str, *details: object) -> None:
        """One thing that happened."""
        text = f"{self._now_s()!r} {what} {details!r}"
        self._hash.update(text.encode())
        self.count += 1
        if self.lines is not None:
            self.lines.append(text)

    def digest(self) -> str:
        """The hash so far."""
        return self._hash.hexdigest()
