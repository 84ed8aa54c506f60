"""Attempts wait for their payer: asked about by the clock, given up when their time is over.

Rules:

* An attempt has the whole time of its checkout, not a till's; its channel mostly tells by
  itself. In between recovery asks, the seldomer the longer it lasts, and holds nothing while
  nobody is asked: from 5 s on, as the vendors advise (reference ``channels.md`` A4), and
  sooner only where no channel could tell us, because we have no address to be told at.
* "Not found" says nothing of an order that nobody has scanned yet (Alipay makes it then).
* When the time is over it is asked about once more, and what was paid stands; then the undo
  begins, persisted first, as with every payment.
"""

from typing import ClassVar, Final

from channels.port import Channel
from domain.checkout import is_attempt
from domain.decline import Decline, DeclineReason
from domain.payment import UNDECIDED, Event, Order, Payment, Status
from gateway.live import Live, is_settled
from gateway.settlement import Settlement, pause_for_age

ASK_AFTER_S: Final = (5.0, 15.0, 30.0)
_NOT_IN_TIME: Final = Decline(DeclineReason.NOT_PAID_IN_TIME)


class PayerSettlement(Settlement):
    """Settlement that knows attempts; every other payment takes its own path."""

    ask_after_s: ClassVar[tuple[float, ...]] = ASK_AFTER_S

    async def _ask(self, live: Live, channel: Channel, *, at_once: bool) -> bool:
        order = live.payment.order
        if not is_attempt(order):
            return await super()._ask(live, channel, at_once=at_once)
        if self._left_s(order) > 0 and not at_once:
            return False  # the commit of where it stands has said when it is due
        if self._left_s(order) > 0 and self._held_back(live):
            await self._come_back(live)
            return False
        if not self._held_back(live):
            is_hopeless = await self.ask_once(live, channel)
            if is_settled(live.payment):
                return True
            if self._left_s(order) > 0 and not is_hopeless:
                await self._come_back(live)
                return False
        await self.begin_undo(live, channel, Event.GIVE_UP, _NOT_IN_TIME)
        return True

    def due_at_ms(self, after: Payment, channel: Channel | None) -> int:
        """An attempt that waits for its payer is nobody's until it is to be asked about."""
        order, status = after.order, after.standing.status
        if not is_attempt(order) or status is Status.REVERSING:
            return super().due_at_ms(after, channel)
        return self._clock.now_ms() + self._pause_ms(order)

    async def ask_once(self, live: Live, channel: Channel) -> bool:
        """Ask, and book what is said; whether the channel says that it can never be paid."""
        answer = await self.timed_query(channel, live.payment)
        if answer.not_found:
            return False
        await self.apply_answer(live, answer, channel)
        return answer.hopeless

    async def give_up(self, live: Live, channel: Channel, why: Decline) -> None:
        """End an attempt before its time, unless it is paid by now; ends closed or reversed.

        What is not ended here (the channel is away) is given back to recovery.
        """
        await self.ask_once(live, channel)
        if live.payment.standing.status in UNDECIDED:
            await self.begin_undo(live, channel, Event.GIVE_UP, why)
        await self.settle(live, at_once=False)

    def _left_s(self, order: Order) -> float:
        return (order.till_deadline_ms - self._clock.now_ms()) / 1000

    async def _come_back(self, live: Live) -> None:
        """Leave it to whoever comes first, soon while it is young, never past its time."""
        await self._give_back(live, self._pause_ms(live.payment.order) / 1000)

    def _pause_ms(self, order: Order) -> int:
        waited_s = (self._clock.now_ms() - order.created_at_ms) // 1000
        left_s = max(0.0, self._left_s(order))
        return int(min(pause_for_age(self.ask_after_s, waited_s), left_s) * 1000)


class UntoldPayerSettlement(PayerSettlement):
    """The same where no channel tells by itself: it has no address here to tell it at."""

    ask_after_s: ClassVar[tuple[float, ...]] = (2.0, *ASK_AFTER_S)
