"""What every ability of an Alipay account stands on: the account, a clock, numbers, a ``send``."""

from channels.alipay.account import AlipayAccount, Transport
from channels.port import ChannelServices


class AlipayCalls:
    """One application; holds no state of an order."""

    def __init__(self, account: AlipayAccount, services: ChannelServices) -> None:
        self._account = account
        self._send = services.send
        self._download = services.download
        self._now_ms = services.clock.now_ms
        self._new_number = services.ids.new

    def _moment(self) -> tuple[int, str]:
        """Now, and for REST a number that no other request has."""
        is_rest = self._account.transport is Transport.V3
        return self._now_ms(), self._new_number() if is_rest else ""
