"""A channel's orders that their payer completes, behind the guard of its account.

Rules: as ``guard.py``. A payer waits for these calls, so they never wait for the budget: an
order was admitted before it was claimed, as a payment is; who the payer is is asked only
while the channel answers. That an order stands, or not, tells the breaker as a payment does.
"""

from collections.abc import Awaitable
from typing import Final

from channels.payer_orders import OrderAnswer, OrderRequest, PayerAnswer, PayerCodes, PayerPages
from channels.port import Answer, Verdict
from gateway.guard import Guard

_AWAY: Final = PayerAnswer(
    verdict=Verdict.NOT_SENT, channel_message="held back: the channel does not answer"
)


async def _ordered(guard: Guard, call: Awaitable[OrderAnswer]) -> OrderAnswer:
    mark = guard.breaker.mark
    answer = await (call if guard.budget is None else guard.budget.urgently(call))
    guard.heard(_told(answer), mark)
    return answer


def _told(answer: OrderAnswer) -> Answer:
    """What the breaker hears of it."""
    return Answer(
        verdict=answer.verdict,
        channel_code=answer.channel_code,
        channel_message=answer.channel_message,
        answered=answer.answered,
        unwritable=answer.unwritable,
        unlisted=answer.unlisted,
    )


class GuardedCodes:
    """``PayerCodes`` behind a guard."""

    def __init__(self, codes: PayerCodes, guard: Guard) -> None:
        self._codes = codes
        self._guard = guard

    async def create_code(self, request: OrderRequest) -> OrderAnswer:
        """A code for one order."""
        return await _ordered(self._guard, self._codes.create_code(request))


class GuardedPages:
    """``PayerPages`` behind a guard."""

    def __init__(self, pages: PayerPages, guard: Guard) -> None:
        self._pages = pages
        self._guard = guard

    def authorise_url(self, return_url: str, state: str) -> str:
        """Where the wallet's browser is sent; nobody is called."""
        return self._pages.authorise_url(return_url, state)

    async def payer_of(self, code: str, mark: str = "") -> PayerAnswer:
        """Exchange that code, or ``NOT_SENT`` while the channel is away."""
        guard = self._guard
        if guard.is_down():
            return _AWAY
        call = self._pages.payer_of(code, mark)
        answer = await (call if guard.budget is None else guard.budget.urgently(call))
        if answer.unlisted:
            guard.unlisted(answer)
        return answer

    async def create_page_order(self, request: OrderRequest) -> OrderAnswer:
        """An order for this payer."""
        return await _ordered(self._guard, self._pages.create_page_order(request))
