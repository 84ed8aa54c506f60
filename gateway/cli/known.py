"""What a command names has to be there: a misspelt name is no empty list."""

from channels.port import ChannelPlugin
from channels.registry import plugins
from domain.errors import ConfigurationError, NotFound
from gateway.cli.session import Session
from gateway.store.port import Account, Merchant


async def merchant_of(session: Session, merchant_no: str) -> Merchant:
    """The merchant; :class:`NotFound` if there is none."""
    for one in await session.store.merchants():
        if one.merchant_no == merchant_no:
            return one
    raise NotFound("merchant_not_found", f"no merchant {merchant_no}")


async def require_merchant(session: Session, merchant_no: str) -> None:
    """For a filter that may be empty: :class:`NotFound` for one that names nobody."""
    if merchant_no:
        await merchant_of(session, merchant_no)


async def require_terminal(session: Session, terminal_id: str) -> None:
    """:class:`NotFound` for a number that no merchant's terminal has."""
    if not any(one.terminal_id == terminal_id for one in await session.store.terminals()):
        raise NotFound("terminal_not_found", f"no terminal {terminal_id}")


async def account_of(session: Session, account_id: str) -> Account:
    """The account at a channel; :class:`NotFound` if there is none."""
    for one in await session.store.accounts():
        if one.account_id == account_id:
            return one
    raise NotFound("account_not_found", f"no account {account_id}")


def plugin_of(channel: str) -> ChannelPlugin:
    """The channel's plugin; :class:`ConfigurationError` if it is not installed."""
    known = plugins()
    if channel not in known:
        names = ", ".join(sorted(known))
        raise ConfigurationError(f"no channel {channel!r}; installed: {names}")
    return known[channel]
