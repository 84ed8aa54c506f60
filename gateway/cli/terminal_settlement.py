"""The end of a terminal's day: totals, the upload that they ask for, the next batch.

Rules (reference ``pos_protocol.md`` §6): what was not answered is reversed first; equal
totals are followed by the chip transactions alone, different ones by every line, both by
the advices that were not answered; the end says how many. Only then the batch is over, here
too; whatever stops it on the way leaves it open, and settling again is safe.

A card number is in no journal: a line's comes from this run, or from the numbers that the
caller gives, of which each line takes the one that fits its masked number. A line without
one is uploaded with zeros, and the host can compare its amount only.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from domain.errors import InvalidRequest
from gateway.cli.terminal_journal import REVERSIBLE, JournalLine, LineState
from gateway.cli.terminal_till import Done, Till
from pos_protocol import management_asks
from pos_protocol.asks import Ask
from pos_protocol.card import Card, CardEntry
from pos_protocol.errors import CodecError
from pos_protocol.fields.totals import ClassTotals, SettlementTotals, parse_totals
from pos_protocol.fields.upload import ChipLine, UploadLine, blocks
from pos_protocol.masking import masked_pan


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What a settlement came to. ``last`` is its last exchange, whatever that was.

    ``without_card`` lines went up without a card number.
    """

    batch: str
    next_batch: str
    ours: SettlementTotals
    hosts: SettlementTotals | None
    uploaded: int
    without_card: int
    last: Done

    @property
    def agreed(self) -> bool:
        """Whether the host counted the same."""
        return self.hosts is not None and self.hosts.are_equal

    def as_dict(self) -> dict[str, Any]:
        """For a receipt."""
        return {
            "totals": "equal" if self.agreed else "different",
            "terminal_totals": _spelled(self.ours),
            "host_totals": None if self.hosts is None else _spelled(self.hosts),
            "uploaded": self.uploaded,
            "without_card": self.without_card,
            "next_batch": self.next_batch,
        }


def _spelled(totals: SettlementTotals) -> dict[str, dict[str, int]]:
    return {"domestic": _half(totals.domestic), "foreign": _half(totals.foreign)}


def _half(half: ClassTotals) -> dict[str, int]:
    return {
        "debit_fen": half.debit_fen,
        "debit_count": half.debit_count,
        "credit_fen": half.credit_fen,
        "credit_count": half.credit_count,
    }


async def settle(till: Till, pans: Iterable[str] = ()) -> Settled:
    """Settle the open batch.

    Raises:
        Unavailable: silence on the way; the batch is still open.
        InvalidRequest: more than 999 transactions of a kind, which the totals cannot say.
    """
    await till.take_back()
    return await _Settlement(till, pans).run()


class _Settlement:
    """One settlement under way."""

    def __init__(self, till: Till, pans: Iterable[str]) -> None:
        self._till = till
        self._pans = {masked_pan(pan): pan for pan in pans}
        self._batch = till.terminal.batch
        self._lines = till.journal.counted(self._batch)
        self._without_card = 0

    async def run(self) -> Settled:
        ours = self._till.journal.totals(self._batch)
        operator = self._till.terminal.identity.operator
        asked = await self._ask(lambda: management_asks.settlement(ours, operator))
        hosts = _totals(asked)
        if hosts is None:
            return self._settled(ours, None, 0, asked)
        asks, count = self._upload(agreed=hosts.are_equal)
        last = asked
        for ask in asks:
            last = await self._till.exchange(self._till.terminal.ask(ask))
            if not last.outcome.approved:
                return self._settled(ours, hosts, count, last)
        self._till.close_batch()
        return self._settled(ours, hosts, count, last)

    async def _ask(self, build: Callable[[], Ask]) -> Done:
        try:
            return await self._till.exchange(self._till.terminal.ask(build()))
        except CodecError as error:
            raise InvalidRequest("no_form", f"the totals cannot be said: {error}") from None

    def _settled(
        self,
        ours: SettlementTotals,
        hosts: SettlementTotals | None,
        uploaded: int,
        last: Done,
    ) -> Settled:
        return Settled(
            batch=self._batch,
            next_batch=self._till.terminal.batch,
            ours=ours,
            hosts=hosts,
            uploaded=uploaded,
            without_card=self._without_card,
            last=last,
        )

    def _upload(self, *, agreed: bool) -> tuple[list[Ask], int]:
        """The messages of an upload, its end among them, and the number of its lines."""
        chips = [(line, card) for line in self._lines if (card := self._chip(line)) is not None]
        asks = [] if agreed else self._magnetic([line for line, _ in chips])
        count = len(chips) if agreed else len(self._lines)
        for line, card in chips:
            said = ChipLine(amount_fen=line.amount_fen, is_foreign=line.is_foreign)
            asks.append(management_asks.upload_chip(card, line.trace, said, totals_agreed=agreed))
        for line in self._advices():
            asks.append(management_asks.notice_upload(self._till.request_of(line)))
            count += 1
        asks.append(management_asks.upload_end(count, totals_agreed=agreed))
        return asks, count

    def _magnetic(self, but: Sequence[JournalLine]) -> list[Ask]:
        lines = []
        for line in self._lines:
            if line in but:
                continue
            pan = self._pan(line)
            self._without_card += bool(line.card and not pan)
            lines.append(
                UploadLine(
                    trace=line.trace,
                    pan=pan,
                    amount_fen=line.amount_fen,
                    is_foreign=line.is_foreign,
                )
            )
        return [management_asks.upload_lines(block) for block in blocks(lines)]

    def _pan(self, line: JournalLine) -> str:
        seen = self._till.card_of(line)
        return seen.pan if seen is not None else self._pans.get(line.card, "")

    def _chip(self, line: JournalLine) -> Card | None:
        """The card of a chip transaction, if its number is known."""
        pan = self._pan(line)
        if not (line.is_chip and pan):
            return None
        return self._till.card_of(line) or Card(pan=pan, entry=CardEntry.CHIP)

    def _advices(self) -> list[JournalLine]:
        """What had moved already and nobody has answered."""
        return [
            line
            for line in self._till.journal.lines
            if line.state is LineState.SENT and line.kind not in REVERSIBLE
        ]


def _totals(done: Done) -> SettlementTotals | None:
    """The host's totals; ``None`` if it gave none that can be read."""
    answer = done.outcome.message
    if not done.outcome.approved or answer is None:
        return None
    try:
        return parse_totals(answer.text(48))
    except CodecError:
        return None
