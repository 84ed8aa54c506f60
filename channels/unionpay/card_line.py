"""The connections to one card host: connect, prove, sign on, keep alive, reconnect.

Rules:

* Every connection is proved by a sign-on or an echo before it carries anything, and
  again after silence: ``echo_after_s`` with nothing in flight, ``SUSPECT_S`` with
  something. One that does not answer the echo within ``echo_timeout_s`` is dropped, so a
  dead peer under load is found within ``SUSPECT_S`` + a tick + ``echo_timeout_s``.
* Working keys belong to the terminal, not to a connection: a line in use signs on once,
  for all its connections. A line that stands by is connected and does not sign on: where
  the hosts share their keys, that would take away those of the line in use. Where
  processes share keys (``card_keys.py``), a neighbour's are taken, at once when ours
  are missing or refused, else within a second.
* Reconnecting backs off up to 30 s and never gives up. There is no jitter: a gateway has
  a few connections per account, there is no herd to spread.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from channels.port import AnswerLost, ByteLink, Connect, NotSent
from channels.unionpay.card_keys import SIGN_ON_EVERY_S, KeyRing
from channels.unionpay.card_session import CardSession
from channels.unionpay.card_wire import (
    ECHO_REPLY,
    SIGN_ON_REPLY,
    CardAccount,
    LinkRefused,
    Reply,
    ZoneKeys,
    build_echo,
    build_sign_on,
    reply_key,
)
from domain.clock import Clock
from pos_protocol.codec import Message
from signing.pos import KeyCheckError

BACKOFF_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
SIGN_ON_TIMEOUT_S: Final = 10.0
SUSPECT_S: Final = 1.5
"""Silence with something in flight after which a connection is tested."""
SIGN_ON_PAUSE_S: Final = 10.0
"""Between two sign-ons that answers ask for, so that a bad one cannot cause a storm."""
TICK_S: Final = 0.5
LOOK_S: Final = 1.0
"""Between two looks for keys that a neighbour fetched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSettings:
    """Where a host is, and the times of the connections to it."""

    host: str
    port: int
    connections: int = 1
    echo_after_s: float = 30.0
    echo_timeout_s: float = 2.5


@dataclass(slots=True)
class LineCounts:
    """What happened on a line since the start."""

    connected: int = 0
    lost: int = 0
    refused: int = 0
    sign_ons: int = 0
    echoes: int = 0
    unreadable: int = 0
    requests: int = 0


class CardLine:
    """One host's connections and working keys."""

    def __init__(
        self,
        account: CardAccount,
        settings: LineSettings,
        connect: Connect,
        clock: Clock,
        ring: KeyRing,
        *,
        deliver: Callable[[Reply], None],
        lost: Callable[[CardSession], None],
        turned: Callable[[], None],
    ) -> None:
        """``turned`` is called whenever connections or keys came or went."""
        self._account = account
        self._settings = settings
        self._connect = connect
        self._clock = clock
        self._ring = ring
        self._deliver = deliver
        self._lost = lost
        self._turned = turned
        self._sessions: list[CardSession] = []
        self._next = 0
        self._is_in_use = False
        self._signing_on = False
        self._signed_on_s = 0.0
        self._looked_s = 0.0
        self._service_trace = 0
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self.keys: ZoneKeys | None = None
        self.previous: ZoneKeys | None = None
        """The keys before :attr:`keys`: for answers that were in flight."""
        self.settled = asyncio.Event()
        """Set while no sign-on is awaited: signed on, or not connected."""
        self.tried = asyncio.Event()
        """Set once the first attempt to connect has come to something."""
        self.detail = "not started"
        self.counts = LineCounts()

    def start(self) -> None:
        """Begin to connect."""
        loop = asyncio.get_running_loop()
        self._tasks = tuple(
            loop.create_task(self._keep()) for _ in range(self._settings.connections)
        )

    async def close(self) -> None:
        """Drop every connection and connect no more."""
        tasks, self._tasks = self._tasks, ()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    @property
    def connections(self) -> int:
        """Connections that are proved and open."""
        return len(self._sessions)

    def use(self) -> None:
        """Carry what is sent from now on: sign on, if it was standing by."""
        self._is_in_use = True
        if self.keys is None and self._sessions:
            self.settled.clear()
        self._wake(self._sessions)

    def stand_by(self) -> None:
        """Carry nothing new; the keys go, so that the next use begins with fresh ones."""
        self._is_in_use = False
        self._retire_keys()

    def pick(self) -> CardSession:
        """The connection for the next request; raises :class:`NotSent` without any."""
        sessions = self._sessions
        if not sessions:
            raise NotSent("the card host is not connected")
        self._next += 1
        if self._next >= len(sessions):
            self._next = 0
        self.counts.requests += 1
        return sessions[self._next]

    def sign_on_again(self) -> None:
        """An answer says that the host and we do not share keys."""
        if self._sessions:
            self._sessions[0].want_sign_on()

    def _wake(self, sessions: Sequence[CardSession]) -> None:
        for session in sessions:
            session.changed.set()

    async def _keep(self) -> None:
        """One connection, again and again."""
        failures = 0
        while True:
            proved = self.counts.connected
            try:
                await self._serve()
                self.detail = "the card host closed the link"
            except (NotSent, AnswerLost, LinkRefused, KeyCheckError) as fault:
                self.detail = str(fault) or type(fault).__name__
            except TimeoutError:
                self.detail = "the card host does not answer"
            except Exception as fault:
                # A defect of ours must not end the link for ever; it shows in the health.
                self.detail = f"link fault: {type(fault).__name__}"
            self.tried.set()
            self._turned()
            failures = 0 if self.counts.connected != proved else failures + 1
            await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])

    async def _serve(self) -> None:
        """One connection, from connecting to its end."""
        session = CardSession(self._clock, self._deliver, self._ended)
        try:
            session.attach(await self._dial(session))
            await self._prove(session)
            self._sessions.append(session)
            self.counts.connected += 1
            self.tried.set()
            self._turned()
            while not session.ended:
                await self._watch(session)
        finally:
            session.close()

    async def _dial(self, session: CardSession) -> ByteLink:
        try:
            return await self._connect(self._settings.host, self._settings.port, session)
        except NotSent:
            self.counts.refused += 1
            raise

    def _ended(self, session: CardSession) -> None:
        """At once, before anybody else runs: nothing more is sent on it."""
        self.counts.unreadable += session.unreadable
        self._lost(session)
        if session not in self._sessions:
            return
        self._sessions.remove(session)
        self.counts.lost += 1
        self.detail = "the card host's link was lost"
        if not self._sessions:
            self._retire_keys()
        self._turned()

    async def _prove(self, session: CardSession) -> None:
        """Before it carries anything: a sign-on where the line needs one, or an echo."""
        asked = self.counts.sign_ons
        if self._is_in_use and self.keys is None and not self._signing_on:
            await self._sign_on(session)
        if self.counts.sign_ons == asked:
            await self._echo(session)

    async def _watch(self, session: CardSession) -> None:
        """Wait for a tick or a change, then do what is due."""
        try:
            async with asyncio.timeout(TICK_S):
                await session.changed.wait()
        except TimeoutError:
            pass
        session.changed.clear()
        if session.ended:
            return
        now_s = self._clock.monotonic_s()
        if self._is_sign_on_due(session, now_s):
            await self._sign_on(session)
        elif (
            session.silent_s(now_s) >= SUSPECT_S
            or now_s - session.heard_s >= self._settings.echo_after_s
        ):
            await self._echo(session)
        elif self._ring.is_shared and self._is_in_use and now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            await self._look_for_keys()

    async def _look_for_keys(self) -> None:
        """A neighbour may have signed on since: its keys are the ones that the host takes."""
        keys = await self._ring.newer()
        if keys is not None and self._is_in_use and not self._signing_on:
            self._use_keys(keys)

    def _is_sign_on_due(self, session: CardSession, now_s: float) -> bool:
        if not self._is_in_use or self._signing_on:
            return False
        if self.keys is None:
            return True
        age_s = now_s - self._signed_on_s
        return age_s >= SIGN_ON_EVERY_S or (session.sign_on_wanted and age_s >= SIGN_ON_PAUSE_S)

    async def _sign_on(self, session: CardSession) -> None:
        """Fetch working keys; who comes meanwhile waits for them, briefly."""
        self._signing_on = True
        self.detail = "signing on"
        self._retire_keys()
        self.settled.clear()
        try:
            self._use_keys(await self._ring.obtain(partial(self._ask_for_keys, session)))
        finally:
            self._signing_on = False
            self.settled.set()
        session.sign_on_wanted = False
        self.detail = ""
        self._turned()

    async def _ask_for_keys(self, session: CardSession) -> Message:
        """A 0800 and its answer."""
        self._service_trace = self._service_trace % 999_999 + 1
        trace = f"{self._service_trace:06}"
        key = reply_key(SIGN_ON_REPLY, self._account.terminal_id, trace)
        reply = await session.ask(build_sign_on(self._account, trace), key, SIGN_ON_TIMEOUT_S)
        self.counts.sign_ons += 1
        return reply.message

    def _use_keys(self, keys: ZoneKeys) -> None:
        self._retire_keys()
        self.keys = keys
        self._signed_on_s = self._clock.monotonic_s() - self._ring.age_s
        for each in self._sessions:
            each.sign_on_wanted = False

    def _retire_keys(self) -> None:
        if self.keys is not None:
            self.previous, self.keys = self.keys, None

    async def _echo(self, session: CardSession) -> None:
        """Raises ``TimeoutError`` when nothing at all was heard meanwhile."""
        self.counts.echoes += 1
        asked_s = self._clock.monotonic_s()
        key = reply_key(ECHO_REPLY, self._account.terminal_id, "")
        try:
            await session.ask(build_echo(self._account), key, self._settings.echo_timeout_s)
        except TimeoutError:
            if session.heard_s < asked_s:
                raise
