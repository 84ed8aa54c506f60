"""Settlement of a batch and the upload that follows it (0500, 0320).

Rules:

* The answer to 0500 has the host's own totals and says in F48, not in F39, whether they
  agree. The judgement is stored before it is told, and told again for the same totals,
  whatever happened since: a repeat changes nothing.
* Other totals of the same batch are judged anew, and that judgement replaces the first: the
  terminal did not hear the answer and sold on, or mended its log. What was found before
  stays as history.
* Totals that agree close the batch at once. An upload that follows all the same (the chip
  transactions) is compared as far as it goes.
* An upload belongs to the batch that it names if that is settled, or else to the one before
  (a terminal that was given its next number on the way). Lines are kept as they come, a
  repeat once, in any order, a card as a keyed token only.
* The end of an upload compares every line; its differences are stored in the same commit
  as the end. They are for people and for the nightly reconciliation: the terminal hears 00,
  for nothing that it could do would mend them.
* There is no MAC on any of these (reference §4): nothing here moves money.

Sources: reference ``pos_protocol.md`` §2 (F48, F62), §3 and §6. Which batch a terminal is
in is ``batch_order.py``'s.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from domain.clock import Clock
from domain.errors import Unavailable
from gateway.logs import Log
from gateway.pos.batch_comparison import Comparison, totals_difference
from gateway.pos.batch_order import BatchOrder, preceding
from gateway.pos.batch_totals import judgement, said_totals, with_entries
from gateway.pos.exchange import Exchange
from gateway.pos.translate import RefusedError, managed, presented_pan
from gateway.store.batch_records import (
    Batch,
    BatchDifference,
    BatchEntry,
    BatchKey,
    BatchLine,
    BatchState,
    BatchTotals,
)
from gateway.store.port import Store
from pos_protocol.errors import CodecError
from pos_protocol.fields.totals import build_totals, parse_totals
from pos_protocol.fields.upload import parse_chip_line, parse_count, parse_lines
from pos_protocol.response_codes import FORMAT_ERROR, NOT_SIGNED_IN
from pos_protocol.transactions import batch_of, management_of
from signing.keywrap import Sealer

LINES_MAX: Final = 9_999
"""So many lines has a batch: the end of an upload counts in four digits."""
SETTLEMENTS_MAX: Final = 20
"""How often a batch is judged anew: nothing proves that its terminal asked for it."""
_PAGE: Final = 500
_TRIES: Final = 5
_MAGNETIC: Final = "201"
_EVERYTHING: Final = "202"
"""60.3 of the end of an upload after totals that differed; 207 ends one of chip lines."""
_ReadEntries = Callable[[BatchKey, str, int], Awaitable[Sequence[BatchEntry]]]


class Batches:
    """0500 批结算 and 0320 批上送."""

    def __init__(
        self, *, store: Store, order: BatchOrder, sealer: Sealer, clock: Clock, log: Log
    ) -> None:
        self._store = store
        self._order = order
        self._sealer = sealer
        self._clock = clock
        self._log = log

    async def settlement(self, exchange: Exchange) -> bytes:
        """Judge a batch's totals, or tell the judgement again.

        Raises:
            RefusedError: 30 an F48 that has no totals; 77 other totals of a batch that the
                terminal has left.
            Unavailable: nothing is stored, or the judgement is and a repeat will get it.
        """
        try:
            said = said_totals(parse_totals(exchange.message.text(48)))
        except CodecError as error:
            raise RefusedError(FORMAT_ERROR, str(error)) from None
        batch = await self._judged(exchange, self._key(exchange), said)
        fields = managed(self._clock.now_ms())
        del fields[39]  # the one answer without a code: F48 says it
        fields[15] = fields[13]
        fields[48] = build_totals(judgement(batch))
        return exchange.reply(fields)

    async def upload(self, exchange: Exchange) -> bytes:
        """Keep the lines of one message: magnetic ones in F48, a chip one in F62.

        Raises:
            RefusedError: 30 what is no line, or more of them than a batch has; 77 a batch
                that was never settled.
        """
        batch = await self._uploaded(exchange)
        try:
            lines = self._lines(exchange, batch.key)
        except CodecError as error:
            raise RefusedError(FORMAT_ERROR, str(error)) from None
        await self._keep(batch.key, lines)
        return self._answer(exchange)

    async def notice_upload(self, exchange: Exchange) -> bytes:
        """Keep an advice that comes once more (60.3 = 000) as a line; it moves no money."""
        batch, message = await self._uploaded(exchange), exchange.message
        keys = exchange.known.keys
        pan = presented_pan(message, None if keys is None else keys.open().track)
        await self._keep(batch.key, [self._line(exchange, batch.key, pan, int(message.text(4)))])
        return self._answer(exchange)

    async def upload_end(self, exchange: Exchange) -> bytes:
        """Compare what was uploaded, store what differs, and let the terminal go on.

        Raises:
            RefusedError: 30 an F48 without a count; 77 a batch that was never settled.
        """
        try:
            expected = parse_count(exchange.message.text(48))
        except CodecError as error:
            raise RefusedError(FORMAT_ERROR, str(error)) from None
        is_whole = management_of(exchange.message) == _EVERYTHING
        for _ in range(_TRIES):
            batch = await self._uploaded(exchange)
            if batch.upload_expected is not None:
                break
            if await self._end(batch, expected, is_whole=is_whole):
                break
        else:
            raise Unavailable("this batch is being changed at several places at once")
        return self._answer(exchange)

    async def _judged(self, exchange: Exchange, key: BatchKey, said: BatchTotals) -> Batch:
        for _ in range(_TRIES):
            before = await self._store.batch(key)
            if before is not None and before.terminal == said:
                return before
            session = exchange.known.session
            if session is None or session.batch_no != key.batch_no:
                raise RefusedError(NOT_SIGNED_IN, "other totals of a batch that is over")
            if before is not None and before.settlement_no >= SETTLEMENTS_MAX:
                raise RefusedError(NOT_SIGNED_IN, "settled too often: sign in")
            batch = await self._judge(key, said, before)
            if await self._store.save_batch(batch, totals_difference(batch)):
                self._tell("batch settled", batch, agrees=batch.totals_agree)
                return batch
        raise Unavailable("this batch is being settled at several places at once")

    async def _judge(self, key: BatchKey, said: BatchTotals, before: Batch | None) -> Batch:
        host = BatchTotals()
        async for entries in self._entries(key):
            host = with_entries(host, entries)
        now_ms = self._clock.now_ms()
        agrees = said == host
        return Batch(
            key=key,
            version=1 if before is None else before.version + 1,
            state=BatchState.CLOSED if agrees else BatchState.UPLOADING,
            settlement_no=1 if before is None else before.settlement_no + 1,
            settled_at_ms=now_ms,
            terminal=said,
            host=host,
            closed_at_ms=now_ms if agrees else 0,
        )

    async def _entries(self, key: BatchKey) -> AsyncIterator[Sequence[BatchEntry]]:
        """What the host holds of a batch, page by page."""
        reads: tuple[_ReadEntries, ...] = (self._store.batch_payments, self._store.batch_refunds)
        for read in reads:
            after = ""
            while page := await read(key, after, _PAGE):
                yield page
                after = page[-1].trace

    async def _all_lines(self, key: BatchKey) -> list[BatchLine]:
        lines: list[BatchLine] = []
        while page := await self._store.batch_lines(key, lines[-1].trace if lines else "", _PAGE):
            lines += page
        return lines

    async def _end(self, batch: Batch, expected: int, *, is_whole: bool) -> bool:
        """Store the end of an upload with its differences; ``False`` when the batch moved."""
        lines, now_ms = await self._all_lines(batch.key), self._clock.now_ms()
        comparison = Comparison(batch, lines, is_whole=is_whole, at_ms=now_ms)
        for hold in (comparison.add, comparison.take):
            async for entries in self._entries(batch.key):
                for entry in entries:
                    hold(entry)
        differences = comparison.finish(expected, len(lines))
        ended = replace(
            batch,
            version=batch.version + 1,
            state=BatchState.CLOSED,
            upload_expected=expected,
            uploaded=len(lines),
            closed_at_ms=batch.closed_at_ms or now_ms,
        )
        if not await self._store.save_batch(ended, differences):
            return False
        self._told(ended, differences)
        return True

    def _told(self, batch: Batch, differences: Sequence[BatchDifference]) -> None:
        self._tell("batch uploaded", batch, lines=batch.uploaded, differences=len(differences))
        if differences:
            self._log.warning(
                "batch differs",
                terminal_id=batch.key.terminal_id,
                batch_no=batch.key.batch_no,
                differences=len(differences),
            )

    def _tell(self, event: str, batch: Batch, **more: object) -> None:
        key = batch.key
        self._log.info(event, terminal_id=key.terminal_id, batch_no=key.batch_no, **more)

    async def _uploaded(self, exchange: Exchange) -> Batch:
        """The settled batch that an upload is of."""
        named = self._key(exchange)
        batch = await self._store.batch(named)
        if batch is None:
            before = named._replace(batch_no=preceding(named.batch_no))
            batch = await self._store.batch(before)
        if batch is None:
            raise RefusedError(NOT_SIGNED_IN, "this batch was never settled")
        return batch

    async def _keep(self, key: BatchKey, lines: Sequence[BatchLine]) -> None:
        if await self._store.batch_line_count(key) + len(lines) > LINES_MAX:
            raise RefusedError(FORMAT_ERROR, f"a batch has at most {LINES_MAX} lines")
        if lines:
            await self._store.add_batch_lines(lines)

    def _lines(self, exchange: Exchange, key: BatchKey) -> list[BatchLine]:
        message = exchange.message
        if management_of(exchange.message) != _MAGNETIC:
            chip = parse_chip_line(message.data(62))
            line = self._line(exchange, key, message.text(2), chip.amount_fen)
            return [replace(line, is_foreign=chip.is_foreign, has_failed=chip.has_failed)]
        return [
            replace(
                self._line(exchange, key, line.pan, line.amount_fen),
                trace=line.trace,
                is_foreign=line.is_foreign,
            )
            for line in parse_lines(message.text(48))
        ]

    def _line(self, exchange: Exchange, key: BatchKey, pan: str, amount_fen: int) -> BatchLine:
        return BatchLine(
            key=key,
            trace=exchange.message.text(11),
            management=management_of(exchange.message),
            amount_fen=amount_fen,
            is_foreign=False,
            has_failed=False,
            pan_token=self._sealer.token(pan.encode()) if pan else b"",
            at_ms=self._clock.now_ms(),
        )

    def _answer(self, exchange: Exchange) -> bytes:
        return exchange.reply(managed(self._clock.now_ms()))

    def _key(self, exchange: Exchange) -> BatchKey:
        terminal, named = exchange.known.terminal, batch_of(exchange.message)
        if not (named.isascii() and named.isdigit()):
            raise RefusedError(FORMAT_ERROR, "F60 names no batch")
        return BatchKey(terminal.merchant_no, terminal.terminal_id, int(named))
