"""The proof of the books: the whole ledger and every payment's history, replayed.

Rules:

* Nothing is believed because it is stored. Each entry must sum to zero per currency; each
  payment's postings and refunds must make its standing; its history must lead to it by
  the table of ``domain/payment.py``, one version a line; balances must be the replay's.
* It may run beside a working gateway: what looks wrong is read again until it stands
  still, and balances that move meanwhile are said to be moving, not wrong.
* A payment whose history was archived is replayed from where its archive ends; the archive
  itself is proved by its hashes (``posgate archive verify``).
* Memory is bounded: pages, one total per account, and at most ``max_named`` findings.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from domain.checkout import SHOWN, Checkout, CheckoutStatus, is_checkout
from domain.ledger import Entry, Posting, is_balanced
from domain.payment import SAME, TRANSITIONS, Deed, Event, Payment, Status
from domain.refund import REFUND_FINAL, Refund, RefundStatus
from domain.settle import accounts
from gateway.store.archive_records import ArchivedSubject
from gateway.store.port import LedgerLine, PaymentEvent, Store

_PAGE: Final = 500
_AT_ONCE: Final = 16
_TRIES: Final = 5
_OF_A_PAYMENT: Final = frozenset({Entry.CAPTURE, Entry.REFUND, Entry.REVERSAL})
_MAY_PARK: Final = frozenset({Event.PAID, Event.AUTHORIZE, Event.UNDONE_PAID, Event.UNDONE_UNPAID})
_OF_ATTEMPT: Final = {
    CheckoutStatus.PAID: Status.SUCCEEDED,
    CheckoutStatus.REVERSED: Status.REVERSED,
    CheckoutStatus.FAILED: Status.FAILED,
}
"""What the current attempt of a checkout is, where there is but one possibility."""
_PARKED_REVERSING: Final = frozenset({Status.FAILED, Status.CLOSED, Status.REVERSING})


@dataclass(slots=True)
class Findings:
    """The figures of a proof, and what is wrong; ``wrong`` counts, ``named`` is bounded."""

    payments: int = 0
    refunds: int = 0
    entries: int = 0
    lines: int = 0
    accounts: int = 0
    is_moving: bool = False
    wrong: int = 0
    named: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """All that the store holds of one payment, read while it stood still."""

    payment: Payment
    history: Sequence[PaymentEvent]
    postings: Sequence[Posting]
    refunds: Sequence[Refund]
    archived: ArchivedSubject | None = None
    checkout: Checkout | None = None
    attempt: Payment | None = None
    """Of a checkout: what it is beside its payment, and its current attempt."""


class LedgerProof:
    """One run over the whole store."""

    def __init__(self, store: Store, *, max_named: int = 100) -> None:
        self._store = store
        self._max_named = max_named
        self._found = Findings()
        self._sums: Counter[tuple[str, str]] = Counter()

    async def run(self) -> Findings:
        """Replay everything; raises ``domain.errors.Unavailable`` when the store is away."""
        before = dict(await self._store.balances())
        await self._replay_ledger()
        after = dict(await self._store.balances())
        self._compare_balances(before, after)
        await self._replay_payments()
        return self._found

    def _wrong(self, what: str) -> None:
        self._found.wrong += 1
        if len(self._found.named) < self._max_named:
            self._found.named.append(what)

    # --- the ledger, line by line

    async def _replay_ledger(self) -> None:
        batch: list[str] = []
        last = ""
        async for entry in self._entries():
            self._check_entry(entry)
            subject = entry[0].subject
            if subject == last or not any(line.posting.entry in _OF_A_PAYMENT for line in entry):
                continue
            last = subject
            batch.append(subject)
            if len(batch) == _PAGE:
                await self._check_subjects(batch)
                batch.clear()
        await self._check_subjects(batch)

    async def _entries(self) -> AsyncIterator[Sequence[LedgerLine]]:
        """The ledger's entries: the lines of one subject and sequence."""
        after: tuple[str, int, int] | None = None
        entry: list[LedgerLine] = []
        while page := await self._store.ledger_lines(after, _PAGE):
            for line in page:
                if entry and (entry[0].subject, entry[0].sequence) != (line.subject, line.sequence):
                    yield entry
                    entry = []
                entry.append(line)
            after = (page[-1].subject, page[-1].sequence, page[-1].line)
        if entry:
            yield entry

    def _check_entry(self, entry: Sequence[LedgerLine]) -> None:
        self._found.entries += 1
        self._found.lines += len(entry)
        name = f"entry {entry[0].subject}/{entry[0].sequence}"
        postings = [line.posting for line in entry]
        for posting in postings:
            self._sums[posting.account, posting.currency] += posting.amount_fen
        if not is_balanced(postings):
            self._wrong(f"{name} does not sum to zero")
        if [line.line for line in entry] != list(range(len(entry))):
            self._wrong(f"{name} has a gap in its lines")

    async def _check_subjects(self, subjects: Sequence[str]) -> None:
        """What was captured or returned belongs to a payment."""
        if not subjects:
            return
        known = {payment.order.id for payment in await self._store.payments(subjects)}
        for subject in subjects:
            if subject not in known:
                self._wrong(f"{subject} has postings and is no payment")

    def _compare_balances(
        self, before: dict[tuple[str, str], int], after: dict[tuple[str, str], int]
    ) -> None:
        self._found.accounts = len(self._sums)
        self._found.is_moving = before != after
        if self._found.is_moving:
            return
        for account, currency in sorted(self._sums.keys() | after.keys()):
            replayed = self._sums[account, currency]
            shown = after.get((account, currency), 0)
            if replayed != shown:
                self._wrong(f"{account} shows {shown} {currency}, its lines make {replayed}")

    # --- the payments, one by one

    async def _replay_payments(self) -> None:
        after = ""
        while page := await self._store.payments_page(after, _PAGE):
            for start in range(0, len(page), _AT_ONCE):
                await asyncio.gather(*map(self._check_payment, page[start : start + _AT_ONCE]))
            after = page[-1].order.id

    async def _check_payment(self, payment: Payment) -> None:
        self._found.payments += 1
        for _ in range(_TRIES):
            books = await self._books(payment)
            faults = faults_of(books)
            now = await self._store.payment(payment.order.id) if faults else payment
            if not faults or (now is not None and now.standing == payment.standing):
                break
            payment = now or payment
        self._found.refunds += len(books.refunds)
        for fault in faults:
            self._wrong(f"{payment.order.id}: {fault}")

    async def _books(self, payment: Payment) -> Books:
        payment_id = payment.order.id
        history = await self._store.events(payment_id)
        is_cut = not history or history[0].sequence != 1
        archived = await self._store.archived(payment_id) if is_cut else None
        had_refunds = any(event.event is Deed.RESERVE for event in history)
        standing = payment.standing
        has_refunds = had_refunds or standing.refunding_fen != 0 or standing.returned_fen != 0
        checkout = attempt = None
        if is_checkout(payment.order):
            checkout = await self._store.checkout(payment_id)
        if checkout is not None and checkout.attempts:
            attempt = await self._store.payment(checkout.current_id)
        return Books(
            payment=payment,
            history=history,
            postings=await self._store.postings(payment_id),
            refunds=await self._store.refunds(payment_id) if has_refunds or archived else (),
            archived=archived,
            checkout=checkout,
            attempt=attempt,
        )


def faults_of(books: Books) -> list[str]:
    """What in a payment's books does not fit together; empty when all does. Pure."""
    return [
        *_faults_of_history(books),
        *_faults_of_numbers(books.payment),
        *_faults_of_postings(books.payment, books.postings),
        *_faults_of_refunds(books),
        *_faults_of_checkout(books),
    ]


def _faults_of_history(books: Books) -> Iterable[str]:
    history, standing = books.history, books.payment.standing
    status, archived_version, is_parked = Status.CREATED, 0, False
    if books.archived is not None:
        status, archived_version = Status(books.archived.status), books.archived.version
    versions = range(archived_version + 1, standing.version + 1)
    if [event.sequence for event in history] != list(versions):
        yield f"its history does not have one line for each of {standing.version} versions"
    for line in history:
        moved = f"{line.event.value} from {line.previous.value} to {line.status.value}"
        if line.previous is not status:
            yield f"version {line.sequence} ({moved}) follows {status.value}"
        if not _is_legal(line):
            yield f"version {line.sequence} ({moved}) is not a legal move"
        status = line.status
        if isinstance(line.event, Event):
            is_parked = _parks(line)
        elif line.event is Deed.RETRY:
            is_parked = False
    if status is not standing.status:
        yield f"it is {standing.status.value}, its history ends {status.value}"
    if is_parked and not standing.parked_reason:
        yield "its history ends in a case, and it has none"


def _is_legal(line: PaymentEvent) -> bool:
    if isinstance(line.event, Deed):
        may_be = line.event is not Deed.RESERVE or line.status is Status.SUCCEEDED
        return may_be and line.status is line.previous
    cell = TRANSITIONS[line.previous][line.event]
    return line.status is (line.previous if cell == SAME else cell) or _parks(line)


def _parks(line: PaymentEvent) -> bool:
    """Whether a contradiction set the payment aside instead of moving it by the table."""
    if line.event not in _MAY_PARK or not isinstance(line.event, Event):
        return False
    cell = TRANSITIONS[line.previous][line.event]
    reversing = line.previous in _PARKED_REVERSING
    aside = Status.REVERSING if reversing else Status.UNKNOWN
    return line.status is aside and line.status is not (line.previous if cell == SAME else cell)


def _faults_of_numbers(payment: Payment) -> Iterable[str]:
    now = payment.standing
    captured, returned, refunding = now.captured_fen, now.returned_fen, now.refunding_fen
    if min(captured, returned, refunding) < 0 or returned + refunding > captured:
        yield f"{returned} returned and {refunding} on its way of {captured} captured"
    if now.status is Status.SUCCEEDED and captured == 0 and not is_checkout(payment.order):
        yield "it succeeded, and nothing was captured"
    if now.status is Status.REVERSED and returned != captured:
        yield f"it is reversed, and {captured - returned} was not returned"
    if now.status is Status.AUTHORIZED and captured:
        yield f"it is only authorized, and {captured} was captured"
    ended_unpaid = now.status in (Status.CLOSED, Status.FAILED)
    if ended_unpaid and captured != returned:
        yield f"it ended {now.status.value}, and {captured - returned} is held"


def _faults_of_postings(payment: Payment, postings: Sequence[Posting]) -> Iterable[str]:
    receivable, payable = accounts(payment.order)
    sums: Counter[tuple[str, Entry]] = Counter()
    for posting in postings:
        if posting.entry not in _OF_A_PAYMENT:
            continue
        if posting.account not in (receivable, payable):
            yield f"it posted on {posting.account}"
        if posting.currency != payment.order.currency:
            yield f"it posted in {posting.currency}"
        sums[posting.account, posting.entry] += posting.amount_fen
    now = payment.standing
    for account, sign in ((receivable, 1), (payable, -1)):
        captured = sign * sums[account, Entry.CAPTURE]
        returned = -sign * (sums[account, Entry.REFUND] + sums[account, Entry.REVERSAL])
        if (captured, returned) != (now.captured_fen, now.returned_fen):
            yield (
                f"captured {now.captured_fen} and returned {now.returned_fen}, "
                f"posted {captured} and {returned} on {account}"
            )


def _faults_of_refunds(books: Books) -> Iterable[str]:
    _, payable = accounts(books.payment.order)
    posted_fen = sum(
        posting.amount_fen
        for posting in books.postings
        if posting.entry is Entry.REFUND and posting.account == payable
    )
    returned_fen = _sum(books.refunds, {RefundStatus.SUCCEEDED})
    if returned_fen != posted_fen:
        yield f"its refunds returned {returned_fen}, posted {posted_fen}"
    open_fen = _sum(books.refunds, set(RefundStatus) - REFUND_FINAL)
    if open_fen != books.payment.standing.refunding_fen:
        yield f"its open refunds are {open_fen}, reserved {books.payment.standing.refunding_fen}"
    reserved = sum(line.event is Deed.RESERVE for line in books.history)
    reserved += books.archived.refunds if books.archived is not None else 0
    if reserved != len(books.refunds):
        yield f"it has {len(books.refunds)} refunds, its history reserves {reserved}"


def _faults_of_checkout(books: Books) -> Iterable[str]:
    """A checkout has no money of its own: it says what its current attempt came to."""
    if not is_checkout(books.payment.order):
        return
    checkout, attempt, now = books.checkout, books.attempt, books.payment.standing
    if books.postings:
        yield "it is a checkout, and has postings of its own"
    if checkout is None:
        yield "it is a checkout, and has no row as such"
        return
    if SHOWN[checkout.status] is not now.status:
        yield f"it is {now.status.value}, its checkout {checkout.status.value}"
    theirs = None if attempt is None else attempt.standing.status
    needed = _OF_ATTEMPT.get(checkout.status)
    if needed is not None and theirs is not needed:
        stands = "no attempt" if theirs is None else f"an attempt that is {theirs.value}"
        yield f"its checkout is {checkout.status.value}, with {stands}"


def _sum(refunds: Sequence[Refund], statuses: set[RefundStatus]) -> int:
    return sum(one.order.amount_fen for one in refunds if one.standing.status in statuses)
