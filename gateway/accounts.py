"""Channel accounts from the store, opened and built into channels.

Rules: an account's secrets are opened here and live in memory only; an account that
cannot be built stops the start and is named; a plugin that is missing is too. A disabled
one is built as well, since what it has open is still asked about and given back; where that
fails it stops nothing, it is warned of and left out. Every account gets a guard of its own,
and a budget where it has ``calls_per_s``.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from channels.inbound import notices_of
from channels.own_line import own_line_of
from channels.payer_orders import codes_of, pages_of
from channels.port import Channel, ChannelAccount, ChannelPlugin, ChannelServices
from domain.errors import ConfigurationError
from gateway.budget import BudgetedSend
from gateway.guard import Protection, guarded
from gateway.guarded_orders import GuardedCodes, GuardedPages
from gateway.routes import Route, Routes
from gateway.store.port import Account
from signing.keywrap import Sealer, SealError


def account_context(account_id: str) -> bytes:
    """What binds sealed secrets to their account."""
    return f"account:{account_id}".encode()


def seal_secrets(sealer: Sealer, account_id: str, secrets: Mapping[str, bytes]) -> bytes:
    """An account's secrets as they rest."""
    plain = orjson.dumps({name: value.hex() for name, value in secrets.items()})
    return sealer.seal(plain, account_context(account_id))


def open_account(sealer: Sealer, account: Account) -> ChannelAccount:
    """An account with its secrets in clear, for its adapter only.

    Raises:
        ConfigurationError: sealed under another master key.
    """
    try:
        plain = sealer.open(account.secrets_sealed, account_context(account.account_id))
    except SealError:
        raise ConfigurationError(
            f"account {account.account_id}: sealed under another master key; "
            "check keys.master_key, or disable the account and add it under another name"
        ) from None
    secrets = {name: bytes.fromhex(value) for name, value in orjson.loads(plain).items()}
    return ChannelAccount(
        account_id=account.account_id,
        channel=account.channel,
        settings=orjson.loads(account.settings_json),
        secrets=secrets,
    )


def build_routes(
    accounts: Sequence[Account],
    plugins: Mapping[str, ChannelPlugin],
    services: ChannelServices,
    sealer: Sealer,
    till_wait_s: float,
    protection: Protection,
) -> Routes:
    """Every account as a route, in the store's order.

    Raises:
        ConfigurationError: of an account that is not disabled: no plugin of that name, another
            master key, or settings it cannot use, a call that may outlast the till's deadline
            included.
    """
    routes = []
    for account in accounts:
        try:
            built = build_channel(account, plugins, services, sealer, till_wait_s)
        except ConfigurationError as error:
            if not account.disabled:
                raise
            protection.log.warning(
                "disabled account left out",
                account=account.account_id,
                why=error.message,
                next="if it has open payments, they wait: mend what is named and start again",
            )
            continue
        routes.append(_route(account, built, protection))
    return Routes(routes)


@dataclass(frozen=True, slots=True)
class BuiltChannel:
    """An account's channel, ready to start, with its budget."""

    channel: Channel
    calls_per_s: float
    budget: BudgetedSend | None


def build_channel(
    account: Account,
    plugins: Mapping[str, ChannelPlugin],
    services: ChannelServices,
    sealer: Sealer,
    till_wait_s: float,
) -> BuiltChannel:
    """One account's channel; every check of an account is made here.

    Raises:
        ConfigurationError: as :func:`build_routes`.
    """
    plugin = plugins.get(account.channel)
    if plugin is None:
        known = ", ".join(sorted(plugins))
        raise ConfigurationError(
            f"account {account.account_id}: no channel plugin {account.channel!r} is installed;"
            f" there are: {known}"
        )
    opened = open_account(sealer, account)
    calls_per_s = _calls_per_s(opened)
    budget = None
    if calls_per_s:
        budget = BudgetedSend(services.send, calls_per_s, services.clock)
    lent = services if budget is None else dataclasses.replace(services, send=budget)
    channel = plugin.build(opened, lent)
    if channel.timeout_s >= till_wait_s:
        raise ConfigurationError(
            f"account {account.account_id}: timeout_s is too long: one call may take"
            f" {channel.timeout_s:g} s, and payments.till_wait_s is {till_wait_s:g}:"
            " a till would wait past its deadline;"
            " lower the account's timeout_s or raise till_wait_s"
        )
    return BuiltChannel(channel, calls_per_s, budget)


def _route(account: Account, built: BuiltChannel, protection: Protection) -> Route:
    channel = built.channel
    guard = protection.guard(account.account_id, built.budget)
    codes, pages = codes_of(channel), pages_of(channel)
    return Route(
        account_id=account.account_id,
        channel_name=account.channel,
        merchant_no=account.merchant_no,
        enabled=not account.disabled,
        channel=guarded(channel, guard),
        guard=guard,
        calls_per_s=built.calls_per_s,
        notices=notices_of(channel),
        own_line=own_line_of(channel),
        codes=None if codes is None else GuardedCodes(codes, guard),
        pages=None if pages is None else GuardedPages(pages, guard),
    )


def _calls_per_s(account: ChannelAccount) -> float:
    """The account's setting of that name, 0 where it has none.

    Raises:
        ConfigurationError: not a number from 0 to 100,000.
    """
    text = account.settings.get("calls_per_s", "0")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (value == 0 or 0.1 <= value <= 100_000):
        raise ConfigurationError(
            f"account {account.account_id}: calls_per_s must be 0 or from 0.1 to 100000"
        )
    return value
