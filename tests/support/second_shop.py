"""The other merchant of a running gateway, at an account and a simulated channel of his own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.accounts import seal_secrets
from gateway.store.port import Account
from sandbox.scenarios import Scenario
from tests.sandbox.conftest import RunningSandbox
from tests.support.gateway import OTHER_MERCHANT_NO, Place, Running


@dataclass(frozen=True)
class Shop:
    """A gateway and the ``channel`` of its other merchant; ``codes``: a payer's, by scenario."""

    gateway: Running
    sandbox: RunningSandbox
    channel: str
    codes: Mapping[Scenario, str]

    async def pay(self, scenario: Scenario) -> Any:
        """A payment of the other merchant's, as it ends."""
        made = await self.gateway.other.pay(self.codes[scenario])
        assert made.status in (200, 201), made.raw
        return await self.gateway.other.final(made.json["id"])

    async def faults(self, *rules: object) -> None:
        """What the channel does wrong from now on."""
        body = {"channel": self.channel, "rules": list(rules)}
        assert (await self.sandbox.control("POST", "/faults", body))[0] == 200

    async def charge(self, payment: Any) -> tuple[int, int]:
        """Charged and returned fen of a payment."""
        for one in await self.sandbox.charges():
            if one["order_no"] == payment["channel_order_no"]:
                return one["charged_fen"], one["returned_fen"]
        return 0, 0


def account_of(channel: str) -> str:
    """The id of the account that :func:`open_account` opens."""
    return f"{channel}-2"


async def open_account(
    place: Place, channel: str, settings: Mapping[str, str], secrets: Mapping[str, bytes]
) -> None:
    """An account of the other merchant's alone."""
    async with place.session() as it:
        account = Account(
            account_id=account_of(channel),
            channel=channel,
            merchant_no=OTHER_MERCHANT_NO,
            settings_json=orjson.dumps(settings).decode(),
            secrets_sealed=seal_secrets(it.sealer, account_of(channel), dict(secrets)),
            created_at_ms=it.clock.now_ms(),
        )
        await it.store.add_account(account)
