"""Which account serves a payment.

Rules: a merchant's own account goes before the one for everybody; an account that
is disabled takes no new payment, and what it has open is still queried and undone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from channels.port import Channel, ChannelHealth
from domain.errors import Unprocessable


@dataclass(frozen=True, slots=True)
class Route:
    """One channel account, ready to be called."""

    account_id: str
    channel_name: str
    merchant_no: str
    enabled: bool
    channel: Channel


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

    def channel(self, account_id: str) -> Channel | None:
        """The channel of an open payment's account, enabled or not."""
        route = self._by_account.get(account_id)
        return None if route is None else route.channel

    def health(self) -> Mapping[str, ChannelHealth]:
        """Each account's readiness, for ``/readyz``."""
        return {
            account_id: route.channel.health() for account_id, route in self._by_account.items()
        }

    async def start(self) -> None:
        """Open every account; one that is down does not hold up the others."""
        for route in self._by_account.values():
            await route.channel.start()

    async def close(self) -> None:
        """Close every account."""
        for route in self._by_account.values():
            await route.channel.close()
