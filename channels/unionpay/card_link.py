"""An account's way to its acquirer: one line in use, perhaps one that stands by.

Rules:

* Requests go out on the line in use, its connections taking turns. When its last
  connection is lost, a line that is connected takes over at once and signs on; it keeps
  the place until it breaks itself, so a host that comes and goes does not make us swing.
* Payments pass only while signed on. Not connected is told at once; a sign-on that is
  under way is waited for, briefly, so that a key change or a take-over fails nobody.
* Whether there is any line at all is told to who asked (:meth:`CardLink.when_turned`):
  without one nothing is worth beginning.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

from channels.port import ChannelHealth, Connect, NotSent
from channels.unionpay.card_in_flight import InFlight
from channels.unionpay.card_keys import KeyRing
from channels.unionpay.card_line import CardLine, LineSettings
from channels.unionpay.card_wire import CardAccount, Reply, ZoneKeys
from domain.clock import Clock

KEY_WAIT_S: Final = 2.0
START_WAIT_S: Final = 0.6
"""A host that is silent must not keep the doors shut: other channels could be paid through."""
HEAD_START_S: Final = 0.3
"""What the first line has before the others, so that it is in use where it can be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """The hosts, the first one first, and the bounds that all of them share."""

    lines: Sequence[LineSettings]
    timeout_s: float = 30.0
    max_in_flight: int = 1_000


class CardLink:
    """Signed-on connections to a card host, restored whenever they break."""

    def __init__(
        self,
        account: CardAccount,
        settings: LinkSettings,
        connect: Connect,
        clock: Clock,
        unmatched: Callable[[Reply], None],
        ring: KeyRing | None = None,
    ) -> None:
        """``unmatched`` is handed every answer that nobody waits for."""
        self.in_flight = InFlight(
            clock,
            timeout_s=settings.timeout_s,
            at_most=settings.max_in_flight,
            unmatched=unmatched,
        )
        keys = ring if ring is not None else KeyRing(account, clock)
        self._lines = tuple(
            CardLine(
                account,
                line,
                connect,
                clock,
                keys,
                deliver=self.in_flight.deliver,
                lost=self.in_flight.lost,
                turned=self._line_turned,
            )
            for line in settings.lines
        )
        self._line = self._lines[0]
        self._take_overs = 0
        self._closing = False
        self._started = False
        self._signs_on = True
        self._is_up: bool | None = None
        self._tell: Callable[[bool], None] = _nobody

    def when_turned(self, tell: Callable[[bool], None]) -> None:
        """Call ``tell`` whenever the last connection went or the first one came."""
        self._tell = tell

    async def start(self, *, signs_on: bool = True) -> None:
        """Begin to connect; waits for the first outcome, at most ``START_WAIT_S``.

        Without ``signs_on`` only what needs no keys can be sent.
        """
        self._closing = False
        self._signs_on = signs_on
        if signs_on:
            self._line.use()
        first, *others = self._lines
        first.start()
        try:
            async with asyncio.timeout(HEAD_START_S if others else START_WAIT_S):
                await first.tried.wait()
        except TimeoutError:
            first.detail = "the card host does not answer"
        for line in others:
            line.start()
        if others and not self.health().ready:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(START_WAIT_S - HEAD_START_S):
                    await others[0].tried.wait()
                    await self._line.settled.wait()
        self._started = True
        self._line_turned()

    async def close(self) -> None:
        """Let in no more requests, wait for those in flight, then disconnect."""
        self._closing = True
        await self.in_flight.drain()
        for line in self._lines:
            await line.close()

    def health(self) -> ChannelHealth:
        """Ready while signed on; the detail tells the connections of each line."""
        if self._closing:
            return ChannelHealth(ready=False, detail="closing")
        if self._line.keys is None:
            return ChannelHealth(ready=False, detail=self._line.detail)
        if len(self._lines) == 1:
            return ChannelHealth(ready=True)
        number = self._lines.index(self._line) + 1
        counts = ", ".join(str(line.connections) for line in self._lines)
        return ChannelHealth(ready=True, detail=f"line {number} in use; connections: {counts}")

    def statistics(self) -> Sequence[Mapping[str, int]]:
        """Each line's counts, its open connections and whether it is in use."""
        return [
            {
                "connections": line.connections,
                "in_use": int(line is self._line),
                **{one.name: getattr(line.counts, one.name) for one in fields(line.counts)},
            }
            for line in self._lines
        ]

    @property
    def take_overs(self) -> int:
        """How often another line took over."""
        return self._take_overs

    def keys_at_hand(self) -> ZoneKeys | None:
        """The current working keys, ``None`` where :meth:`keys` must be asked for them."""
        return None if self._closing else self._line.keys

    async def keys(self) -> ZoneKeys:
        """The current working keys; raises :class:`NotSent` when there are none."""
        keys = self.keys_at_hand()
        if keys is not None:
            return keys
        is_awaited = self._line.connections or not self._line.settled.is_set()
        if self._closing or not is_awaited or not self._started:
            raise NotSent(f"the card host cannot be used: {self.health().detail}")
        try:
            async with asyncio.timeout(KEY_WAIT_S):
                await self._line.settled.wait()
        except TimeoutError:
            pass
        if self._closing or self._line.keys is None:
            raise NotSent("the link to the card host is not signed on")
        return self._line.keys

    def accepted_keys(self, sent_under: ZoneKeys) -> tuple[ZoneKeys, ...]:
        """The keys that an answer's MAC may be under: those of its request, and newer ones."""
        current = self._line.keys
        return (sent_under,) if current is None or current is sent_under else (sent_under, current)

    def recent_keys(self) -> tuple[ZoneKeys, ...]:
        """The keys that the MAC of a late answer may be under."""
        held = (keys for line in self._lines for keys in (line.keys, line.previous))
        return tuple(keys for keys in held if keys is not None)

    def exchange(
        self, payload: bytes, key: str, number: str, original: str = ""
    ) -> Coroutine[None, None, Reply]:
        """Send and wait, once it is awaited; raises as :meth:`InFlight.exchange`."""
        return self.in_flight.exchange(self._line.pick(), payload, key, number, original)

    def sign_on_again(self) -> None:
        """An answer says that the host and we do not share keys."""
        self._line.sign_on_again()

    def _line_turned(self) -> None:
        """Connections came or went: choose the line, and tell when there is none or one again."""
        if self._closing:
            return
        if not self._line.connections:
            other = next((line for line in self._lines if line.connections), None)
            if other is not None:
                self._line.stand_by()
                self._line = other
                self._take_overs += 1
                if self._signs_on:
                    other.use()
        is_up = self._line.connections > 0
        if is_up is not self._is_up and (is_up or self._started):
            self._is_up = is_up
            self._tell(is_up)


def _nobody(is_up: bool) -> None:
    """Nobody asked."""
