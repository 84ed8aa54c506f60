"""Downloads and status queries from a terminal, answered from the catalogue.

How a terminal walks: a query (0820) says how many entries of a list it has and is
answered from there on, until a block says that the list ends; then a download (0800)
names each entry that it lacks in F62, by RID and index or by application identifier, and
gets it whole. A download that says a number instead, as a query does, is answered from
there on; one that says nothing gets the first block. Rules:

* Whatever is not there, the entry or the whole list, is an answer: 00 and the mark for
  "nothing" in F62. A refusal would end a terminal's walk before the keys that are there.
* The terminal keeps the place, not we: any answer may be lost and asked for again, at
  another process too.
* A status that a terminal sends (362) is acknowledged and not kept: what its bytes mean
  is each maker's own. It may be asked for once a day (nibble 2), after everything new.
* None of these messages has a MAC, so nothing that is served may be a secret; a terminal
  needs no sign-in for them, because it may need its parameters for one.

Left out, and answered 40: the download of a master key (each maker has a form of its own,
and a key must not travel on a line without a MAC: it is injected) and the electronic
receipt (no source gives its form).

Sources: reference ``pos_protocol.md`` §2 (F62) and §3; :mod:`pos_protocol.fields.download`.
"""

from collections.abc import Mapping
from typing import Final

from domain.clock import Clock, beijing
from gateway.directory import KnownTerminal
from gateway.pos.catalogue import AID, EMPTY, Catalogue, DownloadKind
from gateway.pos.exchange import Exchange
from gateway.pos.translate import RefusedError, managed
from gateway.store.port import PaymentStore, TerminalReply
from pos_protocol.errors import CodecError, TlvError
from pos_protocol.fields.download import Tags, parse_query
from pos_protocol.header import HostInstruction
from pos_protocol.response_codes import FORMAT_ERROR
from pos_protocol.tlv import ber_items
from pos_protocol.transactions import management_of

_WALKED_BY_NAME: Final = (DownloadKind.PUBLIC_KEYS, DownloadKind.APPLICATIONS)
_STATUS_UPLOAD: Final = "362"
_ENDS: Final[Mapping[str, DownloadKind]] = {f"{int(kind.value) + 1}": kind for kind in DownloadKind}
_INSTRUCTIONS: Final[Mapping[DownloadKind, HostInstruction]] = {
    DownloadKind.PARAMETERS: HostInstruction.DOWNLOAD_PARAMETERS,
    DownloadKind.PUBLIC_KEYS: HostInstruction.DOWNLOAD_PUBLIC_KEYS,
    DownloadKind.APPLICATIONS: HostInstruction.DOWNLOAD_IC_PARAMETERS,
    DownloadKind.BLACK_LIST: HostInstruction.DOWNLOAD_BLACK_LIST,
    DownloadKind.CONTACTLESS: HostInstruction.DOWNLOAD_CONTACTLESS_PARAMETERS,
    DownloadKind.PROGRAM: HostInstruction.UPDATE_PROGRAM,
}
"""In the order in which a terminal is told; a new program comes last, it restarts it."""


class Downloads:
    """0800 with 60.3 = 360 to 395, and the 0820 that go with them."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        store: PaymentStore,
        clock: Clock,
        announces: bool,
        asks_status: bool,
    ) -> None:
        """``announces``: terminals are told to fetch the new; ``asks_status``: to tell theirs."""
        self._catalogue = catalogue
        self._store = store
        self._clock = clock
        self._announces = announces
        self._asks_status = asks_status

    async def download(self, exchange: Exchange) -> bytes:
        """One entry by its name, or one block of them.

        Raises:
            RefusedError: 30, F62 names no entry of a list that is walked by name.
        """
        kind = DownloadKind(management_of(exchange.message))
        found = self._catalogue.download(kind)
        asked = _asked(kind, exchange.message.data(62))
        block = found.walk.after(asked) if isinstance(asked, int) else found.named(asked)
        return self._reply(exchange, {62: block})

    async def download_end(self, exchange: Exchange) -> bytes:
        """The terminal has all that it wanted of a kind; the answer names the next one.

        Raises:
            Unavailable: the store cannot be reached, and something is announced.
        """
        kind = _ENDS[management_of(exchange.message)]
        if self._announces and kind in self._catalogue.downloads:
            await self._done(exchange.known, self._fetched_key(exchange.known, kind))
        exchange.instruction = await self.instruction_for(exchange.known)
        return self._reply(exchange, {})

    async def query(self, exchange: Exchange) -> bytes:
        """A list from the first entry that the terminal lacks; or its own status, taken note of.

        Raises:
            RefusedError: 30, F62 says no number.
        """
        management, field_62 = management_of(exchange.message), exchange.message.data(62)
        if management == _STATUS_UPLOAD:
            if self._asks_status:
                await self._done(exchange.known, self._status_key(exchange.known))
                exchange.instruction = await self.instruction_for(exchange.known)
            return self._reply(exchange, {62: EMPTY})
        try:
            known_entries = parse_query(field_62) if field_62 else 0
        except CodecError as error:
            raise RefusedError(FORMAT_ERROR, error.reason) from None
        return self._reply(exchange, {62: self._catalogue.lists[management].after(known_entries)})

    async def instruction_for(self, known: KnownTerminal) -> int:
        """Nibble 5 of the header: the first kind of which the terminal lacks the newest file.

        0 when there is none, or nothing is announced.

        Raises:
            Unavailable: the store cannot be reached.
        """
        for kind, instruction in _INSTRUCTIONS.items():
            if not self._announces or kind not in self._catalogue.downloads:
                continue
            if not await self._is_done(known, self._fetched_key(known, kind)):
                return instruction
        if self._asks_status and not await self._is_done(known, self._status_key(known)):
            return HostInstruction.UPLOAD_STATUS
        return HostInstruction.NONE

    async def _is_done(self, known: KnownTerminal, key: str) -> bool:
        return await self._store.terminal_reply(known.merchant.merchant_no, key) is not None

    async def _done(self, known: KnownTerminal, key: str) -> None:
        """Take note that a terminal did what its host asked for."""
        await self._store.save_reply(
            TerminalReply(
                merchant_no=known.merchant.merchant_no,
                key=key,
                fingerprint=b"",
                reply_sealed=b"",
                created_at_ms=self._clock.now_ms(),
            )
        )

    def _status_key(self, known: KnownTerminal) -> str:
        """The same of a terminal's status, by the day in Beijing."""
        day = beijing(self._clock.now_ms())
        return f"{known.terminal.terminal_id}-status-{day:%Y%m%d}"

    def _fetched_key(self, known: KnownTerminal, kind: DownloadKind) -> str:
        """What the store keeps, beside the terminal's replies, of a download that ended."""
        version = self._catalogue.download(kind).version
        return f"{known.terminal.terminal_id}-download-{kind.value}-{version}"

    def _reply(self, exchange: Exchange, fields: Mapping[int, str | bytes]) -> bytes:
        answer = managed(self._clock.now_ms())
        del answer[32]  # downloads name no acquirer
        return exchange.reply({**answer, **fields})


def _asked(kind: DownloadKind, field_62: bytes) -> int | Tags:
    """How many entries the terminal has, or the name of the one that it wants.

    Other words of a maker's own are nothing to a list that is not walked by name.
    """
    if not field_62:
        return 0
    try:
        return parse_query(field_62)
    except CodecError:
        pass
    try:
        tags = ber_items(field_62)
    except TlvError:
        tags = ()
    if any(tag == AID for tag, _ in tags):
        return tags
    if kind in _WALKED_BY_NAME:
        raise RefusedError(FORMAT_ERROR, "F62 names no entry")
    return 0
