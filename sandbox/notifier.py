"""What a simulated channel tells its merchants unasked, and how often it tries.

Rules:

* A channel hands in a :class:`Notice`: where it goes, how one attempt is written (anew
  each time, for a signature may cover the time) and what answer says "taken". It is tried
  at once and then after each step of the channel's own schedule until it is taken; the
  steps are divided by the configured factor, so that a day of retries fits into minutes.
* Faults are those of :mod:`sandbox.faults`, in a plan of their own under
  ``<channel>.notify``: an attempt may come late, twice, not at all, with a forged
  signature (``corrupt``) or with another amount, truly signed (``wrong_amount``).
* No socket and no clock in here: :func:`Notifier.due` gives what is to be sent now,
  :func:`Notifier.answered` takes what came of it. Bounded: what is too much is counted
  and forgotten, as is the history of what was taken.
"""

import enum
import heapq
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.faults import FaultKind, Faults

MAX_WAITING: Final = 100_000
MAX_HISTORY: Final = 1_000


class Spoil(enum.Enum):
    """How an attempt is not as it should be."""

    NOT = "not"
    FORGED = "forged"
    """The signature is not ours."""
    WRONG_AMOUNT = "wrong_amount"
    """The amount is not the trade's, and the signature is good."""


@dataclass(frozen=True, slots=True)
class NoticeRequest:
    """One attempt, complete."""

    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing to be told. ``event`` is what the faults of its plan match."""

    channel: str
    order_no: str
    event: str
    url: str
    write: Callable[[int, Spoil], NoticeRequest] = field(repr=False)
    """``write(now_ms, spoil)``."""
    is_taken: Callable[[int, bytes], bool] = field(repr=False)
    """``is_taken(status, body)``."""


@dataclass(slots=True)
class _Told:
    """A notice and what became of it so far."""

    notice: Notice
    attempts: int = 0
    state: str = "waiting"
    last_status: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt to be made now: ``copies`` times, after ``delay_ms``; then :meth:`answered`."""

    told: _Told = field(repr=False)
    url: str
    request: NoticeRequest = field(repr=False)
    copies: int = 1
    delay_ms: int = 0


class Notifier:
    """The notices of every channel of one sandbox."""

    def __init__(self, factor: int = 1) -> None:
        self._factor = max(1, factor)
        self._schedules: dict[str, Sequence[int]] = {}
        self._faults: dict[str, Faults] = {}
        self._waiting: list[tuple[int, int, _Told]] = []
        self._serial = 0
        self._history: deque[_Told] = deque(maxlen=MAX_HISTORY)
        self.forgotten = 0
        """Notices that there was no room for."""

    def serve(self, channel: str, schedule_s: Sequence[int], faults: Faults) -> None:
        """Know a channel: the seconds between its attempts, and its plan of faults."""
        self._schedules[channel] = schedule_s
        self._faults[channel] = faults

    def add(self, notice: Notice, now_ms: int) -> None:
        """Tell this, from now on; a notice without a URL goes nowhere."""
        if not notice.url:
            return
        if len(self._waiting) >= MAX_WAITING:
            self.forgotten += 1
            return
        told = _Told(notice)
        self._history.append(told)
        self._put(told, now_ms)

    def due(self, now_ms: int, most: int = 64) -> list[Delivery]:
        """The attempts to make now; each must be :meth:`answered`."""
        found: list[Delivery] = []
        while self._waiting and self._waiting[0][0] <= now_ms and len(found) < most:
            told = heapq.heappop(self._waiting)[2]
            told.attempts += 1
            delivery = self._attempt(told, now_ms)
            if delivery is None:
                self._again(told, now_ms)
            else:
                found.append(delivery)
        return found

    def next_due_ms(self) -> int | None:
        """When the next attempt is due, ``None`` if none waits."""
        return self._waiting[0][0] if self._waiting else None

    def answered(self, delivery: Delivery, status: int, body: bytes, now_ms: int) -> None:
        """What came back; ``status`` 0 for nothing."""
        told = delivery.told
        told.last_status = status
        if status and told.notice.is_taken(status, body):
            told.state = "taken"
        elif told.state != "taken":
            self._again(told, now_ms)

    def history(self) -> list[dict[str, Any]]:
        """For ``GET /notices``, oldest first."""
        return [
            {
                "channel": told.notice.channel,
                "order_no": told.notice.order_no,
                "event": told.notice.event,
                "attempts": told.attempts,
                "state": told.state,
                "last_status": told.last_status,
            }
            for told in self._history
        ]

    def _put(self, told: _Told, at_ms: int) -> None:
        self._serial += 1
        heapq.heappush(self._waiting, (at_ms, self._serial, told))

    def _again(self, told: _Told, now_ms: int) -> None:
        schedule = self._schedules[told.notice.channel]
        if told.attempts > len(schedule):
            told.state = "given_up"
            return
        self._put(told, now_ms + schedule[told.attempts - 1] * 1000 // self._factor)

    def _attempt(self, told: _Told, now_ms: int) -> Delivery | None:
        notice = told.notice
        rule = self._faults[notice.channel].draw(notice.event)
        kind = None if rule is None else rule.kind
        if kind in (FaultKind.DROP, FaultKind.CLOSE):
            return None
        spoil = {FaultKind.CORRUPT: Spoil.FORGED, FaultKind.WRONG_AMOUNT: Spoil.WRONG_AMOUNT}
        request = notice.write(now_ms, spoil.get(kind, Spoil.NOT) if kind else Spoil.NOT)
        copies = 2 if kind is FaultKind.DUPLICATE else 1
        delay_ms = rule.delay_ms if rule is not None and kind is FaultKind.DELAY else 0
        return Delivery(told, notice.url, request, copies, delay_ms)
