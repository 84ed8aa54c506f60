"""A terminal fetches what its host has for it: parameters, chip keys, applications.

How it walks (``pos_protocol/fields/download.py``): lists of keys and applications are asked
for first, from entry to entry, then each entry is fetched by its name; everything else is
fetched block by block, saying how many entries are here already. The end is told. Rule:
the walk is bounded, whatever the host says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from domain.errors import Unavailable
from gateway.cli.terminal_till import Done, Till
from pos_protocol import management_asks
from pos_protocol.asks import Ask
from pos_protocol.errors import CodecError
from pos_protocol.fields.download import DownloadBlock, Tags, build_query, parse_block
from pos_protocol.masking import masked_chip_data
from pos_protocol.tlv import ber_build

KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "parameters": "360",
        "program": "364",
        "keys": "370",
        "applications": "380",
        "black-list": "390",
        "contactless": "394",
    }
)
"""60.3 of each download by its word."""
_LISTS: Final = {"370": "372", "380": "382"}
"""The query for the list of what is fetched by name."""
_AID: Final = "9F06"
_NAMES: Final = (_AID, "9F22")
MAX_ENTRIES: Final = 99
"""A terminal says in two digits how many it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded:
    """Every entry, and the last exchange."""

    entries: tuple[Tags, ...]
    messages: int
    last: Done

    def as_dict(self) -> dict[str, Any]:
        """For a receipt; a card number in an entry (a black list) is masked."""
        return {
            "messages": self.messages,
            "entries": [masked_chip_data(ber_build(entry)) for entry in self.entries],
        }


async def download(till: Till, management: str) -> Downloaded:
    """Fetch all there is of a kind (60.3).

    Raises:
        Unavailable: silence, or a host that never comes to an end.
    """
    return await _Walk(till, management).run()


class _Walk:
    def __init__(self, till: Till, management: str) -> None:
        self._till = till
        self._management = management
        self._messages = 0

    async def run(self) -> Downloaded:
        query = _LISTS.get(self._management)
        names = [] if query is None else await self._walk(query)
        if isinstance(names, Done):
            return self._stopped(names)
        if query is None:
            found = await self._walk("")
        else:
            found = await self._named(names)
        if isinstance(found, Done):
            return self._stopped(found)
        end = await self._ask(management_asks.download_end(self._management))
        return Downloaded(entries=tuple(found), messages=self._messages, last=end)

    def _stopped(self, last: Done) -> Downloaded:
        return Downloaded(entries=(), messages=self._messages, last=last)

    async def _walk(self, query: str) -> list[Tags] | Done:
        """Entries from the first to the last, or the exchange that was refused."""
        entries: list[Tags] = []
        while len(entries) <= MAX_ENTRIES:
            ask = (
                management_asks.query(query, len(entries))
                if query
                else management_asks.download(
                    self._management, build_query(len(entries)) if entries else b""
                )
            )
            done = await self._ask(ask)
            if not done.outcome.approved:
                return done
            block = _block(done)
            entries += _entries(block.tags)
            if not (block.has_more and block.tags):
                return entries
        raise Unavailable(f"the host sends more than {MAX_ENTRIES} entries; nothing was kept")

    async def _named(self, names: list[Tags]) -> list[Tags] | Done:
        entries: list[Tags] = []
        for name in names:
            wanted = ber_build([tag for tag in name if tag[0] in _NAMES])
            done = await self._ask(management_asks.download(self._management, wanted))
            if not done.outcome.approved:
                return done
            tags = _block(done).tags
            if tags:
                entries.append(tags)
        return entries

    async def _ask(self, ask: Ask) -> Done:
        self._messages += 1
        return await self._till.exchange(self._till.terminal.ask(ask))


def _block(done: Done) -> DownloadBlock:
    answer = done.outcome.message
    try:
        return parse_block(answer.data(62) if answer is not None else b"")
    except CodecError as error:
        raise Unavailable(f"the host's block cannot be read: {error}") from None


def _entries(tags: Tags) -> list[Tags]:
    """A block's tags, cut where the first one comes again."""
    entries: list[list[tuple[str, bytes]]] = []
    for tag in tags:
        if not entries or tag[0] == tags[0][0]:
            entries.append([])
        entries[-1].append(tag)
    return [tuple(entry) for entry in entries]
