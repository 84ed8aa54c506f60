"""Orders that the payer completes: live codes, pages in a wallet, faces. Small abilities.

Rules: a channel has an ability by having its methods; ask :func:`codes_of`,
:func:`pages_of` and :func:`faces_of`, never the adapter's type. ``SUCCEEDED`` of an
:class:`OrderAnswer` means that the order stands at the channel and may be paid; that
it *was* paid is heard from a query or a notification alone. Making the same order again
under the same number is safe. ``DECLINED`` is the channel's definitive no; after
``UNKNOWN`` the order is asked about or cancelled like any payment. Faces are an ability of
the adapters; no door offers it yet.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol, runtime_checkable

from channels.port import Advice, Verdict
from domain.decline import DeclineReason


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """An order to be paid by whoever scans it or has its page open.

    ``payer_id`` is the wallet's own name of the payer (openid, buyer id), needed by pages.
    ``notify_url`` is where the channel reports, ``return_url`` where a wallet that pays on a
    page of its own sends the payer back to; ``""`` where the account has one fixed.
    """

    order_no: str
    amount_fen: int
    currency: str
    subject: str
    created_at_ms: int
    expires_at_ms: int
    notify_url: str = ""
    return_url: str = ""
    payer_id: str = field(default="", repr=False)
    payer_ip: str = field(default="", repr=False)
    store_id: str = ""
    terminal_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAnswer:
    """What the channel made: ``code`` to show as a QR code, or ``parameters`` for a page.

    ``parameters`` are exactly what the wallet's JS bridge is given, signed where it wants
    that; ``page_url`` where the payer is sent instead (H5). ``answered``, ``unwritable`` and
    ``unlisted`` are those of ``channels.port.Answer``.
    """

    verdict: Verdict
    code: str = field(default="", repr=False)
    parameters: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    page_url: str = field(default="", repr=False)
    trade_no: str = ""
    reason: DeclineReason | None = None
    channel_code: str = ""
    channel_message: str = ""
    advice: Advice | None = None
    answered: bool = False
    unwritable: bool = False
    unlisted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PayerAnswer:
    """Who the payer is, by the wallet's own name; set for ``SUCCEEDED`` only.

    ``unlisted``: no table of ours knows its code; it is counted.
    """

    verdict: Verdict
    payer_id: str = field(default="", repr=False)
    channel_code: str = ""
    channel_message: str = ""
    unlisted: bool = False


@runtime_checkable
class PayerCodes(Protocol):
    """A channel that makes a code for one order (precreate, native, 01/07)."""

    async def create_code(self, request: OrderRequest) -> OrderAnswer:
        """Never raises for what the channel does."""
        ...


@runtime_checkable
class PayerPages(Protocol):
    """A channel whose wallet opens our page, tells who the payer is, and pays from it."""

    def authorise_url(self, return_url: str, state: str) -> str:
        """Where the wallet's browser is sent so that it comes back with a code for us."""
        ...

    async def payer_of(self, code: str, mark: str = "") -> PayerAnswer:
        """Exchange that code, once; ``mark`` is which of several apps the browser says it is.

        A hint of the payer's own, of a form that the caller has checked: the wallet holds it
        against whom it gave the code to.
        """
        ...

    async def create_page_order(self, request: OrderRequest) -> OrderAnswer:
        """An order for this payer; ``parameters`` for the JS bridge."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceRequest:
    """A terminal's camera asks to begin: ``device_data`` is what its SDK said, unread."""

    device_data: str = field(repr=False)
    device_id: str
    store_id: str
    store_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceAnswer:
    """What the device's SDK is given to go on; good for ``expires_in_s`` seconds.

    ``unwritable`` and ``unlisted`` are those of ``channels.port.Answer``.
    """

    verdict: Verdict
    device_data: str = field(default="", repr=False)
    expires_in_s: int = 0
    channel_code: str = ""
    channel_message: str = ""
    unwritable: bool = False
    unlisted: bool = False


@runtime_checkable
class Faces(Protocol):
    """A channel that pays by face: this begins it, ``pay`` takes the token that comes of it."""

    async def begin_face(self, request: FaceRequest) -> FaceAnswer:
        """Never raises for what the channel does."""
        ...


def codes_of(channel: object) -> PayerCodes | None:
    """The ability to make codes of a channel, if it has it."""
    return channel if isinstance(channel, PayerCodes) else None


def pages_of(channel: object) -> PayerPages | None:
    """The ability to be paid from a page of a channel, if it has it."""
    return channel if isinstance(channel, PayerPages) else None


def faces_of(channel: object) -> Faces | None:
    """The ability to be paid by face of a channel, if it has it."""
    return channel if isinstance(channel, Faces) else None
