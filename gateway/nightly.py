"""The nights by themselves, and approved questions to channels, while the gateway serves.

Rules:

* One job for the whole installation, leased: of several nodes one runs the nights. Who runs
  them renews the lease; who cannot renew it stops at once, since another runs them now.
* The match runs in a process of its own (``posgate reconcile``): a till never waits for it,
  and what it says is in its exit status and in the store, wherever it dies.
* A repair that asks the channel is carried out here, where the channels are; what the
  channel does not answer stays approved and is asked again at the next look, and so does the
  refund of a surplus (``gateway/surplus_refunds.py``). A repair that
  posts and was left approved by a process that died is carried out first.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from domain.clock import Clock
from domain.errors import Conflict, NotFound, Unavailable
from gateway.differences import BY_ITSELF, Differences, differences_in
from gateway.logs import Log
from gateway.store.port import Job, JobKind, Store
from gateway.store.rows import NO_LANE
from reconciliation.differences import Repair
from reconciliation.night_records import DifferenceState, StoredDifference

_RENEWALS: Final = 3
"""How often a lease is renewed before it would end."""
_OF_CHANNELS: Final = (Repair.QUERY_AGAIN, Repair.REFUND)


class Running(Protocol):
    """A process that runs the nights."""

    async def wait(self) -> int:
        """Its exit status, once it ended."""
        ...

    def kill(self) -> None:
        """End it now."""
        ...


Ask = Callable[[str, str, str, str], Awaitable[bool]]
"""``await ask(channel, account_id, order_no, refund_no)``: whether an answer is booked."""
GiveBack = Callable[[StoredDifference], Awaitable[bool]]
"""``await give_back(difference)``: whether the refund of its surplus has ended."""
AskSurplus = Callable[[StoredDifference], Awaitable[bool | None]]
"""``await ask_surplus(difference)``: as ``ask``; ``None`` where it is about no surplus's refund."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NightlyPace:
    """How often it looks, how long a lease is, and how long after a run comes the next."""

    interval_s: float = 30.0
    lease_s: float = 60.0
    pause_s: float = 600.0


class Nightly:
    """One gateway process's share of the nights."""

    def __init__(
        self,
        *,
        store: Store,
        spawn: Callable[[], Awaitable[Running]],
        ask: Ask,
        give_back: GiveBack,
        ask_surplus: AskSurplus,
        clock: Clock,
        log: Log,
        pace: NightlyPace,
    ) -> None:
        self._store = store
        self._spawn = spawn
        self._ask = ask
        self._give_back = give_back
        self._ask_surplus = ask_surplus
        self._clock = clock
        self._log = log
        self._pace = pace
        self._differences = Differences(store, clock)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except Unavailable as error:
                self._log.warning("nights not looked at", reason=error.message)
            await asyncio.sleep(self._pace.interval_s)

    async def look(self) -> None:
        """Take the job if it is due, and do what it asks for."""
        now_ms = self._clock.now_ms()
        await self._store.open_nights(now_ms)
        until_ms = now_ms + int(self._pace.lease_s * 1000)
        for job in await self._store.lease(JobKind.NIGHT, NO_LANE, now_ms, until_ms, 1):
            await self._differences.carry_out_approved()
            if await self._carry_out_with_channels(job) and await self._run_nights(job):
                next_ms = self._clock.now_ms() + int(self._pace.pause_s * 1000)
                await self._store.renew(JobKind.NIGHT, job.subject, next_ms, job.fence)

    async def _run_nights(self, job: Job) -> bool:
        """Run the process under the lease; ``False`` when the lease was lost."""
        running = await self._spawn()
        ended = asyncio.ensure_future(running.wait())
        try:
            while not ended.done():
                await asyncio.wait((ended,), timeout=self._pace.lease_s / _RENEWALS)
                if not ended.done() and not await self._renewed(job):
                    return False
            self._told(ended.result())
        finally:
            if not ended.done():
                running.kill()
                await ended
        return True

    async def _renewed(self, job: Job) -> bool:
        until_ms = self._clock.now_ms() + int(self._pace.lease_s * 1000)
        try:
            is_ours = await self._store.renew(JobKind.NIGHT, job.subject, until_ms, job.fence)
        except Unavailable:
            return True  # unknown: the lease still has most of its time, and is tried again
        if not is_ours:
            self._log.warning("nights taken over by another process")
        return is_ours

    def _told(self, status: int) -> None:
        if status:
            self._log.warning("nights need eyes", status=status, see="posgate reconcile status")
        else:
            self._log.info("nights run")

    async def _carry_out_with_channels(self, job: Job) -> bool:
        """Under the lease, however slow the channels are; ``False`` when it was lost."""
        async for one in differences_in(self._store, DifferenceState.APPROVED):
            if one.repair in _OF_CHANNELS and not await self._renewed(job):
                return False
            if one.repair is Repair.QUERY_AGAIN:
                await self._question(one)
            elif one.repair is Repair.REFUND and not await self._give_back(one):
                self._log.warning("difference not answered", difference_id=one.id)
        return True

    async def _question(self, one: StoredDifference) -> None:
        found = one.found
        is_answered = await self._ask_surplus(one)
        if is_answered is None:
            where = one.channel, one.account_id
            is_answered = await self._ask(*where, found.order_no, found.refund_no)
        if not is_answered:
            self._log.warning("difference not answered", difference_id=one.id)
            return
        try:
            await self._differences.carry_out(one.id, BY_ITSELF, "the channel was asked")
        except (Conflict, NotFound):
            return  # somebody decided about it meanwhile
