"""Sharing a payment with others after it was paid: a small ability of its own.

It is an ability of the adapter; no door offers it yet.

Rules: a channel has the ability by having its method; ask :func:`royalties_of`. One number
serves every repeat and shares once. ``SUCCEEDED`` means that the channel took it; ``DECLINED``
that nothing was or will be shared under this number; after anything else the same request is made
again.
"""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from channels.port import Advice, PaymentRef, Verdict
from domain.decline import DeclineReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one receiver gets, named as the channel knows its accounts."""

    receiver: str = field(repr=False)
    amount_fen: int
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoyaltyRequest:
    """The shares of one payment, under a number that serves every repeat."""

    request_no: str
    payment: PaymentRef
    shares: tuple[Share, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoyaltyAnswer:
    """A channel's answer; the members are those of ``channels.port.RefundAnswer``."""

    verdict: Verdict
    settle_no: str = ""
    reason: DeclineReason | None = None
    channel_code: str = ""
    channel_message: str = ""
    advice: Advice | None = None
    answered: bool = False
    unwritable: bool = False
    unlisted: bool = False


@runtime_checkable
class Royalties(Protocol):
    """A channel that shares what was paid."""

    async def share(self, request: RoyaltyRequest) -> RoyaltyAnswer:
        """Share once, however often. Never raises for what the channel does."""
        ...


def royalties_of(channel: object) -> Royalties | None:
    """The ability to share of a channel, if it has it."""
    return channel if isinstance(channel, Royalties) else None
