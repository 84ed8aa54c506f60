"""The store as the gateway sees it: two kinds of change, and cold reads.

Rules:

* The hot path hands in a :class:`Claim` or an :class:`Advance` and awaits; the
  store commits whatever is waiting in one transaction (group commit) and wakes
  the callers after the commit. A change applies whole or not at all; one caller's
  conflict never fails its neighbours.
* Money is guarded by unique keys (a claim) and by compare-and-set on
  ``version`` (an advance), never by a lock or an isolation level.
* Everything sensitive arrives sealed; the store never sees a key or a card.
* ``domain.errors.Unavailable`` is raised when the store cannot be reached or
  cannot tell whether a commit happened: the caller must not assume either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.ledger import Posting
from domain.payment import Event, Order, Payment, Standing, Status
from domain.record import record


@record
class TerminalReply:
    """A reply as it went to a terminal, kept for identical repeats.

    ``key`` is terminal, batch, trace and message type; ``reply_sealed`` the encrypted
    frame.
    """

    merchant_no: str
    key: str
    fingerprint: bytes
    reply_sealed: bytes
    created_at_ms: int


@record
class Claim:
    """Insert an order, its standing (version 1), its first attempt and event.

    Refused when ``(merchant_no, door, order_key)`` exists. ``due_at_ms`` opens the
    payment's settle job and is when recovery may take it over; ``None`` for an order
    that is born final (a reversal that came before its sale): it gets no job.
    """

    order: Order
    standing: Standing
    event: Event
    due_at_ms: int | None
    reply: TerminalReply | None = None


@record
class Advance:
    """Move a payment from ``standing.version - 1`` to ``standing``.

    Refused when the payment is no longer at that version. Event, postings and reply
    are written in the same commit; ``due_at_ms`` moves the payment's settle job, or
    opens one anew, and ``None`` ends it.
    """

    payment_id: str
    merchant_no: str
    previous: Status
    event: Event
    standing: Standing
    at_ms: int
    due_at_ms: int | None
    postings: Sequence[Posting] = ()
    reply: TerminalReply | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentEvent:
    """One line of a payment's history; ``sequence`` is the version it made."""

    sequence: int
    event: Event
    previous: Status
    status: Status
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Merchant:
    """A merchant; ``pos_merchant_id`` is its 15 characters in field 42."""

    merchant_no: str
    name: str
    pos_merchant_id: str
    created_at_ms: int
    disabled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """A terminal as provisioned; unique by merchant and ``terminal_id`` (8 characters).

    ``key_scheme`` is ``des``, ``3des``, ``3des-tdk`` or ``sm4``; ``mac`` one of
    ``signing.pos.MAC_ALGORITHMS``; ``allow_weak_pin`` lets single DES and SM4
    terminals send a PIN.
    """

    merchant_no: str
    terminal_id: str
    key_scheme: str
    mac: str
    allow_weak_pin: bool
    tmk_sealed: bytes
    tmk_kcv: str
    created_at_ms: int
    disabled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalSession:
    """A terminal's sign-in state: of the terminal, not of a connection.

    ``version`` rises with every change. ``keys_sealed`` and ``previous_keys_sealed``
    hold the working keys of this sign-in and of the one before.
    """

    merchant_no: str
    terminal_id: str
    version: int
    signed_in: bool
    batch_no: int
    signed_in_at_ms: int
    keys_sealed: bytes
    previous_keys_sealed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """An API key of a merchant; the secret rests sealed."""

    key_id: str
    merchant_no: str
    secret_sealed: bytes
    created_at_ms: int
    disabled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A channel account; ``merchant_no`` empty serves every merchant without its own.

    ``settings_json`` is a JSON object of text; ``secrets_sealed`` the sealed JSON
    object of the secrets.
    """

    account_id: str
    channel: str
    merchant_no: str
    settings_json: str
    secrets_sealed: bytes
    created_at_ms: int
    disabled: bool = False


class PaymentStore(Protocol):
    """Payments, durable and grouped."""

    async def claim(self, change: Claim) -> bool:
        """Commit a claim; ``False`` when its key exists (nothing is written)."""
        ...

    async def advance(self, change: Advance) -> bool:
        """Commit an advance; ``False`` when the version moved (nothing is written)."""
        ...

    async def save_reply(self, reply: TerminalReply) -> bool:
        """Keep a reply that goes with no transition; ``False`` when one exists."""
        ...

    async def payment(self, payment_id: str) -> Payment | None:
        """A payment by our id."""
        ...

    async def payment_by_order(self, merchant_no: str, door: str, order_key: str) -> Payment | None:
        """A payment by its idempotency key."""
        ...

    async def terminal_reply(self, merchant_no: str, key: str) -> TerminalReply | None:
        """The kept reply of a terminal message."""
        ...

    async def events(self, payment_id: str) -> Sequence[PaymentEvent]:
        """A payment's history, oldest first."""
        ...

    async def postings(self, payment_id: str) -> Sequence[Posting]:
        """A payment's ledger lines, oldest first."""
        ...

    async def lease_due(self, now_ms: int, lease_ms: int, limit: int) -> Sequence[Payment]:
        """Take payments whose settle job is due, moving each due time ``lease_ms`` on.

        Two callers never get the same payment for the same due time.
        """
        ...

    async def renew_lease(self, payment_id: str, due_at_ms: int) -> None:
        """Move the due time of a payment's settle job; one that ended is not opened again."""
        ...

    async def take_sequence(self, name: str, count: int) -> int:
        """Reserve ``count`` numbers for ever and return the first (starts at 0)."""
        ...


class ProvisioningStore(Protocol):
    """Merchants, terminals, keys and accounts: cold, small, cached by the gateway.

    ``add_*`` raise ``domain.errors.Conflict`` when the thing exists and
    ``domain.errors.NotFound`` when its merchant does not; ``disable_*`` raise
    ``NotFound``.
    """

    async def add_merchant(self, merchant: Merchant) -> None: ...
    async def merchants(self) -> Sequence[Merchant]: ...
    async def disable_merchant(self, merchant_no: str) -> None: ...
    async def add_terminal(self, terminal: Terminal) -> None: ...
    async def terminals(self) -> Sequence[Terminal]: ...
    async def terminal(
        self, pos_merchant_id: str, terminal_id: str
    ) -> tuple[Merchant, Terminal, TerminalSession | None] | None:
        """A terminal by what its messages carry (F42, F41), with its merchant."""
        ...

    async def disable_terminal(self, merchant_no: str, terminal_id: str) -> None: ...
    async def save_session(self, session: TerminalSession) -> bool:
        """Insert version 1 or move version n-1 to n; ``False`` when it moved meanwhile."""
        ...

    async def add_api_key(self, key: ApiKey) -> None: ...
    async def api_keys(self) -> Sequence[ApiKey]: ...
    async def api_key(self, key_id: str) -> tuple[Merchant, ApiKey] | None: ...
    async def disable_api_key(self, key_id: str) -> None: ...
    async def add_account(self, account: Account) -> None: ...
    async def accounts(self) -> Sequence[Account]: ...
    async def disable_account(self, account_id: str) -> None: ...


class Store(PaymentStore, ProvisioningStore, Protocol):
    """The whole store, with its life cycle."""

    async def open(self) -> None:
        """Connect and check that the schema is the one this code needs.

        Raises:
            domain.errors.ConfigurationError: not migrated (says the command).
        """
        ...

    async def close(self) -> None:
        """Finish what waits, then disconnect."""
        ...

    async def ready(self) -> bool:
        """Whether a commit would succeed now (for ``/readyz``)."""
        ...

    def queued(self) -> int:
        """Changes that wait for the committer (for ``/metrics`` and shedding)."""
        ...
