"""What a channel may be able to do with cards beyond a sale: small protocols of their own.

Rules: a channel has an ability by having its methods (as ``channels.port.Refunds``);
ask :func:`balance_of` and :func:`takes_action`, never the adapter's type. A channel
without :class:`CardActions` makes sales only.
"""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from channels.card import CardAction, CardData
from channels.port import Verdict
from domain.decline import DeclineReason


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceAnswer:
    """A channel's answer to a balance inquiry.

    ``amounts`` holds (account type, amount type, ISO 4217 numeric currency, fen) each,
    below zero for a debit balance, and only for ``SUCCEEDED``; it is never shown by
    ``repr``. ``reason`` is set for ``DECLINED``. Nothing moves, so there is nothing to
    undo after ``UNKNOWN``.
    """

    verdict: Verdict
    amounts: tuple[tuple[str, str, str, int], ...] = field(default=(), repr=False)
    reason: DeclineReason | None = None
    channel_code: str = ""
    channel_message: str = ""
    unwritable: bool = False
    """As in ``Answer``: ``NOT_SENT`` due to what we were given."""
    answered: bool = False
    unlisted: bool = False


@runtime_checkable
class Balances(Protocol):
    """A channel that tells what is in a card's account."""

    async def balance(self, card: CardData) -> BalanceAnswer:
        """Ask once. Never raises for what the channel does."""
        ...


@runtime_checkable
class CardActions(Protocol):
    """A channel that does more with a card than sell."""

    def takes(self, action: CardAction) -> bool:
        """Whether ``pay`` and ``cancel`` know ``action``."""
        ...


def balance_of(channel: object) -> Balances | None:
    """The ability to tell a balance of a channel, if it has it."""
    return channel if isinstance(channel, Balances) else None


def takes_action(channel: object, action: CardAction) -> bool:
    """Whether a payment with ``action`` may be sent there; every channel sells."""
    if action is CardAction.SALE:
        return True
    return isinstance(channel, CardActions) and channel.takes(action)
