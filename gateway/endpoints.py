"""Which endpoints of merchants fail, and how long each is left alone.

Rules: an endpoint that fails ``pause_after`` times running is paused; between two pauses it
gets one attempt, which is its probe. While it is away (silent, or somebody in front of it
says so) the pause is a second first and twice as long each time, up to ``max_pause_s``.
While it answers, though it refuses, the pause stays a second: what it refuses must not
hold up for long what it would take. One success forgets everything. Nothing here is
durable: a new process finds out by itself. Only endpoints that fail are remembered, a
bounded number; the one that failed longest ago is forgotten first.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from domain.clock import Clock

_FIRST_PAUSE_S: Final = 1.0


@dataclass(slots=True)
class _Failing:
    """One endpoint's run of failures."""

    failures: int = 0
    absences: int = 0
    resumes_at_s: float = 0.0


class Endpoints:
    """The failing endpoints of this process."""

    def __init__(
        self, *, clock: Clock, pause_after: int, max_pause_s: float, max_endpoints: int
    ) -> None:
        self._clock = clock
        self._pause_after = pause_after
        self._max_pause_s = max_pause_s
        self._max_endpoints = max_endpoints
        self._failing: OrderedDict[str, _Failing] = OrderedDict()

    def failing(self) -> int:
        """Endpoints whose last attempt failed."""
        return len(self._failing)

    def is_paused(self, endpoint: str) -> bool:
        """Whether it is to be left alone now."""
        known = self._failing.get(endpoint)
        return known is not None and self._clock.monotonic_s() < known.resumes_at_s

    def failed(self, endpoint: str, *, is_away: bool) -> float:
        """Note a failure; how many seconds the endpoint is paused for, 0 for not at all.

        ``is_away`` says that the endpoint itself did not answer.
        """
        known = self._failing.setdefault(endpoint, _Failing())
        self._failing.move_to_end(endpoint)
        while len(self._failing) > self._max_endpoints:
            self._failing.popitem(last=False)
        known.failures += 1
        known.absences += is_away
        if known.failures < self._pause_after:
            return 0.0
        doubled = min(max(known.absences - self._pause_after, 0), 30) if is_away else 0
        pause_s = min(_FIRST_PAUSE_S * (1 << doubled), self._max_pause_s)
        known.resumes_at_s = self._clock.monotonic_s() + pause_s
        return pause_s

    def succeeded(self, endpoint: str) -> bool:
        """Note a success; whether the endpoint is back after it was away."""
        known = self._failing.pop(endpoint, None)
        return known is not None and known.absences >= self._pause_after
