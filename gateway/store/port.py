"""The store as the gateway sees it: hot changes, cold ones, and reads.

Rules:

* The hot path hands in a :class:`Claim` or an :class:`Advance` and awaits; the
  store commits whatever is waiting in one transaction (group commit) and wakes
  the callers after the commit. A change applies whole or not at all; one caller's
  conflict never fails its neighbours.
* Money is guarded by unique keys (a claim) and by compare-and-set on
  ``version`` (an advance), never by an isolation level; the sum of a limit's day by
  the lock of its row (``limits.py``).
* Everything sensitive arrives sealed; the store never sees a key or a card.
* ``domain.errors.Unavailable`` is raised when the store cannot be reached or
  cannot tell whether a commit happened: the caller must not assume either.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from channels.kept_keys import KeyKeeper
from domain.ledger import Posting
from domain.payment import Payment
from domain.refund import Refund
from gateway.store.archive_port import ArchiveStore
from gateway.store.batch_port import BatchStore
from gateway.store.checkout_port import CheckoutStore
from gateway.store.event_port import EventStore
from gateway.store.provisioning_records import Account, ApiKey, Merchant, Terminal, TerminalSession
from gateway.store.records import (
    Advance,
    Case,
    CaseDecision,
    CheckoutMove,
    Claim,
    Completion,
    Job,
    JobKind,
    LedgerEntry,
    LedgerLine,
    Notice,
    NoticeState,
    PaymentEvent,
    RefundAdvance,
    RefundClaim,
    RefundClaimed,
    Spend,
    StoredNotice,
    TakenHold,
    TerminalReply,
    TillEvent,
    pos_refund_number,
)
from gateway.store.shop_port import ShopStore
from reconciliation.night_store import NightStore

__all__ = [
    "Account",
    "Advance",
    "ApiKey",
    "BatchStore",
    "Case",
    "CaseDecision",
    "CaseStore",
    "CheckoutMove",
    "CheckoutStore",
    "Claim",
    "Completion",
    "EventStore",
    "Job",
    "JobKind",
    "JobStore",
    "LedgerEntry",
    "LedgerLine",
    "LedgerStore",
    "Merchant",
    "Notice",
    "NoticeState",
    "NoticeStore",
    "PaymentEvent",
    "PaymentStore",
    "ProvisioningStore",
    "RefundAdvance",
    "RefundClaim",
    "RefundClaimed",
    "RefundStore",
    "Spend",
    "Store",
    "StoredNotice",
    "TakenHold",
    "Terminal",
    "TerminalReply",
    "TerminalSession",
    "TillEvent",
    "pos_refund_number",
]


class PaymentStore(Protocol):
    """Payments, durable and grouped."""

    async def claim(self, change: Claim) -> bool:
        """Commit a claim; ``False`` when one of its guards refuses it (nothing is written)."""
        ...

    async def advance(self, change: Advance) -> bool:
        """Commit an advance; ``False`` when it moved or its hold is taken (nothing is written)."""
        ...

    async def save_reply(self, reply: TerminalReply) -> bool:
        """Keep a reply that goes with no transition; ``False`` when one exists."""
        ...

    async def payment(self, payment_id: str) -> Payment | None:
        """A payment by our id."""
        ...

    async def payments(self, payment_ids: Sequence[str]) -> Sequence[Payment]:
        """Payments by our ids, at most a page of them; one that is not there is left out."""
        ...

    async def payment_by_order(self, merchant_no: str, door: str, order_key: str) -> Payment | None:
        """A payment by its idempotency key."""
        ...

    async def payment_by_channel_order(
        self, account_id: str, channel_order_no: str
    ) -> Payment | None:
        """A payment by the number that its channel knows it by."""
        ...

    async def payments_at_any_terminal(
        self, merchant_no: str, batch: str, trace: str, reference: str, limit: int
    ) -> Sequence[Payment]:
        """A merchant's payments of this batch and trace that were told this reference (F37)."""
        ...

    async def order_key_by_token(self, merchant_no: str, prefix: str, token: bytes) -> str | None:
        """The last order key with this prefix whose card or code has this keyed hash."""
        ...

    async def completion_of(self, hold_id: str) -> Completion | None:
        """Who took a hold last; ``None`` when nobody ever did."""
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

    async def take_sequence(self, name: str, count: int) -> int:
        """Reserve ``count`` numbers for ever and return the first (starts at 0)."""
        ...


class RefundStore(Protocol):
    """Refunds; their changes are cold: one transaction each, guarded as the hot ones."""

    async def claim_refund(self, change: RefundClaim) -> RefundClaimed:
        """Commit a refund and its reservation, whole or not at all."""
        ...

    async def advance_refund(self, change: RefundAdvance) -> bool:
        """Commit a refund's move; ``False`` when it or its payment moved meanwhile."""
        ...

    async def refund(self, refund_id: str) -> Refund | None:
        """A refund by our id."""
        ...

    async def refund_by_number(self, merchant_no: str, merchant_refund_no: str) -> Refund | None:
        """A refund by its idempotency key."""
        ...

    async def refund_by_channel_number(
        self, account_id: str, channel_refund_no: str
    ) -> Refund | None:
        """A refund by the number that its channel knows it by."""
        ...

    async def refunds(self, payment_id: str) -> Sequence[Refund]:
        """A payment's refunds, oldest first."""
        ...


class JobStore(Protocol):
    """Work that outlives a request: leased, fenced, in lanes that do not wait for each other."""

    async def due_lanes(self, kind: JobKind, now_ms: int, after: str, limit: int) -> Sequence[str]:
        """Lanes with a due job, in order of their name, from the first after ``after``."""
        ...

    async def lease(
        self, kind: JobKind, lane: str, now_ms: int, until_ms: int, limit: int
    ) -> Sequence[Job]:
        """Take due jobs of a lane: each is due again at ``until_ms``, its fence one higher.

        Two callers never get the same job for the same due time.
        """
        ...

    async def renew(
        self, kind: JobKind, subject: str, due_at_ms: int, fence: int, *, given_back: bool = False
    ) -> bool:
        """Move a job's due time; ``False`` when it ended or is no longer leased by ``fence``.

        ``given_back`` says that the worker has let go of it until then (so that it may be
        hastened); without it the worker keeps it, and only its own silence beyond
        ``due_at_ms`` makes it anybody's. The next lease, or an advance, takes it again.
        """
        ...

    async def hasten(self, kind: JobKind, lane: str, now_ms: int) -> int:
        """Make every job of a lane due now that was given back; how many were moved."""
        ...

    async def jobs(self, kind: JobKind | None, after: str, limit: int) -> Sequence[Job]:
        """What is open, by kind and subject, for people; ``after``: the last ``kind:subject``."""
        ...


class CaseStore(Protocol):
    """What waits for a person."""

    async def cases(self, *, is_open: bool, after: str, limit: int) -> Sequence[Case]:
        """Cases in order of their id."""
        ...

    async def case(self, case_id: str) -> tuple[Case, Sequence[CaseDecision]] | None:
        """A case and what was decided about it, oldest first."""
        ...

    async def decide_payment(self, decision: CaseDecision, change: Advance) -> bool:
        """Commit a decision, close the case and move the payment, or nothing at all."""
        ...

    async def decide_refund(self, decision: CaseDecision, change: RefundAdvance) -> bool:
        """Commit a decision, close the case and move the refund, or nothing at all."""
        ...


class NoticeStore(Protocol):
    """Notifications to merchants: written by the transitions, delivered by a worker."""

    async def notice(self, event_id: str) -> StoredNotice | None:
        """A notice by its event."""
        ...

    async def notices(
        self,
        *,
        merchant_no: str,
        payment_id: str,
        state: NoticeState | None,
        after: str,
        limit: int,
    ) -> Sequence[StoredNotice]:
        """Notices by event id; an empty text and ``None`` do not filter."""
        ...

    async def notice_delivered(self, job: Job, at_ms: int) -> bool:
        """Book a delivery and end the job; ``False`` when the lease was lost (still delivered)."""
        ...

    async def notice_failed(self, job: Job, error: str, due_at_ms: int | None, at_ms: int) -> bool:
        """Book a failed attempt; ``None`` ends the job and puts the notice on the dead list.

        ``False`` when the lease was lost: nothing is written.
        """
        ...

    async def replay_notice(self, event_id: str, at_ms: int) -> bool:
        """Make a delivered or dead notice pending and due now, with a fresh schedule."""
        ...


class LedgerStore(Protocol):
    """The ledger as it is proved and corrected."""

    async def post(self, entry: LedgerEntry) -> bool:
        """Commit an entry of its own; ``False`` when its id exists."""
        ...

    async def ledger_lines(
        self, after: tuple[str, int, int] | None, limit: int
    ) -> Sequence[LedgerLine]:
        """The whole ledger in pages, by subject, sequence and line."""
        ...

    async def balances(self) -> Mapping[tuple[str, str], int]:
        """Each account and currency with its balance in fen."""
        ...

    async def payments_page(self, after: str, limit: int) -> Sequence[Payment]:
        """Every payment in pages, by id."""
        ...


class ProvisioningStore(Protocol):
    """Merchants, terminals, keys and accounts: cold, small, cached by the gateway.

    ``add_*`` raise ``domain.errors.Conflict`` when the thing exists and
    ``domain.errors.NotFound`` when its merchant does not; ``disable_*`` and ``set_*``
    raise ``NotFound``.
    """

    async def add_merchant(self, merchant: Merchant) -> None: ...
    async def merchants(self) -> Sequence[Merchant]: ...
    async def disable_merchant(self, merchant_no: str) -> None: ...
    async def add_terminal(self, terminal: Terminal) -> None: ...
    async def add_terminals(self, terminals: Sequence[Terminal]) -> None:
        """Add all of them or none; the ``Conflict`` names the first that exists."""
        ...

    async def terminals(self) -> Sequence[Terminal]: ...
    async def terminal(
        self, pos_merchant_id: str, terminal_id: str
    ) -> tuple[Merchant, Terminal, TerminalSession | None] | None:
        """A terminal by what its messages carry (F42, F41), with its merchant."""
        ...

    async def disable_terminal(self, merchant_no: str, terminal_id: str) -> None: ...
    async def set_terminal_key(
        self, merchant_no: str, terminal_id: str, tmk_sealed: bytes, tmk_kcv: str
    ) -> None:
        """Replace a terminal's master key; its session keeps its working keys."""
        ...

    async def set_terminal_options(
        self, merchant_no: str, terminal_id: str, options_json: str
    ) -> None:
        """Replace a terminal's options."""
        ...

    async def save_session(self, session: TerminalSession) -> bool:
        """Insert version 1 or move version n-1 to n; ``False`` when it moved meanwhile."""
        ...

    async def add_api_key(self, key: ApiKey) -> None: ...
    async def api_keys(self) -> Sequence[ApiKey]: ...
    async def api_key(self, key_id: str) -> tuple[Merchant, ApiKey] | None: ...
    async def merchant_api_keys(self, merchant_no: str) -> Sequence[ApiKey]:
        """A merchant's API keys, oldest first, disabled ones too."""
        ...

    async def disable_api_key(self, key_id: str) -> None: ...
    async def add_account(self, account: Account) -> None: ...
    async def accounts(self) -> Sequence[Account]: ...
    async def disable_account(self, account_id: str) -> None: ...


class Store(
    PaymentStore,
    CheckoutStore,
    RefundStore,
    JobStore,
    CaseStore,
    NoticeStore,
    EventStore,
    LedgerStore,
    BatchStore,
    ProvisioningStore,
    NightStore,
    ShopStore,
    KeyKeeper,
    ArchiveStore,
    Protocol,
):
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
