"""UnionPay's files of a day: which member of a delivery is which, and who reads it.

Rules (reference ``channels.md`` C2, C3):

* A file is known by its name (``INN<yymmdd>88ZM_<merchant>``, ``IND<yymmdd>..ACOMN``); its
  day is in the name, or is given: the records have no year.
* A file is read as what its name says. Asked for as an ACOM an ACOMN is taken as well: it has
  the same rows and the orders' numbers. Any other that its name says to be of another kind is
  refused: a COMA leaves out what was voided, an AERR holds errors alone.
* A merchant's delivery has one ZM; the summary (RD) beside it must agree with it to the
  fen, and be of the same day.
* Acquirers get theirs as ``.Z`` (``channels/unionpay/lzw.py``), zipped, or bare.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import IO, Final

from channels.bill_archive import MAX_BYTES, BillMember, members_of
from channels.bill_rows import BillFormat, BillReader
from channels.bills import BillRefused
from channels.unionpay.file_layouts import Layout, load_layouts
from channels.unionpay.file_reader import FileReader
from channels.unionpay.file_summary import read_summary
from channels.unionpay.lzw import MAGIC, open_compressed

_DAY: Final = re.compile(r"(?:INN|IND|RD[0-9]{4})([0-9]{6})", re.ASCII)
_SUMMARY: Final = re.compile(r"RD[0-9]{4}[0-9]{6}", re.ASCII)
_SUMMED: Final = "zm"
_ALIKE: Final = frozenset({"acom", "acomn"})


class UnionPayBills:
    """How the files of one set of layouts are read."""

    def __init__(self, layouts: Mapping[str, Layout]) -> None:
        self._layouts = layouts

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every layout; the merchant's detail first."""
        return tuple(self._layouts)

    def kind_of(self, path: Path) -> str:
        """By the names of what was delivered; a merchant's detail before its errors."""
        found = {
            layout.kind
            for member in _members(path)
            if (layout := self._layout_of(member.name)) is not None
        }
        for kind in self.kinds:
            if kind in found:
                return kind
        raise BillRefused(path.name, 0, "its name is that of no file of UnionPay's: give --kind")

    def open(self, kind: str, path: Path, day: date | None = None) -> BillReader:
        """The reader of ``kind``; raises :class:`BillRefused`."""
        layout = self._layouts.get(kind)
        if layout is None:
            raise BillRefused(path.name, 0, f"UnionPay has no file of the kind {kind!r}")
        members = _members(path)
        mine = [member for member in members if self._layout_of(member.name) is layout]
        if len(members) == 1:
            mine = list(members)
        if len(mine) != 1:
            many = "more than one" if mine else "no"
            raise BillRefused(path.name, 0, f"it has {many} file of the kind {kind}")
        member = mine[0]
        layout = self._as_named(path, member, layout)
        beside = [one for one in members if _SUMMARY.match(one.name)] if kind == _SUMMED else []
        if len(beside) > 1:
            raise BillRefused(path.name, 0, "it has more than one summary (RD)")
        summary = read_summary(beside[0]) if beside else None
        told = _day_in(member.name) or (summary.day if summary else None)
        _require_one_day(path, [day, told, summary.day if summary else None])
        day = day or told
        if day is None:
            raise BillRefused(path.name, 0, "its name tells no day, and its rows no year: give one")
        sums = summary.sums if summary else None
        return FileReader(member, layout, day, sums)

    def _as_named(self, path: Path, member: BillMember, layout: Layout) -> Layout:
        """The layout that a file asked for as ``layout`` is read by."""
        named = self._layout_of(member.name)
        if named is None or named is layout:
            return layout
        if {named.kind, layout.kind} <= _ALIKE:
            return named
        why = f"its name is that of a file of the kind {named.kind}, not {layout.kind}"
        raise BillRefused(path.name, 0, why)

    def _layout_of(self, name: str) -> Layout | None:
        """The layout whose mark ends last: ACOMA is a COMA, ACOMN no ACOM."""
        if _SUMMARY.match(name):
            return None
        upper = name.upper()
        found = [one for one in self._layouts.values() if one.mark in upper]
        return max(found, key=lambda one: upper.find(one.mark) + len(one.mark), default=None)


def _members(path: Path) -> tuple[BillMember, ...]:
    """As ``members_of``, and what Unix ``compress`` made."""
    try:
        with path.open("rb") as file:
            magic = file.read(2)
    except OSError:
        magic = b""
    if magic != MAGIC:
        return members_of(path)

    def unpack() -> IO[bytes]:
        return open_compressed(path)

    return (BillMember(path.name.removesuffix(".Z"), MAX_BYTES, unpack),)


def _day_in(name: str) -> date | None:
    found = _DAY.search(name)
    if found is None:
        return None
    try:
        return datetime.strptime(found[1], "%y%m%d").date()  # noqa: DTZ007  a date has no zone
    except ValueError:
        return None


def _require_one_day(path: Path, days: list[date | None]) -> None:
    known = {day for day in days if day is not None}
    if len(known) > 1:
        listed = ", ".join(f"{day}" for day in sorted(known))
        raise BillRefused(path.name, 0, f"it is not of one day: {listed}")


BILLS: Final[BillFormat] = UnionPayBills(load_layouts())
