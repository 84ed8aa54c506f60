"""What a channel delivers, opened where it lies: a zip, a gzip or the bare file.

Rules:

* No name inside an archive becomes a path: members are read in place, and one whose name
  would leave a folder refuses the whole archive (hole 13 of reference ``channels.md`` G).
* Names without the UTF-8 flag are GBK, as Chinese channels write them (A6).
* Bounded: how many members, how much comes out of them (``MAX_BYTES``), and how much
  more than went in: a small file that unpacks to gigabytes is refused, not unpacked.
* Whatever is wrong with an archive, also at its last byte (the checksum), is
  :class:`BillRefused`.
"""

import gzip
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, cast

from channels.bills import BillRefused

MAX_BYTES: Final = 8 * 1024**3
"""Of one file of a day, unpacked: some thirty million lines."""
MAX_MEMBERS: Final = 64
MAX_RATIO: Final = 200
"""Bills shrink to a tenth, made-up ones with one row repeated to a hundredth."""
RATIO_FREE_BYTES: Final = 16 * 1024**2
"""So much may always come out, whatever went in."""

_ZIP_MAGIC: Final = b"PK\x03\x04"
_EMPTY_ZIP_MAGIC: Final = b"PK\x05\x06"
_GZIP_MAGIC: Final = b"\x1f\x8b"
_UTF8_NAME: Final = 0x800
_ENCRYPTED: Final = 0x1
_BROKEN: Final = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError)


class BillSource:
    """The bytes of one file, bounded; reading may raise :class:`BillRefused`."""

    def __init__(self, file: IO[bytes], name: str, limit_bytes: int) -> None:
        self._file = file
        self._left = limit_bytes
        self.name = name

    def skip(self, count: int) -> None:
        """Leave out the next ``count`` bytes: a byte-order mark."""
        self.read(count)

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes, fewer only at the end."""
        try:
            data = self._file.read(size)
        except _BROKEN as fault:
            raise BillRefused(self.name, 0, f"it cannot be unpacked: {_why(fault)}") from None
        self._left -= len(data)
        if self._left < 0:
            raise BillRefused(self.name, 0, "more comes out of it than a bill may hold")
        return data


@dataclass(frozen=True, slots=True)
class BillMember:
    """One file of what was delivered; ``name`` is for choosing and for messages."""

    name: str
    limit_bytes: int
    _open: Callable[[], IO[bytes]] = field(repr=False)

    @contextmanager
    def opened(self) -> Iterator[BillSource]:
        """Its bytes from the first; may be called again."""
        try:
            file = self._open()
        except (*_BROKEN, RuntimeError) as fault:
            raise BillRefused(self.name, 0, f"it cannot be opened: {_why(fault)}") from None
        with file:
            yield BillSource(file, self.name, self.limit_bytes)


def members_of(path: Path) -> tuple[BillMember, ...]:
    """The files inside ``path``; one of its own name where it is no archive.

    Raises:
        BillRefused: it is not there, damaged, encrypted, or has a name or a size that
            no bill has.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as fault:
        raise BillRefused(path.name, 0, f"it cannot be read: {_why(fault)}") from None
    if magic in (_ZIP_MAGIC, _EMPTY_ZIP_MAGIC):
        return _zipped(path)
    if magic[:2] == _GZIP_MAGIC:
        name = path.name.removesuffix(".gz")

        def unzip() -> IO[bytes]:
            return cast(IO[bytes], gzip.open(path, "rb"))

        return (BillMember(name, _limit(size), unzip),)
    return (BillMember(path.name, MAX_BYTES, lambda: path.open("rb")),)


def _zipped(path: Path) -> tuple[BillMember, ...]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    except (*_BROKEN, ValueError) as fault:
        raise BillRefused(path.name, 0, f"it is a damaged zip: {_why(fault)}") from None
    if not entries:
        raise BillRefused(path.name, 0, "the zip is empty")
    if len(entries) > MAX_MEMBERS:
        raise BillRefused(path.name, 0, f"the zip has more than {MAX_MEMBERS} files")
    return tuple(_member(path, entry) for entry in entries)


def _member(path: Path, entry: zipfile.ZipInfo) -> BillMember:
    name = _name(path, entry)
    if entry.flag_bits & _ENCRYPTED:
        raise BillRefused(name, 0, "it is encrypted")
    limit_bytes = _limit(entry.compress_size)
    if entry.file_size > limit_bytes:
        raise BillRefused(name, 0, "more would come out of it than a bill may hold")

    def unzip() -> IO[bytes]:
        # An opened member keeps the archive's file open by itself.
        with zipfile.ZipFile(path) as archive:
            return archive.open(entry)

    return BillMember(name, limit_bytes, unzip)


def _name(path: Path, entry: zipfile.ZipInfo) -> str:
    """The entry's name; one that leads elsewhere is not a bill's."""
    name = entry.orig_filename
    if not entry.flag_bits & _UTF8_NAME:
        try:
            name = name.encode("cp437").decode("gb18030")
        except UnicodeError:
            raise BillRefused(path.name, 0, "a name in the zip is not GBK") from None
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or parts[0] == "" or ":" in name or "\0" in name:
        raise BillRefused(path.name, 0, "a name in the zip leads out of its folder")
    return parts[-1]


def _limit(packed_bytes: int) -> int:
    return min(MAX_BYTES, max(RATIO_FREE_BYTES, packed_bytes * MAX_RATIO))


def _why(fault: BaseException) -> str:
    """What is wrong, without paths or contents."""
    if isinstance(fault, OSError) and fault.strerror:
        return fault.strerror
    return str(fault) if isinstance(fault, zipfile.BadZipFile) else type(fault).__name__
