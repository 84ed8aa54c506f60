"""What terminals may download: the operator's files, read and checked at the start.

A file is a YAML or JSON list; each entry is one text of hexadecimal digits, a BER-TLV
list as it goes into F62: a public key with its 9F06 and 9F22, an application with its
9F06, a group of parameters. Rules:

* Whatever is wrong stops the start and is named by file and entry; no value of a file is
  ever shown, because a black list holds card numbers.
* A terminal says in two digits how many entries it has, so no list has more than 99.
* What is answered is cut once, here: one F62 for each number of entries that a terminal
  may have already.
"""

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import yaml

from domain.errors import ConfigurationError
from gateway.config import DownloadsSection
from pos_protocol.errors import CodecError, TlvError
from pos_protocol.fields.download import (
    BlockMark,
    DownloadBlock,
    Tags,
    build_block,
    cut_into_blocks,
)
from pos_protocol.tlv import ber_build, ber_items

MAX_ENTRIES: Final = 99
AID: Final = "9F06"
"""An application's identifier; of a public key its first five bytes (RID)."""
_KEY_INDEX: Final = "9F22"
_KEY_EXPIRY: Final = "DF05"
_KEY_ALGORITHM: Final = "DF07"
_SM2: Final = b"\x04"
_RID_BYTES: Final = range(5, 6)
_AID_BYTES: Final = range(5, 17)
_INDEX_BYTES: Final = range(1, 2)


class DownloadKind(enum.Enum):
    """What there is to download; the value is 60.3 of its 0800."""

    PARAMETERS = "360"
    PROGRAM = "364"
    PUBLIC_KEYS = "370"
    APPLICATIONS = "380"
    BLACK_LIST = "390"
    CONTACTLESS = "394"


_NAMES: Final[Mapping[DownloadKind, Mapping[str, range]]] = {
    DownloadKind.PUBLIC_KEYS: {AID: _RID_BYTES, _KEY_INDEX: _INDEX_BYTES},
    DownloadKind.APPLICATIONS: {AID: _AID_BYTES},
}
"""The tags that name an entry, and how many bytes each has."""
EMPTY: Final = build_block(DownloadBlock(BlockMark.EMPTY))
"""The F62 of an answer that has nothing."""


@dataclass(frozen=True, slots=True, repr=False)
class Walk:
    """A list as terminals walk through it: the answer for each number of entries they have."""

    fields: tuple[bytes, ...]
    end: bytes

    def after(self, known_entries: int) -> bytes:
        """F62 with as many entries as fit, from the first that the terminal lacks."""
        if not self.fields:
            return EMPTY
        return self.fields[known_entries] if known_entries < len(self.fields) else self.end


@dataclass(frozen=True, slots=True, repr=False)
class Download:
    """One file; ``version`` is a short hash of what it holds."""

    entries: tuple[Tags, ...] = ()
    walk: Walk = Walk((), EMPTY)
    version: str = ""

    def named(self, wanted: Tags) -> bytes:
        """F62 with the first entry that has every tag of ``wanted``, or with nothing."""
        for entry in self.entries:
            if all(tag in entry for tag in wanted):
                return build_block(DownloadBlock(BlockMark.LAST, entry))
        return EMPTY


_NOTHING: Final = Download()


@dataclass(frozen=True, slots=True, repr=False)
class Catalogue:
    """Every download that is configured, and the lists of keys and applications."""

    downloads: Mapping[DownloadKind, Download]
    lists: Mapping[str, Walk]
    """By 60.3 of the query: 372 public keys but those of SM2, 373 all, 382 applications."""

    def download(self, kind: DownloadKind) -> Download:
        """What there is of a kind; an empty one when nothing is configured."""
        return self.downloads.get(kind, _NOTHING)


def read_catalogue(section: DownloadsSection, path: Callable[[str], Path]) -> Catalogue:
    """Read every file that ``section`` names; ``path`` makes a name absolute.

    Raises:
        ConfigurationError: a file or an entry that cannot be served; all faults are told.
    """
    faults: list[str] = []
    found: dict[DownloadKind, Download] = {}
    for kind in DownloadKind:
        name = getattr(section, kind.name.lower())
        if name is None:
            continue
        try:
            found[kind] = _download(kind, path(name))
        except ConfigurationError as error:
            faults.append(f"pos.downloads.{kind.name.lower()}: {error.message}")
    if faults:
        raise ConfigurationError("\n".join(faults))
    keys = found.get(DownloadKind.PUBLIC_KEYS, _NOTHING).entries
    applications = found.get(DownloadKind.APPLICATIONS, _NOTHING).entries
    lists = {
        "372": _list([key for key in keys if (_KEY_ALGORITHM, _SM2) not in key]),
        "373": _list(keys),
        "382": _list(applications),
    }
    return Catalogue(found, lists)


def _download(kind: DownloadKind, file: Path) -> Download:
    texts = _texts(file)
    entries = tuple(_entry(kind, file, number, text) for number, text in enumerate(texts, 1))
    _refuse_twins(kind, file, entries)
    content = b"".join(ber_build(entry) for entry in entries)
    return Download(entries, _walk(entries, BlockMark.LAST), sha256(content).hexdigest()[:16])


def _texts(file: Path) -> Sequence[object]:
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"{file}: cannot be read ({error.strerror}); name an existing file, or remove the key"
        ) from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file}: not UTF-8; save it as UTF-8") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        raise ConfigurationError(
            f"{file}{line}: not YAML or JSON; mend the indentation or quotes"
        ) from None
    if not isinstance(data, list) or not data:
        raise ConfigurationError(f"{file}: must be a list of entries; write one text for each")
    if len(data) > MAX_ENTRIES:
        raise ConfigurationError(
            f"{file}: {len(data)} entries; leave at most {MAX_ENTRIES}, a terminal counts no further"
        )
    return data


def _entry(kind: DownloadKind, file: Path, number: int, text: object) -> Tags:
    place = f"{file}: entry {number}"
    if not isinstance(text, str):
        raise ConfigurationError(f"{place}: not a text; write its hexadecimal digits in quotes")
    try:
        tags = ber_items(bytes.fromhex(text))
    except ValueError:
        raise ConfigurationError(
            f"{place}: not hexadecimal; write pairs of the digits 0-9 and A-F"
        ) from None
    except TlvError as error:
        raise ConfigurationError(
            f"{place}: {error.reason} at byte {error.offset}; mend its tags and lengths"
        ) from None
    if not tags:
        raise ConfigurationError(f"{place}: empty; remove it or give it tags")
    for tag, sizes in _NAMES.get(kind, {}).items():
        values = [value for name, value in tags if name == tag]
        if len(values) != 1 or len(values[0]) not in sizes:
            most = f" to {sizes[-1]}" if len(sizes) > 1 else ""
            raise ConfigurationError(
                f"{place}: needs one tag {tag} of {sizes[0]}{most} bytes; add or mend it"
            )
    try:
        build_block(DownloadBlock(BlockMark.LAST, tags))
    except CodecError as error:
        raise ConfigurationError(f"{place}: {error.reason}; divide or shorten it") from None
    return tags


def _refuse_twins(kind: DownloadKind, file: Path, entries: Sequence[Tags]) -> None:
    """Two entries of one name: a terminal would only ever get the first."""
    seen: dict[Tags, int] = {}
    names = _NAMES.get(kind)
    for number, entry in enumerate(entries, 1):
        name = entry if names is None else tuple(tag for tag in entry if tag[0] in names)
        first = seen.setdefault(tuple(sorted(name)), number)
        if first != number:
            raise ConfigurationError(
                f"{file}: entry {number}: the same as entry {first}; remove one of them"
            )


def _list(entries: Sequence[Tags]) -> Walk:
    """What a query is answered: of each entry only what names it, and a key's expiry."""
    named = (AID, _KEY_INDEX, _KEY_EXPIRY)
    return _walk(
        [tuple(tag for tag in entry if tag[0] in named) for entry in entries], BlockMark.LIST_END
    )


def _walk(entries: Sequence[Tags], last: BlockMark) -> Walk:
    fields = []
    for start in range(len(entries)):
        block = cut_into_blocks(entries[start:])[0]
        mark = block.mark if block.has_more else last
        fields.append(build_block(DownloadBlock(mark, block.tags)))
    return Walk(tuple(fields), build_block(DownloadBlock(last)))
