"""A terminal with a memory: its state file, its journal, and one exchange at a time.

Rules:

* Trace, journal line and reason are on disk before a message is sent, and again after its
  answer. What was sent and not answered is reversed before the next sale goes out, three
  times if need be (reference §6); an inquiry may settle it otherwise.
* The file holds wrapped keys and masked cards. Cards and authorisation codes are in memory
  only: a script knows them, a later call must be told again.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import orjson

from domain.errors import ConfigurationError, InvalidRequest, PosgateError, Unavailable
from gateway.cli.ready_file import write_atomically
from gateway.cli.terminal_client import ANSWER_TIMEOUT_S, TerminalClient, TerminalPlace
from gateway.cli.terminal_journal import (
    CHANGES,
    Journal,
    JournalLine,
    LineState,
    answered,
    line_of,
    read_line,
)
from gateway.sources import SystemClock
from pos_protocol.card import Card
from pos_protocol.errors import CodecError
from pos_protocol.fields.original import parse_original
from pos_protocol.fields.payment_status import PaymentState, PaymentStatus, parse_payment_status
from pos_protocol.numbering import LAST
from pos_protocol.outcome import Outcome, Request
from pos_protocol.response_codes import meaning
from pos_protocol.terminal import Terminal
from pos_protocol.transactions import TransactionKind, identify

REVERSAL_SENDS: Final = 3
_K = TransactionKind
_ASKING: Final = frozenset({_K.STATUS_INQUIRY, _K.QR_QUERY})


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One exchange: what was sent, what came of it, in how many ms.

    ``card`` is masked; ``line`` the journal's, where it left one; ``reversed_first`` are
    the traces that had to be reversed before it.
    """

    request: Request
    outcome: Outcome
    batch: str
    elapsed_ms: float = 0.0
    line: JournalLine | None = None
    reversed_first: tuple[str, ...] = ()

    @property
    def kind(self) -> TransactionKind | None:
        """What was asked for."""
        row = identify(self.request.message)
        return None if row is None else row.kind


class Till:
    """See the module."""

    def __init__(
        self,
        place: TerminalPlace,
        state: Path | None = None,
        patience_s: float = ANSWER_TIMEOUT_S,
        *,
        keeps_each: bool = True,
    ) -> None:
        """``keeps_each``: write the state file at every step, not only by :meth:`write`."""
        self.place = place
        self._keeps_each = keeps_each
        self._file = state or Path(f".posgate-terminal-{place.terminal_id}.json")
        self._clock = SystemClock()
        said = _read(self._file)
        try:
            self.journal = Journal([read_line(line) for line in said["journal"]])
            self.client = TerminalClient(
                place, trace=int(said["trace"]), batch=str(said["batch"]), patience_s=patience_s
            )
            if said["keys"]:
                scheme = self.client.terminal.identity.scheme
                self.client.security.unwrap_keys(scheme, bytes.fromhex(said["keys"]))
        except (KeyError, TypeError, ValueError):
            raise _no_state(self._file) from None
        self._cards: dict[str, Card] = {}
        self._auth_codes: dict[str, str] = {}
        self._requests: dict[str, Request] = {}

    @property
    def terminal(self) -> Terminal:
        """The protocol's side of it."""
        return self.client.terminal

    def card_of(self, line: JournalLine) -> Card | None:
        """The card of an earlier transaction, if this very run has seen it."""
        return self._cards.get(_key(line))

    def auth_code_of(self, line: JournalLine) -> str:
        """F38 of an earlier answer, if this very run has seen it."""
        return self._auth_codes.get(_key(line), "")

    def request_of(self, line: JournalLine) -> Request:
        """An earlier message: whole if this very run sent it, otherwise what is kept of it."""
        identity = self.terminal.identity
        kept = line.as_request(identity.tpdu, identity.sent_header)
        return self._requests.get(_key(line), kept)

    async def do(
        self, build: Callable[["Till"], Request], *, card: Card | None = None, clears: bool = True
    ) -> Done:
        """Reverse what has to be (``clears``), then one exchange.

        Raises:
            Unavailable: no connection (nothing was sent), or silence (the line stays SENT).
            InvalidRequest: what was asked for has no form.
        """
        first = await self.take_back() if clears else ()
        try:
            request = build(self)
        except CodecError as error:
            raise InvalidRequest("no_form", f"this cannot be said: {error}") from None
        return replace(await self.exchange(request, card), reversed_first=first)

    async def take_back(self) -> tuple[str, ...]:
        """Reverse every line that was sent and not answered; their traces.

        Raises:
            Unavailable: one of them cannot be reversed now.
        """
        taken = []
        for line in self.journal.unanswered():
            await self._take_back(line)
            taken.append(line.trace)
        return tuple(taken)

    async def _take_back(self, line: JournalLine) -> None:
        why = ""
        for _ in range(REVERSAL_SENDS):
            try:
                done = await self.reverse(line)
            except Unavailable as error:
                why = error.message
                continue
            if done.outcome.is_reversal_done:
                return
            code = done.outcome.response_code
            known = meaning(code)
            why = f"answered {code} {known.en}" if known else f"answered {done.outcome.detail}"
        raise Unavailable(
            f"trace {line.trace} had no answer and cannot be reversed now ({why}); nothing is"
            f" sold before that: try again, or ask with posgate terminal status"
        )

    async def reverse(self, line: JournalLine, reason: str = "") -> Done:
        """0400 of a line, once."""
        request = self.terminal.reversal(
            self.request_of(line), reason or line.reason, self.auth_code_of(line)
        )
        return await self.exchange(request)

    async def exchange(self, request: Request, card: Card | None = None) -> Done:
        """Keep, send, keep; raises :class:`Unavailable` as :meth:`do`."""
        await self.client.connect()
        batch = self.terminal.batch
        line = line_of(request, card.pan if card is not None else "")
        if line is not None:
            self._requests[_key(line)] = request
            line = self._with_card(line, card)
            self.journal.put(line)
        self.keep()
        started_s = self._clock.monotonic_s()
        outcome = await self.client.exchange(request)
        elapsed_ms = (self._clock.monotonic_s() - started_s) * 1000
        line = self._take(request, line, outcome)
        self.keep()
        return Done(request=request, outcome=outcome, batch=batch, elapsed_ms=elapsed_ms, line=line)

    def _with_card(self, line: JournalLine, card: Card | None) -> JournalLine:
        """The line with its card; that of its original where none was shown."""
        if card is None and 61 in line.fields:
            original = parse_original(line.fields[61])
            earlier = self.journal.find(original.trace, original.batch)
            if earlier is not None:
                card, line = self.card_of(earlier), replace(line, card=earlier.card)
        if card is not None:
            self._cards[_key(line)] = card
        return line

    def _take(
        self, request: Request, line: JournalLine | None, outcome: Outcome
    ) -> JournalLine | None:
        """What an answer changes in the journal."""
        row = identify(request.message)
        kind = None if row is None else row.kind
        if line is not None:
            line = answered(line, outcome)
            self.journal.put(line)
            if outcome.auth_code:
                self._auth_codes[_key(line)] = outcome.auth_code
            if line.kind in CHANGES and line.state is LineState.APPROVED:
                self._change(line)
        elif kind is _K.REVERSAL and outcome.is_reversal_done:
            line = self._moved(request.message.text(11), request.message.text(60)[2:8])
        elif kind is _K.SIGN_IN and outcome.approved:
            self.journal.begin(self.terminal.batch)
        elif kind is _K.NOTICE_UPLOAD and outcome.approved:
            self._told(request)
        elif kind in _ASKING:
            self._hear(request, outcome)
        return line

    def _moved(self, trace: str, batch: str) -> JournalLine | None:
        line = self.journal.find(trace, batch)
        if line is not None:
            line = replace(line, state=LineState.REVERSED)
            self.journal.put(line)
        return line

    def _told(self, request: Request) -> None:
        """An advice that was not answered has been uploaded."""
        line = self.journal.find(request.message.text(11), request.message.text(60)[2:8])
        if line is not None and line.state is LineState.SENT:
            self.journal.put(replace(line, state=LineState.APPROVED))

    def _change(self, line: JournalLine) -> None:
        """An adjustment or a tip sets its original's amount."""
        original = parse_original(line.fields[61])
        changed = self.journal.find(original.trace, original.batch)
        if changed is not None:
            self.journal.put(replace(changed, amount_fen=line.amount_fen))

    def _hear(self, request: Request, outcome: Outcome) -> None:
        """An inquiry's answer settles the line that it was about."""
        status = status_said(outcome)
        if status is None or 61 not in request.message.fields:
            return
        original = parse_original(request.message.text(61))
        line = self.journal.find(original.trace, original.batch)
        if line is None or line.state is not LineState.SENT:
            return
        if status.state is PaymentState.PAID:
            answer = outcome.message
            date = answer.text(13) if answer is not None else ""
            self.journal.put(replace(line, state=LineState.APPROVED, date=date))
        elif status.state is not PaymentState.ASKING:
            self.journal.put(replace(line, state=LineState.DECLINED))

    def close_batch(self) -> None:
        """After a settlement: the next batch, an empty journal."""
        self.terminal.close_batch()
        self.journal.begin(self.terminal.batch)
        self.keep()

    def keep(self) -> None:
        """Write the state file, unless that is left to :meth:`write`."""
        if self._keeps_each:
            self.write()

    def forget(self, line: JournalLine) -> None:
        """Give up the memory of a transaction that is over; its line stays."""
        key = _key(line)
        self._cards.pop(key, None)
        self._auth_codes.pop(key, None)
        self._requests.pop(key, None)

    def write(self, *, traces_ahead: int = 0) -> None:
        """Write the state file, ``traces_ahead`` numbers being taken already."""
        terminal = self.terminal
        state = {
            "trace": (terminal.trace + traces_ahead - 1) % LAST + 1,
            "batch": terminal.batch,
            "keys": self.client.security.wrapped_keys.hex(),
            "journal": [line.as_dict() for line in self.journal.lines],
        }
        try:
            write_atomically(self._file, state)
        except OSError as error:
            raise ConfigurationError(
                f"{self._file}: cannot be written ({error.strerror}); choose another with --state"
            ) from None

    async def close(self) -> None:
        """Hang up."""
        await self.client.close()


def status_said(outcome: Outcome) -> PaymentStatus | None:
    """What an inquiry's believable answer says of the payment."""
    if not outcome.approved or outcome.message is None:
        return None
    try:
        return parse_payment_status(outcome.message.data(62))
    except CodecError:
        return None


def _key(line: JournalLine) -> str:
    return f"{line.batch}-{line.trace}"


def _read(file: Path) -> dict[str, Any]:
    state: dict[str, Any] = {"trace": 1, "batch": "000000", "keys": "", "journal": []}
    if not file.exists():
        return state
    try:
        said = orjson.loads(file.read_bytes())
        if not isinstance(said, dict):
            raise _no_state(file)
        state.update(said)
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read ({error.strerror})") from None
    except (TypeError, ValueError):
        raise _no_state(file) from None
    return state


def _no_state(file: Path) -> PosgateError:
    return ConfigurationError(
        f"{file}: not the state of a terminal; remove it, or name another with --state"
    )
