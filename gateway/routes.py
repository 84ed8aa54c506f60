"""Which account serves a payment, and which are away.

Rules: a merchant's own account goes before the one for everybody; an account that
is disabled takes no new payment, and what it has open is still queried and undone.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from channels.inbound import ChannelNotices
from channels.own_line import OwnLine
from channels.payer_orders import PayerCodes, PayerPages
from channels.port import Channel, ChannelHealth
from domain.errors import Unprocessable
from gateway.guard import Guard


@dataclass(frozen=True, slots=True)
class Route:
    """One channel account, ready to be called: ``channel`` is behind ``guard``."""

    account_id: str
    channel_name: str
    merchant_no: str
    enabled: bool
    channel: Channel
    guard: Guard | None = None
    calls_per_s: float = 0.0
    """What the account may be called at most; 0 without a bound."""
    notices: ChannelNotices | None = None
    """The channel's own ability to tell us things, which needs no guard: nobody is called."""
    own_line: OwnLine | None = None
    """The same of connections that it keeps open."""
    codes: PayerCodes | None = None
    pages: PayerPages | None = None
    """The abilities of orders that their payer completes, behind the guard too."""


class Routes:
    """The accounts of this process, fixed at its start."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._by_account: Mapping[str, Route] = {route.account_id: route for route in routes}
        self._by_merchant: Mapping[tuple[str, str], Route] = {
            (route.merchant_no, route.channel_name): route for route in routes if route.enabled
        }

    def choose(self, merchant_no: str, channel_name: str) -> Route:
        """The account for a new payment.

        Raises:
            Unprocessable: ``channel_not_open``, this merchant has no account there.
        """
        route = self._by_merchant.get((merchant_no, channel_name)) or self._by_merchant.get(
            ("", channel_name)
        )
        if route is None:
            raise Unprocessable(
                "channel_not_open", f"no account at {channel_name} is open to this merchant"
            )
        return route

    def open_to(self, merchant_no: str) -> Sequence[Route]:
        """The accounts that new payments of a merchant may go to, one for each channel."""
        names = {name: None for owner, name in self._by_merchant if owner in (merchant_no, "")}
        return [self.choose(merchant_no, name) for name in names]

    def of_account(self, account_id: str) -> Route:
        """An account by its name, enabled or not: for what was begun there.

        Raises:
            Unprocessable: ``channel_not_open``, it is gone.
        """
        route = self._by_account.get(account_id)
        if route is None:
            raise Unprocessable("channel_not_open", f"the account {account_id} is gone")
        return route

    def channel(self, account_id: str) -> Channel | None:
        """The channel of an open payment's account, enabled or not."""
        route = self._by_account.get(account_id)
        return None if route is None else route.channel

    def find(self, channel_name: str, account_id: str) -> Route | None:
        """An account by both its names, enabled or not."""
        route = self._by_account.get(account_id)
        return route if route is not None and route.channel_name == channel_name else None

    def told(self, channel_name: str, account_id: str) -> Route | None:
        """The account that a notification names, enabled or not, if its channel sends any."""
        route = self.find(channel_name, account_id)
        return route if route is not None and route.notices is not None else None

    def own_lines(self) -> Sequence[tuple[Route, OwnLine]]:
        """The accounts that keep connections open, with what these tell by themselves."""
        routes = self._by_account.values()
        return [(route, line) for route in routes if (line := route.own_line) is not None]

    def is_down(self, account_id: str) -> bool:
        """Whether the account's channel is taken to be away."""
        guard = self._guard(account_id)
        return guard is not None and guard.is_down()

    def holds_back(self, account_id: str) -> bool:
        """Whether a question or an undo would not go through now: ask later."""
        guard = self._guard(account_id)
        return guard is not None and guard.holds_back()

    def at_once(self, account_id: str, most: int) -> int:
        """How much of an account recovery may work on at once, at the most ``most``.

        One piece while the channel is away (the probe), and no more than its budget
        serves in a second.
        """
        route = self._by_account.get(account_id)
        if route is not None and route.guard is not None and route.guard.is_down():
            return 1 if route.guard.probe_is_due() else 0
        per_s = 0.0 if route is None else route.calls_per_s
        return max(1, min(most, int(per_s))) if per_s else most

    def when_back(self, tell: Callable[[str], None]) -> None:
        """Call ``tell`` with the account whenever a channel that was away is back."""
        for route in self._by_account.values():
            if route.guard is not None:
                route.guard.back = tell

    def _guard(self, account_id: str) -> Guard | None:
        route = self._by_account.get(account_id)
        return None if route is None else route.guard

    def health(self) -> Mapping[str, ChannelHealth]:
        """Each account's readiness, for ``/readyz``."""
        return {
            account_id: route.channel.health() for account_id, route in self._by_account.items()
        }

    async def start(self) -> None:
        """Open every account, all at once: one that is down does not hold up the others."""
        await asyncio.gather(*(route.channel.start() for route in self._by_account.values()))

    async def close(self) -> None:
        """Close every account."""
        for route in self._by_account.values():
            await route.channel.close()
