"""Many sales from many terminals at a rate: what they came to, and how long they took.

Rules:

* A sale is due at its own moment, whether the ones before it were slow or not; a terminal
  has one message in flight, so as many are in flight as there are terminals.
* A sale that is not answered, or whose answer cannot be believed, is reversed by its
  terminal before its next one, as a real terminal does, and once more at the end.
* Trace numbers are taken in the state files before the first sale and journals written
  after the last, so that an interrupted run never uses a number twice.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from domain.errors import InvalidRequest, Unavailable
from gateway.cli.session import print_json
from gateway.cli.terminal_given import Given
from gateway.cli.terminal_journal import LineState
from gateway.cli.terminal_till import Done, Till
from gateway.cli.terminal_transactions import Row, card_for
from gateway.sources import SystemClock

MAX_SALES: Final = 1_000_000
_SIGN_IN_AT_ONCE: Final = 32


@dataclass(slots=True)
class Tally:
    """What a load came to; times in ms of every sale that was answered."""

    approved: int = 0
    declined: dict[str, int] = field(default_factory=dict)
    faults: int = 0
    unanswered: int = 0
    not_sent: int = 0
    """There was no connection, or one before it could not be reversed."""
    left_open: int = 0
    """Sales that nobody answered and nobody could reverse: ask for them by ``status``."""
    reversed: int = 0
    elapsed_s: float = 0.0
    answered_ms: list[float] = field(default_factory=list)

    @property
    def sales(self) -> int:
        """How many were sent."""
        return self.approved + sum(self.declined.values()) + self.faults + self.unanswered

    def take(self, done: Done) -> None:
        """Count one answered sale."""
        self.answered_ms.append(done.elapsed_ms)
        outcome = done.outcome
        if outcome.fault is not None:
            self.faults += 1
        elif outcome.approved:
            self.approved += 1
        else:
            code = outcome.response_code
            self.declined[code] = self.declined.get(code, 0) + 1

    def percentile_ms(self, share: float) -> float:
        """The time that ``share`` of the answers took at most; 0 without any."""
        times = sorted(self.answered_ms)
        return times[min(len(times) - 1, int(share * len(times)))] if times else 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "sales": self.sales,
            "approved": self.approved,
            "declined": dict(sorted(self.declined.items())),
            "faults": self.faults,
            "unanswered": self.unanswered,
            "not_sent": self.not_sent,
            "reversed": self.reversed,
            "left_open": self.left_open,
            "seconds": round(self.elapsed_s, 3),
            "sales_per_s": round(self.sales / self.elapsed_s, 1) if self.elapsed_s else 0.0,
            "p50_ms": round(self.percentile_ms(0.50), 1),
            "p99_ms": round(self.percentile_ms(0.99), 1),
        }


class Load:
    """``count`` sales of one kind; ``rate`` a second, 0 for as many as there can be."""

    def __init__(
        self, tills: Sequence[Till], row: Row, given: Given, *, count: int, rate: float
    ) -> None:
        self._tills = tills
        self._row = row
        self._given = given
        self._count = count
        self._rate = rate
        self._clock = SystemClock()
        self._tally = Tally()

    async def run(self) -> Tally:
        """Sign in, sell, reverse what is left.

        Raises:
            Unavailable: a terminal cannot sign in.
        """
        try:
            await self._sign_in()
            for till in self._tills:
                till.write(traces_ahead=self._count + 1)
            started_s = self._clock.monotonic_s()
            numbers = iter(range(self._count))
            work = [self._sell(till, numbers, started_s) for till in self._tills]
            await asyncio.gather(*work)
            self._tally.elapsed_s = self._clock.monotonic_s() - started_s
            await self._end()
        finally:
            for till in self._tills:
                till.write()
                await till.close()
        return self._tally

    async def _sign_in(self) -> None:
        room = asyncio.Semaphore(_SIGN_IN_AT_ONCE)

        async def one(till: Till) -> None:
            async with room:
                done = await till.do(lambda it: it.terminal.sign_in(), clears=False)
            if not done.outcome.approved:
                raise Unavailable(
                    f"terminal {till.place.terminal_id} cannot sign in:"
                    f" {done.outcome.response_code or done.outcome.detail}"
                )

        await asyncio.gather(*map(one, self._tills))

    async def _sell(self, till: Till, numbers: Iterator[int], started_s: float) -> None:
        for number in numbers:
            if self._rate:
                due_s = started_s + number / self._rate
                await asyncio.sleep(max(0.0, due_s - self._clock.monotonic_s()))
            await self._one(till)

    async def _one(self, till: Till) -> None:
        row, given, tally = self._row, self._given, self._tally
        try:
            tally.reversed += len(await till.take_back())
        except Unavailable:
            tally.not_sent += 1
            return
        try:
            done = await till.do(
                lambda it: row.build(it, given), card=card_for(till, row, given), clears=False
            )
        except Unavailable:
            if till.journal.unanswered():
                tally.unanswered += 1
            else:
                tally.not_sent += 1
            return
        tally.take(done)
        if done.line is not None and done.line.state is not LineState.SENT:
            till.forget(done.line)

    async def _end(self) -> None:
        """Reverse what is left."""
        for till in self._tills:
            before = len(till.journal.unanswered())
            with contextlib.suppress(Unavailable):
                await till.take_back()
            left = len(till.journal.unanswered())
            self._tally.reversed += before - left
            self._tally.left_open += left


def spread(count: int, terminals: int) -> int:
    """How many terminals ``count`` sales keep busy; raises :class:`InvalidRequest`."""
    if not 1 <= count <= MAX_SALES:
        raise InvalidRequest("wrong_count", f"--count is 1 to {MAX_SALES}")
    return min(count, terminals)


def print_tally(tally: Tally, terminals: int, *, as_json: bool) -> None:
    """To standard output."""
    row = {"terminals": terminals, **tally.as_dict()}
    if as_json:
        print_json(row)
        return
    table = Table(show_header=False, title="POSGATE LOAD")
    declined = ", ".join(f"{code} × {times}" for code, times in row["declined"].items())
    for name, value in row.items():
        table.add_row(name.replace("_", " "), declined or "0" if name == "declined" else str(value))
    Console().print(table)
