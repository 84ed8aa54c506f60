"""How a notice leaves for a merchant: the guarded client as the configuration bounds it."""

from channels.guarded_http import GuardedClient
from gateway.config import LoadedConfig, NotificationsSection
from gateway.notifications import Delivery
from gateway.outbound import OutboundPolicy, read_policy


def outbound_policy(section: NotificationsSection) -> OutboundPolicy:
    """Where the configuration lets a URL lead."""
    return read_policy(allow_http=section.allow_http, ports=section.ports, allow=section.allow)


class MerchantNetwork:
    """The network towards merchants; :meth:`deliver` is what the worker is lent."""

    def __init__(self, loaded: LoadedConfig) -> None:
        """Make the client; nothing is opened yet.

        Raises:
            ConfigurationError: the CA file cannot be used.
        """
        section = loaded.config.notifications
        self._client = GuardedClient(
            vet=outbound_policy(section).vet,
            timeout_s=section.timeout_s,
            connect_timeout_s=section.connect_timeout_s,
            answer_bytes=section.max_answer_bytes,
            max_lookups=section.max_at_once,
            ca_file=str(loaded.path(section.ca_file)) if section.ca_file else None,
        )

    async def start(self) -> None:
        """Open the pool."""
        await self._client.start()

    async def close(self) -> None:
        """Close it."""
        await self._client.close()

    async def deliver(self, delivery: Delivery) -> int:
        """Send once.

        Raises:
            NotSent, AnswerLost: see :meth:`GuardedClient.post`.
            Refused: the address is not one that may be called.
        """
        return await self._client.post(delivery.url, delivery.headers, delivery.body)
