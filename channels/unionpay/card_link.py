"""The life of a card link: connect, sign on, keep alive, reconnect.

Rules:

* Payments pass only while signed on. Not connected is told at once; a sign-on that
  is under way is waited for, briefly, so that a key change fails nobody.
* Silence is tested by an echo, and an echo without answer drops the link, so a dead
  peer is found within ``echo_after_s`` + 10 s.
* Reconnecting backs off up to 30 s and never gives up. There is no jitter: one
  gateway has one link per account, there is no herd to spread.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from channels.port import AnswerLost, ChannelHealth, Connect, NotSent
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
    read_sign_on,
    reply_key,
)
from domain.clock import Clock
from signing.pos import KeyCheckError

BACKOFF_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
SERVICE_TIMEOUT_S: Final = 10.0
"""For a sign-on or an echo."""
KEY_WAIT_S: Final = 2.0
START_WAIT_S: Final = 2.0
SIGN_ON_EVERY_S: Final = 8 * 3600.0
"""Well inside the 24 hours that working keys are valid for."""
SIGN_ON_PAUSE_S: Final = 10.0
"""Between two sign-ons that answers ask for, so that a bad one cannot cause a storm."""
TICK_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """Where the host is, and the link's bounds and times."""

    host: str
    port: int
    timeout_s: float = 30.0
    echo_after_s: float = 30.0
    max_in_flight: int = 1_000


class CardLink:
    """A signed-on connection to a card host, restored whenever it breaks."""

    def __init__(
        self, account: CardAccount, settings: LinkSettings, connect: Connect, clock: Clock
    ) -> None:
        self._account = account
        self._settings = settings
        self._connect = connect
        self._clock = clock
        self._session: CardSession | None = None
        self._keys: ZoneKeys | None = None
        self._settled = asyncio.Event()
        """Set while no sign-on is awaited: signed on, or not connected."""
        self._signed_on_s = 0.0
        self._service_trace = 0
        self._detail = "not started"
        self._dropped = 0
        self._closing = False
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to connect; waits for the first outcome, at most two seconds."""
        self._closing = False
        self._running = asyncio.get_running_loop().create_task(self._run())
        try:
            async with asyncio.timeout(START_WAIT_S):
                await self._settled.wait()
        except TimeoutError:
            self._detail = "the card host does not answer"

    async def close(self) -> None:
        """Let in no more requests, wait for those in flight, then disconnect."""
        self._closing = True
        if self._session is not None:
            await self._session.drain()
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.wait({running})

    def health(self) -> ChannelHealth:
        """Ready while signed on."""
        if self._closing:
            return ChannelHealth(ready=False, detail="closing")
        if self._keys is None:
            return ChannelHealth(ready=False, detail=self._detail)
        return ChannelHealth(ready=True)

    @property
    def dropped(self) -> int:
        """Answers that came too late or could not be read, since the start."""
        return self._dropped + (self._session.dropped if self._session else 0)

    async def keys(self) -> ZoneKeys:
        """The current working keys; raises :class:`NotSent` when there are none."""
        keys = self._keys
        if keys is not None and not self._closing:
            return keys
        if self._session is None or self._closing:
            raise NotSent(f"the card host cannot be used: {self.health().detail}")
        try:
            async with asyncio.timeout(KEY_WAIT_S):
                await self._settled.wait()
        except TimeoutError:
            pass
        if self._keys is None:
            raise NotSent("the link to the card host is not signed on")
        return self._keys

    def accepted_keys(self, sent_under: ZoneKeys) -> tuple[ZoneKeys, ...]:
        """The keys that an answer's MAC may be under: those of its request, and newer ones."""
        current = self._keys
        return (sent_under,) if current is None or current is sent_under else (sent_under, current)

    async def exchange(self, payload: bytes, key: str) -> Reply:
        """Send and wait; raises as :meth:`CardSession.exchange`."""
        session = self._session
        if session is None:
            raise NotSent("the card host is not connected")
        return await session.exchange(payload, key)

    def sign_on_again(self) -> None:
        """An answer says that the host and we do not share keys."""
        if self._session is not None:
            self._session.want_sign_on()

    async def _run(self) -> None:
        failures = 0
        while not self._closing:
            signed_on_s = self._signed_on_s
            try:
                await self._serve()
                self._detail = "the card host closed the link"
            except (NotSent, AnswerLost, LinkRefused, KeyCheckError, TimeoutError) as fault:
                self._detail = str(fault) or type(fault).__name__
            except Exception as fault:
                # A defect of ours must not end the link for ever; it shows in the health.
                self._detail = f"link fault: {type(fault).__name__}"
            failures = 0 if self._signed_on_s != signed_on_s else failures + 1
            await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])

    async def _serve(self) -> None:
        """One connection, from connecting to its end."""
        session = CardSession(
            self._clock,
            timeout_s=self._settings.timeout_s,
            max_in_flight=self._settings.max_in_flight,
        )
        try:
            session.attach(await self._connect(self._settings.host, self._settings.port, session))
            self._settled.clear()
            self._session = session
            await self._sign_on(session)
            while not session.ended:
                await self._watch(session)
        finally:
            self._keys = None
            self._session = None
            self._dropped += session.dropped
            session.close()
            self._settled.set()

    async def _watch(self, session: CardSession) -> None:
        """Wait for a tick or a change, then do what is due."""
        try:
            async with asyncio.timeout(TICK_S):
                await session.changed.wait()
        except TimeoutError:
            pass
        session.changed.clear()
        now_s = self._clock.monotonic_s()
        if session.ended:
            return
        age_s = now_s - self._signed_on_s
        if age_s >= SIGN_ON_EVERY_S or (session.sign_on_wanted and age_s >= SIGN_ON_PAUSE_S):
            self._keys = None
            self._settled.clear()
            await self._sign_on(session)
        elif now_s - session.heard_s >= self._settings.echo_after_s:
            await self._ask(session, build_echo(self._account), ECHO_REPLY, "")

    async def _sign_on(self, session: CardSession) -> None:
        self._detail = "signing on"
        self._service_trace = self._service_trace % 999_999 + 1
        trace = f"{self._service_trace:06}"
        payload = build_sign_on(self._account, trace)
        reply = await self._ask(session, payload, SIGN_ON_REPLY, trace)
        session.sign_on_wanted = False
        self._keys = read_sign_on(reply.message, self._account)
        self._signed_on_s = self._clock.monotonic_s()
        self._settled.set()

    async def _ask(self, session: CardSession, payload: bytes, mti: str, trace: str) -> Reply:
        key = reply_key(mti, self._account.terminal_id, trace)
        async with asyncio.timeout(SERVICE_TIMEOUT_S):
            return await session.exchange(payload, key)
