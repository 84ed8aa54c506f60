"""The layouts of UnionPay's fixed-width files, as data (``layouts.json``).

Rules: a field is an offset and a length in *bytes*; a separator is the offset of a blank
that every record has. Acquirers and agents add to these files, so a layout is theirs: an
acquirer's own data file of the same shape makes a reader of its own
(``UnionPayBills(load_layouts(path))``), without a line of code.

Sources: reference ``channels.md`` C2, C3. ``zm``, ``acom`` and ``acomn`` are proven on real
files; ``coma`` to its byte 376. The widths of ``zme`` are those of the vendor's own demo, the
offsets of ``coma`` behind that byte and of ``aerra`` (an agent's ``aerr`` with more behind it)
those of a public program that reads such files; no file of these has been seen.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from domain.errors import ConfigurationError

OWN_FILE: Final = Path(__file__).with_name("layouts.json")
MERCHANT: Final = "merchant"
INSTITUTION: Final = "institution"
_NEEDED: Final = frozenset({"trace_time", "amount", "trade_no"})
_LONGEST: Final = 4096


@dataclass(frozen=True, slots=True)
class Layout:
    """One kind of record: ``mark`` is what its file's name has in it."""

    kind: str
    family: str
    mark: str
    least_bytes: int
    most_bytes: int
    fields: Mapping[str, tuple[int, int]]
    separators: tuple[int, ...]


def load_layouts(path: Path = OWN_FILE) -> Mapping[str, Layout]:
    """The layouts in ``path``, by kind.

    Raises:
        ConfigurationError: it cannot be read, or says something impossible.
    """
    try:
        raw = json.loads(path.read_text("utf-8"))
        layouts = {kind: _layout(kind, one) for kind, one in raw.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        raise ConfigurationError(f"layouts {path}: {type(fault).__name__}: {fault}") from fault
    if not layouts:
        raise ConfigurationError(f"layouts {path}: there is none")
    return MappingProxyType(layouts)


def _layout(kind: str, raw: Any) -> Layout:
    """Any misfit is an error of Python's own, named by the caller."""
    least, most = (int(count) for count in raw["bytes"])
    fields = {
        str(name): (int(offset), int(length)) for name, (offset, length) in raw["fields"].items()
    }
    separators = tuple(int(offset) for offset in raw["separators"])
    if raw["family"] not in (MERCHANT, INSTITUTION):
        raise ValueError(f"{kind}: family must be {MERCHANT} or {INSTITUTION}")
    if not 1 <= least <= most <= _LONGEST:
        raise ValueError(f"{kind}: bytes must be 1 to {_LONGEST}")
    missing = _NEEDED - fields.keys()
    if missing:
        raise ValueError(f"{kind}: {min(missing)} is missing")
    ends = [offset + length for offset, length in fields.values()] + list(separators)
    if min(ends) < 0 or max(ends) > least:
        raise ValueError(f"{kind}: a field or separator lies outside the record")
    return Layout(kind, str(raw["family"]), str(raw["mark"]), least, most, fields, separators)
