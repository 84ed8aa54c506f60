"""A file that is fetched: at its path whole, or not at all.

Rules: it is written beside its path and takes its name at the end, so that nobody ever
finds half of it; its size is bounded; the disk is never waited for on the event loop.
A place that cannot be written is :class:`NotSent`: what cannot be kept is not asked for.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from channels.port import AnswerLost, NotSent

_PIECE_BYTES: Final = 1024 * 1024


@contextmanager
def spool(path: Path, max_bytes: int) -> Iterator["Spool"]:
    """What takes the file of ``path``; nothing of it is left beside it afterwards.

    Raises:
        NotSent: it cannot be written.
    """
    part = path.with_name(path.name + ".part")
    with _opened(part) as file:
        try:
            yield Spool(file, part, path, max_bytes)
        finally:
            part.unlink(missing_ok=True)


def _opened(part: Path) -> BinaryIO:
    try:
        return part.open("wb")
    except OSError as fault:
        raise NotSent(f"the file cannot be written: {type(fault).__name__}") from fault


class Spool:
    """One file that comes in, open beside its path."""

    def __init__(self, file: BinaryIO, part: Path, path: Path, max_bytes: int) -> None:
        self._file = file
        self._part = part
        self._path = path
        self._left = max_bytes

    async def take(self, announced: int | None, chunks: AsyncIterator[bytes]) -> None:
        """The whole body; raises :class:`AnswerLost` once it is longer than the bound."""
        self._spend(announced or 0, peek=True)
        piece = bytearray()
        async for chunk in chunks:
            self._spend(len(chunk))
            piece += chunk
            if len(piece) >= _PIECE_BYTES:
                await asyncio.to_thread(self._file.write, bytes(piece))
                piece.clear()
        await asyncio.to_thread(self._finish, bytes(piece))

    def _spend(self, count: int, *, peek: bool = False) -> None:
        if count > self._left:
            raise AnswerLost("the file is too large")
        self._left -= 0 if peek else count

    def _finish(self, rest: bytes) -> None:
        self._file.write(rest)
        self._file.close()
        self._part.replace(self._path)
