"""Payments that this process is working on right now.

Rules: one :class:`Live` per idempotency key, so that a repeat that comes while the
first is in flight waits for it instead of asking the store; bounded by the
configuration; it decides nothing: the store does.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from channels.port import Answer, PayRequest
from domain.errors import Unavailable
from domain.payment import RESTING, Payment, Status
from gateway.store.port import TerminalReply

ReplyFor = Callable[[Payment, Answer | None], TerminalReply | None]
"""Encodes and seals what a terminal is told, before the commit; ``None``: nothing yet."""

_TELLABLE: Final = RESTING | {Status.REVERSING}


def is_tellable(payment: Payment) -> bool:
    """Whether the till can be told: final, held, or undo begun.

    A parked payment tells it nothing: "not paid" could be wrong, and silence makes a
    terminal reverse, which undoes it.
    """
    return payment.standing.status in _TELLABLE


def is_over(payment: Payment) -> bool:
    """Whether nothing more happens by itself: final, held, or parked for a human."""
    return payment.standing.status in RESTING or bool(payment.standing.parked_reason)


def is_settled(payment: Payment) -> bool:
    """Whether nobody needs to ask the channel what became of it: tellable, or over."""
    return is_tellable(payment) or is_over(payment)


class Live:
    """One payment in flight here, and who waits for it."""

    __slots__ = (
        "_claimed",
        "_claiming",
        "_ended",
        "_final",
        "_told",
        "answer",
        "fault",
        "fence",
        "leased_until_ms",
        "payment",
        "reply",
        "reply_for",
        "request",
        "sent_ms",
    )

    def __init__(
        self,
        payment: Payment,
        request: PayRequest,
        reply_for: ReplyFor | None = None,
        fence: int = 0,
        leased_until_ms: int = 0,
    ) -> None:
        """``fence`` of the lease under which it is worked on; 0 for one begun here.

        ``leased_until_ms`` is when it ends as far as is known; from then on another may work
        on it.
        """
        self.payment = payment
        self.fence = fence
        self.leased_until_ms = leased_until_ms
        self.request = request
        self.sent_ms = payment.order.created_at_ms
        """When the channel was called, as far as is known here: an undo is counted from it."""
        self.reply_for = reply_for
        self.answer: Answer | None = None
        self.fault: Unavailable | None = None
        self.reply: TerminalReply | None = None
        self._claimed: bool | None = None
        self._ended = False
        self._claiming: list[asyncio.Future[None]] = []
        self._told: list[asyncio.Future[None]] = []
        self._final: list[asyncio.Future[None]] = []

    def claim_ended(self, *, claimed: bool) -> None:
        """The store has answered the claim; until then this is nobody's payment yet."""
        self._claimed = claimed
        _wake(self._claiming)

    async def is_claimed(self) -> bool:
        """Wait for the store's answer to the claim: whether this payment really exists."""
        if self._claimed is None:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._claiming.append(future)
            await future
        return bool(self._claimed)

    def moved(self, payment: Payment) -> None:
        """Take over a newer standing and wake whoever it answers."""
        if payment.standing.version < self.payment.standing.version:
            return
        self.payment = payment
        if self._told and is_settled(payment):
            _wake(self._told)
        if self._final and is_over(payment):
            _wake(self._final)

    def ended(self) -> None:
        """Nobody works on it here any more: wake everybody with what there is."""
        self._ended = True
        _wake(self._told)
        _wake(self._final)

    async def told(self, timeout_s: float) -> None:
        """Wait until the till can be told, at most ``timeout_s``."""
        if not (self._ended or is_settled(self.payment)):
            await _wait(self._told, timeout_s)

    async def final(self, timeout_s: float) -> None:
        """Wait until the payment is final, at most ``timeout_s``."""
        if not (self._ended or is_over(self.payment)):
            await _wait(self._final, timeout_s)


async def _wait(waiters: list[asyncio.Future[None]], timeout_s: float) -> None:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    waiters.append(future)
    timer = loop.call_later(timeout_s, _finish, future)
    try:
        await future
    finally:
        timer.cancel()
        if future in waiters:
            waiters.remove(future)


def _wake(waiters: list[asyncio.Future[None]]) -> None:
    for future in waiters:
        _finish(future)
    waiters.clear()


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
