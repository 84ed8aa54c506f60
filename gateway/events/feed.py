"""What was committed, wherever, brought to who follows it here.

Rules:

* The store is asked, at one pace for all followers together: where the followed payments
  stand, and what has come in the one order of ``till_events``. So it does not matter which
  process committed it, and a process that starts anew goes on where its followers say.
* A position moves on only after what came before it was handed over: a store that cannot be
  reached delays, and nothing is lost.
* A follower of a store that says up to where it heard is read its missed events first, a few
  at a time and in turn, and joins the others where they are. One that says nothing begins
  where the store is.
* Nobody follows, nobody asks (where terminals are told, somebody always follows). Followers
  are bounded, each merchant's too; a slow reader is cut, one that stays too long ended: both
  come again and lose nothing.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from domain.clock import Clock
from domain.errors import Unavailable
from gateway.events.follower import Follower, Message
from gateway.events.told import Followed, Told
from gateway.logs import Log
from gateway.store.port import EventStore, TillEvent

_K = TypeVar("_K")

FROM_NOW: Final = -1
"""``after`` of a follower that heard nothing yet: a store's begins where the store is, a
payment's with the payment as it stands."""

_PAGE: Final = 500
_ASKED_AT_ONCE: Final = 512
_JOINED_AT_ONCE: Final = 32
_BEATS_AT_ONCE: Final = 100
_FAULT_PAUSE_S: Final = 0.5
_READ_S: Final = 2.0
"""How long a poll that waits for nothing may take to read the store."""


class TillPush(Protocol):
    """What tells terminals over their open connections."""

    def reaches(self, event: TillEvent) -> bool:
        """Whether this event is for a terminal that is connected here."""
        ...

    async def push(self, event: TillEvent, told: Told) -> None:
        """Tell the event's terminal; never raises for what a terminal is."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedBounds:
    """From the configuration's section ``events``."""

    poll_s: float = 0.1
    heartbeat_s: float = 15.0
    life_s: float = 3600.0
    max_streams: int = 4096
    max_streams_per_merchant: int = 1024
    max_waiting: int = 64


class Feed:
    """One background loop per process."""

    def __init__(
        self,
        *,
        store: EventStore,
        followed: Followed,
        push: TillPush | None,
        clock: Clock,
        log: Log,
        bounds: FeedBounds,
    ) -> None:
        """``push`` of ``None``: terminals are not told."""
        self._store = store
        self._followed = followed
        self._push = push
        self._clock = clock
        self._log = log
        self._bounds = bounds
        self._payments: dict[str, list[Follower]] = {}
        self._stores: dict[tuple[str, str], list[Follower]] = {}
        self._joining: deque[Follower] = deque()
        self._all: OrderedDict[Follower, None] = OrderedDict()
        """In the order of their next sign of life."""
        self._of_merchant: dict[str, int] = {}
        self._position: int | None = None
        self._wanted = asyncio.Event()
        self._is_leaving = False

    def following(self) -> int:
        """Open streams, and waits for a payment to move."""
        return len(self._all)

    # --- who follows

    def follow_payment(self, merchant_no: str, payment_id: str, after: int) -> Follower:
        """Follow a payment that is the merchant's; the caller must :meth:`leave`.

        Raises:
            Unavailable: too many follow, or this process leaves.
        """
        follower = self._follower(merchant_no, payment_id=payment_id, after=after)
        self._payments.setdefault(payment_id, []).append(follower)
        return follower

    def follow_store(self, merchant_no: str, store_id: str, after: int) -> Follower:
        """Follow a merchant's store. As :meth:`follow_payment`."""
        follower = self._follower(merchant_no, store_id=store_id, after=after)
        self._joining.append(follower)
        return follower

    def _follower(
        self, merchant_no: str, *, payment_id: str = "", store_id: str = "", after: int
    ) -> Follower:
        bounds, now_s = self._bounds, self._clock.monotonic_s()
        if self._is_leaving:
            raise Unavailable("shutting down: connect again")
        if len(self._all) >= bounds.max_streams:
            raise Unavailable("too many event streams: connect again later")
        if self._of_merchant.get(merchant_no, 0) >= bounds.max_streams_per_merchant:
            raise Unavailable("too many event streams of this merchant: close some")
        follower = Follower(
            merchant_no=merchant_no,
            payment_id=payment_id,
            store_id=store_id,
            after=after,
            most_waiting=bounds.max_waiting,
            until_s=now_s + bounds.life_s,
            beat_at_s=now_s + bounds.heartbeat_s,
        )
        self._all[follower] = None
        self._of_merchant[merchant_no] = self._of_merchant.get(merchant_no, 0) + 1
        self._wanted.set()
        return follower

    def leave(self, follower: Follower) -> None:
        """It is gone; nothing happens for one that has left."""
        if follower not in self._all:
            return
        del self._all[follower]
        follower.end()
        left = self._of_merchant[follower.merchant_no] - 1
        if left:
            self._of_merchant[follower.merchant_no] = left
        else:
            del self._of_merchant[follower.merchant_no]
        if follower.payment_id:
            _drop(self._payments, follower.payment_id, follower)
        elif follower in self._joining:
            self._joining.remove(follower)
        else:
            _drop(self._stores, (follower.merchant_no, follower.store_id), follower)

    async def newer(
        self, merchant_no: str, payment_id: str, *, after: int, wait_s: float
    ) -> Told | None:
        """A payment once it is beyond ``after``; ``None`` when it is not in time.

        With :data:`FROM_NOW` once it is over, or as it is then. Raises as
        :meth:`follow_payment`.
        """
        follower = self.follow_payment(merchant_no, payment_id, after)
        newest: Told | None = None
        try:
            async with asyncio.timeout(wait_s):
                while newest is None or (after == FROM_NOW and not newest.is_over):
                    messages = await follower.next()
                    if messages is None:
                        break
                    for message in messages:
                        newest = message.told
        except TimeoutError:
            pass
        finally:
            self.leave(follower)
        return newest

    async def newer_of_store(
        self, merchant_no: str, store_id: str, *, after: int, wait_s: float
    ) -> tuple[Sequence[Message], int]:
        """The first events of a store after ``after``, and where it stands after them.

        Those that are there at once; else the first that come within ``wait_s``; else none. With
        0 the store is read once and nothing is waited for. The place is ``after`` itself where
        nothing is known yet. Raises as :meth:`follow_payment`.
        """
        follower = self.follow_store(merchant_no, store_id, after)
        heard: list[Message] = []
        place = after
        try:
            async with asyncio.timeout(wait_s or _READ_S):
                while not heard:
                    messages = await follower.next()
                    if messages is None:
                        break
                    heard += [message for message in messages if message.told is not None]
                    place = max([place, *(message.number for message in messages)])
                    if not wait_s:
                        break
        except TimeoutError:
            pass
        finally:
            self.leave(follower)
        return heard, place

    def hang_up(self) -> None:
        """Let every follower go; they find another process behind the same port."""
        self._is_leaving = True
        for follower in tuple(self._all):
            follower.end()

    # --- the loop

    async def run(self) -> None:
        """Tell what is new until cancelled."""
        while True:
            if not self._all and self._push is None:
                self._position = None
                self._wanted.clear()
                await self._wanted.wait()
            pause_s = self._bounds.poll_s
            try:
                if await self.round():
                    pause_s = 0.0
            except Unavailable as error:
                pause_s = _FAULT_PAUSE_S
                self._log.warning("events wait for the store", reason=error.message)
            except Exception:
                # one row that cannot be read must not end the events of all others
                pause_s = _FAULT_PAUSE_S
                self._log.exception("events fault")
            await asyncio.sleep(pause_s)

    async def round(self) -> bool:
        """Look once; whether there is more to be done at once."""
        self._beat()
        is_behind = await self._tell_tills()
        await self._join()
        await self._tell_payments()
        return is_behind or self._can_join()

    def _beat(self) -> None:
        """Signs of life that are due, in turn; who stayed too long is ended."""
        now_s = self._clock.monotonic_s()
        for _ in range(min(_BEATS_AT_ONCE, len(self._all))):
            follower = next(iter(self._all))
            if follower.beat_at_s > now_s:
                return
            follower.beat_at_s = now_s + self._bounds.heartbeat_s
            self._all.move_to_end(follower)
            if follower.until_s <= now_s:
                follower.end()
            else:
                follower.beat()

    async def _tell_tills(self) -> bool:
        """A page of what came; whether there is another."""
        if not (self._stores or self._joining or self._push):
            self._position = None
            return False
        if self._position is None:
            self._position = await self._store.till_position()
            return False
        events = await self._store.till_events(self._position, _PAGE)
        if not events:
            return False
        told = await self._followed.told(_ids(filter(self._is_wanted, events)))
        newest = {event.payment_id: event.position for event in events}
        for event in events:
            said = told.get(event.payment_id)
            if said is None:
                continue
            if newest[event.payment_id] == event.position:
                message = Message(event.position, said)
                for follower in self._stores.get((event.merchant_no, event.store_id), ()):
                    follower.tell(message)
            if self._push is not None and self._push.reaches(event):
                await self._push.push(event, said)
        self._position = events[-1].position
        return len(events) == _PAGE

    def _is_wanted(self, event: TillEvent) -> bool:
        if (event.merchant_no, event.store_id) in self._stores:
            return True
        return self._push is not None and self._push.reaches(event)

    async def _join(self) -> None:
        """Read to some of the new followers of stores what they missed."""
        for _ in range(min(_JOINED_AT_ONCE, len(self._joining))):
            follower = self._joining[0]
            self._joining.rotate(-1)
            if await self._catch_up(follower) and follower in self._joining:
                self._joining.remove(follower)
                place = (follower.merchant_no, follower.store_id)
                self._stores.setdefault(place, []).append(follower)

    async def _catch_up(self, follower: Follower) -> bool:
        """Whether it has heard everything up to where the others are."""
        up_to, limit = self._position, follower.room() - 1
        if up_to is None or limit < 1:
            return False
        if follower.after == FROM_NOW or follower.after >= up_to:
            follower.tell(Message(up_to, None))
            return True
        events = await self._store.store_events(
            follower.merchant_no, follower.store_id, follower.after, up_to, limit
        )
        told = await self._followed.told(_ids(events))
        newest = {event.payment_id: event.position for event in events}
        for event in events:
            if event.payment_id in told and newest[event.payment_id] == event.position:
                follower.tell(Message(event.position, told[event.payment_id]))
        if len(events) < limit:
            follower.tell(Message(up_to, None))
            return True
        follower.after = events[-1].position
        return False

    def _can_join(self) -> bool:
        return any(follower.room() > 1 for follower in self._joining)

    async def _tell_payments(self) -> None:
        """Where the followed payments stand, to who has not heard."""
        ids = list(self._payments)
        for first in range(0, len(ids), _ASKED_AT_ONCE):
            page = ids[first : first + _ASKED_AT_ONCE]
            versions = await self._followed.versions(page)
            moved = [each for each in page if self._has_moved(each, versions.get(each, 0))]
            for payment_id, said in (await self._followed.told(moved)).items():
                message = Message(said.version, said)
                for follower in self._payments.get(payment_id, ()):
                    if follower.after < said.version:
                        follower.tell(message)

    def _has_moved(self, payment_id: str, version: int) -> bool:
        return any(each.after < version for each in self._payments.get(payment_id, ()))


def _ids(events: Iterable[TillEvent]) -> Sequence[str]:
    """The payments of events, each once."""
    return list(dict.fromkeys(event.payment_id for event in events))


def _drop(places: dict[_K, list[Follower]], place: _K, follower: Follower) -> None:
    followers = places[place]
    followers.remove(follower)
    if not followers:
        del places[place]
