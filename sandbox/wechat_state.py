"""Everything the simulated WeChat Pay knows; lives as long as the sandbox."""

from collections.abc import Callable
from hashlib import sha256
from typing import Final
from uuid import UUID

from sandbox.config import WeChatSandboxConfig
from sandbox.wechat_books import WeChatBooks
from sandbox.wechat_keys import WeChatKeys
from sandbox.wechat_wallet import OpenOrders

MAX_OAUTH_CODES: Final = 10_000
OAUTH_CODE_LIFE_MS: Final = 300_000


class WeChatState:
    """Configuration, keys, books and the codes that a wallet was sent back with."""

    def __init__(
        self,
        config: WeChatSandboxConfig,
        *,
        user_paying_after_ms: int,
        max_orders: int,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self.config = config
        self.keys = WeChatKeys(config, random_bytes)
        self.user_paying_after_ms = user_paying_after_ms
        self.books = WeChatBooks(max_orders)
        self.orders = OpenOrders(self.books, user_paying_after_ms)
        self._random_bytes = random_bytes
        self._oauth_codes: dict[str, tuple[str, int]] = {}

    def knows(self, sub_mchid: str) -> bool:
        """Whether the merchant is this one itself or one of its own."""
        return not sub_mchid or sub_mchid in self.config.sub_mchids

    def notice_id(self, about: str) -> str:
        """The id of the notice about one event: the same however often it is sent."""
        return str(UUID(bytes=sha256(f"{self.config.mchid} {about}".encode()).digest()[:16]))

    def new_oauth_code(self, payer: str, now_ms: int) -> str:
        """A code that tells who ``payer`` is, once; the oldest is forgotten beyond the bound."""
        if len(self._oauth_codes) >= MAX_OAUTH_CODES:
            self._oauth_codes.pop(next(iter(self._oauth_codes)))
        code = self._random_bytes(16).hex()
        self._oauth_codes[code] = payer, now_ms
        return code

    def take_oauth_code(self, code: str, now_ms: int) -> str | None:
        """The payer of a code that is fresh and was not used."""
        payer, made_at_ms = self._oauth_codes.pop(code, ("", 0))
        return payer if payer and now_ms - made_at_ms <= OAUTH_CODE_LIFE_MS else None
