"""Which batch a terminal is in, and when it goes on to the next.

Rules (reference ``pos_protocol.md`` §6: after a settlement the terminal "clears its log and
batch +1, or signs out (host adds 1)"):

* A batch is settled once its 0500 was judged and stored. Until then its terminal stays in it.
* From a settled batch the terminal goes on by the first of these: a message with a MAC
  that names the next batch; a sign-out; a sign-in once the batch is closed, or
  an hour after its settlement (before that the terminal may be in the middle of its
  upload, and shall not be given another number).
* So the host never falls behind a terminal that counts for itself, and one that does not
  count is told the next number when it signs in. A message in a batch that the terminal
  has left is refused (77), but for a repeat of its settlement or upload.
* A sale in a batch that is settled but not left is taken: the terminal did not hear the
  answer, and will settle again, with other totals.
"""

from dataclasses import replace
from typing import Final

from domain.clock import Clock
from domain.errors import Unavailable
from gateway.directory import Directory
from gateway.pos.exchange import Exchange
from gateway.pos.translate import RefusedError
from gateway.store.batch_records import BatchKey, BatchState
from gateway.store.port import Store, TerminalSession
from pos_protocol.numbering import LAST, following
from pos_protocol.response_codes import NOT_SIGNED_IN, UNKNOWN_TERMINAL
from pos_protocol.transactions import SETTLEMENT_KINDS, batch_of

_UPLOAD_MAX_MS: Final = 3_600_000
_TRIES: Final = 5


def preceding(number: int) -> int:
    """The batch before ``number``."""
    return number - 1 if number > 1 else LAST


def session_batch(session: TerminalSession) -> BatchKey:
    """The batch that a terminal is in, for the store."""
    return BatchKey(session.merchant_no, session.terminal_id, session.batch_no)


class BatchOrder:
    """The order of a terminal's batches, for the door and for sign-in."""

    def __init__(self, *, store: Store, directory: Directory, clock: Clock) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock

    async def admit(self, exchange: Exchange) -> None:
        """Let in a message that names another batch than its terminal's.

        One with a MAC that names the next after a settled one moves the terminal on; call
        this only once the terminal is known to be signed in, and the MAC to be right.

        Raises:
            RefusedError: 77, the batch is neither.
        """
        message, transaction, session = (
            exchange.message,
            exchange.transaction,
            exchange.known.session,
        )
        named = batch_of(message)
        if session is None or transaction is None or not _is_number(named):
            raise RefusedError(NOT_SIGNED_IN, "no batch")
        own = session.batch_no
        if int(named) == own:
            return
        if transaction.kind in SETTLEMENT_KINDS:
            settled = {preceding(own): int(named), following(own): own}.get(int(named))
            if settled is not None and await self._store.batch(
                session_batch(session)._replace(batch_no=settled)
            ):
                return
        elif (
            transaction.has_mac  # without one anybody could walk a terminal through its batches
            and int(named) == following(own)
            and await self._store.batch(session_batch(session))
        ):
            await self.move_on(exchange, own)
            return
        raise RefusedError(NOT_SIGNED_IN, "another batch than the terminal's")

    async def batch_at_sign_in(self, session: TerminalSession) -> int:
        """The batch to tell a terminal that signs in; ``session`` is as it was before."""
        settled = await self._store.batch(session_batch(session))
        if settled is None:
            return session.batch_no
        age_ms = self._clock.now_ms() - settled.settled_at_ms
        if settled.state is BatchState.CLOSED or age_ms > _UPLOAD_MAX_MS:
            return await self._left(session)
        return session.batch_no

    async def batch_at_sign_out(self, session: TerminalSession) -> int:
        """The batch after a sign-out: the next one if this one is settled."""
        if await self._store.batch(session_batch(session)) is None:
            return session.batch_no
        return await self._left(session)

    async def move_on(self, exchange: Exchange, batch_no: int) -> None:
        """Move the exchange's terminal from ``batch_no`` to the next; nothing if it is past it.

        Raises:
            Unavailable: the session is being changed too fast.
        """
        for _ in range(_TRIES):
            session = exchange.known.session
            if session is None or session.batch_no != batch_no:
                return
            await self._left(session)
            moved = replace(session, version=session.version + 1, batch_no=following(batch_no))
            saved = await self._store.save_session(moved)
            await self._read_again(exchange)
            if saved:
                return
        raise Unavailable("this terminal's session is being changed at several places at once")

    async def _read_again(self, exchange: Exchange) -> None:
        merchant_id, terminal_id = exchange.message.text(42), exchange.message.text(41)
        self._directory.terminal_changed(merchant_id, terminal_id)
        known = await self._directory.terminal(merchant_id, terminal_id)
        if known is None:
            raise RefusedError(UNKNOWN_TERMINAL, "unknown or disabled terminal")
        exchange.known = known

    async def _left(self, session: TerminalSession) -> int:
        """Close the batch that a terminal leaves, and give the number of the next."""
        settled = await self._store.batch(session_batch(session))
        if settled is not None and settled.state is not BatchState.CLOSED:
            closed = replace(
                settled,
                version=settled.version + 1,
                state=BatchState.CLOSED,
                closed_at_ms=self._clock.now_ms(),
            )
            # whoever moved it meanwhile closed it or judged it anew: both are as good
            await self._store.save_batch(closed)
        return following(session.batch_no)


def _is_number(batch: str) -> bool:
    return batch.isascii() and batch.isdigit()
