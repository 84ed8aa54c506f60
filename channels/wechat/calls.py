"""What every ability of a WeChat Pay channel shares: the account, the clock, and how to send.

Rules: no state of an order; a platform certificate that we do not hold is fetched once and the
answer read again, since it may only be a new one. Fetching is never done twice at once and not
more often than :data:`_FETCH_AGAIN_S`.
"""

import asyncio
import contextlib
from typing import Final

from channels.one_call import what
from channels.port import ChannelServices, HttpRequest, HttpResponse
from channels.wechat.account import PlatformKeys, WechatAccount
from channels.wechat.certificates import build_certificates, read_certificates
from channels.wechat.v3 import Distrusted, Stamped
from signing.wechat import normal_serial

_FETCH_AGAIN_S: Final = 60.0
_OLD_S: Final = 12 * 3600.0


class Calls:
    """Builds, sends and hears for one account."""

    def __init__(
        self,
        account: WechatAccount,
        keys: PlatformKeys,
        refresh_s: float,
        services: ChannelServices,
    ) -> None:
        """``refresh_s``: how old fetched certificates may be; 0 fetches none."""
        self.account = account
        self.keys = keys
        self.services = services
        self._refresh_s = refresh_s
        self._fetching = asyncio.Lock()
        self._tried_s: float | None = None
        self._fetched_s: float | None = None
        self._fault = ""
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def fetches(self) -> bool:
        """Whether certificates are fetched at all."""
        return self._refresh_s > 0

    @property
    def trouble(self) -> str:
        """Why the certificates are not as fresh as they shall be; ``""`` when they are."""
        said = "no platform certificates could be fetched"
        if self._are_old():
            said += " for twelve hours"
        elif not self._fault:
            return ""
        return f"{said}: {self._fault}" if self._fault else said

    def _are_old(self) -> bool:
        """Whether certificates were fetched once, and not again within twelve hours."""
        if self._fetched_s is None:
            return False
        return self.services.clock.monotonic_s() - self._fetched_s > _OLD_S

    def stamped(self) -> Stamped:
        """The moment of a request, with a nonce of its own."""
        return Stamped(self.services.clock.now_ms(), self.services.ids.new())

    def now_ms(self) -> int:
        """UTC now."""
        return self.services.clock.now_ms()

    async def send(self, request: HttpRequest) -> HttpResponse:
        """As ``channels.port.Send``."""
        return await self.services.send(request)

    async def send_v3(self, request: HttpRequest) -> HttpResponse:
        """Send, and fetch certificates where the answer is signed under an unknown one."""
        if self.fetches and not self.keys.known:
            await self._fetch()  # else not even the first answer could be believed
        response = await self.services.send(request)
        if not self.fetches:
            return response
        serial = normal_serial(response.headers.get("wechatpay-serial", ""))
        if serial and serial not in self.keys.known:
            await self._fetch()
        return response

    def start(self) -> None:
        """Keep the certificates fresh from now on."""
        if self.fetches and self._task is None:
            self._task = asyncio.create_task(self._keep_fresh())

    async def close(self) -> None:
        """Stop that."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def want_certificates(self) -> None:
        """A notification came under an unknown serial: fetch soon."""
        self._wanted.set()

    async def _keep_fresh(self) -> None:
        while True:
            await self._fetch()
            fresh = self._fetched_s is not None and self._fetched_s == self._tried_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._refresh_s if fresh else _FETCH_AGAIN_S):
                    await self._wanted.wait()
            self._wanted.clear()
            # a flood of forged serials fetches no faster
            await asyncio.sleep(self._too_soon_s())

    def _too_soon_s(self) -> float:
        if self._tried_s is None:
            return 0.0
        return max(0.0, self._tried_s + _FETCH_AGAIN_S - self.services.clock.monotonic_s())

    async def _fetch(self) -> None:
        """Fetch the certificates, unless it was tried a moment ago; failing changes nothing."""
        async with self._fetching:
            if self._too_soon_s() > 0:
                return
            now_s = self._tried_s = self.services.clock.monotonic_s()
            stamped = self.stamped()
            try:
                response = await self.services.send(
                    build_certificates(self.account, self.keys, stamped)
                )
                found = read_certificates(response, self.account, self.keys, self.now_ms())
            except Exception as fault:
                # whatever it is, what is known stays, it is tried again, and the health tells it
                self._fault = str(fault) if isinstance(fault, Distrusted) else what(fault)
                return
            self.keys.replace_fetched(found)
            self._fetched_s, self._fault = now_s, ""
